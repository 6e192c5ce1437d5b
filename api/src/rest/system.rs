//! `/system`, `/sites` and the probes.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, links, uncached};
use crate::problem::{Problem, ProblemBody};
use crate::store::StoreStats;
use crate::view::source_name;
use crate::{ApiState, Site, Time, system};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(health))
        .routes(routes!(routers))
        .routes(routes!(performance))
        .routes(routes!(sites))
        .routes(routes!(site))
}

/// Status and figures of the system. What is not measured is null.
#[utoipa::path(get, path = "/system/status", tag = "system", responses((status = 200, body = system::Status)))]
async fn status(state: ApiState) -> Response {
    uncached(Json(system::status(&state)))
}

/// All parts; 503 with the issues when something is wrong.
#[utoipa::path(get, path = "/system/health", tag = "system", responses(
    (status = 200, body = system::HealthReport),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn health(state: ApiState) -> Result<Response, Problem> {
    let report = system::report(&state);
    if report.issues.is_empty() {
        return Ok(uncached(Json(report)));
    }
    let components = serde_json::to_value(&report.components).unwrap_or_default();
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, report.issues.join("; "))
        .with("issues", report.issues)
        .with("components", components)
        .with("timestamp", report.timestamp.to_string()))
}

/// Fails where only a new start would help: a part has a standing fault.
pub(super) async fn live(state: ApiState) -> Result<Response, Problem> {
    match state.whole().faults().into_iter().find(|(part, _)| system::lasting(part)) {
        None => Ok(uncached("ok\n")),
        Some((part, fault)) => Err(not_well(&state, format!("{part}: {fault}"))),
    }
}

