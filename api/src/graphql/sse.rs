//! Server-sent events, in the [distinct connections mode](https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md): one
//! request, one operation, its answers as events `next` and at last `complete`.

use std::convert::Infallible;
use std::time::Duration;

use async_graphql::Request;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream;

use super::Transport;
use crate::ApiState;

/// The media type that asks for this.
pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// Proxies close what is silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Answers as they come, until there are no more, the caller's rights end or the server stops.
pub(super) fn answer(transport: &Transport, state: &ApiState, request: Request) -> Response {
    let answers = transport.hub.open(state, request).map(|answer| {
        let data =
            if answer.executed { answer.text.clone() } else { format!("{{\"errors\":{}}}", answer.text) };
        Event::default().event("next").data(data)
    });
    // Without any data no browser would tell of it.
    let complete = stream::once(async { Event::default().event("complete").data("{}") });
    let mut closing = transport.sockets.closing();
    let rights = state.access().ended(state.who());
    let end = async move {
        tokio::select! {
            _ = closing.wait_for(|&closing| closing) => {}
            _ = rights => {}
        }
    };
    let events = answers.chain(complete).take_until(Box::pin(end)).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
