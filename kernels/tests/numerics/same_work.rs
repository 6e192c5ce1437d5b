//! The yardstick does the work that it says, by plain loops in f64.

use std::f64::consts::{PI, TAU};

use invispose_kernels::{
    cpu::Level,
    same_work::{ANTENNAS, NOISE_DB, SPECTRUM, SUBCARRIERS, SameWork},
};
use ndarray::{Array2, Axis};
use num_complex::Complex64;
use rand::RngExt;

use super::{data, reference};

fn packets() -> Vec<[[i8; 2]; 256]> {
    let mut rng = data::rng(9);
    let index = data::index(64);
    let mut out: Vec<[[i8; 2]; 256]> =
        (0..6).map(|seed| data::bytes(&data::packets(50 + seed, 1, 4, &index)).try_into().unwrap()).collect();
    // A value apart from all others, and packets of noise and of nothing.
    out[1][100] = [-out[1][100][0], -out[1][100][1]];
    out.push(std::array::from_fn(|_| [rng.random(), rng.random()]));
    out.push([[0; 2]; 256]);
    out
}

fn correlation(x: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((4, 4), |(a, b)| {
        if a == b {
            return 1.0;
        }
        let (x, y) = (x.row(a).to_owned(), x.row(b).to_owned());
        let (x, y) = (&x - x.mean().unwrap(), &y - y.mean().unwrap());
        let norm = (x.dot(&x) * y.dot(&y)).sqrt();
        if norm > 1e-10 { x.dot(&y) / norm } else { 0.0 }
    })
}

