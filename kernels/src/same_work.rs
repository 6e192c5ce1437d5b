//! A yardstick, not a stage: the per-packet work that the field's best-known open project (wifi-densepose) calls its
//! full pipeline, on one packet of 4 antennas × 64 subcarriers from packed I/Q, so that the two can be timed side by
//! side. Nothing else uses these features.
//!
//! The work: amplitude and phase; amplitudes below [`NOISE_DB`] masked, Hamming window over subcarriers, unit variance;
//! phase unwrapped, values beyond three standard deviations interpolated, moving average of 5; mean and variance
//! over antennas, peak, RMS and range of amplitude; phase differences, their gradient, variance and coherence;
//! correlation of antennas; 128-point power spectrum of the first 128 amplitudes with peak, centroid and bandwidth;
//! motion score. It computes in f32, that project in f64.

use std::{f32::consts::TAU, sync::Arc};

use num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use crate::cpu::{
    Level,
    simd::{LANES, Lanes, Supported, atan2, fma, for_level, load, log2, round, sum},
};

/// Antennas.
pub const ANTENNAS: usize = 4;
/// Subcarriers.
pub const SUBCARRIERS: usize = 64;
/// Points of the power spectrum.
pub const SPECTRUM: usize = 128;
/// Amplitudes below this are masked, dB.
pub const NOISE_DB: f32 = -30.0;

const HALF: usize = SPECTRUM / 2;
const SMOOTHING: usize = 5;
const OUTLIER_SIGMAS: f32 = 3.0;

type Rows = [[f32; SUBCARRIERS]; ANTENNAS];

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Masked, windowed amplitude of unit variance.
    pub amplitude: Rows,
    /// Unwrapped, cleaned, smoothed phase, radians.
    pub phase: Rows,
    /// Mean amplitude over antennas.
    pub amplitude_mean: [f32; SUBCARRIERS],
    /// Variance of amplitude over antennas.
    pub amplitude_variance: [f32; SUBCARRIERS],
    /// Greatest amplitude.
    pub peak: f32,
    /// Root mean square of amplitude.
    pub rms: f32,
    /// Greatest less smallest amplitude.
    pub dynamic_range: f32,
    /// Phase difference of neighbouring subcarriers, mean over antennas; the last is 0.
    pub phase_difference: [f32; SUBCARRIERS],
    /// Difference of those; the last two are 0.
    pub phase_gradient: [f32; SUBCARRIERS],
    /// Variance of phase over antennas.
    pub phase_variance: [f32; SUBCARRIERS],
    /// Mean correlation of the phases of two antennas.
    pub coherence: f32,
    /// Correlation of the amplitudes of two antennas.
    pub correlation: [[f32; ANTENNAS]; ANTENNAS],
    /// Mean of its off-diagonal elements.
    pub correlation_mean: f32,
    /// Greatest of them.
    pub correlation_max: f32,
    /// Their standard deviation.
    pub correlation_spread: f32,
    /// Power spectrum.
    pub spectrum: [f32; SPECTRUM],
    /// Sum of its first half.
    pub total_power: f32,
    /// Greatest of its first half.
    pub peak_power: f32,
    /// Frequency of that, in units of the packet's bandwidth.
    pub peak_frequency: f32,
    /// Centroid, in the same unit.
    pub centroid: f32,
    /// Standard deviation about the centroid.
    pub bandwidth: f32,
    /// Motion score 0..1.
    pub motion: f32,
    /// Confidence in it, 0..1.
    pub confidence: f32,
}

/// Tables and buffers.
pub struct SameWork {
    level: Supported,
    hamming: [f32; SUBCARRIERS],
    bins: [f32; HALF],
    fft: Arc<dyn RealToComplex<f32>>,
    line: Vec<f32>,
    half: Vec<Complex32>,
    scratch: Vec<Complex32>,
    features: Features,
}

