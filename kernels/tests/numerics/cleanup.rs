//! The whole cleanup, at every size and with every instruction set, against the references.

use invispose_kernels::{
    Complex32, Layout,
    cleanup::{Cleanup, CleanupError, CleanupSpec, Doppler, Hampel, Iq, Ratio, Sanitise, Scale},
    cpu::{CpuCleanup, Level},
    mask::Standard,
};
use ndarray::Array2;
use num_complex::Complex64;

use super::{
    data::{self, SIZES, assert_close},
    reference,
};

const LEVELS: [Level; 3] = [Level::Baseline, Level::Avx2, Level::Avx512];

struct Want {
    gain: Vec<f64>,
    amplitude: Vec<f64>,
    phase: Vec<f64>,
    ratio: Vec<Complex64>,
    delay: Vec<f64>,
}

fn want(spec: &CleanupSpec, x: &[Complex32]) -> Want {
    let l = spec.layout;
    let kept: Vec<i16> = spec.columns.iter().map(|&c| spec.index[c as usize]).collect();
    let mut w = Want { gain: vec![], amplitude: vec![], phase: vec![], ratio: vec![], delay: vec![] };
    for packet in x.chunks_exact(l.values()) {
        let all = reference::wide(packet).into_shape_with_order((l.pairs(), l.subcarriers as usize)).unwrap();
        let h = Array2::from_shape_fn((l.pairs(), kept.len()), |(p, c)| all[[p, spec.columns[c] as usize]]);
        let power = h.iter().map(|v| v.norm_sqr()).sum::<f64>() / h.len() as f64;
        let gain = if spec.scale == Scale::UnitPower { 1.0 / power.sqrt() } else { 1.0 };
        w.gain.push(gain);
        w.amplitude.extend(h.iter().map(|v| v.norm() * gain));
        w.phase.extend(reference::sanitise(&h, &kept, spec.sanitise == Sanitise::Shared));
        if let Some(r) = spec.ratio {
            for p in 0..l.pairs() {
                let other = h.row(p / l.rx as usize * l.rx as usize + r.antenna as usize);
                let floor =
                    f64::from(r.floor) * other.iter().map(|v| v.norm_sqr()).sum::<f64>() / kept.len() as f64;
                w.ratio
                    .extend(h.row(p).iter().zip(other).map(|(a, b)| a * b.conj() / b.norm_sqr().max(floor)));
            }
        }
        if let Some(n) = spec.delay {
            for row in h.rows() {
                let row: Vec<Complex64> = row.iter().map(|v| v * gain).collect();
                w.delay.extend(reference::delay(&row, Some(&kept), n));
            }
        }
    }
    w
}

fn spec(layout: Layout, steps: usize, windows: usize) -> CleanupSpec {
    let index = data::index(layout.subcarriers as usize);
    let columns = (0..layout.subcarriers).filter(|c| c % 7 != 3).collect();
    CleanupSpec { steps, ..CleanupSpec::packets(layout, index, columns, windows) }
}

fn check(spec: &CleanupSpec, x: &[Complex32], input: Iq<'_>, level: Level) {
    let mut plan = CpuCleanup::with_level(spec.clone(), 2, level).unwrap();
    plan.run(input).unwrap();
    let got = plan.read().unwrap();
    let w = want(spec, x);
    let name = format!("{} {level:?} {:?}", spec.layout, spec.sanitise);
    assert_close(&format!("{name} gain"), got.gain, &w.gain, 1e-6);
    assert_close(&format!("{name} amplitude"), got.amplitude, &w.amplitude, 1e-6);
    assert_close(&format!("{name} phase"), got.phase, &w.phase, 1e-4);
    let (re, im): (Vec<f64>, Vec<f64>) = w.ratio.iter().map(|v| (v.re, v.im)).unzip();
    assert_close(&format!("{name} ratio re"), got.ratio_re, &re, 1e-5);
    assert_close(&format!("{name} ratio im"), got.ratio_im, &im, 1e-5);
    assert_close(&format!("{name} delay"), got.delay, &w.delay, 1e-5);
}

#[test]
fn packets_of_every_size_agree_with_the_reference() {
    for (seed, n) in (0..).zip(SIZES) {
        for (tx, rx) in [(1, 1), (1, 3), (2, 2)] {
            let layout = Layout::new(tx, rx, n as u16);
            let mut spec = spec(layout, 1, 5);
            spec.delay = Some((2 * n).next_power_of_two());
            let x = data::packets(seed, 5, layout.pairs(), &spec.index);
            for level in LEVELS {
                check(&spec, &x, Iq::F32(&x), level);
            }
        }
    }
}

