//! One packet reduced to what survives the radio's faults.

use invispose_kernels::{Complex32, Layout};
use serde::{Deserialize, Serialize};

use super::{ANTENNAS, BINS, CHANNELS, PAIRS};

/// A packet's antenna pairs and amplitudes, in bins of neighbouring subcarriers, of the first transmit chain.
///
/// For antennas `k`, `j` and the subcarriers of a bin, `pair = 2 Σ h_k h_j* / (Σ|h_k|² + Σ|h_j|²)`: the CSI ratio in a
/// form without poles (|pair| ≤ 1), in which carrier and sampling offsets and the gain cancel.
/// `amplitude = √(mean |h_k|²)` of the bin, over the root mean square of all bins and antennas.
/// Absent antennas are 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// `[pair][bin]`, pairs as in [`PAIRS`].
    pub pairs: [[Complex32Pod; BINS]; PAIRS.len()],
    /// `[antenna][bin]`.
    pub amplitude: [[f32; BINS]; ANTENNAS],
}

/// Real and imaginary part.
pub type Complex32Pod = [f32; 2];

impl Moments {
    const ZERO: Self = Self { pairs: [[[0.0; 2]; BINS]; PAIRS.len()], amplitude: [[0.0; BINS]; ANTENNAS] };

    /// The moments of one packet, `[tx][rx][subcarrier]`. Values that are not finite, and null subcarriers, are left out.
    pub fn of(layout: Layout, csi: &[Complex32]) -> Self {
        let subcarriers = usize::from(layout.subcarriers);
        let antennas = usize::from(layout.rx).min(ANTENNAS);
        let mut out = Self::ZERO;
        if subcarriers == 0 || csi.len() < antennas * subcarriers {
            return out;
        }
        let antenna = |k: usize| &csi[k * subcarriers..(k + 1) * subcarriers];
        let mut power = [[0.0f32; BINS]; ANTENNAS];
        let (mut total, mut filled) = (0.0f32, 0usize);
        for (k, power) in power.iter_mut().enumerate().take(antennas) {
            for (bin, power) in power.iter_mut().enumerate() {
                let (mut sum, mut count) = (0.0f32, 0usize);
                for v in &antenna(k)[bin_range(bin, subcarriers)] {
                    let p = v.norm_sqr();
                    if p.is_finite() && p > 0.0 {
                        sum += p;
                        count += 1;
                    }
                }
                *power = sum;
                if count > 0 {
                    out.amplitude[k][bin] = (sum / count as f32).sqrt();
                    total += sum / count as f32;
                    filled += 1;
                }
            }
        }
        if filled == 0 || !total.is_finite() {
            return Self::ZERO;
        }
        let scale = (total / filled as f32).sqrt().recip();
        out.amplitude.iter_mut().flatten().for_each(|a| *a *= scale);
        for (pair, &(k, j)) in out.pairs.iter_mut().zip(&PAIRS) {
            if k >= antennas {
                continue;
            }
            for (bin, value) in pair.iter_mut().enumerate() {
                let range = bin_range(bin, subcarriers);
                let product: Complex32 = antenna(k)[range.clone()]
                    .iter()
                    .zip(&antenna(j)[range])
                    .map(|(a, b)| a * b.conj())
                    .filter(|p| p.re.is_finite() && p.im.is_finite())
                    .sum();
                let norm = power[k][bin] + power[j][bin];
                if norm > 0.0 && norm.is_finite() {
                    *value = [2.0 * product.re / norm, 2.0 * product.im / norm];
                }
            }
        }
        out
    }

    /// The channels as they are, `[CHANNELS][BINS]`: real and imaginary part of each pair, then the amplitudes. A pair
    /// is turned so that its mean over the bins is real: receive chains have constant phases of their own, which say
    /// nothing about the room.
    pub(super) fn write_channels(&self, out: &mut [f32]) {
        for (row, pair) in out.chunks_exact_mut(2 * BINS).zip(&self.pairs) {
            let mean: Complex32 = pair.iter().map(|v| Complex32::new(v[0], v[1])).sum();
            let turn = unit(mean).conj();
            for (bin, v) in pair.iter().enumerate() {
                let v = Complex32::new(v[0], v[1]) * turn;
                row[bin] = v.re;
                row[BINS + bin] = v.im;
            }
        }
        for (row, amplitude) in out[2 * PAIRS.len() * BINS..].chunks_exact_mut(BINS).zip(&self.amplitude) {
            row.copy_from_slice(amplitude);
        }
    }

