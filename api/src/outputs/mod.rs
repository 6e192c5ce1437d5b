//! What goes out by itself. Each output is fed from the rings and the event bus, keeps what it has not delivered on the disk, and
//! holds up nothing: another one is a module beside these, started and closed here.

mod backoff;
mod home_assistant;
pub mod mqtt;
mod queue;
pub mod webhooks;

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;

use self::mqtt::{Mqtt, MqttConfig, MqttStartError, MqttStats};
use self::webhooks::{WebhookStats, Webhooks, WebhooksConfig, WebhooksStartError};
use crate::ApiState;

/// What goes out, and where to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OutputsConfig {
    /// To a broker.
    pub mqtt: MqttConfig,
    /// To endpoints that operators register.
    pub webhooks: WebhooksConfig,
    /// Falls are told at all.
    pub falls: bool,
}

impl OutputsConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self, sites: &[&str]) -> Result<(), OutputsError> {
        self.mqtt.check(sites).map_err(MqttStartError::from)?;
        self.webhooks.check().map_err(WebhooksStartError::Config)?;
        Ok(())
    }
}

/// Resolves once it is time to end.
async fn ended(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|&closing| closing).await;
}

/// What the outputs count.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// MQTT.
    pub mqtt: MqttStats,
    /// Webhooks.
    pub webhooks: WebhookStats,
}

/// Why an output cannot start.
#[derive(Debug, Error)]
pub enum OutputsError {
    /// MQTT.
    #[error(transparent)]
    Mqtt(#[from] MqttStartError),
    /// Webhooks.
    #[error(transparent)]
    Webhooks(#[from] WebhooksStartError),
}

/// The running outputs.
#[derive(Debug)]
pub struct Outputs {
    mqtt: Option<Mqtt>,
    webhooks: Option<Webhooks>,
}

impl Outputs {
    /// Starts what is configured.
    ///
    /// # Errors
    /// A setting makes no sense, or a file cannot be opened. A receiver that is away is no error.
    pub async fn start(
        state: &ApiState,
        config: &OutputsConfig,
        data_dir: &Path,
    ) -> Result<Self, OutputsError> {
        let mqtt = match config.mqtt.enabled() {
            true => Some(Mqtt::start(state, config, data_dir).await?),
            false => None,
        };
        let webhooks = match state.store() {
            Some(_) => Some(Webhooks::start(state, &config.webhooks, data_dir).await?),
            // Nobody could register any.
            None => None,
        };
        Ok(Self { mqtt, webhooks })
    }

    /// Delivers what it can within a few seconds; the rest stays on the disk.
    pub async fn close(self) {
        let mqtt = async {
            if let Some(mqtt) = self.mqtt {
                mqtt.close().await;
            }
        };
        let webhooks = async {
            if let Some(webhooks) = self.webhooks {
                webhooks.close().await;
            }
        };
        tokio::join!(mqtt, webhooks);
    }
}
