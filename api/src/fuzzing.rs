//! What reads bytes from the network, for the fuzz targets. Nothing here may panic on anything but a broken promise.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use tokio::sync::watch;
use tower::{Service, service_fn};

use crate::ApiState;
use crate::listen::Peer;
use crate::outputs::webhooks::{Guard, Webhook};
use crate::server::service;
use crate::{access, documents, graphql, outputs, stream};

/// A command over MQTT.
pub fn mqtt_command(payload: &[u8]) {
    outputs::mqtt::decode(payload);
}

/// A message on `/ws/v1/stream`.
pub fn stream_message(message: &[u8]) {
    stream::decode(message);
}

/// A GraphQL request or WebSocket message, up to where it would be executed.
pub fn graphql_message(message: &[u8]) {
    graphql::decode(message);
}

/// A JSON Web Token, and an identity provider's key set.
pub fn credentials(token: &str, keys: &[u8]) {
    access::decode(token, keys);
}

/// What operators set up and register.
pub fn document(body: &[u8]) {
    documents::decode(body);
    if let Ok(webhook) = serde_json::from_slice::<Webhook>(body) {
        let _ = Guard::new(&[]).map(|guard| webhook.check(&guard));
    }
}

/// Answers requests that come from loopback as the server does, all but its listeners.
pub fn server(
    state: ApiState,
    closing: watch::Receiver<bool>,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send
{
    let mut service = service(state, true, closing);
    service_fn(move |mut request: Request<Body>| {
        let peer = Peer { address: Some([127, 0, 0, 1].into()), tls: false };
        request.extensions_mut().insert(peer);
        service.call(request)
    })
}