#[test]
fn shared_slope_agrees_with_the_reference() {
    for (seed, n) in (100..).zip(SIZES) {
        let layout = Layout::new(1, 3, n as u16);
        let mut spec = spec(layout, 1, 4);
        spec.sanitise = Sanitise::Shared;
        spec.scale = Scale::Keep;
        let x = data::packets(seed, 4, 3, &spec.index);
        for level in LEVELS {
            check(&spec, &x, Iq::F32(&x), level);
        }
    }
}

#[test]
fn packed_integers_give_what_floats_give() {
    let layout = Layout::new(1, 2, 64);
    let spec = spec(layout, 1, 9);
    let packed = data::bytes(&data::packets(7, 9, 2, &spec.index));
    let swapped: Vec<[i8; 2]> = packed.iter().map(|v| [v[1], v[0]]).collect();
    let words: Vec<[i16; 2]> = packed.iter().map(|v| [i16::from(v[0]), i16::from(v[1])]).collect();
    let x: Vec<Complex32> = packed.iter().map(|v| Complex32::new(f32::from(v[0]), f32::from(v[1]))).collect();
    for level in LEVELS {
        for input in [Iq::I8(&packed), Iq::I8ImaginaryFirst(&swapped), Iq::I16(&words), Iq::F32(&x)] {
            check(&spec, &x, input, level);
        }
    }
}

#[test]
fn windows_agree_with_the_reference() {
    let (steps, n, windows) = (40, 57, 3);
    let layout = Layout::new(1, 3, n);
    for ratio in [Some(Ratio { antenna: 1, floor: 1e-2 }), None] {
        let mut spec = spec(layout, steps, windows);
        spec.ratio = ratio;
        spec.hampel = Some(Hampel { half: 3, sigmas: 3.0 });
        spec.doppler = Some(Doppler { len: 16, hop: 8 });
        spec.motion = true;
        let x = data::packets(11, steps * windows, 3, &spec.index);
        for level in LEVELS {
            let mut plan = CpuCleanup::with_level(spec.clone(), 2, level).unwrap();
            plan.run(Iq::F32(&x)).unwrap();
            let got = plan.read().unwrap();
            let w = want(&spec, &x);
            let streams = 3 * spec.columns.len();
            for window in 0..windows {
                let at = window * steps * streams..(window + 1) * steps * streams;
                let raw = Array2::from_shape_vec((steps, streams), w.amplitude[at.clone()].to_vec()).unwrap();
                let mut amplitude = raw.clone();
                for (column, mut to) in raw.columns().into_iter().zip(amplitude.columns_mut()) {
                    to.assign(&ndarray::Array1::from(reference::hampel(&column.to_vec(), 3, 3.0)));
                }
                let flat: Vec<f64> = amplitude.iter().copied().collect();
                assert_close("hampel", &got.amplitude[at.clone()], &flat, 1e-6);
                let motion = reference::autocorrelation(&amplitude.mapv(|a| a * a));
                let difference = f64::from(got.motion[window].unwrap()) - motion;
                assert!(difference.abs() < 1e-4, "motion {difference:e}");
                let source = |t: usize, s: usize| match ratio {
                    Some(_) => w.ratio[(window * steps + t) * streams + s],
                    None => Complex64::new(amplitude[[t, s]], 0.0),
                };
                let mut doppler = Vec::new();
                for pair in 0..3 {
                    for frame in 0..spec.doppler_frames() {
                        let mut power = vec![0.0; 16];
                        let columns = spec.columns.len();
                        for c in 0..columns {
                            let line: Vec<Complex64> =
                                (0..16).map(|i| source(frame * 8 + i, pair * columns + c)).collect();
                            for (p, v) in power.iter_mut().zip(reference::doppler(&line, &[true; 16])) {
                                *p += v / columns as f64;
                            }
                        }
                        doppler.extend(power);
                    }
                }
                let size = spec.sizes().doppler;
                assert_close("doppler", &got.doppler[window * size..][..size], &doppler, 1e-5);
            }
        }
    }
}

#[test]
fn missing_packets_leave_no_trace_in_statistics() {
    let layout = Layout::new(1, 2, 30);
    let mut spec = spec(layout, 24, 1);
    spec.hampel = Some(Hampel { half: 2, sigmas: 3.0 });
    spec.motion = true;
    spec.doppler = Some(Doppler { len: 24, hop: 1 });
    let mut x = data::packets(3, 24, 2, &spec.index);
    let missing = [0, 5, 6, 23];
    for t in missing {
        x[t * 60..(t + 1) * 60].fill(Complex32::ZERO);
    }
    let mut plan = CpuCleanup::new(spec.clone(), 1).unwrap();
    plan.run(Iq::F32(&x)).unwrap();
    let got = plan.read().unwrap();
    let streams = 2 * spec.columns.len();
    let kept: Vec<usize> = (0..24).filter(|t| !missing.contains(t)).collect();
    let w = want(&spec, &kept.iter().flat_map(|t| x[t * 60..(t + 1) * 60].to_vec()).collect::<Vec<_>>());
    for stream in 0..streams {
        let column: Vec<f64> = w.amplitude.iter().skip(stream).step_by(streams).copied().collect();
        let filtered = reference::hampel(&column, 2, 3.0);
        for (&t, want) in kept.iter().zip(filtered) {
            assert!((f64::from(got.amplitude[t * streams + stream]) - want).abs() < 1e-5);
        }
    }
    for t in missing {
        assert_eq!(got.gain[t], 0.0);
        assert!(got.amplitude[t * streams..(t + 1) * streams].iter().all(|&a| a == 0.0));
        assert!(got.phase[t * streams..(t + 1) * streams].iter().all(|&p| p == 0.0));
    }
    assert!(got.motion[0].is_some());
    assert!(got.doppler.iter().all(|p| p.is_finite()));
}

