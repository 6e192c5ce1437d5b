//! Amplitudes of a whole recording on an even grid, and what classifiers look at in them.

use invispose_kernels::filter::{butterworth_bandpass, filter_zero_phase};

use crate::csi::CsiFrame;

/// `[row][stream]`: amplitudes, each packet scaled to unit mean square, so free of gain.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Rows a second.
    pub rate_hz: f64,
    /// Streams.
    pub width: usize,
    values: Vec<f32>,
}

impl Series {
    /// Rows as they are, scaled. Each part of a row, so many streams long, is scaled by itself.
    pub fn new(rows: impl Iterator<Item = Vec<f32>>, parts: &[usize], rate_hz: f64) -> Self {
        let width = parts.iter().sum();
        let mut values = Vec::new();
        for mut row in rows {
            row.resize(width, 0.0);
            let mut rest = row.as_mut_slice();
            for &length in parts {
                let (part, after) = rest.split_at_mut(length);
                let mean = part.iter().map(|a| a * a).sum::<f32>() / length.max(1) as f32;
                let scale = if mean > 0.0 && mean.is_finite() { 1.0 / mean.sqrt() } else { 0.0 };
                part.iter_mut().for_each(|a| *a *= scale);
                rest = after;
            }
            values.extend(row);
        }
        Self { rate_hz, width, values }
    }

    /// Packets, interpolated to an even grid from the first to the last.
    pub fn of_frames(frames: &[CsiFrame], rate_hz: f64) -> Self {
        let width = frames.first().map_or(0, |f| f.csi.len());
        let usable: Vec<&CsiFrame> = frames.iter().filter(|f| f.csi.len() == width).collect();
        let rows = usable.iter().map(|f| f.csi.iter().map(|h| h.norm()).collect());
        let even = Self::new(rows, &[width], rate_hz);
        let seconds: Vec<f64> = usable.iter().map(|f| f.time_ns as f64 / 1e9).collect();
        let last = seconds.last().copied().unwrap_or(0.0);
        let mut values = Vec::new();
        let mut at = 0;
        for step in 0..(last * rate_hz) as usize {
            let time = step as f64 / rate_hz;
            while at + 2 < seconds.len() && seconds[at + 1] <= time {
                at += 1;
            }
            let (Some(&from), Some(&to)) = (seconds.get(at), seconds.get(at + 1)) else { break };
            let share = ((time - from) / (to - from).max(1e-9)).clamp(0.0, 1.0) as f32;
            let rows = even.row(at).iter().zip(even.row(at + 1));
            values.extend(rows.map(|(a, b)| a + share * (b - a)));
        }
        Self { rate_hz, width, values }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// One row.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// Rows of a range, cut to what is there.
    pub fn part(&self, from: usize, to: usize) -> Self {
        let (from, to) = (from.min(self.len()), to.min(self.len()));
        let values = self.values[from * self.width..to.max(from) * self.width].to_vec();
        Self { rate_hz: self.rate_hz, width: self.width, values }
    }

    /// Only what varies between these frequencies, without delay; `None` where the band does not fit the rate.
    pub fn band(&self, low_hz: f64, high_hz: f64) -> Option<Self> {
        let sections = butterworth_bandpass(2, low_hz, high_hz, self.rate_hz).ok()?;
        let mut state = vec![[0.0; 2]; sections.len()];
        let mean = self.mean();
        let mut values = vec![0.0; self.values.len()];
        let mut column = vec![0.0; self.len()];
        for s in 0..self.width {
            for (t, v) in column.iter_mut().enumerate() {
                *v = self.values[t * self.width + s] - mean[s] as f32;
            }
            filter_zero_phase(&sections, &mut state, &mut column);
            for (t, v) in column.iter().enumerate() {
                values[t * self.width + s] = *v;
            }
        }
        Some(Self { rate_hz: self.rate_hz, width: self.width, values })
    }

    /// Mean of each stream.
    pub fn mean(&self) -> Vec<f64> {
        self.each(|v| v)
    }

    /// Mean square of each stream.
    pub fn square(&self) -> Vec<f64> {
        self.each(|v| v * v)
    }

    /// Standard deviation of each stream.
    pub fn deviation(&self) -> Vec<f64> {
        let mean = self.mean();
        let square = self.square();
        square.iter().zip(&mean).map(|(s, m)| (s - m * m).max(0.0).sqrt()).collect()
    }

    /// Mean step of each stream from one row to the next.
    pub fn step(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.width];
        let rows = self.values.chunks_exact(self.width.max(1));
        for (a, b) in rows.clone().zip(rows.skip(1)) {
            sum.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += f64::from((b - a).abs()));
        }
        let n = self.len().saturating_sub(1).max(1) as f64;
        sum.iter_mut().for_each(|s| *s /= n);
        sum
    }

    /// Mean square over all streams.
    pub fn energy(&self) -> f64 {
        self.values.iter().map(|v| f64::from(v * v)).sum::<f64>() / self.values.len().max(1) as f64
    }

    /// Autocorrelation at a lag, all streams together.
    pub fn correlation(&self, lag: usize) -> f64 {
        let shifted = self.values.get(lag * self.width..).unwrap_or(&[]);
        let product: f64 = self.values.iter().zip(shifted).map(|(a, b)| f64::from(a * b)).sum();
        product / (self.energy() * self.values.len() as f64).max(1e-12)
    }

    fn each(&self, value: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut sum = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width.max(1)) {
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += value(f64::from(*v)));
        }
        let n = self.len().max(1) as f64;
        sum.iter_mut().for_each(|s| *s /= n);
        sum
    }
}

/// Means of `count` neighbouring groups.
pub(super) fn groups(values: &[f64], count: usize) -> Vec<f64> {
    (0..count)
        .map(|g| {
            let part = &values[g * values.len() / count..(g + 1) * values.len() / count];
            part.iter().sum::<f64>() / part.len().max(1) as f64
        })
        .collect()
}

/// Natural logarithm of what is never negative.
pub(super) fn log(value: f64) -> f64 {
    (value + 1e-9).ln()
}
