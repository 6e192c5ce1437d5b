//! Breathing: how fast somebody who keeps still breathes.
//!
//! Takes the links of [`CleanWindow`]s, gives the site's [`Breathing`]. Each link keeps the last half minute of its
//! amplitudes, ten means a second; every few seconds the numbers are looked at ([`invispose_kernels::breathing`]). A rate is given
//! only after two estimates in a row that are good and agree, for no longer than they stay so, and not while anything moves
//! faster than a breath: walking and gestures spread the variation over other frequencies.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_kernels::breathing::{Breath, BreathingPlan};
use serde::{Deserialize, Serialize};

use super::cleanup::{CleanLink, CleanWindow};
use super::segments::Segments;
use crate::csi::LinkId;
use crate::pose::Breathing;

/// The rules of breathing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreathingConfig {
    /// Whether it is looked for.
    pub enabled: bool,
    /// Seconds that an estimate looks back: a breath lasts two to ten, and several are needed to see that they repeat.
    pub window_s: f32,
    /// Seconds from one estimate to the next.
    pub every_s: f32,
    /// Slowest rate, breaths per minute: adults at rest breathe 12 to 20 times, sleepers down to 8.
    pub low_bpm: f32,
    /// Fastest rate, breaths per minute: above it are steps and gestures.
    pub high_bpm: f32,
    /// Least quality of an estimate (see [`Breath::quality`]): `--suite respiration --plots` shows what it costs.
    pub min_quality: f32,
    /// Two estimates in a row that differ by more than this, breaths per minute, are not believed.
    pub agree_bpm: f32,
    /// Largest share of tenths of a second without a packet.
    pub max_missing: f32,
    /// Who moves faster than a breath is not heard breathing: the fast variation of the last two seconds may be at most this
    /// many times that of the half minute (its median).
    pub max_unrest: f32,
}

impl Default for BreathingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            window_s: 30.0,
            every_s: 2.0,
            low_bpm: 6.0,
            high_bpm: 36.0,
            min_quality: 0.4,
            agree_bpm: 2.0,
            max_missing: 0.2,
            max_unrest: 4.0,
        }
    }
}

/// Means a second: breath is slow.
const RATE_HZ: f32 = 10.0;
/// Tenths of a second in which movement is noticed.
const NEWEST: usize = 20;
/// Streams of a link that are kept.
const MAX_STREAMS: usize = 96;
/// Links of a site that are watched.
const MAX_LINKS: usize = 256;

/// The state of one site.
pub struct BreathingMonitor {
    config: BreathingConfig,
    plan: Option<BreathingPlan>,
    links: HashMap<(LinkId, Layout), History>,
    shown: Option<Breathing>,
    looked_ns: i64,
}

/// The last half minute of one link.
struct History {
    columns: Arc<[u16]>,
    streams: usize,
    /// Step of the grid after the last one that was taken in.
    next_step: i64,
    /// Number of the tenth of a second that is being summed up.
    tenth: i64,
    sum: Vec<f32>,
    squares: f32,
    count: u32,
    /// The oldest first; `None` for tenths without a packet.
    rows: VecDeque<Option<Tenth>>,
    last: Option<Breath>,
    believed: Option<Breath>,
}

/// A tenth of a second.
struct Tenth {
    /// `[stream]`.
    means: Vec<f32>,
    /// Variance within it and square of the step from the one before, summed over streams: what is faster than a breath.
    unrest: f32,
}

impl BreathingMonitor {
    /// A monitor that has heard nothing.
    pub fn new(config: BreathingConfig) -> Self {
        let steps = (config.window_s * RATE_HZ).round().clamp(0.0, 10_000.0) as usize;
        let plan = BreathingPlan::new(steps, RATE_HZ, config.low_bpm / 60.0, config.high_bpm / 60.0)
            .filter(|_| config.enabled);
        Self { config, plan, links: HashMap::new(), shown: None, looked_ns: i64::MIN }
    }

    /// Nothing that was heard before is continued.
    pub fn clear(&mut self) {
        self.links.clear();
        self.shown = None;
        self.looked_ns = i64::MIN;
    }

    /// Takes in one window and gives what is believed at its end.
    pub fn run(&mut self, window: &CleanWindow) -> Option<Breathing> {
        let plan = self.plan.as_ref()?;
        let about = &window.window;
        let keep = plan.steps();
        let steps_a_tenth = (about.grid.rate_hz / f64::from(RATE_HZ)).round().max(1.0) as i64;
        for link in &window.links {
            let key = (link.raw.link.clone(), link.raw.layout);
            if self.links.len() >= MAX_LINKS && !self.links.contains_key(&key) {
                continue;
            }
            let history = self.links.entry(key).or_insert_with(|| History::new(link));
            history.take(link, about.end_step, steps_a_tenth, keep);
        }
        let now = about.grid.end_ns;
        let every = (f64::from(self.config.every_s) * 1e9) as i64;
        if now.saturating_sub(self.looked_ns) >= every {
            self.looked_ns = now;
            let oldest = about.end_step - about.grid.steps as i64;
            self.links.retain(|_, h| h.next_step > oldest);
            let config = &self.config;
            let found = self.links.values_mut().filter_map(|h| h.look(plan, config));
            self.shown = found.max_by(|a, b| a.quality.total_cmp(&b.quality)).map(shown);
        }
        self.shown
    }

