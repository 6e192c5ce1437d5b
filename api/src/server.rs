//! The HTTP server: routes, limits, and an orderly end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{BoxError, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Level;

use crate::access::{Gate, gate, hide_tokens, oauth_routes};
use crate::door::DoorLayer;
use crate::guard::{Guard, cross_origin};
use crate::listen::{Crowd, Fruitless, Listeners, Patience, Protocols, Tls};
use crate::sockets::Sockets;
use crate::{ApiState, graphql, grpc, metrics, pages, problem, rest, stream};

/// Time for open requests and sockets to end once the shutdown began.
const GRACE: Duration = Duration::from_secs(5);

/// All routes. `loopback`: the server listens on loopback only, and so answers to loopback names only. WebSockets end
/// when `closing` becomes true.
pub fn router(state: ApiState, loopback: bool, closing: watch::Receiver<bool>) -> Router {
    let sockets = Sockets::new(&state, closing);
    Router::new()
        .merge(rest::routes(&state))
        .merge(pages::routes())
        .route("/metrics", axum::routing::get(metrics::metrics))
        .merge(oauth_routes())
        .merge(stream::routes(sockets.clone()))
        .merge(grpc::routes(&sockets))
        .merge(graphql::routes(&state, sockets))
        .fallback(pages::missing)
        .method_not_allowed_fallback(pages::wrong_method)
        .layer(axum::middleware::from_fn_with_state(Gate::new(state, loopback), gate))
}

/// The routes and what every request passes before them and every answer after them. The layers are around the router as a whole: a
/// router's own are around each of its routes, where every request clones and boxes each of them.
pub(crate) fn service<B>(
    state: ApiState,
    loopback: bool,
    closing: watch::Receiver<bool>,
) -> impl tower::Service<Request<B>, Response = Response, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let config = state.config().clone();
    let (names, traffic) = (state.names().clone(), state.traffic().clone());
    ServiceBuilder::new()
        .map_request(|request: Request<B>| hide_tokens(request.map(Body::new)))
        .map_response(|response: Response<_>| response.map(Body::new))
        // What is the server's fault is logged where it is known; a probe that says "not ready" is no fault.
        .layer(TraceLayer::new_for_http().on_failure(DefaultOnFailure::new().level(Level::DEBUG)))
        .layer(DoorLayer::new(Guard::new(names.clone(), loopback), traffic))
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(cross_origin(names))
        .layer(CompressionLayer::new())
        .and_then(|response| async { Ok(problem::from_plain(response).await) })
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, config.timeout))
        .layer(DefaultBodyLimit::max(config.body_limit))
        .service(router(state, loopback, closing))
}

/// Serves until `shutdown` resolves, then lets open requests finish for at most five seconds.
///
/// # Errors
/// The listener has no local address.
pub async fn serve(
    state: ApiState,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let listeners = listeners.into();
    let loopback = listeners.loopback()?;
    let mut background = JoinSet::new();
    background.spawn(state.clone().keep_loading());
    let access = state.clone();
    background.spawn(async move { access.access().keep_up().await });
    if let Some(tls) = listeners.tls() {
        state.connections().encrypted.set(1);
        tls.tell(state.connections());
        background.spawn(tls.clone().watch(state.connections().clone()));
    }
    let (close, closing) = watch::channel(false);
    let config = state.config();
    let stats = state.connections().clone();
    let crowd = Crowd::new(config.connections, config.connections_per_address, stats.clone());
    let protocols = Arc::new(Protocols::new(Patience {
        head: config.head_timeout,
        stalled: config.timeout,
        headers: config.headers,
        header_bytes: config.header_bytes,
    }));
    let service = TowerToHyperService::new(service::<Incoming>(state.clone(), loopback, closing.clone()));
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let room = crowd.room().await;
            (listeners.accept().await, room)
        };
        let (stream, peer, room) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                (Ok((stream, peer)), Some(room)) => (stream, peer, room),
                (Ok(_), None) => break,
                (Err(error), _) => {
                    // Out of file descriptors, or a client that left at once.
                    tracing::debug!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let Some(seat) = crowd.seat(room, peer.address) else { continue };
        let stats = stats.clone();
        let tls = listeners.tls().map(Tls::config);
        let served = stream.serve(peer, tls, seat, protocols.clone(), service.clone(), closing.clone());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                stats.fruitless.add(u64::from(!matches!(error, Fruitless::Http(_))));
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drop((listeners, service, closing));
    background.abort_all();
    close.send_replace(true);
    // Each connection and each WebSocket holds a receiver for as long as it lives.
    if tokio::time::timeout(GRACE, close.closed()).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", GRACE.as_secs());
    }
    state.access().close().await;
    Ok(())
}
