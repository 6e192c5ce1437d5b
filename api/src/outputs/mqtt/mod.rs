//! MQTT: what section 4 of the API contract publishes, and the commands that it hears.
//!
//! ```text
//! rings, bus ──► feeder ──► outbox ──► committer ──► on-disk queue ──► publisher ──► broker
//!                             └──── newest values ──────────────────────┘
//! broker ──► commands ──► outbox
//! ```
//!
//! Two connections, as in the contract: one publishes, one hears commands, and neither can hold up the other.

mod commands;
mod config;
mod feeder;
mod outbox;
mod payloads;
mod publisher;
mod session;
mod topics;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::commands::Commands;
use self::feeder::Feeder;
use self::publisher::Publisher;
use self::wire::Broker;
use super::OutputsConfig;
use super::home_assistant::HomeAssistant;
use super::queue::Queue;
use crate::ApiState;
use crate::store::StoreError;

pub(crate) use commands::decode;
pub use config::{MqttConfig, MqttConfigError};
pub use outbox::MqttStats;
pub(crate) use outbox::Outbox;
pub(crate) use topics::Topics;

/// The name under which MQTT reports to [`Health`](invispose_pipeline::Health).
pub const COMPONENT: &str = "mqtt";

/// For the last frames and events at the end.
const FEED_WITHIN: Duration = Duration::from_secs(2);
/// For the broker to take them.
const SEND_WITHIN: Duration = Duration::from_secs(4);

/// The running connections.
#[derive(Debug)]
pub(crate) struct Mqtt {
    closing: watch::Sender<bool>,
    /// Ends the commits.
    last: watch::Sender<bool>,
    feeders: Vec<JoinHandle<()>>,
    connections: Vec<JoinHandle<()>>,
    outbox: Outbox,
}

impl Mqtt {
    pub(crate) async fn start(
        state: &ApiState,
        outputs: &OutputsConfig,
        data_dir: &Path,
    ) -> Result<Self, MqttStartError> {
        let config = &outputs.mqtt;
        let sites: Vec<&str> = state.sites().iter().map(|s| s.config().id.as_str()).collect();
        config.check(&sites)?;
        let broker = config.broker(data_dir)?;
        let queue = Queue::open(&data_dir.join("mqtt.sqlite"), u64::from(config.queue_mb) << 20).await?;
        let (outbox, committer) = Outbox::new(Arc::new(queue), state);
        let (closing, closed) = watch::channel(false);
        let (last, is_last) = watch::channel(false);
        let topics = Topics::new(&config.prefix);
        let will = (topics.system("system/status"), payloads::will().to_string().into());
        let feeder = Feeder {
            state: state.clone(),
            outbox: outbox.clone(),
            topics,
            private: config.private,
            max_fps: config.max_fps,
            status_every: Duration::from_secs(config.status_every_s.max(1).into()),
            closing: closed.clone(),
        };
        let mut feeders = vec![
            tokio::spawn(feeder.clone().events(state.events().subscribe())),
            tokio::spawn(feeder.clone().status()),
        ];
        for site in state.sites() {
            feeders.push(tokio::spawn(feeder.clone().site(site.clone())));
        }
        let id = broker.client_id.clone();
        for site in state.sites().iter().filter(|_| config.home_assistant) {
            let device = HomeAssistant {
                state: state.clone(),
                outbox: outbox.clone(),
                topics: feeder.topics.clone(),
                site: site.clone(),
                instance: id.clone(),
                prefix: config.discovery_prefix.clone(),
                private: config.private,
                falls: outputs.falls,
                moving: config.motion_level,
                closing: closed.clone(),
            };
            feeders.push(tokio::spawn(device.run(state.events().subscribe())));
        }
        let publisher = Publisher {
            broker: Broker { client_id: format!("{id}-pub"), will: Some(will), ..broker.clone() },
            outbox: outbox.clone(),
            health: state.health().clone(),
            closing: closed,
        };
        let mut connections = vec![tokio::spawn(committer.run(is_last)), tokio::spawn(publisher.run())];
        if !config.command_scopes.is_empty() {
            let session_file = Some(data_dir.join("mqtt-session"));
            let broker = Broker { client_id: format!("{id}-sub"), session_file, ..broker };
            let granted = config.command_scopes.as_slice().into();
            connections.push(tokio::spawn(Commands { broker, feeder, granted }.run()));
        }
        Ok(Self { closing, last, feeders, connections, outbox })
    }

    /// Publishes what there is, says goodbye and ends. What the broker does not take by then is sent after the next start.
    pub(crate) async fn close(mut self) {
        self.closing.send_replace(true);
        all(&mut self.feeders, FEED_WITHIN).await;
        self.last.send_replace(true);
        all(&mut self.connections, SEND_WITHIN).await;
        self.outbox.queue().close().await;
    }
}

impl Drop for Mqtt {
    /// Ends at once, as the death of the process does.
    fn drop(&mut self) {
        self.feeders.iter().chain(&self.connections).for_each(JoinHandle::abort);
    }
}

async fn all(tasks: &mut Vec<JoinHandle<()>>, within: Duration) {
    let end = tokio::time::Instant::now() + within;
    for mut task in tasks.drain(..) {
        if tokio::time::timeout_at(end, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Why MQTT cannot start.
#[derive(Debug, thiserror::Error)]
pub enum MqttStartError {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] MqttConfigError),
    /// The on-disk queue cannot be opened.
    #[error("the on-disk queue: {0}")]
    Queue(#[from] StoreError),
}
