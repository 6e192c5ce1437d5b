//! The HTTP server: routes, limits, and an orderly end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Level;

use crate::guard::{Guard, guard};
use crate::sockets::Sockets;
use crate::{ApiState, graphql, grpc, metrics, pages, problem, rest, stream};

/// Time for a client to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for open requests and sockets to end once the shutdown began.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes that the kernel takes ahead of what it has sent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 << 10;

/// All routes. `loopback`: the server listens on loopback only, and so answers to loopback names only. WebSockets end
/// when `closing` becomes true.
pub fn router(state: ApiState, loopback: bool, closing: watch::Receiver<bool>) -> Router {
    let config = state.config();
    let sockets = Sockets::new(&state, closing);
    Router::new()
        .merge(rest::routes(&state))
        .merge(pages::routes())
        .route("/metrics", axum::routing::get(metrics::metrics))
        .merge(stream::routes(&state, sockets.clone()))
        .merge(grpc::routes(&state, &sockets))
        .merge(graphql::routes(&state, sockets))
        .fallback(pages::missing)
        .method_not_allowed_fallback(pages::wrong_method)
        .layer(DefaultBodyLimit::max(config.body_limit))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, config.timeout))
        .layer(axum::middleware::map_response(problem::from_plain))
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(Guard::new(config, loopback), guard))
        // What is the server's fault is logged where it is known; a probe that says "not ready" is no fault.
        .layer(TraceLayer::new_for_http().on_failure(DefaultOnFailure::new().level(Level::DEBUG)))
        .with_state(state)
}

/// Serves until `shutdown` resolves, then lets open requests finish for at most five seconds.
///
/// # Errors
/// The listener has no local address.
pub async fn serve(
    state: ApiState,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let loading = tokio::spawn(state.clone().keep_loading());
    let (close, closing) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(state.config().connections));
    let service = TowerToHyperService::new(router(state, loopback, closing));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (stream, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                (Ok((stream, _)), slot) => (stream, slot),
                (Err(error), _) => {
                    // Out of file descriptors, or a client that left at once.
                    tracing::debug!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        prepare(&stream);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
    drop((listener, service));
    loading.abort();
    close.send_replace(true);
    let end = async {
        graceful.shutdown().await;
        // Upgraded connections have left `graceful`; each WebSocket holds a receiver for as long as it lives.
        close.closed().await;
    };
    if tokio::time::timeout(GRACE, end).await.is_err() {
        tracing::warn!("connections still open after {} s are cut", GRACE.as_secs());
    }
    Ok(())
}

/// Frames are small and wanted now. What a client has not taken waits here, where it can still be replaced by a newer
/// frame, and not in the kernel's buffer, which holds megabytes.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}
