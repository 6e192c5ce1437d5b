//! How well tracks follow people: CLEAR MOT, identity F1 and HOTA.
//!
//! Similarity of a true and a shown person is `1 − d / 2 m`, at least 0, with their distance `d` on the floor; where one
//! threshold is needed it is 0.5, a metre. These are the measures that TrackEval takes for points.
//!
//! Sources: Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", 2008;
//! Ristani et al., "Performance measures and a data set for multi-target, multi-camera tracking", 2016; Luiten et al.,
//! "HOTA: a higher order metric for evaluating multi-object tracking", 2021, with the matching of its section 5 and the
//! 19 thresholds 0.05 to 0.95.

use std::collections::HashMap;

use serde::Serialize;

use crate::tracking::assign;

/// Distance at which two people have nothing in common, metres.
const ZERO_M: f64 = 2.0;
/// Similarity from which on a true person counts as found, where one threshold is needed.
const FOUND: f64 = 0.5;
/// Similarities are not compared to the last bit.
const EPSILON: f64 = 1e-9;

/// Somebody at one moment: identity, and place on the floor in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Who.
    pub id: u64,
    /// Where.
    pub at_m: [f64; 2],
}

/// One moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Who is there.
    pub truth: Vec<Point>,
    /// Who is shown.
    pub shown: Vec<Point>,
}

/// How well somebody tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// CLEAR MOT accuracy: 1 − (missed + false + switches) / true; below 0 when more is wrong than there is.
    pub mota: f64,
    /// Mean distance of those found, metres (CLEAR MOT precision).
    pub motp_m: f64,
    /// F1 of identities.
    pub idf1: f64,
    /// Higher order tracking accuracy, mean over thresholds.
    pub hota: f64,
    /// Its part that tells detection, mean over thresholds.
    pub det_a: f64,
    /// Its part that tells association, mean over thresholds.
    pub ass_a: f64,
    /// True persons found and missed, and shown ones that are not there, summed over moments.
    pub found: u64,
    /// See `found`.
    pub missed: u64,
    /// See `found`.
    pub false_persons: u64,
    /// Times that a true person's shown identity changed.
    pub switches: u64,
}

/// Pairs of the moment with their similarity: `[true][shown]`.
fn similarities(moment: &Moment) -> Vec<Vec<f64>> {
    let similarity = |a: &Point, b: &Point| {
        let d = (a.at_m[0] - b.at_m[0]).hypot(a.at_m[1] - b.at_m[1]);
        (1.0 - d / ZERO_M).max(0.0)
    };
    moment.truth.iter().map(|t| moment.shown.iter().map(|s| similarity(t, s)).collect()).collect()
}

/// Judges one scene. Identities must not be used twice in one moment.
pub fn score(moments: &[Moment]) -> Scores {
    let mut scores = Scores::default();
    clear_mot(moments, &mut scores);
    identity(moments, &mut scores);
    hota(moments, &mut scores);
    scores
}

/// Matches of the moment before are kept while they hold; the others are matched for the least distance.
fn clear_mot(moments: &[Moment], scores: &mut Scores) {
    let mut before: HashMap<u64, u64> = HashMap::new();
    let mut last_known: HashMap<u64, u64> = HashMap::new();
    let mut distance = 0.0;
    for moment in moments {
        let similarity = similarities(moment);
        // A pair of the moment before is worth more than any number of others.
        let cost: Vec<Vec<f64>> = similarity
            .iter()
            .zip(&moment.truth)
            .map(|(row, t)| {
                row.iter()
                    .zip(&moment.shown)
                    .map(|(&s, shown)| {
                        let kept = before.get(&t.id) == Some(&shown.id);
                        if s + EPSILON < FOUND { 0.0 } else { -(if kept { 1000.0 } else { 0.0 } + s) }
                    })
                    .collect()
            })
            .collect();
        before.clear();
        for (t, s) in assign(&cost).into_iter().enumerate().filter_map(|(t, s)| Some((t, s?))) {
            if cost[t][s] == 0.0 {
                continue;
            }
            let (truth, shown) = (moment.truth[t].id, moment.shown[s].id);
            before.insert(truth, shown);
            if last_known.insert(truth, shown).is_some_and(|last| last != shown) {
                scores.switches += 1;
            }
            scores.found += 1;
            distance += (1.0 - similarity[t][s]) * ZERO_M;
        }
        scores.missed += (moment.truth.len() - before.len()) as u64;
        scores.false_persons += (moment.shown.len() - before.len()) as u64;
    }
    let all = scores.found + scores.missed;
    let wrong = scores.missed + scores.false_persons + scores.switches;
    scores.mota = if all > 0 { 1.0 - wrong as f64 / all as f64 } else { 0.0 };
    scores.motp_m = if scores.found > 0 { distance / scores.found as f64 } else { 0.0 };
}

