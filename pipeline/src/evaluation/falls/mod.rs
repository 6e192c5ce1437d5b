//! Falls and activities on simulated days, seen by a detector with stated errors and followed by the tracker.

mod day;
mod sweeps;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use invispose_models::sim::{self, SimError, Split};
use invispose_models::skeleton::{Keypoints, root};
use serde::Serialize;

use self::day::{Day, FRAME_HZ, SCENE_H, TrueFall, Who};
use super::detector::{Detector, DetectorErrors};
use super::report::Plot;
use crate::events::{Event, EventKind, Evidence, Severity};
use crate::pose::{Person, PoseFrame, Provenance, SourceKind};
use crate::tracking::{PersonIds, Tracker, TrackerConfig};
use crate::understanding::{ActivityConfig, ActivityWatch, FallConfig, FallWatch};

pub use sweeps::sweeps;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seeds: [`Split::Test`] for what is reported, [`Split::Validation`] for what is tried.
    pub split: Split,
    /// Hours of days without a fall, for adults, children and pets each.
    pub quiet_hours: f64,
    /// Hours in which adults and children fall often.
    pub fall_hours: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { split: Split::Test, quiet_hours: 4.0, fall_hours: 2.0 }
    }
}

/// Rules that are compared.
struct Candidate {
    name: String,
    config: FallConfig,
}

/// How good one set of rules is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FallScores {
    /// Falls whose person was on the ground for at least a second longer than the rule asks for.
    pub falls: u64,
    /// Share of them that was told.
    pub recall: f64,
    /// The other falls, after which somebody was up sooner.
    pub short_falls: u64,
    /// Share of those that was told all the same.
    pub short_falls_told: f64,
    /// Falls told that were none, in 24 h, in all days and by who lived them.
    pub false_alarms_per_day: f64,
    /// See `false_alarms_per_day`.
    pub by_person: BTreeMap<&'static str, f64>,
    /// Mean time from reaching the ground to the event, seconds.
    pub delay_s: f64,
    #[serde(skip)]
    tally: Tally,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    found: u64,
    short_found: u64,
    delay_s: f64,
    alarms: BTreeMap<&'static str, u64>,
}

/// The figures for one detector.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorReport {
    /// What the detector does wrong.
    pub errors: DetectorErrors,
    /// By rules: `configured`, a baseline that looks at the height alone, and the trade-off around the configured ones.
    pub falls: BTreeMap<String, FallScores>,
    /// Share of the frames of each true activity in which it was shown, of those in which one was.
    pub activities: BTreeMap<&'static str, f64>,
    /// Their mean.
    pub balanced_accuracy: f64,
    /// Times a minute that another activity was shown than before.
    pub changes_per_minute: f64,
    /// For each true activity what was shown instead, as shares.
    pub confusion: BTreeMap<&'static str, BTreeMap<&'static str, f64>>,
}

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seeds that were used.
    pub split: Split,
    /// Hours without falls, of adults, children and pets together.
    pub quiet_hours: f64,
    /// Hours with falls.
    pub fall_hours: f64,
    /// By detector: `fine`, `middling`, `coarse`.
    pub detectors: BTreeMap<&'static str, DetectorReport>,
}

/// A fall that is told belongs to the true one whose ground was reached within so many seconds of its own.
const SAME_FALL_S: f64 = 2.0;

/// The trade-off that is shown.
const WITHIN_S: [f64; 7] = [0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0];
const GROUND_S: [f64; 4] = [1.0, 2.0, 3.0, 5.0];

fn rules(within_s: f64, ground_s: f64) -> String {
    format!("within {within_s:.2} s, ground {ground_s} s")
}

/// The rules that are compared: the configured ones, the height alone, and the trade-off around the configured ones.
fn candidates(config: &FallConfig) -> Vec<Candidate> {
    let mut all = vec![
        Candidate { name: "configured".into(), config: config.clone() },
        Candidate {
            name: "height alone".into(),
            config: FallConfig { within_s: 1e6, from: 0.0, ..config.clone() },
        },
    ];
    for within_s in WITHIN_S {
        for ground_s in GROUND_S {
            let config = FallConfig { within_s, ground_s, ..config.clone() };
            all.push(Candidate { name: rules(within_s, ground_s), config });
        }
    }
    all
}

