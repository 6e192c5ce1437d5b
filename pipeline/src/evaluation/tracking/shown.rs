//! What the settings of zones and of counting are worth: they look at people as the tracker shows them, so it runs once.

use std::sync::Arc;

use invispose_models::sim::{SimError, Split};

use super::super::detector::{Detector, DetectorErrors};
use super::super::report::Plot;
use super::super::sweep::{Setting, around, plots};
use super::scenes::{FRAME_HZ, Scene};
use super::{CountTally, Follower, Own};
use crate::events::EventKind;
use crate::floor::FloorPlan;
use crate::pose::{Person, PoseFrame, Provenance, SourceKind};
use crate::site::ZoneConfig;
use crate::tracking::TrackerConfig;
use crate::understanding::{CountRules, Schedule, ZoneRules, Zones};

/// Scenes for each number of people, and their length in seconds.
const SCENES: u64 = 12;
const SECONDS: f64 = 120.0;

const PLACES: [(&str, &str); 3] =
    [("enter_s", "seconds"), ("exit_margin_m", "metres"), ("exit_s", "seconds")];
const MISSED: [f64; 8] = [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4];
/// A breach that is over sooner need not be told, seconds.
const BREACH_S: f64 = 1.0;
/// What is told this long after a breach is over is told of it: people who have left are shown as there a little longer, seconds.
const AFTER_S: f64 = 3.0;

/// A scene as the tracker shows it behind the middling detector.
struct Shown {
    scene: Scene,
    frames: Vec<Vec<Person>>,
}

impl Shown {
    fn new(people: usize, index: u64, tracker: &TrackerConfig) -> Result<Self, SimError> {
        let scene = Scene::new(people, SECONDS, Split::Validation, index)?;
        let mut detector = Detector::new(DetectorErrors::middling(), scene.room_m, index);
        let mut own = Own::new(tracker);
        let look = |frame: &Vec<_>| {
            let seen = detector.look(&Scene::poses(frame), (1.0 / FRAME_HZ) as f32);
            own.step(1.0 / FRAME_HZ, &seen);
            own.people.clone()
        };
        let frames = scene.frames.iter().map(look).collect();
        Ok(Self { scene, frames })
    }

    /// One half of the room.
    fn half(&self) -> ZoneConfig {
        let [x, y] = self.scene.room_m;
        ZoneConfig {
            id: "half".into(),
            polygon_m: vec![[0.0, 0.0], [x / 2.0, 0.0], [x / 2.0, y], [0.0, y]],
            ..ZoneConfig::default()
        }
    }

    /// For each frame, how many people are truly in a zone, or at the site.
    fn truly(&self, zone: Option<&ZoneConfig>) -> Vec<usize> {
        let inside = |k: usize| {
            let points = self.scene.points(k);
            let is = |at: [f64; 2]| zone.is_none_or(|z| z.contains(at[0] as f32, at[1] as f32));
            points.iter().filter(|p| is(p.at_m)).count()
        };
        (0..self.frames.len()).map(inside).collect()
    }
}

/// A plot for each setting of zones, and of counting.
///
/// # Errors
/// Where the simulator refuses a scene.
pub(super) fn sweeps(
    tracker: &TrackerConfig,
    zones: &ZoneRules,
    count: &CountRules,
) -> Result<Vec<Plot>, SimError> {
    let mut scenes = Vec::new();
    for people in 1..=3 {
        for index in 0..SCENES {
            scenes.push(Shown::new(people, index, tracker)?);
        }
    }
    let about = "1 to 3 people, middling detector";
    let y = "share; tenths of visits";
    let lines = [
        "time in a zone that is shown as outside",
        "time outside that is shown as in it",
        "tenths of visits shown for a true one",
    ];
    let settings = around(zones, &PLACES);
    let mut all = plots("zones", about, zones, &settings, y, &lines, |c| stays(&scenes, c));
    let lines = [
        "forbidden stays of over 1 s that are not told",
        "forbidden stays told of none, for each true one",
        "times of over 1 s with too many people that are not told",
        "times with too many people told of none, for each true one",
    ];
    let settings = around(zones, &[("breach_s", "seconds")]);
    all.extend(plots("zones", about, zones, &settings, "share", &lines, |c| breaches(&scenes, c)));
    let lines = [
        "time in which the number is outside the interval",
        "width of the interval, tens of people",
        "error of the number, tens of people",
    ];
    let settings = [Setting { key: "missed", unit: "share of the time", values: MISSED.to_vec() }];
    let y = "share; tens of people";
    all.extend(plots("count", about, count, &settings, y, &lines, |c| counts(&scenes, c)));
    Ok(all)
}

