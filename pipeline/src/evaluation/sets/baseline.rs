//! What a network must beat: the predictor that always answers the mean pose of a split's training part, measured on the others.

use std::path::Path;

use invispose_models::skeleton::{HIPS, KEYPOINTS, SHOULDERS};

use super::{Body, Part, PoseRecording, PublicSet, Seen, Truth};
use crate::evaluation::recordings::EvaluationError;
use crate::evaluation::report::{Figures, Report, figure};

/// The mean pose, measured on each split of the recordings under `data`.
///
/// # Errors
/// When there are none, or their poses cannot be read.
pub fn baseline(set: &PublicSet, data: &Path) -> Result<Report, EvaluationError> {
    let recordings = set.under(data)?;
    let truths = recordings.iter().map(|r| r.truth()).collect::<Result<Vec<_>, _>>()?;
    let (mut flat, mut deep) = (Vec::new(), Vec::new());
    for (recording, truth) in recordings.iter().zip(&truths) {
        match truth {
            Truth::Metres { seen, .. } => deep.push((recording.as_ref(), seen.as_slice())),
            Truth::Pixels(seen) => flat.push((recording.as_ref(), seen.as_slice())),
        }
    }
    let frames: usize = deep.iter().map(|(_, s)| s.len()).chain(flat.iter().map(|(_, s)| s.len())).sum();
    let figures = |split| if flat.is_empty() { of(&deep, split, 1000.0) } else { of(&flat, split, 1.0) };
    let unit = if flat.is_empty() { "millimetres" } else { "pixels" };
    Ok(Report {
        suite: set.name,
        split: format!("{}; none by frame", (set.splits)().join(", ")),
        metrics: Figures::from([
            ("recordings", recordings.len().into()),
            ("frames", frames.into()),
            ("unit", unit.into()),
        ]),
        baseline: Figures::from([("method", "the mean pose of each split's training part".into())]),
        more: (set.splits)().into_iter().map(|split| (split, figures(split))).collect(),
        per_recording: Vec::new(),
        notes: set.notes.iter().map(|note| (*note).to_owned()).collect(),
        plots: Vec::new(),
    })
}

type Pose<const D: usize> = [Option<[f32; D]>; KEYPOINTS];

/// How far the mean pose of the training part is from the test part's poses, by the joints that are known.
fn of<const D: usize>(all: &[(&dyn PoseRecording, &[Seen<D>])], split: &str, scale: f32) -> Figures {
    let part = |part: Part| all.iter().filter(move |(recording, _)| recording.part(split) == Some(part));
    let people = |p: Part| part(p).flat_map(|(_, seen)| seen.iter().flat_map(|s| &s.persons));
    let (root, pose) = mean(people(Part::Train));
    let placed: Pose<D> = pose.map(|p| p.map(|p| add(p, root, 1.0)));
    let (mut judged, mut sums) = (0usize, [0.0f64; 4]);
    for body in people(Part::Test) {
        let Some(own) = body.root() else { continue };
        let truth = body.keypoints;
        let relative = truth.map(|p| p.map(|p| add(p, own, -1.0)));
        let torso = match (truth[SHOULDERS[1]], truth[HIPS[0]]) {
            (Some(a), Some(b)) => distance(a, b),
            _ => continue,
        };
        let (there, error) = errors(&placed, &truth, 0.2 * torso);
        let (there_relative, error_relative) = errors(&pose, &relative, 0.2 * torso);
        for (sum, value) in
            sums.iter_mut().zip([error * scale, error_relative * scale, there, there_relative])
        {
            *sum += f64::from(value);
        }
        judged += 1;
    }
    let none = judged == 0 || people(Part::Train).next().is_none();
    let over = |i: usize| figure(if none { f64::NAN } else { sums[i] / judged as f64 });
    Figures::from([
        ("train_recordings", part(Part::Train).count().into()),
        ("test_recordings", part(Part::Test).count().into()),
        ("mean_position_error", over(0)),
        ("mean_pose_root_relative_error", over(1)),
        ("mean_pose_pck20", over(2)),
        ("mean_pose_root_relative_pck20", over(3)),
    ])
}

