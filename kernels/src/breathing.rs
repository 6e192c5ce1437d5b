//! Breathing rate out of slow amplitude series.
//!
//! A chest that rises and falls changes the length of some path by millimetres, and with it the amplitude of those subcarriers
//! whose paths happen to be a quarter turn apart. So: keep the streams in which one narrow peak holds most of the
//! variation, add up their autocorrelations, whose signs do not cancel, and believe the result only where it repeats
//! itself, where the spectrum has its peak in the same place, and where little else varies.
//!
//! Source: the subcarrier selection by breathing-to-noise ratio of Zeng et al., "FarSense", IMWUT 2019; the sum of
//! autocorrelations of Wang et al., "TR-BREATH", 2018, and Zhang et al., "SMARS", IMWUT 2019.

use std::sync::Arc;

use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::Complex32;
use crate::doppler::hann;

/// A rate and how far to believe it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breath {
    /// Breaths per second.
    pub rate_hz: f32,
    /// `periodicity · concentration`, 0..1; 0 where spectrum and autocorrelation disagree.
    pub quality: f32,
    /// Height of the autocorrelation's peak within the band, 1 for a pure tone.
    pub periodicity: f32,
    /// Share of the chosen streams' variation (above half the band's lower edge) that lies within the spectral peak.
    pub concentration: f32,
}

/// Tables and buffers for one block length.
pub struct BreathingPlan {
    steps: usize,
    rate_hz: f32,
    low_hz: f32,
    high_hz: f32,
    window: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
}

/// One of this many streams is used…
const CHOSEN_OF: usize = 4;
/// …but at least so many.
const CHOSEN_LEAST: usize = 4;
/// The shortest lag whose peak is this share of the highest is the period: whole multiples of it peak too.
const NEARLY_HIGHEST: f32 = 0.8;

impl BreathingPlan {
    /// Blocks of `steps` rows at `rate_hz`, rates between `low_hz` and `high_hz`. `None` unless
    /// `0 < low_hz < high_hz < rate_hz / 4` and the block is at least two of the slowest breaths long.
    pub fn new(steps: usize, rate_hz: f32, low_hz: f32, high_hz: f32) -> Option<Self> {
        let fits = low_hz > 0.0 && low_hz < high_hz && 4.0 * high_hz < rate_hz && rate_hz.is_finite();
        if !fits || (steps as f32) < 2.0 * rate_hz / low_hz {
            return None;
        }
        let len = (4 * steps).next_power_of_two();
        let mut planner = RealFftPlanner::new();
        Some(Self {
            steps,
            rate_hz,
            low_hz,
            high_hz,
            window: hann(steps),
            forward: planner.plan_fft_forward(len),
            backward: planner.plan_fft_inverse(len),
        })
    }

    /// Rows of a block.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Looks for breath in `block`, `[steps][streams]`, amplitudes in any unit that gain does not change. `None` without
    /// variation or a peak in the band, or for another size.
    pub fn estimate(&self, block: &[f32], streams: usize) -> Option<Breath> {
        if streams == 0 || block.len() != self.steps * streams {
            return None;
        }
        let bins = self.forward.complex_len();
        let bin_hz = self.rate_hz / self.forward.len() as f32;
        let band = (self.low_hz / bin_hz).ceil() as usize..=(self.high_hz / bin_hz).floor() as usize;
        let floor = (0.5 * self.low_hz / bin_hz).ceil() as usize;
        // A Hann window's main lobe reaches two bins of the unpadded block to either side.
        let half = (1.5 * self.rate_hz / self.steps as f32 / bin_hz) as usize;

        let mut found = Vec::with_capacity(streams);
        for s in 0..streams {
            let series = self.detrended(block, streams, s);
            let tapered: Vec<f32> = series.iter().zip(&self.window).map(|(x, w)| x * w).collect();
            let power = self.power(&tapered)?;
            let all: f32 = power[floor..].iter().sum();
            if !(all > 0.0 && all.is_finite()) {
                continue;
            }
            let peak = highest(&power, band.clone())?;
            let near =
                power[peak.saturating_sub(half).max(floor)..bins.min(peak + half + 1)].iter().sum::<f32>();
            found.push(Stream { share: near / all, series, power, all });
        }
        if found.is_empty() {
            return None;
        }
        found.sort_by(|a, b| b.share.total_cmp(&a.share));
        found.truncate((streams / CHOSEN_OF).max(CHOSEN_LEAST));

        let correlation = self.correlation(&found, &band)?;
        let (period, periodicity) = self.period(&correlation)?;
        let mut spectrum = vec![0.0; bins];
        for stream in &found {
            spectrum.iter_mut().zip(&stream.power).for_each(|(sum, p)| *sum += p / stream.all);
        }
        let peak = highest(&spectrum, band)?;
        // The slope of something slower has its highest bin at the band's edge, and is no peak.
        let inside = spectrum[peak] >= spectrum[peak - 1] && spectrum[peak] >= *spectrum.get(peak + 1)?;
        let rate_hz = self.rate_hz / period;
        let apart = (rate_hz - peak as f32 * bin_hz).abs();
        let agree = inside && apart <= 1.2 * self.rate_hz / self.steps as f32;
        let concentration = found.iter().map(|s| s.share).sum::<f32>() / found.len() as f32;
        let quality = if agree { (periodicity * concentration).clamp(0.0, 1.0) } else { 0.0 };
        Some(Breath { rate_hz, quality, periodicity, concentration })
    }

