//! Plain functions against references and known facts.

use std::f64::consts::{PI, TAU};

use invispose_kernels::{
    Complex32, agc,
    cpu::{self, ATAN2_ERROR, LOG2_ERROR},
    delay::DelayPlan,
    filter::{self, FilterError},
    grid::{self, Grid, MISSING},
    hampel,
    mask::{self, Standard},
    motion,
    music::{Array, MusicPlan},
    pca::PcaPlan,
    phase, ratio,
};
use ndarray::Array2;
use num_complex::Complex64;
use rand::RngExt;

use super::{
    data::{self, SIZES, assert_close},
    reference,
};

#[test]
fn nearest_places_each_packet_once() {
    let grid = Grid { end_ns: 1_000_000, rate_hz: 10_000.0, steps: 5 };
    // Steps at 0.6, 0.7, 0.8, 0.9 and 1.0 ms.
    let times = [0, 590_000, 640_000, 650_000, 660_000, 880_000, 930_000, 1_060_000];
    let mut source = [0; 5];
    assert_eq!(grid::nearest(&grid, &times, &mut source), 3);
    assert_eq!(source, [1, 4, MISSING, 5, MISSING]);
}

#[test]
fn linear_lies_between_its_neighbours() {
    let grid = Grid { end_ns: 1_000, rate_hz: 1e7, steps: 4 };
    let times = [680, 730, 880, 1_040];
    let mut taps = [grid::Tap::NONE; 4];
    assert_eq!(grid::linear(&grid, &times, 155, &mut taps), 4);
    assert_eq!((taps[0].left, taps[0].right, taps[0].weight), (0, 1, 0.4));
    assert_eq!((taps[1].left, taps[1].right), (1, 2));
    // Too far apart for interpolation, but within half a step of one.
    assert_eq!((taps[2].left, taps[2].right, taps[2].weight), (2, 2, 0.0));
    assert_eq!((taps[3].left, taps[3].right, taps[3].weight), (3, 3, 0.0));
    let packets: Vec<Vec<Complex32>> =
        (1..5).map(|i| vec![Complex32::from_polar(i as f32, i as f32); 2]).collect();
    let (mut out, mut received) = (vec![Complex32::ZERO; 8], [false; 4]);
    grid::gather_linear(&taps, 2, |i| &packets[i], &mut out, &mut received);
    assert!((out[0].norm() - 1.4).abs() < 1e-6 && (out[0].arg() - 1.0).abs() < 1e-6);
    assert_eq!(received, [true; 4]);
}

#[test]
fn gather_leaves_zeros_for_what_is_missing() {
    let packets = [vec![Complex32::ONE; 3], vec![Complex32::I; 2]];
    let (mut out, mut received) = (vec![Complex32::I; 9], [true; 3]);
    grid::gather(&[0, MISSING, 1], 3, |i| &packets[i], &mut out, &mut received);
    assert_eq!(received, [true, false, false]);
    assert_eq!(out[..3], packets[0]);
    assert!(out[3..].iter().all(|v| *v == Complex32::ZERO));
}

#[test]
fn standards_have_their_tones() {
    for (standard, tones, pilots) in [
        (Standard::Legacy20, 52, 4),
        (Standard::Ht20, 56, 4),
        (Standard::Ht40, 114, 6),
        (Standard::Vht80, 242, 8),
        (Standard::Vht160, 484, 16),
        (Standard::He20, 242, 8),
        (Standard::He40, 484, 16),
        (Standard::He80, 996, 16),
        (Standard::He160, 1992, 32),
    ] {
        assert_eq!(standard.tones(true).len(), tones, "{standard:?}");
        assert_eq!(standard.tones(false).len(), tones - pilots, "{standard:?}");
        assert!(!standard.is_used(0));
    }
    let index: Vec<i16> = (-32..32).collect();
    let columns = mask::usable_columns(Standard::Ht20, &index, false);
    assert_eq!(columns.len(), 52);
    assert!(!columns.contains(&32) && !columns.contains(&(32 + 7)) && columns.contains(&4));
}

