//! Phase over subcarriers: unwrapping, and removal of what the receiver's clocks add.
//!
//! A packet detected late by `τ` (STO, and SFO within the packet) adds a phase that is linear in the subcarrier index;
//! a carrier frequency offset (CFO) and the oscillators' unknown phase add a constant:
//! `ψ̂(k) = ψ(k) − 2π f_δ τ k + β`. Slopes here are in radians per subcarrier index.

use std::f32::consts::{PI, TAU};

use crate::Complex32;

/// `phase` brought into [−π, π] by whole turns.
pub fn wrap(phase: f32) -> f32 {
    let turns = (phase * (1.0 / TAU)).round();
    (phase - turns * TAU).clamp(-PI, PI)
}

/// Adds whole turns so that neighbours differ by at most π (numpy's `unwrap`, along `phase`).
pub fn unwrap(phase: &mut [f32]) {
    let mut previous: Option<f32> = None;
    let mut turns = 0.0f32;
    for value in phase {
        let raw = *value;
        if let Some(before) = previous {
            turns -= ((raw - before) * (1.0 / TAU)).round();
        }
        previous = Some(raw);
        *value = raw + turns * TAU;
    }
}

/// As [`unwrap`], with `slope` radians per index expected: neighbours differ by at most π from
/// `slope * (index[k] − index[k−1])`. A steep slope, or a gap such as DC, then costs no turn.
pub fn unwrap_about(phase: &mut [f32], index: &[f32], slope: f32) {
    let mut before: Option<(f32, f32)> = None;
    for (value, &at) in phase.iter_mut().zip(index) {
        if let Some((unwrapped, k)) = before {
            let expected = unwrapped + slope * (at - k);
            *value = expected + wrap(*value - expected);
        }
        before = Some((*value, at));
    }
}

/// The slope that neighbours show together: `arg Σ h(k+g)·conj(h(k)) / g` over the neighbours whose indices are `g`
/// apart, `g` the commonest distance (see [`common_step`]). Turning a packet by any slope moves this estimate by
/// just as much, modulo `2π / g`.
pub fn coarse_slope(csi: &[Complex32], index: &[f32], step: f32) -> f32 {
    let mut sum = Complex32::ZERO;
    for (h, k) in csi.windows(2).zip(index.windows(2)) {
        if k[1] - k[0] == step {
            sum += h[1] * h[0].conj();
        }
    }
    sum.arg() / step
}

/// The commonest distance of neighbouring indices; 1 where there are fewer than two.
pub fn common_step(index: &[f32]) -> f32 {
    let (mut best, mut most) = (1.0, 0);
    for (i, pair) in index.windows(2).enumerate() {
        // What is left cannot outnumber it.
        if most + i + 1 >= index.len() {
            break;
        }
        let step = pair[1] - pair[0];
        let seen = index[i..].windows(2).filter(|p| p[1] - p[0] == step).count();
        if seen > most {
            (best, most) = (step, seen);
        }
    }
    best
}

/// Least-squares line through `(index, phase)`: `(slope, offset)`, in f64 throughout. `(0, mean)` for fewer than two
/// distinct indices.
pub fn fit_line(phase: &[f32], index: &[f32]) -> (f32, f32) {
    let n = phase.len().min(index.len());
    if n == 0 {
        return (0.0, 0.0);
    }
    let mean_k = index[..n].iter().map(|&k| f64::from(k)).sum::<f64>() / n as f64;
    let mean_p = phase[..n].iter().map(|&p| f64::from(p)).sum::<f64>() / n as f64;
    let (mut kp, mut kk) = (0.0, 0.0);
    for (&p, &k) in phase.iter().zip(index) {
        let k = f64::from(k) - mean_k;
        kp += k * (f64::from(p) - mean_p);
        kk += k * k;
    }
    let slope = if kk > 0.0 { kp / kk } else { 0.0 };
    (slope as f32, (mean_p - slope * mean_k) as f32)
}

