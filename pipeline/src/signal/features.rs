//! What classifiers look at: what moves in a link's last two seconds, how fast, where in the band, and how the channel differs from the quiet room's.

use std::collections::{HashMap, VecDeque};
use std::f32::consts::TAU;
use std::sync::Arc;

use invispose_kernels::Layout;

use crate::csi::LinkId;
use crate::stages::cleanup::{CleanLink, CleanWindow};
use crate::stages::segments::Segments;

/// Streams of a link that are looked at.
const MAX_STREAMS: usize = 32;
/// Groups of neighbouring streams.
const GROUPS: usize = 8;
/// Edges of the bands of frequency, hertz: posture, trunk, limbs, feet, what is faster.
const EDGES_HZ: [f32; 6] = [0.5, 1.5, 4.0, 8.0, 14.0, 24.0];
const BANDS: usize = EDGES_HZ.len() - 1;
/// Bands whose past counts too, and how long ago, in looks.
const PAST_BANDS: usize = 3;
const PAST: [usize; 3] = [4, 8, 16];
/// From one look to the next, nanoseconds.
const EVERY_NS: i64 = 250_000_000;
/// Least share of the window's steps with a packet.
const LEAST_RECEIVED: f32 = 0.3;
/// What is added before a logarithm: less than the noise of any receiver, relative to the amplitude's square.
const FLOOR: f32 = 1e-7;

/// Features of one link without its past.
const NOW: usize = BANDS + 1 + GROUPS;
/// Features of one link without the shift of its channel.
const MOVING: usize = NOW + PAST.len() * PAST_BANDS;

/// Which links are looked at, in this order, and their quiet room's amplitudes, where the shift of the channel counts too.
#[derive(Clone, Debug, PartialEq)]
pub struct LookConfig {
    /// Links and layouts.
    pub links: Vec<(LinkId, Layout)>,
    /// For each link `[tx][rx][subcarrier]` (see [`LinkBaseline::profile`](crate::stages::baseline::LinkBaseline::profile)); empty: the shift
    /// does not count.
    pub profiles: Vec<Arc<[f32]>>,
}

impl LookConfig {
    /// Numbers of one look.
    pub fn width(&self) -> usize {
        let shift = if self.profiles.is_empty() { 0 } else { GROUPS };
        self.links.len() * (MOVING + shift)
    }
}

/// Features of all links at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Stream time, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// As many as [`LookConfig::width`] says.
    pub values: Vec<f64>,
}

/// Looks at a stream of windows four times a second.
#[derive(Debug)]
pub struct Looks {
    config: LookConfig,
    places: HashMap<(LinkId, Layout), usize>,
    last_ns: Option<i64>,
    /// By link, the newest last.
    past: Vec<VecDeque<[f32; NOW]>>,
}

impl Looks {
    /// Nothing seen yet.
    pub fn new(config: LookConfig) -> Self {
        let places = config.links.iter().cloned().zip(0..).collect();
        let past = vec![VecDeque::new(); config.links.len()];
        Self { config, places, last_ns: None, past }
    }

    /// What is seen at the end of a window; `None` between looks, and until all links were heard without a gap for as long as the past
    /// counts.
    pub fn take(&mut self, window: &CleanWindow) -> Option<Look> {
        let time_ns = window.window.grid.end_ns;
        let since = self.last_ns.map_or(i64::MAX, |last| time_ns.saturating_sub(last));
        if (0..EVERY_NS).contains(&since) && !window.window.reset {
            return None;
        }
        self.last_ns = Some(time_ns);
        // A look that is late by half leaves a gap.
        if window.window.reset || !(EVERY_NS..EVERY_NS * 3 / 2).contains(&since) {
            self.past.iter_mut().for_each(VecDeque::clear);
        }
        let mut shifts: Vec<Option<[f32; GROUPS]>> = vec![None; self.past.len()];
        let mut heard = vec![false; self.past.len()];
        for link in &window.links {
            let Some(&place) = self.places.get(&(link.raw.link.clone(), link.raw.layout)) else { continue };
            let Some(series) = Series::of(link) else { continue };
            let past = &mut self.past[place];
            past.push_back(series.moving(window.window.grid.rate_hz as f32));
            while past.len() > PAST[PAST.len() - 1] + 1 {
                past.pop_front();
            }
            heard[place] = true;
            shifts[place] = self.config.profiles.get(place).and_then(|profile| series.shift(link, profile));
        }
        for (past, _) in self.past.iter_mut().zip(heard).filter(|(_, heard)| !heard) {
            past.clear();
        }
        let mut values = Vec::with_capacity(self.config.width());
        for (past, shift) in self.past.iter().zip(shifts) {
            let (now, before) = (past.back()?, |ago: usize| past.get(past.len().checked_sub(ago + 1)?));
            values.extend(now.map(f64::from));
            for ago in PAST {
                values.extend(before(ago)?.iter().take(PAST_BANDS).copied().map(f64::from));
            }
            if !self.config.profiles.is_empty() {
                values.extend(shift?.map(f64::from));
            }
        }
        values.iter().all(|v| v.is_finite()).then_some(Look { time_ns, values })
    }
}

