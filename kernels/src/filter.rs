//! Filters over time: Butterworth band-pass as second-order sections, and detrending.

use num_complex::Complex64;
use thiserror::Error;

/// One second-order section `H(z) = (b0 + b1 z⁻¹ + b2 z⁻²) / (1 + a1 z⁻¹ + a2 z⁻²)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    /// Numerator.
    pub b: [f64; 3],
    /// Denominator without its leading 1.
    pub a: [f64; 2],
}

/// A band that cannot be designed.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum FilterError {
    /// Not `0 < low < high < rate / 2`.
    #[error("band {low_hz}..{high_hz} Hz does not fit between 0 and half of {rate_hz} Hz")]
    Band {
        /// Lower edge, hertz.
        low_hz: f64,
        /// Upper edge, hertz.
        high_hz: f64,
        /// Sampling rate, hertz.
        rate_hz: f64,
    },
    /// Order 0 or above 16.
    #[error("order {0} is not in 1..=16")]
    Order(usize),
}

/// Butterworth band-pass with −3 dB at `low_hz` and `high_hz`; `order` sections (a filter of order `2 · order`, as
/// scipy's `butter(order, [low, high], "bandpass", output="sos")` counts).
///
/// Analogue prototype poles `exp(iπ(2k + n + 1) / 2n)`, band-pass transform `s → (s² + ω₀²) / (B s)`, bilinear
/// transform with both edges prewarped. Source: Oppenheim and Schafer, "Discrete-time signal processing", chapter 7.
pub fn butterworth_bandpass(
    order: usize,
    low_hz: f64,
    high_hz: f64,
    rate_hz: f64,
) -> Result<Vec<Section>, FilterError> {
    if order == 0 || order > 16 {
        return Err(FilterError::Order(order));
    }
    if !(low_hz > 0.0 && low_hz < high_hz && high_hz < 0.5 * rate_hz && rate_hz.is_finite()) {
        return Err(FilterError::Band { low_hz, high_hz, rate_hz });
    }
    // Sampling at 2 Hz, so that the bilinear transform is z = (4 + s) / (4 - s).
    let warp = |hz: f64| 4.0 * (std::f64::consts::PI * hz / rate_hz).tan();
    let (low, high) = (warp(low_hz), warp(high_hz));
    let (band, centre2) = (high - low, low * high);
    let digital = |s: Complex64| (4.0 + s) / (4.0 - s);
    let mut upper = Vec::with_capacity(order);
    let mut real = Vec::new();
    for k in 0..order {
        let angle = std::f64::consts::PI * (2 * k + order + 1) as f64 / (2 * order) as f64;
        let half = Complex64::from_polar(1.0, angle) * (0.5 * band);
        let root = (half * half - centre2).sqrt();
        for pole in [half + root, half - root] {
            let z = digital(pole);
            if z.im.abs() < 1e-12 {
                real.push(z.re);
            } else if z.im > 0.0 {
                upper.push(z);
            }
        }
    }
    let mut sections: Vec<Section> = upper
        .iter()
        .map(|z| Section { b: [1.0, 0.0, -1.0], a: [-2.0 * z.re, z.norm_sqr()] })
        .chain(real.chunks_exact(2).map(|p| Section { b: [1.0, 0.0, -1.0], a: [-p[0] - p[1], p[0] * p[1]] }))
        .collect();
    // Poles nearest the unit circle last: what comes before them keeps the signal small.
    sections.sort_by(|x, y| x.a[1].total_cmp(&y.a[1]));
    // Unit gain at the digital frequency that the analogue centre maps to, section by section.
    let centre = 2.0 * (centre2.sqrt() / 4.0).atan();
    for section in &mut sections {
        let gain = 1.0 / response(std::slice::from_ref(section), centre).norm();
        section.b.iter_mut().for_each(|b| *b *= gain);
    }
    Ok(sections)
}

/// The cascade's response at `omega` radians per sample.
pub fn response(sections: &[Section], omega: f64) -> Complex64 {
    let z1 = Complex64::from_polar(1.0, -omega);
    let z2 = z1 * z1;
    sections
        .iter()
        .map(|s| (s.b[0] + s.b[1] * z1 + s.b[2] * z2) / (1.0 + s.a[0] * z1 + s.a[1] * z2))
        .product()
}

/// Runs `x` through the cascade in place, transposed direct form II, with an f64 state so that bands far below the
/// sampling rate stay exact. `state` has one entry a section, zeros at the start, and carries over from call to call.
pub fn filter(sections: &[Section], state: &mut [[f64; 2]], x: &mut [f32]) {
    for value in x {
        let mut v = f64::from(*value);
        for (s, z) in sections.iter().zip(state.iter_mut()) {
            let y = s.b[0] * v + z[0];
            z[0] = s.b[1] * v - s.a[0] * y + z[1];
            z[1] = s.b[2] * v - s.a[1] * y;
            v = y;
        }
        *value = v as f32;
    }
}

/// Forward and backward, so without delay; the response is squared. `state` is reset. Ends are not padded: the first
/// and last periods of the lowest frequency are attenuated.
pub fn filter_zero_phase(sections: &[Section], state: &mut [[f64; 2]], x: &mut [f32]) {
    for _ in 0..2 {
        state.fill([0.0; 2]);
        filter(sections, state, x);
        x.reverse();
    }
}

/// Subtracts the mean.
pub fn detrend_mean(x: &mut [f32]) {
    let mean = (x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len().max(1) as f64) as f32;
    x.iter_mut().for_each(|v| *v -= mean);
}

/// Subtracts the least-squares line over the sample number.
pub fn detrend_linear(x: &mut [f32]) {
    let n = x.len() as f64;
    if x.len() < 2 {
        return detrend_mean(x);
    }
    let centre = 0.5 * (n - 1.0);
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let slope = x.iter().enumerate().map(|(i, &v)| (i as f64 - centre) * f64::from(v)).sum::<f64>()
        / (n * (n * n - 1.0) / 12.0);
    for (i, v) in x.iter_mut().enumerate() {
        *v = (f64::from(*v) - mean - slope * (i as f64 - centre)) as f32;
    }
}