/// Lives all days behind all detectors.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn run(
    options: Options,
    tracker: &TrackerConfig,
    activity: &ActivityConfig,
    falls: &FallConfig,
) -> Result<Report, SimError> {
    let kinds = [
        ("fine", DetectorErrors::fine()),
        ("middling", DetectorErrors::middling()),
        ("coarse", DetectorErrors::coarse()),
    ];
    let candidates = candidates(falls);
    let mut judges: Vec<Judge> = kinds.iter().map(|_| Judge::new(candidates.len())).collect();
    let scenes = |hours: f64| (hours / SCENE_H).ceil() as u64;
    let (mut quiet_hours, mut fall_hours) = (0.0, 0.0);
    for (who, quiet, hours) in [
        (Who::Adult, true, options.quiet_hours),
        (Who::Child, true, options.quiet_hours),
        (Who::Pet, true, options.quiet_hours),
        (Who::Adult, false, options.fall_hours / 2.0),
        (Who::Child, false, options.fall_hours / 2.0),
    ] {
        for index in 0..scenes(hours) {
            let day = Day::new(who, quiet, options.split, index)?;
            *(if quiet { &mut quiet_hours } else { &mut fall_hours }) += SCENE_H;
            for ((_, errors), judge) in kinds.iter().zip(&mut judges) {
                judge.live(&day, errors, index, tracker, activity, &candidates);
            }
        }
    }
    let detectors = kinds
        .into_iter()
        .zip(judges)
        .map(|((name, errors), judge)| (name, judge.report(errors, &candidates, quiet_hours / 3.0)))
        .collect();
    Ok(Report { split: options.split, quiet_hours, fall_hours, detectors })
}

/// A fall as it was told.
struct Told {
    /// When it was told first, seconds.
    at_s: f64,
    /// When the ground was reached, by what was told, seconds.
    down_s: f64,
    /// How bad it became.
    severity: Severity,
}

impl Told {
    /// It is that fall.
    fn is(&self, fall: &TrueFall) -> bool {
        (self.down_s - fall.down_s).abs() <= SAME_FALL_S
    }
}

/// What is gathered behind one detector.
struct Judge {
    falls: Vec<FallScores>,
    /// Frames by true and shown activity.
    activities: BTreeMap<(&'static str, &'static str), u64>,
    /// Times that another activity was shown than before, and frames, of adults and children.
    changes: u64,
    frames: u64,
}

impl Judge {
    fn new(candidates: usize) -> Self {
        Self {
            falls: vec![FallScores::default(); candidates],
            activities: BTreeMap::new(),
            changes: 0,
            frames: 0,
        }
    }