#[test]
fn live_columns_are_those_with_power() {
    assert_eq!(mask::live_columns(&[0.0, 1.0, 2.0, 1e-4, f32::NAN, 1.5], 1e-3), [1, 2, 5]);
    assert_eq!(mask::live_columns(&[0.0; 4], 1e-3), [0u16; 0]);
    let mut out = [0; 4];
    mask::select_columns(&[1, 2, 3, 4, 5, 6], 3, &[0, 2], &mut out);
    assert_eq!(out, [1, 3, 4, 6]);
}

#[test]
fn power_is_scaled_to_one_or_to_the_rssi() {
    let mut x = data::packets(1, 1, 3, &data::index(56));
    let columns: Vec<u16> = (4..50).collect();
    let before = x.clone();
    let factor = agc::normalise(&mut x, 56, &columns);
    assert!((agc::mean_power(&x, 56, &columns) - 1.0).abs() < 1e-5);
    assert!((x[0] - before[0] * factor).norm() < 1e-6);
    agc::scale_to_rssi(&mut x, 56, &columns, -40.0);
    assert!((agc::mean_power(&x, 56, &columns) / 1e-4 - 1.0).abs() < 1e-4);
    let mut dead = vec![Complex32::ZERO; 56];
    assert_eq!(agc::normalise(&mut dead, 56, &[]), 0.0);
}

#[test]
fn fast_functions_keep_their_promise() {
    let mut rng = data::rng(4);
    let (mut x, mut y) = (vec![0.0f32, 0.0, 1.0, -1.0, 3.0], vec![0.0f32, 1.0, 0.0, 0.0, -3.0]);
    for _ in 0..200_000 {
        let scale = 10f32.powf(rng.random_range(-15.0..15.0));
        x.push(rng.random_range(-1.0..1.0f32) * scale);
        y.push(rng.random_range(-1.0..1.0f32) * scale);
    }
    let mut out = vec![0.0; x.len()];
    cpu::atan2_slice(&y, &x, &mut out);
    for ((&x, &y), &got) in x.iter().zip(&y).zip(&out) {
        let error = (f64::from(got) - f64::from(y).atan2(f64::from(x))).abs();
        assert!(error < f64::from(ATAN2_ERROR), "atan2({y}, {x}) = {got}, off by {error:e}");
    }
    let x: Vec<f32> = x.iter().map(|v| v.abs().max(f32::MIN_POSITIVE)).collect();
    cpu::log2_slice(&x, &mut out);
    for (&x, &got) in x.iter().zip(&out) {
        let want = f64::from(x).log2();
        let error = (f64::from(got) - want).abs() / want.abs().max(1.0);
        assert!(error < f64::from(LOG2_ERROR), "log2({x}) = {got}, off by {error:e}");
    }
}

#[test]
fn unwrapping_leaves_no_jump() {
    let want: Vec<f64> = (0..200).map(|k| 0.02 * f64::from(k).powf(1.6) - 40.0).collect();
    let mut got: Vec<f32> = want.iter().map(|&p| phase::wrap(p as f32)).collect();
    phase::unwrap(&mut got);
    let turns = ((want[0] - f64::from(got[0])) / TAU).round() * TAU;
    let want: Vec<f64> = want.iter().map(|p| p - turns).collect();
    assert_close("unwrap", &got, &want, 1e-5);
}

#[test]
fn plain_sanitisation_agrees_with_the_reference() {
    for (seed, n) in (30..).zip(SIZES) {
        let index = data::index(n);
        let k: Vec<f32> = index.iter().map(|&k| f32::from(k)).collect();
        let x = data::packets(seed, 1, 3, &index);
        let h = reference::wide(&x).into_shape_with_order((3, n)).unwrap();
        let mut out = vec![0.0; 3 * n];
        for (h, to) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            phase::sanitise_linear(h, &k, to);
        }
        let want: Vec<f64> = reference::sanitise(&h, &index, false).iter().copied().collect();
        assert_close("linear", &out, &want, 1e-4);
        phase::sanitise_spotfi(&x, &k, &mut out);
        let want: Vec<f64> = reference::sanitise(&h, &index, true).iter().copied().collect();
        assert_close("spotfi", &out, &want, 1e-4);
    }
}

