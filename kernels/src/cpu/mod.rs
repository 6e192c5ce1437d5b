//! Cleanup and the layers of a network on the CPU. Cleanup is one pass over each packet while it lies in the first-level
//! cache, vector units filled by 16-lane chunks that are compiled for AVX-512, AVX2 and the baseline and chosen at run
//! time.

mod dense;
mod hampel;
mod packet;
pub(crate) mod simd;
mod window;

pub use self::{
    dense::{Dense, Finish},
    simd::{ATAN2_ERROR, LOG2_ERROR, Level, atan2_slice, log2_slice},
};
use self::{
    packet::{Out, Scratch, Tables},
    window::WindowScratch,
};
use crate::cleanup::{Clean, Cleanup, CleanupError, CleanupSpec, Iq, Sizes};

/// A cleanup plan on the CPU.
pub struct CpuCleanup {
    spec: CleanupSpec,
    sizes: Sizes,
    tables: Tables,
    workers: Vec<Worker>,
    out: Outputs,
    windows: usize,
}

struct Worker {
    packet: Scratch,
    window: WindowScratch,
}

struct Outputs {
    gain: Vec<f32>,
    amplitude: Vec<f32>,
    phase: Vec<f32>,
    ratio_re: Vec<f32>,
    ratio_im: Vec<f32>,
    delay: Vec<f32>,
    doppler: Vec<f32>,
    motion: Vec<Option<f32>>,
}

/// The outputs of consecutive windows.
struct Part<'a> {
    gain: &'a mut [f32],
    amplitude: &'a mut [f32],
    phase: &'a mut [f32],
    ratio_re: &'a mut [f32],
    ratio_im: &'a mut [f32],
    delay: &'a mut [f32],
    doppler: &'a mut [f32],
    motion: &'a mut [Option<f32>],
}

impl<'a> Part<'a> {
    fn split(self, windows: usize, spec: &CleanupSpec, sizes: &Sizes) -> (Part<'a>, Part<'a>) {
        let (gain, gain2) = self.gain.split_at_mut(windows * spec.steps);
        let (amplitude, amplitude2) = self.amplitude.split_at_mut(windows * sizes.values);
        let (phase, phase2) = self.phase.split_at_mut(windows * sizes.values);
        let (ratio_re, ratio_re2) = self.ratio_re.split_at_mut(windows * sizes.ratio);
        let (ratio_im, ratio_im2) = self.ratio_im.split_at_mut(windows * sizes.ratio);
        let (delay, delay2) = self.delay.split_at_mut(windows * sizes.delay);
        let (doppler, doppler2) = self.doppler.split_at_mut(windows * sizes.doppler);
        let (motion, motion2) = self.motion.split_at_mut(if spec.motion { windows } else { 0 });
        (
            Part { gain, amplitude, phase, ratio_re, ratio_im, delay, doppler, motion },
            Part {
                gain: gain2,
                amplitude: amplitude2,
                phase: phase2,
                ratio_re: ratio_re2,
                ratio_im: ratio_im2,
                delay: delay2,
                doppler: doppler2,
                motion: motion2,
            },
        )
    }
}

impl CpuCleanup {
    /// A plan that uses the best instructions of this machine and at most `threads` of rayon's current pool (1 = the
    /// caller's thread only). Windows are spread over the threads.
    ///
    /// # Errors
    /// [`CleanupError::Spec`] from [`CleanupSpec::check`].
    pub fn new(spec: CleanupSpec, threads: usize) -> Result<Self, CleanupError> {
        Self::with_level(spec, threads, Level::detect())
    }

    /// As [`CpuCleanup::new`], with the instructions given; a level that this machine lacks becomes the best it has.
    ///
    /// # Errors
    /// As [`CpuCleanup::new`].
    pub fn with_level(spec: CleanupSpec, threads: usize, level: Level) -> Result<Self, CleanupError> {
        spec.check()?;
        let tables = Tables::new(&spec, level.supported());
        let sizes = spec.sizes();
        let n = spec.windows;
        let workers = (0..threads.clamp(1, n))
            .map(|_| Worker { packet: Scratch::new(&tables), window: WindowScratch::new(&spec) })
            .collect();
        let out = Outputs {
            gain: vec![0.0; n * spec.steps],
            amplitude: vec![0.0; n * sizes.values],
            phase: vec![0.0; n * sizes.values],
            ratio_re: vec![0.0; n * sizes.ratio],
            ratio_im: vec![0.0; n * sizes.ratio],
            delay: vec![0.0; n * sizes.delay],
            doppler: vec![0.0; n * sizes.doppler],
            motion: vec![None; if spec.motion { n } else { 0 }],
        };
        Ok(Self { sizes, tables, workers, out, windows: 0, spec })
    }
}

