//! `/alerts`: what somebody should look at, until somebody has.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use invispose_pipeline::alerts::{Alert, Status};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, links, uncached};
use super::params::{Paging, Params};
use crate::alerts::{AlertError, Which};
use crate::documents::SeverityBody;
use crate::problem::{Problem, ProblemBody};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(alerts))
        .routes(routes!(alert))
        .routes(routes!(acknowledge))
        .routes(routes!(resolve))
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
struct AlertDetails {
    /// Unique; ids sort by the time of opening.
    alert_id: String,
    /// The rule that raised it: the id of one of the configuration file, or `SITE/ID` of a kept one.
    rule_id: String,
    /// Where; null for the system itself.
    site_id: Option<String>,
    /// In which zone.
    zone_id: Option<String>,
    /// About whom.
    person_id: Option<String>,
    /// About which link, source or component.
    subject: Option<String>,
    /// Where it is in its life.
    #[schema(value_type = StatusBody)]
    status: Status,
    /// How much it matters.
    #[schema(value_type = SeverityBody)]
    severity: invispose_pipeline::events::Severity,
    /// When it was opened.
    opened_at: Time,
    /// When the last event joined it.
    last_event_at: Time,
    /// Events that made it and joined it.
    events: u64,
    /// How often it has escalated.
    escalations: u32,
    /// When it escalates, unless somebody acknowledges it before.
    escalates_at: Option<Time>,
    /// Who has seen it, and when.
    acknowledged: Option<Said>,
    /// When it ended, and by whom if by somebody.
    resolved: Option<Said>,
    /// Where else to go.
    links: Links,
}

/// Where an alert is in its life.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum StatusBody {
    /// Nobody has seen it yet.
    Open,
    /// Somebody has.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// Who, and when.
#[derive(Debug, Serialize, ToSchema)]
struct Said {
    /// Null where it came about by itself.
    by: Option<String>,
    /// When.
    at: Time,
}

impl From<Alert> for AlertDetails {
    fn from(a: Alert) -> Self {
        let href = format!("/api/v1/alerts/{}", a.id);
        Self {
            links: links([
                ("self", href.clone()),
                ("acknowledge", format!("{href}/acknowledge")),
                ("resolve", format!("{href}/resolve")),
            ]),
            alert_id: a.id.to_string(),
            rule_id: a.rule,
            site_id: a.about.site,
            zone_id: a.about.zone,
            person_id: a.about.person.map(|p| p.to_string()),
            subject: a.about.subject,
            status: a.status,
            severity: a.severity,
            opened_at: Time::from_ns(a.opened_ns),
            last_event_at: Time::from_ns(a.last_ns),
            events: a.events,
            escalations: a.escalations,
            escalates_at: a.escalate_ns.map(Time::from_ns),
            acknowledged: a.acknowledged.map(|(by, at)| Said { by: Some(by), at: Time::from_ns(at) }),
            resolved: a.resolved.map(|(by, at)| Said { by, at: Time::from_ns(at) }),
        }
    }
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            AlertError::Over(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            AlertError::By => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).with("field", "by")
            }
            AlertError::Query(error) => error.into(),
        }
    }
}

/// Alerts.
#[derive(Debug, Serialize, ToSchema)]
struct AlertList {
    /// The newest first.
    alerts: Vec<AlertDetails>,
}

/// In which state.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Unresolved,
    Open,
    Acknowledged,
    Resolved,
    All,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AlertParams {
    /// Of this site; of all and the system itself where it is left out.
    site_id: Option<String>,
    /// In this state; `unresolved`, which is open or acknowledged, where it is left out.
    #[param(inline)]
    status: Option<Wanted>,
}

/// Alerts, the newest first.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(AlertParams, Paging), responses(
    (status = 200, body = AlertList),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn alerts(
    state: ApiState,
    Params(p): Params<AlertParams>,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let (limit, skip) = paging.checked()?;
    let which = match p.status {
        None | Some(Wanted::Unresolved) => Which::Unresolved,
        Some(Wanted::Open) => Which::In(Status::Open),
        Some(Wanted::Acknowledged) => Which::In(Status::Acknowledged),
        Some(Wanted::Resolved) => Which::In(Status::Resolved),
        Some(Wanted::All) => Which::All,
    };
    let found = state.alerts(p.site_id.as_deref(), which, limit, skip).await?;
    let alerts = found.into_iter().map(AlertDetails::from).collect();
    Ok(uncached(axum::Json(AlertList { alerts })))
}

/// One alert.
#[utoipa::path(get, path = "/alerts/{id}", tag = "alerts", params(("id" = String, Path)), responses(
    (status = 200, body = AlertDetails),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn alert(state: ApiState, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(uncached(axum::Json(AlertDetails::from(state.alert(&id).await?))))
}

/// Who says so.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct By {
    /// A name.
    #[schema(min_length = 1, max_length = 200)]
    by: String,
}

/// Somebody has seen it: it escalates no more.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", tag = "alerts", params(("id" = String, Path)), request_body = By,
    responses(
    (status = 200, body = AlertDetails),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn acknowledge(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let By { by } = super::body(&headers, &body)?;
    Ok(uncached(axum::Json(AlertDetails::from(state.acknowledge(&id, &by).await?))))
}

/// Somebody says that it is over.
#[utoipa::path(post, path = "/alerts/{id}/resolve", tag = "alerts", params(("id" = String, Path)), request_body = By, responses(
    (status = 200, body = AlertDetails),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn resolve(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let By { by } = super::body(&headers, &body)?;
    Ok(uncached(axum::Json(AlertDetails::from(state.resolve(&id, &by).await?))))
}
