//! The whole pipeline with cleanup and the network on one GPU, which is lost on the way.

use crossbeam_channel::bounded;
use invispose_models::predictor::{Compute, DeviceChoice, LoadError, Predictor, Weights};
use invispose_pipeline::events::{EventKind, Monitor, MonitorConfig};
use invispose_pipeline::pipeline::SiteSetup;
use invispose_pipeline::sources::{self, SourceSpec, SpecKind};
use invispose_pipeline::stages::inference::NetworkModel;
use invispose_pipeline::{Health, PipelineBuilder, PoseFrame};

const URI: &str = "sim:demo?people=1&seed=5&speed=max&seconds=12";

/// All frames of a simulated site; `after` is told how many have come.
fn run(compute: &Compute, mut after: impl FnMut(usize)) -> (Vec<PoseFrame>, Health) {
    let spec: SourceSpec = URI.parse().unwrap();
    let SpecKind::Sim(sim) = &spec.kind else { panic!("{URI} is simulated") };
    let site = sources::sim::site(sim, "demo").unwrap();
    let setup =
        SiteSetup { calibrated: true, ..SiteSetup::new(site, vec![(URI.into(), spec.open().unwrap())]) };
    let predictor = Predictor::load_on(&Weights::Shipped, compute.clone()).unwrap();
    let health = Health::default();
    // Nothing waits here: the loss comes while windows are on their way.
    let (to, received) = bounded(0);
    let mut builder = PipelineBuilder::new(health.clone())
        .site(setup)
        .model(Box::new(NetworkModel::new(predictor)))
        .frames_to(to);
    if let Some(gpu) = compute.gpu() {
        builder = builder.gpu(gpu.clone());
    }
    let pipeline = builder.start().unwrap();
    let mut frames = Vec::new();
    for frame in received {
        frames.push(frame);
        after(frames.len());
    }
    pipeline.join();
    (frames, health)
}

#[test]
fn a_gpu_lost_under_the_pipeline_costs_no_frame() {
    let gpu = match Compute::open(DeviceChoice::Software) {
        Ok(gpu) => gpu,
        Err(LoadError::Device { reason, .. }) if std::env::var("REQUIRE_GPU").as_deref() != Ok("1") => {
            println!("skipped: {reason}");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    // Twelve seconds of people behind eight of the empty room, twenty frames a second.
    const LOST_AT: usize = 300;
    let (frames, health) = run(&gpu, |n| {
        if n == LOST_AT {
            gpu.gpu().unwrap().device().destroy();
        }
    });
    assert!(frames.len() > 390, "{} frames", frames.len());
    let ids: Vec<u64> = frames.iter().map(|f| f.frame_id).collect();
    assert_eq!(ids, (1..=frames.len() as u64).collect::<Vec<_>>());
    // The last frame only says that there are no more.
    for pair in frames[..frames.len() - 1].windows(2) {
        // 50 ms are two or three steps of the network's 20 ms grid; a missing frame makes five.
        let step_ns = pair[1].time_ns - pair[0].time_ns;
        assert!((1..=60_000_000).contains(&step_ns), "{step_ns} ns: a frame is missing");
    }
    let shown = |frames: &[PoseFrame]| frames.iter().filter(|f| !f.persons.is_empty()).count();
    assert!(shown(&frames[LOST_AT - 60..LOST_AT]) > 30, "nobody was there before the loss");
    assert!(shown(&frames[LOST_AT + 20..LOST_AT + 80]) > 30, "nobody was there after the loss");
    // Nobody jumps because another device answers.
    for pair in frames[LOST_AT - 20..LOST_AT + 40].windows(2) {
        let [Some(a), Some(b)] = [&pair[0], &pair[1]].map(|f| f.persons.first()) else { continue };
        if a.id == b.id {
            let moved: f32 = (0..3).map(|i| (a.position_m[i] - b.position_m[i]).powi(2)).sum();
            assert!(moved.sqrt() < 0.3, "{} m in one frame", moved.sqrt());
        }
    }
    assert_eq!(health.device().as_deref(), Some("cpu (flex)"));
    let faults = health.faults();
    assert!(faults.values().any(|f| f.contains("goes on on the CPU")), "{faults:?}");
    let mut told = Vec::new();
    Monitor::new(health, MonitorConfig::default()).look(1, &mut |event| told.push(event));
    let told: Vec<_> = told.iter().map(|event| (event.kind, event.subject.as_deref())).collect();
    assert_eq!(told, [(EventKind::SystemError, Some("device"))]);
}
