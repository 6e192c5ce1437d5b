//! Settings of MQTT.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::topics::{SITE, is_prefix};
use super::wire::{Broker, Version};
use crate::access::Scope;
use crate::tls::{self, TlsError};

/// `[mqtt]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://HOST:1883` or, with TLS, `mqtts://HOST:8883`; empty: no MQTT.
    pub url: String,
    /// `5` or `3.1.1`.
    pub version: String,
    /// Before every topic; `{site}` stands for the site's id.
    pub prefix: String,
    /// Who we are to the broker; empty: a name that is made once for a data directory.
    pub client_id: String,
    /// Who we are to the broker's users.
    pub username: String,
    /// File that holds the password.
    pub password_file: PathBuf,
    /// File of the certificates that the broker's is checked against; empty: those of the system.
    pub ca_file: PathBuf,
    /// File of our own certificate, for brokers that ask for one.
    pub certificate_file: PathBuf,
    /// File of its key.
    pub key_file: PathBuf,
    /// Seconds after which the connection is tried when nothing else is said.
    pub keep_alive_s: u16,
    /// Frames a second and site that are published at most.
    pub max_fps: f64,
    /// Seconds from one `system/status` to the next.
    pub status_every_s: u32,
    /// Megabytes of messages that wait on the disk, for events and for updates of persons each.
    pub queue_mb: u32,
    /// Keep poses, persons and breathing off the bus.
    pub private: bool,
    /// Announce sites and nodes to Home Assistant.
    pub home_assistant: bool,
    /// Home Assistant's discovery topics begin with it.
    pub discovery_prefix: String,
    /// Motion level from which on Home Assistant is told that something moves.
    pub motion_level: f64,
    /// What commands may do; none: no command is heard.
    pub command_scopes: Vec<Scope>,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            version: "5".into(),
            prefix: String::new(),
            client_id: String::new(),
            username: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            keep_alive_s: 30,
            max_fps: 20.0,
            status_every_s: 10,
            queue_mb: 64,
            private: false,
            home_assistant: true,
            discovery_prefix: "homeassistant".into(),
            motion_level: 2.0,
            command_scopes: vec![Scope::SystemRead, Scope::AnalyticsRead, Scope::ZoneWrite],
        }
    }
}

