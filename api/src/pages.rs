//! The start page: where things are, and the newest frame as it comes.

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::ApiState;
use crate::problem::Problem;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<ApiState> {
    let file = |kind: &'static str, text: &'static str| {
        get(
            move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text) },
        )
    };
    Router::new()
        .route("/", get(start))
        .route("/assets/start.js", file("text/javascript; charset=utf-8", include_str!("../assets/start.js")))
        .route("/assets/docs.js", file("text/javascript; charset=utf-8", include_str!("../assets/docs.js")))
        .route("/assets/redoc.js", file("text/javascript; charset=utf-8", include_str!("../assets/redoc.js")))
        .route("/assets/start.css", file("text/css; charset=utf-8", include_str!("../assets/start.css")))
}

async fn start() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-cache")];
    (headers, Html(include_str!("../assets/start.html"))).into_response()
}

pub(crate) async fn missing(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {:?}", uri.path()))
}

pub(crate) async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{:?} does not take this method", uri.path()))
}
