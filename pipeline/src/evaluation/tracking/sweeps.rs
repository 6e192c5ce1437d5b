//! What the settings of tracking are worth, on scenes that nothing is reported from, and of what looks at the people who are tracked.

use invispose_models::sim::{SimError, Split};

use super::super::detector::{Detector, DetectorErrors};
use super::super::report::Plot;
use super::super::sweep::{around, plots};
use super::metrics::{Moment, Point, score};
use super::scenes::{FRAME_HZ, Scene};
use super::{Follower, Own, PoseTally, shown};
use crate::tracking::{Observation, TrackerConfig};
use crate::understanding::{CountRules, ZoneRules};

/// Scenes for each number of people, and their length in seconds.
const SCENES: u64 = 3;
const SECONDS: f64 = 60.0;

/// Settings whose trade-off is between people who are missed, people who are not there and identities that change.
const FOLLOWING: [(&str, &str); 17] = [
    ("birth_confidence", "share"),
    ("keep_confidence", "share"),
    ("confirm_s", "seconds"),
    ("confirm_share", "share"),
    ("confirm_looks", "windows"),
    ("lose_s", "seconds"),
    ("lose_share", "share"),
    ("existence_s", "seconds"),
    ("keep_existence", "share"),
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

/// A scene and what a detector sees in it.
struct Seen {
    scene: Scene,
    frames: Vec<Vec<Observation>>,
}

/// A plot for each setting, behind the middling detector.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn sweeps(tracker: &TrackerConfig, zones: &ZoneRules, count: &CountRules) -> Result<Vec<Plot>, SimError> {
    let mut scenes = Vec::new();
    for people in 1..=3 {
        for index in 0..SCENES {
            let scene = Scene::new(people, SECONDS, Split::Validation, index)?;
            let mut detector = Detector::new(DetectorErrors::middling(), scene.room_m, index);
            let dt_s = (1.0 / FRAME_HZ) as f32;
            let frames = scene.frames.iter().map(|f| detector.look(&Scene::poses(f), dt_s)).collect();
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
    all.extend(shown::sweeps(tracker, zones, count)?);
    Ok(all)
}

fn following(scenes: &[Seen], config: &TrackerConfig) -> Vec<f64> {
    let mut moments = Vec::new();
    for (s, seen) in scenes.iter().enumerate() {
        let mut own = Own::new(config);
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
        let mut own = Own::new(config);
        for (frame, observations) in seen.scene.frames.iter().zip(&seen.frames) {
            own.step(1.0 / FRAME_HZ, observations);
            tally.add(&Scene::poses(frame), observations, &own.people);
        }
        tally.cut();
    }
    let errors = tally.errors();
    vec![errors.shown_mm, errors.shown_jitter_mm]
}
