//! `/pose/persons`: what is known of people.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, json, links};
use super::params::{Paging, Params};
use crate::people::PersonInfo;
use crate::problem::{Problem, ProblemBody};
use crate::query::{Filter, Page, Take, TimeRange};
use crate::view::FrameView;
use crate::{ApiState, Site, Time};
use invispose_pipeline::pose::Activity;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(persons)).routes(routes!(person))
}

/// What is known of a person.
#[derive(Debug, Serialize, ToSchema)]
struct PersonDetails {
    /// Stable while tracked, and never given again.
    person_id: String,
    /// In the first frame that shows them.
    first_seen: Time,
    /// In the last one.
    last_seen: Time,
    /// Where they are; null when they are in no zone, or not tracked at present.
    current_zone: Option<String>,
    /// Where they were last.
    last_zone: Option<String>,
    /// In the newest frame, which shows the present.
    tracked: bool,
    /// Mean over all frames that show them, 0..1.
    average_confidence: f64,
    /// What they did, most often first.
    detected_activities: Vec<&'static str>,
    /// Frames that show them.
    frames: u64,
    /// `live`, `replay` or `simulated`.
    source: String,
    /// Where they were, oldest first; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    movement_history: Option<Vec<Movement>>,
    /// Where else to go.
    links: Links,
}

/// Where a person was.
#[derive(Debug, Serialize, ToSchema)]
struct Movement {
    /// When.
    timestamp: Time,
    /// Site coordinates, metres.
    position_m: [f64; 3],
    /// In which zone.
    zone_id: Option<String>,
    /// What they did.
    activity: Option<&'static str>,
    /// That they were there, 0..1.
    confidence: f64,
}

impl PersonDetails {
    fn new(site: &Site, info: PersonInfo) -> Self {
        let r = info.record;
        let mut activities: Vec<_> =
            Activity::ALL.map(Activity::name).into_iter().zip(r.activities).filter(|(_, n)| *n > 0).collect();
        activities.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let site = &site.config().id;
        let links = links([
            ("self", format!("/api/v1/pose/persons/{}?site_id={site}", r.id)),
            (
                "history",
                format!(
                    "/api/v1/pose/history?site_id={site}&person_id={}&start_time={}&end_time={}",
                    r.id,
                    r.first_seen,
                    Time::from_ns(r.last_seen.as_ns().saturating_add(1000))
                ),
            ),
        ]);
        Self {
            person_id: r.id.to_string(),
            first_seen: r.first_seen,
            last_seen: r.last_seen,
            current_zone: r.zone.clone().filter(|_| info.tracked),
            last_zone: r.zone,
            tracked: info.tracked,
            average_confidence: (r.average_confidence * 1e4).round() / 1e4,
            detected_activities: activities.into_iter().map(|(name, _)| name).collect(),
            frames: r.count,
            source: r.source,
            movement_history: None,
            links,
        }
    }
}

/// Persons of a site.
#[derive(Debug, Serialize, ToSchema)]
struct PersonList {
    /// Seen last first.
    persons: Vec<PersonDetails>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PersonsParams {
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// Seen at or after.
    start_time: Option<Time>,
    /// Seen before.
    end_time: Option<Time>,
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// How many to pass over.
    #[param(minimum = 0, maximum = 9007199254740991_i64, default = 0)]
    skip: Option<usize>,
}

/// Persons, those seen last first.
#[utoipa::path(get, path = "/pose/persons", tag = "pose", params(PersonsParams), responses(
    (status = 200, body = PersonList), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn persons(
    state: ApiState,
    headers: HeaderMap,
    Params(p): Params<PersonsParams>,
) -> Result<Response, Problem> {
    let (limit, skip) = Paging { limit: p.limit, skip: p.skip }.checked()?;
    let range = TimeRange::checked(p.start_time, p.end_time)?;
    let selection = state.select(&Filter { site: p.site_id, ..Filter::default() })?;
    let found = selection.known_persons(range, limit, skip).await?;
    let persons = found.into_iter().map(|info| PersonDetails::new(selection.site(), info)).collect();
    json(&headers, &PersonList { persons })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PersonParams {
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// With the places where they were, at most the newest `limit`.
    #[param(default = false)]
    include_history: Option<bool>,
    /// How many places.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// One person.
#[utoipa::path(get, path = "/pose/persons/{person_id}", tag = "pose",
    params(("person_id" = String, Path, description = "As frames give it"), PersonParams), responses(
    (status = 200, body = PersonDetails), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn person(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    Params(p): Params<PersonParams>,
) -> Result<Response, Problem> {
    let (limit, _) = Paging { limit: p.limit, skip: None }.checked()?;
    let selection = state.select(&Filter { site: p.site_id, person: Some(id), ..Filter::default() })?;
    let info = selection.known_person().await?;
    let info = info.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "Person not found"))?;
    let mut details = PersonDetails::new(selection.site(), info);
    if p.include_history == Some(true) {
        let page = Page { after: None, before: None, skip: 0, take: Take::Last(limit) };
        let slice = selection.history(TimeRange::default(), page).await?;
        details.movement_history = Some(slice.frames.iter().flat_map(movements).collect());
    }
    json(&headers, &details)
}

fn movements(frame: &FrameView) -> impl Iterator<Item = Movement> {
    frame.persons().map(|p| Movement {
        timestamp: frame.time(),
        position_m: p.position_m(),
        zone_id: p.zone().map(|z| z.id.clone()),
        activity: p.activity().map(Activity::name),
        confidence: p.confidence(),
    })
}
