//! The stages through their public interfaces: scripted packets, no clocks but the packets' own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use invispose_kernels::grid::{self, MISSING};
use invispose_pipeline::health::{Health, SourceStats};
use invispose_pipeline::signal::SignalWatch;
use invispose_pipeline::sources::Packet;
use invispose_pipeline::stages::assembly::{Assembler, AssemblyConfig, CsiWindow};
use invispose_pipeline::stages::calibration::{CalibrationError, Calibrations, Progress};
use invispose_pipeline::stages::cleanup::{CleanWindow, Cleanup};
use invispose_pipeline::stages::presence::{PresenceConfig, PresenceDetector};
use invispose_pipeline::stages::site_presence::SitePresence;
use invispose_pipeline::{Complex32, CsiFrame, Layout, LinkId, SourceKind};
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;

fn account() -> Arc<SourceStats> {
    Arc::new(SourceStats::new("test", SourceKind::Replay))
}

fn frame(link: &str, layout: Layout, time_ns: i64, value: f32) -> CsiFrame {
    let csi = (0..layout.values()).map(|i| Complex32::new(value, i as f32)).collect();
    CsiFrame { time_ns, ..CsiFrame::new(LinkId::new(link), layout, csi) }
}

fn packet(frame: CsiFrame, account: &Arc<SourceStats>) -> Packet {
    Packet { frame, arrived: Instant::now(), account: account.clone() }
}

const SMALL: Layout = Layout::new(1, 1, 2);

/// All windows of these packets, without the times of arrival, which are the machine's.
fn windows(frames: impl IntoIterator<Item = CsiFrame>, account: &Arc<SourceStats>) -> Vec<CsiWindow> {
    let mut assembler = Assembler::new("lab", SourceKind::Replay, AssemblyConfig::default());
    let mut out = Vec::new();
    let mut emit = |w: CsiWindow| out.push(CsiWindow { arrived: None, ..w });
    for f in frames {
        assembler.push(packet(f, account), &mut emit);
    }
    assembler.finish(&mut emit);
    out
}

fn booked(account: &SourceStats) -> u64 {
    account.accepted.get() + account.rejected().values().sum::<u64>() + account.dropped.get()
}

