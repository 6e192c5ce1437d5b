//! Assembly: packets of all links of a site, as they come, to windows on a uniform time grid.
//!
//! Takes [`Packet`]s, gives [`CsiWindow`]s. The clock is the packets' own time: a window is given when packets have
//! come that are later than its end by the reordering allowance, or when [`Assembler::idle`] says that time went on without packets.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use invispose_kernels::grid::{self, Grid, MISSING};
use invispose_kernels::{Complex32, Layout};

use crate::csi::LinkId;
use crate::pose::SourceKind;
use crate::sources::Packet;
use crate::trail::Trail;

/// Times and bounds of an [`Assembler`].
#[derive(Clone, Debug, PartialEq)]
pub struct AssemblyConfig {
    /// Steps per second of the grid; rounded so that a step is a whole number of nanoseconds.
    pub rate_hz: f64,
    /// Length of a window.
    pub window: Duration,
    /// From one window to the next, in stream time.
    pub hop: Duration,
    /// Packets may come in another order than that of their times by this much.
    pub reorder: Duration,
    /// A packet that is later than the newest by more than this, or earlier by more than `step_back`, is believed only
    /// when others agree with it.
    pub step_forward: Duration,
    /// See `step_forward`.
    pub step_back: Duration,
    /// A link that was silent for this long no longer counts as one of the site's links.
    pub forget: Duration,
    /// Streams (links × layouts) kept at once.
    pub max_streams: usize,
    /// Complex values that the windows of all streams hold together (steps × antennas × subcarriers of each).
    pub max_values: usize,
}

impl Default for AssemblyConfig {
    fn default() -> Self {
        Self {
            rate_hz: 50.0,
            window: Duration::from_secs(2),
            hop: Duration::from_millis(50),
            reorder: Duration::from_millis(20),
            step_forward: Duration::from_secs(10),
            step_back: Duration::from_secs(1),
            forget: Duration::from_secs(30),
            max_streams: 4096,
            max_values: 16 << 20,
        }
    }
}

/// The last seconds of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct CsiWindow {
    /// The site.
    pub site: Arc<str>,
    /// Where the packets came from.
    pub source: SourceKind,
    /// The grid; its end is the window's time.
    pub grid: Grid,
    /// Number of the grid's last step: `end_ns / period`. A step that was given once never changes.
    pub end_step: i64,
    /// One entry for each link and layout with at least one packet in the window, in the order of link and layout.
    pub links: Vec<LinkWindow>,
    /// Links heard within [`AssemblyConfig::forget`].
    pub known_links: usize,
    /// Links heard within the last half second, or one window's hop where that is longer.
    pub fresh_links: usize,
    /// The clock jumped: nothing learned from time before this window continues.
    pub reset: bool,
    /// The last window: the sources have ended.
    pub last: bool,
    /// When the newest packet of the window entered the process; `None` without one.
    pub arrived: Option<Instant>,
    /// Its way, where it is followed.
    pub trail: Option<Box<Trail>>,
}

/// One link and layout on the window's grid.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkWindow {
    /// The link.
    pub link: LinkId,
    /// Its packets' layout.
    pub layout: Layout,
    /// IEEE index of each column, from the newest packet.
    pub subcarrier_index: Option<Arc<[i16]>>,
    /// Centre frequency in MHz, from the newest packet.
    pub center_mhz: Option<f32>,
    /// Bandwidth in MHz, from the newest packet.
    pub bandwidth_mhz: Option<u16>,
    /// `[step]`: RSSI of the packet in dBm.
    pub rssi_dbm: Vec<Option<f32>>,
    /// `[step][tx][rx][subcarrier]`, zeros where no packet came.
    pub csi: Vec<Complex32>,
    /// `[step]`: a packet was received within half a step.
    pub received: Vec<bool>,
}

/// Where windows go.
pub type Emit<'a> = &'a mut dyn FnMut(CsiWindow);