impl Cleanup for CpuCleanup {
    fn spec(&self) -> &CleanupSpec {
        &self.spec
    }

    fn run(&mut self, input: Iq<'_>) -> Result<(), CleanupError> {
        self.windows = 0;
        let windows = self.spec.windows_in(&input)?;
        let out = &mut self.out;
        let all = Part {
            gain: &mut out.gain,
            amplitude: &mut out.amplitude,
            phase: &mut out.phase,
            ratio_re: &mut out.ratio_re,
            ratio_im: &mut out.ratio_im,
            delay: &mut out.delay,
            doppler: &mut out.doppler,
            motion: &mut out.motion,
        };
        let (part, _) = all.split(windows, &self.spec, &self.sizes);
        let job = Job { spec: &self.spec, sizes: &self.sizes, tables: &self.tables };
        job.spread(&mut self.workers, input, windows, part);
        self.windows = windows;
        Ok(())
    }

    fn read(&mut self) -> Result<Clean<'_>, CleanupError> {
        let (n, s, out) = (self.windows, &self.sizes, &self.out);
        Ok(Clean {
            windows: n,
            gain: &out.gain[..n * self.spec.steps],
            amplitude: &out.amplitude[..n * s.values],
            phase: &out.phase[..n * s.values],
            ratio_re: &out.ratio_re[..n * s.ratio],
            ratio_im: &out.ratio_im[..n * s.ratio],
            delay: &out.delay[..n * s.delay],
            doppler: &out.doppler[..n * s.doppler],
            motion: &out.motion[..if self.spec.motion { n } else { 0 }],
        })
    }
}

struct Job<'a> {
    spec: &'a CleanupSpec,
    sizes: &'a Sizes,
    tables: &'a Tables,
}

impl Job<'_> {
    /// Halves windows and workers until one worker is left.
    fn spread(&self, workers: &mut [Worker], input: Iq<'_>, windows: usize, part: Part<'_>) {
        if workers.len() < 2 || windows < 2 {
            if let Some(worker) = workers.first_mut() {
                self.clean(worker, input, windows, part);
            }
            return;
        }
        let (left, right) = workers.split_at_mut(workers.len() / 2);
        let here = windows * left.len() / (left.len() + right.len());
        let (part, rest) = part.split(here, self.spec, self.sizes);
        let cut = here * self.spec.steps * self.spec.layout.values();
        let (head, tail) = (input.slice(0, cut), input.slice(cut, input.len() - cut));
        rayon::join(
            || self.spread(left, head, here, part),
            || self.spread(right, tail, windows - here, rest),
        );
    }

    fn clean(&self, worker: &mut Worker, input: Iq<'_>, windows: usize, part: Part<'_>) {
        let mut rest = part;
        let window_values = self.spec.steps * self.spec.layout.values();
        for w in 0..windows {
            let (mut one, after) = rest.split(1, self.spec, self.sizes);
            rest = after;
            self.window(worker, input.slice(w * window_values, window_values), &mut one);
        }
    }

    fn window(&self, worker: &mut Worker, input: Iq<'_>, out: &mut Part<'_>) {
        let packet = self.spec.layout.values();
        let kept = self.tables.values();
        let ratio = if self.spec.ratio.is_some() { kept } else { 0 };
        let delay = self.sizes.delay / self.spec.steps;
        for (t, gain) in out.gain.iter_mut().enumerate() {
            let at = |len: usize| t * len..(t + 1) * len;
            *gain = packet::clean(
                self.tables,
                &mut worker.packet,
                input.slice(t * packet, packet),
                Out {
                    amplitude: &mut out.amplitude[at(kept)],
                    phase: &mut out.phase[at(kept)],
                    ratio_re: &mut out.ratio_re[at(ratio)],
                    ratio_im: &mut out.ratio_im[at(ratio)],
                },
            );
            if delay > 0 {
                worker.window.delay(self.tables, &worker.packet, *gain, &mut out.delay[at(delay)]);
            }
        }
        worker.window.over_time(self.spec, self.tables, out);
    }
}
