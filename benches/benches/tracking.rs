//! Tracking of 1,000 sites with three people each, 20 windows a second: how much of one core it takes.
//!
//! `cargo bench -p invispose-benches --bench tracking [-- SECONDS]`
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use invispose_models::sim::Split;
use invispose_pipeline::evaluation::detector::{Detector, DetectorErrors};
use invispose_pipeline::evaluation::tracking::{FRAME_HZ, Scene};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::pose::{PoseFrame, Provenance, SourceKind};
use invispose_pipeline::site::ZoneConfig;
use invispose_pipeline::tracking::{Observation, PersonIds, Tracker, TrackerConfig};
use invispose_pipeline::understanding::{
    ActivityConfig, ActivityWatch, FallConfig, FallWatch, ZoneRules, Zones,
};

const SITES: usize = 1000;
const PEOPLE: usize = 3;

struct Place {
    tracker: Tracker,
    activities: ActivityWatch,
    zones: Zones,
    falls: FallWatch,
}

impl Place {
    fn new() -> Self {
        let zone = |id: &str, x: f32| ZoneConfig {
            id: id.into(),
            polygon_m: vec![[x, 0.0], [x + 3.0, 0.0], [x + 3.0, 5.0], [x, 5.0]],
            ..ZoneConfig::default()
        };
        let floor = FloorPlan::new(&[zone("left", 0.0), zone("right", 3.0)]).expect("two zones");
        Self {
            tracker: Tracker::new(TrackerConfig::default()),
            activities: ActivityWatch::new(ActivityConfig::default()),
            zones: Zones::new("site", floor, ZoneRules::default()),
            falls: FallWatch::new(FallConfig::default()),
        }
    }
}

fn main() {
    let seconds: f64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(20.0);
    let windows = (seconds * FRAME_HZ) as usize;
    let scene = Scene::new(PEOPLE, seconds, Split::Test, 0).expect("the demonstration room");
    // The sites see the same people with errors of their own, in sixteen kinds.
    let seen: Vec<Vec<Vec<Observation>>> = (0..16)
        .map(|seed| {
            let mut detector = Detector::new(DetectorErrors::middling(), scene.room_m, seed);
            let look = |frame: &Vec<Option<(u64, _)>>| {
                let truth: Vec<_> = frame.iter().map(|p| p.map(|(_, pose)| pose)).collect();
                detector.look(&truth, (1.0 / FRAME_HZ) as f32)
            };
            scene.frames.iter().map(look).collect()
        })
        .collect();

    let mut sites: Vec<Place> = (0..SITES).map(|_| Place::new()).collect();
    let mut ids = PersonIds::in_memory();
    let (mut tracking_s, mut understanding_s, mut shown) = (0.0, 0.0, 0usize);
    for window in 0..windows {
        let time_ns = (window as f64 / FRAME_HZ * 1e9) as i64;
        let started = Instant::now();
        let mut frames: Vec<PoseFrame> = Vec::with_capacity(SITES);
        for (i, site) in sites.iter_mut().enumerate() {
            let observations = &seen[i % seen.len()][window];
            let persons = site
                .tracker
                .update(time_ns, Some(true), Some(observations), &mut ids)
                .expect("ids in memory");
            shown += persons.len();
            frames.push(PoseFrame {
                frame_id: 0,
                site: "site".into(),
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
            });
        }
        let tracked = Instant::now();
        tracking_s += (tracked - started).as_secs_f64();
        for (site, frame) in sites.iter_mut().zip(&mut frames) {
            black_box(site.activities.frame(time_ns, &mut frame.persons));
            site.zones.frame(frame, None, &mut |e| drop(black_box(e)));
            let of = |kind, _: &_| invispose_pipeline::events::Event::new(kind, time_ns);
            site.falls.frame(frame, &of, &mut |e| drop(black_box(e)));
        }
        understanding_s += tracked.elapsed().as_secs_f64();
    }
    let share = |s: f64| 100.0 * s / seconds;
    let people = shown as f64 / windows as f64;
    println!(
        "{SITES} sites, {people:.0} people shown on average, {windows} windows each, {FRAME_HZ} a second"
    );
    println!("tracking: {:.1} % of one core", share(tracking_s));
    println!("activities, zones and falls: {:.1} % of one core", share(understanding_s));
}