    /// Lives a day; gives the falls that were told by each of the rules.
    fn live(
        &mut self,
        day: &Day,
        errors: &DetectorErrors,
        seed: u64,
        tracker: &TrackerConfig,
        activity: &ActivityConfig,
        candidates: &[Candidate],
    ) -> Vec<Vec<Told>> {
        let mut detector = Detector::new(errors.clone(), day.room_m, seed);
        let mut tracker = Tracker::new(tracker.clone());
        let mut ids = PersonIds::in_memory();
        let mut doing = ActivityWatch::new(activity.clone());
        let mut watches: Vec<FallWatch> =
            candidates.iter().map(|c| FallWatch::new(c.config.clone())).collect();
        let mut told: Vec<Vec<Told>> = candidates.iter().map(|_| Vec::new()).collect();
        let site: Arc<str> = "simulated".into();
        for (k, (pose, truth)) in day.poses.iter().zip(&day.activities).enumerate() {
            let time_ns = (k as f64 / FRAME_HZ * 1e9) as i64;
            let seen = detector.look(&[Some(*pose)], (1.0 / FRAME_HZ) as f32);
            // Ids in memory do not run out.
            let mut persons = tracker.update(time_ns, Some(true), Some(&seen), &mut ids).unwrap_or_default();
            let changes = doing.frame(time_ns, &mut persons);
            if day.who != Who::Pet {
                self.changes += changes.len() as u64;
                self.frames += 1;
                self.note(*truth, &persons, pose);
            }
            let frame = frame_of(&site, time_ns, persons);
            let of_person =
                |kind, person: &Person| Event { person: Some(person.id), ..Event::new(kind, frame.time_ns) };
            for (watch, told) in watches.iter_mut().zip(&mut told) {
                watch.frame(&frame, &of_person, &mut |event| {
                    let (EventKind::FallDetected, Evidence::Fall { ground_s, .. }) =
                        (event.kind, &event.evidence)
                    else {
                        return;
                    };
                    let at_s = event.time_ns as f64 / 1e9;
                    let (down_s, severity) = (at_s - ground_s, event.severity);
                    // Later events of the same fall say that it became worse.
                    match told.iter_mut().find(|t| (t.down_s - down_s).abs() < 0.01) {
                        Some(known) => known.severity = known.severity.max(severity),
                        None => told.push(Told { at_s, down_s, severity }),
                    }
                });
            }
        }
        for ((scores, told), candidate) in self.falls.iter_mut().zip(&told).zip(candidates) {
            scores.add(day, told, candidate.config.ground_s);
        }
        told
    }

    /// Books what is shown of the person nearest to the true one.
    fn note(&mut self, truth: sim::Activity, persons: &[Person], pose: &Keypoints) {
        let [x, y, _] = root(pose);
        let distance = |p: &&Person| (p.position_m[0] - x).hypot(p.position_m[1] - y);
        let nearest = persons.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        if let Some(shown) = nearest.filter(|p| distance(p) < 1.0).and_then(|p| p.activity) {
            *self.activities.entry((truth.name(), shown.name())).or_default() += 1;
        }
    }

    fn report(self, errors: DetectorErrors, candidates: &[Candidate], hours_each: f64) -> DetectorReport {
        let named = candidates.iter().map(|c| c.name.clone());
        let falls = named.zip(self.falls.into_iter().map(|s| s.finish(hours_each))).collect();
        let mut confusion: BTreeMap<&'static str, BTreeMap<&'static str, f64>> = BTreeMap::new();
        let mut activities = BTreeMap::new();
        for truth in sim::Activity::ALL.map(sim::Activity::name) {
            let of = || self.activities.iter().filter(move |((t, _), _)| *t == truth);
            let all: u64 = of().map(|(_, n)| n).sum();
            if all == 0 {
                continue;
            }
            for ((_, shown), n) in of() {
                confusion.entry(truth).or_default().insert(shown, *n as f64 / all as f64);
            }
            let right = self.activities.get(&(truth, truth)).copied().unwrap_or_default();
            activities.insert(truth, right as f64 / all as f64);
        }
        let balanced_accuracy = activities.values().sum::<f64>() / activities.len().max(1) as f64;
        let minutes = self.frames as f64 / FRAME_HZ / 60.0;
        let changes_per_minute = self.changes as f64 / minutes.max(f64::MIN_POSITIVE);
        DetectorReport { errors, falls, activities, balanced_accuracy, changes_per_minute, confusion }
    }
}

fn frame_of(site: &Arc<str>, time_ns: i64, persons: Vec<Person>) -> PoseFrame {
    PoseFrame {
        frame_id: 0,
        site: site.clone(),
        time_ns,
        processing_ns: 0,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: None,
            calibrated: false,
            experimental: false,
        },
        presence: None,
        breathing: None,
        count: None,
        activity: None,
        persons,
    }
}

impl FallScores {
    fn add(&mut self, day: &Day, told: &[Told], ground_s: f64) {
        let mut used = vec![false; told.len()];
        for fall in &day.falls {
            let found = told.iter().position(|t| t.is(fall));
            if let Some(i) = found {
                used[i] = true;
            }
            if fall.ground_s >= ground_s + 1.0 {
                self.falls += 1;
                if let Some(i) = found {
                    self.tally.found += 1;
                    self.tally.delay_s += told[i].at_s - fall.down_s;
                }
            } else {
                self.short_falls += 1;
                self.tally.short_found += u64::from(found.is_some());
            }
        }
        if day.quiet {
            let who = match day.who {
                Who::Adult => "adults",
                Who::Child => "children",
                Who::Pet => "pets",
            };
            let alarms = used.iter().filter(|used| !**used).count();
            *self.tally.alarms.entry(who).or_default() += alarms as u64;
        }
    }