#[test]
fn ratios_agree_with_the_reference() {
    let x = data::packets(6, 1, 2, &data::index(114));
    let (h, r) = x.split_at(114);
    let mut out = vec![Complex32::ZERO; 114];
    ratio::csi_ratio(h, r, 1e-6, &mut out);
    for i in 0..114 {
        assert!((out[i] * r[i] - h[i]).norm() < 1e-3 * h[i].norm());
    }
    ratio::csi_ratio(h, &vec![Complex32::ZERO; 114], 0.0, &mut out);
    assert!(out.iter().all(|v| *v == Complex32::ZERO));
    ratio::conjugate_product(h, r, &mut out);
    assert!((out[7].arg() - phase::wrap(h[7].arg() - r[7].arg())).abs() < 1e-5);
    assert!(ratio::ratio_floor(r, 0.01) > 0.0);
}

#[test]
fn the_steadiest_antenna_is_the_reference() {
    let mut rng = data::rng(8);
    let amplitude: Vec<f32> = (0..50 * 3 * 10)
        .map(|i| 10.0 + [3.0, 0.5, 1.5][i / 10 % 3] * rng.random_range(-1.0..1.0f32))
        .collect();
    assert_eq!(ratio::reference_antenna(&amplitude, 3, 10), Some(1));
    assert_eq!(ratio::reference_antenna(&[], 3, 10), None);
}

#[test]
fn delay_profiles_agree_with_the_sum() {
    for (seed, n) in (60..).zip(SIZES) {
        let index = data::index(n);
        let x = data::packets(seed, 1, 1, &index);
        let h: Vec<Complex64> = reference::wide(&x).to_vec();
        let mut plan = DelayPlan::contiguous(n);
        let mut power = vec![0.0; n];
        plan.run(&x, &mut power);
        assert_close("contiguous", &power, &reference::delay(&h, None, n), 1e-5);
        let fft = (2 * n).next_power_of_two();
        let mut plan = DelayPlan::indexed(fft, &index);
        let mut power = vec![0.0; plan.len()];
        plan.run(&x, &mut power);
        assert_close("indexed", &power, &reference::delay(&h, Some(&index), fft), 1e-5);
    }
}

#[test]
fn a_path_shows_at_its_delay() {
    let index: Vec<i16> = (-122i16..=122).filter(|k| k.abs() > 1).collect();
    let x: Vec<Complex32> = index
        .iter()
        .map(|&k| Complex32::from_polar(1.0, (-TAU * f64::from(k) * 37.0 / 256.0) as f32))
        .collect();
    let mut plan = DelayPlan::indexed(256, &index);
    let mut power = vec![0.0; 256];
    plan.run(&x, &mut power);
    assert_eq!((0..256).max_by(|&a, &b| power[a].total_cmp(&power[b])), Some(37));
}

#[test]
fn hampel_blocks_are_their_columns() {
    let mut rng = data::rng(2);
    let mut x: Vec<f32> = (0..60 * 5).map(|_| rng.random_range(0.0..1.0)).collect();
    x[17 * 5 + 2] = 90.0;
    let want: Vec<Vec<f64>> = (0..5)
        .map(|s| {
            let column: Vec<f64> = x.iter().skip(s).step_by(5).map(|&v| f64::from(v)).collect();
            reference::hampel(&column, 4, 3.0)
        })
        .collect();
    let n = hampel::hampel_block(&mut x, 5, 4, 3.0, &mut [0.0; 60], &mut [0.0; 60], &mut [0.0; 9]);
    assert!(n >= 1);
    for (s, want) in want.iter().enumerate() {
        let got: Vec<f32> = x.iter().skip(s).step_by(5).copied().collect();
        assert_close("column", &got, want, 1e-6);
    }
}

