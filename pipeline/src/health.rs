//! What the running pipeline knows of itself: counters that every stage keeps and anybody may read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::pose::SourceKind;

/// A counter or gauge shared between the thread that sets it and those that read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
    /// Sets, for gauges.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One source's account: `received = accepted + siblings + Σ rejected + dropped`.
#[derive(Debug)]
pub struct SourceStats {
    /// The URI that asked for it.
    pub uri: String,
    /// Live, replay or simulated.
    pub kind: SourceKind,
    /// Records or datagrams seen.
    pub received: Counter,
    /// Frames that entered the pipeline.
    pub accepted: Counter,
    /// Well-formed datagrams of the same nodes that hold no CSI.
    pub siblings: Counter,
    /// Frames given up because the pipeline was full (live sources only).
    pub dropped: Counter,
    /// When the last frame was accepted, nanoseconds since the Unix epoch; 0 before the first.
    pub last_ns: Counter,
    /// 1 while the source runs.
    pub running: Counter,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
}

impl SourceStats {
    /// A fresh account.
    pub fn new(uri: impl Into<String>, kind: SourceKind) -> Self {
        Self {
            uri: uri.into(),
            kind,
            received: Counter::default(),
            accepted: Counter::default(),
            siblings: Counter::default(),
            dropped: Counter::default(),
            last_ns: Counter::default(),
            running: Counter::default(),
            rejected: Mutex::default(),
        }
    }

    /// Counts a rejected record.
    pub fn reject(&self, reason: &'static str) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Rejected records by reason.
    pub fn rejected(&self) -> BTreeMap<&'static str, u64> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pipeline's state as the API shows it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sources: Mutex<Vec<Arc<SourceStats>>>,
    /// Where inference runs and why, once decided.
    device: Mutex<Option<String>>,
    faults: Mutex<BTreeMap<&'static str, String>>,
    stages: Mutex<BTreeMap<&'static str, Arc<StageStats>>>,
}

/// One stage's account.
#[derive(Debug, Default)]
pub struct StageStats {
    /// Items taken.
    pub taken: Counter,
    /// Items given on.
    pub given: Counter,
    /// Nanoseconds spent working.
    pub busy_ns: Counter,
    /// Items waiting in the stage's input channel, as last seen.
    pub queued: Counter,
}

/// A copy of a [`SourceStats`] for printing.
#[derive(Clone, Debug, Serialize)]
pub struct SourceSnapshot {
    /// The URI that asked for it.
    pub uri: String,
    /// Live, replay or simulated.
    pub kind: SourceKind,
    /// Records or datagrams seen.
    pub received: u64,
    /// Frames that entered the pipeline.
    pub accepted: u64,
    /// Rejected records by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Well-formed datagrams of the same nodes that hold no CSI.
    pub siblings: u64,
    /// Frames given up because the pipeline was full.
    pub dropped: u64,
    /// When the last frame was accepted, nanoseconds since the Unix epoch.
    pub last_ns: Option<u64>,
    /// The source has not ended.
    pub running: bool,
}

/// A copy of a [`StageStats`] for printing.
#[derive(Clone, Debug, Serialize)]
pub struct StageSnapshot {
    /// `assembly`, `cleanup`, `inference`, `tracking`, `ring`.
    pub name: &'static str,
    /// Items taken.
    pub taken: u64,
    /// Items given on.
    pub given: u64,
    /// Nanoseconds spent working.
    pub busy_ns: u64,
    /// Items waiting, as last seen.
    pub queued: u64,
}

impl Health {
    /// Adds a source's account.
    pub fn add_source(&self, stats: Arc<SourceStats>) {
        self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner).push(stats);
    }

    /// The account of a stage, made at first use.
    pub fn stage(&self, name: &'static str) -> Arc<StageStats> {
        self.inner.stages.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// Says where inference runs.
    pub fn set_device(&self, device: impl Into<String>) {
        *self.inner.device.lock().unwrap_or_else(PoisonError::into_inner) = Some(device.into());
    }

    /// Where inference runs, once decided.
    pub fn device(&self) -> Option<String> {
        self.inner.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises (`Some`) or clears (`None`) a fault of a component.
    pub fn set_fault(&self, component: &'static str, fault: Option<String>) {
        let mut faults = self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(text) => faults.insert(component, text),
            None => faults.remove(component),
        };
    }

    /// Standing faults by component; empty when all is well.
    pub fn faults(&self) -> BTreeMap<&'static str, String> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All sources.
    pub fn sources(&self) -> Vec<SourceSnapshot> {
        let sources = self.inner.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources
            .iter()
            .map(|s| SourceSnapshot {
                uri: s.uri.clone(),
                kind: s.kind,
                received: s.received.get(),
                accepted: s.accepted.get(),
                rejected: s.rejected(),
                siblings: s.siblings.get(),
                dropped: s.dropped.get(),
                last_ns: Some(s.last_ns.get()).filter(|&n| n > 0),
                running: s.running.get() > 0,
            })
            .collect()
    }

    /// All stages.
    pub fn stages(&self) -> Vec<StageSnapshot> {
        let stages = self.inner.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages
            .iter()
            .map(|(name, s)| StageSnapshot {
                name,
                taken: s.taken.get(),
                given: s.given.get(),
                busy_ns: s.busy_ns.get(),
                queued: s.queued.get(),
            })
            .collect()
    }
}
