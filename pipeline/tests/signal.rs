//! What a site teaches with recordings of its own: simulated rooms, through assembly, cleanup and presence.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use invispose_models::sim::{ActivityWeights, People, SceneConfig, Simulator, Split};
use invispose_pipeline::evaluation::recordings::{Recording, play};
use invispose_pipeline::pose::{Count, CountBasis, Keypoint, Person};
use invispose_pipeline::signal::{LearnError, SignalConfig, SignalModel, SignalWatch, Task, learn, looks_of};
use invispose_pipeline::stages::assembly::AssemblyConfig;
use invispose_pipeline::stages::baseline::Baseline;
use invispose_pipeline::stages::calibration::QuietRoom;
use invispose_pipeline::stages::presence::{PresenceConfig, PresenceDetector};
use invispose_pipeline::understanding::{CountRules, count};
use invispose_pipeline::{CsiFrame, LinkId};
use proptest::prelude::*;

const NOTHING: ActivityWeights =
    ActivityWeights { walk: 0.0, stand: 0.0, wave: 0.0, sit: 0.0, lie: 0.0, fall: 0.0, squat: 0.0 };

/// So many seconds of a room with one link, 50 packets a second.
fn recorded(people: usize, weights: ActivityWeights, index: u64, seconds: f64) -> Recording {
    let mut scene = SceneConfig::demo();
    scene.radio.packet_hz = 50.0;
    scene.receivers.truncate(1);
    scene.people = People { count: people, weights, ..People::default() };
    let mut simulator = Simulator::new(&scene, Split::Validation.seed(0x516 + index)).unwrap();
    let links: Vec<_> = simulator.links().iter().map(|l| (LinkId::new(l.name.as_str()), l.layout)).collect();
    let tones: Arc<[i16]> = simulator.subcarrier_indices().into();
    // Not from the start, when everybody stands.
    let frames = simulator.packets(4.0, 4.0 + seconds).map(|p| {
        let (link, layout) = links[p.link].clone();
        let time_ns = ((p.t_s - 4.0) * 1e9) as i64;
        CsiFrame { time_ns, subcarrier_index: Some(tones.clone()), ..CsiFrame::new(link, layout, p.csi) }
    });
    Recording { file: format!("{index}"), start_ns: 0, frames: frames.collect() }
}

fn baseline() -> Baseline {
    let mut detector = PresenceDetector::new(PresenceConfig::default(), None);
    let mut room = QuietRoom::new(PresenceConfig::default(), 20.0);
    play(&[&recorded(0, NOTHING, 0, 20.0)], &AssemblyConfig::default(), |_, window| {
        let clean = detector.run(window).clean;
        room.take(&clean, |link, layout| detector.is_settled(link, layout));
    });
    room.finish().unwrap()
}

