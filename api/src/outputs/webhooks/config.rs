//! What operators set about webhooks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::guard::Guard;

/// `[webhooks]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Networks that are not public and may be called all the same, e.g. `192.168.1.0/24`.
    pub allowed_networks: Vec<String>,
    /// File of certificate authorities that are trusted beside those of the system.
    pub ca_file: PathBuf,
    /// Requests at a time, over all endpoints.
    pub workers: u32,
    /// Seconds that an endpoint has to answer.
    pub timeout_s: f64,
    /// Unit of the waits between attempts, seconds: they are min(300, 2^attempt) of it.
    pub retry_unit_s: f64,
    /// Events that wait on the disk at most.
    pub queue_events: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            ca_file: PathBuf::new(),
            workers: 64,
            timeout_s: 30.0,
            retry_unit_s: 1.0,
            queue_events: 100_000,
        }
    }
}

impl WebhooksConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), String> {
        Guard::new(&self.allowed_networks).map_err(|text| {
            format!("webhooks.allowed_networks: {text:?}: write ADDRESS/BITS, e.g. 192.168.1.0/24")
        })?;
        if self.workers == 0 || self.queue_events == 0 {
            return Err("webhooks.workers and webhooks.queue_events must be at least 1".to_owned());
        }
        if !(self.timeout_s > 0.0
            && self.timeout_s <= 3600.0
            && self.retry_unit_s > 0.0
            && self.retry_unit_s <= 60.0)
        {
            return Err(
                "webhooks.timeout_s must be above 0 and at most 3600, webhooks.retry_unit_s at most 60"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
