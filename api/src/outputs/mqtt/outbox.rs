//! What is to be published: values of which the newest alone counts, in memory, and messages that are kept, on the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use crate::ApiState;
use crate::outputs::ended;
use crate::outputs::queue::{Lane, Message, Queue};

/// Messages that wait for their commit; whoever has more waits.
const WAITING: usize = 1024;
/// Messages of one commit.
const AT_ONCE: usize = 512;
/// After the disk took nothing.
const RETRY: Duration = Duration::from_secs(1);

/// What MQTT counts.
#[derive(Debug, Default)]
pub struct MqttStats {
    /// There is an outbox.
    pub running: AtomicBool,
    /// Messages that are on the disk, or were.
    pub kept: AtomicU64,
    /// Bytes that wait on the disk.
    pub queued_bytes: AtomicU64,
    /// Messages that the broker has.
    pub published: AtomicU64,
    /// Kept messages that were given up because the on-disk queue was full.
    pub given_up: AtomicU64,
    /// Messages that the broker refused.
    pub refused: AtomicU64,
    /// Connections made.
    pub connections: AtomicU64,
    /// Commands heard.
    pub commands: AtomicU64,
    /// Events that the bus gave up before they were queued.
    pub missed: AtomicU64,
}

/// A retained value; the broker shall have the newest.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub qos: u8,
    pub payload: Bytes,
    sent: bool,
}

enum Work {
    Message(Message),
    Repeat,
}

/// Takes what is to be published. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Arc<Queue>,
    work: mpsc::Sender<Work>,
    committed: watch::Receiver<u64>,
    newest: Mutex<BTreeMap<String, Newest>>,
    renewed: Notify,
    state: ApiState,
}

/// The other end of an [`Outbox`]: what makes the commits.
pub(crate) struct Committer {
    outbox: Outbox,
    work: mpsc::Receiver<Work>,
    committed: watch::Sender<u64>,
    /// Retained messages that were kept: a broker that lost its memory is told again.
    retained: BTreeMap<String, Message>,
}

impl Outbox {
    pub(crate) fn new(queue: Arc<Queue>, state: &ApiState) -> (Self, Committer) {
        let (work, taken) = mpsc::channel(WAITING);
        let (committed, is_committed) = watch::channel(0);
        let inner = Inner {
            queue,
            work,
            committed: is_committed,
            newest: Mutex::default(),
            renewed: Notify::new(),
            state: state.clone(),
        };
        let outbox = Self { inner: Arc::new(inner) };
        outbox.stats().running.store(true, Relaxed);
        (outbox.clone(), Committer { outbox, work: taken, committed, retained: BTreeMap::new() })
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Says how much waits on the disk.
    pub(super) fn measure(&self) {
        self.stats().queued_bytes.store(self.queue().bytes(), Relaxed);
    }

    pub(crate) fn stats(&self) -> &MqttStats {
        &self.inner.state.outputs().mqtt
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<String, Newest>> {
        self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a message until the broker has it.
    pub(crate) async fn keep(&self, lane: Lane, topic: String, qos: u8, retain: bool, payload: &Value) {
        let message = Message { lane, topic, qos, retain, payload: payload.to_string().into() };
        // The committer lives as long as anybody publishes.
        let _ = self.inner.work.send(Work::Message(message)).await;
    }

    /// All retained messages again.
    pub(super) async fn repeat(&self) {
        let _ = self.inner.work.send(Work::Repeat).await;
    }

    /// Replaces a retained value. An empty one takes it away.
    pub(crate) fn set(&self, topic: String, qos: u8, payload: impl Into<Bytes>) {
        let payload = payload.into();
        self.values().insert(topic, Newest { qos, payload, sent: false });
        self.inner.renewed.notify_one();
    }

    /// The broker may have lost all values.
    pub(super) fn forget_sent(&self) {
        self.values().values_mut().for_each(|v| v.sent = false);
        self.inner.renewed.notify_one();
    }

    /// Values that the broker does not have, each for `send` to take or not.
    pub(super) fn renew(&self, mut send: impl FnMut(&str, &Newest) -> bool) {
        let mut values = self.values();
        for (topic, value) in values.iter_mut().filter(|(_, v)| !v.sent) {
            if !send(topic, value) {
                break;
            }
            value.sent = true;
        }
    }

    /// Resolves once there is a new value.
    pub(super) async fn renewed(&self) {
        self.inner.renewed.notified().await;
    }

    /// Changes with every commit.
    pub(super) fn committed(&self) -> watch::Receiver<u64> {
        self.inner.committed.clone()
    }
}

impl Committer {
    /// Until nobody can publish any more or `closing`; then what is there already is committed.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                work = self.work.recv() => work,
                () = ended(&mut closing) => {
                    self.work.close();
                    self.work.recv().await
                }
            };
            let Some(first) = first else { return };
            let mut messages = Vec::new();
            let mut next = Some(first);
            while let Some(work) = next {
                match work {
                    Work::Message(message) => {
                        if message.retain && message.lane == Lane::Kept {
                            self.retained.insert(message.topic.clone(), message.clone());
                        }
                        messages.push(message);
                    }
                    Work::Repeat => messages.extend(self.retained.values().cloned()),
                }
                next = if messages.len() < AT_ONCE { self.work.try_recv().ok() } else { None };
            }
            self.commit(&messages).await;
        }
    }

    async fn commit(&self, messages: &[Message]) {
        if messages.is_empty() {
            return;
        }
        loop {
            match self.outbox.queue().append(messages).await {
                Ok(given_up) => {
                    self.outbox.stats().kept.fetch_add(messages.len() as u64, Relaxed);
                    self.outbox.measure();
                    if given_up > 0 {
                        self.outbox.stats().given_up.fetch_add(given_up, Relaxed);
                    }
                    self.committed.send_modify(|n| *n += 1);
                    return;
                }
                Err(error) => {
                    tracing::error!("MQTT's queue: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}
