//! GraphQL over HTTP, as the specification draft of the GraphQL foundation says.

use std::collections::HashMap;

use async_graphql::{Request, Variables};
use async_graphql_axum::GraphQLResponse;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::{Schema, unexecuted};
use crate::problem::Problem;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

/// How the answer is written, as the client's `Accept` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    /// Errors show in the body alone; the status is 200 for every request that can be read.
    Json,
    /// A request that cannot be executed is answered 400.
    GraphQl,
}

fn media(headers: &HeaderMap) -> Option<Media> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Some(Media::Json) };
    let accept = accept.to_str().ok()?.to_ascii_lowercase();
    let types: Vec<&str> =
        accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim).collect();
    if types.contains(&GRAPHQL) {
        Some(Media::GraphQl)
    } else {
        types.iter().any(|t| [JSON, "application/*", "*/*"].contains(t)).then_some(Media::Json)
    }
}

fn answer(media: Media, status: StatusCode, body: impl IntoResponse) -> Response {
    let kind = match media {
        Media::Json => "application/json; charset=utf-8",
        Media::GraphQl => "application/graphql-response+json; charset=utf-8",
    };
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The request itself cannot be read.
fn unreadable(media: Media, message: impl Into<String>) -> Response {
    answer(media, StatusCode::BAD_REQUEST, json!({ "errors": [{ "message": message.into() }] }).to_string())
}

fn not_acceptable() -> Response {
    let detail = format!("answers are {GRAPHQL} or {JSON}");
    Problem::new(StatusCode::NOT_ACCEPTABLE, detail).with("field", "Accept").into_response()
}

async fn execute(schema: &Schema, media: Media, request: Request) -> Response {
    if request.query.trim().is_empty() {
        return unreadable(media, "query: is required");
    }
    let result = schema.execute(request).await;
    if unexecuted(&result) {
        // Then there is no `data`, and the strict media type says so in the status.
        let status = if media == Media::GraphQl { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        return answer(media, status, json!({ "errors": result.errors }).to_string());
    }
    answer(media, StatusCode::OK, GraphQLResponse::from(result))
}

pub(super) async fn post(State(schema): State<Schema>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(media) = media(&headers) else { return not_acceptable() };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON) {
        let detail = format!("requests are {JSON}, not {kind:?}");
        return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with("field", "Content-Type")
            .into_response();
    }
    match serde_json::from_slice::<Request>(&body) {
        Ok(request) => execute(&schema, media, request).await,
        Err(e) => unreadable(media, format!("the body is no GraphQL request: {e}")),
    }
}

pub(super) async fn get(
    State(schema): State<Schema>,
    headers: HeaderMap,
    Query(mut parameters): Query<HashMap<String, String>>,
) -> Response {
    let wants_page = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains("text/html"));
    let Some(query) = parameters.remove("query") else {
        if headers.get(header::ACCEPT).is_some_and(wants_page) {
            return Redirect::to("graphiql").into_response();
        }
        return unreadable(media(&headers).unwrap_or(Media::Json), "query: is required");
    };
    let Some(media) = media(&headers) else { return not_acceptable() };
    let mut request = Request::new(query);
    if let Some(name) = parameters.remove("operationName").filter(|n| !n.is_empty()) {
        request = request.operation_name(name);
    }
    if let Some(text) = parameters.remove("variables").filter(|t| !t.is_empty()) {
        match serde_json::from_str(&text) {
            Ok(variables) => request = request.variables(Variables::from_json(variables)),
            Err(e) => return unreadable(media, format!("variables: no JSON object: {e}")),
        }
    }
    execute(&schema, media, request).await
}