/// The state of one site. Memory is bounded by [`AssemblyConfig`] whatever comes.
///
/// Every packet is booked on its own account: accepted, or rejected as `late` (its step was given already), `duplicate`
/// (a better packet of the same step is there), `clock_jump` (its time agrees with no other packet), `too_many_links` or
/// `memory`.
pub struct Assembler {
    site: Arc<str>,
    source: SourceKind,
    config: AssemblyConfig,
    period: i64,
    steps: usize,
    reorder: i64,
    hop: i64,
    clock: Option<Clock>,
    streams: HashMap<(LinkId, Layout), Stream>,
    /// Sum of `steps * layout.values()` over the streams.
    values: usize,
    /// A window with data was given, or [`Assembler::idle`] asked for windows without.
    started: bool,
    known: HashMap<LinkId, Known>,
    suspects: Vec<Packet>,
    reset: bool,
    arrived: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Clock {
    /// Newest believed time.
    newest: i64,
    /// Number of the next hop boundary to give.
    next_hop: i64,
    /// Steps up to this one were given.
    given: i64,
}

#[derive(Clone, Copy)]
struct Known {
    first: i64,
    last: i64,
}

struct Stream {
    /// Step of `cells[0]`.
    first: i64,
    cells: VecDeque<Option<Cell>>,
}

struct Cell {
    time: i64,
    sequence: Option<u32>,
    rssi_dbm: Option<f32>,
    center_mhz: Option<f32>,
    bandwidth_mhz: Option<u16>,
    subcarrier_index: Option<Arc<[i16]>>,
    arrived: Instant,
    csi: Vec<Complex32>,
}

/// So many packets that agree with each other move the clock.
const AGREEING: usize = 4;

impl Assembler {
    /// An assembler without packets.
    pub fn new(site: impl Into<Arc<str>>, source: SourceKind, config: AssemblyConfig) -> Self {
        let period = (1e9 / config.rate_hz.clamp(0.1, 1e5)).round() as i64;
        let ns = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX / 4);
        let steps = (ns(config.window) / period).clamp(2, 1 << 20) as usize;
        Self {
            site: site.into(),
            source,
            period,
            steps,
            reorder: ns(config.reorder),
            hop: ns(config.hop).max(period),
            config,
            clock: None,
            streams: HashMap::new(),
            values: 0,
            started: false,
            known: HashMap::new(),
            suspects: Vec::new(),
            reset: true,
            arrived: None,
        }
    }

    /// The stream time up to which packets or [`Assembler::idle`] have led.
    pub fn newest_ns(&self) -> Option<i64> {
        self.clock.map(|c| c.newest)
    }

    /// Takes one packet and gives the windows that it completes.
    pub fn push(&mut self, packet: Packet, emit: Emit<'_>) {
        let time = packet.frame.time_ns;
        if let Some(clock) = self.clock {
            if self.follows(clock.newest, time) {
                self.discard_suspects();
            } else {
                self.suspect(packet, emit);
                return;
            }
        } else {
            self.start(time);
        }
        self.place(packet);
        self.advance(time, emit);
    }

    /// Stream time has come to `now_ns` without packets.
    pub fn idle(&mut self, now_ns: i64, emit: Emit<'_>) {
        match self.clock {
            // A site that never had a packet has a clock too: it says "no data" from the start.
            None => {
                self.start(now_ns);
                self.started = true;
            }
            Some(clock) if now_ns.saturating_sub(clock.newest) > self.step_forward() => {
                self.discard_suspects();
                self.flush(emit);
                self.restart(now_ns);
                self.started = true;
            }
            Some(_) => {}
        }
        self.advance(now_ns, emit);
    }

    /// The sources have ended: gives what is there, then one window without data.
    pub fn finish(mut self, emit: Emit<'_>) {
        self.discard_suspects();
        self.flush(emit);
        let end = self.clock.map_or(0, |c| c.given + 1);
        self.streams.clear();
        self.known.clear();
        let mut window = self.window(end);
        window.last = true;
        emit(window);
    }

