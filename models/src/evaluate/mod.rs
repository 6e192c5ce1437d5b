//! How good the network is, beside always answering the mean pose.
//!
//! Position errors are taken over all true persons: the network's slots, the likeliest first and as many as there are
//! people, are assigned to them with the least total root distance. Whether it knew how many there are is told apart:
//! by AP, recall and false persons, all with their confidence.

pub mod metrics;
mod tally;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use tally::Scores;

use crate::{
    data::{self, DataError, Job, Mirror, Place, Sequence},
    input::{BLOCK, RATE_HZ},
    predictor::{Detection, PredictError, Predictor},
    sim::{Activity, Split},
    weights::MeanPose,
};
use metrics::{distance, root};
use tally::Tally;

/// The scenes of an evaluation. Their seeds are fixed, and training never uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// The demo room with people and motions never seen.
    SeenRoom,
    /// Rooms never seen.
    UnseenRoom,
    /// The demo room and rooms never seen, with nobody in them and radios of signal to noise ratios from 10 to 34 dB.
    EmptyRoom,
}

impl std::str::FromStr for Suite {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "seen-room" => Ok(Self::SeenRoom),
            "unseen-room" => Ok(Self::UnseenRoom),
            "empty-room" => Ok(Self::EmptyRoom),
            _ => Err(format!("a suite is seen-room, unseen-room or empty-room, not {s:?}")),
        }
    }
}

/// Noise of the empty rooms, each as often in the demo room as elsewhere.
const EMPTY_SNR_DB: [f32; 5] = [10.0, 16.0, 22.0, 28.0, 34.0];

impl Suite {
    fn jobs(self) -> Vec<Job> {
        let noisy = |place, index, people, seconds, packet_hz, snr_db| Job {
            place,
            split: Split::Test,
            index,
            people,
            after_s: 0.0,
            seconds,
            packet_hz,
            snr_db,
        };
        let job =
            |place, index, people, seconds, packet_hz| noisy(place, index, people, seconds, packet_hz, None);
        match self {
            Self::SeenRoom => {
                (0..30u32).map(|i| job(Place::Demo, i, 1 + i as usize % 3, 20.0, 100.0)).collect()
            }
            Self::UnseenRoom => {
                (100..160u32).map(|i| job(Place::Random, i, 1 + i as usize % 3, 8.0, 100.0)).collect()
            }
            Self::EmptyRoom => (200..230u32)
                .map(|i| {
                    let place = if i % 2 == 0 { Place::Demo } else { Place::Random };
                    noisy(place, i, 0, 120.0, 50.0, Some(EMPTY_SNR_DB[i as usize / 2 % EMPTY_SNR_DB.len()]))
                })
                .collect(),
        }
    }
}

/// What an evaluation says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which scenes.
    pub suite: Suite,
    /// Name and version of the model.
    pub model: String,
    /// Windows looked at.
    pub frames: usize,
    /// By number of people in the room.
    pub persons: BTreeMap<String, ByCount>,
    /// How often in an hour a person appeared at confidence 0.5 who is not there: runs of such frames are counted once.
    pub false_persons_per_hour: f64,
    /// Hours simulated.
    pub hours: f64,
    /// Expected calibration error of confidences, ten bins.
    pub presence_calibration_error: f64,
}

