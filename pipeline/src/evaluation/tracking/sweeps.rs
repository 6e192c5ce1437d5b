//! What the settings of tracking and of zones are worth, on scenes that nothing is reported from.

use std::sync::Arc;

use invispose_models::sim::{SimError, Split};
use invispose_models::skeleton::Keypoints;

use super::super::detector::{Detector, DetectorErrors};
use super::super::report::Plot;
use super::super::sweep::{around, plots};
use super::metrics::{Moment, Point, score};
use super::scenes::{FRAME_HZ, Scene};
use super::{Follower, Own, PoseTally};
use crate::floor::FloorPlan;
use crate::pose::{Person, PoseFrame, Provenance, SourceKind};
use crate::site::ZoneConfig;
use crate::tracking::{Observation, PersonIds, Tracker, TrackerConfig};
use crate::understanding::{ZoneRules, Zones};

/// Scenes for each number of people, and their length in seconds.
const SCENES: u64 = 3;
const SECONDS: f64 = 60.0;

/// Settings whose trade-off is between people who are missed, people who are not there and identities that change.
const FOLLOWING: [(&str, &str); 15] = [
    ("birth_confidence", "share"),
    ("keep_confidence", "share"),
    ("confirm_s", "seconds"),
    ("confirm_share", "share"),
    ("confirm_looks", "windows"),
    ("lose_s", "seconds"),
    ("lose_share", "share"),
    ("lose_tentative_s", "seconds"),
    ("reidentify_s", "seconds"),
    ("reidentify_speed", "metres per second"),
    ("speed", "metres per second"),
    ("keeps_velocity_s", "seconds"),
    ("independence", "share"),
    ("gate", "square of the Mahalanobis distance"),
    ("separation_m", "metres"),
];
/// Settings whose trade-off is between joints that are late and joints that tremble.
const POSES: [(&str, &str); 3] =
    [("joint_hz", "hertz"), ("joint_hz_per_m_s", "hertz per metre per second"), ("limb_s", "seconds")];
const ZONES: [(&str, &str); 3] = [("enter_s", "seconds"), ("exit_margin_m", "metres"), ("exit_s", "seconds")];

/// A scene and what a detector sees in it.
struct Seen {
    scene: Scene,
    frames: Vec<Vec<Observation>>,
}

/// A plot for each setting, behind the middling detector.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn sweeps(tracker: &TrackerConfig, zones: &ZoneRules) -> Result<Vec<Plot>, SimError> {
    let mut scenes = Vec::new();
    for people in 1..=3 {
        for index in 0..SCENES {
            let scene = Scene::new(people, SECONDS, Split::Validation, index)?;
            let mut detector = Detector::new(DetectorErrors::middling(), scene.room_m, index);
            let truth = |frame: &Vec<Option<(u64, Keypoints)>>| -> Vec<_> {
                frame.iter().map(|p| p.map(|(_, pose)| pose)).collect()
            };
            let dt_s = (1.0 / FRAME_HZ) as f32;
            let frames = scene.frames.iter().map(|f| detector.look(&truth(f), dt_s)).collect();
            scenes.push(Seen { scene, frames });
        }
    }
    let about = "1 to 3 people, middling detector";
    let lines =
        ["people missed", "people who are not there", "1 − IDF1", "tenths of switches a person-minute"];
    let y = "share; tenths of switches a minute";
    let mut all =
        plots("tracking", about, tracker, &around(tracker, &FOLLOWING), y, &lines, |c| following(&scenes, c));
    let lines = ["error as shown", "change from frame to frame"];
    let settings = around(tracker, &POSES);
    all.extend(plots("tracking", about, tracker, &settings, "millimetres a joint", &lines, |c| {
        poses(&scenes, c)
    }));
    let lines = [
        "time in a zone that is shown as outside",
        "time outside that is shown as in it",
        "tenths of visits shown for a true one",
    ];
    let y = "share; tenths of visits";
    let settings = around(zones, &ZONES);
    all.extend(plots("zones", about, zones, &settings, y, &lines, |c| stays(&scenes, tracker, c)));
    Ok(all)
}

