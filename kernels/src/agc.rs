//! Amplitude scale. A receiver's automatic gain control (AGC) steps between packets and multiplies a whole packet by
//! an unknown gain; features of shape must not see it.

use crate::Complex32;

/// Mean power `mean |h|²` over the usable columns of all antenna pairs. `packet` is `[pairs][subcarriers]`; an empty
/// `columns` means all of them.
pub fn mean_power(packet: &[Complex32], subcarriers: usize, columns: &[u16]) -> f32 {
    let (mut sum, mut count) = (0.0f64, 0usize);
    if columns.is_empty() {
        sum = packet.iter().map(|h| f64::from(h.norm_sqr())).sum();
        count = packet.len();
    } else {
        for row in packet.chunks_exact(subcarriers.max(1)) {
            for h in columns.iter().filter_map(|&c| row.get(c as usize)) {
                sum += f64::from(h.norm_sqr());
                count += 1;
            }
        }
    }
    if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
}

/// Scales a packet to unit mean power over the usable columns of all its pairs:
/// `h ← h / sqrt(mean |h|²)`. One factor for the packet, so ratios of antennas keep their meaning.
///
/// Returns the factor; 0 for a packet without power or with values that are not finite, which becomes zeros.
pub fn normalise(packet: &mut [Complex32], subcarriers: usize, columns: &[u16]) -> f32 {
    scale_to(packet, subcarriers, columns, 1.0)
}

/// Scales a packet so that its mean power is the received power, in milliwatts: `mean |h|² = 10^(rssi_dbm / 10)`.
/// For features that need absolute strength; RSSI is quantised to 1 dB by most devices.
///
/// Source: Halperin et al., "Tool release: gathering 802.11n traces with channel state information", 2011
/// (`get_scaled_csi`, without its noise term). Returns the factor as [`normalise`] does.
pub fn scale_to_rssi(packet: &mut [Complex32], subcarriers: usize, columns: &[u16], rssi_dbm: f32) -> f32 {
    scale_to(packet, subcarriers, columns, 10f32.powf(rssi_dbm / 10.0))
}

fn scale_to(packet: &mut [Complex32], subcarriers: usize, columns: &[u16], power: f32) -> f32 {
    let mean = mean_power(packet, subcarriers, columns);
    let factor = (power / mean).sqrt();
    if mean > 0.0 && factor.is_finite() {
        packet.iter_mut().for_each(|h| *h *= factor);
        factor
    } else {
        packet.fill(Complex32::ZERO);
        0.0
    }
}
