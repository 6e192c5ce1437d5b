//! The whole pipeline with the demo room's network shows a simulated person where the simulator has them.
#![cfg(feature = "nn")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Sender, unbounded};
use invispose_models::predictor::{DeviceChoice, Predictor, Weights};
use invispose_models::sim::Simulator;
use invispose_models::skeleton::root;
use invispose_pipeline::pipeline::SiteSetup;
use invispose_pipeline::sources::sim::QUIET_S;
use invispose_pipeline::sources::{self, SourceSpec, SpecKind};
use invispose_pipeline::stages::gather::BatchConfig;
use invispose_pipeline::stages::inference::{ModelError, NetworkModel, PoseInput, PoseModel};
use invispose_pipeline::tracking::Observation;
use invispose_pipeline::{Health, PipelineBuilder};

const SECONDS: f64 = 14.0;
const WIDE: &str = "&receivers=5&bandwidth_mhz=160";

/// What was shown of one person.
struct Shown {
    windows: usize,
    /// Windows in which more than one person was shown.
    second: usize,
    /// How far the nearest shown person was from where they were, in order, metres.
    off_m: Vec<f32>,
}

/// Of scenes by these seeds, each a person and a way of their own, and a room of its own where it is random.
fn shown(scene: &str, options: &str, seeds: std::ops::RangeInclusive<u64>) -> Shown {
    let mut shown = Shown { windows: 0, second: 0, off_m: Vec::new() };
    for seed in seeds {
        let room = if scene == "random" { format!("&room={seed}") } else { String::new() };
        let uri = format!("sim:{scene}?people=1&seed={seed}&speed=max&seconds={SECONDS}{room}{options}");
        let spec: SourceSpec = uri.parse().unwrap();
        let SpecKind::Sim(sim) = &spec.kind else { panic!("{uri} is simulated") };
        let site = sources::sim::site(sim, "demo").unwrap();
        let source = (uri.clone(), spec.open().unwrap());
        let weights = Weights::of(sim.place(), &sim.radios).unwrap();
        let predictor = Predictor::load(&weights, DeviceChoice::Cpu).unwrap();
        let (to, frames) = unbounded();
        let builder = PipelineBuilder::new(Health::default())
            .site(SiteSetup { calibrated: true, ..SiteSetup::new(site, vec![source]) })
            .model(Box::new(NetworkModel::new(predictor)))
            .frames_to(to);
        // The source counts from the moment at which it starts; the threads' start is short beside a window.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - QUIET_S;
        builder.start().unwrap().join();

        let mut scene = sources::sim::scene(sim).unwrap();
        scene.people.absent_s.clear();
        let mut truth = Simulator::new(&scene, seed | 3 << 62).unwrap();
        for frame in frames.iter() {
            let t_s = frame.time_ns as f64 * 1e-9 - start;
            // From when the person has been there for a window and the track has begun.
            if !(QUIET_S + 3.0..QUIET_S + SECONDS - 0.2).contains(&t_s) {
                continue;
            }
            shown.windows += 1;
            let there = root(&truth.people_at(t_s)[0].keypoints);
            let off = |p: &[f32; 3]| (p[0] - there[0]).hypot(p[1] - there[1]);
            shown.second += usize::from(frame.persons.len() > 1);
            shown.off_m.extend(frame.persons.iter().map(|p| off(&p.position_m)).min_by(f32::total_cmp));
        }
    }
    shown.off_m.sort_by(f32::total_cmp);
    shown
}

impl Shown {
    /// Off by no more than so much, and more than one person is shown in less than one window in `one_in`.
    fn holds(&self, median_m: f32, most_m: f32, one_in: usize) {
        let (windows, second) = (self.windows, self.second);
        let at = |tenths: usize| self.off_m[self.off_m.len() * tenths / 10];
        let (median, most) = (at(5), at(9));
        println!(
            "off by {median:.2} m (median), {most:.2} m (nine of ten); more than one in {second} of {windows}"
        );
        assert!(self.off_m.len() * 10 > windows * 9, "shown in {} of {windows}", self.off_m.len());
        assert!(second * one_in < windows, "more than one in {second} of {windows}");
        assert!(median < median_m && most < most_m, "{median} m, {most} m");
    }
}