fn own(config: &TrackerConfig) -> Own {
    Own { tracker: Tracker::new(config.clone()), ids: PersonIds::in_memory(), time_ns: 0, people: Vec::new() }
}

fn following(scenes: &[Seen], config: &TrackerConfig) -> Vec<f64> {
    let mut moments = Vec::new();
    for (s, seen) in scenes.iter().enumerate() {
        let mut own = own(config);
        let of_scene = |points: Vec<Point>| -> Vec<Point> {
            points.into_iter().map(|p| Point { id: p.id | (s as u64) << 32, ..p }).collect()
        };
        for (k, observations) in seen.frames.iter().enumerate() {
            let shown = of_scene(own.step(1.0 / FRAME_HZ, observations));
            moments.push(Moment { truth: of_scene(seen.scene.points(k)), shown });
        }
    }
    let scores = score(&moments);
    let there = (scores.found + scores.missed).max(1) as f64;
    let minutes = there / FRAME_HZ / 60.0;
    vec![
        scores.missed as f64 / there,
        scores.false_persons as f64 / there,
        1.0 - scores.idf1,
        scores.switches as f64 / minutes / 10.0,
    ]
}

fn poses(scenes: &[Seen], config: &TrackerConfig) -> Vec<f64> {
    let mut tally = PoseTally::default();
    for seen in scenes.iter().filter(|s| s.scene.people == 1) {
        let mut own = own(config);
        for (frame, observations) in seen.scene.frames.iter().zip(&seen.frames) {
            own.step(1.0 / FRAME_HZ, observations);
            let truth: Vec<_> = frame.iter().map(|p| p.map(|(_, pose)| pose)).collect();
            tally.add(&truth, observations, &own.people);
        }
        tally.cut();
    }
    let errors = tally.errors();
    vec![errors.shown_mm, errors.shown_jitter_mm]
}

/// Single people in one half of the room.
fn stays(scenes: &[Seen], tracker: &TrackerConfig, rules: &ZoneRules) -> Vec<f64> {
    let (mut inside, mut missed, mut outside, mut wrong) = (0u32, 0u32, 0u32, 0u32);
    let (mut visits, mut shown_visits) = (0u32, 0u32);
    for seen in scenes.iter().filter(|s| s.scene.people == 1) {
        let [x, y] = seen.scene.room_m;
        let half = ZoneConfig {
            id: "half".into(),
            polygon_m: vec![[0.0, 0.0], [x / 2.0, 0.0], [x / 2.0, y], [0.0, y]],
            ..ZoneConfig::default()
        };
        let Ok(plan) = FloorPlan::new(std::slice::from_ref(&half)) else { continue };
        let mut zones = Zones::new("sweep", plan, rules.clone());
        let mut own = own(tracker);
        let (mut was, mut was_shown) = (false, false);
        for (k, observations) in seen.frames.iter().enumerate() {
            own.step(1.0 / FRAME_HZ, observations);
            let mut frame = frame(own.time_ns, own.people.clone());
            zones.frame(&mut frame, None, &mut |_| {});
            let ([truth], [person]) = (&seen.scene.points(k)[..], &frame.persons[..]) else { continue };
            let now = half.contains(truth.at_m[0] as f32, truth.at_m[1] as f32);
            let shown = person.zone.is_some();
            inside += u32::from(now);
            missed += u32::from(now && !shown);
            outside += u32::from(!now);
            wrong += u32::from(!now && shown);
            visits += u32::from(now && !was);
            shown_visits += u32::from(shown && !was_shown);
            (was, was_shown) = (now, shown);
        }
    }
    let share = |part: u32, all: u32| f64::from(part) / f64::from(all.max(1));
    vec![share(missed, inside), share(wrong, outside), share(shown_visits, visits) / 10.0]
}

fn frame(time_ns: i64, persons: Vec<Person>) -> PoseFrame {
    let site: Arc<str> = "sweep".into();
    let source = SourceKind::Simulated;
    PoseFrame {
        frame_id: 0,
        site,
        time_ns,
        processing_ns: 0,
        provenance: Provenance { source, model: None, calibrated: false, experimental: false },
        presence: None,
        breathing: None,
        count: None,
        activity: None,
        persons,
    }
}
