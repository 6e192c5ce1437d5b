//! How much moves: statistics of amplitude over time.

/// First-lag autocorrelation of each subcarrier's power over time, averaged over subcarriers:
/// `mean_s Σ_t (g_t − ḡ)(g_{t+1} − ḡ) / Σ_t (g_t − ḡ)²`. Near 0 (slightly negative) for an empty room's noise, towards 1 when
/// the channel changes slowly against the packet rate, i.e. something moves.
///
/// `power` is `[T][streams]`, `|h|²` in any unit; `received[t]` marks the steps to use (only pairs of neighbours that
/// were both received count, the sum over them weighted to `T`). `None` with fewer than 3 received steps, no pair of neighbours, or
/// no variation in any stream. A single packet's gain reaches all streams: normalise (AGC) before.
///
/// Source: Zhang et al., "WiDetect: robust motion detection with a statistical electromagnetic model", IMWUT 2019.
pub fn autocorrelation(power: &[f32], streams: usize, received: &[bool]) -> Option<f32> {
    let streams = streams.max(1);
    let count = power.chunks_exact(streams).zip(received).filter(|(_, got)| **got).count();
    let pairs = received.windows(2).filter(|w| w[0] && w[1]).count();
    if count < 3 || pairs == 0 {
        return None;
    }
    let (mut sum, mut used) = (0.0f64, 0usize);
    for s in 0..streams {
        let values =
            || power.chunks_exact(streams).map(|row| f64::from(row[s])).zip(received.iter().copied());
        let mean = values().filter(|v| v.1).map(|v| v.0).sum::<f64>() / count as f64;
        let (mut variance, mut lagged) = (0.0, 0.0);
        let mut before: Option<f64> = None;
        for (value, got) in values() {
            let now = got.then_some(value - mean);
            if let Some(now) = now {
                variance += now * now;
                lagged += now * before.unwrap_or(0.0);
            }
            before = now;
        }
        // What f32 rounding leaves of a constant is no variation.
        if variance > 1e-12 * mean * mean * count as f64 {
            // Weighted so that gaps lower neither sum against the other: (1/pairs) against (1/(count - 1)).
            sum += lagged / variance * ((count - 1) as f64 / pairs as f64);
            used += 1;
        }
    }
    (used > 0).then(|| (sum / used as f64) as f32)
}

/// Spatial turbulence of one packet: standard deviation over subcarriers of the amplitude, divided by its mean. Free
/// of the packet's gain. 0 for a packet without power.
pub fn turbulence(amplitude: &[f32]) -> f32 {
    let n = amplitude.len().max(1) as f64;
    let mean = amplitude.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
    if mean <= 0.0 {
        return 0.0;
    }
    let variance = amplitude.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / n;
    (variance.sqrt() / mean) as f32
}

/// Variance over the last `window` received values of `x`, per step, into `out` (0 until two were received). The moving variance of [`turbulence`] is
/// a motion statistic that steps of the gain do not touch.
///
/// Source: the "spatial turbulence" and moving variance of segmentation in the ESPectre project, with the deviation
/// divided by the mean so that gain cancels.
pub fn moving_variance(x: &[f32], received: &[bool], window: usize, out: &mut [f32]) {
    for t in 0..x.len().min(out.len()).min(received.len()) {
        // Two passes over a short window: a running sum of squares loses what is small beside the mean.
        let recent = || (0..=t).rev().filter(|&i| received[i]).take(window).map(|i| f64::from(x[i]));
        let n = recent().count() as f64;
        let mean = recent().sum::<f64>() / n.max(1.0);
        out[t] = if n < 2.0 { 0.0 } else { (recent().map(|v| (v - mean).powi(2)).sum::<f64>() / n) as f32 };
    }
}

/// Motion over a block: mean over streams of the standard deviation over time of the AGC-normalised amplitude,
/// divided by the stream's mean. Streams whose mean is under 5 % of the greatest stream mean (nulls, notches) are
/// left out. `amplitude` is `[T][streams]`; `None` with fewer than 2 received steps.
pub fn fluctuation(amplitude: &[f32], streams: usize, received: &[bool]) -> Option<f32> {
    let streams = streams.max(1);
    let count = amplitude.chunks_exact(streams).zip(received).filter(|(_, got)| **got).count() as f64;
    if count < 2.0 {
        return None;
    }
    let values = |s: usize| {
        let rows = amplitude.chunks_exact(streams).zip(received).filter(|(_, got)| **got);
        rows.map(move |(row, _)| f64::from(row[s]))
    };
    let mean = |s: usize| values(s).sum::<f64>() / count;
    let greatest = (0..streams).map(mean).fold(0.0, f64::max);
    let (mut sum, mut used) = (0.0, 0usize);
    for s in 0..streams {
        let m = mean(s);
        if m > 0.05 * greatest {
            sum += (values(s).map(|v| (v - m).powi(2)).sum::<f64>() / count).sqrt() / m;
            used += 1;
        }
    }
    (used > 0).then(|| (sum / used as f64) as f32)
}