#[test]
fn filters_refuse_bands_that_do_not_fit() {
    for (low, high, rate) in [(0.0, 1.0, 10.0), (2.0, 1.0, 10.0), (1.0, 5.0, 10.0), (1.0, f64::NAN, 10.0)] {
        assert!(matches!(filter::butterworth_bandpass(2, low, high, rate), Err(FilterError::Band { .. })));
    }
    assert_eq!(filter::butterworth_bandpass(0, 1.0, 2.0, 10.0), Err(FilterError::Order(0)));
}

#[test]
fn zero_phase_filtering_delays_nothing() {
    let sections = filter::butterworth_bandpass(2, 0.1, 0.6, 20.0).unwrap();
    let mut state = vec![[0.0; 2]; sections.len()];
    let clean: Vec<f32> = (0..2000).map(|t| (TAU * 0.25 * f64::from(t) / 20.0).sin() as f32).collect();
    let mut x: Vec<f32> = clean.iter().enumerate().map(|(t, v)| v + 5.0 + 0.01 * t as f32).collect();
    filter::detrend_linear(&mut x);
    filter::filter_zero_phase(&sections, &mut state, &mut x);
    for t in 500..1500 {
        assert!((x[t] - clean[t]).abs() < 0.05, "{t}: {} {}", x[t], clean[t]);
    }
}

#[test]
fn detrending_takes_the_line() {
    let mut x: Vec<f32> = (0..101).map(|t| 7.0 - 0.3 * t as f32).collect();
    filter::detrend_linear(&mut x);
    assert!(x.iter().all(|v| v.abs() < 1e-5));
    let mut x = [1.0, 2.0, 6.0];
    filter::detrend_mean(&mut x);
    assert_eq!(x, [-2.0, -1.0, 3.0]);
}

#[test]
fn motion_tells_movement_from_noise() {
    let mut rng = data::rng(12);
    let all = vec![true; 300];
    let quiet: Vec<f32> = (0..300 * 20).map(|_| 10.0 + rng.random_range(-0.1..0.1f32)).collect();
    let moving: Vec<f32> = (0..300 * 20)
        .map(|i| 10.0 + (0.1 * (i / 20) as f32 + (i % 20) as f32).sin() + quiet[i] * 0.01)
        .collect();
    let wide = |x: &[f32]| Array2::from_shape_fn((300, 20), |(t, s)| f64::from(x[t * 20 + s]));
    let (still, walk) = (
        motion::autocorrelation(&quiet, 20, &all).unwrap(),
        motion::autocorrelation(&moving, 20, &all).unwrap(),
    );
    assert!((f64::from(still) - reference::autocorrelation(&wide(&quiet))).abs() < 1e-5);
    assert!((f64::from(walk) - reference::autocorrelation(&wide(&moving))).abs() < 1e-5);
    assert!(still.abs() < 0.1 && walk > 0.9, "{still} {walk}");
    assert!(motion::fluctuation(&quiet, 20, &all).unwrap() < 0.02);
    assert!(motion::fluctuation(&moving, 20, &all).unwrap() > 0.05);
    assert_eq!(motion::autocorrelation(&[1.0; 40], 20, &[true; 2]), None);
    assert_eq!(motion::autocorrelation(&[1.0; 200], 20, &[true; 10]), None);
}

#[test]
fn gaps_do_not_count_as_movement() {
    let mut rng = data::rng(13);
    let mut received = vec![true; 400];
    let quiet: Vec<f32> = (0..400 * 10)
        .map(|i| {
            received[i / 10] = i / 10 % 3 != 1;
            if received[i / 10] { 10.0 + rng.random_range(-0.1..0.1f32) } else { 0.0 }
        })
        .collect();
    assert!(motion::autocorrelation(&quiet, 10, &received).unwrap().abs() < 0.15);
    assert!(motion::fluctuation(&quiet, 10, &received).unwrap() < 0.02);
    let turbulence: Vec<f32> = quiet.chunks(10).map(motion::turbulence).collect();
    let mut out = vec![0.0; 400];
    motion::moving_variance(&turbulence, &received, 20, &mut out);
    assert!(out.iter().all(|&v| v < 1e-4));
}

