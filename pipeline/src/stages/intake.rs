//! Assembly's thread: packets of a site's sources, in the right order, into its [`Assembler`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use super::assembly::{Assembler, CsiWindow};
use super::recorder::{RecordItem, Tap};
use crate::health::{Health, StageStats};
use crate::sources::{Packet, Speed, wall_ns};

/// One source's way in.
pub struct Input {
    /// Its packets.
    pub receiver: Receiver<Packet>,
    /// How its stream time runs while no packets come.
    pub speed: Speed,
    /// Its packets are taken as they arrive. Those of other inputs are merged by their times.
    pub live: bool,
}

/// A site's inputs and its assembler.
pub struct Intake {
    inputs: Vec<Open>,
    assembler: Assembler,
    hop: Duration,
    tap: Arc<Tap>,
    record: Sender<RecordItem>,
    stats: Arc<StageStats>,
    health: Health,
    /// When a packet was last taken.
    last: Option<Instant>,
}

struct Open {
    input: Input,
    /// The next packet of an input that is merged.
    head: Option<Packet>,
}

/// Packets taken from a live input before the others are looked at.
const TURN: usize = 64;

impl Intake {
    /// Feeds `assembler` from `inputs`; while its tap asks for packets, every one also goes to `record`.
    pub fn new(
        inputs: Vec<Input>,
        assembler: Assembler,
        hop: Duration,
        (tap, record): (Arc<Tap>, Sender<RecordItem>),
        health: Health,
    ) -> Self {
        let inputs = inputs.into_iter().map(|input| Open { input, head: None }).collect();
        let hop = hop.max(Duration::from_millis(1));
        let stats = health.stage("assembly");
        Self { inputs, assembler, hop, tap, record, stats, health, last: None }
    }

    /// Runs until all inputs have ended or nobody takes windows.
    pub fn run(mut self, output: &Sender<CsiWindow>) {
        if self.inputs.is_empty() {
            // A site without a source has no frame to end with.
            return;
        }
        let mut open = true;
        let stats = self.stats.clone();
        let health = self.health.clone();
        let mut give = |mut window: CsiWindow| {
            window.trail = health.trails().begin(window.arrived);
            open = open && output.send(window).is_ok();
            if open {
                stats.given.add(1);
            }
            open
        };
        let mut wanted = true;
        while wanted {
            let mut emit = |window| wanted = give(window) && wanted;
            let progress = self.take_live(&mut emit) | self.take_merged(&mut emit);
            if progress {
                continue;
            }
            if self.inputs.is_empty() {
                self.assembler.finish(&mut emit);
                return;
            }
            if !self.wait() {
                self.idle(&mut emit);
            }
        }
    }

    /// Takes what the live inputs have.
    fn take_live(&mut self, emit: &mut dyn FnMut(CsiWindow)) -> bool {
        let mut progress = false;
        let mut at = 0;
        while at < self.inputs.len() {
            let mut ended = false;
            for _ in 0..TURN {
                if !self.inputs[at].input.live {
                    break;
                }
                match self.inputs[at].input.receiver.try_recv() {
                    Ok(packet) => {
                        progress = true;
                        self.push(packet, emit);
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        ended = true;
                        break;
                    }
                }
            }
            if ended {
                self.inputs.swap_remove(at);
                progress = true;
            } else {
                at += 1;
            }
        }
        progress
    }

    /// Takes the earliest packet of the merged inputs, once each of them has one.
    fn take_merged(&mut self, emit: &mut dyn FnMut(CsiWindow)) -> bool {
        let before = self.inputs.len();
        self.inputs.retain_mut(|open| {
            if open.input.live || open.head.is_some() {
                return true;
            }
            match open.input.receiver.try_recv() {
                Ok(packet) => open.head = Some(packet),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return false,
            }
            true
        });
        let merged = || self.inputs.iter().enumerate().filter(|(_, o)| !o.input.live);
        let complete = merged().all(|(_, o)| o.head.is_some());
        let time = |o: &Open| o.head.as_ref().map(|p| p.frame.time_ns);
        let earliest = merged().min_by_key(|(_, o)| time(o)).map(|(i, _)| i).filter(|_| complete);
        let packet = earliest.and_then(|i| self.inputs.get_mut(i)).and_then(|o| o.head.take());
        match packet {
            Some(packet) => {
                self.push(packet, emit);
                true
            }
            None => self.inputs.len() < before,
        }
    }

    fn push(&mut self, packet: Packet, emit: &mut dyn FnMut(CsiWindow)) {
        let started = Instant::now();
        self.stats.taken.add(1);
        self.stats.queued.set(self.inputs.iter().map(|o| o.input.receiver.len() as u64).sum());
        if self.tap.csi() {
            // A recorder that has died raised its fault; the pipeline goes on without it.
            let _ = self.record.send(RecordItem::Csi(packet.frame.clone()));
        }
        self.assembler.push(packet, emit);
        self.last = Some(Instant::now());
        self.stats.busy_ns.add(started.elapsed().as_nanos() as u64);
    }

    /// Waits for a packet for at most a hop; false when none came.
    fn wait(&self) -> bool {
        let mut select = Select::new();
        for open in self.inputs.iter().filter(|o| o.head.is_none()) {
            select.recv(&open.input.receiver);
        }
        select.ready_timeout(self.hop).is_ok()
    }

    /// Time goes on without packets, as far as any input's time runs by itself. One hop less than the clock says: what is on its way shall not
    /// come too late.
    fn idle(&mut self, emit: &mut dyn FnMut(CsiWindow)) {
        let fastest = self.inputs.iter().filter_map(|o| match o.input.speed {
            Speed::Times(speed) => Some(speed),
            Speed::Max => None,
        });
        let Some(speed) = fastest.reduce(f64::max) else { return };
        let now = match (self.last, self.assembler.newest_ns()) {
            (Some(last), Some(newest)) => {
                let passed = last.elapsed().saturating_sub(self.hop).as_secs_f64() * speed;
                self.last = Some(Instant::now().checked_sub(self.hop).unwrap_or(last));
                newest.saturating_add((passed * 1e9) as i64)
            }
            // No packet ever: a live site has a clock all the same.
            _ if self.inputs.iter().any(|o| o.input.live) => wall_ns(),
            _ => return,
        };
        self.assembler.idle(now, emit);
    }
}
