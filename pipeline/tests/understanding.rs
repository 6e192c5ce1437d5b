//! Zones, activities and falls.
#![allow(clippy::unwrap_used)]

use invispose_models::sim::{ActivityWeights, People, SceneConfig, Simulator, Split};
use invispose_models::skeleton::{Keypoints, root};
use invispose_pipeline::events::{Event, EventKind, Evidence, Severity};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::pose::{Keypoint, Person};
use invispose_pipeline::site::{SiteConfig, ZoneConfig};
use invispose_pipeline::understanding::{
    ActivityConfig, ActivityWatch, FallConfig, FallWatch, ZoneRules, Zones,
};
use invispose_pipeline::{PoseFrame, Provenance, SourceKind};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const HOP: i64 = SECOND / 20;

fn site() -> SiteConfig {
    let square = |id: &str, x: f32| ZoneConfig {
        id: id.into(),
        polygon_m: vec![[x, 0.0], [x + 2.0, 0.0], [x + 2.0, 2.0], [x, 2.0]],
        ..ZoneConfig::default()
    };
    SiteConfig {
        id: "lab".into(),
        room_m: [6.0, 5.0, 2.7],
        zones: vec![square("left", 0.0), square("right", 3.0)],
        ..SiteConfig::default()
    }
}

fn person(id: u64, at: [f32; 2]) -> Person {
    Person {
        id,
        confidence: 0.9,
        position_m: [at[0], at[1], 0.9],
        velocity_m_s: [0.0; 3],
        keypoints: [Keypoint::default(); 17],
        activity: None,
        zone: None,
        breathing: None,
    }
}

fn frame(time_ns: i64, persons: Vec<Person>) -> PoseFrame {
    PoseFrame {
        frame_id: 0,
        site: "lab".into(),
        time_ns,
        processing_ns: 0,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: None,
            calibrated: false,
            experimental: true,
        },
        presence: None,
        breathing: None,
        count: None,
        activity: None,
        persons,
    }
}

fn zones_of(site: &SiteConfig) -> Zones {
    Zones::new(&site.id, FloorPlan::new(&site.zones).unwrap(), ZoneRules::default())
}

/// Feeds places of person 1, 20 a second (`None`: not there); what was told, as (seconds, kind, zone).
fn walk(site: &SiteConfig, places: impl Iterator<Item = Option<[f32; 2]>>) -> Vec<(f64, EventKind, String)> {
    let mut zones = zones_of(site);
    let mut told = Vec::new();
    for (k, place) in places.enumerate() {
        let time = k as i64 * HOP;
        let mut frame = frame(time, place.map(|p| person(1, p)).into_iter().collect());
        zones.frame(&mut frame, site.max_occupancy, &mut |e: Event| {
            let zone = e.place.and_then(|p| p.zone).map_or(String::new(), |z| z.to_string());
            told.push((time as f64 / 1e9, e.kind, zone));
        });
    }
    told
}

#[test]
fn a_walk_through_two_zones() {
    // 1 m/s along x from 1 m to 4 m, then gone.
    let told = walk(&site(), (0..100).map(|k| (k < 60).then_some([1.0 + 0.05 * k as f32, 1.0])));
    let kinds: Vec<(EventKind, &str)> = told.iter().map(|(_, k, z)| (*k, z.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (EventKind::PersonEnteredZone, "left"),
            (EventKind::PersonLeftZone, "left"),
            (EventKind::PersonEnteredZone, "right"),
            (EventKind::PersonLeftZone, "right"),
        ]
    );
}

