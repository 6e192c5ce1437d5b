//! `/sites/{site_id}/calibration`: what a site knows of its quiet room, and learning it on demand.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use invispose_pipeline::stages::calibration::{CalibrationError, LinkKnowledge, Progress, SiteCalibration};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, links, uncached};
use crate::problem::{Problem, ProblemBody};
use crate::view::decimal;
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(calibration)).routes(routes!(baseline))
}

/// What a site knows of its quiet room.
#[derive(Debug, Serialize, ToSchema)]
struct Calibration {
    /// The site.
    site_id: String,
    /// The last calibration of the baseline that was asked for.
    baseline: Baseline,
    /// Links by name and layout.
    known: Vec<Known>,
    /// Where else to go.
    links: Links,
}

/// A calibration of the quiet room.
#[derive(Debug, Serialize, ToSchema)]
struct Baseline {
    /// `never` (none was asked for since the start), `listening`, `done` or `refused`.
    state: &'static str,
    /// It listens for so long, seconds of the packets' time.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// So much of that is over, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed_s: Option<f64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Time>,
    /// Links that have learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<usize>,
    /// Why nothing was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What one link knows.
#[derive(Debug, Serialize, ToSchema)]
struct Known {
    /// The link's name as its source gives it.
    link_id: String,
    /// Transmit antennas, receive antennas and subcarriers.
    layout: [u16; 3],
    /// Variation of the quiet room relative to the amplitude; null until it is learned.
    quiet_level: Option<f64>,
    /// When that was last brought up to date.
    learned_at: Option<Time>,
    /// It was heard since the start, and what is known of it holds.
    holds: bool,
    /// Why what was known before was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<String>,
}

impl From<Progress> for Baseline {
    fn from(progress: Progress) -> Self {
        let empty =
            Self { state: "never", seconds: None, passed_s: None, ended_at: None, links: None, reason: None };
        match progress {
            Progress::Never => empty,
            Progress::Listening { seconds, passed_s } => {
                Self { state: "listening", seconds: Some(seconds), passed_s: Some(passed_s), ..empty }
            }
            Progress::Done { time_ns, links } => {
                Self { state: "done", ended_at: Some(Time::from_ns(time_ns)), links: Some(links), ..empty }
            }
            Progress::Refused { time_ns, reason } => Self {
                state: "refused",
                ended_at: Some(Time::from_ns(time_ns)),
                reason: Some(reason),
                ..empty
            },
        }
    }
}

impl From<LinkKnowledge> for Known {
    fn from(k: LinkKnowledge) -> Self {
        Self {
            link_id: k.link.as_str().to_owned(),
            layout: [k.layout.tx, k.layout.rx, k.layout.subcarriers],
            quiet_level: k.quiet_level.map(decimal),
            learned_at: k.time_ns.map(Time::from_ns),
            holds: k.holds,
            dropped: k.dropped,
        }
    }
}

impl Calibration {
    fn new(site: &str, calibration: SiteCalibration) -> Self {
        Self {
            site_id: site.to_owned(),
            baseline: calibration.progress.into(),
            known: calibration.links.into_iter().map(Known::from).collect(),
            links: links([
                ("self", format!("/api/v1/sites/{site}/calibration")),
                ("site", format!("/api/v1/sites/{site}")),
            ]),
        }
    }
}

/// What a site knows of its quiet room, and how far its calibration is.
#[utoipa::path(get, path = "/sites/{site_id}/calibration", tag = "sites", params(("site_id" = String, Path)), responses(
    (status = 200, body = Calibration),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn calibration(state: ApiState, Path(id): Path<String>) -> Result<Response, Problem> {
    let site = &state.site(Some(&id))?.config().id;
    Ok(uncached(Json(Calibration::new(site, state.calibrations().of(site).unwrap_or_default()))))
}

/// How long to listen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Listen {
    /// Seconds of the packets' time, 10 to 900.
    #[serde(default = "half_a_minute")]
    #[schema(default = 30, minimum = 10, maximum = 900)]
    seconds: f64,
}

fn half_a_minute() -> f64 {
    30.0
}

/// Listens to the room, which must be quiet and without people, and then knows its baseline.
#[utoipa::path(post, path = "/sites/{site_id}/calibration/baseline", tag = "sites", params(("site_id" = String, Path)), request_body = Listen, responses(
    (status = 202, body = Calibration),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn baseline(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Listen { seconds } = super::body(&headers, &body)?;
    let site = &state.site(Some(&id))?.config().id;
    let begun = state.calibrations().begin(site, seconds).map_err(|e| match e {
        CalibrationError::Seconds => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("seconds: {e}")).with("field", "seconds")
        }
        CalibrationError::Busy | CalibrationError::NoSource(_) => {
            Problem::new(StatusCode::CONFLICT, e.to_string())
        }
    })?;
    Ok((StatusCode::ACCEPTED, uncached(Json(Calibration::new(site, begun)))).into_response())
}
