//! Doppler spectrogram: short-time Fourier transform over packets.

use std::{f64::consts::TAU, sync::Arc};

use rustfft::{Fft, FftPlanner};

use crate::Complex32;

/// The periodic Hann window `½ − ½ cos(2πn / N)`.
pub fn hann(len: usize) -> Vec<f32> {
    (0..len).map(|n| (0.5 - 0.5 * (TAU * n as f64 / len as f64).cos()) as f32).collect()
}

/// Tables and buffers for spectrograms with one frame length and hop.
pub struct DopplerPlan {
    fft: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    scale: f32,
    hop: usize,
    line: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl DopplerPlan {
    /// Frames of `len` samples (any length), each `hop` after the other; zeros count as one.
    pub fn new(len: usize, hop: usize) -> Self {
        let len = len.max(1);
        let fft = FftPlanner::new().plan_fft_forward(len);
        let window = if len == 1 { vec![1.0] } else { hann(len) };
        let energy: f64 = window.iter().map(|&w| f64::from(w * w)).sum();
        Self {
            scale: (1.0 / energy) as f32,
            window,
            hop: hop.max(1),
            line: vec![Complex32::ZERO; len],
            scratch: vec![Complex32::ZERO; fft.get_inplace_scratch_len()],
            fft,
        }
    }

    /// Frequencies of a frame: its length.
    pub fn bins(&self) -> usize {
        self.line.len()
    }

    /// Whole frames in `steps` samples.
    pub fn frames(&self, steps: usize) -> usize {
        steps.checked_sub(self.bins()).map_or(0, |rest| rest / self.hop + 1)
    }

    /// Frequency of `bin`, hertz: two-sided and ascending, zero at `bins / 2`.
    pub fn frequency_hz(&self, bin: usize, rate_hz: f64) -> f64 {
        (bin as f64 - (self.bins() / 2) as f64) * rate_hz / self.bins() as f64
    }

    /// Spectrogram of one stream out of `[T][streams]`: `|Σ_n w(n) (x(n) − x̄) exp(−2πi f n)|² / Σ w²` for each
    /// frame, `x̄` the frame's own mean (static paths), `w` Hann. `power` is `[frames][bins]`. A positive
    /// frequency is a path that gets shorter.
    ///
    /// Source: Allen and Rabiner, "A unified approach to short-time Fourier analysis", 1977; its use on CSI: Qian et al.,
    /// "Widar2.0", MobiSys 2018.
    pub fn run(&mut self, x: &[Complex32], streams: usize, stream: usize, power: &mut [f32]) {
        let streams = streams.max(1);
        if stream >= streams {
            return;
        }
        let (n, frames) = (self.bins(), self.frames(x.len() / streams));
        for (frame, out) in power.chunks_exact_mut(n).take(frames).enumerate() {
            let samples = x[frame * self.hop * streams..].chunks_exact(streams).map(|row| row[stream]);
            let mut mean = Complex32::ZERO;
            for (value, sample) in self.line.iter_mut().zip(samples) {
                *value = sample;
                mean += sample;
            }
            mean /= n as f32;
            self.line.iter_mut().for_each(|v| *v -= mean);
            out.fill(0.0);
            self.transform(1.0, out);
        }
    }

    /// Samples from one frame to the next.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Adds `weight` times the spectrum of one frame, `bins()` samples, to `power`. Samples that were not received
    /// are left out of the mean and count as that mean; with fewer than two received there is nothing to add.
    pub fn add_frame(&mut self, samples: &[Complex32], received: &[bool], weight: f32, power: &mut [f32]) {
        let (mut mean, mut count) = (Complex32::ZERO, 0usize);
        for (&v, _) in samples.iter().zip(received).filter(|(_, got)| **got) {
            mean += v;
            count += 1;
        }
        if count < 2 || samples.len() != self.bins() || power.len() != self.bins() {
            return;
        }
        mean /= count as f32;
        for ((to, &v), &got) in self.line.iter_mut().zip(samples).zip(received) {
            *to = if got { v - mean } else { Complex32::ZERO };
        }
        self.transform(weight, power);
    }

    /// Adds `weight` times the power spectrum of `line` to `power`, zero frequency in the middle.
    fn transform(&mut self, weight: f32, power: &mut [f32]) {
        for (value, &w) in self.line.iter_mut().zip(&self.window) {
            *value *= w;
        }
        self.fft.process_with_scratch(&mut self.line, &mut self.scratch);
        let (n, zero, scale) = (self.line.len(), self.line.len() / 2, self.scale * weight);
        for (to, value) in power[zero..].iter_mut().zip(&self.line[..n - zero]) {
            *to += value.norm_sqr() * scale;
        }
        for (to, value) in power[..zero].iter_mut().zip(&self.line[n - zero..]) {
            *to += value.norm_sqr() * scale;
        }
    }
}