    /// The links on which a rate is believed.
    pub fn links(&self) -> Vec<(LinkId, Breathing)> {
        let believed = |((link, _), history): (&(LinkId, Layout), &History)| {
            Some((link.clone(), shown(history.believed?)))
        };
        let mut links: Vec<_> = self.links.iter().filter_map(believed).collect();
        links.sort_by(|a, b| a.0.cmp(&b.0));
        links
    }
}

fn shown(breath: Breath) -> Breathing {
    Breathing { rate_bpm: 60.0 * breath.rate_hz, quality: breath.quality }
}

impl History {
    fn new(link: &CleanLink) -> Self {
        Self {
            columns: link.columns.clone(),
            streams: 0,
            next_step: i64::MIN,
            tenth: i64::MIN,
            sum: Vec::new(),
            squares: 0.0,
            count: 0,
            rows: VecDeque::new(),
            last: None,
            believed: None,
        }
    }

    /// Adds the link's steps that are new.
    fn take(&mut self, link: &CleanLink, end_step: i64, steps_a_tenth: i64, keep: usize) {
        let steps = link.raw.received.len();
        let layout = link.raw.layout;
        let width = layout.pairs() * link.columns.len();
        if self.columns != link.columns || self.next_step < end_step - steps as i64 {
            *self = Self::new(link);
        }
        if width == 0 {
            return;
        }
        let stride = width.div_ceil(MAX_STREAMS);
        self.streams = width.div_ceil(stride);
        let segments = Segments::of(&link.raw, &link.columns);
        let first = end_step - steps as i64;
        let from = usize::try_from(self.next_step.max(first) - first).unwrap_or(0);
        let mut row = vec![0.0; width];
        for step in from..steps {
            let tenth = (first + step as i64).div_euclid(steps_a_tenth);
            if tenth != self.tenth {
                self.finish_tenth(keep);
                self.tenth = tenth;
            }
            if !link.raw.received[step] {
                continue;
            }
            let packet = &link.raw.csi[step * layout.values()..(step + 1) * layout.values()];
            let pairs = packet.chunks_exact(usize::from(layout.subcarriers));
            let used = pairs.flat_map(|pair| link.columns.iter().map(|&c| pair[usize::from(c)].norm()));
            row.iter_mut().zip(used).for_each(|(a, h)| *a = h);
            if row.iter().all(|a| a.is_finite()) {
                segments.normalise(&mut row);
                self.sum.resize(self.streams, 0.0);
                for (sum, value) in self.sum.iter_mut().zip(row.iter().step_by(stride)) {
                    *sum += value;
                    self.squares += value * value;
                }
                self.count += 1;
            }
        }
        self.next_step = end_step;
    }

    fn finish_tenth(&mut self, keep: usize) {
        if self.tenth == i64::MIN {
            return;
        }
        let (count, mut means) = (std::mem::take(&mut self.count), std::mem::take(&mut self.sum));
        let squares = std::mem::take(&mut self.squares);
        let tenth = (count > 0).then(|| {
            means.iter_mut().for_each(|mean| *mean /= count as f32);
            let within = squares / count as f32 - means.iter().map(|m| m * m).sum::<f32>();
            let before = self.rows.back().and_then(Option::as_ref);
            let step = before.map_or(0.0, |b| b.means.iter().zip(&means).map(|(a, b)| (a - b).powi(2)).sum());
            Tenth { unrest: within.max(0.0) + step, means }
        });
        self.rows.push_back(tenth);
        while self.rows.len() > keep {
            self.rows.pop_front();
        }
    }

    fn look(&mut self, plan: &BreathingPlan, config: &BreathingConfig) -> Option<Breath> {
        let good = self
            .block(plan.steps(), config.max_missing)
            .and_then(|block| plan.estimate(&block, self.streams))
            .filter(|b| b.quality >= config.min_quality && self.is_still(config.max_unrest));
        let agrees = |a: Breath, b: Breath| 60.0 * (a.rate_hz - b.rate_hz).abs() <= config.agree_bpm;
        let before = std::mem::replace(&mut self.last, good);
        self.believed = good.filter(|&b| before.is_some_and(|a| agrees(a, b)));
        self.believed
    }

    /// Nothing moves faster than a breath now that did not all the time.
    fn is_still(&self, max_unrest: f32) -> bool {
        let mut all: Vec<f32> = self.rows.iter().flatten().map(|tenth| tenth.unrest).collect();
        let newest = &all[all.len().saturating_sub(NEWEST)..];
        let now = newest.iter().sum::<f32>() / newest.len().max(1) as f32;
        let middle = all.len() / 2;
        all.sort_unstable_by(f32::total_cmp);
        all.get(middle).is_some_and(|median| now <= max_unrest * median)
    }

    /// The rows as one block, gaps bridged by the row before.
    fn block(&self, steps: usize, max_missing: f32) -> Option<Vec<f32>> {
        let missing = self.rows.iter().filter(|row| row.is_none()).count();
        if self.rows.len() < steps || missing as f32 > max_missing * steps as f32 {
            return None;
        }
        let mut held = self.rows.iter().flatten().next()?;
        let mut block = Vec::with_capacity(steps * self.streams);
        for row in &self.rows {
            held = row.as_ref().unwrap_or(held);
            block.extend_from_slice(&held.means);
        }
        Some(block)
    }
}