/// Single people in one half of the room.
fn stays(scenes: &[Shown], rules: &ZoneRules) -> Vec<f64> {
    let (mut inside, mut missed, mut outside, mut wrong) = (0u32, 0u32, 0u32, 0u32);
    let (mut visits, mut shown_visits) = (0u32, 0u32);
    for seen in scenes.iter().filter(|s| s.scene.people == 1) {
        let half = seen.half();
        let truth = seen.truly(Some(&half));
        let Ok(plan) = FloorPlan::new(&[half]) else { continue };
        let mut zones = Zones::new("sweep", plan, rules.clone());
        let (mut was, mut was_shown) = (false, false);
        for (k, (people, truth)) in seen.frames.iter().zip(truth).enumerate() {
            let mut frame = frame(k, people.clone());
            zones.frame(&mut frame, None, &mut |_| {});
            let ([_], [person]) = (&seen.scene.points(k)[..], &frame.persons[..]) else { continue };
            let (now, shown) = (truth > 0, person.zone.is_some());
            inside += u32::from(now);
            missed += u32::from(now && !shown);
            outside += u32::from(!now);
            wrong += u32::from(!now && shown);
            visits += u32::from(now && !was);
            shown_visits += u32::from(shown && !was_shown);
            (was, was_shown) = (now, shown);
        }
    }
    vec![share(missed, inside), share(wrong, outside), share(shown_visits, visits) / 10.0]
}

/// Nobody may be in one half of the room, and all but one of its people may be in the room.
fn breaches(scenes: &[Shown], rules: &ZoneRules) -> Vec<f64> {
    let (mut forbidden, mut crowds) = (Told::default(), Told::default());
    let Ok(always) = serde_json::from_str::<Schedule>(r#"{"from": "00:00", "to": "00:00"}"#) else {
        return Vec::new();
    };
    for seen in scenes {
        let half = ZoneConfig { restricted: vec![always.clone()], ..seen.half() };
        let truth = seen.truly(Some(&half)).into_iter().map(|n| n > 0);
        let forbidden_spans = spans(truth);
        let most = seen.scene.people - 1;
        let crowd_spans = spans(seen.truly(None).into_iter().map(|n| n > most));
        let Ok(plan) = FloorPlan::new(&[half]) else { continue };
        let mut zones = Zones::new("sweep", plan, rules.clone());
        let (mut stays_told, mut crowds_told) = (Vec::new(), Vec::new());
        for (k, people) in seen.frames.iter().enumerate() {
            let limit = (seen.scene.people > 1).then_some(most as u32);
            zones.frame(&mut frame(k, people.clone()), limit, &mut |event| match event.kind {
                EventKind::RestrictedZoneBreach => stays_told.push(seconds(k)),
                EventKind::HighOccupancy => crowds_told.push(seconds(k)),
                _ => {}
            });
        }
        // Where several are in the zone it is not known whose stay was told.
        if seen.scene.people == 1 {
            forbidden.add(&forbidden_spans, &stays_told, rules.breach_s);
        } else {
            crowds.add(&crowd_spans, &crowds_told, rules.breach_s);
        }
    }
    vec![forbidden.missed(), forbidden.wrong(), crowds.missed(), crowds.wrong()]
}

/// Spans of time in which it is so, seconds.
fn spans(truth: impl Iterator<Item = bool>) -> Vec<[f64; 2]> {
    let mut spans: Vec<[f64; 2]> = Vec::new();
    let mut was = false;
    for (k, is) in truth.enumerate() {
        match (was, is) {
            (false, true) => spans.push([seconds(k), seconds(k + 1)]),
            (true, true) => spans.last_mut().into_iter().for_each(|s| s[1] = seconds(k + 1)),
            _ => {}
        }
        was = is;
    }
    spans
}

/// Breaches, and those that were told.
#[derive(Default)]
struct Told {
    breaches: u32,
    missed: u32,
    wrong: u32,
}

impl Told {
    fn add(&mut self, spans: &[[f64; 2]], told: &[f64], breach_s: f64) {
        let within = |[from, to]: [f64; 2], at: f64| (from..=to + AFTER_S).contains(&at);
        for span in spans.iter().filter(|[from, to]| to - from >= BREACH_S) {
            self.breaches += 1;
            self.missed += u32::from(!told.iter().any(|at| within(*span, *at)));
        }
        // What is told began to be seen so much earlier.
        let of_none =
            |at: &&f64| !spans.iter().any(|[from, to]| *from <= **at && **at - breach_s <= to + AFTER_S);
        self.wrong += told.iter().filter(of_none).count() as u32;
    }

    fn missed(&self) -> f64 {
        share(self.missed, self.breaches)
    }

    fn wrong(&self) -> f64 {
        share(self.wrong, self.breaches)
    }
}

fn counts(scenes: &[Shown], rules: &CountRules) -> Vec<f64> {
    let mut tally = CountTally::default();
    for seen in scenes {
        for (people, truth) in seen.frames.iter().zip(seen.truly(None)) {
            tally.add(truth, people, rules);
        }
    }
    let errors = tally.errors();
    vec![1.0 - errors.covered, errors.width / 10.0, errors.mae / 10.0]
}

fn share(part: u32, all: u32) -> f64 {
    f64::from(part) / f64::from(all.max(1))
}

fn seconds(frame: usize) -> f64 {
    frame as f64 / FRAME_HZ
}

fn frame(number: usize, persons: Vec<Person>) -> PoseFrame {
    let site: Arc<str> = "sweep".into();
    let source = SourceKind::Simulated;
    PoseFrame {
        frame_id: 0,
        site,
        time_ns: (seconds(number) * 1e9) as i64,
        processing_ns: 0,
        provenance: Provenance { source, model: None, calibrated: false, experimental: false },
        presence: None,
        breathing: None,
        count: None,
        activity: None,
        persons,
    }
}