    fn step_forward(&self) -> i64 {
        i64::try_from(self.config.step_forward.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Can a packet of `time` come after one of `before`?
    fn follows(&self, before: i64, time: i64) -> bool {
        let step = time.saturating_sub(before);
        let back = i64::try_from(self.config.step_back.as_nanos()).unwrap_or(i64::MAX).max(self.reorder);
        step <= self.step_forward() && step >= -back
    }

    fn suspect(&mut self, packet: Packet, emit: Emit<'_>) {
        let agrees = self.suspects.last().is_none_or(|p| self.follows(p.frame.time_ns, packet.frame.time_ns));
        if !agrees {
            self.discard_suspects();
        }
        self.suspects.push(packet);
        if self.suspects.len() >= AGREEING {
            let believed = std::mem::take(&mut self.suspects);
            self.flush(emit);
            // Not the newest: all of them are to find their step still open.
            let earliest = believed.iter().map(|p| p.frame.time_ns).min().unwrap_or(0);
            self.restart(earliest);
            for packet in believed {
                self.push(packet, emit);
            }
        }
    }

    fn discard_suspects(&mut self) {
        for packet in self.suspects.drain(..) {
            packet.account.reject("clock_jump");
        }
    }

    fn start(&mut self, time: i64) {
        // Early enough for every packet that may still come before this one.
        let earliest = time.saturating_sub(self.reorder).saturating_sub(self.period);
        let next_hop = earliest.div_euclid(self.hop);
        let given = self.step_of(time.saturating_sub(self.reorder)).saturating_sub(1);
        self.clock = Some(Clock { newest: time, next_hop, given });
    }

    fn restart(&mut self, time: i64) {
        self.streams.clear();
        self.values = 0;
        self.started = false;
        self.known.clear();
        self.reset = true;
        self.start(time);
    }

    /// The step whose middle is within half a period of `time`.
    fn step_of(&self, time: i64) -> i64 {
        time.saturating_add(self.period / 2).div_euclid(self.period)
    }

    fn place(&mut self, packet: Packet) {
        let Packet { frame, arrived, account } = packet;
        let step = self.step_of(frame.time_ns);
        if self.clock.is_some_and(|c| step <= c.given) {
            account.reject("late");
            return;
        }
        let key = (frame.link.clone(), frame.layout);
        if !self.streams.contains_key(&key) {
            let needed = self.steps.saturating_mul(frame.layout.values());
            if self.streams.len() >= self.config.max_streams {
                account.reject("too_many_links");
                return;
            }
            if self.values.saturating_add(needed) > self.config.max_values {
                account.reject("memory");
                return;
            }
            self.values += needed;
        }
        let known = self.known.entry(frame.link.clone()).or_insert(Known { first: step, last: step });
        *known = Known { first: known.first.min(step), last: known.last.max(step) };
        let stream =
            self.streams.entry(key).or_insert_with(|| Stream { first: step, cells: VecDeque::new() });
        while step < stream.first {
            stream.cells.push_front(None);
            stream.first -= 1;
        }
        let at = (step - stream.first) as usize;
        while stream.cells.len() <= at {
            stream.cells.push_back(None);
        }
        let cell = Cell {
            time: frame.time_ns,
            sequence: frame.sequence,
            rssi_dbm: frame.rssi_dbm,
            center_mhz: frame.center_mhz,
            bandwidth_mhz: frame.bandwidth_mhz,
            subcarrier_index: frame.subcarrier_index,
            arrived,
            csi: frame.csi,
        };
        account.last_ns.set(u64::try_from(frame.time_ns).unwrap_or(0));
        let middle = step * self.period;
        match &mut stream.cells[at] {
            Some(held) if !closer(&cell, held, middle) => {
                let same = held.time == cell.time && held.sequence == cell.sequence;
                if same { account.reject("duplicate") } else { account.accepted.add(1) }
            }
            place => {
                account.accepted.add(1);
                *place = Some(cell);
            }
        }
    }

    /// Gives the windows whose packets must all have come by the stream time `now`.
    fn advance(&mut self, now: i64, emit: Emit<'_>) {
        let Some(mut clock) = self.clock else { return };
        clock.newest = clock.newest.max(now);
        self.clock = Some(clock);
        loop {
            let end = self.end_step(clock.next_hop);
            let complete = (end * self.period).saturating_add(self.period - self.period / 2 + self.reorder);
            if complete > clock.newest {
                break;
            }
            let window = self.window(end);
            self.started |= !window.links.is_empty();
            if self.started {
                self.reset = false;
                emit(window);
            }
            clock.given = clock.given.max(end);
            clock.next_hop += 1;
            self.clock = Some(clock);
        }
    }

    /// Gives all windows up to the newest packet.
    fn flush(&mut self, emit: Emit<'_>) {
        let Some(clock) = self.clock else { return };
        let wait = self.reorder.saturating_add(self.period).saturating_add(self.hop);
        self.advance(clock.newest.saturating_add(wait), emit);
    }

    fn end_step(&self, hop: i64) -> i64 {
        hop.saturating_mul(self.hop).div_euclid(self.period)
    }

    fn window(&mut self, end: i64) -> CsiWindow {
        let steps = self.steps as i64;
        let start = end - steps + 1;
        let mut freed = 0;
        self.streams.retain(|(_, layout), stream| {
            while stream.first < start && stream.cells.pop_front().is_some() {
                stream.first += 1;
            }
            let keep = !stream.cells.is_empty();
            freed += if keep { 0 } else { self.steps * layout.values() };
            keep
        });
        self.values = self.values.saturating_sub(freed);
        let forget = (self.config.forget.as_nanos() as i64 / self.period).max(steps);
        self.known.retain(|_, known| known.last >= end - forget);

        let fresh_from = end - (500_000_000.max(self.hop) / self.period).max(1) + 1;
        let mut fresh: Vec<&LinkId> = Vec::new();
        let mut links = Vec::new();
        for ((link, layout), stream) in &self.streams {
            if let Some(window) = stream.window(link, *layout, start, self.steps) {
                links.push(window);
                if stream.has_from(fresh_from, end) {
                    fresh.push(link);
                }
            }
        }
        fresh.sort_unstable();
        fresh.dedup();
        links.sort_unstable_by(|a, b| (&a.link, a.layout).cmp(&(&b.link, b.layout)));
        let arrived = self.streams.values().filter_map(|s| s.newest(end).map(|c| c.arrived)).max();
        if arrived.is_some() {
            self.arrived = arrived;
        }
        CsiWindow {
            site: self.site.clone(),
            source: self.source,
            grid: Grid {
                end_ns: end.saturating_mul(self.period),
                rate_hz: 1e9 / self.period as f64,
                steps: self.steps,
            },
            end_step: end,
            fresh_links: fresh.len(),
            links,
            known_links: self.known.values().filter(|k| k.first <= end).count(),
            reset: self.reset,
            last: false,
            arrived,
            trail: None,
        }
    }
}

impl Stream {
    fn get(&self, step: i64) -> Option<&Cell> {
        let at = usize::try_from(step - self.first).ok()?;
        self.cells.get(at)?.as_ref()
    }

    fn newest(&self, end: i64) -> Option<&Cell> {
        let count = usize::try_from(end - self.first + 1).ok()?;
        self.cells.iter().take(count).rev().flatten().next()
    }

    fn has_from(&self, from: i64, end: i64) -> bool {
        (from.max(self.first)..=end).any(|step| self.get(step).is_some())
    }

    fn window(&self, link: &LinkId, layout: Layout, start: i64, steps: usize) -> Option<LinkWindow> {
        let end = start + steps as i64 - 1;
        let newest = self.newest(end)?;
        let cells: Vec<Option<&Cell>> = (start..=end).map(|step| self.get(step)).collect();
        let source: Vec<u32> =
            (0u32..).zip(&cells).map(|(k, cell)| if cell.is_some() { k } else { MISSING }).collect();
        let mut csi = vec![Complex32::ZERO; steps * layout.values()];
        let mut received = vec![false; steps];
        let packet = |k: usize| cells.get(k).copied().flatten().map_or(&[][..], |c| &c.csi);
        grid::gather(&source, layout.values(), packet, &mut csi, &mut received);
        Some(LinkWindow {
            link: link.clone(),
            layout,
            subcarrier_index: newest.subcarrier_index.clone(),
            center_mhz: newest.center_mhz,
            bandwidth_mhz: newest.bandwidth_mhz,
            rssi_dbm: cells.iter().map(|c| c.and_then(|c| c.rssi_dbm)).collect(),
            csi,
            received,
        })
    }
}

/// Is `a` the better packet for the step at `middle`? A total order, so that the order of arrival decides nothing.
fn closer(a: &Cell, b: &Cell, middle: i64) -> bool {
    let rank = |c: &Cell| (c.time.abs_diff(middle), c.time, c.sequence);
    let bits = |c: &Cell| c.csi.iter().flat_map(|v| [v.re.to_bits(), v.im.to_bits()]).collect::<Vec<u32>>();
    rank(a).cmp(&rank(b)).then_with(|| bits(a).cmp(&bits(b))).is_lt()
}
