//! Cleanup: windows of raw CSI to windows of features that the radio's faults are not in.
//!
//! Takes [`CsiWindow`]s, gives [`CleanWindow`]s. Each step of a link's grid is cleaned once: the next window of the
//! link takes over what it shares with the one before.

use std::collections::HashMap;
use std::sync::Arc;

use invispose_kernels::delay::DelayPlan;
use invispose_kernels::doppler::DopplerPlan;
use invispose_kernels::mask::{self, Standard};
use invispose_kernels::{Complex32, Layout, agc, hampel, phase, ratio};

use super::assembly::{CsiWindow, LinkWindow};
use super::motion::{Motion, motion};
use crate::csi::LinkId;

/// A window and its links' features.
#[derive(Clone, Debug)]
pub struct CleanWindow {
    /// What it was made from, without the links.
    pub window: CsiWindow,
    /// The links, in the order in which the window had them.
    pub links: Vec<CleanLink>,
}

/// One link's features. Rows of steps that were not received are zeros.
#[derive(Clone, Debug)]
pub struct CleanLink {
    /// The raw packets on the grid.
    pub raw: LinkWindow,
    /// Columns of `raw` that carry signal, ascending; `S` is their number.
    pub columns: Arc<[u16]>,
    /// `[step][pair][S]`: amplitude of the packet scaled to unit mean power, without outliers (Hampel over time).
    pub amplitude: Vec<f32>,
    /// `[step][pair][S]`: phase without the slope and offset that the receiver's clocks add, common to all pairs.
    pub phase: Vec<f32>,
    /// `[step][tx × (rx − 1)][S]`: CSI of each further receive antenna over that of the first; empty with one antenna.
    pub ratio: Vec<Complex32>,
    /// `[bin]`: power over Doppler frequency (−rate/2 upward) of the window's last second, mean over streams of the ratio, or of
    /// the amplitude where there is no ratio; missing steps repeat the one before.
    pub doppler: Vec<f32>,
    /// `[bin]`: power over delay of the newest packet, mean over antenna pairs.
    pub delay: Vec<f32>,
    /// What moves; `None` with too few packets.
    pub motion: Option<Motion>,
    /// Steps at the end that are new since the link's last window.
    pub new_steps: usize,
}

/// Columns with less than this share of the median column's power hold noise, not signal.
const LIVE_FLOOR: f32 = 0.04;
/// Hampel filter: steps on either side, and deviations.
const HAMPEL_HALF: usize = 3;
const HAMPEL_SIGMAS: f32 = 3.0;
/// The ratio's divisor is at least this share of the reference antenna's mean power.
const RATIO_FLOOR: f32 = 1e-2;
/// Streams that go into the Doppler spectrum.
const DOPPLER_STREAMS: usize = 8;
/// The columns with signal are looked for again after this many windows.
const COLUMNS_FOR: u32 = 600;

/// The state of all sites' links.
#[derive(Default)]
pub struct Cleanup {
    links: HashMap<(Arc<str>, LinkId, Layout), LinkState>,
}

struct LinkState {
    end_step: i64,
    columns: Arc<[u16]>,
    /// Packets that `columns` were found from, and windows since.
    found_from: usize,
    windows: u32,
    index: Vec<f32>,
    scaled: Vec<f32>,
    amplitude: Vec<f32>,
    phase: Vec<f32>,
    ratio: Vec<Complex32>,
    doppler: DopplerPlan,
    delay: DelayPlan,
}

impl Cleanup {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cleans one window.
    pub fn run(&mut self, mut window: CsiWindow) -> CleanWindow {
        let oldest = window.end_step - window.grid.steps as i64;
        if window.reset {
            self.links.retain(|(site, _, _), _| *site != window.site);
        } else {
            self.links.retain(|(site, _, _), state| *site != window.site || state.end_step > oldest);
        }
        let links = std::mem::take(&mut window.links)
            .into_iter()
            .map(|raw| {
                let key = (window.site.clone(), raw.link.clone(), raw.layout);
                let before = self.links.remove(&key);
                let (state, new_steps) = LinkState::next(before, window.end_step, &raw, window.grid.rate_hz);
                let (clean, state) = state.finish(raw, new_steps);
                self.links.insert(key, state);
                clean
            })
            .collect();
        CleanWindow { window, links }
    }
}

