//! Where clients come in: TCP, plain or with TLS, and a Unix socket; how many may, and how patient the server is with each.

mod connection;
mod crowd;
mod expiry;
mod tls;
mod unix;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use invispose_pipeline::health::Counter;
use tokio::net::{TcpListener, TcpStream, UnixStream};

pub(crate) use self::connection::{Fruitless, Patience, Protocols};
pub(crate) use self::crowd::{Crowd, Seat};
pub(crate) use self::expiry::end_of;
pub use self::tls::{Tls, TlsFiles};
use self::unix::UnixSocket;

/// Who is at the other end of a connection. Every request carries it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// `None`: a process of this machine that may open the Unix socket.
    pub address: Option<IpAddr>,
    /// The connection is encrypted.
    pub tls: bool,
}

/// What the listeners count.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    /// Connections taken.
    pub accepted: Counter,
    /// Connections that have ended.
    pub ended: Counter,
    /// Refused, because their address had as many as one may have.
    pub refused: Counter,
    /// Ended before a request, because nothing useful came in time or the TLS handshake failed.
    pub fruitless: Counter,
    /// 1 where TLS is spoken.
    pub encrypted: Counter,
    /// Times that a certificate was read again.
    pub reloads: Counter,
    /// Times that it could not be used.
    pub failed_reloads: Counter,
    /// Unix time at which the first certificate of the chain in use ends, seconds; 0 where that is not known.
    pub certificate_ends: Counter,
}

impl ConnectionStats {
    /// Connections that are open.
    pub fn open(&self) -> u64 {
        // Read in this order, the difference is never too small to be.
        let ended = self.ended.get();
        self.accepted.get().saturating_sub(ended)
    }
}

/// Open listeners. At least one of the two is there.
#[derive(Debug)]
pub struct Listeners {
    tcp: Option<TcpListener>,
    unix: Option<UnixSocket>,
    tls: Option<Tls>,
}

impl From<TcpListener> for Listeners {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp: Some(tcp), unix: None, tls: None }
    }
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listeners {
    /// A Unix socket at `path`, with these permissions, and nothing else. One that a dead process left is replaced.
    ///
    /// # Errors
    /// The path is taken, too long, or cannot be written.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        Ok(Self { tcp: None, unix: Some(UnixSocket::bind(path, mode)?), tls: None })
    }

    /// And TCP beside it.
    #[must_use]
    pub fn and_tcp(self, tcp: TcpListener) -> Self {
        Self { tcp: Some(tcp), ..self }
    }

    /// With TLS on TCP.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Only this machine reaches the listeners.
    pub(crate) fn loopback(&self) -> io::Result<bool> {
        let Some(tcp) = &self.tcp else { return Ok(true) };
        Ok(tcp.local_addr()?.ip().is_loopback())
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The next client. Nobody is lost when the future is dropped.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let tcp = async {
            let Some(tcp) = &self.tcp else { return std::future::pending().await };
            let (stream, from) = tcp.accept().await?;
            let peer = Peer { address: Some(from.ip().to_canonical()), tls: self.tls.is_some() };
            Ok((Stream::Tcp(stream), peer))
        };
        let unix = async {
            let Some(unix) = &self.unix else { return std::future::pending().await };
            let stream = unix.accept().await?;
            Ok((Stream::Unix(stream), Peer { address: None, tls: false }))
        };
        tokio::select! {
            taken = tcp => taken,
            taken = unix => taken,
        }
    }
}

impl Stream {
    /// Serves the client with `service` until one of both ends it, or `closing` becomes true and open requests are answered.
    pub(crate) async fn serve<S>(
        self,
        peer: Peer,
        tls: Option<Arc<rustls::ServerConfig>>,
        seat: Seat,
        protocols: Arc<Protocols>,
        service: S,
        closing: tokio::sync::watch::Receiver<bool>,
    ) -> Result<(), Fruitless>
    where
        S: connection::Service,
    {
        match (self, tls) {
            (Self::Tcp(stream), Some(tls)) => {
                prepare(&stream, protocols.patience.stalled);
                protocols.encrypted(stream, tls, seat, peer, service, closing).await
            }
            (Self::Tcp(stream), None) => {
                prepare(&stream, protocols.patience.stalled);
                protocols.plain(stream, seat, peer, service, closing).await
            }
            (Self::Unix(stream), _) => protocols.plain(stream, seat, peer, service, closing).await,
        }
    }
}

/// Bytes that the kernel takes ahead of what it has sent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 << 10;

/// Frames are small and wanted now. What a client has not taken waits here, where it can still be replaced by a newer
/// frame, and not in the kernel's buffer, which holds megabytes. A client that takes nothing for as long as `stalled` is gone.
fn prepare(stream: &TcpStream, stalled: std::time::Duration) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(stream);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let _ = socket.set_tcp_user_timeout(Some(stalled));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stalled;
}
