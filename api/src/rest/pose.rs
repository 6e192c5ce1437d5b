//! `/pose/current` and `/pose/history`: frames.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::tagged;
use super::params::{Paging, Params, Past, Who};
use crate::problem::{Problem, ProblemBody};
use crate::query::{DEFAULT_MIN_CONFIDENCE, Page, Take, TimeRange};
use crate::{ApiState, contract};

pub(super) fn routes() -> OpenApiRouter {
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
async fn current(state: ApiState, headers: HeaderMap, Params(who): Params<Who>) -> Result<Response, Problem> {
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
    let text = state.written().frame(&frame, stale_after).map_err(|e| Problem::internal(&e))?;
    Ok(tagged(&headers, &tag, text.into_body()))
}

/// Frames of `start_time <= timestamp < end_time`, oldest first.
///
/// Where there are more, the header `Link` names the next page.
#[utoipa::path(get, path = "/pose/history", tag = "pose", params(Past, Paging), responses(
    (status = 200, body = Vec<contract::PoseFrame>), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn history(
    state: ApiState,
    uri: Uri,
    headers: HeaderMap,
    Params(past): Params<Past>,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let (from, to, filter) = past.checked()?;
    let (limit, skip) = paging.checked()?;
    let selection = state.select(&filter)?;
    let page = Page { after: None, before: None, skip, take: Take::First(limit) };
    let slice = selection.history(TimeRange { from: Some(from), to: Some(to) }, page).await?;
    let stale_after = state.config().stale_after;
    // Ages change and frames do not: a weak tag over what was asked and which frames came.
    let mut hash = DefaultHasher::new();
    uri.query().hash(&mut hash);
    for frame in &slice.frames {
        (frame.frame().frame_id, frame.person_count(), frame.is_stale(stale_after)).hash(&mut hash);
    }
    let text = state.written().frames(&slice.frames, stale_after).map_err(|e| Problem::internal(&e))?;
    let mut response = tagged(&headers, &format!("W/\"{:016x}\"", hash.finish()), text.into_body());
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
