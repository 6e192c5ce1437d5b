//! One connection: which HTTP is spoken on it, and when the server loses its patience.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::{Peer, Seat};

/// How HTTP/2 begins, as far as no other method of HTTP does (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI";
/// Between looks at a beginning that is too short to tell.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// From one ping of HTTP/2 to the next; a client that does not answer for as long is gone.
const PING: Duration = Duration::from_secs(20);

/// The connection ended before it was of any use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fruitless {
    #[error("nothing came in time")]
    Silent,
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// How patient the server is, and with how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Time for a request's head, the TLS handshake, and for which a connection without a request stays open.
    pub head: Duration,
    /// Time for which a client may take nothing of what is sent to it.
    pub stalled: Duration,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
}

/// What answers requests.
pub(crate) trait Service:
    hyper::service::Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Service for S where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// HTTP/1.1 and HTTP/2.
pub(crate) struct Protocols {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
    pub(super) patience: Patience,
}

impl Protocols {
    pub(crate) fn new(patience: Patience) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(patience.head)
            .max_headers(patience.headers)
            .max_header_size(patience.header_bytes);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_header_list_size(patience.header_bytes.try_into().unwrap_or(u32::MAX));
        Self { one, two, patience }
    }

    /// The protocol is what the client begins with.
    pub(super) async fn plain<T: Look>(
        &self,
        stream: T,
        seat: Seat,
        peer: Peer,
        service: impl Service,
        closing: watch::Receiver<bool>,
    ) -> Result<(), Fruitless> {
        let two = timeout(self.patience.head, begins_as_http2(&stream)).await;
        let two = two.map_err(|_| Fruitless::Silent)??;
        self.http(Wire::new(stream, seat), two, peer, service, closing).await
    }

    /// The protocol is what the handshake agreed upon.
    pub(super) async fn encrypted(
        &self,
        stream: TcpStream,
        tls: Arc<rustls::ServerConfig>,
        seat: Seat,
        peer: Peer,
        service: impl Service,
        closing: watch::Receiver<bool>,
    ) -> Result<(), Fruitless> {
        let handshake = timeout(self.patience.head, TlsAcceptor::from(tls).accept(stream)).await;
        let stream = handshake.map_err(|_| Fruitless::Silent)?.map_err(Fruitless::Handshake)?;
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.http(Wire::new(stream, seat), two, peer, service, closing).await
    }

    async fn http(
        &self,
        wire: Wire,
        two: bool,
        peer: Peer,
        service: impl Service,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Fruitless> {
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let here = two.then(|| Open::new(&counted));
            let answer = service.call(request);
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(match here {
                    None => answer,
                    Some(here) => answer.map(|body| Body::new(body.map_frame(move |frame| here.kept(frame)))),
                })
            }
        });
        let wire = TokioIo::new(wire);
        if two {
            let connection = self.two.serve_connection(wire, service);
            tokio::pin!(connection);
            tokio::select! {
                end = connection.as_mut() => return Ok(end?),
                _ = closing.wait_for(|&closing| closing) => {}
                () = idle(&open, self.patience.head) => {}
            }
            connection.as_mut().graceful_shutdown();
            loop {
                match timeout(self.patience.head, connection.as_mut()).await {
                    Ok(end) => return Ok(end?),
                    // Not even the end is taken.
                    Err(_) if open.load(Relaxed) == 0 => return Err(Fruitless::Silent),
                    Err(_) => {}
                }
            }
        } else {
            let connection = self.one.serve_connection(wire, service).with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                end = connection.as_mut() => return Ok(end?),
                _ = closing.wait_for(|&closing| closing) => {}
            }
            connection.as_mut().graceful_shutdown();
            Ok(connection.await?)
        }
    }
}

/// A request of HTTP/2 that is being answered; it ends when the answer's body does. HTTP/1.1 has a timer of its own.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }

    /// Whoever calls it keeps the request open.
    fn kept<T>(&self, frame: T) -> T {
        frame
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Resolves once there was no request twice in a row.
async fn idle(open: &AtomicUsize, after: Duration) {
    let mut before = true;
    loop {
        sleep(after / 2).await;
        let now = open.load(Relaxed) > 0;
        if !before && !now {
            return;
        }
        before = now;
    }
}

/// A stream whose first bytes can be seen before anybody takes them.
pub(crate) trait Look: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Waits for bytes; how many of `into` there are, 0 at the end.
    fn look(&self, into: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Look for TcpStream {
    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        self.peek(into).await
    }
}

impl Look for UnixStream {
    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        let look = || Ok(rustix::net::recv(self, &mut *into, RecvFlags::PEEK)?.1);
        self.async_io(Interest::READABLE, look).await
    }
}

async fn begins_as_http2(stream: &impl Look) -> io::Result<bool> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let count = stream.look(&mut bytes).await?;
        let seen = bytes.get(..count).unwrap_or_default();
        if count == 0 || count == PREFACE.len() || !PREFACE.starts_with(seen) {
            return Ok(seen == PREFACE);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// A stream of any kind and the place that it takes up.
struct Wire {
    stream: Box<dyn ReadWrite>,
    _seat: Seat,
}

trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

impl Wire {
    fn new(stream: impl ReadWrite + 'static, seat: Seat) -> Self {
        Self { stream: Box::new(stream), _seat: seat }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
