//! Placing packets, which arrive when they like, on a uniform time grid.

use crate::Complex32;

/// Marks a grid step without a packet in the index lists of this module.
pub const MISSING: u32 = u32::MAX;

/// A uniform time grid; step `k` of `steps` lies at `end_ns - (steps - 1 - k) / rate_hz`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Time of the last step, nanoseconds.
    pub end_ns: i64,
    /// Steps per second.
    pub rate_hz: f64,
    /// Number of steps.
    pub steps: usize,
}

impl Grid {
    /// Distance of two steps, nanoseconds.
    pub fn period_ns(&self) -> f64 {
        1e9 / self.rate_hz
    }

    /// Time of step `k`, nanoseconds.
    pub fn time_ns(&self, k: usize) -> i64 {
        let back = (self.steps as f64 - 1.0 - k as f64) * self.period_ns();
        self.end_ns.saturating_sub(back.round() as i64)
    }
}

/// Two packets and how far the step lies between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The packet at or before the step, [`MISSING`] where there is none.
    pub left: u32,
    /// The packet at or after the step, [`MISSING`] where there is none.
    pub right: u32,
    /// Share of `right`, 0..1.
    pub weight: f32,
}

impl Tap {
    /// No packets near this step.
    pub const NONE: Tap = Tap { left: MISSING, right: MISSING, weight: 0.0 };

    /// There are packets for this step.
    pub fn received(&self) -> bool {
        self.left != MISSING
    }
}

/// For each step the index of the nearest packet within half a step, or [`MISSING`]. A packet right between two
/// steps goes to the later one, so no packet is used twice.
///
/// `times_ns` ascends; `source` is `grid.steps` long (what is longer stays [`MISSING`]). Returns how many steps
/// have a packet.
pub fn nearest(grid: &Grid, times_ns: &[i64], source: &mut [u32]) -> usize {
    source.fill(MISSING);
    let half = 0.5 * grid.period_ns();
    let mut next = 0;
    let mut received = 0;
    for (k, slot) in source.iter_mut().take(grid.steps).enumerate() {
        let t = grid.time_ns(k);
        let mut best = f64::INFINITY;
        while let Some(&packet) = times_ns.get(next) {
            let offset = packet.saturating_sub(t) as f64;
            if offset >= half {
                break;
            }
            if offset >= -half && offset.abs() < best {
                best = offset.abs();
                *slot = next as u32;
            }
            next += 1;
        }
        received += usize::from(*slot != MISSING);
    }
    received
}

/// For each step the packets on either side and the weight of linear interpolation between them, where they are at
/// most `max_gap_ns` apart; a step past the last packet or before the first takes a packet within half a step.
///
/// Returns how many steps have packets. Arguments as for [`nearest`].
pub fn linear(grid: &Grid, times_ns: &[i64], max_gap_ns: i64, taps: &mut [Tap]) -> usize {
    taps.fill(Tap::NONE);
    let half = 0.5 * grid.period_ns();
    let mut after = 0;
    let mut received = 0;
    for (k, tap) in taps.iter_mut().take(grid.steps).enumerate() {
        let t = grid.time_ns(k);
        while times_ns.get(after).is_some_and(|&packet| packet < t) {
            after += 1;
        }
        let right = times_ns.get(after).map(|&p| (after as u32, p));
        let left = after.checked_sub(1).and_then(|i| times_ns.get(i).map(|&p| (i as u32, p)));
        *tap = match (left, right) {
            (_, Some((r, at))) if at == t => Tap { left: r, right: r, weight: 0.0 },
            (Some((l, before)), Some((r, at))) if at.saturating_sub(before) <= max_gap_ns => {
                let weight = (t - before) as f64 / (at - before) as f64;
                Tap { left: l, right: r, weight: weight as f32 }
            }
            _ => {
                let near = |p: &(u32, i64)| p.1.saturating_sub(t).unsigned_abs() as f64 <= half;
                match (left.filter(near), right.filter(near)) {
                    (Some(l), Some(r)) if t - l.1 > r.1 - t => Tap { left: r.0, right: r.0, weight: 0.0 },
                    (Some(l), _) => Tap { left: l.0, right: l.0, weight: 0.0 },
                    (None, Some(r)) => Tap { left: r.0, right: r.0, weight: 0.0 },
                    (None, None) => Tap::NONE,
                }
            }
        };
        received += usize::from(tap.received());
    }
    received
}

/// Copies packets to their steps: `out` is `[steps][values]`, `packet(i)` the `values` numbers of packet `i`
/// (`[pairs][S]`). Missing steps and packets of another length become zeros and `received` false.
pub fn gather<'a>(
    source: &[u32],
    values: usize,
    packet: impl Fn(usize) -> &'a [Complex32],
    out: &mut [Complex32],
    received: &mut [bool],
) {
    for ((&index, row), got) in source.iter().zip(out.chunks_exact_mut(values.max(1))).zip(received) {
        let from = if index == MISSING { &[][..] } else { packet(index as usize) };
        *got = from.len() == values && values > 0;
        if *got {
            row.copy_from_slice(from);
        } else {
            row.fill(Complex32::ZERO);
        }
    }
}

/// As [`gather`], with the two packets of each tap interpolated.
///
/// Magnitude is interpolated linearly and the phase is that of the nearer packet: CSI phases of two packets are not
/// comparable before sanitisation, so a complex mean would cancel.
pub fn gather_linear<'a>(
    taps: &[Tap],
    values: usize,
    packet: impl Fn(usize) -> &'a [Complex32],
    out: &mut [Complex32],
    received: &mut [bool],
) {
    for ((tap, row), got) in taps.iter().zip(out.chunks_exact_mut(values.max(1))).zip(received) {
        let (a, b) = if tap.received() {
            (packet(tap.left as usize), packet(tap.right as usize))
        } else {
            (&[][..], &[][..])
        };
        *got = values > 0 && a.len() == values && b.len() == values;
        if !*got {
            row.fill(Complex32::ZERO);
            continue;
        }
        let (near, near_weight, far) =
            if tap.weight <= 0.5 { (a, 1.0 - tap.weight, b) } else { (b, tap.weight, a) };
        for ((o, n), f) in row.iter_mut().zip(near).zip(far) {
            let magnitude = n.norm();
            let wanted = near_weight * magnitude + (1.0 - near_weight) * f.norm();
            *o = if magnitude > 0.0 { n * (wanted / magnitude) } else { Complex32::ZERO };
        }
    }
}
