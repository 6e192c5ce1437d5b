//! What a link saw during a block of steps, in numbers from which the wavelength's turning is gone.
//!
//! What a moving body adds to the channel turns once with every wavelength of path. Where it stands is told by the phases
//! between antennas and between subcarriers, which the second moments over some packets keep; how fast its path
//! changes is told by products of packets a few steps apart.

use std::ops::Range;

use invispose_kernels::Complex32;

use super::{ANTENNAS, BINS, BLOCK, CHANNELS};

/// Neighbouring bins averaged for the second moments.
pub(super) const MEAN_OF: usize = 2;
/// Complex columns of the second moments.
const COLUMNS: usize = ANTENNAS * BINS / MEAN_OF;
/// Distances in steps of the products over time.
pub(super) const LAGS: usize = 4;

/// Numbers of a block: second moments over their trace (diagonal, then real and imaginary parts above it), the
/// logarithm of the trace, products over time, the mean, and the share of steps with a packet.
pub const FEATURES: usize = MEANS.end + 1;
/// Where a block's second moments are.
pub(super) const MOMENTS: Range<usize> = 0..COLUMNS * COLUMNS;
/// Where its products over time are; the logarithm of the trace is before them.
pub(super) const OVER_TIME: Range<usize> = MOMENTS.end + 1..MOMENTS.end + 1 + 2 * LAGS;
/// Where its means are; the share of steps with a packet is behind them.
pub(super) const MEANS: Range<usize> = OVER_TIME.end..OVER_TIME.end + 2 * COLUMNS;

/// About the trace of noise.
pub(super) const LEAST_POWER: f32 = 1e-3;
/// Brings second moments and means to a spread of about 1.
pub(super) const MOMENT_SCALE: f32 = 12.0;
pub(super) const MEAN_SCALE: f32 = 3.0;

/// Numbers of a step.
pub(crate) const VALUES: usize = CHANNELS * BINS;

/// A step's deviation from the quiet room, `[CHANNELS][BINS]` in units of 1 / [`UNITS`]; [`SILENT`] first without a packet.
/// Rounded towards zero, by far less than noise is; hours of scenes fit into memory.
pub(crate) type Step = [i16; VALUES];

pub(crate) const UNITS: f32 = 2048.0;
const SILENT: i16 = i16::MIN;

/// The step of a packet's deviation, or of no packet.
pub(super) fn step(deviation: Option<&[f32; VALUES]>) -> Step {
    deviation.map_or([SILENT; VALUES], |d| d.map(|v| (v * UNITS) as i16))
}

/// Whether a packet was received.
pub(crate) fn received(step: &Step) -> bool {
    step[0] != SILENT
}

/// Adds another step's deviation; no packet if either has none.
#[cfg(feature = "nn")]
pub(crate) fn add(sum: &mut Step, other: &Step) {
    if !(received(sum) && received(other)) {
        *sum = [SILENT; VALUES];
        return;
    }
    for (a, b) in sum.iter_mut().zip(other) {
        *a = a.saturating_add(*b).max(-i16::MAX);
    }
}

/// Adds noise to a step with a packet: normal numbers of `next` times `size`.
#[cfg(feature = "nn")]
pub(crate) fn blur(step: &mut Step, size: f32, mut next: impl FnMut() -> f32) {
    if received(step) {
        for v in step {
            *v = (f32::from(*v) + size * UNITS * next()).clamp(-f32::from(i16::MAX), f32::from(i16::MAX))
                as i16;
        }
    }
}

/// Real and imaginary parts apart, so that products of whole rows are vector instructions.
struct Columns {
    re: [f32; COLUMNS],
    im: [f32; COLUMNS],
}

