//! The demonstration room, live: the simulator in real time and the whole pipeline with the shipped network, in this process.

#![allow(dead_code)]

use std::path::Path;

use invispose_api::Site;
use invispose_models::predictor::{DeviceChoice, Predictor, Weights};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::pipeline::SiteSetup;
use invispose_pipeline::ring::{RingConfig, RingReader, RingWriter};
use invispose_pipeline::sources::{SourceSpec, SpecKind, sim};
use invispose_pipeline::stages::inference::NetworkModel;
use invispose_pipeline::{Health, PipelineBuilder};

/// One simulated person at the site `demo`, whose ring lies in the folder: what the API serves, frames for whoever reads along, and
/// the pipeline that is yet to start.
pub fn demo(folder: &Path, health: &Health) -> (Site, RingReader, PipelineBuilder) {
    let spec: SourceSpec = "sim:demo?people=1".parse().expect("a source");
    let SpecKind::Sim(scene) = &spec.kind else { unreachable!("a simulated source") };
    let config = sim::site(scene, "demo").expect("the demonstration room");
    let mut ring = RingWriter::open(folder.join("demo.ring"), RingConfig::default()).expect("a ring");
    let floor = FloorPlan::new(&config.zones).expect("usable zones");
    let (site, wake) = Site::new(config.clone(), floor.clone(), ring.reader());
    let reader = ring.reader();
    ring.on_publish(Box::new(move |frame| wake.published(frame)));
    let predictor = Predictor::load(&Weights::Shipped, DeviceChoice::Cpu).expect("the shipped weights");
    predictor.warm_up().expect("a working CPU");
    let sources = vec![(spec.uri.clone(), spec.open().expect("the simulator"))];
    let setup = SiteSetup {
        calibrated: true,
        floor: Some(floor),
        ring: Some(ring),
        ..SiteSetup::new(config, sources)
    };
    let builder =
        PipelineBuilder::new(health.clone()).model(Box::new(NetworkModel::new(predictor))).site(setup);
    (site, reader, builder)
}

/// Quantile of unsorted values; they are sorted.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len().max(1) - 1) as f64 * q) as usize).copied().unwrap_or(f64::NAN)
}
