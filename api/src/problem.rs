//! Errors of the HTTP side: RFC 9457 problem documents.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::documents::Wrong;
use crate::query::QueryError;
use crate::setup::SetupError;
use crate::store::StoreError;

/// A problem document: `type` stays `about:blank`, so `title` is the status's phrase; `detail` says what was wrong, `field` where.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
}

impl Problem {
    /// A problem with its explanation.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let mut members = Map::new();
        members.insert("type".into(), "about:blank".into());
        members.insert("title".into(), status.canonical_reason().unwrap_or("Error").into());
        members.insert("status".into(), status.as_u16().into());
        members.insert("detail".into(), detail.into().into());
        Self { status, members }
    }

    /// Adds a member of its own, such as `field`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// What was wrong.
    pub(crate) fn detail(&self) -> String {
        self.members.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The server's own fault.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!("{error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; the log says what")
    }

    /// A query parameter that is missing or cannot be used.
    pub fn parameter(name: &str, reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {reason}")).with("field", name)
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, ToSchema)]
#[allow(dead_code)]
pub(crate) struct ProblemBody {
    /// `about:blank`: `status` says what kind of problem it is.
    r#type: String,
    /// The status's phrase.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong, for people.
    detail: String,
    /// The parameter, member or header that is to blame.
    field: Option<String>,
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Changed => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
            error => QueryError::from(error).into(),
        }
    }
}

impl From<SetupError> for Problem {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Taken(_) => {
                Self::new(StatusCode::CONFLICT, format!("id: {error}")).with("field", "id")
            }
            SetupError::Many(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            SetupError::Elsewhere => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            SetupError::Nowhere => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            SetupError::Store(error) => error.into(),
        }
    }
}

impl From<Wrong> for Problem {
    fn from(Wrong { field, reason }: Wrong) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{field}: {reason}")).with("field", field)
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match error {
            QueryError::Unknown { .. } | QueryError::NoData { .. } => StatusCode::NOT_FOUND,
            QueryError::Invalid { .. } => StatusCode::BAD_REQUEST,
            QueryError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        match error.field() {
            Some(field) => {
                Self::new(status, format!("{}: {error}", field.rest())).with("field", field.rest())
            }
            None => Self::new(status, error.to_string()),
        }
    }
}

/// Errors that the framework answers with plain text or nothing, such as a body that is too large, in the one shape.
pub(crate) async fn from_plain(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let plain = kind.is_none_or(|k| k.starts_with("text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let detail = if text.is_empty() { status.canonical_reason().unwrap_or("Error").into() } else { text };
    let mut problem = Problem::new(status, detail).into_response();
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let body = json!(self.members).to_string();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
