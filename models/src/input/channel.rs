//! One packet reduced to what survives the radio's faults.

use invispose_kernels::{Complex32, Layout};
use serde::{Deserialize, Serialize};

use super::{ANTENNAS, BINS, CHANNELS};

/// Real and imaginary part.
pub type Complex32Pod = [f32; 2];

type Values = [[Complex32; BINS]; ANTENNAS];

const ZERO: Complex32 = Complex32::new(0.0, 0.0);

/// A packet's channel of the first transmit chain in bins of neighbouring subcarriers. The phase slope over the
/// subcarriers (delay of the detection) is taken out before the mean over a bin; gain and phase are the packet's own.
/// Absent antennas are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Binned {
    values: Values,
}

impl Binned {
    /// Bins one packet, `[tx][rx][subcarrier]`. Values that are not finite, and null subcarriers, are left out.
    pub fn of(layout: Layout, csi: &[Complex32]) -> Self {
        let subcarriers = usize::from(layout.subcarriers);
        let antennas = usize::from(layout.rx).min(ANTENNAS);
        let mut values = [[ZERO; BINS]; ANTENNAS];
        if subcarriers == 0 || csi.len() < antennas * subcarriers {
            return Self { values };
        }
        let antenna = |k: usize| &csi[k * subcarriers..(k + 1) * subcarriers];
        let usable = |v: Complex32| v.re.is_finite() && v.im.is_finite() && v != ZERO;
        let turn: Complex32 = (0..antennas)
            .flat_map(|k| antenna(k).windows(2))
            .filter(|w| usable(w[0]) && usable(w[1]))
            .map(|w| w[1] * w[0].conj())
            .filter(|p| p.re.is_finite() && p.im.is_finite())
            .sum();
        let turn = unit(turn).conj();
        let mut turns = Vec::with_capacity(subcarriers);
        let mut now = Complex32::new(1.0, 0.0);
        for _ in 0..subcarriers {
            turns.push(now);
            now *= turn;
        }
        for (k, row) in values.iter_mut().enumerate().take(antennas) {
            for (bin, value) in row.iter_mut().enumerate() {
                let range = bin_range(bin, subcarriers);
                let (mut sum, mut count) = (ZERO, 0usize);
                for (v, t) in antenna(k)[range.clone()].iter().zip(&turns[range]) {
                    if usable(*v) {
                        sum += v * t;
                        count += 1;
                    }
                }
                let mean = sum / count.max(1) as f32;
                if usable(mean) {
                    *value = mean;
                }
            }
        }
        Self { values }
    }
}

/// The subcarriers of a bin; every bin has at least one, so few subcarriers fall into several bins.
fn bin_range(bin: usize, subcarriers: usize) -> std::ops::Range<usize> {
    let from = bin * subcarriers / BINS;
    from..((bin + 1) * subcarriers / BINS).max(from + 1).min(subcarriers)
}

/// The number on the unit circle with this one's angle; 1 for 0.
fn unit(z: Complex32) -> Complex32 {
    let n = z.norm();
    if n > 1e-20 && n.is_finite() { z / n } else { Complex32::new(1.0, 0.0) }
}

/// A gain is at most so many times the one that makes packet and quiet channel equally strong.
pub(super) const MOST_GAIN: f32 = 4.0;

/// `packet` with the phase and phase slope that bring it nearest to `to` in the least squares sense (the slope by the
/// phases of the bins' products, refined once) and the gain by which `to` is in it once, or `None` if it has nothing in
/// common with it. The gain that brings it nearest would shrink a noisy packet (regression dilution), and the
/// rest would look like somebody who stands still.
fn aligned(packet: &Values, to: &Values) -> Option<Values> {
    let products: [Complex32; BINS] =
        std::array::from_fn(|b| (0..ANTENNAS).map(|k| packet[k][b] * to[k][b].conj()).sum());
    let step: Complex32 = products.windows(2).map(|w| w[1] * w[0].conj()).sum();
    let mut slope = step.arg();
    let middle = (BINS as f32 - 1.0) / 2.0;
    let turned = |slope: f32| {
        let all: [Complex32; BINS] =
            std::array::from_fn(|b| products[b] * Complex32::from_polar(1.0, -slope * (b as f32 - middle)));
        (all, all.iter().sum::<Complex32>())
    };
    let (all, sum) = turned(slope);
    let back = unit(sum).conj();
    // Gauss-Newton on the common phase and the slope about the middle bin.
    let (mut up, mut down) = (0.0, 0.0);
    for (b, p) in all.iter().enumerate() {
        let x = b as f32 - middle;
        up += x * (p * back).im;
        down += x * x * (p * back).re.abs();
    }
    if down > 0.0 {
        slope += (up / down).clamp(-0.5, 0.5);
    }
    let (_, sum) = turned(slope);
    let power = |values: &Values| values.iter().flatten().map(Complex32::norm_sqr).sum::<f32>();
    let (own, wanted) = (power(packet), power(to));
    // The real factor g with Σ Re(g·packet·conj(to)) = Σ|to|² once the phases agree.
    let gain = (wanted / sum.norm()).min(MOST_GAIN * (wanted / own).sqrt());
    if !(gain.is_finite() && gain > 0.0 && sum.norm() > 0.0) {
        return None;
    }
    let back = unit(sum).conj() * gain;
    let turns: [Complex32; BINS] =
        std::array::from_fn(|b| back * Complex32::from_polar(1.0, -slope * (b as f32 - middle)));
    let mut out = *packet;
    for row in &mut out {
        for (v, t) in row.iter_mut().zip(&turns) {
            *v *= t;
        }
    }
    Some(out)
}

