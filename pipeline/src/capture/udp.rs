//! Live CSI over UDP: ADR-018 nodes and Nexmon.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use socket2::{Domain, Protocol as IpProtocol, Socket, Type};

use super::adr018::{self, Datagram, DatagramDecoder};
use super::decoder::Reject;
use super::nexmon::{self, PayloadDecoder};
use crate::csi::CsiFrame;
use crate::health::SourceStats;

/// What the datagrams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Raw CSI of ESP32 nodes, see [`adr018`].
    Adr018,
    /// Nexmon CSI payloads, see [`nexmon`].
    Nexmon,
}

impl Protocol {
    /// The port that devices send to unless told otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Adr018 => adr018::DEFAULT_PORT,
            Self::Nexmon => nexmon::PORT,
        }
    }
}

/// Asked of the kernel: a second of 1000 packets/s of 2 KiB. The kernel may grant less.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How soon a stop is noticed.
const STOP_POLL: Duration = Duration::from_millis(100);
/// A UDP datagram is no longer.
const MAX_DATAGRAM: usize = 65_535;

/// A bound socket.
#[derive(Debug)]
pub struct UdpSource {
    socket: UdpSocket,
    protocol: Protocol,
}

impl UdpSource {
    /// Binds `address` (port 0 takes any free one) with a large receive buffer.
    ///
    /// # Errors
    /// Those of the socket calls.
    pub fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(IpProtocol::UDP))?;
        // Refused where the limit is lower; what is granted will do.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_read_timeout(Some(STOP_POLL))?;
        socket.bind(&address.into())?;
        Ok(Self { socket: socket.into(), protocol })
    }

    /// The address bound.
    ///
    /// # Errors
    /// Those of the socket call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Receives until `stop` is set (noticed within 100 ms), on the calling thread. Each frame gets its arrival as `time_ns`
    /// and goes to `sink`; datagrams that do not decode are counted in `stats` by reason, siblings of ADR-018 apart.
    ///
    /// The sink counts what it accepts or drops; [`drop_oldest`] is one for a channel.
    ///
    /// # Errors
    /// Those of receiving, other than time-outs and interruptions.
    pub fn run(
        &self,
        stop: &AtomicBool,
        stats: &SourceStats,
        mut sink: impl FnMut(CsiFrame),
    ) -> io::Result<()> {
        let mut datagrams = DatagramDecoder::default();
        let mut payloads = PayloadDecoder::default();
        let mut buffer = vec![0; MAX_DATAGRAM];
        stats.running.set(1);
        let outcome = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(());
            }
            let data = match self.socket.recv(&mut buffer) {
                Ok(length) => &buffer[..length],
                Err(e) => match e.kind() {
                    // A refused connection is an ICMP answer to nothing that was sent here.
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionRefused => continue,
                    _ => break Err(e),
                },
            };
            let arrival = now_ns();
            stats.received.add(1);
            let decoded: Result<Option<CsiFrame>, Reject> = match self.protocol {
                Protocol::Nexmon => payloads.decode(data).map(Some),
                Protocol::Adr018 => datagrams.decode(data).map(|d| match d {
                    Datagram::Csi(frame) => Some(frame),
                    Datagram::Sibling(_) => None,
                }),
            };
            match decoded {
                Ok(Some(mut frame)) => {
                    frame.time_ns = arrival;
                    sink(frame);
                }
                Ok(None) => stats.siblings.add(1),
                Err(reject) => stats.reject(reject.reason),
            }
        };
        stats.running.set(0);
        outcome
    }
}

/// A sink for [`UdpSource::run`]: sends into a bounded channel and, where it is full, gives up the oldest frame in it and
/// counts that as dropped. `queue` is a receiver of the same channel.
pub fn drop_oldest<'a>(
    sender: &'a Sender<CsiFrame>,
    queue: &'a Receiver<CsiFrame>,
    stats: &'a SourceStats,
) -> impl FnMut(CsiFrame) + 'a {
    move |frame| {
        let arrival = frame.time_ns;
        let mut frame = frame;
        let mut given_up = 0;
        loop {
            match sender.try_send(frame) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => {
                    frame = back;
                    given_up += u64::from(queue.try_recv().is_ok());
                }
                // Unreachable while `queue` lives.
                Err(TrySendError::Disconnected(_)) => {
                    given_up += 1;
                    break;
                }
            }
        }
        // A frame given up was counted as accepted when it came, so the new one takes its place in that count.
        stats.dropped.add(given_up);
        stats.accepted.add(1u64.wrapping_sub(given_up));
        stats.last_ns.set(u64::try_from(arrival).unwrap_or(0));
    }
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}
