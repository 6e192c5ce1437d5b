//! The configuration read again while the server runs: what can take effect does, the rest is named.

use std::time::SystemTime;

use anyhow::Context;
use invispose_api::listen::{ConnectionStats, Tls};
use invispose_api::{ApiState, Reconfiguration};
use invispose_pipeline::site::SiteConfig;
use toml::{Table, Value};

use crate::config::{Config, leaves};
use crate::logging;
use crate::network::{self, Network};

/// Settings of one value that take effect without a restart.
const AT_ONCE: [&str; 4] = ["api.allowed_hosts", "api.allowed_origins", "log.level", "model.weights"];

/// Reads the configuration as it was read at start.
pub type Read = Box<dyn Fn() -> anyhow::Result<Config> + Send>;

/// Puts a changed configuration in force.
pub struct Reload {
    read: Read,
    /// As it was read last; not what a command made of it.
    current: Config,
    state: ApiState,
    tls: Option<Tls>,
    network: Network,
    /// The file of weights as it was when it was read.
    weights: Option<(SystemTime, u64)>,
}

impl Reload {
    /// From now on.
    pub fn new(read: Read, state: ApiState, tls: Option<Tls>, network: Network) -> anyhow::Result<Self> {
        let current = read()?;
        let weights = network::stamp(&current.model);
        Ok(Self { current, read, state, tls, network, weights })
    }

    /// Reads everything again. What cannot be used changes nothing; either way the log says so.
    pub async fn reload(&mut self) {
        let stats: &ConnectionStats = self.state.connections();
        if let Some(tls) = &self.tls {
            tls.reload_and_tell(stats);
        }
        match self.try_reload().await {
            Ok(later) if later.is_empty() => tracing::info!("configuration read again"),
            Ok(later) => tracing::warn!(
                "configuration read again; these settings take effect with the next start: {}",
                later.join(", ")
            ),
            Err(error) => tracing::error!("configuration not read again, the old one stays: {error:#}"),
        }
    }

    /// Keys that changed and need a restart.
    async fn try_reload(&mut self) -> anyhow::Result<Vec<String>> {
        let new = (self.read)()?;
        logging::check(&new.log)?;
        let weights = network::stamp(&new.model);
        let other = new.model != self.current.model || weights != self.weights;
        let loaded = if other {
            let (network, section) = (self.network.clone(), new.model.clone());
            tokio::task::spawn_blocking(move || network.load(&section)).await??
        } else {
            None
        };
        let zones = new.sites.iter().map(|site| (site.id.clone(), site.zones.clone())).collect();
        let change = Reconfiguration {
            zones,
            alerts: new.alerts.clone(),
            allowed_hosts: new.api.allowed_hosts.clone(),
            allowed_origins: new.api.allowed_origins.clone(),
        };
        self.state.reconfigure(change).await?;
        if let Some(loaded) = loaded {
            self.state.set_model(self.network.replace(loaded));
        }
        self.weights = weights;
        logging::set_level(&new.log)?;
        let later = later(&self.current, &new)?;
        self.current = new;
        Ok(later)
    }
}

/// What differs and waits for the next start.
fn later(old: &Config, new: &Config) -> anyhow::Result<Vec<String>> {
    let table = |config: &Config| -> anyhow::Result<Table> {
        let mut config = config.clone();
        config.alerts.clear();
        let bare = |site: SiteConfig| SiteConfig { zones: Vec::new(), ..site };
        config.sites = config.sites.into_iter().map(bare).collect();
        Table::try_from(config).context("configuration")
    };
    let (old, new) = (table(old)?, table(new)?);
    let before = leaves(&old);
    let differs = |(key, value): &(String, Value)| {
        !AT_ONCE.contains(&key.as_str())
            && before.iter().find(|(k, _)| k == key).map(|(_, v)| v) != Some(value)
    };
    let mut later: Vec<String> = leaves(&new).into_iter().filter(differs).map(|(key, _)| key).collect();
    for key in crate::config::TABLES {
        if old.get(key) != new.get(key) {
            later.push(format!("[[{key}]]"));
        }
    }
    Ok(later)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let config = |text: &str| toml::from_str::<Config>(text).unwrap();
        let old = config("[[site]]\nid = 'a'\nroom_m = [1, 1, 1]\n");
        let at_once = config(
            "[log]\nlevel = 'debug'\n[api]\nallowed_hosts = ['x.example']\n[[site]]\nid = 'a'\nroom_m = [1, 1, 1]\n\
             [[site.zones]]\nid = 'z'\npolygon_m = [[0, 0], [1, 0], [0, 1]]\n[[alert]]\nid = 'x'\non = ['person.detected']\nseverity = 'low'\n",
        );
        assert_eq!(later(&old, &at_once).unwrap(), Vec::<String>::new());
        let restart =
            config("listen = '127.0.0.1:9'\n[ring]\nslots = 8\n[[site]]\nid = 'a'\nroom_m = [2, 1, 1]\n");
        assert_eq!(later(&old, &restart).unwrap(), ["listen", "ring.slots", "[[site]]"]);
    }
}
