//! What a request passes before anything else looks at it: it is counted, and turned away where it may not talk to the server at all.

use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use crate::guard::{Guard, sign};
use crate::metrics::{Counted, Traffic};

/// Puts a door before a service.
#[derive(Clone, Debug)]
pub(crate) struct DoorLayer {
    guard: Guard,
    traffic: Arc<Traffic>,
}

#[derive(Clone, Debug)]
pub(crate) struct Door<S> {
    inner: S,
    layer: DoorLayer,
}

impl DoorLayer {
    pub(crate) fn new(guard: Guard, traffic: Arc<Traffic>) -> Self {
        Self { guard, traffic }
    }
}

impl<S> Layer<S> for DoorLayer {
    type Service = Door<S>;

    fn layer(&self, inner: S) -> Door<S> {
        Door { inner, layer: self.clone() }
    }
}

impl<S> Service<Request> for Door<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let counted = Counted::begin(&mut request);
        let (asked, welcome) = self.layer.guard.look(&mut request);
        let traffic = self.layer.traffic.clone();
        // The one that was ready; its clone may not be.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let mut response = match welcome {
                Ok(()) => inner.call(request).await?,
                Err(problem) => problem.into_response(),
            };
            sign(asked, &mut response);
            counted.end(&traffic, &response);
            Ok(response)
        })
    }
}