#[test]
fn agrees_with_plain_loops() {
    for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
        let mut plan = SameWork::new(level);
        for (which, packet) in packets().iter().enumerate() {
            let f = plan.run(packet).clone();
            let close = |name: &str, got: f32, want: f64| {
                let error = (f64::from(got) - want).abs() / want.abs().max(1.0);
                assert!(error < 1e-4, "{level:?} packet {which} {name}: {got} is not {want}");
            };
            let h = Array2::from_shape_fn((ANTENNAS, SUBCARRIERS), |(a, k)| {
                let [re, im] = packet[a * SUBCARRIERS + k];
                Complex64::new(f64::from(re), f64::from(im))
            });
            let mut amplitude = Array2::from_shape_fn(h.raw_dim(), |(a, k)| {
                let level = 20.0 * (h[[a, k]].norm() + 1e-12).log10();
                let w = 0.54 - 0.46 * (TAU * k as f64 / 63.0).cos();
                if level > f64::from(NOISE_DB) { h[[a, k]].norm() * w } else { 0.0 }
            });
            if amplitude.std(0.0) > 0.0 {
                amplitude /= amplitude.std(0.0);
            }
            let mut phase = h.mapv(|v| v.arg());
            for mut row in phase.rows_mut() {
                let index: Vec<i16> = (0..64).collect();
                let turned = row.mapv(|p| Complex64::from_polar(1.0, p));
                row.assign(&reference::unwrap_about(turned.view(), &index, 0.0));
                let (mean, deviation) = (row.mean().unwrap(), row.std(0.0));
                let sound: Vec<bool> = row.iter().map(|p| (p - mean).abs() <= 3.0 * deviation).collect();
                let from = row.to_vec();
                for k in 0..64 {
                    if !sound[k] {
                        let l = (0..k).rev().find(|&i| sound[i]);
                        let r = (k + 1..64).find(|&i| sound[i]);
                        row[k] = match (l, r) {
                            (Some(l), Some(r)) => {
                                from[l] + (from[r] - from[l]) * (k - l) as f64 / (r - l) as f64
                            }
                            (l, r) => from[l.or(r).unwrap()],
                        };
                    }
                }
                let from = row.to_vec();
                for k in 2..62 {
                    row[k] = from[k - 2..=k + 2].iter().sum::<f64>() / 5.0;
                }
            }
            for a in 0..ANTENNAS {
                for k in 0..SUBCARRIERS {
                    close("amplitude", f.amplitude[a][k], amplitude[[a, k]]);
                    // Phases exactly half a turn apart may wrap either way.
                    let apart = (f64::from(f.phase[a][k]) - phase[[a, k]]).abs();
                    assert!(apart < 1e-3 || which >= 6, "{level:?} {which} phase {a} {k}: {apart}");
                }
            }
            for k in 0..SUBCARRIERS {
                close("mean", f.amplitude_mean[k], amplitude.column(k).mean().unwrap());
                close("variance", f.amplitude_variance[k], amplitude.column(k).var(0.0));
            }
            close("peak", f.peak, amplitude.fold(f64::MIN, |m, &v| m.max(v)));
            let low = amplitude.fold(f64::MAX, |m, &v| m.min(v));
            close("range", f.dynamic_range, amplitude.fold(f64::MIN, |m, &v| m.max(v)) - low);
            close("rms", f.rms, (amplitude.mapv(|a| a * a).mean().unwrap()).sqrt());
            let r = correlation(&amplitude);
            let off: Vec<f64> = r.indexed_iter().filter(|((a, b), _)| a != b).map(|(_, &v)| v).collect();
            let mean = off.iter().sum::<f64>() / 12.0;
            for ((a, b), &v) in r.indexed_iter() {
                close("correlation", f.correlation[a][b], v);
            }
            close("correlation mean", f.correlation_mean, mean);
            close("correlation max", f.correlation_max, off.iter().fold(-2.0, |m, &v| m.max(v)));
            let spread = (off.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 12.0).sqrt();
            close("correlation spread", f.correlation_spread, spread);
            let flat: Vec<Complex64> =
                amplitude.iter().take(SPECTRUM).map(|&a| Complex64::new(a, 0.0)).collect();
            let spectrum: Vec<f64> =
                reference::dft(&flat, -1.0).iter().map(|v| v.norm_sqr() / 128.0).collect();
            let total: f64 = spectrum[..64].iter().sum();
            for (k, &p) in spectrum.iter().enumerate() {
                let error = (f64::from(f.spectrum[k]) - p).abs();
                assert!(error <= 1e-5 * total.max(1e-6), "spectrum {k}: {error:e}");
            }
            let centroid = (0..64).map(|k| k as f64 / 128.0 * spectrum[k]).sum::<f64>() / total.max(1e-30);
            let width = (0..64).map(|k| (k as f64 / 128.0 - centroid).powi(2) * spectrum[k]).sum::<f64>();
            close("total", f.total_power, total);
            close("centroid", f.centroid, centroid);
            close("bandwidth", f.bandwidth, (width / total.max(1e-30)).sqrt());
            let got = Array2::from_shape_fn((4, 64), |(a, k)| f64::from(f.phase[a][k]));
            for k in 0..SUBCARRIERS {
                close("phase variance", f.phase_variance[k], got.column(k).var(0.0));
            }
            let mean = got.mean_axis(Axis(0)).unwrap();
            for k in 0..63 {
                close("difference", f.phase_difference[k], mean[k + 1] - mean[k]);
            }
            for k in 0..62 {
                close("gradient", f.phase_gradient[k], mean[k + 2] - 2.0 * mean[k + 1] + mean[k]);
            }
            let p = correlation(&got);
            let coherence = (p.sum() - 4.0) / 12.0;
            close("coherence", f.coherence, coherence);
            let by_variance = (amplitude.var_axis(Axis(0), 0.0).mean().unwrap() / 0.5).min(1.0);
            let by_correlation = (off.iter().map(|v| v.abs()).sum::<f64>() / 16.0).min(1.0);
            let by_phase = 0.5 * (got.var_axis(Axis(0), 0.0).mean().unwrap() / 0.5).min(1.0)
                + 0.5 * (1.0 - coherence.abs());
            close("motion", f.motion, 0.4 * by_variance + 0.3 * by_correlation + 0.3 * by_phase);
            assert!(f.phase.as_flattened().iter().all(|p| p.is_finite() && p.abs() < 64.0 * PI as f32));
        }
    }
}