#[test]
fn a_window_without_packets_measures_nothing() {
    let mut spec = spec(Layout::new(1, 2, 56), 8, 1);
    spec.motion = true;
    let mut plan = CpuCleanup::new(spec.clone(), 1).unwrap();
    plan.run(Iq::F32(&vec![Complex32::ZERO; 8 * 112])).unwrap();
    assert_eq!(plan.read().unwrap().motion, [None]);
    let broken = vec![Complex32::new(f32::NAN, 1.0); 8 * 112];
    plan.run(Iq::F32(&broken)).unwrap();
    let got = plan.read().unwrap();
    assert!(got.amplitude.iter().chain(got.phase).chain(got.ratio_re).all(|v| *v == 0.0));
}

#[test]
fn an_input_that_does_not_fit_is_refused() {
    let spec = spec(Layout::new(1, 1, 64), 4, 2);
    let mut plan = CpuCleanup::new(spec, 1).unwrap();
    for values in [0, 1, 64, 257, 64 * 4 * 3] {
        let x = vec![[1i8, 1]; values];
        let refused = CleanupError::Input { values, window_values: 256, windows: 2 };
        assert_eq!(plan.run(Iq::I8(&x)), Err(refused));
    }
    assert!(plan.run(Iq::I8(&vec![[1i8, 1]; 256])).is_ok());
    assert_eq!(plan.read().unwrap().windows, 1);
}

#[test]
fn a_specification_that_contradicts_itself_is_refused() {
    let good = spec(Layout::new(1, 2, 64), 4, 2);
    let bad = [
        CleanupSpec { columns: vec![], ..good.clone() },
        CleanupSpec { columns: vec![64], ..good.clone() },
        CleanupSpec { columns: vec![3, 3], ..good.clone() },
        CleanupSpec { index: vec![0; 64], ..good.clone() },
        CleanupSpec { index: vec![1], ..good.clone() },
        CleanupSpec { steps: 0, ..good.clone() },
        CleanupSpec { ratio: Some(Ratio { antenna: 2, floor: 0.1 }), ..good.clone() },
        CleanupSpec { ratio: Some(Ratio { antenna: 0, floor: 0.0 }), ..good.clone() },
        CleanupSpec { hampel: Some(Hampel { half: 0, sigmas: 3.0 }), ..good.clone() },
        CleanupSpec { doppler: Some(Doppler { len: 5, hop: 1 }), ..good.clone() },
        CleanupSpec { delay: Some(0), ..good.clone() },
    ];
    for spec in bad {
        assert!(matches!(CpuCleanup::new(spec, 1), Err(CleanupError::Spec(_))));
    }
}

#[test]
fn threads_change_nothing() {
    let spec = spec(Layout::new(1, 3, 114), 6, 7);
    let x = data::packets(5, 42, 3, &spec.index);
    let mut one = CpuCleanup::new(spec.clone(), 1).unwrap();
    let mut many = CpuCleanup::new(spec, 5).unwrap();
    one.run(Iq::F32(&x)).unwrap();
    many.run(Iq::F32(&x)).unwrap();
    let (a, b) = (one.read().unwrap(), many.read().unwrap());
    assert_eq!((a.amplitude, a.phase, a.ratio_re, a.gain), (b.amplitude, b.phase, b.ratio_re, b.gain));
}

#[test]
fn the_standard_keeps_its_tones() {
    let index: Vec<i16> = (-32..32).collect();
    let spec = CleanupSpec::packets(Layout::new(1, 1, 64), index, vec![], 1).keep(Standard::Ht20, true);
    assert_eq!(spec.columns.len(), 56);
    let x = data::packets(2, 1, 1, &spec.index);
    let mut plan = CpuCleanup::new(spec.clone(), 1).unwrap();
    plan.run(Iq::F32(&x)).unwrap();
    let want = want(&spec, &x);
    assert_close("amplitude", plan.read().unwrap().amplitude, &want.amplitude, 1e-6);
}