#[test]
fn a_site_teaches_what_people_do() {
    let walk = ActivityWeights { walk: 1.0, ..NOTHING };
    let wave = ActivityWeights { wave: 1.0, ..NOTHING };
    let of = |label: &str, weights, index| (label.to_owned(), recorded(1, weights, index, 20.0));
    let recordings: Vec<_> =
        (1..4).flat_map(|i| [of("walks about", walk, i), of("waves", wave, 10 + i)]).collect();
    let baseline = baseline();
    let (looks, labelled) = looks_of(&recordings, Some(&baseline)).unwrap();
    assert_eq!((looks.links.len(), looks.profiles.len()), (1, 1));
    let config = SignalConfig::default();
    let model = learn(Task::Activity, &labelled, &looks, 7, &config).unwrap();
    assert_eq!(model.measured.recordings, 6);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lab.activity.json");
    model.save(&path).unwrap();
    let kept = SignalModel::load(&path, Task::Activity).unwrap().unwrap();
    let moment = &labelled[0].looks[0];
    assert!((kept.judge(moment).0[0] - model.judge(moment).0[0]).abs() < 1e-9);
    let other = SignalModel::load(&path, Task::Count).unwrap_err().to_string();
    assert!(other.contains("lab.activity.json") && other.contains("activity, not count"), "{other}");

    // Live, on recordings that it has not seen; and of an empty room it says nothing.
    let said = |recording: &Recording| -> Vec<Option<String>> {
        let mut detector = PresenceDetector::new(PresenceConfig::default(), Some(&baseline));
        let mut watch = SignalWatch::new(config.clone(), vec![model.clone()]);
        let mut said = Vec::new();
        play(&[recording], &AssemblyConfig::default(), |_, window| {
            let answer = watch.run(&detector.run(window));
            said.push(answer.activity.map(|a| a.name.to_string()));
        });
        said
    };
    for (label, weights, index) in [("walks about", walk, 21), ("waves", wave, 22)] {
        let said = said(&recorded(1, weights, index, 20.0));
        let shown = said.iter().flatten().count();
        let right = said.iter().flatten().filter(|name| *name == label).count();
        assert!(
            5 * shown > said.len() && 10 * right > 8 * shown,
            "{label}: {right} of {shown} of {}",
            said.len()
        );
    }
    assert!(said(&recorded(0, NOTHING, 23, 12.0)).iter().all(Option::is_none));

    // Labels that mean nothing are not learned: they are not told apart on recordings that were left out.
    let mut shuffled = labelled.clone();
    for (i, recording) in shuffled.iter_mut().enumerate() {
        recording.label = ["a", "b"][(i / 2) % 2].into();
    }
    shuffled.truncate(4);
    let refused = learn(Task::Activity, &shuffled, &looks, 7, &config).unwrap_err();
    assert!(matches!(refused, LearnError::OneRecording(_) | LearnError::NotEarned { .. }), "{refused}");
    assert_eq!(
        learn(Task::Activity, &labelled[..3], &looks, 7, &config).unwrap_err(),
        LearnError::OneRecording("waves".into())
    );
    assert!(matches!(learn(Task::Count, &labelled, &looks, 7, &config), Err(LearnError::Label { .. })));
}

fn people(confidences: &[f32]) -> Vec<Person> {
    let person = |(&confidence, id): (&f32, u64)| Person {
        id,
        confidence,
        position_m: [0.0; 3],
        velocity_m_s: [0.0; 3],
        keypoints: [Keypoint::default(); 17],
        activity: None,
        zone: None,
        breathing: None,
    };
    confidences.iter().zip(1..).map(person).collect()
}

#[test]
fn counts_worked_by_hand() {
    let sure = CountRules { missed: 0.0 };
    assert_eq!(
        count(&people(&[1.0, 1.0]), true, &sure),
        Count { mean: 2.0, low: 2, high: 2, basis: CountBasis::Tracks }
    );
    // Two coins: 0, 1 or 2 with 1/4, 1/2, 1/4; the signal takes the first away.
    let coins = count(&people(&[0.5, 0.5]), false, &sure);
    assert_eq!((coins.mean, coins.low, coins.high), (1.0, 0, 2));
    let coins = count(&people(&[0.5, 0.5]), true, &sure);
    assert!((coins.mean - 4.0 / 3.0).abs() < 1e-6 && coins.low == 1);
    // One sure person and one in five missed: 0, 1, 2, … others with 0.64, 0.256, 0.0768, …
    let one = count(&people(&[1.0]), true, &CountRules { missed: 0.2 });
    assert!((one.mean - 1.5).abs() < 1e-3, "{one:?}");
    assert_eq!((one.low, one.high), (1, 3));
}

proptest! {
    /// The number shown never leaves the interval, and every doubt widens it.
    #[test]
    fn intervals_hold_the_mean(confidences in prop::collection::vec(0.0f32..=1.0, 0..16), missed in 0.0..0.5) {
        let persons = people(&confidences);
        let sure = count(&persons, false, &CountRules { missed: 0.0 });
        let sum: f32 = confidences.iter().sum();
        prop_assert!((sure.mean - sum).abs() < 1e-3);
        let unsure = count(&persons, false, &CountRules { missed });
        prop_assert!(unsure.mean >= sure.mean - 1e-3 && unsure.high >= sure.high);
        prop_assert!(f32::from(unsure.low) <= unsure.mean + 1.0 && f32::from(unsure.high) + 1.0 >= unsure.mean);
    }
}