#[test]
fn components_of_every_size_reconstruct_the_block() {
    for (seed, n) in (80..).zip([30, 57, 114, 234]) {
        let mut rng = data::rng(seed);
        let steps = 40;
        let (a, b): (Vec<f32>, Vec<f32>) =
            (0..steps).map(|_| (rng.random_range(-9.0..9.0f32), rng.random_range(-2.0..2.0f32))).unzip();
        let (u, v): (Vec<f32>, Vec<f32>) =
            (0..n).map(|_| (rng.random_range(-1.0..1.0f32), rng.random_range(-1.0..1.0f32))).unzip();
        let x: Vec<f32> = (0..steps * n).map(|i| a[i / n] * u[i % n] + b[i / n] * v[i % n] + 3.0).collect();
        let mut plan = PcaPlan::new(steps, n, 3);
        assert!(plan.run(&x, 20));
        let mean: Vec<f32> =
            (0..n).map(|s| x.iter().skip(s).step_by(n).sum::<f32>() / steps as f32).collect();
        for t in 0..steps {
            for s in 0..n {
                let y: f32 =
                    (0..2).map(|k| plan.scores()[k * steps + t] * plan.components()[k * n + s]).sum();
                assert!((y + mean[s] - x[t * n + s]).abs() < 1e-3);
            }
        }
        assert!(plan.variances()[0] > plan.variances()[1]);
        assert!(plan.variances()[2] < 1e-4 * plan.variances()[1]);
        assert!(!plan.run(&x[1..], 20));
    }
}

#[test]
fn music_finds_two_paths() {
    let array = Array { antennas: 3, subcarriers: 30, spacing_wavelengths: 0.5, spacing_hz: 1.25e6 };
    let angles: Vec<f64> = (-60..=60).map(|d| f64::from(d) * PI / 180.0).collect();
    let delays: Vec<f64> = (0..100).map(|d| f64::from(d) * 2e-9).collect();
    let paths = [(20.0f64, 30e-9, 1.0, 0.3), (-35.0, 110e-9, 0.7, 2.0)];
    let mut x = Vec::new();
    for m in 0..3 {
        for k in 0..30 {
            let mut h = Complex64::ZERO;
            for (angle, delay, gain, phase) in paths {
                let turns = 0.5 * f64::from(m) * (angle * PI / 180.0).sin() + 1.25e6 * delay * f64::from(k);
                h += Complex64::from_polar(gain, phase - TAU * turns);
            }
            x.push(Complex32::new(h.re as f32, h.im as f32));
        }
    }
    let mut plan = MusicPlan::new(array, 2, 15, 2, &angles, &delays);
    let mut spectrum = vec![0.0; angles.len() * delays.len()];
    assert!(plan.run(&x, &mut spectrum));
    for (angle, delay, ..) in paths {
        let near = |i: usize| {
            let (a, d) = (i / delays.len(), i % delays.len());
            (angles[a] - angle * PI / 180.0).abs() < 0.15 && (delays[d] - delay).abs() < 10e-9
        };
        let best =
            (0..spectrum.len()).filter(|&i| near(i)).max_by(|&a, &b| spectrum[a].total_cmp(&spectrum[b]));
        let best = best.unwrap();
        assert!((angles[best / delays.len()].to_degrees() - angle).abs() < 1.5);
        assert!((delays[best % delays.len()] - delay).abs() < 2.5e-9);
        let elsewhere = (0..spectrum.len()).filter(|&i| {
            !paths.iter().any(|p| {
                (angles[i / delays.len()].to_degrees() - p.0).abs() < 15.0
                    && (delays[i % delays.len()] - p.1).abs() < 15e-9
            })
        });
        assert!(elsewhere.map(|i| spectrum[i]).fold(0.0, f32::max) < 0.1 * spectrum[best]);
    }
    assert!(!plan.run(&x[1..], &mut spectrum));
}
