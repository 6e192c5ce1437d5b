//! What the system says of itself, for every protocol: status and health.

use std::collections::BTreeMap;
use std::time::Duration;

use invispose_pipeline::SourceKind;
use invispose_pipeline::health::{Part, SourceSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use crate::outputs::{mqtt, webhooks};
use crate::{ApiState, Site, Time, setup, store};

/// Over which rates and latencies are taken.
pub(crate) const SPAN: Duration = Duration::from_secs(5);
/// A site without its first frame is not worth a complaint yet.
const START_UP: Duration = Duration::from_secs(10);

/// `GET /api/v1/system/status`. What is not measured is null.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// `healthy` or `unhealthy`.
    pub status: &'static str,
    /// Since the API started.
    pub uptime_seconds: f64,
    /// Sources that delivered a frame within the last five seconds.
    pub active_routers: usize,
    /// Persons in the newest frames of all sites that are not stale.
    pub total_persons_tracked: usize,
    /// Frames per second over all sites within the last five seconds.
    pub current_fps: Option<f64>,
    /// Mean processing time of those frames, milliseconds.
    pub average_latency_ms: Option<f64>,
    /// Resident memory of this process, MB.
    pub memory_usage_mb: Option<f64>,
    /// Not measured yet.
    pub gpu_usage_percent: Option<f64>,
    /// Where inference runs.
    pub device: Option<String>,
    /// Version of this program.
    pub version: &'static str,
    /// Ids of the sites.
    pub sites: Vec<String>,
}

/// One part's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Component {
    /// `healthy`, `starting`, `ended`, `degraded` (what is live goes on) or `unhealthy`.
    pub status: &'static str,
    /// What is wrong, or worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET /api/v1/system/health`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// `healthy` or `unhealthy`.
    pub status: &'static str,
    /// Of this report.
    pub timestamp: Time,
    /// By name: `source <uri>`, `site <id>`, and stages and other parts with a standing fault.
    pub components: BTreeMap<String, Component>,
    /// What is wrong, one sentence each; empty when healthy.
    pub issues: Vec<String>,
}

impl Component {
    fn new(status: &'static str, detail: Option<String>) -> Self {
        Self { status, detail }
    }
}

/// Status now.
pub fn status(state: &ApiState) -> Status {
    let stale_after = state.config().stale_after;
    let mut fps = None;
    let (mut processing_ns, mut frames) = (0.0, 0usize);
    let mut persons = 0;
    for site in state.sites() {
        let (ids, rate) = site.recent(SPAN);
        if let Some(rate) = rate {
            fps = Some(fps.unwrap_or(0.0) + rate);
        }
        for frame in ids.into_iter().filter_map(|id| site.ring().read(id).ok()) {
            processing_ns += frame.processing_ns as f64;
            frames += 1;
        }
        if site.idle().is_some_and(|idle| idle <= stale_after) {
            persons += site.latest().map_or(0, |f| f.persons.len());
        }
    }
    let now = Time::now().as_ns();
    let fresh = |s: &&SourceSnapshot| {
        s.last_ns.is_some_and(|ns| now.saturating_sub(ns as i64) <= SPAN.as_nanos() as i64)
    };
    Status {
        status: report(state).status,
        uptime_seconds: (state.uptime().as_secs_f64() * 1e3).round() / 1e3,
        active_routers: state.sources().iter().filter(fresh).count(),
        total_persons_tracked: persons,
        current_fps: fps.map(|v| (v * 100.0_f64).round() / 100.0),
        average_latency_ms: (frames > 0).then(|| (processing_ns / frames as f64 / 1e3).round() / 1e3),
        memory_usage_mb: resident_bytes().map(|b| (b as f64 / 1e4).round() / 100.0),
        gpu_usage_percent: None,
        device: state.health().device(),
        version: env!("CARGO_PKG_VERSION"),
        sites: state.sites().iter().map(|s| s.config().id.clone()).collect(),
    }
}

