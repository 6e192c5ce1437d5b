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
    simd::{LANES, Supported, Vector, atan2, for_level, log2},
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

/// Starts of the vectors in a row.
const STARTS: [usize; SUBCARRIERS / LANES] = [0, LANES, 2 * LANES, 3 * LANES];

#[inline(always)]
fn before<V: Vector>(plan: &mut SameWork, packet: &[[i8; 2]; ANTENNAS * SUBCARRIERS]) {
    let f = &mut plan.features;
    let (mut total, mut squares) = (V::splat(0.0), V::splat(0.0));
    let (chunks, _) = packet.as_chunks::<LANES>();
    for (c, iq) in chunks.iter().enumerate() {
        let (row, at) = (c / STARTS.len(), STARTS[c % STARTS.len()]);
        let (re, im) = V::bytes(iq);
        let power = re.mul_add(re, im.mul(im));
        // 10 log10 of the power; a floor of −240 dB, as 20 log10(a + 1e-12) has.
        let db = log2(power.add(V::splat(1e-24))).mul(V::splat(3.010_3));
        let windowed = power.sqrt().mul(V::load(&plan.hamming, at));
        let kept = V::splat(NOISE_DB).if_less(db, windowed, V::splat(0.0));
        kept.store(&mut f.amplitude[row], at);
        total = total.add(kept);
        squares = kept.mul_add(kept, squares);
        atan2(im, re).store(&mut f.phase[row], at);
    }
    let n = (ANTENNAS * SUBCARRIERS) as f32;
    let mean = total.sum() / n;
    // The amplitudes are positive and of one order, so this difference loses a digit at most.
    let variance = squares.sum() / n - mean * mean;
    let scale = if variance > 0.0 { 1.0 / variance.sqrt() } else { 1.0 };
    for row in &mut f.amplitude {
        for at in STARTS {
            V::load(row, at).mul(V::splat(scale)).store(row, at);
        }
    }
    for row in &mut f.phase {
        unwrap::<V>(row);
        outliers::<V>(row);
        smooth::<V>(row);
    }
    amplitudes::<V>(f);
    phases::<V>(f);
}

#[inline(always)]
fn unwrap<V: Vector>(row: &mut [f32; SUBCARRIERS]) {
    let mut shifted = [0.0; SUBCARRIERS + 1];
    shifted[0] = row[0];
    shifted[1..].copy_from_slice(row);
    let mut carry = V::splat(0.0);
    for at in STARTS {
        let now = V::load(row, at);
        let turn = now.sub(V::load(&shifted, at)).mul(V::splat(1.0 / TAU)).round();
        let total = turn.prefix().add(carry);
        carry = total.spread_last();
        total.neg_mul_add(V::splat(TAU), now).store(row, at);
    }
}

#[inline(always)]
fn mean<V: Vector>(row: &[f32; SUBCARRIERS]) -> f32 {
    let (a, b) = (V::load(row, 0), V::load(row, LANES));
    let (c, d) = (V::load(row, 2 * LANES), V::load(row, 3 * LANES));
    a.add(b).add(c.add(d)).sum() / SUBCARRIERS as f32
}

