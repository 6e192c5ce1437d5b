//! The Hampel filter over many streams at once: each lane a stream, medians by a sorting network.

use super::simd::{LANES, Supported, Vector, for_level};
use crate::hampel::{self, MAD_TO_SIGMA};

/// Longest window: `2 · 32 + 1` values.
pub(super) const MOST: usize = 65;

/// Filters `x`, `[T][streams]`, into `out`, every packet received.
pub(super) fn filter(level: Supported, x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]) {
    for_level!(level, body(x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]))
}

#[inline(always)]
fn body<V: Vector>(x: &[f32], streams: usize, half: usize, sigmas: f32, out: &mut [f32]) {
    let steps = x.len() / streams;
    let mut window = [V::splat(0.0); MOST];
    let mut first = 0;
    while first < streams {
        let width = LANES.min(streams - first);
        let at = |t: usize| t * streams + first;
        let load = |t: usize| {
            if width == LANES {
                return V::load(x, at(t));
            }
            let mut lanes = [0.0; LANES];
            lanes[..width].copy_from_slice(&x[at(t)..at(t) + width]);
            V::load(&lanes, 0)
        };
        for t in 0..steps {
            let (from, to) = (t.saturating_sub(half), (t + half + 1).min(steps));
            let n = (to - from).min(MOST);
            for (w, t) in window.iter_mut().zip(from..to) {
                *w = load(t);
            }
            let middle = median(&mut window[..n]);
            // The order does not matter, so the sorted values serve.
            for w in &mut window[..n] {
                *w = w.sub(middle).abs();
            }
            let limit = median(&mut window[..n]).mul(V::splat(sigmas * MAD_TO_SIGMA));
            let value = load(t);
            let kept = limit.if_less(value.sub(middle).abs(), middle, value).array();
            out[at(t)..at(t) + width].copy_from_slice(&kept[..width]);
        }
        first += LANES;
    }
}

/// Medians of the lanes: an odd–even transposition sort.
#[inline(always)]
fn median<V: Vector>(x: &mut [V]) -> V {
    let n = x.len();
    for round in 0..n {
        for pair in x[round % 2..].chunks_exact_mut(2) {
            (pair[0], pair[1]) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        }
    }
    if n % 2 == 1 { x[n / 2] } else { x[n / 2 - 1].add(x[n / 2]).mul(V::splat(0.5)) }
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
