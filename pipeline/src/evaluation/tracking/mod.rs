//! How well people are tracked, in simulated scenes seen by a detector with stated errors, beside SORT and the nearest neighbour.

mod baselines;
mod metrics;
mod scenes;
mod shown;
mod sweeps;

use std::collections::BTreeMap;
use std::fmt;

use invispose_models::sim::{SimError, Split};
use invispose_models::skeleton::{Keypoints, distance, root};
use serde::Serialize;

use super::detector::{Detector, DetectorErrors};
use crate::pose::Person;
use crate::tracking::{Observation, PersonIds, Tracker, TrackerConfig};
use crate::understanding::{CountRules, count};

pub use baselines::{Follower, NearestNeighbour, Sort};
pub use metrics::{Moment, Point, Scores, score};
pub use scenes::{FRAME_HZ, Scene};
pub use sweeps::sweeps;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seeds: [`Split::Test`] for what is reported, [`Split::Validation`] for what is tried.
    pub split: Split,
    /// Scenes for each number of people.
    pub scenes: u64,
    /// Length of each, seconds.
    pub seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { split: Split::Test, scenes: 8, seconds: 120.0 }
    }
}

/// One tracker's figures for one detector and number of people.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Result {
    /// The measures.
    #[serde(flatten)]
    pub scores: Scores,
    /// Changes of identity per minute in which one person is there.
    pub switches_per_person_minute: f64,
}

/// Errors of poses, relative to the root, of people who were seen and shown; millimetres.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoseErrors {
    /// Mean error of a joint as the detector gives it.
    pub detected_mm: f64,
    /// Mean error of a joint as it is shown.
    pub shown_mm: f64,
    /// Mean change of a joint from frame to frame as the detector gives it…
    pub detected_jitter_mm: f64,
    /// …and as it is shown.
    pub shown_jitter_mm: f64,
    /// Mean change of the true joint.
    pub true_jitter_mm: f64,
}

/// The figures for one detector.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorReport {
    /// What the detector does wrong.
    pub errors: DetectorErrors,
    /// By tracker, then by number of people; `all` is all scenes together.
    pub trackers: BTreeMap<&'static str, BTreeMap<String, Result>>,
    /// How poses fare in the tracker.
    pub poses: PoseErrors,
    /// How well people are counted, by their number; `all` is all scenes together.
    pub counts: BTreeMap<String, CountErrors>,
}

/// How well people are counted, at every moment of a scene.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CountErrors {
    /// Mean absolute error of the expected number.
    pub mae: f64,
    /// The same of the number of people who are shown.
    pub mae_of_shown: f64,
    /// Share of the moments in which the number is within the interval, which is made for nine in ten at least.
    pub covered: f64,
    /// Mean width of the interval, people.
    pub width: f64,
    /// Share of the people who are there and not shown: what `count.missed` stands for.
    pub missed: f64,
}

#[derive(Clone, Copy, Default)]
struct CountTally {
    sums: CountErrors,
    moments: f64,
    people: f64,
}

impl CountTally {
    fn add(&mut self, truth: usize, shown: &[Person], rules: &CountRules) {
        let estimate = count(shown, truth > 0, rules);
        let s = &mut self.sums;
        s.mae += (f64::from(estimate.mean) - truth as f64).abs();
        s.mae_of_shown += shown.len().abs_diff(truth) as f64;
        s.covered += f64::from(u8::from((estimate.low..=estimate.high).contains(&(truth.min(255) as u8))));
        s.width += f64::from(estimate.high - estimate.low);
        s.missed += truth.saturating_sub(shown.len()) as f64;
        self.moments += 1.0;
        self.people += truth as f64;
    }

    fn join(&mut self, other: &Self) {
        let (a, b) = (&mut self.sums, &other.sums);
        a.mae += b.mae;
        a.mae_of_shown += b.mae_of_shown;
        a.covered += b.covered;
        a.width += b.width;
        a.missed += b.missed;
        self.moments += other.moments;
        self.people += other.people;
    }

    fn errors(&self) -> CountErrors {
        let (s, n) = (&self.sums, self.moments.max(1.0));
        CountErrors {
            mae: s.mae / n,
            mae_of_shown: s.mae_of_shown / n,
            covered: s.covered / n,
            width: s.width / n,
            missed: s.missed / self.people.max(1.0),
        }
    }
}

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seeds that were used.
    pub split: Split,
    /// Scenes for each number of people.
    pub scenes: u64,
    /// Length of each, seconds.
    pub seconds: f64,
    /// By detector: `fine`, `middling`, `shipped`.
    pub detectors: BTreeMap<&'static str, DetectorReport>,
}

