//! Refusals that say when to come back: an error of GraphQL within which HTTP finds the answer that it gives instead.

use std::any::Any;
use std::sync::Arc;

use async_graphql::{Error, ErrorExtensions, Pos, Response, ServerError, Value};

/// The error; `source` is what [`told`] finds.
pub(super) fn later(
    message: impl Into<String>,
    code: &str,
    retry_after: impl Into<Value>,
    source: impl Any + Send + Sync,
) -> ServerError {
    let retry_after = retry_after.into();
    let error = Error::new(message).extend_with(|_, e| {
        e.set("code", code);
        e.set("retryAfter", retry_after.clone());
    });
    ServerError { source: Some(Arc::new(source)), ..error.into_server_error(Pos::default()) }
}

/// The first refusal of this kind in an answer.
pub(super) fn told<T: Copy + Any + Send + Sync>(response: &Response) -> Option<T> {
    response.errors.iter().find_map(|e| e.source.as_ref()?.downcast_ref().copied())
}
