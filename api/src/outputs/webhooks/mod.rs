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
mod desk;
mod endpoint;
mod guard;
mod http;
mod payload;
mod registration;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use invispose_pipeline::events::{Delivery, Event, Subscription};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::desk::Logged;
use self::endpoint::{Endpoint, Shared};
use self::http::Http;
use super::ended;
use super::tls::TlsError;
use crate::store::{Kind, Resource, StoreError};
use crate::{ApiState, Time};

pub(crate) use desk::Desk;
pub use desk::{Attempt, DeadLetter};
pub(crate) use guard::Guard;
pub use registration::{Batching, RetryPolicy, Webhook};
pub(crate) use registration::{HIDDEN, PreviousSecret};

/// The name under which webhooks report to [`Health`](invispose_pipeline::Health).
pub const COMPONENT: &str = "webhooks";
/// Registrations that there may be.
pub(crate) const MOST: usize = 1000;
/// Events of one write.
const AT_ONCE: usize = 512;
/// Between two writes, so that many events are one.
const GATHER: Duration = Duration::from_millis(4);
/// Places and attempts are written this often.
const WRITE_EVERY: Duration = Duration::from_millis(200);
/// What all have been told leaves the disk this often.
const TIDY_EVERY: u32 = 50;
/// After the database gave nothing.
const RETRY: Duration = Duration::from_secs(1);
/// For a change to take effect.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// For the last deliveries at the end.
const LAST: Duration = Duration::from_secs(2);

/// `[webhooks]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Networks that are not public and may be called all the same, e.g. `192.168.1.0/24`.
    pub allowed_networks: Vec<String>,
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
            http: Http::new(guard, Duration::from_secs_f64(config.timeout_s))?,
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

/// Writes the events that somebody wants.
struct Logger {
    running: Arc<Running>,
    /// Until it is known who wants what, everything is written.
    known: watch::Receiver<bool>,
}

impl Logger {
    async fn run(self, mut events: Subscription, mut closing: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                first = events.next() => first,
                () = ended(&mut closing) => None,
            };
            let Some(first) = first else { return };
            let mut wanted = Vec::new();
            let mut next = Some(first);
            while let Some(delivery) = next {
                match delivery {
                    Delivery::Event(event) if self.wants(&event) => wanted.push(self.logged(&event)),
                    Delivery::Event(_) => {}
                    Delivery::Missed(count) => {
                        self.running.shared.state.outputs().webhooks.missed.fetch_add(count, Relaxed);
                        tracing::warn!("webhooks: {count} events were not queued: too many at once");
                    }
                }
                next = if wanted.len() < AT_ONCE { events.try_next().ok() } else { None };
            }
            if wanted.is_empty() {
                continue;
            }
            while let Err(error) = self.running.desk().log(wanted.clone()).await {
                self.fault(Some(error.to_string()));
                tokio::time::sleep(RETRY).await;
            }
            self.fault(None);
            let stats = &self.running.shared.state.outputs().webhooks;
            stats.queued.fetch_add(wanted.len() as u64, Relaxed);
            tokio::time::sleep(GATHER).await;
        }
    }

    fn fault(&self, fault: Option<String>) {
        let health = self.running.shared.state.health();
        if fault.is_some() || health.faults().contains_key(&COMPONENT.into()) {
            health.set_fault(COMPONENT, fault);
        }
    }

    fn wants(&self, event: &Event) -> bool {
        !*self.known.borrow()
            || self
                .running
                .registered
                .read()
                .is_ok_and(|all| all.values().any(|webhook| webhook.wants(event)))
    }

    fn logged(&self, event: &Event) -> Logged {
        Logged {
            seq: 0,
            id: event.id.to_string(),
            kind: event.kind.name().to_owned(),
            site: event.site.as_deref().unwrap_or_default().to_owned(),
            body: payload::body(event, self.running.shared.state.sites(), Time::now()),
        }
    }
}

/// Starts and ends endpoints as registrations come, change and go.
struct Manager {
    running: Arc<Running>,
    known: watch::Sender<bool>,
    endpoints: BTreeMap<String, (Webhook, JoinHandle<()>)>,
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.endpoints.values().for_each(|(_, task)| task.abort());
    }
}

impl Manager {
    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut turn = 0;
        let mut changes = self.running.changes.subscribe();
        loop {
            if !*self.known.borrow()
                && let Err(error) = self.load().await
            {
                tracing::debug!("webhooks: {error}");
            }
            let wait = if *self.known.borrow() { WRITE_EVERY } else { RETRY };
            tokio::select! {
                _ = changes.changed() => {
                    let change = *changes.borrow_and_update();
                    match self.load().await {
                        Ok(()) => {
                            self.running.known_changes.send_replace(change);
                        }
                        Err(error) => {
                            tracing::warn!("webhooks: {error}");
                            // Tried again with the next turn.
                            self.known.send_replace(false);
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = ended(&mut closing) => break,
            }
            turn += 1;
            let written = if turn % TIDY_EVERY == 0 && *self.known.borrow() {
                let all =
                    self.endpoints.iter().map(|(id, (webhook, _))| (id.clone(), webhook.active)).collect();
                self.running.desk().tidy(&all).await
            } else {
                self.running.desk().write().await.map(|()| 0)
            };
            match written {
                Ok(0) => {}
                Ok(given_up) => {
                    self.running.shared.state.outputs().webhooks.given_up.fetch_add(given_up, Relaxed);
                    tracing::warn!(
                        "webhooks: {given_up} events were given up: an endpoint is too far behind"
                    );
                }
                Err(error) => tracing::warn!("webhooks: {error}"),
            }
        }
        for (_, (_, task)) in std::mem::take(&mut self.endpoints) {
            let _ = task.await;
        }
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let state = &self.running.shared.state;
        let Some(store) = state.store() else { return Ok(()) };
        let mut wanted = BTreeMap::new();
        for resource in store.resources(Kind::Webhook, "", MOST, 0).await? {
            match registered(&resource) {
                Ok(webhook) => {
                    wanted.insert(resource.id, webhook);
                }
                Err(error) => tracing::error!("webhook {}: {error}", resource.id),
            }
        }
        let gone: Vec<String> = self
            .endpoints
            .iter()
            .filter(|(id, (old, _))| wanted.get(*id) != Some(old))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            if let Some((old, task)) = self.endpoints.remove(&id) {
                // A delivery that is under way is made again.
                task.abort();
                let _ = task.await;
                if !wanted.get(&id).is_some_and(|new| new.active && old.active) {
                    // One that comes back is told what happens from then on.
                    self.running.desk().leave(&id).await?;
                }
            }
        }
        for (id, webhook) in &wanted {
            if self.endpoints.contains_key(id) {
                continue;
            }
            let endpoint =
                Endpoint { id: id.clone(), webhook: webhook.clone(), shared: self.running.shared.clone() };
            let task = match webhook.active {
                true => tokio::spawn(endpoint.run()),
                false => tokio::spawn(async {}),
            };
            self.endpoints.insert(id.clone(), (webhook.clone(), task));
        }
        if let Ok(mut registered) = self.running.registered.write() {
            *registered = wanted;
        }
        self.known.send_replace(true);
        Ok(())
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
