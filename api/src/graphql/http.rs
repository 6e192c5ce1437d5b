//! GraphQL over HTTP, as the specification draft of the GraphQL foundation says.

use std::collections::HashMap;

use async_graphql::{Request, Variables};
use async_graphql_axum::GraphQLResponse;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::access::{ReadOnly, is_forbidden};
use super::later::told;
use super::sse::{self, EVENT_STREAM};
use super::turns::Busy;
use super::{Transport, bounds, unexecuted};
use crate::ApiState;
use crate::access::Exceeded;
use crate::metrics::CarriesErrors;
use crate::problem::Problem;

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

/// How an answer is written, as the client's `Accept` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Media {
    /// Errors show in the body alone; the status is 200 for every request that can be read.
    Json,
    /// A request that cannot be executed is answered 400.
    GraphQl,
}

/// What the client takes.
#[derive(Clone, Copy)]
struct Accepted {
    /// How a single answer, or a request that cannot be read, is answered.
    media: Media,
    /// As server-sent events.
    events: bool,
}

impl Accepted {
    const JSON: Self = Self { media: Media::Json, events: false };
}

fn accepted(headers: &HeaderMap) -> Option<Accepted> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Some(Accepted::JSON) };
    let accept = accept.to_str().ok()?.to_ascii_lowercase();
    let types: Vec<&str> =
        accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim).collect();
    if types.contains(&GRAPHQL) {
        Some(Accepted { media: Media::GraphQl, events: false })
    } else if types.iter().any(|t| [JSON, "application/*", "*/*"].contains(t)) {
        Some(Accepted::JSON)
    } else {
        types.contains(&EVENT_STREAM).then_some(Accepted { events: true, ..Accepted::JSON })
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
    let detail = format!("answers are {GRAPHQL}, {JSON} or {EVENT_STREAM}");
    Problem::new(StatusCode::NOT_ACCEPTABLE, detail).with("field", "Accept").into_response()
}

/// Executes a request, or where the client asked for events begins to.
async fn execute(
    transport: &Transport,
    state: ApiState,
    accepted: Accepted,
    mut request: Request,
    method: &Method,
) -> Response {
    // A persisted document is named by its hash.
    if request.query.trim().is_empty() && !request.extensions.contains_key("persistedQuery") {
        return unreadable(accepted.media, "query: is required");
    }
    let media = accepted.media;
    if let Err(error) = bounds::check(&mut request) {
        state.traffic().refused_document();
        return answered(media, async_graphql::Response::from_errors(vec![error]));
    }
    if method == Method::GET {
        // Following a link must change nothing.
        request = request.data(ReadOnly);
    }
    if accepted.events {
        return sse::answer(transport, &state, request);
    }
    let result = transport.schema.execute(request.data(state)).await;
    let errors = !result.errors.is_empty();
    let mut response = answered(media, result);
    if errors && response.status().is_success() {
        response.extensions_mut().insert(CarriesErrors);
    }
    response
}

fn answered(media: Media, result: async_graphql::Response) -> Response {
    if let Some(exceeded) = told::<Exceeded>(&result) {
        return exceeded.into_response();
    }
    if let Some(busy) = told::<Busy>(&result) {
        return busy.into_response();
    }
    if told::<ReadOnly>(&result).is_some() {
        let body = json!({ "errors": result.errors }).to_string();
        let mut refused = answer(media, StatusCode::METHOD_NOT_ALLOWED, body);
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return refused;
    }
    if unexecuted(&result) {
        // Then there is no `data`, and the strict media type says so in the status.
        let status = match media {
            Media::Json => StatusCode::OK,
            Media::GraphQl if is_forbidden(&result) => StatusCode::FORBIDDEN,
            Media::GraphQl => StatusCode::BAD_REQUEST,
        };
        return answer(media, status, json!({ "errors": result.errors }).to_string());
    }
    answer(media, StatusCode::OK, GraphQLResponse::from(result))
}

pub(super) async fn post(
    State(transport): State<Transport>,
    state: ApiState,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(accepted) = accepted(&headers) else { return not_acceptable() };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON) {
        let detail = format!("requests are {JSON}, not {kind:?}");
        return Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with("field", "Content-Type")
            .into_response();
    }
    match serde_json::from_slice::<Request>(&body) {
        Ok(request) => execute(&transport, state, accepted, request, &Method::POST).await,
        Err(e) => unreadable(accepted.media, format!("the body is no GraphQL request: {e}")),
    }
}

pub(super) async fn get(
    State(transport): State<Transport>,
    state: ApiState,
    headers: HeaderMap,
    Query(mut parameters): Query<HashMap<String, String>>,
) -> Response {
    let wants_page = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains("text/html"));
    let query = parameters.remove("query");
    if query.is_none() && headers.get(header::ACCEPT).is_some_and(wants_page) {
        return Redirect::to("graphiql").into_response();
    }
    let Some(accepted) = accepted(&headers) else { return not_acceptable() };
    let mut request = Request::new(query.unwrap_or_default());
    if let Some(name) = parameters.remove("operationName").filter(|n| !n.is_empty()) {
        request = request.operation_name(name);
    }
    if let Some(text) = parameters.remove("variables").filter(|t| !t.is_empty()) {
        match serde_json::from_str::<serde_json::Map<_, _>>(&text) {
            Ok(variables) => request = request.variables(Variables::from_json(variables.into())),
            Err(e) => return unreadable(accepted.media, format!("variables: no JSON object: {e}")),
        }
    }
    if let Some(text) = parameters.remove("extensions").filter(|t| !t.is_empty()) {
        match serde_json::from_str(&text) {
            Ok(extensions) => request.extensions = extensions,
            Err(e) => return unreadable(accepted.media, format!("extensions: no JSON object: {e}")),
        }
    }
    execute(&transport, state, accepted, request, &Method::GET).await
}
