//! Breathing through assembly, cleanup and presence: a synthetic room with one moving path.
#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use invispose_pipeline::health::SourceStats;
use invispose_pipeline::pose::{Breathing, Keypoint, Presence};
use invispose_pipeline::site::LinkConfig;
use invispose_pipeline::sources::Packet;
use invispose_pipeline::stages::assembly::{Assembler, AssemblyConfig};
use invispose_pipeline::stages::cleanup::Cleanup;
use invispose_pipeline::stages::presence::{PresenceConfig, PresenceDetector};
use invispose_pipeline::understanding::{BreathRules, BreathWatch};
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, Person, SourceKind};

const START_NS: i64 = 1_700_000_000_000_000_000;
const LINK: Layout = Layout::new(1, 1, 30);
const PACKETS_HZ: f64 = 50.0;
const WAVELENGTH_M: f64 = 0.057;

struct Chain {
    assembler: Assembler,
    cleanup: Cleanup,
    detector: PresenceDetector,
    account: Arc<SourceStats>,
    packets: u32,
    noise: u64,
}

impl Chain {
    fn new() -> Self {
        let config = AssemblyConfig { hop: Duration::from_millis(500), ..Default::default() };
        Self {
            assembler: Assembler::new("lab", SourceKind::Replay, config),
            cleanup: Cleanup::new(),
            detector: PresenceDetector::new(PresenceConfig::default(), None),
            account: Arc::new(SourceStats::new("test", SourceKind::Replay)),
            packets: 0,
            noise: 1,
        }
    }

    /// −1..1 (a 64-bit linear congruential generator, Knuth's constants).
    fn random(&mut self) -> f32 {
        self.noise =
            self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// So many seconds of a room in which one path has the length that `extra_m` says for each second; a packet in
    /// `lose` is lost.
    fn run(
        &mut self,
        seconds: f64,
        lose: u32,
        extra_m: impl Fn(f64) -> f64,
    ) -> Vec<(Option<Presence>, Option<Breathing>)> {
        let mut said = Vec::new();
        for _ in 0..(seconds * PACKETS_HZ) as usize {
            let at = f64::from(self.packets) / PACKETS_HZ;
            self.packets += 1;
            let turn = TAU * (8.0 + extra_m(at)) / WAVELENGTH_M;
            let csi = (0..LINK.values())
                .map(|k| {
                    let k = k as f32;
                    let path = Complex32::from_polar(0.15, (turn % TAU) as f32 + 0.4 * k);
                    let noise = Complex32::new(self.random(), self.random()) * 0.01;
                    (Complex32::from_polar(1.0, 0.1 * k) + path + noise) * 20.0
                })
                .collect();
            if lose > 0 && self.packets.is_multiple_of(lose) {
                continue;
            }
            let time_ns = START_NS + (at * 1e9) as i64;
            let frame = CsiFrame { time_ns, ..CsiFrame::new(LinkId::new("a"), LINK, csi) };
            let packet = Packet { frame, arrived: Instant::now(), account: self.account.clone() };
            let (cleanup, detector) = (&mut self.cleanup, &mut self.detector);
            self.assembler.push(packet, &mut |w| {
                let observed = detector.run(cleanup.run(w));
                said.push((observed.presence, observed.breathing));
            });
        }
        said
    }
}

fn chest(bpm: f64) -> impl Fn(f64) -> f64 {
    move |at| 0.005 * (TAU * bpm / 60.0 * at).sin()
}

#[test]
fn who_keeps_still_is_there_and_breathes() {
    for (bpm, lose) in [(11.0, 0), (17.0, 4), (24.0, 0)] {
        let mut chain = Chain::new();
        let early = chain.run(29.0, lose, chest(bpm));
        assert!(early.iter().all(|(_, b)| b.is_none()), "a rate before half a minute was heard");
        let late = chain.run(10.0, lose, chest(bpm));
        let (presence, breathing) = *late.last().unwrap();
        let breathing = breathing.unwrap();
        assert!((f64::from(breathing.rate_bpm) - bpm).abs() < 0.6, "{bpm}: {breathing:?}");
        assert!(presence.is_some_and(|p| p.present), "{presence:?}");
    }
}

#[test]
fn an_empty_room_does_not_breathe() {
    let said = Chain::new().run(60.0, 3, |_| 0.0);
    assert!(said.iter().all(|(p, b)| b.is_none() && p.is_none_or(|p| !p.present)));
    assert!(said.last().unwrap().0.is_some(), "presence was never learned");
}

#[test]
fn silence_ends_the_rate() {
    let mut chain = Chain::new();
    assert!(chain.run(36.0, 0, chest(15.0)).last().unwrap().1.is_some());
    chain.packets += (20.0 * PACKETS_HZ) as u32;
    // The windows of before the silence come out first.
    assert!(chain.run(20.0, 0, chest(15.0)).iter().skip(8).all(|(_, b)| b.is_none()));
}

#[test]
fn who_walks_has_no_rate() {
    let mut chain = Chain::new();
    assert!(chain.run(36.0, 0, chest(15.0)).last().unwrap().1.is_some());
    let walk = |at: f64| 1.1 * (at - 36.0) + 0.3 * (TAU * 1.8 * at).sin();
    let said = chain.run(8.0, 0, walk);
    // Two seconds of movement, two to the next look, one half of a window.
    assert!(said.iter().skip(10).all(|(_, b)| b.is_none()), "{said:?}");
}

/// The places of links and people say whose breath a link hears, and say nothing where two sit together or somebody has just sat down.
#[test]
fn a_link_s_breath_is_that_of_whom_it_hears_alone() {
    let link =
        |id: &str, receiver_m| LinkConfig { id: id.into(), transmitter_m: [0.3, 0.3, 1.2], receiver_m };
    let links = vec![link("north", [0.4, 4.6, 1.4]), link("south", [4.6, 0.4, 1.4])];
    let person = |id, x, y| Person {
        id,
        confidence: 0.9,
        position_m: [x, y, 0.45],
        velocity_m_s: [0.0; 3],
        keypoints: [Keypoint::default(); 17],
        activity: None,
        zone: None,
        breathing: None,
    };
    let rate = |id: &str, rate_bpm| (LinkId::new(id), Breathing { rate_bpm, quality: 0.6 });
    let breaths = [rate("north", 18.6), rate("south", 13.2), rate("elsewhere", 9.0)];
    let after = |people: [Person; 2], seconds: i64| -> Vec<Option<f32>> {
        let mut watch = BreathWatch::new(links.clone(), BreathRules::default());
        let mut now = people.to_vec();
        for second in 0..=seconds {
            now = people.to_vec();
            watch.frame(START_NS + second * 1_000_000_000, &mut now, &breaths);
        }
        now.iter().map(|p| p.breathing.map(|b| b.rate_bpm)).collect()
    };
    let apart = || [person(1, 2.6, 0.6), person(2, 0.6, 2.6)];
    assert_eq!(after(apart(), 31), [Some(13.2), Some(18.6)]);
    assert_eq!(after(apart(), 10), [None, None]);
    assert_eq!(after([person(1, 0.6, 2.6), person(2, 0.6, 2.6)], 31), [None, None]);
}