impl LinkState {
    /// The state at the window's end, from the one before where it can be continued, and how many steps are new.
    fn next(before: Option<Self>, end_step: i64, raw: &LinkWindow, rate_hz: f64) -> (Self, usize) {
        let steps = raw.received.len();
        let packets = raw.received.iter().filter(|r| **r).count();
        if let Some(mut state) = before {
            let moved = usize::try_from(end_step - state.end_step).unwrap_or(steps);
            let same = state.scaled.len() == steps * state.streams(raw.layout);
            let settled = state.windows < COLUMNS_FOR && packets <= 2 * state.found_from;
            if moved <= steps && same {
                let unchanged = settled || {
                    let found = columns(raw);
                    state.found_from = packets;
                    state.windows = 0;
                    *found == *state.columns
                };
                if unchanged {
                    state.windows += 1;
                    state.end_step = end_step;
                    state.shift(moved, steps, raw.layout);
                    state.clean(raw, steps - moved);
                    return (state, moved);
                }
            }
        }
        let columns: Arc<[u16]> = columns(raw).into();
        let index = columns.iter().map(|&c| column_index(raw, c)).collect();
        let streams = raw.layout.pairs() * columns.len();
        let second = (rate_hz.round() as usize).clamp(2, steps);
        let mut state = Self {
            end_step,
            found_from: packets,
            windows: 0,
            index,
            scaled: vec![0.0; steps * streams],
            amplitude: vec![0.0; steps * streams],
            phase: vec![0.0; steps * streams],
            ratio: vec![Complex32::ZERO; steps * ratios(raw.layout) * columns.len()],
            doppler: DopplerPlan::new(second, second),
            delay: DelayPlan::contiguous(columns.len().max(1)),
            columns,
        };
        state.clean(raw, 0);
        (state, steps)
    }

    fn streams(&self, layout: Layout) -> usize {
        layout.pairs() * self.columns.len()
    }

    /// Moves everything `moved` steps toward the past.
    fn shift(&mut self, moved: usize, steps: usize, layout: Layout) {
        fn rows<T: Copy>(values: &mut [T], moved: usize, steps: usize) {
            let row = values.len() / steps.max(1);
            values.copy_within(moved * row.., 0);
        }
        debug_assert_eq!(self.scaled.len(), steps * self.streams(layout));
        rows(&mut self.scaled, moved, steps);
        rows(&mut self.amplitude, moved, steps);
        rows(&mut self.phase, moved, steps);
        rows(&mut self.ratio, moved, steps);
    }

    /// Cleans the steps from `from` on.
    fn clean(&mut self, raw: &LinkWindow, from: usize) {
        let (layout, width) = (raw.layout, self.columns.len());
        let (steps, streams) = (raw.received.len(), self.streams(layout));
        if streams == 0 {
            return;
        }
        let subcarriers = usize::from(layout.subcarriers);
        let mut packet = vec![Complex32::ZERO; streams];
        for step in from..steps {
            let values = layout.values();
            let row = step * streams..(step + 1) * streams;
            let further = ratios(layout) * width;
            let ratio_row = step * further..(step + 1) * further;
            if !raw.received[step] {
                self.scaled[row.clone()].fill(0.0);
                self.phase[row].fill(0.0);
                self.ratio[ratio_row].fill(Complex32::ZERO);
                continue;
            }
            mask::select_columns(
                &raw.csi[step * values..(step + 1) * values],
                subcarriers,
                &self.columns,
                &mut packet,
            );
            for h in packet.iter_mut().filter(|h| !(h.re.is_finite() && h.im.is_finite())) {
                *h = Complex32::ZERO;
            }
            agc::normalise(&mut packet, width, &[]);
            for (a, h) in self.scaled[row.clone()].iter_mut().zip(&packet) {
                *a = h.norm();
            }
            phase::sanitise_spotfi(&packet, &self.index, &mut self.phase[row]);
            for (tx, out) in self.ratio[ratio_row]
                .chunks_exact_mut((further / usize::from(layout.tx.max(1))).max(1))
                .enumerate()
            {
                let chain = &packet[tx * usize::from(layout.rx) * width..][..usize::from(layout.rx) * width];
                let (reference, others) = chain.split_at(width);
                let floor = ratio::ratio_floor(reference, RATIO_FLOOR);
                for (h, o) in others.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    ratio::csi_ratio(h, reference, floor, o);
                }
            }
        }
        self.filter(raw, from.saturating_sub(HAMPEL_HALF), streams);
    }

    /// Hampel over the received steps from `from` on; those right before it serve as neighbours only.
    fn filter(&mut self, raw: &LinkWindow, from: usize, streams: usize) {
        let steps = raw.received.len();
        let mut start = from;
        let mut before = 0;
        while start > 0 && before < HAMPEL_HALF {
            start -= 1;
            before += usize::from(raw.received[start]);
        }
        let used: Vec<usize> = (start..steps).filter(|&t| raw.received[t]).collect();
        let mut column = vec![0.0; used.len()];
        let mut filtered = vec![0.0; used.len()];
        let mut scratch = [0.0; 2 * HAMPEL_HALF + 1];
        self.amplitude[from * streams..].fill(0.0);
        for s in 0..streams {
            column.iter_mut().zip(&used).for_each(|(c, &t)| *c = self.scaled[t * streams + s]);
            hampel::hampel(&column, HAMPEL_HALF, HAMPEL_SIGMAS, &mut scratch, &mut filtered);
            for (&t, &value) in used.iter().zip(&filtered).filter(|(t, _)| **t >= from) {
                self.amplitude[t * streams + s] = value;
            }
        }
    }

    fn finish(mut self, raw: LinkWindow, new_steps: usize) -> (CleanLink, Self) {
        let streams = self.streams(raw.layout);
        let clean = CleanLink {
            columns: self.columns.clone(),
            amplitude: self.amplitude.clone(),
            phase: self.phase.clone(),
            ratio: self.ratio.clone(),
            doppler: self.doppler_spectrum(&raw),
            delay: self.delay_profile(&raw),
            // Unfiltered: the filter makes neighbours alike, which is what is measured here.
            motion: motion(&self.scaled, streams, &raw.received),
            new_steps,
            raw,
        };
        (clean, self)
    }

    fn doppler_spectrum(&mut self, raw: &LinkWindow) -> Vec<f32> {
        let steps = raw.received.len();
        let bins = self.doppler.bins();
        let width =
            if self.ratio.is_empty() { self.amplitude.len() } else { self.ratio.len() } / steps.max(1);
        let chosen: Vec<usize> = (0..width).step_by(width.div_ceil(DOPPLER_STREAMS).max(1)).collect();
        let mut sum = vec![0.0; bins];
        let mut power = vec![0.0; bins];
        let mut line = vec![Complex32::ZERO; bins];
        for &s in &chosen {
            let value = |t: usize| match self.ratio.get(t * width + s) {
                Some(&r) => r,
                None => Complex32::new(self.amplitude[t * width + s], 0.0),
            };
            let mut held = (0..steps).find(|&t| raw.received[t]).map_or(Complex32::ZERO, value);
            for t in 0..steps {
                if raw.received[t] {
                    held = value(t);
                }
                if let Some(slot) = (t + bins).checked_sub(steps).and_then(|k| line.get_mut(k)) {
                    *slot = held;
                }
            }
            self.doppler.run(&line, 1, 0, &mut power);
            sum.iter_mut().zip(&power).for_each(|(s, p)| *s += p / chosen.len() as f32);
        }
        sum
    }

    fn delay_profile(&mut self, raw: &LinkWindow) -> Vec<f32> {
        let width = self.columns.len();
        let mut sum = vec![0.0; self.delay.len()];
        let Some(newest) = raw.received.iter().rposition(|r| *r) else { return sum };
        if width == 0 {
            return sum;
        }
        let mut power = vec![0.0; sum.len()];
        let row = newest * width * raw.layout.pairs();
        for pair in 0..raw.layout.pairs() {
            let at = row + pair * width..row + (pair + 1) * width;
            let polar = self.amplitude[at.clone()].iter().zip(&self.phase[at]);
            let line: Vec<Complex32> = polar.map(|(&a, &p)| Complex32::from_polar(a, p)).collect();
            self.delay.run(&line, &mut power);
            sum.iter_mut().zip(&power).for_each(|(s, p)| *s += p / raw.layout.pairs() as f32);
        }
        sum
    }
}

