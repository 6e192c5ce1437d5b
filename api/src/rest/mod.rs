//! REST: query strings and documents into the query layer, its answers into the contract's JSON.

mod alerts;
mod analytics;
mod answer;
mod audit;
mod calibration;
mod config;
mod export;
mod kept;
mod keys;
mod openapi;
mod params;
mod persons;
mod pose;
mod recordings;
mod reports;
mod system;
mod versions;
mod webhooks;
mod written;
mod zones;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use serde::de::DeserializeOwned;
use utoipa_axum::router::OpenApiRouter;

use crate::ApiState;
use crate::problem::Problem;

pub use openapi::openapi;
pub(crate) use reports::begin_report;
pub(crate) use written::Written;

/// All that belongs to a version of the API; paths start behind `/api/v1`.
fn resources() -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(pose::routes())
        .merge(persons::routes())
        .merge(zones::routes())
        .merge(system::routes())
        .merge(calibration::routes())
        .merge(analytics::routes())
        .merge(export::routes())
        .merge(reports::routes())
        .merge(recordings::routes())
        .merge(config::routes())
        .merge(alerts::routes())
        .merge(webhooks::routes())
        .merge(keys::routes())
        .merge(audit::routes())
}

pub(crate) fn routes(state: &ApiState) -> Router {
    let (resources, _) = resources().split_for_parts();
    // Version 2 is what version 1 is until they come to differ. Without a version in the path, `Accept` chooses.
    let api = Router::new()
        .nest("/api/v1", resources.clone())
        .nest("/api/v2", resources.clone())
        .nest("/api", resources)
        .layer(axum::middleware::from_fn_with_state(state.clone(), versions::negotiate));
    Router::new()
        .merge(api)
        .merge(openapi::routes())
        .route("/health", get(system::health))
        .route("/livez", get(system::live))
        .route("/readyz", get(system::ready))
}

/// A JSON body as `T`, with errors that name the member.
fn body<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    is_json(headers)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let (field, status) = match path.as_str() {
            "." if e.inner().is_syntax() || e.inner().is_eof() => ("body", StatusCode::BAD_REQUEST),
            "." => ("body", StatusCode::UNPROCESSABLE_ENTITY),
            path => (path, StatusCode::UNPROCESSABLE_ENTITY),
        };
        Problem::new(status, format!("{field}: {}", e.inner())).with("field", field)
    })
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("bodies are application/json, not {kind:?}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with("field", "Content-Type"))
}