impl Default for SameWork {
    fn default() -> Self {
        Self::new(Level::detect())
    }
}

impl SameWork {
    /// A plan with these instructions, or the best that the machine has if that is less.
    pub fn new(level: Level) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(SPECTRUM);
        let hamming =
            |n: usize| 0.54 - 0.46 * (std::f64::consts::TAU * n as f64 / (SUBCARRIERS - 1) as f64).cos();
        let (rows, row) = ([[0.0; SUBCARRIERS]; ANTENNAS], [0.0; SUBCARRIERS]);
        Self {
            level: Supported::new(level),
            hamming: std::array::from_fn(|n| hamming(n) as f32),
            bins: std::array::from_fn(|i| i as f32 / SPECTRUM as f32),
            line: fft.make_input_vec(),
            half: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
            features: Features {
                amplitude: rows,
                phase: rows,
                amplitude_mean: row,
                amplitude_variance: row,
                peak: 0.0,
                rms: 0.0,
                dynamic_range: 0.0,
                phase_difference: row,
                phase_gradient: row,
                phase_variance: row,
                coherence: 0.0,
                correlation: [[0.0; ANTENNAS]; ANTENNAS],
                correlation_mean: 0.0,
                correlation_max: 0.0,
                correlation_spread: 0.0,
                spectrum: [0.0; SPECTRUM],
                total_power: 0.0,
                peak_power: 0.0,
                peak_frequency: 0.0,
                centroid: 0.0,
                bandwidth: 0.0,
                motion: 0.0,
                confidence: 0.0,
            },
        }
    }

    /// All of it on one packet, `[antenna][subcarrier]`, real part first.
    pub fn run(&mut self, packet: &[[i8; 2]; ANTENNAS * SUBCARRIERS]) -> &Features {
        let plan = &mut *self;
        for_level!(plan.level, before(plan: &mut SameWork, packet: &[[i8; 2]; ANTENNAS * SUBCARRIERS]));
        self.line.copy_from_slice(self.features.amplitude[..SPECTRUM / SUBCARRIERS].as_flattened());
        // The only errors are wrong lengths, and the plan made the buffers.
        if self.fft.process_with_scratch(&mut self.line, &mut self.half, &mut self.scratch).is_err() {
            self.half.fill(Complex32::ZERO);
        }
        let plan = &mut *self;
        for_level!(plan.level, after(plan: &mut SameWork));
        &self.features
    }
}

#[inline(always)]
fn before<const F: bool>(plan: &mut SameWork, packet: &[[i8; 2]; ANTENNAS * SUBCARRIERS]) {
    let f = &mut plan.features;
    let mut total: Lanes = [0.0; LANES];
    let mut squares: Lanes = [0.0; LANES];
    let rows = packet.chunks_exact(SUBCARRIERS).zip(f.amplitude.iter_mut()).zip(f.phase.iter_mut());
    for ((from, amplitude), phase) in rows {
        let chunks = from.chunks_exact(LANES).zip(plan.hamming.chunks_exact(LANES));
        let to = amplitude.chunks_exact_mut(LANES).zip(phase.chunks_exact_mut(LANES));
        for ((iq, w), (a, p)) in chunks.zip(to) {
            for i in 0..LANES {
                let (re, im) = (f32::from(iq[i][0]), f32::from(iq[i][1]));
                let power = fma::<F>(re, re, im * im);
                // 10 log10 of the power; a floor of −240 dB, as 20 log10(a + 1e-12) has.
                let db = 3.010_3 * log2::<F>(power + 1e-24);
                let kept = if db > NOISE_DB { power.sqrt() * w[i] } else { 0.0 };
                a[i] = kept;
                total[i] += kept;
                squares[i] = fma::<F>(kept, kept, squares[i]);
                p[i] = atan2::<F>(im, re);
            }
        }
    }
    let n = (ANTENNAS * SUBCARRIERS) as f32;
    let mean = sum(total) / n;
    // The amplitudes are positive and of one order, so this difference loses a digit at most.
    let variance = sum(squares) / n - mean * mean;
    let scale = if variance > 0.0 { 1.0 / variance.sqrt() } else { 1.0 };
    for row in &mut f.amplitude {
        row.iter_mut().for_each(|a| *a *= scale);
    }
    for row in &mut f.phase {
        unwrap::<F>(row);
        outliers::<F>(row);
        smooth(row);
    }
    amplitudes::<F>(f);
    phases::<F>(f);
}

