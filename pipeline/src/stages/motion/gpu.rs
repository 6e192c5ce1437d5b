//! [`motion`](super::motion) on a GPU, from amplitudes that are there.

use invispose_kernels::gpu::{
    Access, Constants, GpuBatch, GpuCleanup, GpuContext, GpuError, Output, Pool, Pooled, Program, wgpu,
};

use super::{COMPARED, MAX_LAG, MIN_PAIRS, Motion};

/// What `motion.wgsl` says of one link's window.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Measured {
    share: f32,
    coherent: f32,
    total: f32,
    noise_share: f32,
    lag: u32,
    received: u32,
    measured: u32,
    unused: u32,
}

impl Measured {
    /// Packets in the window.
    pub fn received(&self) -> usize {
        self.received as usize
    }

    /// The statistics, where they could be measured.
    pub fn motion(&self) -> Option<Motion> {
        (self.measured != 0).then_some(Motion {
            share: self.share,
            coherent: self.coherent,
            total: self.total,
            lag: self.lag as usize,
            noise_share: self.noise_share,
        })
    }
}

/// The kernel for windows of one shape.
pub(crate) struct MotionProgram {
    program: Program,
    /// Mean, variance and lagged product of every stream of every row.
    streams: Pooled,
}

impl MotionProgram {
    /// For up to `rows` windows of `steps` steps of `streams` amplitudes in a run.
    pub fn new(context: &GpuContext, steps: usize, streams: usize, rows: usize) -> Result<Self, GpuError> {
        let source = Constants::default()
            .u32("STEPS", steps)
            .u32("STREAMS", streams)
            .u32("MAX_LAG", MAX_LAG)
            .u32("MIN_PAIRS", MIN_PAIRS)
            .u32("COMPARED", COMPARED)
            .source(&[include_str!("motion.wgsl")]);
        let buffers = [Access::Read, Access::Read, Access::Write, Access::Write];
        let program = Program::new(context, "motion", source, &buffers)?;
        let bytes = rows * streams * size_of::<[f32; 4]>();
        Ok(Self { program, streams: Pool::new(context).take(bytes as u64)? })
    }

    /// Measures the windows that `cleanup` cleaned as the last thing in `batch`; their results begin at `first_row` of `results`.
    pub fn record(
        &self,
        batch: &mut GpuBatch,
        cleanup: &GpuCleanup,
        results: &Pooled,
        first_row: usize,
        rows: usize,
    ) -> Result<(), GpuError> {
        let results = wgpu::BufferBinding {
            buffer: results.buffer(),
            offset: (first_row * size_of::<Measured>()) as u64,
            size: None,
        };
        let buffers = [
            cleanup.output(Output::Gain).as_entire_buffer_binding(),
            cleanup.output(Output::Amplitude).as_entire_buffer_binding(),
            self.streams.buffer().as_entire_buffer_binding(),
            results,
        ];
        self.program.record(batch, None, &buffers, [rows as u32, 1, 1])
    }
}