fn columns(step: &Step) -> Option<Columns> {
    let per = BINS / MEAN_OF;
    let mean = |from: usize| {
        step[from..from + MEAN_OF].iter().map(|v| f32::from(*v)).sum::<f32>() / (UNITS * MEAN_OF as f32)
    };
    let at = |c: usize| (c / per) * 2 * BINS + c % per * MEAN_OF;
    received(step).then(|| Columns {
        re: std::array::from_fn(|c| mean(at(c))),
        im: std::array::from_fn(|c| mean(at(c) + BINS)),
    })
}

impl Columns {
    /// Σ self · conj(before).
    fn product(&self, before: &Self) -> Complex32 {
        let (mut re, mut im) = (0.0, 0.0);
        for i in 0..COLUMNS {
            re += self.re[i] * before.re[i] + self.im[i] * before.im[i];
            im += self.im[i] * before.re[i] - self.re[i] * before.im[i];
        }
        Complex32::new(re, im)
    }
}

/// The features of whole blocks, `[block][FEATURES]`.
pub(crate) fn blocks(steps: &[Step]) -> Vec<f32> {
    let mut out = vec![0.0; steps.len() / BLOCK * FEATURES];
    for (steps, out) in steps.chunks_exact(BLOCK).zip(out.chunks_exact_mut(FEATURES)) {
        features(steps, out);
    }
    out
}

/// The features of [`BLOCK`] steps, `[FEATURES]`; all 0 without a packet.
fn features(steps: &[Step], out: &mut [f32]) {
    debug_assert_eq!(out.len(), FEATURES);
    out.fill(0.0);
    let steps: Vec<Option<Columns>> = steps.iter().map(columns).collect();
    let received = steps.iter().flatten().count();
    if received == 0 {
        return;
    }
    let scale = 1.0 / received as f32;
    let (mut real, mut imaginary) = ([[0.0f32; COLUMNS]; COLUMNS], [[0.0f32; COLUMNS]; COLUMNS]);
    let mut mean = Columns { re: [0.0; COLUMNS], im: [0.0; COLUMNS] };
    for step in steps.iter().flatten() {
        for i in 0..COLUMNS {
            let (re, im) = (step.re[i] * scale, step.im[i] * scale);
            mean.re[i] += re;
            mean.im[i] += im;
            for j in 0..COLUMNS {
                real[i][j] += re * step.re[j] + im * step.im[j];
                imaginary[i][j] += im * step.re[j] - re * step.im[j];
            }
        }
    }
    let power = (0..COLUMNS).map(|i| real[i][i]).sum::<f32>() + LEAST_POWER;
    let size = MOMENT_SCALE / power;
    let (moments, rest) = out.split_at_mut(COLUMNS * COLUMNS);
    let (diagonal, above) = moments.split_at_mut(COLUMNS);
    let (above_real, above_imaginary) = above.split_at_mut(COLUMNS * (COLUMNS - 1) / 2);
    let mut at = 0;
    for i in 0..COLUMNS {
        diagonal[i] = size * real[i][i];
        for j in i + 1..COLUMNS {
            (above_real[at], above_imaginary[at]) = (size * real[i][j], size * imaginary[i][j]);
            at += 1;
        }
    }
    rest[0] = 0.5 * power.ln() + 1.0;
    for (lag, out) in rest[1..1 + 2 * LAGS].chunks_exact_mut(2).enumerate() {
        let pairs = steps.iter().zip(&steps[lag + 1..]).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)));
        let (mut sum, mut count) = (Complex32::new(0.0, 0.0), 0usize);
        for (before, after) in pairs {
            sum += after.product(before);
            count += 1;
        }
        let scale = 1.0 / (count.max(1) as f32 * power);
        (out[0], out[1]) = (sum.re * scale, sum.im * scale);
    }
    let size = MEAN_SCALE / power.sqrt();
    let means = &mut rest[1 + 2 * LAGS..];
    for i in 0..COLUMNS {
        (means[i], means[COLUMNS + i]) = (mean.re[i] * size, mean.im[i] * size);
    }
    means[2 * COLUMNS] = received as f32 / BLOCK as f32;
}
