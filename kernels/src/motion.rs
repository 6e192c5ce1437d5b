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
    // Weighted so that gaps lower neither sum against the other: (1/pairs) against (1/(count - 1)).
    let weight = (count - 1) as f64 / pairs as f64;
    let (mut sum, mut used) = (0.0f64, 0usize);
    for from in (0..streams).step_by(BLOCK) {
        let block = Block::of(power, streams, from, received, count);
        for i in 0..BLOCK.min(streams - from) {
            // What f32 rounding leaves of a constant is no variation.
            if block.variance[i] > 1e-12 * block.mean[i] * block.mean[i] * count as f64 {
                sum += block.lagged[i] / block.variance[i] * weight;
                used += 1;
            }
        }
    }
    (used > 0).then(|| (sum / used as f64) as f32)
}

/// Streams worked on at once: rows are read in the order in which they lie in memory, and the sums stay in registers.
const BLOCK: usize = 16;

/// Sums of neighbouring streams over the received steps.
struct Block {
    mean: [f64; BLOCK],
    /// `Σ (g_t − ḡ)²`.
    variance: [f64; BLOCK],
    /// `Σ (g_t − ḡ)(g_{t+1} − ḡ)` over neighbours that were both received.
    lagged: [f64; BLOCK],
}

impl Block {
    fn of(x: &[f32], streams: usize, from: usize, received: &[bool], count: usize) -> Self {
        let width = BLOCK.min(streams - from);
        let rows = || {
            x.chunks_exact(streams).zip(received).map(|(row, &got)| {
                got.then(|| {
                    let mut values = [0.0f64; BLOCK];
                    match row[from..from + width].as_chunks::<BLOCK>().0 {
                        [all] => values.iter_mut().zip(all).for_each(|(v, &x)| *v = f64::from(x)),
                        _ => {
                            let some = &row[from..from + width];
                            values.iter_mut().zip(some).for_each(|(v, &x)| *v = f64::from(x));
                        }
                    }
                    values
                })
            })
        };
        let mut out = Self { mean: [0.0; BLOCK], variance: [0.0; BLOCK], lagged: [0.0; BLOCK] };
        for row in rows().flatten() {
            for i in 0..BLOCK {
                out.mean[i] += row[i];
            }
        }
        out.mean.iter_mut().for_each(|m| *m /= count as f64);
        let mut before = [0.0f64; BLOCK];
        for row in rows() {
            let Some(mut row) = row else {
                before = [0.0; BLOCK];
                continue;
            };
            for i in 0..BLOCK {
                row[i] -= out.mean[i];
                out.variance[i] += row[i] * row[i];
                out.lagged[i] += row[i] * before[i];
            }
            before = row;
        }
        out
    }
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
    let count = amplitude.chunks_exact(streams).zip(received).filter(|(_, got)| **got).count();
    if count < 2 {
        return None;
    }
    let blocks = || {
        let starts = (0..streams).step_by(BLOCK);
        starts.map(|from| (BLOCK.min(streams - from), Block::of(amplitude, streams, from, received, count)))
    };
    let greatest = blocks().flat_map(|(width, b)| b.mean.into_iter().take(width)).fold(0.0, f64::max);
    let (mut sum, mut used) = (0.0, 0usize);
    for (width, block) in blocks() {
        for (&mean, &variance) in block.mean.iter().zip(&block.variance).take(width) {
            if mean > 0.05 * greatest {
                sum += (variance / count as f64).sqrt() / mean;
                used += 1;
            }
        }
    }
    (used > 0).then(|| (sum / used as f64) as f32)
}
