//! Sums over the windows of an evaluation.

use std::collections::BTreeMap;

use super::{
    ByCount, Example, Report, Suite,
    metrics::{self, distance, known, root},
    reliability::Reliability,
    tally::Tally,
    watch,
};
use crate::{
    data::{self, Mirror, Sequence},
    input::{BLOCK, RATE_HZ, Withheld, floor_centre},
    predictor::{Detection, PredictError, Predictor},
    sim::Activity,
    weights::MeanPose,
};

/// People who are reported.
pub(super) const SURE: f32 = 0.5;

#[derive(Default)]
pub(super) struct Sums {
    /// What the network is not shown.
    withheld: Withheld,
    /// The mean pose that it is set beside; that of its own card where absent.
    mean: Option<MeanPose>,
    frames: usize,
    seconds: f64,
    false_runs: usize,
    by_count: BTreeMap<usize, (Tally, BTreeMap<Activity, Tally>)>,
    presence: Reliability,
    keypoints: Reliability,
    examples: Vec<Example>,
}

impl Sums {
    /// Of a network that is not shown everything.
    pub fn without(withheld: &Withheld) -> Self {
        Self { withheld: withheld.clone(), ..Self::default() }
    }

    /// Beside a mean pose other than that of the network's card.
    pub fn beside(mean: MeanPose) -> Self {
        Self { mean: Some(mean), ..Self::default() }
    }

    /// Adds all windows of a sequence.
    pub fn add(&mut self, predictor: &Predictor, sequence: &Sequence) -> Result<(), PredictError> {
        self.look(predictor, sequence, false)
    }

    /// As [`Self::add`], and keeps the window in the middle of the sequence, to be looked at.
    pub fn add_and_keep(&mut self, predictor: &Predictor, sequence: &Sequence) -> Result<(), PredictError> {
        self.look(predictor, sequence, true)
    }

    fn look(&mut self, predictor: &Predictor, sequence: &Sequence, keep: bool) -> Result<(), PredictError> {
        let ends = sequence.ends();
        self.seconds += (ends.len() * BLOCK) as f64 / f64::from(RATE_HZ);
        let middle = ends.clone().nth(ends.len() / 2).filter(|_| keep);
        let mut ghost_before = false;
        let withheld = self.withheld.clone();
        watch(predictor, sequence, &withheld, |end, answer| {
            let detections = predictor.detections(answer, sequence.room_m);
            let persons = sequence.persons(end, Mirror::default());
            let ghost = self.frame(&detections, &persons, sequence.room_m, predictor) > 0;
            self.false_runs += usize::from(ghost && !ghost_before);
            ghost_before = ghost;
            if Some(end) == middle {
                self.examples.push(Example {
                    room_m: sequence.room_m,
                    truth: persons.iter().map(|p| p.keypoints_m).collect(),
                    found: detections.into_iter().filter(|d| d.confidence >= SURE).collect(),
                });
            }
        })
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
        let sure = detections.iter().filter(|d| d.confidence >= SURE).count();
        for (i, d) in detections.iter().enumerate() {
            self.presence.add(d.confidence, i < persons.len());
            // Those that are shown, be there anybody or not.
            for (j, confidence) in d.keypoint_confidence.iter().enumerate().filter(|_| i < sure) {
                let truth = to_best.get(i).copied().flatten().map(|p| persons[p].keypoints_m[j]);
                if truth.is_some_and(|t| !known(&t)) {
                    continue;
                }
                let right = truth.is_some_and(|t| distance(d.keypoints[j], t) <= predictor.within_m());
                self.keypoints.add(*confidence, right);
            }
        }
        if !persons.is_empty() {
            let (all, activities) = self.by_count.entry(persons.len()).or_default();
            let mean = mean_answer(self.mean.as_ref().unwrap_or(&predictor.card().mean_pose), room_m);
            for (p, person) in persons.iter().enumerate() {
                let found = to_best.iter().position(|t| *t == Some(p)).map(|d| &best[d]);
                let activity = activity(person);
                all.person(found, person, &mean, activity);
                if let Some(known) = activity {
                    activities.entry(known).or_default().person(found, person, &mean, activity);
                }
            }
            let truths: Vec<_> = persons.iter().map(|p| p.keypoints_m).collect();
            all.frame(detections, &truths);
            if let [only] = persons
                && let Some(tally) = activity(only).and_then(|a| activities.get_mut(&a))
            {
                tally.frame(detections, &truths);
            }
        }
        sure.saturating_sub(persons.len())
    }

    pub fn report(self, suite: Suite, predictor: &Predictor) -> Report {
        let hours = self.seconds / 3600.0;
        Report {
            suite,
            model: predictor.model(),
            frames: self.frames,
            persons: self
                .by_count
                .into_iter()
                .map(|(count, (all, activities))| {
                    let activities =
                        activities.iter().map(|(a, t)| (a.name().to_owned(), t.scores())).collect();
                    let by = ByCount {
                        scores: all.scores(),
                        detection_precision: all.precision(),
                        count_error: all.count_error(),
                        joints_mm: all.joints_mm(),
                        activities,
                    };
                    (count.to_string(), by)
                })
                .collect(),
            false_persons_per_hour: if hours > 0.0 { self.false_runs as f64 / hours } else { 0.0 },
            hours,
            presence_calibration_error: self.presence.expected_error(),
            keypoint_calibration_error: self.keypoints.expected_error(),
            keypoint_within_m: predictor.within_m(),
            presence: self.presence,
            keypoints: self.keypoints,
            examples: self.examples,
        }
    }
}

/// The mean pose at the mean position of this room.
fn mean_answer(mean: &MeanPose, room_m: [f32; 3]) -> metrics::Pose {
    let centre = floor_centre(room_m);
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

fn activity(person: &data::Person) -> Option<Activity> {
    person.activity.and_then(|a| Activity::ALL.get(a).copied())
}