/// What is wrong with a setting.
#[derive(Debug, Error)]
pub enum MqttConfigError {
    /// One that makes no sense.
    #[error("mqtt.{key}: {reason}")]
    Value {
        /// Behind `mqtt.`.
        key: &'static str,
        /// What was expected.
        reason: String,
    },
    /// A file cannot be read.
    #[error("mqtt.{key}: {path}: {source}")]
    File {
        /// Behind `mqtt.`.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("mqtt: {0}")]
    Tls(#[from] TlsError),
}

fn wrong(key: &'static str, reason: impl Into<String>) -> MqttConfigError {
    MqttConfigError::Value { key, reason: reason.into() }
}

impl MqttConfig {
    /// Is there a broker?
    pub fn enabled(&self) -> bool {
        !self.url.is_empty()
    }

    /// Refuses what makes no sense, before anything is connected. Nothing is checked while there is no broker.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self, sites: &[&str]) -> Result<(), MqttConfigError> {
        if !self.enabled() {
            return Ok(());
        }
        self.address()?;
        self.protocol()?;
        if !is_prefix(&self.prefix) {
            let reason = "letters, digits, - _ . / and {site} are possible";
            return Err(wrong("prefix", reason));
        }
        if sites.len() > 1 && !self.prefix.contains(SITE) {
            return Err(wrong("prefix", "with several sites it must name the site, e.g. \"{site}\""));
        }
        if !(0.01..=1000.0).contains(&self.max_fps) {
            return Err(wrong("max_fps", "must be between 0.01 and 1000"));
        }
        if self.discovery_prefix.is_empty()
            || !is_prefix(&self.discovery_prefix)
            || self.discovery_prefix.contains(SITE)
        {
            return Err(wrong("discovery_prefix", "a topic of letters, digits, - _ . and / is expected"));
        }
        if self.queue_mb == 0 {
            return Err(wrong("queue_mb", "must be at least 1"));
        }
        if self.client_id.len() > 60 || self.client_id.chars().any(char::is_control) {
            return Err(wrong("client_id", "has at most 60 printable characters"));
        }
        if self.certificate_file.as_os_str().is_empty() != self.key_file.as_os_str().is_empty() {
            return Err(wrong("certificate_file", "needs key_file, and the other way round"));
        }
        Ok(())
    }

    /// TLS, host and port.
    /// Whether TLS is spoken, host and port.
    ///
    /// # Errors
    /// The URL is no broker's.
    pub fn address(&self) -> Result<(bool, String, u16), MqttConfigError> {
        const EXPECTED: &str = "mqtt://HOST:PORT or mqtts://HOST:PORT is expected";
        // What it says may hold a password and is not repeated.
        let url = Url::parse(&self.url).map_err(|e| wrong("url", format!("{e}; {EXPECTED}")))?;
        let tls = match url.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(wrong("url", EXPECTED)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "url",
                "set mqtt.username and mqtt.password_file instead of a password in the address",
            ));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("url", EXPECTED));
        }
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| wrong("url", EXPECTED))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok((tls, host, url.port().unwrap_or(if tls { 8883 } else { 1883 })))
    }

    fn protocol(&self) -> Result<Version, MqttConfigError> {
        match self.version.as_str() {
            "5" | "5.0" => Ok(Version::V5),
            "3.1.1" | "3" | "4" => Ok(Version::V3),
            _ => Err(wrong("version", "5 and 3.1.1 are possible")),
        }
    }

    pub(super) fn broker(&self, data_dir: &Path) -> Result<Broker, MqttConfigError> {
        let (tls, host, port) = self.address()?;
        let credentials = if self.username.is_empty() {
            None
        } else {
            Some((self.username.clone(), self.password()?.into()))
        };
        let named = |path: &PathBuf| Some(path.clone()).filter(|p| !p.as_os_str().is_empty());
        let identity = named(&self.certificate_file).zip(named(&self.key_file));
        let tls = tls.then(|| tls::client(named(&self.ca_file).as_deref(), identity.as_ref())).transpose()?;
        Ok(Broker {
            version: self.protocol()?,
            host,
            port,
            client_id: self.client_id(data_dir)?,
            credentials,
            tls,
            keep_alive_s: self.keep_alive_s.max(5),
            will: None,
            session_file: None,
        })
    }

    fn password(&self) -> Result<String, MqttConfigError> {
        if self.password_file.as_os_str().is_empty() {
            return Ok(String::new());
        }
        let path = self.password_file.clone();
        let text = fs::read_to_string(&path);
        let text = text.map_err(|source| MqttConfigError::File { key: "password_file", path, source })?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The same at every start, so that the broker knows the session again; another one for each data directory.
    fn client_id(&self, data_dir: &Path) -> Result<String, MqttConfigError> {
        if !self.client_id.is_empty() {
            return Ok(self.client_id.clone());
        }
        let path = data_dir.join("mqtt-client-id");
        if let Ok(text) = fs::read_to_string(&path)
            && let id = text.trim()
            && (1..=60).contains(&id.len())
        {
            return Ok(id.to_owned());
        }
        // Brokers of version 3.1.1 need not take more than 23 letters, four of which say which connection it is.
        let random = uuid::Uuid::now_v7().simple().to_string();
        let id = format!("invispose-{}", random.get(24..).unwrap_or_default());
        fs::write(&path, &id).map_err(|source| MqttConfigError::File { key: "client_id", path, source })?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn message(change: impl FnOnce(&mut MqttConfig)) -> String {
        let mut config = MqttConfig { url: "mqtt://broker".into(), ..MqttConfig::default() };
        change(&mut config);
        config.check(&["a", "b"]).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn wrong_settings_are_named() {
        assert!(message(|c| c.url = "http://broker".into()).starts_with("mqtt.url"));
        assert!(message(|c| c.url = "mqtt://me:secret@broker".into()).contains("password_file"));
        assert!(!message(|c| c.url = "mqtt://me:secret@broker".into()).contains("secret"));
        assert!(message(|_| {}).starts_with("mqtt.prefix"));
        assert_eq!(message(|c| c.prefix = "x/{site}".into()), "");
        let sited = |change: &dyn Fn(&mut MqttConfig)| {
            message(|c| {
                c.prefix = "{site}".into();
                change(c);
            })
        };
        assert!(sited(&|c| c.version = "2".into()).starts_with("mqtt.version"));
        assert!(sited(&|c| c.max_fps = 0.0).starts_with("mqtt.max_fps"));
        assert!(sited(&|c| c.key_file = "key.pem".into()).starts_with("mqtt.certificate_file"));
        assert!(
            MqttConfig::default().check(&["a", "b"]).is_ok(),
            "nothing is wrong while there is no broker"
        );
    }

    #[test]
    fn a_data_directory_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let config = MqttConfig { url: "mqtts://[::1]".into(), ..MqttConfig::default() };
        assert_eq!(config.address().unwrap(), (true, "::1".to_owned(), 8883));
        let first = config.client_id(dir.path()).unwrap();
        assert_eq!(config.client_id(dir.path()).unwrap(), first);
        assert!(first.len() + 4 <= 23 && first.starts_with("invispose-"), "{first}");
    }
}
