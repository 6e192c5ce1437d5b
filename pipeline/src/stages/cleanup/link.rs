//! A link's features on the CPU, carried on from window to window.

use std::sync::Arc;

use invispose_kernels::delay::DelayPlan;
use invispose_kernels::doppler::DopplerPlan;
use invispose_kernels::{Complex32, Layout, agc, hampel, mask, phase, ratio};

use super::columns::column_index;
use super::{CleanLink, Prepared};
use crate::stages::assembly::LinkWindow;
use crate::stages::motion::{Motion, motion};
use crate::stages::segments::Segments;

/// Hampel filter: steps on either side, and deviations.
const HAMPEL_HALF: usize = 3;
const HAMPEL_SIGMAS: f32 = 3.0;
/// The ratio's divisor is at least this share of the reference antenna's mean power.
const RATIO_FLOOR: f32 = 1e-2;
/// Streams that go into the Doppler spectrum.
const DOPPLER_STREAMS: usize = 8;

/// What is kept of a link.
pub(super) struct LinkState {
    end_step: i64,
    columns: Arc<[u16]>,
    index: Vec<f32>,
    scaled: Vec<f32>,
    amplitude: Vec<f32>,
    phase: Vec<f32>,
    ratio: Vec<Complex32>,
    doppler: DopplerPlan,
    delay: DelayPlan,
}

impl LinkState {
    /// Cleans a link's window that ends at `end_step`, going on from the state before where that is possible.
    pub(super) fn run(
        before: Option<Self>,
        end_step: i64,
        link: Prepared,
        rate_hz: f64,
    ) -> (CleanLink, Self) {
        let Prepared { raw, columns, new_steps } = link;
        let steps = raw.received.len();
        let streams = raw.layout.pairs() * columns.len();
        let fits = |state: &Self| {
            (0..=steps as i64).contains(&(end_step - state.end_step))
                && state.columns == columns
                && state.scaled.len() == steps * streams
        };
        let mut from = 0;
        let mut state = match before.filter(fits) {
            Some(mut state) => {
                let moved = (end_step - state.end_step) as usize;
                state.end_step = end_step;
                state.shift(moved, steps, raw.layout);
                from = steps - moved;
                state
            }
            None => Self::new(end_step, columns, &raw, rate_hz),
        };
        state.clean(&raw, from);
        state.finish(raw, new_steps)
    }

    fn new(end_step: i64, columns: Arc<[u16]>, raw: &LinkWindow, rate_hz: f64) -> Self {
        let steps = raw.received.len();
        let streams = raw.layout.pairs() * columns.len();
        let second = (rate_hz.round() as usize).clamp(2, steps);
        Self {
            end_step,
            index: columns.iter().map(|&c| f32::from(column_index(raw, c))).collect(),
            scaled: vec![0.0; steps * streams],
            amplitude: vec![0.0; steps * streams],
            phase: vec![0.0; steps * streams],
            ratio: vec![Complex32::ZERO; steps * ratios(raw.layout) * columns.len()],
            doppler: DopplerPlan::new(second, second),
            delay: DelayPlan::contiguous(columns.len().max(1)),
            columns,
        }
    }

    /// Where the window ended.
    pub(super) fn end_step(&self) -> i64 {
        self.end_step
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
            motion: self.motion(&raw, streams),
            new_steps,
            #[cfg(feature = "gpu")]
            samples: None,
            raw,
        };
        (clean, self)
    }

    fn motion(&self, raw: &LinkWindow, streams: usize) -> Option<Motion> {
        let segments = Segments::of(raw, &self.columns);
        if segments.is_whole() || streams == 0 {
            return motion(&self.scaled, streams, &raw.received);
        }
        let mut rows = self.scaled.clone();
        rows.chunks_exact_mut(streams).for_each(|row| segments.normalise(row));
        motion(&rows, streams, &raw.received)
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
