//! A network on the test part of a set's split, beside the mean pose of its training part.

use std::collections::BTreeMap;
use std::path::Path;

use invispose_models::evaluate::metrics::UNKNOWN;
use invispose_models::evaluate::{ByCount, Recorded, Scores, over_persons};
use invispose_models::predictor::Predictor;
use invispose_models::train::{SetGroup, TrainConfig};
use invispose_models::weights::MeanPose;

use super::windows::sequences;
use super::{Part, PublicSet, Truth};
use crate::evaluation::recordings::EvaluationError;
use crate::evaluation::report::{Figures, Report, figure};

/// Measures a network on the test part of a split of the recordings under `data`: of the split that it was trained on, where it was
/// trained on the set, and else of the one that is asked for. `progress` gets recordings measured and in all.
///
/// # Errors
/// When the network may have learned from what it would be measured on, the set has no such split or no recordings, or their files
/// cannot be read.
pub fn measure(
    set: &PublicSet,
    data: &Path,
    split: Option<&str>,
    predictor: &Predictor,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, EvaluationError> {
    let split = set.split(&split_of(set, split, predictor)?)?;
    let recordings = set.under(data)?;
    let part = |part: Part| recordings.iter().filter(move |r| r.part(split) == Some(part));
    let mean = mean(part(Part::Train).map(|r| r.truth()))?;
    let mut all = Recorded::beside(mean.clone());
    let mut rooms: BTreeMap<&'static str, Recorded> = BTreeMap::new();
    let (total, mut left_out) = (part(Part::Test).count(), Vec::new());
    for (done, recording) in part(Part::Test).enumerate() {
        let (sequences, lost) = sequences(recording.as_ref(), false)?;
        left_out.extend(lost);
        let own =
            recording.room().map(|room| rooms.entry(room).or_insert_with(|| Recorded::beside(mean.clone())));
        for sums in [Some(&mut all), own].into_iter().flatten() {
            for sequence in &sequences {
                let failed = |e| EvaluationError::Set(format!("{}: {e}", recording.name()));
                sums.add(predictor, sequence).map_err(failed)?;
            }
        }
        progress(done + 1, total);
    }
    let (windows, persons) = all.finish(predictor);
    let mut more: BTreeMap<&'static str, Figures> =
        rooms.into_iter().map(|(room, sums)| (room, figures(&sums.finish(predictor).1))).collect();
    let counts = ["1 person", "2 people", "3 people", "4 people"].into_iter().zip(1usize..);
    for (name, count) in counts {
        let own = persons.get(&count.to_string()).map(|by| (count.to_string(), by.clone()));
        more.extend(own.map(|own| (name, figures(&BTreeMap::from([own])))));
    }
    let mut metrics = figures(&persons);
    metrics.extend([
        ("model", predictor.model().into()),
        ("train_recordings", part(Part::Train).count().into()),
        ("test_recordings", total.into()),
        ("windows", windows.into()),
        ("files_left_out", left_out.len().into()),
    ]);
    let known = "the joints of arms and legs; of the face those that the set tells";
    let notes = set.notes.iter().map(|note| (*note).to_owned());
    let quiet = "the sets have no empty room: the quiet channel is the mean of the recording's own packets, those after the window among them";
    Ok(Report {
        suite: set.name,
        split: split.to_owned(),
        metrics,
        baseline: baseline(&persons),
        more,
        per_recording: Vec::new(),
        notes: notes
            .chain([format!("compared are {known}"), quiet.to_owned()])
            .chain(left_out.iter().take(SHOWN).map(|file| format!("left out: {file}")))
            .collect(),
        plots: Vec::new(),
    })
}

/// Files left out that are named.
const SHOWN: usize = 10;

/// The split that the network may be measured on.
fn split_of(set: &PublicSet, asked: Option<&str>, predictor: &Predictor) -> Result<String, EvaluationError> {
    let learned = TrainConfig::from_toml(&predictor.card().config).map(|c| c.data.sets).unwrap_or_default();
    let learned: Vec<SetGroup> = learned.into_iter().filter(|group| group.set == set.name).collect();
    let fail = |problem: String| Err(EvaluationError::Set(format!("{}: {problem}", set.name)));
    match (learned.as_slice(), asked) {
        ([], Some(asked)) => Ok(asked.to_owned()),
        ([], None) => fail(format!(
            "{} was not trained on this set: choose a split by --split, one of {}",
            predictor.model(),
            (set.splits)().join(", ")
        )),
        ([one, others @ ..], asked) => {
            if let Some(other) = others.iter().find(|other| other.split != one.split) {
                return fail(format!(
                    "{} was trained on {} and {}: what one keeps for testing the other may have taught",
                    predictor.model(),
                    one.split,
                    other.split
                ));
            }
            match asked {
                Some(asked) if asked != one.split => fail(format!(
                    "{} was trained on {}: of {asked} it may have learned what it would be measured on",
                    predictor.model(),
                    one.split
                )),
                _ => Ok(one.split.clone()),
            }
        }
    }
}

fn mean(truths: impl Iterator<Item = Result<Truth, EvaluationError>>) -> Result<MeanPose, EvaluationError> {
    let mut poses = Vec::new();
    for truth in truths {
        let Truth::Metres { room_m, seen } = truth? else { continue };
        let pose = |b: &super::Body<3>| (room_m, b.keypoints.map(|p| p.unwrap_or(UNKNOWN)));
        poses.extend(seen.iter().flat_map(|s| &s.persons).map(pose));
    }
    Ok(MeanPose::of(poses.into_iter()))
}

/// Over all persons, whatever their number.
fn over(persons: &BTreeMap<String, ByCount>, of: impl Fn(&ByCount) -> f64) -> serde_json::Value {
    figure(over_persons(persons, of).unwrap_or(f64::NAN))
}

/// A figure's name and value.
type Column = (&'static str, fn(&Scores) -> f64);

const NETWORK: [Column; 9] = [
    ("mpjpe_mm", |s| s.mpjpe_mm),
    ("root_mm", |s| s.root_mm),
    ("root_relative_mm", |s| s.root_relative_mm),
    ("pa_mpjpe_mm", |s| s.pa_mpjpe_mm),
    ("pck5", |s| s.pck5),
    ("pck10", |s| s.pck10),
    ("pck20", |s| s.pck20),
    ("pck50", |s| s.pck50),
    ("recall", |s| s.recall),
];

const MEAN_POSE: [Column; 4] = [
    ("mean_position_mpjpe_mm", |s| s.mean_position_mpjpe_mm),
    ("mean_pose_root_relative_mm", |s| s.mean_pose_root_relative_mm),
    ("mean_pose_pck20", |s| s.mean_pose_pck20),
    ("mean_pose_root_relative_pck20", |s| s.mean_pose_root_relative_pck20),
];

fn figures(persons: &BTreeMap<String, ByCount>) -> Figures {
    let mut all: Figures = columns(&NETWORK, persons).chain(columns(&MEAN_POSE, persons)).collect();
    all.extend([
        ("ap", over(persons, |by| by.scores.ap)),
        ("detection_precision", over(persons, |by| by.detection_precision)),
        ("count_error", over(persons, |by| by.count_error)),
        ("persons", persons.values().map(|by| by.scores.persons).sum::<usize>().into()),
    ]);
    all
}

fn baseline(persons: &BTreeMap<String, ByCount>) -> Figures {
    let method = ("method", "the mean pose of the split's training part".into());
    columns(&MEAN_POSE, persons).chain([method]).collect()
}

fn columns(
    columns: &'static [Column],
    persons: &BTreeMap<String, ByCount>,
) -> impl Iterator<Item = (&'static str, serde_json::Value)> {
    columns.iter().map(|(name, of)| (*name, over(persons, |by| of(&by.scores))))
}
