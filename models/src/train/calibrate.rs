//! Fits the probabilities on scenes that training does not use.

use crate::{
    data::Sequence,
    evaluate::{
        metrics::{distance, known, root},
        watch,
    },
    input::Withheld,
    network::{JOINTS, OUTPUTS, SLOTS, Slot},
    predictor::{PredictError, Predictor, certainty},
    train::loss::best_assignment,
    weights::{Calibration, Logistic},
};

/// People are shown from this confidence on.
const SHOWN: f32 = 0.5;

/// Of a slot: which, whether anybody is there at all, the log odds of its presence, whether it stands for somebody, and each joint's
/// certainty and whether it is right, if somebody knows.
struct Answer {
    slot: usize,
    empty: bool,
    presence: f32,
    somebody: bool,
    joints: [Option<(f32, bool)>; JOINTS],
}

pub(super) fn fit<'a>(
    predictor: &Predictor,
    validation: impl Iterator<Item = &'a Sequence>,
    withheld: &Withheld,
) -> Result<Calibration, PredictError> {
    let within_m = Calibration::default().within_m;
    let mut answers = Vec::new();
    for sequence in validation {
        watch(predictor, sequence, withheld, |end, window| {
            let persons = sequence.persons(end, Default::default());
            let slots: Vec<Slot<'_>> = window.chunks_exact(OUTPUTS).map(Slot).collect();
            let at = |slot: usize| slots[slot].root_m(sequence.room_m);
            let assignment = best_assignment(persons.len(), |s, p| {
                distance(at(s), root(&persons[p].keypoints_m)) - sigmoid(slots[s].presence())
            });
            for (s, person) in assignment.iter().enumerate() {
                let person = person.map(|p| &persons[p]);
                let (r, pose) = (at(s), slots[s].pose_m());
                let right = |j: usize| {
                    let p = std::array::from_fn(|i| r[i] + pose[j][i]);
                    person.is_some_and(|person| distance(p, person.keypoints_m[j]) <= within_m)
                };
                let told = |j: usize| person.is_none_or(|person| known(&person.keypoints_m[j]));
                answers.push(Answer {
                    slot: s,
                    empty: persons.is_empty(),
                    presence: slots[s].presence(),
                    somebody: person.is_some(),
                    joints: std::array::from_fn(|j| told(j).then(|| (certainty(slots[s], j), right(j)))),
                });
            }
        })?;
    }
    // A room is as often empty as not, whatever the scenes are; where there are no empty ones nothing can be said of them.
    let empty = answers.iter().filter(|a| a.empty).count();
    let weight =
        |a: &Answer| if a.empty { (answers.len() - empty).max(1) as f64 / empty as f64 } else { 1.0 };
    let presence: [Logistic; SLOTS] = std::array::from_fn(|slot| {
        let of = answers.iter().filter(|a| a.slot == slot);
        logistic(&of.map(|a| (a.presence, a.somebody, weight(a))).collect::<Vec<_>>())
    });
    // What is shown is what has to be right, where nobody is as well as where somebody else is.
    let shown = answers.iter().filter(|a| presence[a.slot].probability(a.presence) >= SHOWN);
    let joints = shown.flat_map(|a| a.joints).flatten().map(|(x, right)| (x, right, 1.0));
    let keypoint = logistic(&joints.collect::<Vec<_>>());
    Ok(Calibration { presence, keypoint, within_m })
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Logistic regression in one variable of weighted samples by Newton's method, with a little ridge that keeps separable data finite.
fn logistic(samples: &[(f32, bool, f64)]) -> Logistic {
    let (mut slope, mut offset) = (1.0f64, 0.0f64);
    let ridge = 1e-3 * samples.iter().map(|s| s.2).sum::<f64>().max(1.0);
    for _ in 0..30 {
        let (mut g, mut h) = ([ridge * (slope - 1.0), ridge * offset], [ridge, 0.0, ridge]);
        for &(x, y, counts) in samples {
            let x = f64::from(x);
            let p = 1.0 / (1.0 + (-(slope * x + offset)).exp());
            let (error, weight) = (counts * (p - f64::from(u8::from(y))), counts * p * (1.0 - p));
            g[0] += error * x;
            g[1] += error;
            h[0] += weight * x * x;
            h[1] += weight * x;
            h[2] += weight;
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        if determinant.abs() < 1e-12 {
            break;
        }
        slope -= ((h[2] * g[0] - h[1] * g[1]) / determinant).clamp(-1.0, 1.0);
        offset -= ((h[0] * g[1] - h[1] * g[0]) / determinant).clamp(-1.0, 1.0);
    }
    Logistic { slope: slope as f32, offset: offset as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logistic_regression_finds_the_curve_it_was_drawn_from() {
        let truth = Logistic { slope: 2.0, offset: -1.0 };
        // Every x with as many hits as the curve says: no randomness needed.
        let mut samples = Vec::new();
        for i in 0..61 {
            let x = i as f32 * 0.1 - 3.0;
            let hits = (truth.probability(x) * 1000.0).round() as usize;
            samples.extend((0..1000).map(|k| (x, k < hits, 2.0)));
        }
        let found = logistic(&samples);
        assert!((found.slope - 2.0).abs() < 0.05 && (found.offset + 1.0).abs() < 0.05, "{found:?}");
    }
}