/// Replaces values beyond the limit by the line between their sound neighbours.
#[inline(always)]
fn outliers<V: Vector>(row: &mut [f32; SUBCARRIERS]) {
    let mean = mean::<V>(row);
    let (mut squares, mut farthest) = (V::splat(0.0), V::splat(0.0));
    for at in STARTS {
        let off = V::load(row, at).sub(V::splat(mean));
        squares = off.mul_add(off, squares);
        farthest = farthest.max(off.abs());
    }
    let limit = OUTLIER_SIGMAS * (squares.sum() / SUBCARRIERS as f32).sqrt();
    if V::splat(limit).if_less(farthest, V::splat(1.0), V::splat(0.0)).any() && limit > 0.0 {
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
fn smooth<V: Vector>(row: &mut [f32; SUBCARRIERS]) {
    const EDGE: usize = SMOOTHING / 2;
    let mut from = [0.0; SUBCARRIERS + 2 * EDGE];
    from[EDGE..EDGE + SUBCARRIERS].copy_from_slice(row);
    for at in STARTS {
        let (a, b, c) = (V::load(&from, at), V::load(&from, at + 1), V::load(&from, at + 2));
        let (d, e) = (V::load(&from, at + 3), V::load(&from, at + 4));
        a.add(b).add(c).add(d.add(e)).mul(V::splat(1.0 / SMOOTHING as f32)).store(row, at);
    }
    row[..EDGE].copy_from_slice(&from[EDGE..2 * EDGE]);
    row[SUBCARRIERS - EDGE..].copy_from_slice(&from[SUBCARRIERS..SUBCARRIERS + EDGE]);
}

/// Mean and variance over antennas.
#[inline(always)]
fn over_antennas<V: Vector>(rows: &Rows, mean: &mut [f32; SUBCARRIERS], variance: &mut [f32; SUBCARRIERS]) {
    for at in STARTS {
        let (a, b) = (V::load(&rows[0], at), V::load(&rows[1], at));
        let (c, d) = (V::load(&rows[2], at), V::load(&rows[3], at));
        let quarter = V::splat(1.0 / ANTENNAS as f32);
        let m = a.add(b).add(c.add(d)).mul(quarter);
        let (a, b, c, d) = (a.sub(m), b.sub(m), c.sub(m), d.sub(m));
        let v = a.mul_add(a, b.mul(b)).add(c.mul_add(c, d.mul(d)));
        m.store(mean, at);
        v.mul(quarter).store(variance, at);
    }
}

/// Correlation coefficients of the rows.
#[inline(always)]
fn correlations<V: Vector>(rows: &Rows) -> [[f32; ANTENNAS]; ANTENNAS] {
    let mut means = [0.0; ANTENNAS];
    for (m, row) in means.iter_mut().zip(rows) {
        *m = mean::<V>(row);
    }
    let mut products = [[V::splat(0.0); ANTENNAS]; ANTENNAS];
    for at in STARTS {
        let mut x = [V::splat(0.0); ANTENNAS];
        for ((x, row), &m) in x.iter_mut().zip(rows).zip(&means) {
            *x = V::load(row, at).sub(V::splat(m));
        }
        for a in 0..ANTENNAS {
            for b in a..ANTENNAS {
                products[a][b] = x[a].mul_add(x[b], products[a][b]);
            }
        }
    }
    let mut squares = [0.0; ANTENNAS];
    for (a, s) in squares.iter_mut().enumerate() {
        *s = products[a][a].sum();
    }
    let mut out = [[1.0; ANTENNAS]; ANTENNAS];
    for a in 0..ANTENNAS {
        for b in a + 1..ANTENNAS {
            let norm = (squares[a] * squares[b]).sqrt();
            let r = if norm > 1e-10 { products[a][b].sum() / norm } else { 0.0 };
            (out[a][b], out[b][a]) = (r, r);
        }
    }
    out
}

#[inline(always)]
fn amplitudes<V: Vector>(f: &mut Features) {
    over_antennas::<V>(&f.amplitude, &mut f.amplitude_mean, &mut f.amplitude_variance);
    let flat = f.amplitude.as_flattened();
    let (mut high, mut low) = (V::load(flat, 0), V::load(flat, 0));
    let mut squares = V::splat(0.0);
    for c in 0..flat.len() / LANES {
        let a = V::load(flat, c * LANES);
        high = high.max(a);
        low = low.min(a);
        squares = a.mul_add(a, squares);
    }
    f.peak = high.greatest();
    f.dynamic_range = f.peak + V::splat(0.0).sub(low).greatest();
    f.rms = (squares.sum() / (ANTENNAS * SUBCARRIERS) as f32).sqrt();
    f.correlation = correlations::<V>(&f.amplitude);
    let pairs =
        [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)].map(|(a, b): (usize, usize)| f.correlation[a][b]);
    f.correlation_mean = pairs.iter().sum::<f32>() / 6.0;
    f.correlation_max = pairs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let variance = pairs.iter().map(|r| (r - f.correlation_mean).powi(2)).sum::<f32>() / 6.0;
    f.correlation_spread = variance.sqrt();
}

#[inline(always)]
fn phases<V: Vector>(f: &mut Features) {
    // The mean of differences is the difference of means. What the padding gives is cut off at the end.
    let (mut mean, mut padded) = ([0.0; SUBCARRIERS], [0.0; SUBCARRIERS + 1]);
    over_antennas::<V>(&f.phase, &mut mean, &mut f.phase_variance);
    padded[..SUBCARRIERS].copy_from_slice(&mean);
    for at in STARTS {
        V::load(&padded, at + 1).sub(V::load(&padded, at)).store(&mut f.phase_difference, at);
    }
    f.phase_difference[SUBCARRIERS - 1] = 0.0;
    padded[..SUBCARRIERS].copy_from_slice(&f.phase_difference);
    for at in STARTS {
        V::load(&padded, at + 1).sub(V::load(&padded, at)).store(&mut f.phase_gradient, at);
    }
    f.phase_gradient[SUBCARRIERS - 2..].fill(0.0);
    let r = correlations::<V>(&f.phase);
    f.coherence = (r[0][1] + r[0][2] + r[0][3] + r[1][2] + r[1][3] + r[2][3]) / 6.0;
}

#[inline(always)]
fn after<V: Vector>(plan: &mut SameWork) {
    let f = &mut plan.features;
    let half: &[Complex32; HALF + 1] = match plan.half.as_slice().try_into() {
        Ok(half) => half,
        Err(_) => return,
    };
    for (p, h) in f.spectrum.iter_mut().zip(half) {
        *p = (h.re * h.re + h.im * h.im) * (1.0 / SPECTRUM as f32);
    }
    // A real signal's spectrum is symmetric.
    let (first, second) = f.spectrum.split_at_mut(HALF);
    for (to, &from) in second[1..].iter_mut().rev().zip(&first[1..]) {
        *to = from;
    }
    let (mut total, mut weighted, mut high) = (V::splat(0.0), V::splat(0.0), V::splat(0.0));
    for at in STARTS {
        let p = V::load(&f.spectrum, at);
        total = total.add(p);
        weighted = p.mul_add(V::load(&plan.bins, at), weighted);
        high = high.max(p);
    }
    f.total_power = total.sum();
    f.peak_power = high.greatest();
    let peak = f.spectrum[..HALF].iter().position(|&p| p == f.peak_power).unwrap_or(0);
    f.peak_frequency = plan.bins[peak];
    let some = f.total_power > 1e-10;
    f.centroid = if some { weighted.sum() / f.total_power } else { 0.0 };
    let mut about = V::splat(0.0);
    for at in STARTS {
        let off = V::load(&plan.bins, at).sub(V::splat(f.centroid));
        about = V::load(&f.spectrum, at).mul(off).mul_add(off, about);
    }
    f.bandwidth = if some { (about.sum() / f.total_power).sqrt() } else { 0.0 };

    let by_variance = (mean::<V>(&f.amplitude_variance) / 0.5).clamp(0.0, 1.0);
    let off_diagonal: f32 =
        f.correlation.as_flattened().iter().map(|r| r.abs()).sum::<f32>() - ANTENNAS as f32;
    let by_correlation = (off_diagonal / (ANTENNAS * ANTENNAS) as f32).clamp(0.0, 1.0);
    let by_phase = 0.5 * (mean::<V>(&f.phase_variance) / 0.5).clamp(0.0, 1.0)
        + 0.5 * (1.0 - f.coherence.abs()).clamp(0.0, 1.0);
    f.motion = 0.4 * by_variance + 0.3 * by_correlation + 0.3 * by_phase;
    let quality = 0.3 * (0.5 * f.dynamic_range).clamp(0.0, 1.0)
        + 0.3 * f.coherence.abs()
        + 0.2 * (1.0 - f.correlation_spread).clamp(0.0, 1.0);
    f.confidence = quality / 0.8;
}
