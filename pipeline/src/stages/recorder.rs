//! Recordings, begun and ended while the pipeline runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use thiserror::Error;

use super::worker::take;
use crate::csi::CsiFrame;
use crate::health::{Health, StageStats};
use crate::pose::PoseFrame;
use crate::recording::{RecordingError, Writer};

/// The name under which the recorder reports to [`Health`].
pub const COMPONENT: &str = "recording";
/// Frames wait for each other at most so long before a block is forced to the disk.
const LOOK: Duration = Duration::from_millis(500);
/// For the recorder to take an order: it may have a full channel to write first, onto a slow disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A recording to be written while the pipeline runs.
#[derive(Debug)]
pub struct RecordSetup {
    /// The open recording.
    pub writer: Writer,
    /// Of this site only; `None`: of all.
    pub site: Option<Arc<str>>,
    /// Every packet that reaches assembly.
    pub csi: bool,
    /// Every pose frame.
    pub poses: bool,
    /// It ends by itself after this time; `None`: with the pipeline.
    pub limit: Option<Duration>,
}

/// Why a recording cannot be begun or ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// One at a time.
    #[error("a recording is being written already")]
    Busy,
    /// There is none to end.
    #[error("no recording is being written")]
    Idle,
    /// Nothing is recorded before the pipeline has started and after its end.
    #[error("the pipeline does not run")]
    Stopped,
    /// It could not be closed; what was flushed before is readable.
    #[error(transparent)]
    File(#[from] RecordingError),
}

impl RecordError {
    /// It comes at the wrong time; nothing is broken.
    pub fn is_about_order(&self) -> bool {
        matches!(self, Self::Busy | Self::Idle)
    }
}

/// Where recordings are begun and ended. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecordDesk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    taps: Mutex<HashMap<Arc<str>, Arc<Tap>>>,
    orders: Sender<Order>,
    /// Until the recorder has it.
    taken: Mutex<Option<Receiver<Order>>>,
    busy: AtomicBool,
    written: AtomicU64,
}

#[derive(Debug)]
enum Order {
    Begin(Box<RecordSetup>, Sender<Result<(), RecordError>>),
    End(Sender<Result<u64, RecordError>>),
}

/// What a stage asks before it copies a frame of its site.
#[derive(Debug, Default)]
pub struct Tap {
    csi: AtomicBool,
    poses: AtomicBool,
}

impl Tap {
    /// Packets are wanted.
    pub fn csi(&self) -> bool {
        self.csi.load(Ordering::Relaxed)
    }

    /// Pose frames are wanted.
    pub fn poses(&self) -> bool {
        self.poses.load(Ordering::Relaxed)
    }
}

impl Default for RecordDesk {
    fn default() -> Self {
        let (orders, taken) = bounded(1);
        let taken = Mutex::new(Some(taken));
        let inner = Inner { taps: Mutex::default(), orders, taken, busy: false.into(), written: 0.into() };
        Self { inner: Arc::new(inner) }
    }
}

impl RecordDesk {
    /// Begins a recording.
    ///
    /// # Errors
    /// Another one is being written, or the pipeline does not run.
    pub fn begin(&self, setup: RecordSetup) -> Result<(), RecordError> {
        let (answer, answered) = bounded(1);
        self.order(Order::Begin(Box::new(setup), answer), &answered)
    }

    /// Ends the recording and closes its file; how many frames it has.
    ///
    /// # Errors
    /// None is being written, or its end cannot be.
    pub fn end(&self) -> Result<u64, RecordError> {
        let (answer, answered) = bounded(1);
        self.order(Order::End(answer), &answered)
    }

