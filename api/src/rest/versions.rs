//! Versions of the API: by path, or by `Accept: …;version=v1`; what is deprecated says so.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::ApiState;
use crate::problem::Problem;

/// Says which version answered.
const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Known versions; the first is the default.
const VERSIONS: [&str; 2] = ["v1", "v2"];

pub(super) async fn negotiate(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let original = request.extensions().get::<axum::extract::OriginalUri>();
    let path = original.map_or(request.uri().path(), |uri| uri.path());
    let version = match in_path(path).or_else(|| in_accept(request.headers())) {
        None => VERSIONS[0].to_owned(),
        Some(version) => version,
    };
    if !VERSIONS.contains(&version.as_str()) {
        let detail = format!("there is no version {version:?}; known: {}", VERSIONS.join(", "));
        return Problem::new(StatusCode::NOT_ACCEPTABLE, detail).with("field", "Accept").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    set(API_VERSION, &version);
    if let Some(end) = state.config().deprecated.iter().find(|d| d.version == version) {
        set(DEPRECATION, "true");
        if !end.sunset.is_empty() {
            set(SUNSET, &end.sunset);
        }
        if !end.guide.is_empty() {
            set(header::LINK, &format!("<{}>; rel=\"deprecation\"", end.guide));
        }
    }
    response
}

/// The version that the path names.
fn in_path(path: &str) -> Option<String> {
    let version = path.strip_prefix("/api/")?.split('/').next()?;
    VERSIONS.contains(&version).then(|| version.to_owned())
}

/// The version that `Accept` names, with or without its `v`.
fn in_accept(headers: &HeaderMap) -> Option<String> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let parameters = accept.split([';', ',']).map(str::trim);
    let version = parameters.filter_map(|p| p.strip_prefix("version=")).next()?.trim_matches('"');
    Some(if version.starts_with('v') { version.to_owned() } else { format!("v{version}") })
}