/// Running sums of the lanes.
#[inline(always)]
fn scan(mut x: [i32; LANES]) -> [i32; LANES] {
    let mut reach = 1;
    while reach < LANES {
        let mut y = x;
        for i in reach..LANES {
            y[i] += x[i - reach];
        }
        x = y;
        reach *= 2;
    }
    x
}

#[inline(always)]
fn unwrap<const F: bool>(row: &mut [f32; SUBCARRIERS]) {
    let mut turns = [[0i32; LANES]; SUBCARRIERS / LANES];
    let mut shifted = [0.0; SUBCARRIERS + 1];
    shifted[0] = row[0];
    shifted[1..].copy_from_slice(row);
    for (c, t) in turns.iter_mut().enumerate() {
        let (now, last) = (load(row, c * LANES), load(&shifted, c * LANES));
        for i in 0..LANES {
            t[i] = round((now[i] - last[i]) * (1.0 / TAU)) as i32;
        }
    }
    let mut carry = 0;
    for (t, p) in turns.iter().zip(row.chunks_exact_mut(LANES)) {
        let sums = scan(*t);
        for i in 0..LANES {
            p[i] = fma::<F>(-TAU, (sums[i] + carry) as f32, p[i]);
        }
        carry += sums[LANES - 1];
    }
}

/// Mean and standard deviation.
#[inline(always)]
fn spread<const F: bool>(row: &[f32; SUBCARRIERS]) -> (f32, f32) {
    let mut total: Lanes = [0.0; LANES];
    for p in row.chunks_exact(LANES) {
        for i in 0..LANES {
            total[i] += p[i];
        }
    }
    let mean = sum(total) / SUBCARRIERS as f32;
    let mut squares: Lanes = [0.0; LANES];
    for p in row.chunks_exact(LANES) {
        for i in 0..LANES {
            squares[i] = fma::<F>(p[i] - mean, p[i] - mean, squares[i]);
        }
    }
    (mean, (sum(squares) / SUBCARRIERS as f32).sqrt())
}

/// Replaces values beyond the limit by the line between their sound neighbours.
#[inline(always)]
fn outliers<const F: bool>(row: &mut [f32; SUBCARRIERS]) {
    let (mean, deviation) = spread::<F>(row);
    let limit = OUTLIER_SIGMAS * deviation;
    let mut far = 0u32;
    for p in row.chunks_exact(LANES) {
        for &p in p {
            far |= u32::from((p - mean).abs() > limit);
        }
    }
    if far != 0 && deviation > 0.0 {
        interpolate(row, mean, limit);
    }
}

#[cold]
fn interpolate(row: &mut [f32; SUBCARRIERS], mean: f32, limit: f32) {
    let from = *row;
    let sound = |k: &usize| (from[*k] - mean).abs() <= limit;
    for k in (0..SUBCARRIERS).filter(|k| !sound(k)) {
        let (left, right) = ((0..k).rev().find(sound), (k + 1..SUBCARRIERS).find(sound));
        row[k] = match (left, right) {
            (Some(l), Some(r)) => from[l] + (from[r] - from[l]) * (k - l) as f32 / (r - l) as f32,
            (Some(i), None) | (None, Some(i)) => from[i],
            (None, None) => from[k],
        };
    }
}

