//! `/analytics/export`: history as a file, streamed.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::params::{Params, Past};
use crate::export::{Csv, JsonLines, Parquet, Sink};
use crate::problem::{Problem, ProblemBody};
use crate::query::{Filter, MAX_PAGE, Page, QueryError, Selection, Take, TimeRange};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(export))
}

/// How the file is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Comma-separated values (RFC 4180): one row a person and frame, and one for a frame without persons.
    #[default]
    Csv,
    /// Apache Parquet with the same rows, and the keypoints.
    Parquet,
    /// One JSON object a line: whole frames, as `/pose/history` gives them.
    Jsonl,
}

impl Format {
    fn sink(self, stale_after: std::time::Duration) -> Result<Box<dyn Sink>, Problem> {
        Ok(match self {
            Self::Csv => Box::new(Csv::default()),
            Self::Jsonl => Box::new(JsonLines::new(stale_after)),
            Self::Parquet => Box::new(Parquet::new().map_err(|e| Problem::internal(&e))?),
        })
    }

    fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
            Self::Jsonl => ("application/jsonl", "jsonl"),
            Self::Parquet => ("application/vnd.apache.parquet", "parquet"),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Written {
    /// `csv` (the default), `parquet` or `jsonl`.
    #[param(inline)]
    format: Option<Format>,
}

/// Frames of `start_time <= timestamp < end_time` as a file.
///
/// It is written while it is read, however long it is; a connection that breaks off means that it is not whole.
#[utoipa::path(get, path = "/analytics/export", tag = "analytics", params(Written, Past), responses(
    (status = 200, content((String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet"), (String = "application/jsonl"))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn export(
    state: ApiState,
    Params(written): Params<Written>,
    Params(past): Params<Past>,
) -> Result<Response, Problem> {
    let (from, to, filter) = past.checked()?;
    let range = TimeRange { from: Some(from), to: Some(to) };
    let selection = state.select(&filter)?;
    let format = written.format.unwrap_or_default();
    let mut sink = format.sink(state.config().stale_after)?;
    // The first page is read before the answer begins, so that a database that is away shows in the status.
    let first = selection.history(range, page(None)).await?;
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(2);
    tokio::spawn(async move {
        let end = write(&selection, range, first, sink.as_mut(), &sender).await;
        if let Err(error) = end {
            tracing::warn!("an export broke off: {error}");
            let _ = sender.send(Err(error)).await;
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let (kind, extension) = format.media();
    let name = format!("attachment; filename=\"{}.{extension}\"", name_of(&filter, from));
    let headers: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::OK, headers, Body::from_stream(stream)).into_response())
}

fn name_of(filter: &Filter, from: Time) -> String {
    let site = filter.site.as_deref().unwrap_or("poses");
    format!("{site}-{}", from.to_string().replace([':', '.'], ""))
}

fn page(after: Option<u64>) -> Page {
    Page { after, before: None, skip: 0, take: Take::First(MAX_PAGE) }
}

async fn write(
    selection: &Selection,
    range: TimeRange,
    first: crate::query::Slice,
    sink: &mut dyn Sink,
    to: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<(), std::io::Error> {
    let mut slice = first;
    loop {
        let bytes = sink.frames(&slice.frames)?;
        // A client that has gone wants no more.
        if !bytes.is_empty() && to.send(Ok(bytes.into())).await.is_err() {
            return Ok(());
        }
        let last = slice.frames.last().map(|f| f.frame().frame_id);
        let (true, Some(last)) = (slice.more, last) else { break };
        slice = selection
            .history(range, page(Some(last)))
            .await
            .map_err(|e: QueryError| std::io::Error::other(e.to_string()))?;
    }
    let bytes = sink.end()?;
    let _ = to.send(Ok(bytes.into())).await;
    Ok(())
}