/// Packets of two links at irregular times, some of them twice.
fn schedule() -> impl Strategy<Value = Vec<CsiFrame>> {
    prop::collection::vec((0i64..25 * MS, 0u8..4, prop::bool::weighted(0.1)), 30..150).prop_map(|steps| {
        let mut time = START;
        let mut frames = Vec::new();
        for (k, (step, which, twice)) in steps.into_iter().enumerate() {
            time += step;
            let layout = if which == 3 { Layout::new(1, 1, 3) } else { SMALL };
            let mut f = frame(if which % 2 == 0 { "a" } else { "b" }, layout, time, k as f32);
            f.sequence = Some(k as u32);
            frames.push(f.clone());
            if twice {
                frames.push(f);
            }
        }
        frames
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Packets that come out of order by no more than is allowed for give the same windows.
    #[test]
    fn order_of_arrival_does_not_matter(
        frames in schedule(),
        delays in prop::collection::vec(0i64..20 * MS, 300),
    ) {
        let expected = windows(frames.clone(), &account());
        let mut late: Vec<(i64, CsiFrame)> =
            frames.into_iter().zip(delays).map(|(f, d)| (f.time_ns + d, f)).collect();
        late.sort_by_key(|(arrival, _)| *arrival);
        let books = account();
        let count = late.len() as u64;
        let got = windows(late.into_iter().map(|(_, f)| f), &books);
        prop_assert_eq!(booked(&books), count);
        prop_assert!(!books.rejected().contains_key("late"));
        prop_assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(&expected) {
            prop_assert_eq!(g, e);
        }
    }

    /// The mask is true exactly where a packet is nearest, as the kernels' own search over all packets says.
    #[test]
    fn the_mask_is_where_packets_were(frames in schedule()) {
        for window in windows(frames.clone(), &account()) {
            for link in &window.links {
                let of_link: Vec<&CsiFrame> =
                    frames.iter().filter(|f| f.link == link.link && f.layout == link.layout).collect();
                let times: Vec<i64> = of_link.iter().map(|f| f.time_ns).collect();
                let mut source = vec![MISSING; window.grid.steps];
                grid::nearest(&window.grid, &times, &mut source);
                for (step, &index) in source.iter().enumerate() {
                    prop_assert_eq!(link.received[step], index != MISSING);
                    let values = link.layout.values();
                    let row = &link.csi[step * values..(step + 1) * values];
                    match of_link.get(index as usize) {
                        // Of two packets as near as each other either may be taken.
                        Some(f) => {
                            let t = window.grid.time_ns(step);
                            let distance = f.time_ns.abs_diff(t);
                            prop_assert!(of_link.iter().any(|o| o.time_ns.abs_diff(t) == distance && o.csi == row));
                        }
                        None => prop_assert!(row.iter().all(|v| *v == Complex32::ZERO)),
                    }
                }
            }
        }
    }

    /// Whatever the times, every packet is booked, windows are finite in number, and their times rise between resets.
    #[test]
    fn no_times_do_harm(times in prop::collection::vec(prop_oneof![
        3 => START..START + 3_000 * MS,
        1 => any::<i64>(),
        1 => (0i64..100).prop_map(|k| START + 86_400_000 * MS + k * 10 * MS),
    ], 1..200)) {
        let books = account();
        let got = windows(times.iter().map(|&t| frame("a", SMALL, t, 1.0)), &books);
        prop_assert_eq!(booked(&books), times.len() as u64);
        prop_assert!(got.len() <= 500 * (times.len() + 1), "{} windows", got.len());
        for pair in got.windows(2) {
            prop_assert!(pair[1].reset || pair[1].last || pair[0].grid.end_ns < pair[1].grid.end_ns);
        }
    }
}

#[test]
fn windows_come_every_hop_and_hold_the_last_two_seconds() {
    let got = windows((0..500).map(|k| frame("a", SMALL, START + k * 10 * MS, k as f32)), &account());
    assert!(got[0].reset && got[1..].iter().all(|w| !w.reset));
    let ends: Vec<i64> = got.iter().map(|w| w.grid.end_ns).collect();
    let mean = (ends[90] - ends[10]) as f64 / 80.0 / 1e6;
    assert_eq!(mean, 50.0);
    let full = &got[60];
    assert_eq!((full.grid.steps, full.links.len(), full.known_links, full.fresh_links), (100, 1, 1, 1));
    assert!(full.links[0].received.iter().all(|r| *r));
    assert!(got.last().unwrap().last && got.last().unwrap().links.is_empty());
}

#[test]
fn layouts_of_one_link_are_kept_apart() {
    let layouts = [Layout::new(1, 1, 2), Layout::new(1, 1, 4), Layout::new(1, 2, 2)];
    let frames = (0..600).map(|k| frame("a", layouts[k as usize % 3], START + k * 10 * MS, 1.0));
    let window = windows(frames, &account()).remove(50);
    assert_eq!(
        window.links.iter().map(|l| l.layout).collect::<Vec<_>>(),
        [layouts[0], layouts[1], layouts[2]]
    );
    assert_eq!((window.known_links, window.fresh_links), (1, 1));
}

#[test]
fn a_clock_that_jumps_is_followed_and_a_single_stray_is_not() {
    let hour = 3_600_000 * MS;
    let run = |from: i64| (0..200).map(move |k| frame("a", SMALL, from + k * 10 * MS, 1.0));
    for jump in [hour, -hour] {
        let books = account();
        let got = windows(run(START).chain(run(START + jump)), &books);
        assert_eq!((books.accepted.get(), books.rejected().len()), (400, 0), "jump {jump}");
        assert_eq!(got.iter().filter(|w| w.reset).count(), 2);
        assert!(got.iter().any(|w| w.grid.end_ns == START + jump + 1000 * MS));
        assert!(got.len() < 120, "{} windows", got.len());

        let books = account();
        let stray = std::iter::once(frame("a", SMALL, START + jump, 9.0));
        let got = windows(run(START).chain(stray).chain(run(START + 2000 * MS)), &books);
        assert_eq!(books.rejected().get("clock_jump"), Some(&1));
        assert_eq!(got.iter().filter(|w| w.reset).count(), 1);
    }
}

#[test]
fn a_silent_site_says_so() {
    let mut assembler = Assembler::new("lab", SourceKind::Live, AssemblyConfig::default());
    let mut out = Vec::new();
    let mut emit = |w: CsiWindow| out.push(w);
    assembler.idle(START, &mut emit);
    assembler.idle(START + 1000 * MS, &mut emit);
    let books = account();
    for k in 0..100 {
        assembler.push(packet(frame("a", SMALL, START + 1000 * MS + k * 10 * MS, 1.0), &books), &mut emit);
    }
    for k in 0..200 {
        assembler.idle(START + 2000 * MS + k * 50 * MS, &mut emit);
    }
    assert!(out.iter().take(15).all(|w| w.links.is_empty() && w.arrived.is_none()));
    let last = out.last().unwrap();
    assert!(last.links.is_empty() && last.fresh_links == 0);
    assert_eq!(last.known_links, 1, "a link that fell silent is still one of the site's links");
    assert!(out.windows(2).all(|w| w[1].grid.end_ns > w[0].grid.end_ns));
    // A laptop that slept for a day does not make up for it.
    let before = out.len();
    let mut more = Vec::new();
    assembler.idle(START + 86_400_000 * MS, &mut |w| more.push(w));
    assert!(before > 200 && more.len() < 10, "{before} and {}", more.len());
}

#[test]
fn thousands_of_links_stay_within_bounds() {
    let config = AssemblyConfig { max_streams: 1000, ..AssemblyConfig::default() };
    let mut assembler = Assembler::new("lab", SourceKind::Live, config);
    let books = account();
    let mut most = 0;
    for k in 0..5000i64 {
        let name = format!("node-{k}");
        let f = frame(&name, SMALL, START + k * MS / 10, 1.0);
        assembler.push(packet(f, &books), &mut |w| most = most.max(w.links.len()));
    }
    assert_eq!(books.accepted.get(), 1000);
    assert_eq!(books.rejected().get("too_many_links"), Some(&4000));
    assert!(most <= 1000);

    let config = AssemblyConfig { max_values: 100_000, ..AssemblyConfig::default() };
    let mut assembler = Assembler::new("lab", SourceKind::Live, config);
    let books = account();
    for k in 0..100 {
        let f = frame(&format!("node-{k}"), Layout::new(1, 1, 256), START + k, 1.0);
        assembler.push(packet(f, &books), &mut |_| {});
    }
    assert_eq!(books.accepted.get(), 3, "three windows of 100 steps of 256 values fit");
    // Room is given back when links fall silent.
    assembler.idle(START + 5_000 * MS, &mut |_| {});
    assembler
        .push(packet(frame("late", Layout::new(1, 1, 256), START + 5_000 * MS, 1.0), &books), &mut |_| {});
    assert_eq!(books.accepted.get(), 4);
}

/// White noise in −1..1 (a 64-bit linear congruential generator, Knuth's constants).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// A room with one link of three antennas: a fixed channel, noise, and, while `moving`, a path that changes its length.
struct Room {
    noise: Noise,
    gain: f32,
    time: i64,
    /// Strength of a wall's reflection.
    wall: f32,
    /// Strength of the path that changes its length.
    path: f32,
}

const LINK: Layout = Layout::new(1, 3, 20);
/// A path that varies by somewhat more than the quiet room and by less than counts as somebody.
const STILL: f32 = 0.009;

impl Room {
    fn new(seed: u64) -> Self {
        Self { noise: Noise(seed), gain: 10.0, time: START, wall: 0.0, path: 0.3 }
    }

    fn packet(&mut self, moving: bool) -> CsiFrame {
        self.time += 10 * MS;
        let phase = std::f32::consts::PI * self.noise.next();
        let seconds = ((self.time - START) as f64 / 1e9) as f32;
        let csi = (0..LINK.values())
            .map(|i| {
                let (rx, k) = ((i / 20) as f32, (i % 20) as f32);
                let fixed = Complex32::from_polar(1.0, 0.3 * k + rx);
                let path = Complex32::from_polar(self.path, 25.0 * seconds + 0.1 * k + 2.2 * rx);
                let noise = Complex32::new(self.noise.next(), self.noise.next()) * 0.04;
                let fixed = fixed + Complex32::from_polar(self.wall, 0.9 * k - rx);
                let sum = if moving { fixed + path } else { fixed };
                (sum + noise) * Complex32::from_polar(self.gain, phase)
            })
            .collect();
        CsiFrame { time_ns: self.time, ..CsiFrame::new(LinkId::new("a"), LINK, csi) }
    }
}

struct Chain {
    assembler: Assembler,
    cleanup: Cleanup,
    detector: PresenceDetector,
    books: Arc<SourceStats>,
}

impl Chain {
    fn new() -> Self {
        Self {
            assembler: Assembler::new("lab", SourceKind::Replay, AssemblyConfig::default()),
            cleanup: Cleanup::new(),
            detector: PresenceDetector::new(PresenceConfig::default(), None),
            books: account(),
        }
    }

    /// What presence says in each window that the packet completes.
    fn push(&mut self, f: CsiFrame) -> Vec<Option<bool>> {
        let mut windows = Vec::new();
        self.assembler.push(packet(f, &self.books), &mut |w| windows.push(w));
        windows
            .into_iter()
            .map(|w| self.detector.run(self.cleanup.run(w)).presence.map(|p| p.present))
            .collect()
    }

    fn run(&mut self, room: &mut Room, seconds: f64, moving: bool) -> Vec<Option<bool>> {
        (0..(seconds * 100.0) as usize).flat_map(|_| self.push(room.packet(moving))).collect()
    }
}

#[test]
fn presence_learns_the_quiet_room_and_sees_who_comes_and_goes() {
    let (mut chain, mut room) = (Chain::new(), Room::new(1));
    let learning = chain.run(&mut room, 10.0, false);
    assert_eq!(learning.first(), Some(&None), "something was said before anything was learned");
    assert_eq!(learning.last(), Some(&Some(false)));
    assert!(!learning.contains(&Some(true)));
    let moving = chain.run(&mut room, 5.0, true);
    assert_eq!(moving.last(), Some(&Some(true)));
    let gone = chain.run(&mut room, 10.0, false);
    assert_eq!(gone.last(), Some(&Some(false)));
}

#[test]
fn who_keeps_still_now_and_then_does_not_become_the_quiet_room() {
    let (mut chain, mut room) = (Chain::new(), Room::new(5));
    chain.run(&mut room, 10.0, false);
    let level = |chain: &Chain| chain.detector.knowledge()[0].quiet_level.unwrap();
    let quiet = level(&chain);
    let mut unseen = 0;
    for _ in 0..10 {
        room.path = 0.3;
        chain.run(&mut room, 4.0, true);
        // Less than counts as somebody, more than the quiet room has.
        room.path = STILL;
        unseen += chain.run(&mut room, 20.0, true).iter().filter(|said| **said == Some(false)).count();
    }
    assert!(unseen > 1000, "{unseen}");
    assert!(level(&chain) < 1.05 * quiet, "{} after {quiet}", level(&chain));
    // An empty room is learned from once it was quiet for long enough.
    let known = |chain: &Chain| chain.detector.knowledge()[0].time_ns.unwrap();
    let before = known(&chain);
    chain.run(&mut room, 80.0, false);
    let behind_s = (room.time - known(&chain)) / (1000 * MS);
    assert!(known(&chain) > before && (30..40).contains(&behind_s), "{behind_s} s behind");
}

#[test]
fn steps_of_the_gain_and_lost_packets_are_nobody() {
    let (mut chain, mut room) = (Chain::new(), Room::new(2));
    chain.run(&mut room, 8.0, false);
    let mut dice = Noise(3);
    let mut said = Vec::new();
    for k in 0..6000 {
        room.gain = if (k / 170) % 2 == 0 { 10.0 } else { 25.0 };
        let f = room.packet(false);
        // Losses in bursts and one by one, a third of all.
        if dice.next() > -0.3 && (k / 40) % 9 != 0 {
            said.extend(chain.push(f));
        }
    }
    assert!(
        said.len() > 1000 && said.iter().all(|p| *p == Some(false)),
        "{:?}",
        said.iter().position(|p| *p != Some(false))
    );
}

#[test]
fn a_room_in_motion_from_the_start_is_not_taken_for_quiet() {
    let (mut chain, mut room) = (Chain::new(), Room::new(4));
    let moving = chain.run(&mut room, 20.0, true);
    assert!(!moving.contains(&Some(false)));
    assert_eq!(moving.last(), Some(&Some(true)));
    assert!(chain.detector.baseline().links.is_empty(), "motion was learned as quiet");
    let quiet = chain.run(&mut room, 12.0, false);
    assert_eq!(quiet.last(), Some(&Some(false)));
}

#[test]
fn what_was_learned_serves_again() {
    let (mut chain, mut room) = (Chain::new(), Room::new(5));
    chain.run(&mut room, 8.0, false);
    let learned = chain.detector.baseline();
    assert_eq!(learned.links.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("baseline.json");
    learned.save(&path).unwrap();
    let loaded = invispose_pipeline::stages::baseline::Baseline::load(&path).unwrap().unwrap();
    assert_eq!(loaded, learned);
    let mut again = Chain::new();
    again.detector = PresenceDetector::new(PresenceConfig::default(), Some(&loaded));
    // Shorter than a new link needs to settle: its channel shows that it is the same.
    let said = again.run(&mut room, 1.0, false);
    assert_eq!(said.last(), Some(&Some(false)), "it kept silent");
    assert!(again.detector.knowledge()[0].holds);
    std::fs::write(&path, "{\"version\":1,\"links\":[],\"colour\":2}").unwrap();
    let error = invispose_pipeline::stages::baseline::Baseline::load(&path).unwrap_err().to_string();
    assert!(error.contains("colour") && error.contains("baseline.json"), "{error}");
}

#[test]
fn what_was_learned_elsewhere_is_given_up() {
    let (mut chain, mut room) = (Chain::new(), Room::new(6));
    room.wall = 0.3;
    chain.run(&mut room, 8.0, false);
    let learned = chain.detector.baseline();
    let begun = || {
        let mut again = Chain::new();
        again.detector = PresenceDetector::new(PresenceConfig::default(), Some(&learned));
        again
    };
    // Somebody moved the node: nothing is said of a room that is not this one, until this one is learned.
    let mut again = begun();
    let mut moved = Room { wall: -0.5, ..Room::new(7) };
    let said = again.run(&mut moved, 14.0, false);
    assert!(said[..said.len() / 2].iter().all(Option::is_none), "{said:?}");
    assert_eq!(said.last(), Some(&Some(false)));
    let known = again.detector.knowledge();
    assert!(
        known[0].holds && known[0].dropped.as_ref().is_some_and(|why| why.contains("similarity")),
        "{known:?}"
    );
    // The link speaks another layout.
    let mut again = begun();
    let layout = Layout::new(1, 2, 20);
    let other = |f: CsiFrame| CsiFrame { layout, csi: f.csi[..layout.values()].to_vec(), ..f };
    let said: Vec<_> = (0..1000).flat_map(|_| again.push(other(room.packet(false)))).collect();
    assert_eq!(said.last(), Some(&Some(false)));
    let links = again.detector.baseline().links;
    assert_eq!(links.iter().map(|l| l.layout).collect::<Vec<_>>(), [layout]);
}

#[test]
fn a_node_that_comes_back_is_known_by_its_channel() {
    let (mut chain, mut room) = (Chain::new(), Room::new(8));
    room.wall = 0.3;
    chain.run(&mut room, 8.0, false);
    room.time += 20_000 * MS;
    let said = chain.run(&mut room, 1.0, false);
    assert_eq!(said.last(), Some(&Some(false)));
}

#[test]
fn calibration_learns_a_quiet_room_and_no_other() {
    let site: Arc<str> = "lab".into();
    let mut builder = Chain::new();
    let mut room = Room::new(9);
    for moving in [false, true] {
        let calibrations = Calibrations::default();
        let config = PresenceConfig::default();
        let presence = SitePresence::new(config, None, None, calibrations.clone(), SignalWatch::default());
        let mut sites = HashMap::from([(site.clone(), presence)]);
        assert!(matches!(calibrations.begin("lab", 12.0), Err(CalibrationError::NoSource(_))));
        calibrations.open(site.clone());
        assert_eq!(calibrations.begin("lab", 1.0), Err(CalibrationError::Seconds));
        calibrations.begin("lab", 12.0).unwrap();
        assert_eq!(calibrations.begin("lab", 12.0), Err(CalibrationError::Busy));
        for _ in 0..1400 {
            let mut windows = Vec::new();
            builder.assembler.push(packet(room.packet(moving), &builder.books), &mut |w| windows.push(w));
            for window in windows {
                SitePresence::run(&mut sites, builder.cleanup.run(window), &Health::default());
            }
        }
        let shown = calibrations.of("lab").unwrap();
        match shown.progress {
            Progress::Done { links: 1, .. } if !moving => assert!(shown.links[0].quiet_level.is_some()),
            Progress::Refused { reason, .. } if moving => assert!(reason.contains("not quiet"), "{reason}"),
            other => panic!("{moving}: {other:?}"),
        }
    }
}

/// The same windows cleaned one after the other and each from scratch.
#[test]
fn cleaning_step_by_step_is_cleaning_at_once() {
    let mut room = Room::new(6);
    let frames: Vec<CsiFrame> =
        (0..700).map(|k| room.packet(k > 300)).filter(|f| f.time_ns / MS % 70 != 0).collect();
    let all = windows(frames, &account());
    let mut stepwise = Cleanup::new();
    for (k, window) in all.into_iter().enumerate() {
        let got = stepwise.run(window.clone());
        if k < 45 || k % 20 != 0 {
            continue;
        }
        let fresh: CleanWindow = Cleanup::new().run(window);
        for (a, b) in got.links.iter().zip(&fresh.links) {
            assert_eq!(a.columns, b.columns);
            assert_eq!(a.phase, b.phase);
            assert_eq!(a.ratio, b.ratio);
            assert_eq!(a.motion, b.motion);
            // The first steps of a window have lost the neighbours that the filter had when they were new.
            assert_eq!(a.amplitude[10 * 60..], b.amplitude[10 * 60..]);
        }
    }
}

#[test]
fn gain_and_clock_faults_are_not_in_the_features() {
    let base = Room::new(7).packet(false);
    let clean = |gain: f32, offset: f32, slope: f32| {
        let csi = base.csi.iter().enumerate();
        let csi =
            csi.map(|(i, v)| v * Complex32::from_polar(gain, offset + slope * (i % 20) as f32)).collect();
        let mut assembler = Assembler::new("lab", SourceKind::Replay, AssemblyConfig::default());
        let mut out = None;
        let f = CsiFrame { csi, ..base.clone() };
        assembler.push(packet(f, &account()), &mut |_| {});
        assembler.idle(base.time_ns + 60 * MS, &mut |w| out = out.take().or(Some(w)));
        Cleanup::new().run(out.unwrap()).links.remove(0)
    };
    let plain = clean(1.0, 0.0, 0.0);
    let faulty = clean(37.0, 2.0, -0.2);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near(&plain.amplitude, &faulty.amplitude));
    assert!(near(&plain.phase, &faulty.phase));
    assert!(plain.ratio.iter().zip(&faulty.ratio).all(|(a, b)| (a - b).norm() < 1e-4));
    assert!(plain.ratio.iter().any(|r| r.norm() > 0.5));
}

#[test]
fn a_moving_path_shows_at_its_doppler_frequency() {
    let mut room = Room::new(8);
    let all = windows((0..400).map(|_| room.packet(true)), &account());
    let link = Cleanup::new().run(all[60].clone()).links.remove(0);
    let bins = link.doppler.len();
    assert_eq!(bins, 50);
    let peak = (0..bins).max_by(|&a, &b| link.doppler[a].total_cmp(&link.doppler[b])).unwrap();
    // 25 rad/s are 4 Hz; a bin is 1 Hz wide.
    assert_eq!((peak as f64 - 25.0).abs(), 4.0);
}
