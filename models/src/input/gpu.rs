//! The network's features made on the GPU from packets that are there: the same numbers as [`super::Input::new`]'s.

use invispose_kernels::gpu::{
    Access, Constants, DeviceSamples, GpuBatch, GpuContext, GpuError, Pool, Program, wgpu,
};

use super::{ANTENNAS, BINS, BLOCK, BLOCKS, LinkWindow, STEPS, block, channel, nearest};

/// A link's packets on the host and on the GPU.
#[derive(Clone, Copy)]
pub(crate) struct DeviceLink<'a> {
    /// The packets, and what is known of the link.
    pub window: LinkWindow<'a>,
    /// The same packets, `[step][pair][subcarrier]`.
    pub samples: &'a DeviceSamples,
}

/// A step without a packet.
const NOTHING: u32 = u32::MAX;

/// The kernel that makes features.
pub(crate) struct FeatureProgram {
    context: GpuContext,
    pool: Pool,
    program: Program,
}

impl std::fmt::Debug for FeatureProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureProgram").finish_non_exhaustive()
    }
}

impl FeatureProgram {
    pub fn new(context: &GpuContext) -> Result<Self, GpuError> {
        let source = Constants::default()
            .u32("STEPS", STEPS)
            .u32("BLOCK", BLOCK)
            .u32("ANTENNAS", ANTENNAS)
            .u32("BINS", BINS)
            .f32("LIMIT", channel::LIMIT)
            .f32("UNITS", block::UNITS)
            .u32("MEAN_OF", block::MEAN_OF)
            .u32("LAGS", block::LAGS)
            .f32("LEAST_POWER", block::LEAST_POWER)
            .f32("MOMENT_SCALE", block::MOMENT_SCALE)
            .f32("MEAN_SCALE", block::MEAN_SCALE)
            .f32("MOST_GAIN", channel::MOST_GAIN)
            .source(&[include_str!("features.wgsl")]);
        let buffers = [Access::Read, Access::Read, Access::Write];
        let program = Program::unpacking(context, "link_features", &source, &buffers)?;
        Ok(Self { context: context.clone(), pool: Pool::new(context), program })
    }

    /// Writes the features of all links, `[link][BLOCKS][FEATURES]`, to `features`: one submission, no wait.
    pub fn run(&self, links: &[DeviceLink<'_>], features: &wgpu::BufferBinding<'_>) -> Result<(), GpuError> {
        // Links whose samples lie in one buffer and format are done in one dispatch.
        let mut order: Vec<usize> = (0..links.len()).collect();
        let place = |i: usize| {
            let samples = links[i].samples;
            (std::sync::Arc::as_ptr(samples.place().0), samples.packing())
        };
        order.sort_by_key(|&i| place(i));
        let mut batch = GpuBatch::new(&self.context)?;
        // Kept until the submission: what is written to buffers goes before all of its commands.
        let mut kept = Vec::new();
        for same in order.chunk_by(|&a, &b| place(a) == place(b)) {
            let words: Vec<u32> = same.iter().flat_map(|&i| job(&links[i], i)).collect();
            let jobs = self.pool.with(bytemuck::cast_slice(&words))?;
            let samples = links[same[0]].samples;
            let buffers = [
                samples.place().0.buffer().as_entire_buffer_binding(),
                jobs.buffer().as_entire_buffer_binding(),
                features.clone(),
            ];
            let counts = [BLOCKS as u32, same.len() as u32, 1];
            self.program.record(&mut batch, Some(samples.packing()), &buffers, counts)?;
            kept.push(jobs);
        }
        batch.submit(None, None)
    }
}

/// What the kernel is told of a link.
fn job(link: &DeviceLink<'_>, row: usize) -> Vec<u32> {
    let window = &link.window;
    let values = window.layout.values() as u32;
    let antennas = usize::from(window.layout.rx).min(ANTENNAS) as u32;
    let (_, start) = link.samples.place();
    let mut words = vec![start as u32, window.layout.subcarriers.into(), antennas, values, row as u32];
    words.extend((0..STEPS).map(|step| nearest(window, step).map_or(NOTHING, |source| source as u32)));
    let (quiet, chains) = window.reference.channel_and_chains();
    let numbers = quiet.iter().flatten().chain(&chains).flat_map(|z| [z.re, z.im]);
    words.extend(numbers.map(f32::to_bits));
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        input::{FEATURES, Input, ReferenceBuilder},
        predictor::{Compute, DeviceChoice},
    };
    use invispose_kernels::{
        Complex32, Layout,
        gpu::{Readback, SampleFormat, Uploads},
    };