/// Numbers identities from 0 in the order in which they first occur.
fn numbered<'a>(points: impl Iterator<Item = &'a Point>) -> HashMap<u64, usize> {
    let mut numbers = HashMap::new();
    for point in points {
        let next = numbers.len();
        numbers.entry(point.id).or_insert(next);
    }
    numbers
}

/// One true identity to one shown one, for the most moments in which both are together.
fn identity(moments: &[Moment], scores: &mut Scores) {
    let truths = numbered(moments.iter().flat_map(|m| &m.truth));
    let shown = numbered(moments.iter().flat_map(|m| &m.shown));
    let mut together = vec![vec![0.0; shown.len()]; truths.len()];
    let (mut true_points, mut shown_points) = (0, 0);
    for moment in moments {
        true_points += moment.truth.len();
        shown_points += moment.shown.len();
        for (row, t) in similarities(moment).iter().zip(&moment.truth) {
            for (&s, other) in row.iter().zip(&moment.shown) {
                if s + EPSILON >= FOUND {
                    together[truths[&t.id]][shown[&other.id]] -= 1.0;
                }
            }
        }
    }
    let matched: f64 =
        assign(&together).into_iter().enumerate().filter_map(|(t, s)| s.map(|s| -together[t][s])).sum();
    let all = (true_points + shown_points) as f64;
    scores.idf1 = if all > 0.0 { 2.0 * matched / all } else { 0.0 };
}

