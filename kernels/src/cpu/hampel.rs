//! The Hampel filter over many streams at once: each lane a stream, medians by a sorting network.

use super::simd::{LANES, Lanes, Supported, for_level};
use crate::hampel::{self, MAD_TO_SIGMA};

/// Longest window: `2 · 32 + 1` values.
pub(super) const MOST: usize = 65;

/// Filters `x`, `[T][streams]`, into `out`, every packet received.
pub(super) fn filter(level: Supported, x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]) {
    for_level!(level, body(x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]))
}

#[inline(always)]
fn body<const F: bool>(x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]) {
    let steps = x.len() / streams;
    let mut window: [Lanes; MOST] = [[0.0; LANES]; MOST];
    let mut first = 0;
    while first < streams {
        let width = LANES.min(streams - first);
        for t in 0..steps {
            let (from, to) = (t.saturating_sub(half), (t + half + 1).min(steps));
            let n = (to - from).min(MOST);
            let at = |t: usize| t * streams + first..t * streams + first + width;
            for (w, t) in window.iter_mut().zip(from..to) {
                w[..width].copy_from_slice(&x[at(t)]);
            }
            let middle = median(&mut window[..n]);
            for (w, t) in window.iter_mut().zip(from..to) {
                w[..width].copy_from_slice(&x[at(t)]);
                for i in 0..LANES {
                    w[i] = (w[i] - middle[i]).abs();
                }
            }
            let spread = median(&mut window[..n]);
            let (row, out) = (&x[at(t)], &mut out[at(t)]);
            for (((o, &v), &m), &s) in out.iter_mut().zip(row).zip(&middle).zip(&spread) {
                *o = if (v - m).abs() > sigmas * MAD_TO_SIGMA * s { m } else { v };
            }
        }
        first += LANES;
    }
}

/// Medians of the lanes: an odd–even transposition sort.
#[inline(always)]
fn median(x: &mut [Lanes]) -> Lanes {
    let n = x.len();
    for round in 0..n {
        for pair in x[round % 2..].chunks_exact_mut(2) {
            if let [a, b] = pair {
                for i in 0..LANES {
                    let (low, high) = if a[i] < b[i] { (a[i], b[i]) } else { (b[i], a[i]) };
                    (a[i], b[i]) = (low, high);
                }
            }
        }
    }
    let mut middle = x[n / 2];
    if n % 2 == 0 {
        for i in 0..LANES {
            middle[i] = 0.5 * (x[n / 2 - 1][i] + x[n / 2][i]);
        }
    }
    middle
}

/// As [`filter`] where some packets are missing: each stream's received values, one after the other.
pub(super) fn filter_received(
    x: &mut [f32],
    streams: usize,
    half: usize,
    sigmas: f32,
    received: impl Fn(usize) -> bool,
    column: &mut [f32],
    filtered: &mut [f32],
) {
    let steps = x.len() / streams;
    let mut scratch = [0.0; MOST];
    for s in 0..streams {
        let mut n = 0;
        for t in (0..steps).filter(|&t| received(t)) {
            column[n] = x[t * streams + s];
            n += 1;
        }
        hampel::hampel(&column[..n], half, sigmas, &mut scratch, &mut filtered[..n]);
        for (t, &v) in (0..steps).filter(|&t| received(t)).zip(filtered.iter()) {
            x[t * streams + s] = v;
        }
    }
}