    /// The channels as deviations from the quiet room, compressed like `asinh`, `[CHANNELS][BINS]`. A pair's deviation is
    /// turned by the quiet room's phase, an amplitude's is relative to the quiet room's: so the receive chains' constant
    /// phases and gains cancel.
    pub(super) fn write_deviation(&self, quiet: &Self, out: &mut [f32]) {
        debug_assert_eq!(out.len(), CHANNELS * BINS);
        for ((row, pair), quiet) in out.chunks_exact_mut(2 * BINS).zip(&self.pairs).zip(&quiet.pairs) {
            for (bin, (v, q)) in pair.iter().zip(quiet).enumerate() {
                let q = Complex32::new(q[0], q[1]);
                let d = (Complex32::new(v[0], v[1]) - q) * unit(q).conj();
                let size = d.norm();
                // The angle is kept: it tells the path length.
                let scale = if size > 1e-9 { (GAIN * size).asinh() / size } else { GAIN };
                row[bin] = d.re * scale;
                row[BINS + bin] = d.im * scale;
            }
        }
        let rows = out[2 * PAIRS.len() * BINS..].chunks_exact_mut(BINS);
        for ((row, amplitude), quiet) in rows.zip(&self.amplitude).zip(&quiet.amplitude) {
            for ((o, a), q) in row.iter_mut().zip(amplitude).zip(quiet) {
                *o = (GAIN * (a - q) / q.max(LEAST_AMPLITUDE)).asinh();
            }
        }
    }
}

/// Deviations of a twentieth are where the compression sets in.
pub(super) const GAIN: f32 = 20.0;
/// Bins that fade deeper than this in the quiet room are not magnified further.
pub(super) const LEAST_AMPLITUDE: f32 = 0.1;

/// The number on the unit circle with this one's angle; 1 for 0.
fn unit(z: Complex32) -> Complex32 {
    let n = z.norm();
    if n > 1e-9 { z / n } else { Complex32::new(1.0, 0.0) }
}

/// The subcarriers of a bin; every bin has at least one, so few subcarriers fall into several bins.
fn bin_range(bin: usize, subcarriers: usize) -> std::ops::Range<usize> {
    let from = bin * subcarriers / BINS;
    from..((bin + 1) * subcarriers / BINS).max(from + 1).min(subcarriers)
}

/// A link's channel in the quiet room: the mean of [`Moments`] over packets during which nobody was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The mean.
    pub moments: Moments,
    /// Receive antennas seen, at most [`ANTENNAS`].
    pub antennas: u8,
    /// Packets averaged.
    pub packets: u64,
}

/// Averages packets into a [`Reference`].
#[derive(Clone, Debug)]
pub struct ReferenceBuilder {
    sum: Moments,
    antennas: u8,
    packets: u64,
}

impl Default for ReferenceBuilder {
    fn default() -> Self {
        Self { sum: Moments::ZERO, antennas: 0, packets: 0 }
    }
}

impl ReferenceBuilder {
    /// Adds a packet, `[tx][rx][subcarrier]`.
    pub fn push(&mut self, layout: Layout, csi: &[Complex32]) {
        let m = Moments::of(layout, csi);
        self.antennas = usize::from(layout.rx).min(ANTENNAS) as u8;
        self.packets += 1;
        for (s, v) in self.sum.pairs.iter_mut().flatten().flatten().zip(m.pairs.iter().flatten().flatten()) {
            *s += v;
        }
        for (s, v) in self.sum.amplitude.iter_mut().flatten().zip(m.amplitude.iter().flatten()) {
            *s += v;
        }
    }

    /// Packets added so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// The mean, or `None` without packets.
    pub fn finish(&self) -> Option<Reference> {
        if self.packets == 0 {
            return None;
        }
        let scale = 1.0 / self.packets as f32;
        let mut moments = self.sum.clone();
        moments.pairs.iter_mut().flatten().flatten().for_each(|v| *v *= scale);
        moments.amplitude.iter_mut().flatten().for_each(|v| *v *= scale);
        Some(Reference { moments, antennas: self.antennas, packets: self.packets })
    }
}
