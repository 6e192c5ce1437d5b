//! Pages from the binary: npm builds them into folders of HTML files and `assets/`, and the build embeds those.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::problem::Problem;

/// A file of a bundle.
struct Asset {
    /// Relative to the bundle's folder.
    name: &'static str,
    etag: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/bundles.rs"));

/// A page and all that it loads.
pub(crate) struct Page {
    /// For people.
    name: &'static str,
    /// Its HTML among the files.
    html: &'static str,
    files: &'static [Asset],
    /// Content-Security-Policy of the page and its files.
    policy: &'static str,
}

/// Nothing from anywhere else, no inline scripts or styles.
pub(crate) static DASHBOARD_PAGE: Page = Page {
    name: "The dashboard",
    html: "index.html",
    files: DASHBOARD,
    policy: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

/// The editor writes its colours as inline styles and keeps its icons in a font; scripts come from here only.
pub(crate) static GRAPHIQL_PAGE: Page = Page {
    name: "GraphiQL",
    html: "index.html",
    files: GRAPHIQL,
    policy: "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; \
        style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

/// Inline styles, and pictures within its style sheet.
pub(crate) static SWAGGER_PAGE: Page = Page {
    name: "Swagger UI",
    html: "docs.html",
    files: GRAPHIQL,
    policy: "default-src 'none'; script-src 'self'; connect-src 'self'; \
        style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

/// Inline styles; its search is a worker that it makes from its own text.
pub(crate) static REDOC_PAGE: Page = Page {
    name: "ReDoc",
    html: "redoc.html",
    files: GRAPHIQL,
    policy: "default-src 'none'; script-src 'self'; worker-src blob:; connect-src 'self'; \
        style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

impl Page {
    /// The page. It names its files relative to itself, so that it works behind a path prefix.
    pub(crate) fn at(&'static self, path: &str) -> Router {
        Router::new().route(path, get(move || async move { self.page() }))
    }

    /// The files in its bundle's `assets/`, by `{name}`.
    pub(crate) fn files_at(&'static self, path: &str) -> Router {
        let file = move |Path(name): Path<String>, headers: HeaderMap| async move {
            self.file(&format!("assets/{name}"), &headers)
        };
        Router::new().route(path, get(file))
    }

    fn page(&self) -> Response {
        let html = match self.find(self.html) {
            Some(index) => String::from_utf8_lossy(index.bytes).into_owned(),
            None => include_str!("../assets/missing.html").replace("{name}", self.name),
        };
        ([(header::CONTENT_SECURITY_POLICY, self.policy), (header::CACHE_CONTROL, "no-cache")], Html(html))
            .into_response()
    }

    fn file(&self, name: &str, headers: &HeaderMap) -> Response {
        let Some(asset) = self.find(name) else {
            return Problem::new(StatusCode::NOT_FOUND, format!("there is no file {name:?}")).into_response();
        };
        let cache = [(header::ETAG, asset.etag), (header::CACHE_CONTROL, "no-cache")];
        let same = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains(asset.etag));
        if headers.get(header::IF_NONE_MATCH).is_some_and(same) {
            return (StatusCode::NOT_MODIFIED, cache).into_response();
        }
        let kind =
            [(header::CONTENT_TYPE, content_type(name)), (header::CONTENT_SECURITY_POLICY, self.policy)];
        (cache, kind, asset.bytes).into_response()
    }

    fn find(&self, name: &str) -> Option<&'static Asset> {
        self.files.iter().find(|a| a.name == name)
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
