//! `/pose/zones`: who is where on the floor.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, links, uncached};
use super::params::{Params, Where, interval};
use crate::analytics::Stretch;
use crate::problem::{Problem, ProblemBody};
use crate::query::{DEFAULT_MIN_CONFIDENCE, Filter, TimeRange};
use crate::view::FrameView;
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(zones)).routes(routes!(occupancy))
}

/// An area of the floor.
#[derive(Debug, Serialize, ToSchema)]
struct ZoneDetails {
    /// Within the site.
    zone_id: String,
    /// For people.
    name: String,
    /// Corners in order, site coordinates in metres.
    polygon_m: Vec<[f32; 2]>,
    /// Persons in it at present; null when no frame shows the present.
    current_occupancy: Option<usize>,
    /// Where else to go.
    links: Links,
}

/// The zones of a site.
#[derive(Debug, Serialize, ToSchema)]
struct ZoneList {
    /// The site.
    site_id: String,
    /// In force, in the order in which they are looked at: a person's zone is the first one that they are in.
    zones: Vec<ZoneDetails>,
}

/// The zones of a site, and how many persons are in each.
#[utoipa::path(get, path = "/pose/zones", tag = "pose", params(Where), responses(
    (status = 200, body = ZoneList),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn zones(state: ApiState, Params(p): Params<Where>) -> Result<Response, Problem> {
    let site = state.site(p.site_id.as_deref())?;
    let mut zones = Vec::new();
    let floor = site.floor();
    for zone in floor.zones().iter().map(|z| &z.config) {
        let who = Filter {
            site: Some(site.config().id.clone()),
            zone: Some(zone.id.clone()),
            min_confidence: DEFAULT_MIN_CONFIDENCE,
            person: None,
        };
        let present = state.select(&who)?.current().ok().filter(|f| !f.is_stale(state.config().stale_after));
        zones.push(ZoneDetails {
            zone_id: zone.id.clone(),
            name: zone.name.clone(),
            polygon_m: zone.polygon_m.clone(),
            current_occupancy: present.map(|f| f.person_count()),
            links: links([(
                "occupancy",
                format!("/api/v1/pose/zones/{}/occupancy?site_id={}", zone.id, site.config().id),
            )]),
        });
    }
    Ok(uncached(Json(ZoneList { site_id: site.config().id.clone(), zones })))
}

/// Who is in a zone.
#[derive(Debug, Serialize, ToSchema)]
struct Occupancy {
    /// The zone.
    zone_id: String,
    /// Of the frame; null when there is none.
    timestamp: Option<Time>,
    /// Persons in the zone; null when no frame shows the present.
    current_occupancy: Option<usize>,
    /// Their ids.
    persons: Vec<String>,
    /// Over time, where `start_time`, `end_time` or `interval` ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<OccupancyBucket>>,
}

/// A stretch of time.
#[derive(Debug, Serialize, ToSchema)]
struct OccupancyBucket {
    /// Its start.
    start_time: Time,
    /// Persons in the mean frame.
    mean: f64,
    /// Persons in the fullest frame.
    maximum: u64,
    /// Share of the frames in which somebody was there, 0..1.
    occupied: f64,
}

impl From<&Stretch> for OccupancyBucket {
    fn from(s: &Stretch) -> Self {
        Self { start_time: s.start, mean: s.mean, maximum: s.maximum, occupied: s.occupied }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OccupancyParams {
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// Only persons of at least this confidence, 0..1; of the present only.
    #[param(minimum = 0, maximum = 1, default = 0.5)]
    min_confidence: Option<f64>,
    /// First moment of the history; a day before `end_time` where it is left out.
    start_time: Option<Time>,
    /// First moment that is too late; the present where it is left out.
    end_time: Option<Time>,
    /// Of one stretch of the history, such as `15m`, `1h` (the default) or `1d`.
    #[param(pattern = "^([1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d)$")]
    interval: Option<String>,
}

/// Who is in a zone, and how many were.
#[utoipa::path(get, path = "/pose/zones/{zone_id}/occupancy", tag = "pose",
    params(("zone_id" = String, Path, description = "The zone"), OccupancyParams), responses(
    (status = 200, body = Occupancy),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn occupancy(
    state: ApiState,
    Path(zone): Path<String>,
    Params(p): Params<OccupancyParams>,
) -> Result<Response, Problem> {
    let filter = Filter {
        site: p.site_id,
        zone: Some(zone.clone()),
        min_confidence: p.min_confidence.unwrap_or(DEFAULT_MIN_CONFIDENCE),
        person: None,
    };
    let selection = state.select(&filter)?;
    let frame = selection.current().ok();
    let present = frame.as_ref().filter(|f| !f.is_stale(state.config().stale_after));
    let history = if p.start_time.is_some() || p.end_time.is_some() || p.interval.is_some() {
        let (from, to) = TimeRange::or_last_day(p.start_time, p.end_time)?;
        let width = interval(p.interval.as_deref(), "1h")?;
        Some(selection.stretches(from, to, width).await?.iter().map(OccupancyBucket::from).collect())
    } else {
        None
    };
    Ok(uncached(Json(Occupancy {
        zone_id: zone,
        timestamp: frame.as_ref().map(FrameView::time),
        current_occupancy: present.map(FrameView::person_count),
        persons: present.into_iter().flat_map(|f| f.persons().map(|p| p.id())).collect(),
        history,
    })))
}
