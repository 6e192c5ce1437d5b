//! The system's account of itself as GraphQL objects.

use async_graphql::{Object, SimpleObject};
use invispose_pipeline::health::{SourceSnapshot, StageSnapshot};

use super::scalars::Count;
use super::types::Source as Kind;
use crate::system::{HealthReport, Status};
use crate::{ApiState, Time, system};

/// State of the whole. What is not measured is null.
pub(crate) struct System {
    state: ApiState,
    status: Status,
}

impl System {
    pub(crate) fn new(state: &ApiState) -> Self {
        Self { state: state.clone(), status: system::status(state) }
    }
}

/// State of the whole. What is not measured is null.
#[Object]
impl System {
    /// `healthy` or `unhealthy`.
    async fn status(&self) -> &str {
        self.status.status
    }
    /// Seconds since the API started.
    async fn uptime_seconds(&self) -> f64 {
        self.status.uptime_seconds
    }
    /// Sources that delivered a packet within the last five seconds.
    async fn active_routers(&self) -> i32 {
        i32::try_from(self.status.active_routers).unwrap_or(i32::MAX)
    }
    /// Persons in the newest frames of all sites, stale ones aside.
    async fn total_persons_tracked(&self) -> i32 {
        i32::try_from(self.status.total_persons_tracked).unwrap_or(i32::MAX)
    }
    /// Frames per second over all sites within the last five seconds.
    async fn current_fps(&self) -> Option<f64> {
        self.status.current_fps
    }
    /// Mean processing time of those frames, milliseconds.
    async fn average_latency_ms(&self) -> Option<f64> {
        self.status.average_latency_ms
    }
    /// Resident memory, MB.
    async fn memory_usage_mb(&self) -> Option<f64> {
        self.status.memory_usage_mb
    }
    /// Share of the GPU's time in use, percent.
    async fn gpu_usage_percent(&self) -> Option<f64> {
        self.status.gpu_usage_percent
    }
    /// Where inference runs and why.
    async fn device(&self) -> Option<&str> {
        self.status.device.as_deref()
    }
    /// Version of this program.
    async fn version(&self) -> &str {
        self.status.version
    }
    /// Sources, sites and parts with their states.
    async fn health(&self) -> Health {
        system::report(&self.state).into()
    }
    /// Every packet of every source, accounted for: received = accepted + siblings + rejected + dropped.
    async fn sources(&self) -> Vec<SourceAccount> {
        self.state.sources().into_iter().map(SourceAccount::from).collect()
    }
    /// The pipeline's stages.
    async fn stages(&self) -> Vec<Stage> {
        self.state.health().stages().into_iter().map(Stage::from).collect()
    }
}

/// Is all well?
#[derive(SimpleObject)]
pub(crate) struct Health {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// Of this report.
    time: Time,
    /// What is wrong, one sentence each.
    issues: Vec<String>,
    /// All parts.
    components: Vec<Component>,
}

/// One part's state.
#[derive(SimpleObject)]
pub(crate) struct Component {
    /// The part.
    name: String,
    /// `healthy`, `starting`, `ended`, `degraded` (what is live goes on) or `unhealthy`.
    status: &'static str,
    /// What is wrong, or worth knowing.
    detail: Option<String>,
}

impl From<HealthReport> for Health {
    fn from(report: HealthReport) -> Self {
        let component =
            |(name, c): (String, system::Component)| Component { name, status: c.status, detail: c.detail };
        Self {
            status: report.status,
            time: report.timestamp,
            issues: report.issues,
            components: report.components.into_iter().map(component).collect(),
        }
    }
}

/// One source's account.
#[derive(SimpleObject)]
pub(crate) struct SourceAccount {
    /// The URI that asked for it.
    uri: String,
    /// Live, replay or simulated.
    kind: Kind,
    /// It has not ended.
    running: bool,
    /// Records or datagrams seen.
    received: Count,
    /// Packets that entered the pipeline.
    accepted: Count,
    /// Packets given up because the pipeline was full; live sources only.
    dropped: Count,
    /// Packets of the same protocol that hold no CSI, e.g. a node's vitals.
    siblings: Count,
    /// Packets that could not be used, by reason.
    rejected: Vec<Rejected>,
    /// When the last packet was accepted.
    last_time: Option<Time>,
}

/// Packets rejected for one reason.
#[derive(SimpleObject)]
pub(crate) struct Rejected {
    /// Why.
    reason: &'static str,
    /// How many.
    count: Count,
}

impl From<SourceSnapshot> for SourceAccount {
    fn from(s: SourceSnapshot) -> Self {
        Self {
            uri: s.uri,
            kind: s.kind.into(),
            running: s.running,
            received: Count(s.received),
            accepted: Count(s.accepted),
            dropped: Count(s.dropped),
            siblings: Count(s.siblings),
            rejected: s
                .rejected
                .into_iter()
                .map(|(reason, n)| Rejected { reason, count: Count(n) })
                .collect(),
            last_time: s.last_ns.and_then(|ns| i64::try_from(ns).ok()).map(Time::from_ns),
        }
    }
}

/// One stage's account.
#[derive(SimpleObject)]
pub(crate) struct Stage {
    /// `assembly`, `cleanup`, `presence`, `inference`, `tracking`, `ring`, `recording`, `store`.
    name: &'static str,
    /// Items taken.
    taken: Count,
    /// Items given on.
    given: Count,
    /// Seconds spent working.
    busy_seconds: f64,
    /// Items waiting, as last seen.
    queued: Count,
}

impl From<StageSnapshot> for Stage {
    fn from(s: StageSnapshot) -> Self {
        Self {
            name: s.name,
            taken: Count(s.taken),
            given: Count(s.given),
            busy_seconds: (s.busy_ns as f64 / 1e3).round() / 1e6,
            queued: Count(s.queued),
        }
    }
}
