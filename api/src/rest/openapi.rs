//! `/openapi.json`: the description of the REST API, from its code.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Ref, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi as Description, ResponseBuilder};

use super::resources;
use crate::access::Scope;
use crate::access::operations::{Needs, of_request};

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
        (name = "access", description = "Who may do what, and who did"),
        (name = "sites", description = "Places"),
        (name = "recordings", description = "Packets kept for calibration")
    )
)]
struct Api;

/// OpenAPI 3.1 of `/api/v1`.
pub fn openapi() -> Description {
    let mut description = Api::openapi();
    description.info.version = env!("CARGO_PKG_VERSION").into();
    let (_, paths) = resources().split_for_parts();
    let mut description = description.nest("/api/v1", paths);
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let header = ApiKeyValue::with_description("X-API-Key", "An API key");
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(header)));
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            secure(method, path, operation);
        }
    }
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, put, delete, .. } = item;
    [("GET", get), ("POST", post), ("PUT", put), ("DELETE", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What an operation needs, and how those are answered that lack it.
fn secure(method: &str, path: &str, operation: &mut Operation) {
    let needs = of_request(method, path, "").map(|found| found.needs);
    let scopes: &[Scope] = match needs {
        Some(Needs::All(scopes) | Needs::Any(scopes)) => scopes,
        _ => &[],
    };
    let names: Vec<&str> = scopes.iter().map(|s| s.name()).collect();
    let between = if matches!(needs, Some(Needs::Any(_))) { " or " } else { " and " };
    let said = operation.description.take().map(|d| format!("{d}\n\n")).unwrap_or_default();
    operation.description = Some(format!("{said}Needs {}.", names.join(between)));
    let none = Vec::<String>::new;
    operation.security =
        Some(vec![SecurityRequirement::new("bearer", none()), SecurityRequirement::new("key", none())]);
    let problem = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    for (status, what) in [("401", "Credentials are missing or not valid"), ("403", "Rights are lacking")] {
        let answer = ResponseBuilder::new().description(what);
        let answer = answer.content("application/problem+json", problem.clone());
        operation.responses.responses.entry(status.into()).or_insert_with(|| answer.build().into());
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer);
    let limited = ObjectBuilder::new()
        .property("error", ObjectBuilder::new().schema_type(Type::String))
        .property("retry_after", seconds);
    let answer = ResponseBuilder::new()
        .description("Too many requests")
        .header("Retry-After", Header::new(ObjectBuilder::new().schema_type(Type::Integer).build()));
    let answer = answer.content("application/json", Content::new(Some(limited.build())));
    operation.responses.responses.insert("429".into(), answer.build().into());
}

pub(super) fn routes() -> Router {
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
