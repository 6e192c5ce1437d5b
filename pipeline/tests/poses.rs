//! The whole pipeline with the demo room's network shows a simulated person where the simulator has them.
#![cfg(feature = "nn")]
#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::unbounded;
use invispose_models::predictor::{DeviceChoice, Predictor, Weights};
use invispose_models::sim::{SceneConfig, Simulator};
use invispose_models::skeleton::root;
use invispose_pipeline::pipeline::SiteSetup;
use invispose_pipeline::sources::sim::QUIET_S;
use invispose_pipeline::sources::{self, SourceSpec, SpecKind};
use invispose_pipeline::stages::inference::NetworkModel;
use invispose_pipeline::{Health, PipelineBuilder};

/// Scenes, each a person and a way of their own.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=24;
const SECONDS: f64 = 14.0;

#[test]
fn a_person_is_shown_where_the_simulator_has_them() {
    let (mut windows, mut second, mut off_m) = (0, 0, Vec::new());
    for seed in SEEDS {
        let uri = format!("sim:demo?people=1&seed={seed}&speed=max&seconds={SECONDS}");
        let spec: SourceSpec = uri.parse().unwrap();
        let SpecKind::Sim(sim) = &spec.kind else { panic!("{uri} is simulated") };
        let site = sources::sim::site(sim, "demo").unwrap();
        let source = (uri.clone(), spec.open().unwrap());
        let predictor = Predictor::load(&Weights::DemoRoom, DeviceChoice::Cpu).unwrap();
        let (to, frames) = unbounded();
        let builder = PipelineBuilder::new(Health::default())
            .site(SiteSetup { calibrated: true, ..SiteSetup::new(site, vec![source]) })
            .model(Box::new(NetworkModel::new(predictor)))
            .frames_to(to);
        // The source counts from the moment at which it starts; the threads' start is short beside a window.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - QUIET_S;
        builder.start().unwrap().join();

        let mut scene = SceneConfig::demo();
        scene.people.count = 1;
        let mut truth = Simulator::new(&scene, seed | 3 << 62).unwrap();
        for frame in frames.iter() {
            let t_s = frame.time_ns as f64 * 1e-9 - start;
            // From when the person has been there for a window and the track has begun.
            if !(QUIET_S + 3.0..QUIET_S + SECONDS - 0.2).contains(&t_s) {
                continue;
            }
            windows += 1;
            let there = root(&truth.people_at(t_s)[0].keypoints);
            let off = |p: &[f32; 3]| (p[0] - there[0]).hypot(p[1] - there[1]);
            second += usize::from(frame.persons.len() > 1);
            off_m.extend(frame.persons.iter().map(|p| off(&p.position_m)).min_by(f32::total_cmp));
        }
    }
    off_m.sort_by(f32::total_cmp);
    let (median, most) = (off_m[off_m.len() / 2], off_m[off_m.len() * 9 / 10]);
    println!(
        "off by {median:.2} m (median), {most:.2} m (nine of ten); more than one in {second} of {windows}"
    );
    assert!(windows > 24 * 150 && off_m.len() * 10 > windows * 9, "shown in {} of {windows}", off_m.len());
    assert!(second * 20 < windows, "more than one in {second} of {windows}");
    assert!(median < 0.3 && most < 0.6, "{median} m, {most} m");
}
