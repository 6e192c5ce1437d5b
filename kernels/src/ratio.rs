//! Two antennas of one receiver share oscillator and clock: what both see alike cancels.

use crate::Complex32;

/// Conjugate product `h · conj(r)`: CFO and STO, common to both antennas, cancel; amplitudes multiply.
///
/// Source: Li et al., "IndoTrack: device-free indoor human tracking with commodity Wi-Fi", IMWUT 2017.
pub fn conjugate_product(h: &[Complex32], reference: &[Complex32], out: &mut [Complex32]) {
    for ((o, h), r) in out.iter_mut().zip(h).zip(reference) {
        *o = h * r.conj();
    }
}

/// CSI ratio `h / r = h · conj(r) / |r|²`: common phase and common gain (AGC) cancel alike. Where the reference is
/// faint (`|r|² <` `floor`, in units of power), the divisor is `floor`, so the ratio fades to zero instead of
/// exploding. [`ratio_floor`] gives a floor that scales with the packet.
///
/// Source: Zeng et al., "FarSense: pushing the range limit of WiFi-based respiration sensing with CSI ratio of two
/// antennas", IMWUT 2019.
pub fn csi_ratio(h: &[Complex32], reference: &[Complex32], floor: f32, out: &mut [Complex32]) {
    let floor = floor.max(f32::MIN_POSITIVE);
    for ((o, h), r) in out.iter_mut().zip(h).zip(reference) {
        *o = h * r.conj() / r.norm_sqr().max(floor);
    }
}

/// `share` (e.g. `1e-2`, that is −20 dB) of the reference's mean power.
pub fn ratio_floor(reference: &[Complex32], share: f32) -> f32 {
    let sum: f32 = reference.iter().map(|r| r.norm_sqr()).sum();
    share * sum / reference.len().max(1) as f32
}

/// The antenna to divide by: that with the greatest mean-to-deviation ratio of amplitude over time, averaged over
/// subcarriers, i.e. the steadiest one. `amplitude` is `[T][antennas][S]`. `None` for an empty block.
///
/// Source: Zeng et al., FarSense (as above), and Li et al., IndoTrack, section 4.
pub fn reference_antenna(amplitude: &[f32], antennas: usize, subcarriers: usize) -> Option<usize> {
    let packet = antennas * subcarriers;
    if packet == 0 || amplitude.len() < packet {
        return None;
    }
    let steadiness = |antenna: usize| {
        let mut total = 0.0f64;
        for s in 0..subcarriers {
            let column = || amplitude.chunks_exact(packet).map(|p| f64::from(p[antenna * subcarriers + s]));
            let n = (amplitude.len() / packet) as f64;
            let mean = column().sum::<f64>() / n;
            let variance = column().map(|a| (a - mean).powi(2)).sum::<f64>() / n;
            if mean > 0.0 {
                total += mean / (variance.sqrt() + 1e-6 * mean);
            }
        }
        total
    };
    (0..antennas).max_by(|&a, &b| steadiness(a).total_cmp(&steadiness(b)))
}