/// Scores of scenes with the same number of people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByCount {
    /// All of them.
    #[serde(flatten)]
    pub scores: Scores,
    /// By what the person does.
    pub activities: BTreeMap<String, Scores>,
}

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A scene cannot be simulated.
    #[error("simulating the test scenes")]
    Data(#[from] DataError),
    /// The network gives no answer.
    #[error("running the network")]
    Predict(#[from] PredictError),
}

/// Evaluates on a suite. `progress` gets scenes done and in all.
///
/// # Errors
/// When a scene cannot be simulated or the device fails.
pub fn run(
    suite: Suite,
    predictor: &Predictor,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, EvaluateError> {
    let jobs = suite.jobs();
    let mut sums = Sums::default();
    // A few at a time: a sequence holds its features in memory.
    for (done, chunk) in jobs.chunks(8).enumerate() {
        let sequences = chunk.par_iter().map(data::simulate).collect::<Result<Vec<_>, _>>()?;
        for sequence in &sequences {
            sums.add(predictor, sequence)?;
        }
        progress((done * 8 + chunk.len()).min(jobs.len()), jobs.len());
    }
    Ok(sums.report(suite, predictor.model()))
}

/// Figures for the training log, by name: position errors of one person, by place, in millimetres.
pub(crate) fn summary(
    predictor: &Predictor,
    sequences: &[Sequence],
) -> Result<BTreeMap<String, f64>, PredictError> {
    let mut out = BTreeMap::new();
    for (place, name) in [(Place::Demo, "demo"), (Place::Random, "random")] {
        let mut sums = Sums::default();
        for sequence in sequences.iter().filter(|s| s.place == place) {
            sums.add(predictor, sequence)?;
        }
        let report = sums.report(Suite::SeenRoom, String::new());
        if report.frames > 0 {
            out.insert(format!("{name}_false_persons_per_hour"), report.false_persons_per_hour);
            out.insert(format!("{name}_presence_calibration_error"), report.presence_calibration_error);
        }
        for (count, by) in report.persons {
            let s = &by.scores;
            for (what, value) in [
                ("mpjpe_mm", s.mpjpe_mm),
                ("root_mm", s.root_mm),
                ("root_relative_mm", s.root_relative_mm),
                ("mean_position_mpjpe_mm", s.mean_position_mpjpe_mm),
                ("mean_pose_root_relative_mm", s.mean_pose_root_relative_mm),
                ("recall", s.recall),
            ] {
                out.insert(format!("{name}_{count}_{what}"), value);
            }
        }
    }
    Ok(out)
}

#[derive(Default)]
struct Sums {
    frames: usize,
    seconds: f64,
    false_runs: usize,
    by_count: BTreeMap<usize, (Tally, BTreeMap<Activity, Tally>)>,
    /// Sum of confidences, hits and count, by tenth of confidence.
    reliability: [(f64, f64, f64); 10],
}

impl Sums {
    fn add(&mut self, predictor: &Predictor, sequence: &Sequence) -> Result<(), PredictError> {
        let ends: Vec<usize> = sequence.ends().collect();
        self.seconds += (ends.len() * BLOCK) as f64 / f64::from(RATE_HZ);
        let mut ghost_before = false;
        for ends in ends.chunks(64) {
            let inputs: Vec<_> = ends.par_iter().map(|&e| sequence.input(e)).collect();
            for (detections, &end) in predictor.predict(&inputs)?.iter().zip(ends) {
                let ghosts = self.frame(
                    detections,
                    &sequence.persons(end, Mirror::default()),
                    sequence.room_m,
                    predictor,
                );
                let ghost = ghosts > 0;
                self.false_runs += usize::from(ghost && !ghost_before);
                ghost_before = ghost;
            }
        }
        Ok(())
    }

    /// Adds a frame; returns how many detections at 0.5 stand for nobody.
    fn frame(
        &mut self,
        detections: &[Detection],
        persons: &[data::Person],
        room_m: [f32; 3],
        predictor: &Predictor,
    ) -> usize {
        self.frames += 1;
        let best = &detections[..detections.len().min(persons.len())];
        let to_best = assign(best, persons);
        let sure: Vec<&Detection> = detections.iter().filter(|d| d.confidence >= 0.5).collect();
        for (i, d) in detections.iter().enumerate() {
            let bin = ((d.confidence * 10.0) as usize).min(9);
            let (sum, hits, count) = &mut self.reliability[bin];
            *sum += f64::from(d.confidence);
            *hits += f64::from(u8::from(i < persons.len()));
            *count += 1.0;
        }
        if !persons.is_empty() {
            let (all, activities) = self.by_count.entry(persons.len()).or_default();
            let mean = mean_answer(&predictor.card().mean_pose, room_m);
            for (p, person) in persons.iter().enumerate() {
                let found = to_best.iter().position(|t| *t == Some(p)).map(|d| &best[d]);
                let activity = Activity::ALL[person.activity.min(Activity::ALL.len() - 1)];
                for tally in [&mut *all, activities.entry(activity).or_default()] {
                    tally.person(found, person, &mean, activity);
                }
            }
            let truths: Vec<_> = persons.iter().map(|p| p.keypoints_m).collect();
            all.frame(detections, &truths);
            for activity in persons.iter().map(|p| p.activity).collect::<std::collections::BTreeSet<_>>() {
                if persons.len() == 1
                    && let Some(tally) =
                        activities.get_mut(&Activity::ALL[activity.min(Activity::ALL.len() - 1)])
                {
                    tally.frame(detections, &truths);
                }
            }
        }
        sure.len().saturating_sub(persons.len())
    }

    fn report(self, suite: Suite, model: String) -> Report {
        let hours = self.seconds / 3600.0;
        let seen: f64 = self.reliability.iter().map(|(_, _, n)| n).sum();
        let error =
            self.reliability.iter().map(|(sum, hits, _)| (sum - hits).abs()).sum::<f64>() / seen.max(1.0);
        Report {
            suite,
            model,
            frames: self.frames,
            persons: self
                .by_count
                .into_iter()
                .map(|(count, (all, activities))| {
                    let activities =
                        activities.iter().map(|(a, t)| (a.name().to_owned(), t.scores())).collect();
                    (count.to_string(), ByCount { scores: all.scores(), activities })
                })
                .collect(),
            false_persons_per_hour: if hours > 0.0 { self.false_runs as f64 / hours } else { 0.0 },
            hours,
            presence_calibration_error: error,
        }
    }
}

/// The mean pose at the mean position of this room.
fn mean_answer(mean: &MeanPose, room_m: [f32; 3]) -> metrics::Pose {
    let centre = [0.5 * room_m[0], 0.5 * room_m[1], 0.0];
    mean.pose_m.map(|p| std::array::from_fn(|i| centre[i] + mean.root_m[i] + p[i]))
}

/// Which person each detection stands for: the least total root distance.
fn assign(detections: &[Detection], persons: &[data::Person]) -> Vec<Option<usize>> {
    let cost = |d: usize, p: usize| distance(root(&detections[d].keypoints), root(&persons[p].keypoints_m));
    // At most as many detections as persons, and few of both: person by person with all orders.
    fn search(
        d: usize,
        n: usize,
        persons: usize,
        cost: &dyn Fn(usize, usize) -> f32,
        so_far: f32,
        now: &mut Vec<Option<usize>>,
        best: &mut (f32, Vec<Option<usize>>),
    ) {
        if d == n {
            if so_far < best.0 {
                *best = (so_far, now.clone());
            }
            return;
        }
        for p in 0..persons {
            if !now.contains(&Some(p)) {
                now[d] = Some(p);
                search(d + 1, n, persons, cost, so_far + cost(d, p), now, best);
                now[d] = None;
            }
        }
    }
    let n = detections.len();
    let mut best = (f32::INFINITY, vec![None; n]);
    search(0, n, persons.len(), &cost, 0.0, &mut vec![None; n], &mut best);
    best.1
}