    fn finish(mut self, hours_each: f64) -> Self {
        let days = hours_each / 24.0;
        let tally = &self.tally;
        self.recall = tally.found as f64 / self.falls.max(1) as f64;
        self.short_falls_told = tally.short_found as f64 / self.short_falls.max(1) as f64;
        self.delay_s = tally.delay_s / tally.found.max(1) as f64;
        self.by_person = tally.alarms.iter().map(|(who, n)| (*who, *n as f64 / days)).collect();
        let kinds = tally.alarms.len().max(1) as f64;
        self.false_alarms_per_day = self.by_person.values().sum::<f64>() / kinds;
        self
    }
}

impl Report {
    /// Misses and false alarms against `falls.within_s`, for each detector and two times on the ground.
    pub fn plots(&self) -> Vec<Plot> {
        let plot = |name: &'static str, detector: &str, report: &DetectorReport| {
            let line = |ground_s: f64, y: &dyn Fn(&FallScores) -> f64| {
                let scores = |within_s| report.falls.get(&rules(within_s, ground_s));
                WITHIN_S.iter().filter_map(|&x| Some((x, y(scores(x)?)))).collect::<Vec<_>>()
            };
            let mut lines = Vec::new();
            for ground_s in [1.0, 3.0] {
                let missed = line(ground_s, &|s| 1.0 - s.recall);
                lines.push((format!("share of falls missed, ground {ground_s} s"), missed));
                let alarms = line(ground_s, &|s| s.false_alarms_per_day / 100.0);
                lines.push((format!("hundreds of false alarms a day, ground {ground_s} s"), alarms));
            }
            Plot {
                name: name.into(),
                title: format!("falls-sim, {detector} detector: misses and false alarms"),
                x: "falls.within_s, seconds".into(),
                y: "share missed; hundreds of false alarms a day",
                lines,
                chosen: Some(FallConfig::default().within_s),
            }
        };
        let names = [("fine", "falls-fine"), ("middling", "falls-middling"), ("coarse", "falls-coarse")];
        let of = |(detector, name)| Some(plot(name, detector, self.detectors.get(detector)?));
        names.into_iter().filter_map(of).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} h without falls (a third each: adults, children, pets), {} h with many, {:?}",
            self.quiet_hours, self.fall_hours, self.split
        )?;
        for (name, report) in &self.detectors {
            let e = &report.errors;
            writeln!(
                f,
                "\ndetector {name}: position σ {} m, height σ {} m, joints σ {} m",
                e.position_m, e.height_m, e.joint_m
            )?;
            writeln!(
                f,
                "{:<28} {:>6} {:>7} {:>6} {:>6} | false alarms a day: {:>6} {:>9} {:>6} {:>6}",
                "rules", "falls", "recall", "short", "delay", "adults", "children", "pets", "mean"
            )?;
            for (rules, s) in &report.falls {
                let by = |who: &str| s.by_person.get(who).copied().unwrap_or_default();
                writeln!(
                    f,
                    "{rules:<28} {:>6} {:>7.3} {:>6.3} {:>4.1} s |                    {:>6.1} {:>9.1} {:>6.1} {:>6.1}",
                    s.falls,
                    s.recall,
                    s.short_falls_told,
                    s.delay_s,
                    by("adults"),
                    by("children"),
                    by("pets"),
                    s.false_alarms_per_day
                )?;
            }
            write!(f, "activities, balanced accuracy {:.3}:", report.balanced_accuracy)?;
            for (activity, share) in &report.activities {
                write!(f, " {activity} {share:.2}")?;
            }
            writeln!(f, "; shown for another {:.1} times a minute", report.changes_per_minute)?;
        }
        Ok(())
    }
}