/// Moving average; the ends, where it does not fit, stay.
#[inline(always)]
fn smooth(row: &mut [f32; SUBCARRIERS]) {
    const EDGE: usize = SMOOTHING / 2;
    let from = *row;
    for k in EDGE..SUBCARRIERS - EDGE {
        let five = from[k - 2] + from[k - 1] + from[k] + from[k + 1] + from[k + 2];
        row[k] = five * (1.0 / SMOOTHING as f32);
    }
}

/// Mean and variance over antennas.
#[inline(always)]
fn over_antennas<const F: bool>(
    rows: &Rows,
    mean: &mut [f32; SUBCARRIERS],
    variance: &mut [f32; SUBCARRIERS],
) {
    for k in 0..SUBCARRIERS {
        let m = (rows[0][k] + rows[1][k] + rows[2][k] + rows[3][k]) * (1.0 / ANTENNAS as f32);
        let mut v = 0.0;
        for row in rows {
            v = fma::<F>(row[k] - m, row[k] - m, v);
        }
        mean[k] = m;
        variance[k] = v * (1.0 / ANTENNAS as f32);
    }
}

/// Correlation coefficients of the rows.
#[inline(always)]
fn correlations<const F: bool>(rows: &Rows) -> [[f32; ANTENNAS]; ANTENNAS] {
    let mut means = [0.0; ANTENNAS];
    for (m, row) in means.iter_mut().zip(rows) {
        let mut total: Lanes = [0.0; LANES];
        for p in row.chunks_exact(LANES) {
            for i in 0..LANES {
                total[i] += p[i];
            }
        }
        *m = sum(total) / SUBCARRIERS as f32;
    }
    let mut products = [[0.0f32; ANTENNAS]; ANTENNAS];
    for a in 0..ANTENNAS {
        for b in a..ANTENNAS {
            let mut acc: Lanes = [0.0; LANES];
            for (x, y) in rows[a].chunks_exact(LANES).zip(rows[b].chunks_exact(LANES)) {
                for i in 0..LANES {
                    acc[i] = fma::<F>(x[i] - means[a], y[i] - means[b], acc[i]);
                }
            }
            products[a][b] = sum(acc);
        }
    }
    let mut out = [[1.0; ANTENNAS]; ANTENNAS];
    for a in 0..ANTENNAS {
        for b in a + 1..ANTENNAS {
            let norm = (products[a][a] * products[b][b]).sqrt();
            let r = if norm > 1e-10 { products[a][b] / norm } else { 0.0 };
            (out[a][b], out[b][a]) = (r, r);
        }
    }
    out
}

#[inline(always)]
fn amplitudes<const F: bool>(f: &mut Features) {
    over_antennas::<F>(&f.amplitude, &mut f.amplitude_mean, &mut f.amplitude_variance);
    let (mut high, mut low) = ([f32::NEG_INFINITY; LANES], [f32::INFINITY; LANES]);
    let mut squares: Lanes = [0.0; LANES];
    for a in f.amplitude.as_flattened().chunks_exact(LANES) {
        for i in 0..LANES {
            high[i] = if a[i] > high[i] { a[i] } else { high[i] };
            low[i] = if a[i] < low[i] { a[i] } else { low[i] };
            squares[i] = fma::<F>(a[i], a[i], squares[i]);
        }
    }
    f.peak = high.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f.dynamic_range = f.peak - low.iter().copied().fold(f32::INFINITY, f32::min);
    f.rms = (sum(squares) / (ANTENNAS * SUBCARRIERS) as f32).sqrt();
    f.correlation = correlations::<F>(&f.amplitude);
    let pairs =
        [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].map(|(a, b): (usize, usize)| f.correlation[a][b]);
    f.correlation_mean = pairs.iter().sum::<f32>() / 6.0;
    f.correlation_max = pairs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let variance = pairs.iter().map(|r| (r - f.correlation_mean).powi(2)).sum::<f32>() / 6.0;
    f.correlation_spread = variance.sqrt();
}

