//! Answers: JSON with an entity tag, links, conditional requests.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Where else to go.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Link {
    /// Path and query.
    href: String,
}

impl From<String> for Link {
    fn from(href: String) -> Self {
        Self { href }
    }
}

/// By relation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
pub(super) struct Links(std::collections::BTreeMap<&'static str, Link>);

pub(super) fn links<const N: usize>(all: [(&'static str, String); N]) -> Links {
    Links(all.into_iter().map(|(rel, href)| (rel, href.into())).collect())
}

/// Not to be kept by anybody.
pub(super) fn uncached(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// May be kept and asked for again with `If-None-Match`: the tag is that of the bytes.
pub(super) fn json(request: &HeaderMap, body: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|e| Problem::internal(&e))?;
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    Ok(tagged(request, &format!("\"{:016x}\"", hash.finish()), bytes))
}

/// The same with a tag of one's own.
pub(super) fn tagged(request: &HeaderMap, tag: &str, body: impl Into<Body>) -> Response {
    // With room for what the layers around add.
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, HeaderValue::from_str(tag).unwrap_or(HeaderValue::from_static("\"\"")));
    let mut response = if matches(request, header::IF_NONE_MATCH, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Response::new(body.into())
    };
    *response.headers_mut() = headers;
    response
}

/// Does the header name this tag? Tags are compared weakly (RFC 9110, 8.8.3.2).
pub(super) fn matches(request: &HeaderMap, name: header::HeaderName, tag: &str) -> bool {
    let bare = |t: &str| t.trim().trim_start_matches("W/").to_owned();
    let mut named = request.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    named.any(|t| t.trim() == "*" || bare(t) == bare(tag))
}
