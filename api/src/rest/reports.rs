//! `/analytics/reports`: jobs and their progress.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::analytics::Activity;
use super::answer::{Links, json, links};
use super::kept::made;
use super::params::{Params, Where, interval};
use crate::problem::{Problem, ProblemBody};
use crate::query::MAX_PAGE;
use crate::reports::{self, Report, ReportRequest};
use crate::store::{Kind, Resource};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, remove))
}

/// A report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportDetails {
    /// The report.
    id: String,
    /// When it was asked for.
    created_at: Time,
    /// When it came further last.
    updated_at: Time,
    /// What it is and how far.
    #[serde(flatten)]
    report: Report,
    /// Where else to go.
    links: Links,
}

/// Reports of a site.
#[derive(Debug, Serialize, ToSchema)]
struct ReportList {
    /// Oldest first, without their results.
    reports: Vec<ReportDetails>,
}

fn href(resource: &Resource) -> String {
    format!("/api/v1/analytics/reports/{}?site_id={}", resource.id, resource.site)
}

fn details(resource: &Resource) -> Result<ReportDetails, Problem> {
    Ok(ReportDetails {
        id: resource.id.clone(),
        created_at: resource.created,
        updated_at: resource.changed,
        report: Report::of(resource)?,
        links: links([("self", href(resource))]),
    })
}

/// Reports of a site.
#[utoipa::path(get, path = "/analytics/reports", tag = "analytics", params(Where), responses(
    (status = 200, body = ReportList), (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn list(state: ApiState, headers: HeaderMap, Params(p): Params<Where>) -> Result<Response, Problem> {
    let site = &state.site(p.site_id.as_deref())?.config().id;
    let mut reports = Vec::new();
    for resource in state.keeper()?.resources(Kind::Report, site, MAX_PAGE, 0).await? {
        let mut details = details(&resource)?;
        details.report.result = None;
        reports.push(details);
    }
    json(&headers, &ReportList { reports })
}

/// Checks the request and starts to make the report.
async fn begin(state: &ApiState, request: ReportRequest) -> Result<Resource, Problem> {
    let width = interval(request.interval.as_deref(), "1h")?;
    let write = |site: &str, range: (Time, Time), width: i64, stretches| {
        serde_json::to_value(Activity::new(site, range, width, stretches)).unwrap_or_default()
    };
    Ok(reports::start(state, state.keeper()?, request, width, write).await?)
}

/// The same for other protocols: the report's id and address, or what was wrong.
pub(crate) async fn begin_report(
    state: &ApiState,
    request: ReportRequest,
) -> Result<(String, String), String> {
    let resource = begin(state, request).await.map_err(|problem| problem.detail())?;
    let href = href(&resource);
    Ok((resource.id, href))
}

/// A new report, made while its address says how far it is.
#[utoipa::path(post, path = "/analytics/reports", tag = "analytics", request_body = ReportRequest, responses(
    (status = 202, body = ReportDetails, headers(("Location" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create(state: ApiState, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let request: ReportRequest = super::body(&headers, &body)?;
    let resource = begin(&state, request).await?;
    let response = axum::Json(details(&resource)?).into_response();
    Ok(made(StatusCode::ACCEPTED, &href(&resource), response))
}

async fn find(state: &ApiState, site: Option<&str>, id: &str) -> Result<Resource, Problem> {
    let site = &state.site(site)?.config().id;
    let resource = state.keeper()?.resource(Kind::Report, site, id).await?;
    resource.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no report {id:?}")))
}

/// A report and its progress.
#[utoipa::path(get, path = "/analytics/reports/{id}", tag = "analytics",
    params(("id" = String, Path), Where), responses(
    (status = 200, body = ReportDetails), (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn read(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    Params(p): Params<Where>,
) -> Result<Response, Problem> {
    json(&headers, &details(&find(&state, p.site_id.as_deref(), &id).await?)?)
}

/// Away with a report; one in the making ends.
#[utoipa::path(delete, path = "/analytics/reports/{id}", tag = "analytics",
    params(("id" = String, Path), Where), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn remove(
    state: ApiState,
    Path(id): Path<String>,
    Params(p): Params<Where>,
) -> Result<Response, Problem> {
    let resource = find(&state, p.site_id.as_deref(), &id).await?;
    state.keeper()?.remove(Kind::Report, &resource).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