/// What is wrong, for those who may know; strangers learn that something is.
fn not_well(state: &ApiState, issue: String) -> Problem {
    let detail = if state.sees(None) { issue } else { "ask again with credentials at /health".into() };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

pub(super) async fn ready(state: ApiState) -> Result<Response, Problem> {
    system::ready(&state.whole()).map_err(|issue| not_well(&state, issue))?;
    Ok(uncached("ok\n"))
}

/// Where packets come from.
#[derive(Debug, Serialize, ToSchema)]
struct RouterList {
    /// One for each source.
    routers: Vec<Router>,
}

/// A source of packets: received = accepted + siblings + rejected + dropped.
#[derive(Debug, Serialize, ToSchema)]
struct Router {
    /// The URI that asked for it.
    id: String,
    /// The site that its packets belong to.
    site_id: Option<String>,
    /// `live`, `replay` or `simulated`.
    kind: &'static str,
    /// `active`, `silent` (it runs and nothing came within five seconds) or `ended`.
    status: &'static str,
    /// When the last packet was accepted.
    last_seen: Option<Time>,
    /// Packets seen.
    received: u64,
    /// Packets that entered the pipeline.
    accepted: u64,
    /// Packets given up because the pipeline was full.
    dropped: u64,
    /// Packets that hold no CSI.
    siblings: u64,
    /// Packets that could not be used, by reason.
    rejected: std::collections::BTreeMap<&'static str, u64>,
}

/// Where packets come from, and the account of each source.
#[utoipa::path(get, path = "/system/routers", tag = "system", responses((status = 200, body = RouterList)))]
async fn routers(state: ApiState) -> Response {
    let now = Time::now().as_ns();
    let router = |s: invispose_pipeline::health::SourceSnapshot| {
        let last = s.last_ns.and_then(|ns| i64::try_from(ns).ok());
        let fresh = last.is_some_and(|ns| now.saturating_sub(ns) <= system::SPAN.as_nanos() as i64);
        Router {
            site_id: s.site.as_deref().map(str::to_owned),
            kind: source_name(s.kind),
            status: match (s.running, fresh) {
                (true, true) => "active",
                (true, false) => "silent",
                (false, _) => "ended",
            },
            last_seen: last.map(Time::from_ns),
            received: s.received,
            accepted: s.accepted,
            dropped: s.dropped,
            siblings: s.siblings,
            rejected: s.rejected,
            id: s.uri,
        }
    };
    uncached(Json(RouterList { routers: state.sources().into_iter().map(router).collect() }))
}

/// How well the system does.
#[derive(Debug, Serialize, ToSchema)]
struct Performance {
    /// Frames per second over all sites within the last five seconds.
    current_fps: Option<f64>,
    /// Mean processing time of those frames, milliseconds.
    average_latency_ms: Option<f64>,
    /// Resident memory, MB.
    memory_usage_mb: Option<f64>,
    /// Share of the GPU's time in use, percent.
    gpu_usage_percent: Option<f64>,
    /// Where inference runs and why.
    device: Option<String>,
    /// In the order of the names.
    stages: Vec<Stage>,
    /// Null where nothing but the rings is kept.
    store: Option<StoreFigures>,
}

/// One stage.
#[derive(Debug, Serialize, ToSchema)]
struct Stage {
    /// `assembly`, `cleanup`, …
    name: &'static str,
    /// Items taken.
    taken: u64,
    /// Items given on.
    given: u64,
    /// Time spent working, seconds.
    busy_seconds: f64,
    /// Items that wait, as last seen.
    queued: u64,
}

/// What the store counts.
#[derive(Debug, Serialize, ToSchema)]
struct StoreFigures {
    /// `sqlite` or `postgresql`.
    backend: &'static str,
    /// Frames written, or waiting on the disk.
    frames: u64,
    /// Frames overwritten before they were written.
    missed: u64,
    /// Writes that wait on the disk.
    queued: u64,
    /// Their bytes.
    queued_bytes: u64,
}

/// Rates, times and queues.
#[utoipa::path(get, path = "/system/performance", tag = "system", responses((status = 200, body = Performance)))]
async fn performance(state: ApiState) -> Response {
    let status = system::status(&state);
    let stages = state.health().stages().into_iter().map(|s| Stage {
        name: s.name,
        taken: s.taken,
        given: s.given,
        busy_seconds: (s.busy_ns as f64 / 1e3).round() / 1e6,
        queued: s.queued,
    });
    let store = state.store().map(|store| StoreFigures {
        backend: store.backend(),
        frames: StoreStats::get(&store.stats().frames),
        missed: StoreStats::get(&store.stats().missed),
        queued: StoreStats::get(&store.stats().queued),
        queued_bytes: StoreStats::get(&store.stats().queued_bytes),
    });
    uncached(Json(Performance {
        current_fps: status.current_fps,
        average_latency_ms: status.average_latency_ms,
        memory_usage_mb: status.memory_usage_mb,
        gpu_usage_percent: status.gpu_usage_percent,
        device: status.device,
        stages: stages.collect(),
        store,
    }))
}

/// A place.
#[derive(Debug, Serialize, ToSchema)]
struct SiteDetails {
    /// Identifier in every API.
    site_id: String,
    /// For people.
    name: String,
    /// Size of the room in metres, z height.
    room_m: [f32; 3],
    /// Transmitter-receiver pairs whose places are known.
    links_m: Vec<LinkPlaces>,
    /// Ids of its zones in force.
    zones: Vec<String>,
    /// Where else to go.
    links: Links,
}

/// A transmitter-receiver pair.
#[derive(Debug, Serialize, ToSchema)]
struct LinkPlaces {
    /// The link's name as its source gives it.
    id: String,
    /// Where the transmitter stands, metres.
    transmitter_m: [f32; 3],
    /// Where the receiver's antennas stand, metres.
    receiver_m: [f32; 3],
}

/// All sites.
#[derive(Debug, Serialize, ToSchema)]
struct SiteList {
    /// In the order of the configuration.
    sites: Vec<SiteDetails>,
}

impl From<&Site> for SiteDetails {
    fn from(site: &Site) -> Self {
        let config = site.config();
        let link = |l: &invispose_pipeline::site::LinkConfig| LinkPlaces {
            id: l.id.clone(),
            transmitter_m: l.transmitter_m,
            receiver_m: l.receiver_m,
        };
        let id = &config.id;
        Self {
            site_id: id.clone(),
            name: config.name.clone(),
            room_m: config.room_m,
            links_m: config.links.iter().map(link).collect(),
            zones: site.floor().zones().iter().map(|z| z.config.id.clone()).collect(),
            links: links([
                ("self", format!("/api/v1/sites/{id}")),
                ("current", format!("/api/v1/pose/current?site_id={id}")),
                ("persons", format!("/api/v1/pose/persons?site_id={id}")),
                ("zones", format!("/api/v1/pose/zones?site_id={id}")),
                ("calibration", format!("/api/v1/sites/{id}/calibration")),
            ]),
        }
    }
}

/// All sites.
#[utoipa::path(get, path = "/sites", tag = "sites", responses((status = 200, body = SiteList)))]
async fn sites(state: ApiState) -> Response {
    uncached(Json(SiteList { sites: state.sites().iter().map(SiteDetails::from).collect() }))
}

/// One site.
#[utoipa::path(get, path = "/sites/{site_id}", tag = "sites", params(("site_id" = String, Path)), responses(
    (status = 200, body = SiteDetails),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn site(state: ApiState, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(uncached(Json(SiteDetails::from(state.site(Some(&id))?))))
}