/// A link's channel in the quiet room: the mean over packets during which nobody was there, brought to the same gain,
/// phase and phase slope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// `[antenna][bin]`.
    channel: [[Complex32Pod; BINS]; ANTENNAS],
    /// Receive antennas seen, at most [`ANTENNAS`].
    pub antennas: u8,
    /// Packets averaged.
    pub packets: u64,
}

impl Reference {
    #[cfg(feature = "nn")]
    pub(crate) fn channel(&self) -> &[[Complex32Pod; BINS]; ANTENNAS] {
        &self.channel
    }

    #[cfg(feature = "nn")]
    pub(crate) fn from_channel(
        channel: [[Complex32Pod; BINS]; ANTENNAS],
        antennas: u8,
        packets: u64,
    ) -> Self {
        Self { channel, antennas, packets }
    }

    /// `[antenna][bin]`, and each antenna's factor that takes its receive chain out.
    #[cfg(feature = "gpu")]
    pub(super) fn channel_and_chains(&self) -> ([[Complex32; BINS]; ANTENNAS], [Complex32; ANTENNAS]) {
        let values = self.values();
        (values, Self::chains(&values))
    }

    fn values(&self) -> Values {
        self.channel.map(|row| row.map(|[re, im]| Complex32::new(re, im)))
    }

    /// For each antenna the factor that makes its row's sum real and its mean power 1: receive chains have constant phases
    /// and gains of their own, which say nothing about the room.
    fn chains(values: &Values) -> [Complex32; ANTENNAS] {
        values.map(|row| {
            let power = row.iter().map(Complex32::norm_sqr).sum::<f32>() / BINS as f32;
            if power > 0.0 { unit(row.iter().sum()).conj() / power.sqrt() } else { ZERO }
        })
    }

    /// The quiet channel without the receive chains' phases and gains, `[CHANNELS][BINS]`: each antenna's real, then its
    /// imaginary parts.
    pub(super) fn write(&self, out: &mut [f32]) {
        let values = self.values();
        write(&values, &Self::chains(&values), out);
    }

    /// What bodies add to the quiet channel in this packet, `[CHANNELS][BINS]`, in units of each antenna's quiet root mean
    /// square; false if the packet has nothing in common with the quiet channel.
    pub(super) fn write_deviation(&self, packet: &Binned, out: &mut [f32]) -> bool {
        let quiet = self.values();
        let Some(mut now) = aligned(&packet.values, &quiet) else { return false };
        for (row, quiet) in now.iter_mut().zip(&quiet) {
            for (v, q) in row.iter_mut().zip(quiet) {
                *v -= q;
            }
        }
        write(&now, &Self::chains(&quiet), out);
        true
    }
}

fn write(values: &Values, chains: &[Complex32; ANTENNAS], out: &mut [f32]) {
    debug_assert_eq!(out.len(), CHANNELS * BINS);
    for ((row, values), chain) in out.chunks_exact_mut(2 * BINS).zip(values).zip(chains) {
        for (bin, v) in values.iter().enumerate() {
            let v = v * chain;
            row[bin] = v.re.clamp(-LIMIT, LIMIT);
            row[BINS + bin] = v.im.clamp(-LIMIT, LIMIT);
        }
    }
}

/// Deviations beyond this many times the quiet channel are no bodies' doing.
pub(super) const LIMIT: f32 = 8.0;

/// Averages packets into a [`Reference`].
#[derive(Clone, Debug)]
pub struct ReferenceBuilder {
    sum: Values,
    antennas: u8,
    packets: u64,
}

impl Default for ReferenceBuilder {
    fn default() -> Self {
        Self { sum: [[ZERO; BINS]; ANTENNAS], antennas: 0, packets: 0 }
    }
}

impl ReferenceBuilder {
    /// Adds a packet, `[tx][rx][subcarrier]`; one without a usable value is left out.
    pub fn push(&mut self, layout: Layout, csi: &[Complex32]) {
        let packet = Binned::of(layout, csi).values;
        let power = packet.iter().flatten().map(Complex32::norm_sqr).sum::<f32>();
        if !(power.is_finite() && power > 0.0) {
            return;
        }
        let scale = power.sqrt().recip();
        let packet = packet.map(|row| row.map(|v| v * scale));
        let Some(packet) = (if self.packets == 0 { Some(packet) } else { aligned(&packet, &self.sum) })
        else {
            return;
        };
        // Aligned to the sum, whose size is that of `packets` packets.
        let size = 1.0 / self.packets.max(1) as f32;
        self.antennas = usize::from(layout.rx).min(ANTENNAS) as u8;
        self.packets += 1;
        for (s, v) in self.sum.iter_mut().flatten().zip(packet.iter().flatten()) {
            *s += v * size;
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
        let channel = self.sum.map(|row| row.map(|v| [v.re * scale, v.im * scale]));
        Some(Reference { channel, antennas: self.antennas, packets: self.packets })
    }
}