/// The tracker under test.
struct Own {
    tracker: Tracker,
    ids: PersonIds,
    time_ns: i64,
    people: Vec<Person>,
}

impl Own {
    fn new(config: &TrackerConfig) -> Self {
        let tracker = Tracker::new(config.clone());
        Self { tracker, ids: PersonIds::in_memory(), time_ns: 0, people: Vec::new() }
    }
}

impl Follower for Own {
    fn step(&mut self, dt_s: f64, seen: &[Observation]) -> Vec<Point> {
        self.time_ns += (dt_s * 1e9).round() as i64;
        // Ids in memory do not run out.
        let people = self.tracker.update(self.time_ns, Some(true), Some(seen), &mut self.ids);
        self.people = people.unwrap_or_default();
        let at = |p: &Person| [f64::from(p.position_m[0]), f64::from(p.position_m[1])];
        self.people.iter().map(|p| Point { id: p.id, at_m: at(p) }).collect()
    }
}

const NUMBERS: std::ops::RangeInclusive<usize> = 1..=6;

/// Tracks all scenes with all trackers behind all detectors.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn run(
    options: Options,
    config: &TrackerConfig,
    counting: &CountRules,
) -> std::result::Result<Report, SimError> {
    let mut scenes = Vec::new();
    for people in NUMBERS {
        for index in 0..options.scenes {
            scenes.push(Scene::new(people, options.seconds, options.split, index)?);
        }
    }
    let kinds = [
        ("fine", DetectorErrors::fine()),
        ("middling", DetectorErrors::middling()),
        ("coarse", DetectorErrors::coarse()),
    ];
    let detectors =
        kinds.into_iter().map(|(name, errors)| (name, judge(&scenes, errors, config, counting))).collect();
    Ok(Report { split: options.split, scenes: options.scenes, seconds: options.seconds, detectors })
}

fn judge(
    scenes: &[Scene],
    errors: DetectorErrors,
    config: &TrackerConfig,
    counting: &CountRules,
) -> DetectorReport {
    const NAMES: [&str; 4] = ["invispose", "sort", "sort_patient", "nearest"];
    let mut moments: [BTreeMap<usize, Vec<Moment>>; 4] = Default::default();
    let mut poses = PoseTally::default();
    let mut counts: BTreeMap<String, CountTally> = BTreeMap::new();
    for (s, scene) in scenes.iter().enumerate() {
        let mut detector = Detector::new(errors.clone(), scene.room_m, s as u64);
        let mut own = Own::new(config);
        let (mut sort, mut patient) = (Sort::new(1), Sort::new(30));
        let mut nearest = NearestNeighbour::default();
        // Identities of different scenes are different.
        let of_scene = |points: Vec<Point>| -> Vec<Point> {
            points.into_iter().map(|p| Point { id: p.id | (s as u64) << 32, ..p }).collect()
        };
        for (k, frame) in scene.frames.iter().enumerate() {
            let truth = Scene::poses(frame);
            let seen = detector.look(&truth, (1.0 / FRAME_HZ) as f32);
            let shown = [
                own.step(1.0 / FRAME_HZ, &seen),
                sort.step(1.0 / FRAME_HZ, &seen),
                patient.step(1.0 / FRAME_HZ, &seen),
                nearest.step(1.0 / FRAME_HZ, &seen),
            ];
            poses.add(&truth, &seen, &own.people);
            let there = truth.iter().flatten().count();
            counts.entry(there.to_string()).or_default().add(there, &own.people, counting);
            let truth = of_scene(scene.points(k));
            for (moments, shown) in moments.iter_mut().zip(shown) {
                let moment = Moment { truth: truth.clone(), shown: of_scene(shown) };
                moments.entry(scene.people).or_default().push(moment);
            }
        }
        poses.cut();
    }
    let trackers =
        NAMES.into_iter().zip(moments).map(|(name, by_number)| (name, results(&by_number))).collect();
    let mut all = CountTally::default();
    counts.values().for_each(|tally| all.join(tally));
    counts.insert("all".into(), all);
    let counts = counts.into_iter().map(|(number, tally)| (number, tally.errors())).collect();
    DetectorReport { errors, trackers, poses: poses.errors(), counts }
}

