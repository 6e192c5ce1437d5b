//! How much of a window's variation moves: variation that is alike from one packet to the next, as against the
//! receiver's noise, which is not.

#[cfg(feature = "gpu")]
pub(crate) mod gpu;

/// The motion statistics of one link's window. Amplitudes are of packets scaled to unit mean power, so gain steps
/// are not in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// Autocorrelation of the amplitude at `lag` steps, averaged over subcarriers: the share of the variation that is
    /// alike from packet to packet. About 0 for white noise of any strength, towards 1 for motion.
    pub share: f32,
    /// `√(mean autocovariance)` at `lag` steps, 0 where it is negative: the strength of that variation, relative to the amplitude.
    pub coherent: f32,
    /// `√(mean variance)`: the strength of all variation, relative to the amplitude.
    pub total: f32,
    /// Steps from one packet to the one that it was compared with, on average.
    pub lag: usize,
    /// Standard deviation that `share` would have if all variation were white noise: `1 / √(pairs · streams that vary
    /// independently)`.
    pub noise_share: f32,
}

impl Motion {
    /// The `coherent` that white noise of this window's strength reaches when its `share` is `sigmas` standard
    /// deviations high.
    pub fn noise_coherent(&self, sigmas: f32) -> f32 {
        self.total * (sigmas * self.noise_share).max(0.0).sqrt()
    }
}

/// Lags that are tried: a link with a packet in every second or third step has no neighbours.
const MAX_LAG: usize = 3;
/// Packets further apart than this are not compared, steps.
const MAX_GAP: usize = 8;
/// Fewer pairs of packets say nothing.
const MIN_PAIRS: usize = 15;
/// The same where packets are compared at whatever lag they have.
const MIN_UNEVEN_PAIRS: usize = 30;
/// Streams whose correlation with each other is looked at.
const COMPARED: usize = 12;

/// The statistics of `amplitude`, `[step][stream]`, over the received steps; `None` with too few packets or no
/// variation.
///
/// The lag is the least one of 1 to 3 that has at least half as many pairs of received packets as the best of them. Where packets
/// come too seldom for that, each is compared with the one before it.
///
/// Source: the autocorrelation of Zhang et al., "WiDetect", IMWUT 2019, taken at a lag at which the link has packets;
/// the number of independent streams as `S² / Σ ρ²` over the correlations of all pairs of streams (Bretherton et al., "The
/// effective number of spatial degrees of freedom of a time-varying field", J. Climate 1999).
pub fn motion(amplitude: &[f32], streams: usize, received: &[bool]) -> Option<Motion> {
    let count = received.iter().filter(|r| **r).count();
    if streams == 0 || count < 3 || amplitude.len() < streams * received.len() {
        return None;
    }
    let compared = compared(received)?;
    let pairs = compared.len();
    let lag = compared.iter().map(|(a, b)| b - a).sum::<usize>().div_ceil(pairs);

    let mut centred = amplitude[..streams * received.len()].to_vec();
    let mut mean = vec![0.0f32; streams];
    for (row, _) in centred.chunks_exact(streams).zip(received).filter(|(_, got)| **got) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / count as f32);
    }
    for (row, got) in centred.chunks_exact_mut(streams).zip(received) {
        if *got {
            row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
        } else {
            row.fill(0.0);
        }
    }
    let mut variance = vec![0.0f32; streams];
    let mut lagged = vec![0.0f32; streams];
    for row in centred.chunks_exact(streams) {
        variance.iter_mut().zip(row).for_each(|(s, v)| *s += v * v / count as f32);
    }
    for &(a, b) in &compared {
        let rows = centred[a * streams..].iter().zip(&centred[b * streams..]);
        lagged.iter_mut().zip(rows).for_each(|(s, (a, b))| *s += a * b / pairs as f32);
    }

    // What rounding leaves of a constant is no variation.
    let varies = |s: usize| variance[s] > 1e-10 * mean[s] * mean[s] && variance[s] > 0.0;
    let varying: Vec<usize> = (0..streams).filter(|&s| varies(s)).collect();
    if varying.is_empty() {
        return None;
    }
    let n = varying.len() as f32;
    let share = varying.iter().map(|&s| lagged[s] / variance[s]).sum::<f32>() / n;
    let covariance = varying.iter().map(|&s| lagged[s]).sum::<f32>() / n;
    let total = (varying.iter().map(|&s| variance[s]).sum::<f32>() / n).sqrt();
    let independent = independent_streams(&centred, streams, &varying, &variance, count);
    Some(Motion {
        share,
        coherent: covariance.max(0.0).sqrt(),
        total,
        lag,
        noise_share: 1.0 / (pairs as f32 * independent).sqrt(),
    })
}