/// Subtracts `slope * index + offset`.
pub fn subtract_line(phase: &mut [f32], index: &[f32], slope: f32, offset: f32) {
    for (p, &k) in phase.iter_mut().zip(index) {
        *p -= slope * k + offset;
    }
}

/// Sanitised phase of one antenna pair: unwrapped about [`coarse_slope`], then freed of its own least-squares line
/// over the true subcarrier indices. Unchanged by any linear phase and any offset added to `csi`.
///
/// `csi`, `index` and `phase` are as long as each other; `phase` is written. Returns the removed slope (radians per
/// index; `−slope / (2π f_δ)` is the pair's mean delay in seconds).
///
/// Source: Sen et al., "You are facing the Mona Lisa", MobiSys 2012, with least squares over all subcarriers in place
/// of the two band edges.
pub fn sanitise_linear(csi: &[Complex32], index: &[f32], phase: &mut [f32]) -> f32 {
    let guess = unwrapped(csi, index, common_step(index), phase);
    // Fitting what is left over the guess keeps f32 precise when the slope is steep.
    subtract_line(phase, index, guess, 0.0);
    let (slope, offset) = fit_line(phase, index);
    subtract_line(phase, index, slope, offset);
    guess + slope
}

/// SpotFi's sanitisation: one slope and one offset for all pairs of a packet, so that differences of antennas, which
/// hold the angles of arrival, survive.
///
/// `csi` and `phase` are `[pairs][index.len()]`. Minimises `Σ (ψ(m,k) − slope·k − β)²` over all pairs `m` and
/// subcarriers `k`. Returns the removed slope.
///
/// Pairs may start a whole turn apart; each is brought to within half a turn of the first pair's start (relative to
/// the line), which makes the result unique.
///
/// Source: Kotaru et al., "SpotFi: decimeter level localization using WiFi", SIGCOMM 2015, algorithm 1; the offset,
/// which SpotFi leaves in, is removed too.
pub fn sanitise_spotfi(csi: &[Complex32], index: &[f32], phase: &mut [f32]) -> f32 {
    let n = index.len();
    if n == 0 {
        return 0.0;
    }
    let step = common_step(index);
    let mut sum = Complex32::ZERO;
    for row in csi.chunks_exact(n) {
        for (h, k) in row.windows(2).zip(index.windows(2)) {
            if k[1] - k[0] == step {
                sum += h[1] * h[0].conj();
            }
        }
    }
    let guess = sum.arg() / step;
    let mut reference = None;
    let (mut slope, mut offset, mut pairs) = (0.0f64, 0.0f64, 0usize);
    for (row, out) in csi.chunks_exact(n).zip(phase.chunks_exact_mut(n)) {
        angles(row, out);
        unwrap_about(out, index, guess);
        subtract_line(out, index, guess, 0.0);
        let mean = out.iter().sum::<f32>() / n as f32;
        let turns = ((mean - *reference.get_or_insert(mean)) / TAU).round() * TAU;
        out.iter_mut().for_each(|p| *p -= turns);
        // Every pair has the same indices, so the common fit is the mean of the fits.
        let (s, o) = fit_line(out, index);
        slope += f64::from(s);
        offset += f64::from(o);
        pairs += 1;
    }
    if pairs == 0 {
        return 0.0;
    }
    let (slope, offset) = ((slope / pairs as f64) as f32, (offset / pairs as f64) as f32);
    for out in phase.chunks_exact_mut(n) {
        subtract_line(out, index, slope, offset);
    }
    guess + slope
}

/// `arg h` of each value, in (−π, π].
pub fn angles(csi: &[Complex32], phase: &mut [f32]) {
    for (p, h) in phase.iter_mut().zip(csi) {
        *p = h.arg();
    }
}

fn unwrapped(csi: &[Complex32], index: &[f32], step: f32, phase: &mut [f32]) -> f32 {
    let guess = coarse_slope(csi, index, step);
    angles(csi, phase);
    unwrap_about(phase, index, guess);
    guess
}