/// A link's amplitudes over a window, `[step][stream]`, gaps bridged by the packet before.
struct Series {
    streams: usize,
    stride: usize,
    rows: Vec<f32>,
}

impl Series {
    fn of(link: &CleanLink) -> Option<Self> {
        let raw = &link.raw;
        let (steps, values) = (raw.received.len(), raw.layout.values());
        let subcarriers = usize::from(raw.layout.subcarriers);
        let width = raw.layout.pairs() * link.columns.len();
        let received = raw.received.iter().filter(|got| **got).count();
        if width < GROUPS || (received as f32) < LEAST_RECEIVED * steps as f32 {
            return None;
        }
        let stride = width.div_ceil(MAX_STREAMS);
        let streams = width.div_ceil(stride);
        let segments = Segments::of(raw, &link.columns);
        let mut row = vec![0.0; width];
        let first = raw.received.iter().position(|got| *got)?;
        let mut rows = Vec::with_capacity(steps * streams);
        for step in std::iter::repeat_n(first, first).chain(first..steps) {
            if raw.received[step] {
                let packet = raw.csi.get(step * values..(step + 1) * values)?;
                let used = packet
                    .chunks_exact(subcarriers.max(1))
                    .flat_map(|pair| link.columns.iter().map(|&c| pair[usize::from(c)].norm()));
                row.iter_mut().zip(used).for_each(|(a, h)| *a = if h.is_finite() { h } else { 0.0 });
                segments.normalise(&mut row);
            }
            rows.extend(row.iter().step_by(stride));
        }
        Some(Self { streams, stride, rows })
    }

    /// Logarithms of the energy in each band and of all together, and how the variation is spread over groups of streams.
    fn moving(&self, rate_hz: f32) -> [f32; NOW] {
        let steps = self.rows.len() / self.streams;
        let mut variance = vec![0.0f32; self.streams];
        let mut bands = [0.0f32; BANDS];
        let taper: Vec<f32> =
            (0..steps).map(|t| (0.5 * TAU * (t as f32 + 0.5) / steps as f32).sin().powi(2)).collect();
        let mut centred = vec![0.0f32; steps];
        let bins: Vec<(usize, usize)> = (1..steps / 2)
            .filter_map(|k| {
                let hz = k as f32 * rate_hz / steps as f32;
                let band = EDGES_HZ.windows(2).position(|e| (e[0]..e[1]).contains(&hz))?;
                Some((k, band))
            })
            .collect();
        let turns: Vec<(f32, f32)> = (0..steps).map(|t| (TAU * t as f32 / steps as f32).sin_cos()).collect();
        for (s, variance) in variance.iter_mut().enumerate() {
            let column = self.rows.iter().skip(s).step_by(self.streams);
            let mean = column.clone().sum::<f32>() / steps as f32;
            centred.iter_mut().zip(column).for_each(|(c, v)| *c = v - mean);
            *variance = centred.iter().map(|c| c * c).sum::<f32>() / steps as f32;
            centred.iter_mut().zip(&taper).for_each(|(c, w)| *c *= w);
            for &(k, band) in &bins {
                let (mut re, mut im) = (0.0, 0.0);
                for (t, c) in centred.iter().enumerate() {
                    let (sin, cos) = turns[k * t % steps];
                    re += c * cos;
                    im += c * sin;
                }
                bands[band] += re * re + im * im;
            }
        }
        let mut out = [0.0; NOW];
        let scale = 1.0 / (self.streams as f32 * (steps * steps) as f32);
        for (to, energy) in out.iter_mut().zip(bands) {
            *to = (energy * scale + FLOOR).ln();
        }
        let all = variance.iter().sum::<f32>() / self.streams as f32;
        out[BANDS] = (all + FLOOR).ln();
        for (to, group) in out[BANDS + 1..].iter_mut().zip(groups(&variance)) {
            *to = ((group + FLOOR) / (all + FLOOR)).ln();
        }
        out
    }

    /// How far the mean amplitudes of groups of streams are from the quiet room's.
    fn shift(&self, link: &CleanLink, profile: &[f32]) -> Option<[f32; GROUPS]> {
        let steps = self.rows.len() / self.streams;
        let subcarriers = usize::from(link.raw.layout.subcarriers);
        let quiet = (0..link.raw.layout.pairs())
            .flat_map(|pair| link.columns.iter().map(move |&c| pair * subcarriers + usize::from(c)));
        let quiet: Option<Vec<f32>> =
            quiet.step_by(self.stride).map(|place| profile.get(place).copied()).collect();
        let mut mean = vec![0.0; self.streams];
        for row in self.rows.chunks_exact(self.streams) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / steps as f32);
        }
        mean.iter_mut().zip(quiet?).for_each(|(m, q)| *m -= q);
        Some(groups(&mean))
    }
}

/// Means of neighbours.
fn groups(values: &[f32]) -> [f32; GROUPS] {
    std::array::from_fn(|g| {
        let part = &values[g * values.len() / GROUPS..(g + 1) * values.len() / GROUPS];
        part.iter().sum::<f32>() / part.len().max(1) as f32
    })
}
