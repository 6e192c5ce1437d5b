//! Sources: what puts [`CsiFrame`]s into the pipeline, at the speed and under the clock that its URI asks for.

mod pace;
mod replay;
pub mod sim;
mod spec;
mod udp;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded};

pub use pace::{NoTime, Pacer, Speed, TimeLine, wall_ns};
pub use replay::{CaptureReplay, RecordingReplay};
pub use sim::SimSource;
pub use spec::{ReplayOptions, SimSpec, SourceSpec, SpecError, SpecKind};
pub use udp::LiveUdp;

use crate::capture::udp::Protocol;
use crate::csi::CsiFrame;
use crate::health::SourceStats;
use crate::pose::SourceKind;

/// Tells threads to stop. Clones see the same signal.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Disconnected when the signal is given: can be waited for.
    signal: Receiver<()>,
    /// The same for those that only look now and then.
    flag: Arc<AtomicBool>,
}

/// The other end of [`Stop`]: dropping it is the signal.
#[derive(Debug)]
pub struct StopHandle {
    held: Option<Sender<()>>,
    flag: Arc<AtomicBool>,
}

impl Drop for StopHandle {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
        self.held = None;
    }
}

impl Stop {
    /// A signal that has not been given yet.
    pub fn new() -> (StopHandle, Self) {
        let (held, signal) = bounded(0);
        let flag = Arc::new(AtomicBool::new(false));
        (StopHandle { held: Some(held), flag: flag.clone() }, Self { signal, flag })
    }

    /// Has it been given?
    pub fn stopped(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// The flag that is set when it is given.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Waits until then; true when the signal came first.
    pub fn wait_until(&self, due: Instant) -> bool {
        matches!(self.signal.recv_deadline(due), Err(RecvTimeoutError::Disconnected))
    }
}

/// A frame and the account that it belongs to.
#[derive(Debug)]
pub struct Packet {
    /// The frame, with `time_ns` set.
    pub frame: CsiFrame,
    /// When it entered the process.
    pub arrived: Instant,
    /// The source's account; assembly books the frame there as accepted or rejected.
    pub account: Arc<SourceStats>,
}

/// What a source does when the pipeline does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait: nothing of a file is lost.
    Block,
    /// Drop the oldest waiting frame and count it: what is live must stay fresh.
    DropOldest,
}

/// The way from a source into the pipeline.
pub struct FrameSender {
    sender: Sender<Packet>,
    /// Held only to drop the oldest: a blocking source shall see that nobody takes frames any more.
    oldest: Option<Receiver<Packet>>,
    account: Arc<SourceStats>,
    when_full: WhenFull,
}

/// Nobody takes frames any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl FrameSender {
    /// A channel of `capacity` frames that books on `account`.
    pub fn new(account: Arc<SourceStats>, when_full: WhenFull, capacity: usize) -> (Self, Receiver<Packet>) {
        let (sender, receiver) = bounded(capacity.max(1));
        let oldest = (when_full == WhenFull::DropOldest).then(|| receiver.clone());
        (Self { sender, oldest, account, when_full }, receiver)
    }

    /// The account.
    pub fn account(&self) -> &SourceStats {
        &self.account
    }

    /// Books a record that could not be used.
    pub fn reject(&self, reason: &'static str) {
        self.account.received.add(1);
        self.account.reject(reason);
    }

    /// Books a frame as received and hands it on.
    pub fn send(&self, frame: CsiFrame, stop: &Stop) -> Result<(), Closed> {
        self.account.received.add(1);
        self.forward(frame, stop)
    }

    /// Hands on a frame that was booked as received, by the rule of [`WhenFull`]. A frame that is given up because of `stop` is booked as dropped.
    pub fn forward(&self, frame: CsiFrame, stop: &Stop) -> Result<(), Closed> {
        let mut packet = Packet { frame, arrived: Instant::now(), account: self.account.clone() };
        match self.when_full {
            WhenFull::Block => loop {
                match self.sender.send_timeout(packet, Duration::from_millis(50)) {
                    Ok(()) => return Ok(()),
                    Err(SendTimeoutError::Timeout(back)) if !stop.stopped() => packet = back,
                    Err(_) => {
                        self.account.dropped.add(1);
                        return Err(Closed);
                    }
                }
            },
            WhenFull::DropOldest => loop {
                match self.sender.try_send(packet) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(back)) => {
                        packet = back;
                        if let Some(Ok(oldest)) = self.oldest.as_ref().map(Receiver::try_recv) {
                            oldest.account.dropped.add(1);
                        }
                    }
                    Err(TrySendError::Disconnected(_)) => {
                        self.account.dropped.add(1);
                        return Err(Closed);
                    }
                }
            },
        }
    }
}

/// Puts frames into the pipeline until its data or its time ends.
pub trait Source: Send {
    /// Live, replay or simulated.
    fn kind(&self) -> SourceKind;

    /// How its stream time runs against the wall clock while no packets come.
    fn speed(&self) -> Speed;

    /// Runs to the end or until told to stop.
    fn run(self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError>;
}

impl SourceSpec {
    /// Opens the file, binds the socket or sets up the scene, so that what cannot work is known before anything runs.
    pub fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(match &self.kind {
            SpecKind::Sim(spec) => Box::new(SimSource::new(spec)?),
            SpecKind::Udp(address) => Box::new(LiveUdp::bind(*address, Protocol::Adr018)?),
            SpecKind::Nexmon(address) => Box::new(LiveUdp::bind(*address, Protocol::Nexmon)?),
            SpecKind::File(path, options) => Box::new(CaptureReplay::open(path, options.clone())?),
            SpecKind::Recording(path, options) => Box::new(RecordingReplay::open(path, options.clone())?),
        })
    }
}

/// Why a source could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be opened or read.
    #[error("{error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or the decoder said, with the file's name.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A packet has no time.
    #[error("{path}: {error}")]
    NoTime {
        /// The file.
        path: PathBuf,
        /// What to do.
        error: NoTime,
    },
    /// A socket cannot be bound or read.
    #[error("{address}: {error}")]
    Socket {
        /// The local address.
        address: std::net::SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The simulator refuses what it was asked for.
    #[error("simulator: {0}")]
    Simulator(String),
}
