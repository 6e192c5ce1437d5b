//! `/audit`: who changed what, and who was refused.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::uncached;
use super::params::{Paging, Params};
use crate::ApiState;
use crate::problem::{Problem, ProblemBody};
use crate::store::{AuditEntry, AuditQuery, Outcome};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(audit))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// Only what was done, or what was refused.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// Only by them.
    who: Option<String>,
    /// Only entries before the one of this id: the last one of the page before.
    before: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// The audit log.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLog {
    /// The newest first.
    entries: Vec<AuditEntry>,
}

/// Who changed what, and who was refused, the newest first.
#[utoipa::path(get, path = "/audit", tag = "access", params(AuditParams), responses(
    (status = 200, body = AuditLog),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn audit(state: ApiState, Params(p): Params<AuditParams>) -> Result<Response, Problem> {
    let (limit, _) = Paging { limit: p.limit, skip: None }.checked()?;
    let query = AuditQuery { outcome: p.outcome, who: p.who, before: p.before, limit };
    Ok(uncached(axum::Json(AuditLog { entries: state.keeper()?.audit(&query).await? })))
}