fn hota(moments: &[Moment], scores: &mut Scores) {
    let truths = numbered(moments.iter().flat_map(|m| &m.truth));
    let shown = numbered(moments.iter().flat_map(|m| &m.shown));
    let mut true_count = vec![0.0; truths.len()];
    let mut shown_count = vec![0.0; shown.len()];
    let mut potential = vec![vec![0.0; shown.len()]; truths.len()];
    for moment in moments {
        let similarity = similarities(moment);
        let row_sums: Vec<f64> = similarity.iter().map(|row| row.iter().sum()).collect();
        for (k, s) in moment.shown.iter().enumerate() {
            let column_sum: f64 = similarity.iter().map(|row| row[k]).sum();
            shown_count[shown[&s.id]] += 1.0;
            for (i, t) in moment.truth.iter().enumerate() {
                let all = row_sums[i] + column_sum - similarity[i][k];
                if all > 0.0 {
                    potential[truths[&t.id]][shown[&s.id]] += similarity[i][k] / all;
                }
            }
        }
        for t in &moment.truth {
            true_count[truths[&t.id]] += 1.0;
        }
    }
    let alignment = |t: usize, s: usize| {
        let p: f64 = potential[t][s];
        p / (true_count[t] + shown_count[s] - p).max(EPSILON)
    };
    // One matching a moment, by alignment of the whole tracks and similarity at the moment.
    let mut matches: Vec<(usize, usize, f64)> = Vec::new();
    for moment in moments {
        let similarity = similarities(moment);
        let cost: Vec<Vec<f64>> = similarity
            .iter()
            .zip(&moment.truth)
            .map(|(row, t)| {
                let pair = |(&s, other): (&f64, &Point)| -alignment(truths[&t.id], shown[&other.id]) * s;
                row.iter().zip(&moment.shown).map(pair).collect()
            })
            .collect();
        for (t, s) in assign(&cost).into_iter().enumerate().filter_map(|(t, s)| Some((t, s?))) {
            matches.push((truths[&moment.truth[t].id], shown[&moment.shown[s].id], similarity[t][s]));
        }
    }
    let (true_points, shown_points): (f64, f64) = (true_count.iter().sum(), shown_count.iter().sum());
    for step in 1..20 {
        let threshold = f64::from(step) * 0.05;
        let mut counts: HashMap<(usize, usize), f64> = HashMap::new();
        for &(t, s, similarity) in &matches {
            if similarity + EPSILON >= threshold {
                *counts.entry((t, s)).or_default() += 1.0;
            }
        }
        let hits: f64 = counts.values().sum();
        let det_a = hits / (true_points + shown_points - hits).max(1.0);
        let association =
            |(&(t, s), &n): (&(usize, usize), &f64)| n * n / (true_count[t] + shown_count[s] - n).max(1.0);
        let ass_a = counts.iter().map(association).sum::<f64>() / hits.max(1.0);
        scores.det_a += det_a / 19.0;
        scores.ass_a += ass_a / 19.0;
        scores.hota += (det_a * ass_a).sqrt() / 19.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two people 3 m apart for `n` moments, shown under these identities, each this far from where they are.
    fn scene(n: u64, ids: impl Fn(u64) -> Vec<Option<(u64, f64)>>) -> Vec<Moment> {
        let place = |i: usize, off: f64| [3.0 * i as f64 + off, 0.0];
        (0..n)
            .map(|k| Moment {
                truth: (0..2).map(|i| Point { id: i, at_m: place(i as usize, 0.0) }).collect(),
                shown: ids(k)
                    .into_iter()
                    .enumerate()
                    .filter_map(|(i, s)| s.map(|(id, off)| Point { id, at_m: place(i, off) }))
                    .collect(),
            })
            .collect()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} instead of {b}");
    }

    #[test]
    fn perfect_is_one() {
        let s = score(&scene(10, |_| vec![Some((7, 0.0)), Some((8, 0.0))]));
        for value in [s.mota, s.idf1, s.hota, s.det_a, s.ass_a] {
            close(value, 1.0);
        }
        assert_eq!((s.found, s.missed, s.false_persons, s.switches), (20, 0, 0, 0));
    }

    /// Identities change places halfway. Two switches among 20: MOTA 0.9. Half of each identity: IDF1 0.5. Every match shares
    /// 5 moments of 10 + 10 − 5: AssA 1/3, HOTA √(1/3).
    #[test]
    fn exchanged_halfway() {
        let s = score(&scene(10, |k| {
            let (a, b) = if k < 5 { (7, 8) } else { (8, 7) };
            vec![Some((a, 0.0)), Some((b, 0.0))]
        }));
        close(s.mota, 0.9);
        close(s.idf1, 0.5);
        close(s.det_a, 1.0);
        close(s.ass_a, 1.0 / 3.0);
        close(s.hota, (1.0f64 / 3.0).sqrt());
        assert_eq!(s.switches, 2);
    }

    /// The second person is never shown, and somebody 10 m off is for 4 of 10 moments. Found 10, missed 10, false 4.
    #[test]
    fn one_missed_and_a_ghost() {
        let mut moments = scene(10, |_| vec![Some((7, 0.0)), None]);
        for m in &mut moments[..4] {
            m.shown.push(Point { id: 9, at_m: [0.0, 10.0] });
        }
        let s = score(&moments);
        close(s.mota, 1.0 - 14.0 / 20.0);
        close(s.idf1, 2.0 * 10.0 / (20.0 + 14.0));
        close(s.det_a, 10.0 / 24.0);
        close(s.ass_a, 1.0);
        assert_eq!((s.found, s.missed, s.false_persons, s.switches), (10, 10, 4, 0));
    }

    /// Half a metre off is a similarity of 0.75: of the thresholds 0.05 to 0.95 the 15 up to 0.75 are met.
    #[test]
    fn nearly_there() {
        let s = score(&scene(10, |_| vec![Some((7, 0.5)), Some((8, -0.5))]));
        close(s.mota, 1.0);
        close(s.motp_m, 0.5);
        close(s.hota, 15.0 / 19.0);
        // 1.01 m off is no longer found.
        let s = score(&scene(10, |_| vec![Some((7, 1.01)), Some((8, -1.01))]));
        close(s.mota, -1.0);
        close(s.idf1, 0.0);
    }

    /// A track that is lost and found under a new name: one switch, and the identity holds for 6 of 10.
    #[test]
    fn a_gap_and_a_new_name() {
        let s = score(&scene(10, |k| {
            let first = match k {
                0..6 => Some((7, 0.0)),
                6..8 => None,
                _ => Some((9, 0.0)),
            };
            vec![first, Some((8, 0.0))]
        }));
        close(s.mota, 1.0 - 3.0 / 20.0);
        close(s.idf1, 2.0 * 16.0 / (20.0 + 18.0));
        close(s.det_a, 18.0 / 20.0);
        let ass_a = (10.0 * 1.0 + 6.0 * 6.0 / 10.0 + 2.0 * 2.0 / 10.0) / 18.0;
        close(s.ass_a, ass_a);
        assert_eq!(s.switches, 1);
    }

    #[test]
    fn nobody_there_and_nobody_shown_is_no_fault() {
        let s = score(&[Moment::default(), Moment::default()]);
        assert_eq!((s.found, s.missed, s.false_persons, s.switches), (0, 0, 0, 0));
    }
}