/// Ratios of one packet, without the subcarriers.
fn ratios(layout: Layout) -> usize {
    usize::from(layout.tx) * usize::from(layout.rx).saturating_sub(1)
}

/// The columns that carry signal: those that the standard uses, where the indices say which one it is, and that have power.
fn columns(raw: &LinkWindow) -> Vec<u16> {
    let subcarriers = usize::from(raw.layout.subcarriers);
    let mut power = vec![0.0f32; subcarriers];
    let rows = raw.csi.chunks_exact(raw.layout.values().max(1)).zip(&raw.received).filter(|(_, got)| **got);
    for row in rows.flat_map(|(packet, _)| packet.chunks_exact(subcarriers.max(1))) {
        for (p, h) in power.iter_mut().zip(row) {
            let square = h.norm_sqr();
            *p += if square.is_finite() { square } else { 0.0 };
        }
    }
    let live = mask::live_columns(&power, LIVE_FLOOR);
    let Some((index, standard)) = raw.subcarrier_index.as_deref().and_then(|i| Some((i, standard(raw, i)?)))
    else {
        return live;
    };
    // Pilots of one stream hold channel estimates like all others; with several streams only the first has them.
    let used = mask::usable_columns(standard, index, raw.layout.tx <= 1);
    let both: Vec<u16> = live.iter().copied().filter(|c| used.binary_search(c).is_ok()).collect();
    if 2 * both.len() >= live.len() { both } else { live }
}

/// The tone plan that has these indices in this bandwidth.
fn standard(raw: &LinkWindow, index: &[i16]) -> Option<Standard> {
    let edge = index.iter().map(|i| i.unsigned_abs()).max()?;
    let (plain, efficient) = match raw.bandwidth_mhz? {
        20 if edge <= 26 => (Standard::Legacy20, Standard::He20),
        20 => (Standard::Ht20, Standard::He20),
        40 => (Standard::Ht40, Standard::He40),
        80 => (Standard::Vht80, Standard::He80),
        160 => (Standard::Vht160, Standard::He160),
        _ => return None,
    };
    let half = |s: Standard| (s.fft_len() / 2) as u16;
    [plain, efficient].into_iter().find(|&s| edge <= half(s))
}

fn column_index(raw: &LinkWindow, column: u16) -> f32 {
    let known = raw.subcarrier_index.as_deref().and_then(|i| i.get(usize::from(column)));
    known.map_or(f32::from(column), |&i| f32::from(i))
}
