//! Webhooks: events to endpoints that operators register, at least once and in order, section 5 of the API contract.
//!
//! ```text
//! bus ──► logger ──► on-disk row of events ──► one endpoint each ──► workers ──► HTTP
//!                                                     └──► dead letters, log of attempts
//! ```
//!
//! Registrations are documents of the store; what is on its way lives in a file of its own, so that deliveries do not wait for the
//! database of the history.

mod breaker;
mod config;
mod desk;
mod endpoint;
mod guard;
mod http;
mod logger;
mod manager;
mod payload;
mod registration;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::endpoint::{Endpoint, Shared};
use self::http::Http;
use self::logger::Logger;
use self::manager::Manager;
use crate::ApiState;
use crate::store::{Resource, StoreError};
use crate::tls::TlsError;

pub use config::WebhooksConfig;
pub(crate) use desk::Desk;
pub use desk::{Attempt, DeadLetter};
pub(crate) use guard::Guard;
pub use registration::{Batching, RetryPolicy, Webhook};
pub(crate) use registration::{HIDDEN, PreviousSecret};

/// The name under which webhooks report to [`Health`](invispose_pipeline::Health).
pub const COMPONENT: &str = "webhooks";
/// Registrations that there may be.
pub(crate) const MOST: usize = 1000;
/// For a change to take effect.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// For the last deliveries at the end.
const LAST: Duration = Duration::from_secs(2);

/// What webhooks count, and the way to those that run.
#[derive(Debug, Default)]
pub struct WebhookStats {
    /// Events that are on the disk, or were.
    pub queued: AtomicU64,
    /// Events that endpoints have taken.
    pub delivered: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Events that were given up after the last attempt.
    pub dead: AtomicU64,
    /// Events that were given up because the on-disk queue was full.
    pub given_up: AtomicU64,
    /// Events that the bus gave up before they were queued.
    pub missed: AtomicU64,
    running: OnceLock<Arc<Running>>,
}

impl WebhookStats {
    /// Those that run; `None` where nothing is delivered.
    pub(crate) fn running(&self) -> Option<&Arc<Running>> {
        self.running.get()
    }
}

/// What the REST side may ask of the running webhooks.
pub(crate) struct Running {
    shared: Shared,
    /// Changes that were made, and those that the endpoints know of.
    changes: watch::Sender<u64>,
    known_changes: watch::Sender<u64>,
    registered: RwLock<BTreeMap<String, Webhook>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    pub(crate) fn guard(&self) -> &Guard {
        self.shared.http.guard()
    }

    /// A registration was made or changed: what happens from now on is for it.
    pub(crate) async fn register(&self, id: &str, webhook: Webhook) -> Result<(), StoreError> {
        if webhook.active {
            self.desk().place(id).await?;
        }
        if let Ok(mut registered) = self.registered.write() {
            registered.insert(id.to_owned(), webhook);
        }
        self.changed().await;
        Ok(())
    }

    /// A registration was made, changed or removed. Returns when the endpoints know.
    pub(crate) async fn changed(&self) {
        let mut change = 0;
        self.changes.send_modify(|n| {
            *n += 1;
            change = *n;
        });
        let mut known = self.known_changes.subscribe();
        // Where the database has no answer they know later.
        let _ = tokio::time::timeout(KNOWN_WITHIN, known.wait_for(|&n| n >= change)).await;
    }

    /// Sends a dead letter once more; it is gone when it arrives. `None`: there is no such letter.
    pub(crate) async fn redeliver(
        &self,
        id: &str,
        webhook: Webhook,
        number: i64,
    ) -> Result<Option<Attempt>, StoreError> {
        let Some(letter) = self.desk().dead_letter(id, number).await? else { return Ok(None) };
        let endpoint = Endpoint { id: id.to_owned(), webhook, shared: self.shared.clone() };
        let attempt = endpoint.redeliver(&letter).await;
        if attempt.error.is_none() {
            self.desk().exhume(number).await?;
        }
        Ok(Some(attempt))
    }
}

/// The document of a registration.
pub(crate) fn registered(resource: &Resource) -> Result<Webhook, StoreError> {
    Ok(serde_json::from_value(resource.body.clone())?)
}

/// The running webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    closing: watch::Sender<bool>,
    logger: JoinHandle<()>,
    manager: JoinHandle<()>,
    running: Arc<Running>,
}

impl Webhooks {
    pub(crate) async fn start(
        state: &ApiState,
        config: &WebhooksConfig,
        data_dir: &Path,
    ) -> Result<Self, WebhooksStartError> {
        config.check().map_err(WebhooksStartError::Config)?;
        let guard = Guard::new(&config.allowed_networks).map_err(WebhooksStartError::Config)?;
        let desk = Arc::new(Desk::open(&data_dir.join("webhooks.sqlite"), config.queue_events).await?);
        let (closing, closed) = watch::channel(false);
        let shared = Shared {
            desk,
            http: Http::new(guard, config)?,
            workers: Arc::new(Semaphore::new(config.workers as usize)),
            unit: Duration::from_secs_f64(config.retry_unit_s),
            state: state.clone(),
            closing: closed.clone(),
        };
        let (changes, known_changes) = (watch::Sender::new(0), watch::Sender::new(0));
        let running = Arc::new(Running { shared, changes, known_changes, registered: RwLock::default() });
        let _ = state.outputs().webhooks.running.set(running.clone());
        let (known, is_known) = watch::channel(false);
        let logger = Logger { running: running.clone(), known: is_known };
        let manager = Manager { running: running.clone(), known, endpoints: BTreeMap::new() };
        Ok(Self {
            logger: tokio::spawn(logger.run(state.events().subscribe(), closed.clone())),
            manager: tokio::spawn(manager.run(closed)),
            closing,
            running,
        })
    }

    /// Queues the last events and ends; what is not delivered by then is after the next start.
    pub(crate) async fn close(mut self) {
        // The bus is closed by now; the logger ends when it has read all.
        let _ = tokio::time::timeout(LAST, &mut self.logger).await;
        let desk = &self.running.shared.desk;
        let delivered = async {
            let newest = *desk.newest().borrow();
            let ids: Vec<String> = match self.running.registered.read() {
                Ok(registered) => {
                    registered.iter().filter(|(_, w)| w.active).map(|(id, _)| id.clone()).collect()
                }
                Err(_) => Vec::new(),
            };
            for id in ids {
                while desk.place(&id).await.is_ok_and(|p| p.seq < newest && p.attempt == 0) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        let _ = tokio::time::timeout(LAST, delivered).await;
        self.closing.send_replace(true);
        let _ = tokio::time::timeout(LAST, &mut self.manager).await;
        desk.close().await;
    }
}

impl Drop for Webhooks {
    /// Ends at once, as the death of the process does.
    fn drop(&mut self) {
        self.logger.abort();
        self.manager.abort();
    }
}

/// Why webhooks cannot start.
#[derive(Debug, Error)]
pub enum WebhooksStartError {
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// The on-disk queue cannot be opened.
    #[error("the on-disk queue of webhooks: {0}")]
    Queue(#[from] StoreError),
    /// No TLS.
    #[error("webhooks: {0}")]
    Tls(#[from] TlsError),
}
