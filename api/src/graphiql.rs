//! GraphiQL, Swagger UI and ReDoc from the binary. `make graphiql` bundles them from their npm packages and the build embeds the bundle.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::ApiState;
use crate::problem::Problem;

struct Asset {
    name: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/graphiql.rs"));

/// The editor writes its colours as inline styles and keeps its icons in a font; scripts come from here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; connect-src 'self'; \
    style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/graphiql", get(|| async { page("main.js", include_str!("../assets/graphiql.html")) }))
        .route("/docs", get(|| async { page("swagger-ui-bundle.js", include_str!("../assets/docs.html")) }))
        .route("/redoc", get(|| async { page("redoc.standalone.js", include_str!("../assets/redoc.html")) }))
        .route("/graphiql/assets/{name}", get(asset))
}

/// The page, or one that says how to add what it needs.
fn page(script: &str, html: &'static str) -> Response {
    let there = ASSETS.iter().any(|a| a.name == script);
    let html = if there { html } else { include_str!("../assets/graphiql-missing.html") };
    ([(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-cache")], Html(html))
        .into_response()
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|a| a.name == name) else {
        return Problem::new(StatusCode::NOT_FOUND, format!("there is no file {name:?}")).into_response();
    };
    let cache = [(header::ETAG, asset.etag), (header::CACHE_CONTROL, "no-cache")];
    let same = |v: &axum::http::HeaderValue| v.to_str().is_ok_and(|v| v.contains(asset.etag));
    if headers.get(header::IF_NONE_MATCH).is_some_and(same) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (
        cache,
        [(header::CONTENT_TYPE, content_type(&name)), (header::CONTENT_SECURITY_POLICY, POLICY)],
        asset.bytes,
    )
        .into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("ttf") => "font/ttf",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
