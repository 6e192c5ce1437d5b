//! The network's features made on the GPU from packets that are there: the same numbers as [`super::Input::new`]'s.

use invispose_kernels::gpu::{
    Access, Constants, DeviceSamples, GpuBatch, GpuContext, GpuError, Pool, Program, wgpu,
};

use super::{
    ANTENNAS, BINS, LinkWindow, PAIRS, STEPS,
    moments::{GAIN, LEAST_AMPLITUDE},
    nearest,
};

/// A link's packets on the host and on the GPU.
#[derive(Clone, Copy)]
pub(crate) struct DeviceLink<'a> {
    /// The packets, and what is known of the link.
    pub window: LinkWindow<'a>,
    /// The same packets, `[step][pair][subcarrier]`.
    pub samples: &'a DeviceSamples,
}

/// A step that repeats an earlier one's packet.
const HELD: u32 = 1 << 31;
/// A step before the first packet.
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
        // A byte for each pair.
        let bytes =
            |of: fn(&(usize, usize)) -> usize| PAIRS.iter().rev().fold(0, |all, pair| all << 8 | of(pair));
        let source = Constants::default()
            .u32("STEPS", STEPS)
            .u32("ANTENNAS", ANTENNAS)
            .u32("BINS", BINS)
            .u32("PAIRS", PAIRS.len())
            .f32("GAIN", GAIN)
            .f32("LEAST_AMPLITUDE", LEAST_AMPLITUDE)
            .u32("PAIR_FIRST", bytes(|pair| pair.0))
            .u32("PAIR_SECOND", bytes(|pair| pair.1))
            .source(&[include_str!("features.wgsl")]);
        let buffers = [Access::Read, Access::Read, Access::Write];
        let program = Program::unpacking(context, "link_features", &source, &buffers)?;
        Ok(Self { context: context.clone(), pool: Pool::new(context), program })
    }

    /// Writes the features of all links, `[link][STEPS][FEATURES]`, to `features`: one submission, no wait.
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
            let counts = [STEPS as u32, same.len() as u32, 1];
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
    let mut held = NOTHING;
    for step in 0..STEPS {
        match nearest(window, step) {
            Some(source) => {
                words.push(source as u32);
                held = source as u32 | HELD;
            }
            None => words.push(held),
        }
    }
    let quiet = &window.reference.moments;
    let numbers = quiet.pairs.iter().flatten().flatten().chain(quiet.amplitude.iter().flatten());
    words.extend(numbers.map(|v| v.to_bits()));
    words
}