    /// One stream less its least-squares line.
    fn detrended(&self, block: &[f32], streams: usize, s: usize) -> Vec<f32> {
        let mut series: Vec<f32> = block.chunks_exact(streams).map(|row| row[s]).collect();
        let n = self.steps as f32;
        let mean = series.iter().sum::<f32>() / n;
        let middle = 0.5 * (n - 1.0);
        let (mut along, mut norm) = (0.0, 0.0);
        for (t, x) in series.iter().enumerate() {
            let at = t as f32 - middle;
            along += at * (x - mean);
            norm += at * at;
        }
        let slope = along / norm;
        for (t, x) in series.iter_mut().enumerate() {
            *x -= mean + slope * (t as f32 - middle);
        }
        series
    }

    fn power(&self, series: &[f32]) -> Option<Vec<f32>> {
        let mut padded = self.forward.make_input_vec();
        padded[..series.len()].copy_from_slice(series);
        let mut spectrum = self.forward.make_output_vec();
        self.forward.process(&mut padded, &mut spectrum).ok()?;
        Some(spectrum.iter().map(|z| z.norm_sqr()).collect())
    }

    /// Mean over the streams, weighted by their shares, of the autocorrelation of what lies in the band; lag 0 is 1.
    fn correlation(&self, found: &[Stream], band: &std::ops::RangeInclusive<usize>) -> Option<Vec<f32>> {
        let weights: f32 = found.iter().map(|s| s.share).sum();
        let mut sum = vec![0.0; self.steps];
        for stream in found {
            let power = self.power(&stream.series)?;
            let mut banded: Vec<Complex32> = power
                .iter()
                .enumerate()
                .map(|(k, &p)| if band.contains(&k) { Complex32::new(p, 0.0) } else { Complex32::ZERO })
                .collect();
            let mut lagged = self.backward.make_output_vec();
            self.backward.process(&mut banded, &mut lagged).ok()?;
            if lagged[0] > 0.0 {
                let scale = stream.share / (weights * lagged[0]);
                sum.iter_mut().zip(&lagged).for_each(|(s, l)| *s += l * scale);
            }
        }
        // Fewer products reach the longer lags.
        let n = self.steps as f32;
        sum.iter_mut().enumerate().for_each(|(lag, s)| *s *= n / (n - lag as f32));
        Some(sum)
    }

    /// Lag of the first peak that is nearly the highest, with a fraction, and its height.
    fn period(&self, correlation: &[f32]) -> Option<(f32, f32)> {
        let shortest = ((self.rate_hz / self.high_hz) as usize).max(1);
        let longest = ((self.rate_hz / self.low_hz).ceil() as usize).min(self.steps * 3 / 5);
        let peaks: Vec<usize> = (shortest..longest)
            .filter(|&l| {
                correlation[l] > 0.0
                    && correlation[l] >= correlation[l - 1]
                    && correlation[l] > correlation[l + 1]
            })
            .collect();
        let highest = peaks.iter().map(|&l| correlation[l]).fold(0.0, f32::max);
        let lag = *peaks.iter().find(|&&l| correlation[l] > NEARLY_HIGHEST * highest)?;
        // The vertex of the parabola through the peak and its neighbours.
        let [before, top, after] = [correlation[lag - 1], correlation[lag], correlation[lag + 1]];
        let offset = 0.5 * (before - after) / (before - 2.0 * top + after);
        Some((lag as f32 + offset.clamp(-0.5, 0.5), top.min(1.0)))
    }
}

struct Stream {
    share: f32,
    series: Vec<f32>,
    power: Vec<f32>,
    all: f32,
}

fn highest(power: &[f32], band: std::ops::RangeInclusive<usize>) -> Option<usize> {
    band.filter(|&k| k > 0 && k < power.len()).max_by(|&a, &b| power[a].total_cmp(&power[b]))
}