#[test]
fn the_edge_of_a_zone_makes_no_noise() {
    // To and fro across the edge at x = 2, by 20 cm, five times a second.
    let jitter = |k: i32| 2.0 + 0.2 * (k as f32 * 1.57).sin();
    let told = walk(&site(), (0..1200).map(|k| Some([if k < 20 { 1.0 } else { jitter(k) }, 1.0])));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn zones_change_while_somebody_is_in_them() {
    let before = site().zones;
    let plan = FloorPlan::new(&before).unwrap();
    let mut zones = Zones::new("site", plan.clone(), ZoneRules::default());
    let mut told = Vec::new();
    let mut at = |k: i64| {
        let mut frame = frame(k * HOP, vec![person(1, [1.0, 1.0])]);
        zones.frame(&mut frame, None, &mut |e: Event| {
            told.push((e.kind, e.place.unwrap().zone.unwrap().to_string()));
        });
        (frame.persons[0].zone, std::mem::take(&mut told))
    };
    let came = |zone: &str| vec![(EventKind::PersonEnteredZone, zone.to_owned())];
    (0..20).for_each(|k| drop(at(k)));
    // A zone that moves elsewhere in the list keeps its number and who is in it.
    plan.set(before.iter().rev().cloned().collect()).unwrap();
    assert_eq!(at(20), (Some(0), vec![]));
    let new = ZoneConfig { id: "new".into(), ..before[0].clone() };
    plan.set(vec![new.clone(), before[0].clone()]).unwrap();
    let entered: Vec<_> = (21..40).map(&mut at).collect();
    assert_eq!(entered.iter().flat_map(|(_, told)| told.clone()).collect::<Vec<_>>(), came("new"));
    assert_eq!(entered[18].0, Some(2), "the first of the list");
    plan.set(vec![new]).unwrap();
    assert_eq!(at(40), (Some(2), vec![(EventKind::PersonLeftZone, "left".to_owned())]));
}

#[test]
fn limits_of_zones() {
    let mut site = site();
    site.zones[0].max_dwell_s = Some(10.0);
    site.zones[0].restricted = vec![serde_json::from_str(r#"{"from": "00:00", "to": "00:01"}"#).unwrap()];
    site.zones[0].max_occupancy = Some(0);
    let told = walk(&site, (0..400).map(|_| Some([1.0, 1.0])));
    let find = |kind| told.iter().filter(|(_, k, _)| *k == kind).map(|(t, ..)| *t).collect::<Vec<_>>();
    assert_eq!(find(EventKind::ThresholdExceeded).len(), 1);
    assert!((find(EventKind::ThresholdExceeded)[0] - 10.0).abs() < 0.11);
    assert_eq!(find(EventKind::RestrictedZoneBreach).len(), 1);
    assert_eq!(find(EventKind::HighOccupancy).len(), 1);
    // After the first minute of the day the zone is free for all.
    let late = walk(&site, (0..3000).map(|k| (k > 1400).then_some([1.0, 1.0])));
    assert!(late.iter().all(|(_, k, _)| *k != EventKind::RestrictedZoneBreach), "{late:?}");
}

proptest! {
    /// However people move: each zone is entered and left in turn, and the zone in the frame is one that was entered.
    #[test]
    fn zones_are_entered_before_they_are_left(steps in prop::collection::vec((0.0f32..6.0, 0.0f32..3.0, any::<bool>(), 1usize..30), 1..20)) {
        let mut zones = zones_of(&site());
        let mut inside = [false; 2];
        let mut time = 0;
        for (x, y, there, frames) in steps {
            for _ in 0..frames {
                time += HOP;
                let mut frame = frame(time, there.then(|| person(1, [x, y])).into_iter().collect());
                let mut told = Vec::new();
                zones.frame(&mut frame, None, &mut |e| told.push(e));
                for e in told {
                    let zone = usize::from(e.place.unwrap().zone.unwrap().as_ref() == "right");
                    prop_assert_eq!(inside[zone], e.kind == EventKind::PersonLeftZone);
                    inside[zone] = e.kind == EventKind::PersonEnteredZone;
                }
                let shown = frame.persons.first().and_then(|p| p.zone);
                prop_assert_eq!(shown, inside.iter().position(|i| *i).map(|i| i as u16));
                let count: u32 = zones.occupancy().iter().sum();
                prop_assert_eq!(count, inside.iter().filter(|i| **i).count() as u32);
            }
        }
    }

    /// The distance to a square is that of its definition.
    #[test]
    fn distance_to_a_zone(x in -3.0f32..6.0, y in -3.0f32..6.0) {
        let zone = &site().zones[0];
        let off = |v: f32| (-v).max(v - 2.0).max(0.0);
        prop_assert!((zone.outside_m(x, y) - off(x).hypot(off(y))).abs() < 1e-5);
    }
}

/// A person exactly as the simulator says.
fn as_simulated(pose: &Keypoints, velocity: [f32; 3], confidence: f32) -> Person {
    Person {
        position_m: root(pose),
        velocity_m_s: velocity,
        keypoints: pose.map(|position_m| Keypoint { position_m, confidence }),
        ..person(1, [0.0, 0.0])
    }
}

/// Twenty minutes of one simulated person, frame by frame.
fn simulated(weights: ActivityWeights, mut look: impl FnMut(i64, Person, invispose_models::sim::Activity)) {
    let mut config = SceneConfig::demo();
    config.people = People { count: 1, weights, ..People::default() };
    let mut simulator = Simulator::new(&config, Split::Validation.seed(5)).unwrap();
    let mut before: Option<[f32; 3]> = None;
    for k in 0..20 * 60 * 20 {
        let truth = simulator.people_at(f64::from(k) * 0.05).swap_remove(0);
        let at = root(&truth.keypoints);
        let velocity = before.map_or([0.0; 3], |b| std::array::from_fn(|i| (at[i] - b[i]) * 20.0));
        before = Some(at);
        look(i64::from(k) * HOP, as_simulated(&truth.keypoints, velocity, 0.9), truth.activity);
    }
}

#[test]
fn true_poses_tell_what_people_do() {
    let mut watch = ActivityWatch::new(ActivityConfig::default());
    let mut right: std::collections::BTreeMap<&str, (u32, u32)> = Default::default();
    simulated(ActivityWeights::default(), |time, person, truth| {
        let mut persons = [person];
        watch.frame(time, &mut persons);
        let (hits, all) = right.entry(truth.name()).or_default();
        *hits += u32::from(persons[0].activity.is_some_and(|a| a as u8 == truth as u8));
        *all += 1;
    });
    for (activity, (hits, all)) in &right {
        let share = f64::from(*hits) / f64::from(*all);
        // A fall takes 0.9 s, and begins slowly.
        let least = match *activity {
            "falling" => 0.2,
            "walking" => 0.4,
            _ => 0.6,
        };
        assert!(share > least, "{activity}: {share:.2} of {all}");
    }
}

#[test]
fn a_faded_pose_says_nothing() {
    let mut activities = ActivityWatch::new(ActivityConfig::default());
    let mut falls = FallWatch::new(FallConfig::default());
    simulated(ActivityWeights { fall: 20.0, ..ActivityWeights::default() }, |time, mut person, _| {
        person.keypoints.iter_mut().for_each(|k| k.confidence = 0.1);
        let mut persons = [person];
        assert!(activities.frame(time, &mut persons).is_empty() && persons[0].activity.is_none());
        let frame = frame(time, persons.to_vec());
        falls.frame(&frame, &|kind, _| Event::new(kind, time), &mut |e| panic!("{e:?}"));
    });
}

/// Hips that go from standing to `low` within `takes` seconds, stay for `stays` seconds and come up again; what is told.
fn drop_to(low: f32, takes: f64, stays: f64) -> Vec<(EventKind, Severity)> {
    let mut config = SceneConfig::demo();
    config.people.count = 1;
    let mut simulator = Simulator::new(&config, Split::Validation.seed(5)).unwrap();
    let standing = simulator.people_at(0.0).swap_remove(0).keypoints;
    let top = root(&standing)[2];
    let mut watch = FallWatch::new(FallConfig::default());
    let mut told = Vec::new();
    let total = 5.0 + takes + stays + 5.0;
    for k in 0..(total * 20.0) as i64 {
        let t = k as f64 / 20.0 - 5.0;
        let down = (t / takes).clamp(0.0, 1.0).min(((takes + stays + 2.0 - t) / 2.0).clamp(0.0, 1.0));
        let by = (top - low) * down as f32;
        // The hips move, the lengths of the legs stay.
        let mut person = as_simulated(&standing, [0.0; 3], 0.9);
        person.position_m[2] -= by;
        let frame = frame(k * HOP, vec![person]);
        let of = |kind, _: &Person| Event::new(kind, frame.time_ns);
        watch.frame(&frame, &of, &mut |e| {
            assert!(matches!(e.evidence, Evidence::Fall { descent_m, .. } if descent_m > 0.3));
            told.push((e.kind, e.severity));
        });
    }
    told
}

#[test]
fn what_is_a_fall_and_what_is_none() {
    let fell = (EventKind::FallDetected, Severity::Medium);
    let up = (EventKind::FallRecovered, Severity::Info);
    assert_eq!(drop_to(0.12, 0.8, 6.0), [fell, up]);
    assert_eq!(drop_to(0.12, 0.8, 20.0), [fell, (EventKind::FallDetected, Severity::High), up]);
    assert!(drop_to(0.12, 0.8, 0.5).is_empty(), "up at once");
    assert!(drop_to(0.12, 4.0, 20.0).is_empty(), "lies down slowly");
    assert!(drop_to(0.6, 0.8, 20.0).is_empty(), "onto a bed");
    assert!(drop_to(0.45, 0.8, 20.0).is_empty(), "onto a chair");
}
