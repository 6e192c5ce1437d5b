//! The simulator against closed forms, and its promises about people.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::f64::consts::{PI, TAU};

use invispose_kernels::Complex32;
use invispose_models::sim::{
    Activity, ActivityWeights, Faults, Material, Node, Packet, Randomisation, Room, SceneConfig, Simulator,
    Split, Subcarriers, for_each_scene,
};
use invispose_models::skeleton::{bone_lengths, distance, heading, root};
use proptest::prelude::*;

const C: f64 = 299_792_458.0;

fn node(name: &str, position_m: [f32; 3]) -> Node {
    Node { name: name.into(), position_m, antennas: 1, axis_deg: 0.0, spacing_m: None }
}

/// Two antennas in a hall that absorbs everything, 5.32 GHz, no people, no faults.
fn anechoic(tx: [f32; 3], rx: [f32; 3]) -> SceneConfig {
    let mut c = SceneConfig::demo();
    c.room = Room::plain([40.0, 40.0, 20.0], Material::Absorber);
    c.transmitters = vec![node("a", tx)];
    c.receivers = vec![node("b", rx)];
    c.people.count = 0;
    c.faults = Faults::none();
    c
}

fn gap(a: [f32; 3], b: [f32; 3]) -> f64 {
    (0..3).map(|i| f64::from(a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
}

fn wave(metres: f64, hz: f64) -> Complex32 {
    let (s, c) = (-TAU * hz * metres / C).sin_cos();
    Complex32::new(c as f32, s as f32)
}

fn packets(config: &SceneConfig, seed: u64, to_s: f64) -> Vec<Packet> {
    Simulator::new(config, seed).unwrap().packets(0.0, to_s).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Friis: |h| = λ/(4πd); path length: phase -2πfd/c at every subcarrier.
    #[test]
    fn free_space(x in 3.0f32..39.0, y in 3.0f32..39.0, z in 0.1f32..19.0) {
        let (tx, rx) = ([1.0, 1.0, 1.0], [x, y, z]);
        let config = anechoic(tx, rx);
        let s = Simulator::new(&config, 0).unwrap();
        let d = gap(tx, rx);
        let wavelength = C / config.radio.carrier_hz;
        for (h, k) in s.empty_room(0).iter().zip(s.subcarrier_indices()) {
            let f = config.radio.carrier_hz + 312_500.0 * f64::from(k);
            let expected = wave(d, f) * (wavelength / (4.0 * PI * d)) as f32;
            prop_assert!((h - expected).norm() < 2e-3 * expected.norm(), "{h} {expected}");
        }
    }

    /// Line of sight plus the floor's image; a perfect conductor reflects a vertical field with +1.
    #[test]
    fn two_ray(range in 2.0f32..35.0, h1 in 0.5f32..3.0, h2 in 0.5f32..3.0) {
        let (tx, rx) = ([1.0, 20.0, h1], [1.0 + range, 20.0, h2]);
        let mut config = anechoic(tx, rx);
        config.room.surfaces[4] = Material::Metal;
        let s = Simulator::new(&config, 0).unwrap();
        let wavelength = C / config.radio.carrier_hz;
        let (d, r) = (gap(tx, rx), gap([1.0, 20.0, -h1], rx));
        for (h, k) in s.empty_room(0).iter().zip(s.subcarrier_indices()) {
            let f = config.radio.carrier_hz + 312_500.0 * f64::from(k);
            let ray = |m: f64| wave(m, f) * (wavelength / (4.0 * PI * m)) as f32;
            let expected = ray(d) + ray(r);
            prop_assert!((h - expected).norm() < 0.01 * ray(d).norm(), "{h} {expected}");
        }
    }

    /// Whatever the room and the seed: joints inside, bones constant, nothing faster than a falling head.
    #[test]
    fn people_are_possible(seed in any::<u64>(), scene in any::<u64>()) {
        let config = SceneConfig::random(scene, &Randomisation::default());
        let mut s = Simulator::new(&config, seed).unwrap();
        let size = config.room.size_m;
        let first: Vec<_> = s.people_at(0.0).iter().map(|p| bone_lengths(&p.keypoints)).collect();
        prop_assert_eq!(first.len(), config.people.count);
        let start = (seed % 1000) as f64;
        let mut before = s.people_at(start);
        for i in 1..1500 {
            let now = s.people_at(start + f64::from(i) * 0.02);
            for (p, q) in now.iter().zip(&before) {
                for (k, was) in p.keypoints.iter().zip(&q.keypoints) {
                    for axis in 0..3 {
                        prop_assert!((0.0..=size[axis]).contains(&k[axis]), "{:?} leaves the room: {k:?}", p.activity);
                    }
                    let speed = distance(*k, *was) / 0.02;
                    prop_assert!(speed < 9.0, "{:?}: {speed} m/s", p.activity);
                }
                for (l, l0) in bone_lengths(&p.keypoints).iter().zip(&first[p.person]) {
                    prop_assert!((l - l0).abs() < 2e-3, "{:?}: bone {l0} became {l}", p.activity);
                }
            }
            before = now;
        }
    }

    /// Any scene drawn at random is one that can be simulated, and survives its own TOML.
    #[test]
    fn random_scenes_are_valid(seed in any::<u64>()) {
        let config = SceneConfig::random(seed, &Randomisation::default());
        config.check().unwrap();
        prop_assert_eq!(&config, &SceneConfig::random(seed, &Randomisation::default()));
        let text = toml::to_string(&config).unwrap();
        prop_assert_eq!(SceneConfig::from_toml(&text).unwrap(), config.clone());
        config.with_moved_furniture(seed).check().unwrap();
    }

    #[test]
    fn splits_never_share_a_seed(a in 0u64..1 << 62, b in 0u64..1 << 62) {
        let all = [Split::Train, Split::Validation, Split::Test];
        for s in all {
            prop_assert_eq!(Split::of(s.seed(a)), Some(s));
            for t in all {
                prop_assert_eq!(s.seed(a) == t.seed(b), s == t && a == b);
            }
        }
    }
}

/// The ankle of the standing foot moves only while its heel comes off the ground.
#[test]
fn a_standing_foot_stays_where_it_is() {
    let mut config = SceneConfig::demo();
    // Long ways, so that most steps are neither the first nor the last.
    config.room = Room::plain([25.0, 25.0, 3.0], Material::Brick);
    config.people.count = 1;
    config.people.weights = ActivityWeights { walk: 1.0, ..only_standing() };
    let mut s = Simulator::new(&config, 3).unwrap();
    let mut slower_foot = Vec::new();
    for i in 0..6000 {
        let t = f64::from(i) * 0.01;
        let (a, b) = (s.people_at(t).remove(0), s.people_at(t + 0.01).remove(0));
        let moved = |k: usize| distance(a.keypoints[k], b.keypoints[k]) / 0.01;
        // On the way, not starting, stopping or turning.
        if a.activity == Activity::Walking && moved(11) > 0.5 {
            slower_foot.push(moved(15).min(moved(16)));
            let (s, c) = a.heading_rad.sin_cos();
            let ahead = |from: [f32; 3], to: [f32; 3]| (to[0] - from[0]) * c + (to[1] - from[1]) * s;
            assert!(ahead(root(&a.keypoints), root(&b.keypoints)) > 0.0, "people walk where they face");
            assert!(ahead(a.keypoints[3], a.keypoints[0]) > 0.0, "and look there");
            let off = (heading(&a.keypoints) - a.heading_rad).sin().abs();
            assert!(off < 0.5, "{off}");
        }
    }
    slower_foot.sort_by(f32::total_cmp);
    let at = |share: f32| slower_foot[(slower_foot.len() as f32 * share) as usize];
    assert!(slower_foot.len() > 1000);
    assert!(at(0.5) < 0.1 && at(0.8) < 0.6, "{} {} m/s", at(0.5), at(0.8));
}

fn only_standing() -> ActivityWeights {
    ActivityWeights { walk: 0.0, stand: 1.0, wave: 0.0, sit: 0.0, lie: 0.0, fall: 0.0, squat: 0.0 }
}

#[test]
fn every_activity_happens_and_looks_like_its_name() {
    let config = SceneConfig::demo();
    let mut seen = [0usize; 7];
    for seed in 0..12 {
        let mut s = Simulator::new(&config, seed).unwrap();
        for i in 0..2400 {
            for p in s.people_at(f64::from(i) * 0.1) {
                seen[p.activity as usize] += 1;
                let head = p.keypoints[0][2];
                if matches!(p.activity, Activity::Walking | Activity::Waving) {
                    assert!(head > 1.2, "{:?} with the nose at {head}", p.activity);
                }
            }
        }
    }
    assert!(Activity::ALL.iter().all(|a| seen[*a as usize] > 20), "{seen:?}");
}

#[test]
fn an_empty_scene_is_the_empty_room() {
    let mut config = SceneConfig::demo();
    config.people.count = 0;
    let mut s = Simulator::new(&config, 5).unwrap();
    for link in 0..3 {
        for t in [0.0, 1.7, 300.0] {
            let now = s.ideal(link, t);
            assert_eq!(now, s.empty_room(link));
        }
    }
    assert!(s.people_at(1.0).is_empty());
}

#[test]
fn absent_people_leave_no_trace_and_come_back() {
    let mut config = SceneConfig::demo();
    config.people.absent_s = vec![[2.0, 4.0]];
    let mut s = Simulator::new(&config, 5).unwrap();
    assert_eq!((s.people_at(1.0).len(), s.people_at(3.0).len(), s.people_at(4.0).len()), (2, 0, 2));
    let away = s.ideal(1, 3.0);
    assert_eq!(away, s.empty_room(1));
    let there = s.ideal(1, 1.0);
    assert_ne!(there, s.empty_room(1));
}

#[test]
fn the_same_seed_gives_the_same_bits_in_any_order_and_on_any_number_of_threads() {
    let config = SceneConfig::demo();
    let whole = packets(&config, 9, 1.0);
    assert_eq!(whole, packets(&config, 9, 1.0));
    assert_ne!(whole, packets(&config, 10, 1.0));
    let mut s = Simulator::new(&config, 9).unwrap();
    let late: Vec<_> = s.packets(0.5, 1.0).collect();
    let early: Vec<_> = s.packets(0.0, 0.5).collect();
    assert_eq!(whole, [early, late].concat());
    let scenes: Vec<_> = (7..11).map(|i| (config.clone(), i)).collect();
    let together = for_each_scene(&scenes, |_, mut s| s.packets(0.0, 1.0).collect::<Vec<_>>()).unwrap();
    assert_eq!(together[2], whole);
}

#[test]
fn packets_come_in_order_and_losses_leave_gaps() {
    let mut config = SceneConfig::demo();
    config.faults.loss = 0.2;
    config.faults.jitter_s = 0.002;
    let all = packets(&config, 1, 20.0);
    let expected = 20.0 * 100.0 * 3.0 * 0.8;
    assert!((all.len() as f64 - expected).abs() < 0.03 * expected, "{}", all.len());
    assert!(all.windows(2).all(|w| w[0].t_s <= w[1].t_s));
    for link in 0..3 {
        let own: Vec<_> = all.iter().filter(|p| p.link == link).collect();
        assert!(own.windows(2).all(|w| w[0].sequence < w[1].sequence));
        assert!(own.iter().any(|p| (p.t_s - f64::from(p.sequence) * 0.01).abs() > 0.001));
    }
}

fn still(faults: Faults) -> SceneConfig {
    SceneConfig { faults, ..anechoic([10.0, 10.0, 1.0], [14.0, 13.0, 1.5]) }
}

#[test]
fn without_faults_a_packet_is_the_channel() {
    let config = still(Faults::none());
    let s = Simulator::new(&config, 0).unwrap();
    for p in packets(&config, 0, 0.2) {
        assert_eq!(p.noise_dbm, None);
        for (a, b) in p.csi.iter().zip(s.empty_room(0)) {
            assert!((a - b).norm() < 1e-5 * b.norm());
        }
    }
}

#[test]
fn timing_offset_is_a_line_over_subcarriers_and_carrier_offset_a_common_phase() {
    let config = still(Faults { sto_ns: 40.0, cfo_hz: 300.0, ..Faults::none() });
    let s = Simulator::new(&config, 4).unwrap();
    let index = s.subcarrier_indices();
    let mut delays = Vec::new();
    let mut commons = Vec::new();
    for p in packets(&config, 4, 4.0) {
        let ratio: Vec<Complex32> = p.csi.iter().zip(s.empty_room(0)).map(|(a, b)| a / b).collect();
        // Two tones two steps apart give the delay; every other tone must lie on the line.
        let step = (ratio[1] / ratio[0]).arg() / f32::from(index[1] - index[0]);
        let base = ratio[0].arg() - step * f32::from(index[0]);
        for (r, k) in ratio.iter().zip(&index) {
            let line = base + step * f32::from(*k);
            let off = (*r * Complex32::from_polar(1.0, -line)).arg();
            assert!(off.abs() < 0.02 && (r.norm() - 1.0).abs() < 1e-3, "{off}");
        }
        delays.push(f64::from(-step) / TAU / 312_500.0 * 1e9);
        commons.push((p.t_s, base));
    }
    let sd = (delays.iter().map(|d| d * d).sum::<f64>() / delays.len() as f64).sqrt();
    assert!((30.0..50.0).contains(&sd), "{sd} ns");
    // The common phase turns at one constant rate.
    let turn = |w: &[(f64, f32)]| Complex32::from_polar(1.0, w[1].1 - w[0].1);
    let first = turn(&commons[..2]);
    assert!(commons.windows(2).all(|w| (turn(w) / first).arg().abs() < 0.05));
    assert!(first.arg().abs() > 1e-3);
}

#[test]
fn sampling_offset_drifts_the_delay_within_a_sample() {
    let config = still(Faults { sfo_ppm: 0.05, ..Faults::none() });
    let s = Simulator::new(&config, 2).unwrap();
    let index = s.subcarrier_indices();
    let delays: Vec<f64> = packets(&config, 2, 60.0)
        .iter()
        .map(|p| {
            let r = |i: usize| p.csi[i] / s.empty_room(0)[i];
            f64::from(-(r(1) / r(0)).arg() / f32::from(index[1] - index[0])) / TAU / 312_500.0 * 1e9
        })
        .collect();
    let most = delays.iter().fold(0.0f64, |m, d| m.max(d.abs()));
    assert!(most > 5.0 && most < 25.5, "{most} ns of a sample of 50 ns");
    let slope = delays[1] - delays[0];
    let jumps = delays.windows(2).filter(|w| (w[1] - w[0] - slope).abs() > 1.0).count();
    assert!(jumps < delays.len() / 10, "{jumps}");
}

#[test]
fn noise_has_the_stated_power() {
    for snr in [5.0f32, 15.0, 30.0] {
        let config = still(Faults { snr_db: Some(snr), ..Faults::none() });
        let s = Simulator::new(&config, 0).unwrap();
        let (mut signal, mut noise) = (0.0f64, 0.0f64);
        for p in packets(&config, 0, 10.0) {
            for (a, b) in p.csi.iter().zip(s.empty_room(0)) {
                signal += f64::from(b.norm_sqr());
                noise += f64::from((a - b).norm_sqr());
            }
        }
        let measured = 10.0 * (signal / noise).log10();
        assert!((measured - f64::from(snr)).abs() < 0.2, "{measured} for {snr}");
    }
}

#[test]
fn quantised_values_are_whole_numbers_within_the_device_s_range() {
    for bits in [8u8, 10, 16] {
        let mut config = SceneConfig::demo();
        config.faults.quantisation_bits = Some(bits);
        let full = f32::from((1u16 << (bits - 1)) - 1);
        let mut largest = 0.0f32;
        for v in packets(&config, 0, 1.0).iter().flat_map(|p| &p.csi) {
            for x in [v.re, v.im] {
                assert!(x.fract() == 0.0 && x <= full && x >= -full - 1.0);
                largest = largest.max(x.abs());
            }
        }
        assert!(largest > full * 0.3, "{largest} of {full}");
    }
}

#[test]
fn gain_control_steps_and_keeps_the_shape() {
    let config = still(Faults { agc_step_db: 1.0, agc_miss: 0.3, ..Faults::none() });
    let s = Simulator::new(&config, 0).unwrap();
    let gains: Vec<f32> = packets(&config, 0, 1.0)
        .iter()
        .map(|p| {
            let g = |i: usize| 20.0 * (p.csi[i] / s.empty_room(0)[i]).norm().log10();
            assert!((g(0) - g(29)).abs() < 1e-3);
            g(0)
        })
        .collect();
    for g in &gains {
        let steps = g - gains[0];
        assert!((steps - steps.round()).abs() < 1e-2, "{steps}");
    }
    assert!(gains.iter().any(|g| (g - gains[0]).abs() > 0.5));
}

#[test]
fn antennas_keep_their_phase_until_the_loops_lock_anew() {
    let mut config = still(Faults { antenna_phase: true, ..Faults::none() });
    config.receivers[0].antennas = 3;
    let between = |p: &Packet| (p.csi[30] / p.csi[0]).arg();
    let all = packets(&config, 1, 10.0);
    assert!(all.iter().all(|p| (between(p) - between(&all[0])).abs() < 1e-3));
    config.faults.pll_jumps_per_s = 1.0;
    let jumps = packets(&config, 1, 10.0)
        .windows(2)
        .filter(|w| (between(&w[1]) - between(&w[0])).abs() > 1e-3)
        .count();
    assert!((7..=11).contains(&jumps), "{jumps}");
}

/// A plane wave from far away arrives at neighbouring antennas half a wavelength apart with phase π sin θ.
#[test]
fn an_array_sees_the_angle_of_arrival() {
    for angle in [0.0f32, 0.4, 1.0, -0.7] {
        let (rx, range) = ([20.0, 4.0, 1.0], 16.0f32);
        let tx = [20.0 + range * angle.sin(), 4.0 + range * angle.cos(), 1.0];
        let mut config = anechoic(tx, rx);
        config.receivers[0].antennas = 2;
        let s = Simulator::new(&config, 0).unwrap();
        let h = s.empty_room(0);
        let expected = Complex32::from_polar(1.0, std::f32::consts::PI * angle.sin());
        assert!((h[30] / h[0] / expected).arg().abs() < 0.03, "{angle}");
    }
}

#[test]
fn a_person_in_the_way_weakens_the_line_of_sight() {
    let mut config = SceneConfig::demo();
    config.room = Room::plain([6.0, 6.0, 3.0], Material::Absorber);
    config.room.clearance_m = [2.7, 2.7, 2.7, 2.7];
    config.transmitters = vec![node("a", [0.2, 3.0, 1.1])];
    config.receivers = vec![node("b", [5.8, 3.0, 1.1])];
    config.people.count = 1;
    config.people.weights = only_standing();
    let mut s = Simulator::new(&config, 0).unwrap();
    let db =
        |h: &[Complex32]| 10.0 * (h.iter().map(Complex32::norm_sqr).sum::<f32>() / h.len() as f32).log10();
    let open = db(s.empty_room(0));
    let mut losses: Vec<f32> = (0..400).map(|i| open - db(&s.ideal(0, f64::from(i) * 0.5))).collect();
    losses.sort_by(f32::total_cmp);
    let median = losses[losses.len() / 2];
    assert!((3.0..25.0).contains(&median), "{median} dB");
}

#[test]
fn layouts_have_the_documented_numbers_of_tones() {
    for (s, n, last) in [
        (Subcarriers::Intel5300, 30, 28),
        (Subcarriers::Intel5300Ht40, 30, 58),
        (Subcarriers::Ht20, 56, 28),
        (Subcarriers::Ht40, 114, 58),
        (Subcarriers::Esp32, 64, 31),
        (Subcarriers::Vht80, 242, 122),
        (Subcarriers::Vht160, 484, 250),
    ] {
        let i = s.indices();
        assert!(i.len() == n && i.last() == Some(&last) && i.windows(2).all(|w| w[0] < w[1]), "{s:?}");
        let mut config = SceneConfig::demo();
        config.radio.subcarriers = s;
        let p = packets(&config, 0, 0.05);
        assert_eq!(p[0].csi.len(), 3 * n);
    }
}

#[test]
fn wrong_configurations_are_refused_by_name() {
    let wrong = |change: fn(&mut SceneConfig), field: &str| {
        let mut c = SceneConfig::demo();
        change(&mut c);
        let error = Simulator::new(&c, 0).err().unwrap().to_string();
        assert!(error.contains(field), "{error}");
    };
    wrong(|c| c.room.size_m[0] = f32::NAN, "room.size_m");
    wrong(|c| c.room.clearance_m[0] = 9.0, "room.clearance_m");
    wrong(|c| c.receivers.clear(), "receivers");
    wrong(|c| c.transmitters[0].position_m[2] = 5.0, "transmitters");
    wrong(|c| c.people.count = 99, "people.count");
    wrong(|c| c.faults.quantisation_bits = Some(40), "faults");
    wrong(|c| c.radio.subcarriers = Subcarriers::List(vec![]), "subcarriers");
    let error = SceneConfig::from_toml("room = 3").unwrap_err().to_string();
    assert!(error.contains("room"), "{error}");
}

/// People disturb the channel, they do not drown it: the echo of a body lies 5 to 40 dB below the empty room.
#[test]
fn echoes_are_weaker_than_the_room() {
    let mut config = SceneConfig::demo();
    config.people.count = 1;
    for seed in 0..4 {
        let mut s = Simulator::new(&config, seed).unwrap();
        for link in 0..3 {
            let (mut change, mut room) = (0.0f32, 0.0f32);
            for i in 0..50 {
                let now = s.ideal(link, f64::from(i) * 0.7);
                for (a, b) in now.iter().zip(s.empty_room(link)) {
                    change += (a - b).norm_sqr();
                    room += b.norm_sqr();
                }
            }
            let db = 10.0 * (change / room).log10();
            assert!((-40.0..-5.0).contains(&db), "{db} dB");
        }
    }
}