    fn order<T>(&self, order: Order, answered: &Receiver<Result<T, RecordError>>) -> Result<T, RecordError> {
        // Nobody has begun to take orders, or nobody takes them any more.
        if self.inner.taken.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Err(RecordError::Stopped);
        }
        self.inner.orders.send_timeout(order, PATIENCE).map_err(|_| RecordError::Stopped)?;
        answered.recv_timeout(PATIENCE).map_err(|_| RecordError::Stopped)?
    }

    /// Frames of the recording that is being written that are on the disk; `None` where none is.
    pub fn written(&self) -> Option<u64> {
        let busy = self.inner.busy.load(Ordering::Acquire);
        busy.then(|| self.inner.written.load(Ordering::Relaxed))
    }

    /// What stages of this site ask.
    pub fn tap(&self, site: &Arc<str>) -> Arc<Tap> {
        self.taps().entry(site.clone()).or_default().clone()
    }

    fn taps(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Tap>>> {
        self.inner.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on frames of this recording are sent; `None`: of none.
    fn open_taps(&self, setup: Option<&RecordSetup>) {
        for (site, tap) in self.taps().iter() {
            let of = setup.filter(|s| s.site.as_ref().is_none_or(|wanted| wanted == site));
            tap.csi.store(of.is_some_and(|s| s.csi), Ordering::Relaxed);
            tap.poses.store(of.is_some_and(|s| s.poses), Ordering::Relaxed);
        }
        self.inner.written.store(0, Ordering::Relaxed);
        self.inner.busy.store(setup.is_some(), Ordering::Release);
    }
}

/// What is recorded.
#[derive(Clone, Debug)]
pub enum RecordItem {
    /// A packet.
    Csi(CsiFrame),
    /// A finished frame.
    Pose(PoseFrame),
}

/// Writes recordings.
pub struct Recorder {
    desk: RecordDesk,
    orders: Receiver<Order>,
    now: Option<Running>,
    health: Health,
    stats: Arc<StageStats>,
}

struct Running {
    writer: Writer,
    end: Option<Instant>,
}

impl Recorder {
    /// Takes the orders of this desk; `None` where another one does. The first recording begins at once, for the taps
    /// that were asked for by then.
    pub fn new(desk: RecordDesk, first: Option<RecordSetup>, health: Health) -> Option<Self> {
        let orders = desk.inner.taken.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let stats = health.stage(COMPONENT);
        let mut recorder = Self { desk, orders, now: None, health, stats };
        if let Some(setup) = first {
            recorder.begin(setup);
        }
        Some(recorder)
    }

    /// Runs until its input ends, then closes the recording. What cannot be written raises a fault and is tried again
    /// with the next frame.
    pub fn run(mut self, input: &Receiver<RecordItem>) {
        let orders = self.orders.clone();
        loop {
            select! {
                recv(input) -> item => match item {
                    Ok(item) => self.take(&item, input),
                    Err(_) => break,
                },
                recv(orders) -> order => match order {
                    Ok(Order::Begin(setup, answer)) => {
                        let begun = if self.now.is_some() { Err(RecordError::Busy) } else { self.begin(*setup); Ok(()) };
                        let _ = answer.send(begun);
                    }
                    Ok(Order::End(answer)) => {
                        // What was sent before the order belongs to it.
                        self.desk.open_taps(None);
                        for item in input.try_iter().take(input.len()) {
                            self.take(&item, input);
                        }
                        let _ = answer.send(self.end());
                    }
                    // The desk lives as long as `self` does.
                    Err(_) => break,
                },
                default(LOOK) => {
                    let flushed = self.now.as_mut().map_or(Ok(()), |now| now.writer.flush_if_due());
                    self.tell(flushed);
                }
            }
            if self.now.as_ref().and_then(|now| now.end).is_some_and(|end| Instant::now() >= end) {
                self.end_alone();
            }
        }
        if self.now.is_some() {
            self.end_alone();
        }
    }

    /// Ends it although nobody waits to hear how.
    fn end_alone(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("recording not closed: {error}");
        }
    }

    fn begin(&mut self, setup: RecordSetup) {
        self.desk.open_taps(Some(&setup));
        self.now = Some(Running { writer: setup.writer, end: setup.limit.map(|l| Instant::now() + l) });
    }

    fn take(&mut self, item: &RecordItem, input: &Receiver<RecordItem>) {
        let started = take(&self.stats, input);
        // Frames that were on their way when the recording ended.
        let Some(now) = &mut self.now else { return };
        let written = match item {
            RecordItem::Csi(frame) => now.writer.write_csi(frame),
            RecordItem::Pose(frame) => now.writer.write_pose(frame),
        };
        self.stats.busy_ns.add(started.elapsed().as_nanos() as u64);
        self.tell(written);
    }

    fn tell(&mut self, written: Result<(), RecordingError>) {
        let Some(now) = &self.now else { return };
        if written.is_ok() {
            self.stats.given.set(now.writer.acknowledged());
            self.desk.inner.written.store(now.writer.acknowledged(), Ordering::Relaxed);
        }
        self.health.set_fault(COMPONENT, written.err().map(|e| e.to_string()));
    }

    fn end(&mut self) -> Result<u64, RecordError> {
        self.desk.open_taps(None);
        let Some(now) = self.now.take() else { return Err(RecordError::Idle) };
        let closed = now.writer.close();
        if let Ok(acknowledged) = closed {
            self.stats.given.set(acknowledged);
        }
        self.health.set_fault(COMPONENT, closed.as_ref().err().map(ToString::to_string));
        Ok(closed?)
    }
}
