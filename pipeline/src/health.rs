//! What the running pipeline knows of itself: counters that every stage keeps and anybody may read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::pose::SourceKind;
use crate::trail::Trails;

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
    /// The site that its packets belong to, where there is one.
    pub site: Option<Arc<str>>,
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
    /// A fresh account of a source that belongs to no site.
    pub fn new(uri: impl Into<String>, kind: SourceKind) -> Self {
        Self {
            uri: uri.into(),
            kind,
            site: None,
            received: Counter::default(),
            accepted: Counter::default(),
            siblings: Counter::default(),
            dropped: Counter::default(),
            last_ns: Counter::default(),
            running: Counter::default(),
            rejected: Mutex::default(),
        }
    }

    /// Says which site the packets belong to.
    pub fn of_site(mut self, site: Arc<str>) -> Self {
        self.site = Some(site);
        self
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

/// What can have a standing fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A stage, for all sites.
    Stage(&'static str),
    /// A stage's work for one site.
    Site(&'static str, Arc<str>),
    /// A source, by its URI.
    Source(Arc<str>),
}

impl Part {
    /// The stage, or `source`.
    pub fn component(&self) -> &'static str {
        match self {
            Self::Stage(stage) | Self::Site(stage, _) => stage,
            Self::Source(_) => "source",
        }
    }

    /// The site, for a stage's work for one site.
    pub fn site(&self) -> Option<&str> {
        if let Self::Site(_, site) = self { Some(site) } else { None }
    }

    /// The URI of a source.
    pub fn source(&self) -> Option<&str> {
        if let Self::Source(uri) = self { Some(uri) } else { None }
    }
}

impl From<&'static str> for Part {
    fn from(stage: &'static str) -> Self {
        Self::Stage(stage)
    }
}

/// `inference`, `ring of site lab`, `source udp://0.0.0.0:5005`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage) => f.write_str(stage),
            Self::Site(stage, site) => write!(f, "{stage} of site {site}"),
            Self::Source(uri) => write!(f, "source {uri}"),
        }
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
    /// Where cleanup and the network run, once decided.
    device: Mutex<Option<String>>,
    faults: Mutex<BTreeMap<Part, String>>,
    stages: Mutex<BTreeMap<&'static str, Arc<StageStats>>>,
    network: NetworkStats,
    trails: Trails,
}

/// What the network was asked, on whichever device it runs.
#[derive(Debug, Default)]
pub struct NetworkStats {
    /// Runs, each of a batch of windows of all sites.
    pub runs: Counter,
    /// Windows of these runs.
    pub windows: Counter,
    /// Nanoseconds from handing the windows over to having the answers, copies to the device and back included.
    pub busy_ns: Counter,
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
    /// The site that its packets belong to, where there is one.
    pub site: Option<Arc<str>>,
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
    /// `assembly`, `cleanup`, `presence`, `inference`, `tracking`, `ring`, `recording`.
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

    /// The account of the network.
    pub fn network(&self) -> &NetworkStats {
        &self.inner.network
    }

    /// Where frames are on their way.
    pub fn trails(&self) -> &Trails {
        &self.inner.trails
    }

    /// Says where inference runs.
    pub fn set_device(&self, device: impl Into<String>) {
        *self.inner.device.lock().unwrap_or_else(PoisonError::into_inner) = Some(device.into());
    }

    /// Where inference runs, once decided.
    pub fn device(&self) -> Option<String> {
        self.inner.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises (`Some`) or clears (`None`) the fault of a part, and of no other.
    pub fn set_fault(&self, part: impl Into<Part>, fault: Option<String>) {
        let mut faults = self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(text) => faults.insert(part.into(), text),
            None => faults.remove(&part.into()),
        };
    }

    /// Standing faults; empty when all is well.
    pub fn faults(&self) -> BTreeMap<Part, String> {
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
                site: s.site.clone(),
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