    /// A standing channel, something that moves, noise, and a random phase and slope of each packet.
    fn packets(layout: Layout, steps: usize, scale: f32, moves: f32) -> Vec<Complex32> {
        let noise = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
        let mut out = Vec::new();
        for step in 0..steps {
            let (phase, slope) = (noise(step) * 6.0, 0.2 * noise(3 * step + 1));
            for i in 0..layout.values() {
                let (antenna, v) =
                    ((i / layout.subcarriers as usize) as f32, (i % layout.subcarriers as usize) as f32);
                let h = Complex32::from_polar(0.5, 0.11 * v + antenna)
                    + Complex32::from_polar(0.3, 2.0 - 0.05 * v)
                    + Complex32::from_polar(moves, 0.9 * antenna - 0.07 * v + 0.4 * step as f32)
                    + Complex32::new(noise(11 * i + step), noise(5 * i + 7 * step)) * 0.02;
                let h = h * Complex32::from_polar(scale, phase + slope * v);
                out.push(Complex32::new(h.re.round(), h.im.round()));
            }
        }
        out
    }

    /// On any adapter, also lavapipe; skipped where there is none, unless `REQUIRE_GPU` forbids that.
    #[test]
    fn the_features_are_those_of_the_host() {
        let compute = match Compute::open(DeviceChoice::Software) {
            Ok(compute) => compute,
            Err(e) if std::env::var_os("REQUIRE_GPU").is_none() => return println!("skipped: {e}"),
            Err(e) => panic!("{e}"),
        };
        let context = compute.gpu().unwrap();
        let kinds = [
            (Layout::new(1, 3, 30), SampleFormat::I8, 50.0, 0.1),
            (Layout::new(1, 1, 52), SampleFormat::I16, 100.0, 0.3),
            (Layout::new(2, 2, 114), SampleFormat::F32, 33.0, 0.1),
            (Layout::new(1, 4, 5), SampleFormat::I8, 20.0, 0.2),
        ];
        let mut uploads = Uploads::new(1);
        let mut links = Vec::new();
        for (n, &(layout, format, rate_hz, moves)) in kinds.iter().enumerate() {
            let steps = (2.0 * rate_hz) as usize;
            let scale = if format == SampleFormat::I8 { 100.0 } else { 9000.0 };
            let mut csi = packets(layout, steps, scale, moves);
            if format == SampleFormat::F32 {
                csi[layout.values() * 5 + 3].re = f32::NAN;
                csi[layout.values() * 6..][..layout.values()].fill(Complex32::new(0.0, 0.0));
            }
            uploads.begin(format);
            for h in &csi {
                let words = [h.re as i16, h.im as i16];
                match format {
                    SampleFormat::I8 => uploads.push(&words.map(|w| w as i8 as u8), 1),
                    SampleFormat::I16 => uploads.push(&words.map(i16::to_ne_bytes).concat(), 1),
                    SampleFormat::F32 => uploads.push(&[h.re, h.im].map(f32::to_ne_bytes).concat(), 1),
                }
            }
            let mut quiet = ReferenceBuilder::default();
            for packet in packets(layout, 40, scale, 0.0).chunks_exact(layout.values()) {
                quiet.push(layout, packet);
            }
            // One link is silent for the first block and some packets after it.
            let received: Vec<bool> = (0..steps).map(|s| n == 2 || (s > steps / 8 && s % 7 != 0)).collect();
            links.push((csi, received, quiet.finish().unwrap()));
        }
        let mut batch = GpuBatch::new(context).unwrap();
        let pool = Pool::new(context);
        let samples = uploads.record(&mut batch, &pool).unwrap();
        batch.submit(Some(&mut uploads), None).unwrap();
        let windows: Vec<LinkWindow<'_>> = links
            .iter()
            .zip(&kinds)
            .map(|((csi, received, reference), &(layout, _, rate_hz, _))| LinkWindow {
                csi,
                received,
                layout,
                rate_hz,
                transmitter_m: [0.5, 0.5, 1.0],
                receiver_m: [4.0, 3.0, 1.2],
                reference,
            })
            .collect();
        let there: Vec<DeviceLink<'_>> =
            windows.iter().zip(&samples).map(|(&window, samples)| DeviceLink { window, samples }).collect();
        let bytes = links.len() * BLOCKS * FEATURES * 4;
        let memory = pool.take(bytes as u64).unwrap();
        FeatureProgram::new(context)
            .unwrap()
            .run(&there, &memory.buffer().as_entire_buffer_binding())
            .unwrap();
        let mut batch = GpuBatch::new(context).unwrap();
        let mut readback = Readback::new(context, bytes as u64).unwrap();
        readback.record(&mut batch, &[(memory.buffer(), bytes as u64)]).unwrap();
        batch.submit(None, Some(&mut readback)).unwrap();
        let mut got = vec![0.0f32; bytes / 4];
        readback.fetch(bytemuck::cast_slice_mut(&mut got)).unwrap();

        let want = Input::new([5.0, 4.0, 2.5], &windows).unwrap();
        for (n, (got, want)) in got.chunks_exact(BLOCKS * FEATURES).zip(&want.links).enumerate() {
            let want = &want.features;
            let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
            let off = square(&mut got.iter().zip(want).map(|(a, b)| a - b));
            let all = square(&mut want.iter().copied());
            assert!(off <= 1e-4 * all, "link {n}: {off} of {all}");
            // A number that falls to the other side of a rounding changes its features by little.
            for (i, (a, b)) in got.iter().zip(want).enumerate() {
                assert!((a - b).abs() < 5e-3, "link {n}, feature {i}: {a} {b}");
            }
        }
    }
}
