//! `/recordings`: packets and pose frames in files.

use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, json, links};
use super::kept::made;
use super::params::Params;
use crate::problem::{Problem, ProblemBody};
use crate::recordings::{DEFAULT_S, RecordRequest, Recording, RecordingsError, Stage};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, begin))
        .routes(routes!(read, remove))
        .routes(routes!(end))
        .routes(routes!(data))
}

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
struct RecordingDetails {
    /// Its name.
    id: String,
    /// `recording`, `complete`, `interrupted` (its writer died; readable up to its last whole block) or `unreadable`.
    status: &'static str,
    /// The site; null for one of several.
    site_id: Option<String>,
    /// `live`, `replay` or `simulated`; null where it cannot be read.
    source: Option<&'static str>,
    /// When it was begun.
    created_at: Option<Time>,
    /// For people.
    note: String,
    /// Packets and pose frames that are on the disk.
    frames: u64,
    /// On the disk.
    bytes: u64,
    /// Time of its first frame.
    start_time: Option<Time>,
    /// Time of its last frame.
    end_time: Option<Time>,
    /// Why it cannot be read, or what is damaged.
    problem: Option<String>,
    /// Where else to go.
    links: Links,
}

/// Recordings, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct RecordingList {
    recordings: Vec<RecordingDetails>,
}

/// What is to be recorded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecordingOrder {
    /// Its name: 1 to 64 letters, digits, `-` and `_`; the site and the time where it is left out.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    id: Option<String>,
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// Every packet.
    #[serde(default = "yes")]
    #[schema(default = true)]
    csi: bool,
    /// Every pose frame.
    #[serde(default = "yes")]
    #[schema(default = true)]
    poses: bool,
    /// It ends by itself after so many, 1 to 86400.
    #[serde(default = "an_hour")]
    #[schema(default = 3600, minimum = 1, maximum = 86400)]
    seconds: u32,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

fn yes() -> bool {
    true
}

fn an_hour() -> u32 {
    DEFAULT_S
}

fn href(id: &str) -> String {
    format!("/api/v1/recordings/{id}")
}

fn details(found: Recording) -> RecordingDetails {
    let own = href(&found.id);
    let other = match found.stage {
        Stage::Recording => ("stop", format!("{own}/stop")),
        _ => ("data", format!("{own}/data")),
    };
    RecordingDetails {
        status: found.stage.name(),
        site_id: found.site,
        source: found.source,
        created_at: found.created,
        note: found.note,
        frames: found.frames,
        bytes: found.bytes,
        start_time: found.times.map(|t| t.0),
        end_time: found.times.map(|t| t.1),
        problem: found.problem,
        links: links([("self", own), other]),
        id: found.id,
    }
}

impl From<RecordingsError> for Problem {
    fn from(error: RecordingsError) -> Self {
        let status = match error {
            RecordingsError::Site(error) => return error.into(),
            RecordingsError::Unknown(_) => StatusCode::NOT_FOUND,
            RecordingsError::Taken(_) | RecordingsError::Open(_) => StatusCode::CONFLICT,
            RecordingsError::Record(ref cause) if cause.is_about_order() => StatusCode::CONFLICT,
            RecordingsError::Invalid { field, .. } => {
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).with("field", field);
            }
            RecordingsError::Nowhere | RecordingsError::Record(_) | RecordingsError::File(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Of {
    /// Of this site only.
    site_id: Option<String>,
}

/// Recordings, oldest first.
#[utoipa::path(get, path = "/recordings", tag = "recordings", params(Of), responses(
    (status = 200, body = RecordingList), (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn list(state: ApiState, headers: HeaderMap, Params(p): Params<Of>) -> Result<Response, Problem> {
    let recordings = state.list_recordings(p.site_id.as_deref()).await?.into_iter().map(details).collect();
    json(&headers, &RecordingList { recordings })
}

/// A new recording of a site, from now on. One is written at a time.
#[utoipa::path(post, path = "/recordings", tag = "recordings", request_body = RecordingOrder, responses(
    (status = 201, body = RecordingDetails, headers(("Location" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn begin(state: ApiState, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let RecordingOrder { id, site_id: site, csi, poses, seconds, note } = super::body(&headers, &body)?;
    let begun = state.begin_recording(RecordRequest { id, site, csi, poses, seconds, note }).await?;
    let href = href(&begun.id);
    Ok(made(StatusCode::CREATED, &href, axum::Json(details(begun)).into_response()))
}

/// A recording.
#[utoipa::path(get, path = "/recordings/{id}", tag = "recordings", params(("id" = String, Path)), responses(
    (status = 200, body = RecordingDetails), (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn read(state: ApiState, headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Problem> {
    json(&headers, &details(state.find_recording(id).await?))
}

/// Ends a recording.
#[utoipa::path(post, path = "/recordings/{id}/stop", tag = "recordings", params(("id" = String, Path)), responses(
    (status = 200, body = RecordingDetails),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn end(state: ApiState, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(axum::Json(details(state.end_recording(id).await?)).into_response())
}

/// The file of a recording that has ended, as `invispose replay` and `invispose convert` read it; also in parts.
#[utoipa::path(get, path = "/recordings/{id}/data", tag = "recordings", params(("id" = String, Path)), responses(
    (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 206, description = "The part that `Range` asks for"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 416, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn data(state: ApiState, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let name = format!("attachment; filename=\"{id}.ivr\"");
    let path = state.recording_file(id).await?;
    let served = ServeFile::new(path).oneshot(request).await;
    let mut response = served.map_err(|e| Problem::internal(&e))?.into_response();
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Away with a recording that has ended.
#[utoipa::path(delete, path = "/recordings/{id}", tag = "recordings", params(("id" = String, Path)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn remove(state: ApiState, Path(id): Path<String>) -> Result<Response, Problem> {
    state.remove_recording(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