/// Steps of the packets that are compared with each other; `None` with too few.
fn compared(received: &[bool]) -> Option<Vec<(usize, usize)>> {
    let at = |lag: usize| -> Vec<(usize, usize)> {
        let steps = 0..received.len().saturating_sub(lag);
        steps.filter(|&t| received[t] && received[t + lag]).map(|t| (t, t + lag)).collect()
    };
    let by_lag: Vec<Vec<(usize, usize)>> = (1..=MAX_LAG).map(at).collect();
    let most = by_lag.iter().map(Vec::len).max().unwrap_or(0);
    let even = by_lag.into_iter().find(|pairs| 2 * pairs.len() >= most)?;
    if even.len() >= MIN_PAIRS {
        return Some(even);
    }
    let packets: Vec<usize> = (0..received.len()).filter(|&t| received[t]).collect();
    let next = packets.windows(2).map(|p| (p[0], p[1])).filter(|(a, b)| b - a <= MAX_GAP);
    let seldom: Vec<(usize, usize)> = next.collect();
    (seldom.len() >= MIN_UNEVEN_PAIRS).then_some(seldom)
}

fn independent_streams(
    centred: &[f32],
    streams: usize,
    varying: &[usize],
    variance: &[f32],
    count: usize,
) -> f32 {
    let some: Vec<usize> = varying.iter().copied().step_by(varying.len().div_ceil(COMPARED)).collect();
    let mut squares = 0.0f32;
    for (i, &a) in some.iter().enumerate() {
        for &b in &some[..i] {
            let product: f32 = centred.chunks_exact(streams).map(|row| row[a] * row[b]).sum();
            let correlation = product / count as f32 / (variance[a] * variance[b]).sqrt();
            // Correlations of independent noise are not zero: their squares are 1 / count on average.
            squares += 2.0 * (correlation * correlation - 1.0 / count as f32).max(0.0);
        }
    }
    let n = some.len() as f32;
    n * n / (n + squares)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// White noise in −1..1 (a 64-bit linear congruential generator, Knuth's constants).
    fn noise(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        }
    }

    fn amplitude(steps: usize, streams: usize, strength: f32, wave: f32, seed: u64) -> Vec<f32> {
        let mut noise = noise(seed);
        (0..steps * streams)
            .map(|i| {
                let (t, s) = ((i / streams) as f32, (i % streams) as f32);
                1.0 + strength * noise() + wave * (0.4 * t + s).sin()
            })
            .collect()
    }

    #[test]
    fn at_lag_one_it_is_the_kernel_s_autocorrelation() {
        let a = amplitude(100, 20, 0.1, 0.05, 1);
        let got = motion(&a, 20, &[true; 100]).unwrap();
        let reference = invispose_kernels::motion::autocorrelation(&a, 20, &[true; 100]).unwrap();
        assert_eq!(got.lag, 1);
        // That one divides both sums by counts that differ by one pair.
        assert!((got.share - reference).abs() < 0.02, "{} {reference}", got.share);
    }

    #[test]
    fn white_noise_of_any_strength_keeps_within_its_law() {
        for strength in [1e-3, 0.1, 0.5] {
            let shares: Vec<f32> = (0..200)
                .map(|seed| {
                    let m = motion(&amplitude(100, 8, strength, 0.0, seed), 8, &[true; 100]).unwrap();
                    m.share / m.noise_share
                })
                .collect();
            let mean = shares.iter().sum::<f32>() / 200.0;
            let deviation = (shares.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / 200.0).sqrt();
            assert!(mean.abs() < 0.6 && (0.7..1.3).contains(&deviation), "{strength}: {mean} ± {deviation}");
        }
    }

    #[test]
    fn motion_shows_through_gaps_and_at_other_rates() {
        let a = amplitude(100, 8, 0.05, 0.1, 3);
        for every in 1..=3 {
            let received: Vec<bool> = (0..100).map(|t| t % every == 0 && t % 17 != 0).collect();
            let m = motion(&a, 8, &received).unwrap();
            assert_eq!(m.lag, every);
            // The wave's own autocorrelation at this lag times its share of the variance (0.005 of 0.005 + 0.05²/3).
            let expected = (0.4 * every as f32).cos() * 0.005 / (0.005 + 0.0025 / 3.0);
            assert!((m.share - expected).abs() < 0.2, "{every}: {} instead of {expected}", m.share);
            assert!(m.share > 3.0 * m.noise_share || every == 3);
        }
        assert_eq!(motion(&a, 8, &(0..100).map(|t| t % 7 == 0).collect::<Vec<_>>()), None, "14 pairs");
        // Ten packets a second, none in its place, of a motion that takes seconds.
        let slow: Vec<f32> = (0..1600).map(|i| 1.0 + 0.1 * (0.05 * (i / 8) as f32).sin()).collect();
        let seldom: Vec<bool> = (0..200).map(|t| matches!(t % 10, 0 | 6)).collect();
        let m = motion(&slow, 8, &seldom).unwrap();
        assert!(matches!(m.lag, 5 | 6) && m.share > 0.8, "{m:?}");
        assert_eq!(motion(&[1.0; 800], 8, &[true; 100]), None);
    }
}