fn results(by_number: &BTreeMap<usize, Vec<Moment>>) -> BTreeMap<String, Result> {
    let all: Vec<Moment> = by_number.values().flatten().cloned().collect();
    let named = by_number.iter().map(|(n, moments)| (n.to_string(), result(moments)));
    named.chain([("all".to_owned(), result(&all))]).collect()
}

fn result(moments: &[Moment]) -> Result {
    let scores = score(moments);
    let minutes = (scores.found + scores.missed) as f64 / FRAME_HZ / 60.0;
    Result { scores, switches_per_person_minute: scores.switches as f64 / minutes.max(1e-9) }
}

/// Follows the poses of single people: with several, whose pose is whose would be a question of its own.
#[derive(Default)]
struct PoseTally {
    before: Option<[Keypoints; 3]>,
    errors: PoseErrors,
    poses: f64,
    changes: f64,
}

impl PoseTally {
    fn add(&mut self, truth: &[Option<Keypoints>], seen: &[Observation], shown: &[Person]) {
        let ([Some(truth)], [seen], [shown]) = (truth, seen, shown) else {
            self.before = None;
            return;
        };
        let relative = |pose: &Keypoints| {
            let r = root(pose);
            pose.map(|p| -> [f32; 3] { std::array::from_fn(|i| p[i] - r[i]) })
        };
        let now = [
            relative(truth),
            relative(&seen.keypoints.map(|k| k.position_m)),
            relative(&shown.keypoints.map(|k| k.position_m)),
        ];
        let e = &mut self.errors;
        e.detected_mm += mean_mm(&now[0], &now[1]);
        e.shown_mm += mean_mm(&now[0], &now[2]);
        self.poses += 1.0;
        if let Some(before) = &self.before {
            e.true_jitter_mm += mean_mm(&before[0], &now[0]);
            e.detected_jitter_mm += mean_mm(&before[1], &now[1]);
            e.shown_jitter_mm += mean_mm(&before[2], &now[2]);
            self.changes += 1.0;
        }
        self.before = Some(now);
    }

    fn cut(&mut self) {
        self.before = None;
    }

    fn errors(&self) -> PoseErrors {
        let (e, n, m) = (&self.errors, self.poses.max(1.0), self.changes.max(1.0));
        PoseErrors {
            detected_mm: e.detected_mm / n,
            shown_mm: e.shown_mm / n,
            detected_jitter_mm: e.detected_jitter_mm / m,
            shown_jitter_mm: e.shown_jitter_mm / m,
            true_jitter_mm: e.true_jitter_mm / m,
        }
    }
}

fn mean_mm(a: &Keypoints, b: &Keypoints) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(distance(*a, *b))).sum::<f64>() * 1000.0 / a.len() as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} scenes of {} s for each number of people, {:?}",
            self.scenes, self.seconds, self.split
        )?;
        for (name, report) in &self.detectors {
            let e = &report.errors;
            writeln!(
                f,
                "\ndetector {name}: position σ {} m, joints σ {} m, missed {:.0} %, nobody {}/s and {}/h",
                e.position_m,
                e.joint_m,
                e.missed * 100.0,
                e.clutter_hz,
                e.ghosts_per_hour
            )?;
            writeln!(
                f,
                "{:<14} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} {:>9} {:>10}",
                "tracker", "people", "MOTA", "IDF1", "HOTA", "DetA", "AssA", "MOTP m", "switches/m"
            )?;
            for (tracker, by_number) in &report.trackers {
                for (number, r) in by_number {
                    let s = &r.scores;
                    writeln!(
                        f,
                        "{tracker:<14} {number:>6} {:>7.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>9.3} {:>10.2}",
                        s.mota, s.idf1, s.hota, s.det_a, s.ass_a, s.motp_m, r.switches_per_person_minute
                    )?;
                }
            }
            for (number, c) in &report.counts {
                writeln!(
                    f,
                    "people there {number:>3}: counted {:.2} off ({:.2} by those shown), within the interval {:.3}, its width {:.2}, missed {:.3}",
                    c.mae, c.mae_of_shown, c.covered, c.width, c.missed
                )?;
            }
            let p = &report.poses;
            writeln!(
                f,
                "joints of one person: {:.0} mm off as seen, {:.0} as shown; from frame to frame {:.1} mm as seen, {:.1} as shown, {:.1} in truth",
                p.detected_mm, p.shown_mm, p.detected_jitter_mm, p.shown_jitter_mm, p.true_jitter_mm
            )?;
        }
        Ok(())
    }
}
