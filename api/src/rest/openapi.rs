//! `/openapi.json`: the description of the REST API, from its code.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use super::resources;
use crate::ApiState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Invispose",
        description = "People in rooms, sensed by WiFi: what was measured and nothing else. Times are UTC; lengths are metres.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "pose", description = "Who is where, and was"),
        (name = "system", description = "How well it does"),
        (name = "analytics", description = "What the past adds up to"),
        (name = "alerts", description = "What somebody should look at"),
        (name = "config", description = "What operators set up"),
        (name = "webhooks", description = "Who is told of events"),
        (name = "sites", description = "Places")
    )
)]
struct Api;

/// OpenAPI 3.1 of `/api/v1`.
pub fn openapi() -> Description {
    let mut description = Api::openapi();
    description.info.version = env!("CARGO_PKG_VERSION").into();
    let (_, paths) = resources().split_for_parts();
    description.nest("/api/v1", paths)
}

pub(super) fn routes() -> Router<ApiState> {
    let text = openapi().to_json().unwrap_or_default();
    let answer = move || {
        let text = text.clone();
        async move {
            ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], text)
                .into_response()
        }
    };
    Router::new().route("/openapi.json", get(answer))
}