/// Mean root, and mean joints relative to it.
fn mean<'a, const D: usize>(people: impl Iterator<Item = &'a Body<D>>) -> ([f32; D], Pose<D>) {
    let (mut root, mut count) = ([0.0f64; D], 0usize);
    let mut joints = [([0.0f64; D], 0usize); KEYPOINTS];
    for body in people {
        let Some(own) = body.root() else { continue };
        count += 1;
        for (sum, v) in root.iter_mut().zip(own) {
            *sum += f64::from(v);
        }
        for ((sums, count), p) in joints.iter_mut().zip(body.keypoints) {
            let Some(p) = p else { continue };
            *count += 1;
            for ((sum, v), own) in sums.iter_mut().zip(p).zip(own) {
                *sum += f64::from(v - own);
            }
        }
    }
    let over = |sums: [f64; D], count: usize| sums.map(|v| (v / count.max(1) as f64) as f32);
    (over(root, count), joints.map(|(sums, count)| (count > 0).then(|| over(sums, count))))
}

/// The share of joints within `limit`, and the mean distance, over the joints that are known.
fn errors<const D: usize>(answer: &Pose<D>, truth: &Pose<D>, limit: f32) -> (f32, f32) {
    let known = answer.iter().zip(truth).filter_map(|(a, t)| Some(distance((*a)?, (*t)?)));
    let (mut within, mut sum, mut count) = (0usize, 0.0f32, 0usize);
    for d in known {
        within += usize::from(d <= limit);
        sum += d;
        count += 1;
    }
    (within as f32 / count.max(1) as f32, sum / count.max(1) as f32)
}

fn add<const D: usize>(a: [f32; D], b: [f32; D], times: f32) -> [f32; D] {
    std::array::from_fn(|i| a[i] + times * b[i])
}

fn distance<const D: usize>(a: [f32; D], b: [f32; D]) -> f32 {
    (0..D).map(|i| (a[i] - b[i]).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who stands so far along x, in recordings of the same.
    struct At(u8);

    impl PoseRecording for At {
        fn name(&self) -> String {
            self.0.to_string()
        }
        fn group(&self) -> String {
            self.name()
        }
        fn room(&self) -> Option<&'static str> {
            None
        }
        fn part(&self, _: &str) -> Option<Part> {
            Some(if self.0.is_multiple_of(5) { Part::Test } else { Part::Train })
        }
        fn truth(&self) -> Result<Truth, EvaluationError> {
            let joint = |j: usize| Some([f32::from(self.0), j as f32, 0.0]);
            // A face that nobody knows.
            let keypoints = std::array::from_fn(|j| joint(j).filter(|_| j >= SHOULDERS[0]));
            let persons = vec![Body { keypoints, head: None }];
            let seen = (0..3).map(|k| Seen { time_s: f64::from(k), persons: persons.clone() }).collect();
            Ok(Truth::Metres { room_m: [10.0; 3], seen })
        }
        fn received(&self) -> Result<super::super::Received, EvaluationError> {
            Ok(Default::default())
        }
    }

    const SET: PublicSet = PublicSet {
        name: "at",
        splits: || vec!["by-person"],
        recordings: |_| Ok((1..=10).map(|x| Box::new(At(x)) as Box<dyn PoseRecording>).collect()),
        notes: &[],
    };

    #[test]
    fn the_mean_pose_is_measured_on_people_that_it_was_not_taken_from() {
        let found = baseline(&SET, Path::new("")).map(|r| r.more["by-person"].clone()).unwrap_or_default();
        assert_eq!((&found["train_recordings"], &found["test_recordings"]), (&8.into(), &2.into()));
        // The others' mean is 5: one is there, the other 5 m away.
        assert_eq!(found["mean_position_error"], figure(2500.0));
        assert_eq!(found["mean_pose_root_relative_error"], figure(0.0));
        assert_eq!(found["mean_pose_pck20"], figure(0.5));
    }

    #[test]
    fn a_split_by_frame_is_refused() {
        let said = |name: &str| SET.split(name).map_err(|e| e.to_string()).map_or_else(|e| e, str::to_owned);
        assert_eq!(said("by-person"), "by-person");
        assert!(said("random-frames").contains("is refused") && said("other").contains("by-person"));
    }
}
