//! REST, version 1: query strings into the query layer, its answers into the contract's JSON.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::problem::Problem;
use crate::query::{DEFAULT_MIN_CONFIDENCE, DEFAULT_PAGE, Field, Filter, MAX_PAGE, Page, Take, TimeRange};
use crate::{ApiState, Time, contract, system};

/// Parameters as they came; unknown ones are passed over, as the contract's own server does.
type Parameters = Query<HashMap<String, String>>;

pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/api/v1/pose/current", get(current))
        .route("/api/v1/pose/history", get(history))
        .route("/api/v1/system/status", get(status))
        .route("/api/v1/system/health", get(health))
        .route("/health", get(health))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
}

fn parse<T: FromStr>(
    parameters: &HashMap<String, String>,
    field: Field,
    expected: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(field.rest()) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| Problem::parameter(field.rest(), &format!("{text:?} is not {expected}")))
}

fn time(parameters: &HashMap<String, String>, field: Field) -> Result<Time, Problem> {
    let text = parameters.get(field.rest()).ok_or_else(|| Problem::parameter(field.rest(), "is required"))?;
    Time::parse(text).map_err(|reason| Problem::parameter(field.rest(), &reason))
}

fn filter(parameters: &HashMap<String, String>, min_confidence: f64) -> Result<Filter, Problem> {
    Ok(Filter {
        site: parameters.get(Field::Site.rest()).cloned(),
        zone: parameters.get(Field::Zone.rest()).cloned(),
        min_confidence: parse(parameters, Field::MinConfidence, "a number")?.unwrap_or(min_confidence),
        person: None,
    })
}

fn uncached(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

async fn current(State(state): State<ApiState>, Query(parameters): Parameters) -> Result<Response, Problem> {
    let selection = state.select(&filter(&parameters, DEFAULT_MIN_CONFIDENCE)?)?;
    let frame = selection.current()?;
    Ok(uncached(Json(contract::PoseFrame::new(&frame, state.config().stale_after))))
}

/// Frames of `start_time <= timestamp < end_time`, oldest first.
async fn history(State(state): State<ApiState>, Query(parameters): Parameters) -> Result<Response, Problem> {
    let range =
        TimeRange::checked(Some(time(&parameters, Field::From)?), Some(time(&parameters, Field::To)?))?;
    let limit = parse(&parameters, Field::Limit, "a whole number")?.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::parameter(Field::Limit.rest(), &format!("must be between 1 and {MAX_PAGE}")));
    }
    let skip = parse(&parameters, Field::Skip, "a whole number of at least 0")?.unwrap_or(0);
    let page = Page { after: None, before: None, skip, take: Take::First(limit) };
    let mut filter = filter(&parameters, 0.0)?;
    filter.person = parameters.get("person_id").cloned();
    let selection = state.select(&filter)?;
    let stale_after = state.config().stale_after;
    let work = move || -> Result<Vec<contract::PoseFrame>, Problem> {
        let slice = selection.history(range, page)?;
        Ok(slice.frames.iter().map(|f| contract::PoseFrame::new(f, stale_after)).collect())
    };
    let frames = tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))??;
    Ok(uncached(Json(frames)))
}

async fn status(State(state): State<ApiState>) -> Response {
    uncached(Json(system::status(&state)))
}

async fn health(State(state): State<ApiState>) -> Result<Response, Problem> {
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
async fn live(State(state): State<ApiState>) -> Result<Response, Problem> {
    match state.health().faults().into_iter().next() {
        None => Ok(uncached("ok\n")),
        Some((part, fault)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{part}: {fault}"))),
    }
}

async fn ready(State(state): State<ApiState>) -> Result<Response, Problem> {
    system::ready(&state).map_err(|issue| Problem::new(StatusCode::SERVICE_UNAVAILABLE, issue))?;
    Ok(uncached("ok\n"))
}