#[inline(always)]
fn phases<const F: bool>(f: &mut Features) {
    let mut mean = [0.0; SUBCARRIERS];
    over_antennas::<F>(&f.phase, &mut mean, &mut f.phase_variance);
    // The mean of differences is the difference of means.
    for k in 0..SUBCARRIERS - 1 {
        f.phase_difference[k] = mean[k + 1] - mean[k];
    }
    for k in 0..SUBCARRIERS - 2 {
        f.phase_gradient[k] = f.phase_difference[k + 1] - f.phase_difference[k];
    }
    let r = correlations::<F>(&f.phase);
    f.coherence = (r[0][1] + r[0][2] + r[0][3] + r[1][2] + r[1][3] + r[2][3]) / 6.0;
}

#[inline(always)]
fn after<const F: bool>(plan: &mut SameWork) {
    let f = &mut plan.features;
    let half: &[Complex32; HALF + 1] = match plan.half.as_slice().try_into() {
        Ok(half) => half,
        Err(_) => return,
    };
    for (p, h) in f.spectrum.iter_mut().zip(half) {
        *p = fma::<F>(h.re, h.re, h.im * h.im) * (1.0 / SPECTRUM as f32);
    }
    // A real signal's spectrum is symmetric.
    for k in 1..HALF {
        f.spectrum[SPECTRUM - k] = f.spectrum[k];
    }
    let (mut total, mut weighted, mut high): (Lanes, Lanes, Lanes) = Default::default();
    let chunks = || f.spectrum[..HALF].chunks_exact(LANES).zip(plan.bins.chunks_exact(LANES));
    for (p, x) in chunks() {
        for i in 0..LANES {
            total[i] += p[i];
            weighted[i] = fma::<F>(p[i], x[i], weighted[i]);
            high[i] = if p[i] > high[i] { p[i] } else { high[i] };
        }
    }
    f.total_power = sum(total);
    f.peak_power = high.iter().copied().fold(0.0, f32::max);
    let peak = f.spectrum[..HALF].iter().position(|&p| p == f.peak_power).unwrap_or(0);
    f.peak_frequency = plan.bins[peak];
    let some = f.total_power > 1e-10;
    f.centroid = if some { sum(weighted) / f.total_power } else { 0.0 };
    let mut about: Lanes = [0.0; LANES];
    for (p, x) in chunks() {
        for i in 0..LANES {
            let off = x[i] - f.centroid;
            about[i] = fma::<F>(p[i] * off, off, about[i]);
        }
    }
    f.bandwidth = if some { (sum(about) / f.total_power).sqrt() } else { 0.0 };

    let mean = |x: &[f32; SUBCARRIERS]| {
        let mut acc: Lanes = [0.0; LANES];
        for x in x.chunks_exact(LANES) {
            for i in 0..LANES {
                acc[i] += x[i];
            }
        }
        sum(acc) / SUBCARRIERS as f32
    };
    let by_variance = (mean(&f.amplitude_variance) / 0.5).clamp(0.0, 1.0);
    let off_diagonal: f32 =
        f.correlation.as_flattened().iter().map(|r| r.abs()).sum::<f32>() - ANTENNAS as f32;
    let by_correlation = (off_diagonal / (ANTENNAS * ANTENNAS) as f32).clamp(0.0, 1.0);
    let by_phase = 0.5 * (mean(&f.phase_variance) / 0.5).clamp(0.0, 1.0)
        + 0.5 * (1.0 - f.coherence.abs()).clamp(0.0, 1.0);
    f.motion = 0.4 * by_variance + 0.3 * by_correlation + 0.3 * by_phase;
    let quality = 0.3 * (0.5 * f.dynamic_range).clamp(0.0, 1.0)
        + 0.3 * f.coherence.abs()
        + 0.2 * (1.0 - f.correlation_spread).clamp(0.0, 1.0);
    f.confidence = quality / 0.8;
}