#[test]
fn a_person_is_shown_where_the_simulator_has_them() {
    let shown = shown("demo", "", 1..=24);
    assert!(shown.windows > 24 * 150, "{}", shown.windows);
    shown.holds(0.2, 0.5, 20);
}

#[test]
fn a_person_is_shown_where_the_simulator_has_them_by_wide_radios() {
    let shown = shown("demo", WIDE, 1..=12);
    assert!(shown.windows > 12 * 150, "{}", shown.windows);
    shown.holds(0.2, 0.5, 20);
}

#[test]
fn a_person_is_shown_where_the_simulator_has_them_by_wide_radios_in_rooms_never_seen() {
    let shown = shown("random", WIDE, 1..=24);
    assert!(shown.windows > 24 * 150, "{}", shown.windows);
    shown.holds(0.3, 0.7, 10);
}

type Seen = Vec<Option<Vec<Observation>>>;

/// Looks at every batch at once, again window by window, and again with nothing known of earlier windows.
struct Compared {
    batches: NetworkModel,
    singles: NetworkModel,
    without: Arc<dyn Fn() -> NetworkModel + Send + Sync>,
    to: Sender<[Seen; 3]>,
}

impl PoseModel for Compared {
    fn name(&self) -> Arc<str> {
        self.batches.name()
    }

    fn device(&self) -> String {
        self.batches.device()
    }

    fn predict(&mut self, windows: &[PoseInput<'_>]) -> Result<Seen, ModelError> {
        let seen = self.batches.predict(windows)?;
        let (mut singles, mut without) = (Vec::new(), Vec::new());
        for window in windows {
            singles.extend(self.singles.predict(std::slice::from_ref(window))?);
            without.extend((self.without)().predict(std::slice::from_ref(window))?);
        }
        self.to.send([seen.clone(), singles, without]).unwrap();
        Ok(seen)
    }
}

#[test]
fn what_was_left_of_a_sites_windows_is_known_later_whatever_the_batches() {
    let spec: SourceSpec = format!("sim:demo?people=1&seed=5&speed=max&seconds=12{WIDE}").parse().unwrap();
    let SpecKind::Sim(sim) = &spec.kind else { panic!("{} is simulated", spec.uri) };
    let weights = Weights::of(sim.place(), &sim.radios).unwrap();
    let network = move || NetworkModel::new(Predictor::load(&weights, DeviceChoice::Cpu).unwrap());
    let site = sources::sim::site(sim, "demo").unwrap();
    let setup = SiteSetup {
        calibrated: true,
        ..SiteSetup::new(site, vec![(spec.uri.clone(), spec.open().unwrap())])
    };
    let (to, compared) = unbounded();
    let model = Compared { batches: network(), singles: network(), without: Arc::new(network), to };
    let batch = BatchConfig { windows: 64, wait: Duration::from_secs(60) };
    let (frames_to, frames) = unbounded();
    let builder = PipelineBuilder::new(Health::default()).site(setup).model(Box::new(model)).batch(batch);
    builder.frames_to(frames_to).start().unwrap().join();
    drop(frames);

    let (mut longest, mut windows, mut others) = (0, 0, 0);
    for [batches, singles, without] in compared {
        assert_eq!(batches, singles);
        longest = longest.max(batches.len());
        windows += batches.len();
        others += batches.iter().zip(&without).filter(|(a, b)| a != b).count();
    }
    // Batches longer than a window, and all but the first windows are seen with what came before.
    assert!(longest > 40, "{longest}");
    assert!(windows > 150 && others * 10 > windows * 6, "{others} of {windows}");
}
