//! The operations in f64, written from their formulas with ndarray.

use std::f64::consts::{PI, TAU};

use invispose_kernels::Complex32;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use num_complex::Complex64;

pub fn wide(x: &[Complex32]) -> Array1<Complex64> {
    x.iter().map(|h| Complex64::new(f64::from(h.re), f64::from(h.im))).collect()
}

/// Phase with whole turns added so that each step lies within half a turn of the line's.
pub fn unwrap_about(h: ArrayView1<'_, Complex64>, index: &[i16], slope: f64) -> Array1<f64> {
    let mut out = Array1::zeros(h.len());
    let mut previous = h[0].arg();
    out[0] = previous;
    for k in 1..h.len() {
        let line = slope * f64::from(index[k] - index[k - 1]);
        let mut step = h[k].arg() - previous - line;
        while step > PI {
            step -= TAU;
        }
        while step < -PI {
            step += TAU;
        }
        previous += line + step;
        out[k] = previous;
    }
    out
}

pub fn step(index: &[i16]) -> i16 {
    let steps: Vec<i16> = index.windows(2).map(|w| w[1] - w[0]).collect();
    *steps.iter().max_by_key(|s| steps.iter().filter(|t| t == s).count()).unwrap()
}

pub fn slope_of<'a>(rows: impl Iterator<Item = ArrayView1<'a, Complex64>>, index: &[i16]) -> f64 {
    let step = step(index);
    let mut sum = Complex64::ZERO;
    for row in rows {
        for k in 1..index.len() {
            if index[k] - index[k - 1] == step {
                sum += row[k] * row[k - 1].conj();
            }
        }
    }
    sum.arg() / f64::from(step)
}

/// Normal equations of `phase = slope · index + offset`.
pub fn line(phase: &[f64], index: &[f64]) -> (f64, f64) {
    let n = phase.len() as f64;
    let (sx, sy) = (index.iter().sum::<f64>(), phase.iter().sum::<f64>());
    let sxx: f64 = index.iter().map(|k| k * k).sum();
    let sxy: f64 = index.iter().zip(phase).map(|(k, p)| k * p).sum();
    let slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
    (slope, (sy - slope * sx) / n)
}

pub fn sanitise(h: &Array2<Complex64>, index: &[i16], shared: bool) -> Array2<f64> {
    let k: Vec<f64> = index.iter().map(|&k| f64::from(k)).collect();
    let mut out = Array2::zeros(h.raw_dim());
    let common = slope_of(h.rows().into_iter(), index);
    for (row, mut to) in h.rows().into_iter().zip(out.rows_mut()) {
        let slope = if shared { common } else { slope_of(std::iter::once(row), index) };
        to.assign(&unwrap_about(row, index, slope));
        if !shared {
            let (slope, offset) = line(to.as_slice().unwrap(), &k);
            to.iter_mut().zip(&k).for_each(|(p, k)| *p -= slope * k + offset);
        }
    }
    if shared {
        let residual = |row: ArrayView1<'_, f64>| {
            row.iter().zip(&k).map(|(p, k)| p - common * k).sum::<f64>() / k.len() as f64
        };
        let first = residual(out.row(0));
        for mut row in out.rows_mut() {
            let turns = ((residual(row.view()) - first) / TAU).round();
            row -= turns * TAU;
        }
        let all: Vec<f64> = out.iter().copied().collect();
        let ks: Vec<f64> = (0..h.nrows()).flat_map(|_| k.iter().copied()).collect();
        let (slope, offset) = line(&all, &ks);
        for mut row in out.rows_mut() {
            row.iter_mut().zip(&k).for_each(|(p, k)| *p -= slope * k + offset);
        }
    }
    out
}

/// A discrete Fourier transform by its sum; `sign` −1 forward, +1 inverse, unscaled.
pub fn dft(x: &[Complex64], sign: f64) -> Vec<Complex64> {
    let n = x.len();
    let turns: Vec<Complex64> =
        (0..n).map(|i| Complex64::from_polar(1.0, sign * TAU * i as f64 / n as f64)).collect();
    (0..n).map(|k| (0..n).map(|t| x[t] * turns[k * t % n]).sum()).collect()
}

pub fn delay(h: &[Complex64], index: Option<&[i16]>, n: usize) -> Vec<f64> {
    let mut x = vec![Complex64::ZERO; n];
    for (i, &v) in h.iter().enumerate() {
        x[index.map_or(i, |index| i64::from(index[i]).rem_euclid(n as i64) as usize)] = v;
    }
    dft(&x, 1.0).iter().map(|v| (v / n as f64).norm_sqr()).collect()
}

/// One spectrogram frame; missing samples count as the mean.
pub fn doppler(x: &[Complex64], received: &[bool]) -> Vec<f64> {
    let n = x.len();
    let w: Vec<f64> = (0..n).map(|i| 0.5 * (1.0 - (TAU * i as f64 / n as f64).cos())).collect();
    let kept: Vec<Complex64> = x.iter().zip(received).filter(|r| *r.1).map(|r| *r.0).collect();
    let mean = kept.iter().sum::<Complex64>() / kept.len() as f64;
    let y: Vec<Complex64> =
        (0..n).map(|i| if received[i] { (x[i] - mean) * w[i] } else { Complex64::ZERO }).collect();
    let energy: f64 = w.iter().map(|w| w * w).sum();
    let p: Vec<f64> = dft(&y, -1.0).iter().map(|v| v.norm_sqr() / energy).collect();
    (0..n).map(|i| p[(i + n - n / 2) % n]).collect()
}

pub fn hampel(x: &[f64], half: usize, sigmas: f64) -> Vec<f64> {
    let median = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        0.5 * (v[(v.len() - 1) / 2] + v[v.len() / 2])
    };
    (0..x.len())
        .map(|i| {
            let w = &x[i.saturating_sub(half)..(i + half + 1).min(x.len())];
            let m = median(w.to_vec());
            let s = 1.4826 * median(w.iter().map(|v| (v - m).abs()).collect());
            if (x[i] - m).abs() > sigmas * s { m } else { x[i] }
        })
        .collect()
}

pub fn autocorrelation(power: &Array2<f64>) -> f64 {
    let mut rho = Vec::new();
    for g in power.axis_iter(Axis(1)) {
        let d = &g - g.mean().unwrap();
        let variance: f64 = d.iter().map(|v| v * v).sum();
        if variance > 0.0 {
            rho.push((1..d.len()).map(|t| d[t] * d[t - 1]).sum::<f64>() / variance);
        }
    }
    rho.iter().sum::<f64>() / rho.len() as f64
}