/// Health now: sources, sites, standing faults.
pub fn report(state: &ApiState) -> HealthReport {
    let mut components = BTreeMap::new();
    let sources = state.sources();
    for source in &sources {
        components.insert(format!("source {}", source.uri), source_state(source));
    }
    if sources.is_empty() {
        components.insert(
            "sources".to_owned(),
            Component::new("unhealthy", Some("no source is configured".to_owned())),
        );
    }
    for site in state.sites() {
        components.insert(format!("site {}", site.config().id), site_state(state, site, &sources));
    }
    for (part, fault) in state.faults() {
        let status = if lasting(&part) { "unhealthy" } else { "degraded" };
        components.insert(part.to_string(), Component::new(status, Some(fault)));
    }
    for stage in state.health().stages() {
        components.entry(stage.name.to_owned()).or_insert(Component::new("healthy", None));
    }
    let issues: Vec<String> = components
        .iter()
        .filter(|(_, c)| c.status == "unhealthy")
        .map(|(name, c)| format!("{name}: {}", c.detail.as_deref().unwrap_or("unhealthy")))
        .collect();
    let status = if issues.is_empty() { "healthy" } else { "unhealthy" };
    HealthReport { status, timestamp: Time::now(), components, issues }
}

/// Does a fault of this part stay until a new start? Databases and brokers may come back by themselves, operators can change what they
/// set up, and what is live goes on meanwhile.
pub fn lasting(part: &Part) -> bool {
    let passing =
        [store::COMPONENT, store::HISTORY, setup::ZONES, setup::RULES, mqtt::COMPONENT, webhooks::COMPONENT];
    !passing.contains(&part.component())
}

/// The fault of a whole stage that only a new start ends.
pub fn dead(state: &ApiState) -> Option<String> {
    let faults = state.health().faults().into_iter();
    let of_stage = |part: &Part| matches!(part, Part::Stage(_)) && lasting(part);
    faults.filter(|(part, _)| of_stage(part)).map(|(part, fault)| format!("{part}: {fault}")).next()
}

fn source_state(source: &SourceSnapshot) -> Component {
    match (source.running, source.kind) {
        (true, _) if source.last_ns.is_none() => {
            Component::new("starting", Some("no frame accepted yet".to_owned()))
        }
        (true, _) => Component::new("healthy", None),
        // Files and simulations may end; a receiver may not.
        (false, SourceKind::Replay | SourceKind::Simulated) => Component::new("ended", None),
        (false, SourceKind::Live) => Component::new("unhealthy", Some("does not run".to_owned())),
    }
}

/// The sources of one site, and those that belong to none.
fn sources_of<'a>(site: &Site, sources: &'a [SourceSnapshot]) -> impl Iterator<Item = &'a SourceSnapshot> {
    let id = site.config().id.clone();
    sources.iter().filter(move |s| s.site.as_deref().is_none_or(|of| of == id))
}

fn site_state(state: &ApiState, site: &Site, sources: &[SourceSnapshot]) -> Component {
    let stale_after = state.config().stale_after;
    match site.idle() {
        Some(idle) if idle <= stale_after => Component::new("healthy", None),
        _ if sources_of(site, sources).next().is_none() => {
            Component::new("ended", Some("no source is configured for this site".to_owned()))
        }
        _ if !sources_of(site, sources).any(|s| s.running) => {
            Component::new("ended", Some("no source runs; the newest frame is the last one".to_owned()))
        }
        Some(idle) => {
            Component::new("unhealthy", Some(format!("no new frame for {:.1} s", idle.as_secs_f64())))
        }
        None if state.uptime() <= START_UP => Component::new("starting", Some("no frame yet".to_owned())),
        None => Component::new(
            "unhealthy",
            Some(format!("no frame since the start {:.0} s ago", state.uptime().as_secs_f64())),
        ),
    }
}

/// Every site that has a source has shown its first frame of this run and nothing is wrong.
pub fn ready(state: &ApiState) -> Result<(), String> {
    if let Some(issue) = report(state).issues.first() {
        return Err(issue.clone());
    }
    let sources = state.sources();
    let waits = |s: &&Site| s.idle().is_none() && sources_of(s, &sources).next().is_some();
    match state.sites().iter().find(waits) {
        Some(site) => Err(format!("site {}: no frame yet", site.config().id)),
        None => Ok(()),
    }
}

/// Resident memory of this process, from `/proc`; `None` where there is no such thing.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
