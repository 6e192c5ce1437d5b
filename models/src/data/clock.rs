//! By how much a camera's clock differs from the radio's: where people move, the channel changes.

use super::{Label, ObservedLink};
use crate::input::{BLOCK, RATE_HZ};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockOffset {
    /// Seconds to be added to the labels' times to have them on the packets' clock.
    pub seconds: f64,
    /// Correlation of people's speed and the channel's change there, -1..1.
    pub correlation: f32,
    /// The greatest correlation at offsets that differ by a second and more.
    pub elsewhere: f32,
}

impl ClockOffset {
    /// Speed and change go together, and nowhere else as well.
    pub fn is_clear(&self) -> bool {
        self.correlation >= 0.3 && self.correlation >= self.elsewhere + 0.05
    }
}

const BLOCK_S: f64 = BLOCK as f64 / RATE_HZ as f64;
/// Offsets looked at in a block, for each of which the labels' speeds are taken anew.
const STEPS_A_BLOCK: usize = 4;

/// The offset within `reach_s` at which the people of the labels move when the channel changes (the greatest correlation of the
/// logarithms of speed and change over blocks of 0.2 s). `None` without ten seconds of both.
pub fn clock_offset(links: &[ObservedLink], labels: &[Label], reach_s: f64) -> Option<ClockOffset> {
    let ends = |link: &ObservedLink| Some((link.packets.first()?.0, link.packets.last()?.0));
    let (from_s, to_s) = links
        .iter()
        .filter_map(ends)
        .reduce(|(from, to), (other_from, other_to)| (from.max(other_from), to.min(other_to)))?;
    let blocks = ((to_s - from_s) / BLOCK_S).floor().max(0.0) as usize;
    if blocks < 50 || labels.len() < 2 {
        return None;
    }
    let mut change = vec![0.0f32; blocks];
    for link in links {
        for (sum, motion) in change.iter_mut().zip(link.motion(from_s, blocks)) {
            *sum += (motion + 1e-4).ln();
        }
    }
    let speeds = speeds(labels);
    let step_s = BLOCK_S / STEPS_A_BLOCK as f64;
    let steps = (reach_s / step_s).round() as i64;
    let at = |step: i64| {
        let offset = step as f64 * step_s;
        let pairs: Vec<(f32, f32)> = change
            .iter()
            .enumerate()
            .filter_map(|(i, c)| {
                let middle_s = from_s + (i as f64 + 0.5) * BLOCK_S - offset;
                Some((*c, (mean_speed(&speeds, middle_s)? + 0.02).ln()))
            })
            .collect();
        (pairs.len() >= 50).then(|| (offset, correlation(&pairs)))
    };
    let all: Vec<(f64, f32)> = (-steps..=steps).filter_map(at).collect();
    let (best, (seconds, correlation)) =
        all.iter().copied().enumerate().max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))?;
    let elsewhere = all
        .iter()
        .filter(|(offset, _)| (offset - seconds).abs() >= 1.0)
        .fold(-1.0f32, |most, (_, c)| most.max(*c));
    // The vertex of the parabola through the best and its neighbours.
    let vertex = |before: f32, after: f32| {
        let curve = before - 2.0 * correlation + after;
        if curve < 0.0 { 0.5 * f64::from((before - after) / curve) } else { 0.0 }
    };
    let finer = match (best.checked_sub(1).and_then(|i| all.get(i)), all.get(best + 1)) {
        (Some((_, before)), Some((_, after))) => vertex(*before, *after).clamp(-0.5, 0.5),
        _ => 0.0,
    };
    Some(ClockOffset { seconds: seconds + finer * step_s, correlation, elsewhere })
}

/// From label to label: the middle in seconds, and the mean speed of everybody's keypoints, m/s. Labels more than half a second apart, or
/// of another number of people, say nothing.
fn speeds(labels: &[Label]) -> Vec<(f64, f32)> {
    let of = |pair: &[Label]| {
        let [a, b] = pair else { return None };
        let seconds = b.time_s - a.time_s;
        if !(1e-3..=0.5).contains(&seconds) || a.persons.len() != b.persons.len() || a.persons.is_empty() {
            return None;
        }
        let moved = |(a, b): (&[f32; 3], &[f32; 3])| {
            a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
        };
        let points =
            a.persons.iter().zip(&b.persons).flat_map(|(a, b)| a.keypoints_m.iter().zip(&b.keypoints_m));
        let (sum, count) = points.map(moved).fold((0.0, 0usize), |(sum, count), m| (sum + m, count + 1));
        Some((0.5 * (a.time_s + b.time_s), sum / count as f32 / seconds as f32))
    };
    labels.windows(2).filter_map(of).collect()
}

/// The mean over the block about a time.
fn mean_speed(speeds: &[(f64, f32)], middle_s: f64) -> Option<f32> {
    let from = speeds.partition_point(|(t, _)| *t < middle_s - 0.5 * BLOCK_S);
    let inside = speeds[from..].iter().take_while(|(t, _)| *t < middle_s + 0.5 * BLOCK_S);
    let (sum, count) = inside.fold((0.0, 0usize), |(sum, count), (_, v)| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f32)
}

/// Pearson's; 0 where one of both never changes.
fn correlation(pairs: &[(f32, f32)]) -> f32 {
    let n = pairs.len() as f32;
    let (sum_a, sum_b) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        let (a, b) = (a - mean_a, b - mean_b);
        (aa, bb, ab) = (aa + a * a, bb + b * b, ab + a * b);
    }
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}
