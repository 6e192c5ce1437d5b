//! `/analytics`: activity over time and heat maps.

use axum::http::HeaderMap;
use axum::response::Response;
use invispose_pipeline::pose;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::json;
use super::params::{Params, interval};
use crate::analytics::Stretch;
use crate::problem::{Problem, ProblemBody};
use crate::query::{Filter, TimeRange};
use crate::store::HeatMap;
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(activity)).routes(routes!(heatmaps))
}

/// What was seen over time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Activity {
    /// The site.
    site_id: String,
    /// First moment.
    start_time: Time,
    /// First moment that is too late.
    end_time: Time,
    /// Length of a stretch; stretches start at whole multiples of it since the Unix epoch.
    interval_seconds: i64,
    /// Stretches with at least one frame, of the site (`zone_id` null) and of its zones.
    buckets: Vec<ActivityBucket>,
}

/// A stretch of time.
#[derive(Debug, Serialize, ToSchema)]
struct ActivityBucket {
    /// Its start.
    start_time: Time,
    /// The zone; null for the whole site.
    zone_id: Option<String>,
    /// Where the packets came from.
    sources: Vec<String>,
    /// Frames of the site.
    frames: u64,
    /// Persons in the mean frame.
    mean_occupancy: f64,
    /// Persons in the fullest frame.
    max_occupancy: u64,
    /// Share of the frames in which somebody was seen there, 0..1.
    occupied: f64,
    /// Share of the frames in which the signal says that somebody is present, 0..1; null where it does not say.
    present: Option<f64>,
    /// Mean motion level; null where it is not known.
    motion_level: Option<f64>,
    /// Shares of the persons whose activity is known, by activity; null where none is.
    activities: Option<std::collections::BTreeMap<&'static str, f64>>,
}

impl Activity {
    pub(super) fn new(site: &str, (from, to): (Time, Time), width: i64, stretches: Vec<Stretch>) -> Self {
        let bucket = |s: Stretch| ActivityBucket {
            start_time: s.start,
            zone_id: s.zone,
            sources: s.sources.into_iter().collect(),
            frames: s.frames,
            mean_occupancy: s.mean,
            max_occupancy: s.maximum,
            occupied: s.occupied,
            present: s.present,
            motion_level: s.motion,
            activities: s.activities.map(|shares| {
                pose::Activity::ALL.map(pose::Activity::name).into_iter().zip(shares).collect()
            }),
        };
        Self {
            site_id: site.to_owned(),
            start_time: from,
            end_time: to,
            interval_seconds: width / 1_000_000_000,
            buckets: stretches.into_iter().map(bucket).collect(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ActivityParams {
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// This zone only.
    zone_id: Option<String>,
    /// First moment, taken down to the minute; a day before `end_time` where it is left out.
    start_time: Option<Time>,
    /// First moment that is too late, taken up to the minute; the present where it is left out.
    end_time: Option<Time>,
    /// Length of a stretch, such as `15m`, `1h` (the default) or `1d`.
    #[param(pattern = "^([1-9][0-9]{0,3}m|[1-9][0-9]{0,2}h|[1-9][0-9]?d)$")]
    interval: Option<String>,
}

/// Occupancy, presence, motion and activities over time.
#[utoipa::path(get, path = "/analytics/activity", tag = "analytics", params(ActivityParams), responses(
    (status = 200, body = Activity), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn activity(
    state: ApiState,
    headers: HeaderMap,
    Params(p): Params<ActivityParams>,
) -> Result<Response, Problem> {
    let range = TimeRange::or_last_day(p.start_time, p.end_time)?;
    let width = interval(p.interval.as_deref(), "1h")?;
    let selection = state.select(&Filter { site: p.site_id, zone: p.zone_id, ..Filter::default() })?;
    let stretches = selection.stretches(range.0, range.1, width).await?;
    json(&headers, &Activity::new(&selection.site().config().id, range, width, stretches))
}

/// Where on the floor people were.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Heat {
    /// The site.
    site_id: String,
    /// First moment.
    start_time: Time,
    /// First moment that is too late.
    end_time: Time,
    /// Edge of a cell, metres.
    cell_m: f32,
    /// Lower corner of the first cell of the first row, metres.
    origin_m: [f32; 2],
    /// Rows along y, cells along x: frames that showed somebody there, one for each person.
    cells: Vec<Vec<u64>>,
    /// Their sum.
    total: u64,
    /// Where the packets came from.
    sources: Vec<String>,
}

/// Cells of the largest grid.
const MAX_CELLS: usize = 1 << 20;

impl Heat {
    pub(super) fn new(site: &str, (from, to): (Time, Time), heat: HeatMap) -> Self {
        let index = |v: f32, origin: f32| ((v - origin) / heat.cell_m).round().max(0.0) as usize;
        let least = |i: usize| heat.cells.iter().map(|c| c.corner_m[i]).fold(f32::INFINITY, f32::min);
        let most = |i: usize| heat.cells.iter().map(|c| c.corner_m[i]).fold(f32::NEG_INFINITY, f32::max);
        let mut cells = Vec::new();
        let mut origin = [0.0; 2];
        if !heat.cells.is_empty() {
            origin = [least(0), least(1)];
            let (width, height) = (index(most(0), origin[0]) + 1, index(most(1), origin[1]) + 1);
            if width.saturating_mul(height) <= MAX_CELLS {
                cells = vec![vec![0; width]; height];
            }
        }
        for cell in &heat.cells {
            let (x, y) = (index(cell.corner_m[0], origin[0]), index(cell.corner_m[1], origin[1]));
            if let Some(place) = cells.get_mut(y).and_then(|row| row.get_mut(x)) {
                *place += cell.count;
            }
        }
        Self {
            site_id: site.to_owned(),
            start_time: from,
            end_time: to,
            cell_m: heat.cell_m,
            origin_m: origin,
            cells,
            total: heat.cells.iter().map(|c| c.count).sum(),
            sources: heat.sources.into_iter().collect(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HeatParams {
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// First moment, taken down to the minute; a day before `end_time` where it is left out.
    start_time: Option<Time>,
    /// First moment that is too late, taken up to the minute; the present where it is left out.
    end_time: Option<Time>,
}

/// Where on the floor people were, as a grid.
#[utoipa::path(get, path = "/analytics/heatmaps", tag = "analytics", params(HeatParams), responses(
    (status = 200, body = Heat), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn heatmaps(
    state: ApiState,
    headers: HeaderMap,
    Params(p): Params<HeatParams>,
) -> Result<Response, Problem> {
    let range = TimeRange::or_last_day(p.start_time, p.end_time)?;
    let selection = state.select(&Filter { site: p.site_id, ..Filter::default() })?;
    let heat = selection.heat(range.0, range.1).await?;
    json(&headers, &Heat::new(&selection.site().config().id, range, heat))
}
