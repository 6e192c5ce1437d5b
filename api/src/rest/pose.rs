//! `/pose/current` and `/pose/history`: frames.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::tagged;
use super::params::{Paging, Params, Who, required};
use crate::problem::{Problem, ProblemBody};
use crate::query::{DEFAULT_MIN_CONFIDENCE, Field, Filter, Page, Take, TimeRange};
use crate::{ApiState, Time, contract};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(current)).routes(routes!(history))
}

/// The most recent frame.
///
/// `metadata.stale` says whether it still shows the present.
#[utoipa::path(get, path = "/pose/current", tag = "pose", params(Who), responses(
    (status = 200, body = contract::PoseFrame), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn current(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Params(who): Params<Who>,
) -> Result<Response, Problem> {
    let filter = who.filter(DEFAULT_MIN_CONFIDENCE);
    let shown = format!("{:?} {}", filter.zone, filter.min_confidence);
    let frame = state.select(&filter)?.current()?;
    let stale_after = state.config().stale_after;
    // The age changes and the frame does not: a weak tag.
    let of = frame.frame();
    let tag = format!(
        "W/\"{}-{}-{}-{:08x}\"",
        of.site,
        of.frame_id,
        u8::from(frame.is_stale(stale_after)),
        crc32fast::hash(shown.as_bytes())
    );
    let body = contract::PoseFrame::new(&frame, stale_after);
    let bytes = serde_json::to_vec(&body).map_err(|e| Problem::internal(&e))?;
    Ok(tagged(&headers, &tag, bytes))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryParams {
    /// First moment; UTC where there is no offset.
    #[param(required = true)]
    start_time: Option<Time>,
    /// First moment that is too late.
    #[param(required = true)]
    end_time: Option<Time>,
    /// Only this person, and only frames that show them.
    person_id: Option<String>,
    /// The site; the first one where it is left out.
    site_id: Option<String>,
    /// Only persons in this zone.
    zone_id: Option<String>,
    /// Only persons of at least this confidence, 0..1.
    #[param(minimum = 0, maximum = 1, default = 0)]
    min_confidence: Option<f64>,
    /// How many frames.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Matching frames to pass over.
    #[param(minimum = 0, default = 0)]
    skip: Option<usize>,
}

/// Frames of `start_time <= timestamp < end_time`, oldest first.
///
/// Where there are more, the header `Link` names the next page.
#[utoipa::path(get, path = "/pose/history", tag = "pose", params(HistoryParams), responses(
    (status = 200, body = Vec<contract::PoseFrame>), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn history(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
    Params(p): Params<HistoryParams>,
) -> Result<Response, Problem> {
    let (from, to) = (required(p.start_time, Field::From)?, required(p.end_time, Field::To)?);
    let range = TimeRange::checked(Some(from), Some(to))?;
    let (limit, skip) = Paging { limit: p.limit, skip: p.skip }.checked()?;
    let filter = Filter {
        site: p.site_id,
        zone: p.zone_id,
        min_confidence: p.min_confidence.unwrap_or(0.0),
        person: p.person_id,
    };
    let selection = state.select(&filter)?;
    let page = Page { after: None, before: None, skip, take: Take::First(limit) };
    let slice = selection.history(range, page).await?;
    let stale_after = state.config().stale_after;
    let frames: Vec<_> = slice.frames.iter().map(|f| contract::PoseFrame::new(f, stale_after)).collect();
    // Ages change and frames do not: a weak tag over what was asked and which frames came.
    let mut hash = DefaultHasher::new();
    uri.query().hash(&mut hash);
    for frame in &slice.frames {
        (frame.frame().frame_id, frame.person_count(), frame.is_stale(stale_after)).hash(&mut hash);
    }
    let bytes = serde_json::to_vec(&frames).map_err(|e| Problem::internal(&e))?;
    let mut response = tagged(&headers, &format!("W/\"{:016x}\"", hash.finish()), bytes);
    if slice.more {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.append_pair("start_time", &from.to_string()).append_pair("end_time", &to.to_string());
        let given = [("site_id", &filter.site), ("zone_id", &filter.zone), ("person_id", &filter.person)];
        for (name, value) in given {
            value.as_ref().map(|v| next.append_pair(name, v));
        }
        next.append_pair("min_confidence", &filter.min_confidence.to_string());
        next.append_pair("limit", &limit.to_string());
        next.append_pair("skip", &skip.saturating_add(limit).to_string());
        let link = format!("</api/v1/pose/history?{}>; rel=\"next\"", next.finish());
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}
