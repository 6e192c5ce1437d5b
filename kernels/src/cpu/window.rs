//! What a window needs beyond its packets: Hampel filter, delay profiles, Doppler spectrogram, motion.

use super::{
    Part, hampel,
    packet::{Scratch, Tables},
    simd::LANES,
};
use crate::{Complex32, cleanup::CleanupSpec, delay::DelayPlan, doppler::DopplerPlan, motion};

/// Buffers of one thread.
pub(super) struct WindowScratch {
    delay: Option<DelayPlan>,
    doppler: Option<DopplerPlan>,
    line: Vec<Complex32>,
    block: Vec<f32>,
    received: Vec<bool>,
    column: Vec<f32>,
    filtered: Vec<f32>,
}

impl WindowScratch {
    pub(super) fn new(spec: &CleanupSpec) -> Self {
        let index: Vec<i16> = spec.columns.iter().map(|&c| spec.index[c as usize]).collect();
        let block = if spec.hampel.is_some() || spec.motion { spec.sizes().values } else { 0 };
        Self {
            delay: spec.delay.map(|n| DelayPlan::indexed(n, &index)),
            doppler: spec.doppler.map(|d| DopplerPlan::new(d.len, d.hop)),
            line: vec![Complex32::ZERO; index.len().max(spec.doppler.map_or(0, |d| d.len))],
            block: vec![0.0; block],
            received: vec![false; spec.steps],
            column: vec![0.0; spec.steps],
            filtered: vec![0.0; spec.steps],
        }
    }

    /// Delay profiles of the packet in `scratch`, `[pairs][fft_len]`; zeros if `gain` is.
    pub(super) fn delay(&mut self, tables: &Tables, scratch: &Scratch, gain: f32, out: &mut [f32]) {
        let Some(plan) = &mut self.delay else { return };
        if gain == 0.0 {
            return out.fill(0.0);
        }
        let columns = tables.columns();
        let rows = scratch.re.chunks_exact(tables.stride).zip(scratch.im.chunks_exact(tables.stride));
        for ((re, im), to) in rows.zip(out.chunks_exact_mut(plan.len())) {
            for ((v, re), im) in self.line.iter_mut().zip(&re[LANES..]).zip(&im[LANES..]) {
                *v = Complex32::new(re * gain, im * gain);
            }
            plan.run(&self.line[..columns], to);
        }
    }

    /// Everything that looks along the window.
    pub(super) fn over_time(&mut self, spec: &CleanupSpec, tables: &Tables, out: &mut Part<'_>) {
        let streams = tables.values();
        for (to, &gain) in self.received.iter_mut().zip(out.gain.iter()) {
            *to = gain != 0.0;
        }
        if let Some(h) = spec.hampel {
            if self.received.iter().all(|&got| got) {
                self.block.copy_from_slice(out.amplitude);
                hampel::filter(tables.level(), &self.block, streams, h.half, h.sigmas, out.amplitude);
            } else {
                let received = |t: usize| self.received[t];
                hampel::filter_received(
                    out.amplitude,
                    streams,
                    h.half,
                    h.sigmas,
                    received,
                    &mut self.column,
                    &mut self.filtered,
                );
            }
        }
        if spec.doppler.is_some() {
            self.doppler(spec, tables, out);
        }
        if let Some(to) = out.motion.first_mut() {
            for (p, &a) in self.block.iter_mut().zip(out.amplitude.iter()) {
                *p = a * a;
            }
            *to = motion::autocorrelation(&self.block, streams, &self.received);
        }
    }

    fn doppler(&mut self, spec: &CleanupSpec, tables: &Tables, out: &mut Part<'_>) {
        let (Some(plan), frames) = (&mut self.doppler, spec.doppler_frames()) else { return };
        let (streams, columns, n) = (tables.values(), tables.columns(), plan.bins());
        out.doppler.fill(0.0);
        for (pair, spectrogram) in
            out.doppler.chunks_exact_mut((frames * n).max(1)).enumerate().take(tables.pairs())
        {
            for (frame, power) in spectrogram.chunks_exact_mut(n).enumerate() {
                let first = frame * plan.hop();
                for s in pair * columns..(pair + 1) * columns {
                    for (i, v) in self.line[..n].iter_mut().enumerate() {
                        let at = (first + i) * streams + s;
                        *v = if spec.ratio.is_some() {
                            Complex32::new(out.ratio_re[at], out.ratio_im[at])
                        } else {
                            Complex32::new(out.amplitude[at], 0.0)
                        };
                    }
                    plan.add_frame(
                        &self.line[..n],
                        &self.received[first..first + n],
                        1.0 / columns as f32,
                        power,
                    );
                }
            }
        }
    }
}
