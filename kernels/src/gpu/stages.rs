//! The stages of a cleanup plan: their kernels, tables and bindings.

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, Constants, FORMATS, Kernel},
    output::Output,
    transform::{self, Transform},
};
use crate::{
    cleanup::{CleanupSpec, Sanitise, Scale},
    doppler, hampel, phase,
};

/// One dispatch of a run.
pub(super) struct Stage {
    pub(super) kernel: Kernel,
    pub(super) groups: Vec<wgpu::BindGroup>,
    /// The buffers of group 0 behind the input, where the input is the first: to bind again when it is replaced.
    pub(super) behind_input: Option<Vec<wgpu::Buffer>>,
    pub(super) counts: [u32; 2],
    windows: Windows,
}

/// Which dimension of the workgroups counts windows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Windows {
    First,
    Second,
}

/// A column as `packet.wgsl` has it.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Column {
    source: u32,
    index: f32,
    centred: f32,
    slope: f32,
}

/// Column of the packet and, in the top bit, that its neighbour is the common step away.
const NEIGHBOUR: u32 = 1 << 31;

/// Unpacks samples: `sample(v)` is value `v` of a storage buffer `samples` of `u32`s, in the format `FORMAT`.
pub(super) const SAMPLES: &str = include_str!("wgsl/samples.wgsl");
const PACKET: &str = include_str!("wgsl/packet.wgsl");
const HAMPEL: &str = include_str!("wgsl/hampel.wgsl");
const TRANSFORM: &str = include_str!("wgsl/transform.wgsl");
const DELAY: &str = include_str!("wgsl/delay.wgsl");
const DOPPLER: &str = include_str!("wgsl/doppler.wgsl");
const MOTION: &str = include_str!("wgsl/motion.wgsl");

/// Threads of a workgroup where each has a value of its own.
pub(super) const FLAT: usize = 64;

/// Makes the stages of a plan.
pub(super) struct Builder<'a> {
    pub(super) context: &'a GpuContext,
    pub(super) spec: &'a CleanupSpec,
    pub(super) outputs: &'a [wgpu::Buffer],
    pub(super) input: &'a wgpu::Buffer,
}

impl Builder<'_> {
    pub(super) fn stages(&self) -> Result<Vec<Stage>, GpuError> {
        let spec = self.spec;
        let bytes = (spec.windows * spec.sizes().values * size_of::<f32>()) as u64;
        let amplitude = self.output(Output::Amplitude);
        // Where the Hampel filter follows, amplitudes go to it first.
        let raw = if spec.hampel.is_some() {
            &kernel::storage(self.context, "unfiltered amplitude", bytes)?
        } else {
            amplitude
        };
        let mut stages = vec![self.packet(raw)?];
        if let Some(h) = spec.hampel {
            let constants = self
                .constants()
                .u32("HALF", h.half)
                .f32("LIMIT", (h.sigmas * hampel::MAD_TO_SIGMA).min(f32::MAX));
            let kernel = self.kernel(
                "hampel",
                constants.source(&[HAMPEL]),
                &[&[Access::Read, Access::Read, Access::Write]],
            )?;
            let group = self.bind(&kernel, &[self.output(Output::Gain), raw, amplitude])?;
            let groups = (spec.steps * self.streams()).div_ceil(FLAT);
            stages.push(Stage::new(kernel, vec![group], [groups, 1]));
        }
        if spec.delay.is_some() {
            stages.push(self.delay()?);
        }
        if spec.doppler.is_some() {
            stages.push(self.doppler()?);
        }
        if spec.motion {
            stages.extend(self.motion()?);
        }
        Ok(stages)
    }

    fn output(&self, output: Output) -> &wgpu::Buffer {
        &self.outputs[output as usize]
    }

    fn streams(&self) -> usize {
        self.spec.layout.pairs() * self.spec.columns.len()
    }

    /// What several kernels want to know.
    fn constants(&self) -> Constants {
        let spec = self.spec;
        Constants::default()
            .u32("STEPS", spec.steps)
            .u32("PAIRS", spec.layout.pairs())
            .u32("SUBCARRIERS", spec.layout.subcarriers as usize)
            .u32("COLUMNS", spec.columns.len())
            .u32("STREAMS", self.streams())
            .bool("RATIO", spec.ratio.is_some())
    }

    fn kernel(&self, name: &str, source: String, groups: &[&[Access]]) -> Result<Kernel, GpuError> {
        self.context.guarded(|| Kernel::new(self.context, name, source, groups, None))
    }

    fn bind(&self, kernel: &Kernel, buffers: &[&wgpu::Buffer]) -> Result<wgpu::BindGroup, GpuError> {
        self.context.guarded(|| kernel.bind(self.context, 0, buffers))
    }

    fn packet(&self, amplitude: &wgpu::Buffer) -> Result<Stage, GpuError> {
        let spec = self.spec;
        let (pairs, columns) = (spec.layout.pairs(), spec.columns.len());
        let rows = (2048 / columns).clamp(1, 8).min(pairs);
        let widest = (256 / rows + 1).next_power_of_two() / 2;
        let lanes = columns.next_power_of_two().clamp(16, widest);
        let threads = rows * lanes;
        let needed = threads * (16 + 4) + pairs * (16 + 8) + rows * columns * 4;
        let limit = self.context.device().limits().max_compute_workgroup_storage_size as usize;
        if needed > limit {
            let what = "workgroup memory for a packet";
            return Err(GpuError::Limit { what, needed: needed as u64, limit: limit as u64 });
        }
        let kept: Vec<f32> = spec.columns.iter().map(|&c| f32::from(spec.index[c as usize])).collect();
        let step = phase::common_step(&kept);
        let ratio = spec.ratio;
        let constants = self
            .constants()
            .u32("THREADS", threads)
            .u32("LANES", lanes)
            .u32("ROWS", rows)
            // Odd, so that threads side by side reach into different banks.
            .u32("CHUNK", columns.div_ceil(lanes) | 1)
            .bool("UNIT_POWER", spec.scale == Scale::UnitPower)
            .bool("SHARED", spec.sanitise == Sanitise::Shared)
            .f32("STEP", step)
            .u32("RX", spec.layout.rx as usize)
            .u32("ANTENNA", ratio.map_or(0, |r| r.antenna as usize))
            .f32("FLOOR", ratio.map_or(0.0, |r| (r.floor / columns as f32).min(f32::MAX)));
        let read = Access::Read;
        let write = Access::Write;
        let kernel = self.context.guarded(|| {
            let source = constants.source(&[SAMPLES, PACKET]);
            let groups = [read, read, write, write, write, write, write];
            Kernel::new(self.context, "packet", source, &[&groups], Some(FORMATS))
        })?;
        let columns = kernel::table(self.context, "columns", &table(spec, &kept, step))?;
        let behind = vec![
            columns,
            self.output(Output::Gain).clone(),
            amplitude.clone(),
            self.output(Output::Phase).clone(),
            self.output(Output::RatioRe).clone(),
            self.output(Output::RatioIm).clone(),
        ];
        self.with_input(kernel, behind, vec![], [spec.steps, 1])
    }

    fn delay(&self) -> Result<Stage, GpuError> {
        let spec = self.spec;
        let length = spec.delay.unwrap_or(1);
        let transform = Transform::new(self.context, "delay profile", &vec![1.0; length], 1, 0)?;
        let constants = transform.constants(self.constants());
        let kernel = self.context.guarded(|| {
            let source = constants.source(&[SAMPLES, TRANSFORM, DELAY]);
            let buffers = [Access::Read, Access::Read, Access::Read, Access::Write];
            Kernel::new(self.context, "delay", source, &[&buffers, transform::TABLES], Some(FORMATS))
        })?;
        let mut source = vec![u32::MAX; length];
        for &column in &spec.columns {
            let bin = i64::from(spec.index[column as usize]).rem_euclid(length as i64);
            source[bin as usize] = u32::from(column);
        }
        let source = kernel::table(self.context, "bins", &source)?;
        let tables = transform.bind(self.context, &kernel)?;
        let behind = vec![self.output(Output::Gain).clone(), source, self.output(Output::Delay).clone()];
        self.with_input(kernel, behind, vec![tables], [spec.steps, spec.layout.pairs()])
    }

    fn doppler(&self) -> Result<Stage, GpuError> {
        let spec = self.spec;
        let (length, hop) = spec.doppler.map_or((1, 1), |d| (d.len, d.hop));
        let window = if length == 1 { vec![1.0] } else { doppler::hann(length) };
        let energy: f64 = window.iter().map(|&w| f64::from(w * w)).sum();
        let columns = spec.columns.len();
        let transform = Transform::new(self.context, "Doppler spectrum", &window, columns, 8 * 256 + 16)?;
        let constants = transform
            .constants(self.constants())
            .u32("HOP", hop)
            .u32("FRAMES", spec.doppler_frames())
            .f32("SCALE", (1.0 / energy) as f32 / columns as f32);
        let buffers = [Access::Read, Access::Read, Access::Read, Access::Write];
        let source = constants.source(&[TRANSFORM, DOPPLER]);
        let kernel = self.kernel("doppler", source, &[&buffers, transform::TABLES])?;
        let (re, im) = if spec.ratio.is_some() {
            (Output::RatioRe, Output::RatioIm)
        } else {
            (Output::Amplitude, Output::Amplitude)
        };
        let parts =
            [self.output(Output::Gain), self.output(re), self.output(im), self.output(Output::Doppler)];
        let group = self.bind(&kernel, &parts)?;
        let tables = transform.bind(self.context, &kernel)?;
        Ok(Stage::new(kernel, vec![group, tables], [spec.doppler_frames(), spec.layout.pairs()]))
    }

    fn motion(&self) -> Result<[Stage; 2], GpuError> {
        let groups = self.streams().div_ceil(FLAT);
        let source = self.constants().u32("GROUPS", groups).source(&[MOTION]);
        let bytes = (self.spec.windows * groups * size_of::<[f32; 2]>()) as u64;
        let partial = kernel::storage(self.context, "partial sums", bytes)?;
        let access = [Access::Read, Access::Read, Access::Write, Access::Write];
        let buffers = [
            self.output(Output::Gain),
            self.output(Output::Amplitude),
            &partial,
            self.output(Output::Motion),
        ];
        let streams = self.kernel("streams", source.clone(), &[&access])?;
        let first = self.bind(&streams, &buffers)?;
        let finish = self.kernel("finish", source, &[&access])?;
        let second = self.bind(&finish, &buffers)?;
        let mut finish = Stage::new(finish, vec![second], [1, 1]);
        finish.windows = Windows::First;
        Ok([Stage::new(streams, vec![first], [groups, 1]), finish])
    }

    /// A stage whose first buffer is the input.
    fn with_input(
        &self,
        kernel: Kernel,
        behind: Vec<wgpu::Buffer>,
        more: Vec<wgpu::BindGroup>,
        counts: [usize; 2],
    ) -> Result<Stage, GpuError> {
        let buffers: Vec<_> = std::iter::once(self.input).chain(&behind).collect();
        let group = self.bind(&kernel, &buffers)?;
        let mut stage = Stage::new(kernel, std::iter::once(group).chain(more).collect(), counts);
        stage.behind_input = Some(behind);
        Ok(stage)
    }
}

impl Stage {
    /// `counts` workgroups in the first and third dimension, windows in the second.
    fn new(kernel: Kernel, groups: Vec<wgpu::BindGroup>, counts: [usize; 2]) -> Self {
        // Checked against the device's limit, which is a u32.
        let counts = counts.map(|n| n as u32);
        Self { kernel, groups, behind_input: None, counts, windows: Windows::Second }
    }

    /// Works on so many windows; `first` takes the place of the stage's own first group of buffers.
    pub(super) fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        format: usize,
        first: Option<&wgpu::BindGroup>,
        windows: usize,
    ) {
        let own = &self.groups[usize::from(first.is_some())..];
        let groups: Vec<_> = first.into_iter().chain(own).collect();
        let n = windows as u32;
        let counts = match self.windows {
            Windows::First => [n, 1, 1],
            Windows::Second => [self.counts[0], n, self.counts[1]],
        };
        self.kernel.dispatch(pass, format, &groups, counts);
    }
}

/// The columns' table: weights of the least-squares line as the CPU has them.
fn table(spec: &CleanupSpec, kept: &[f32], step: f32) -> Vec<Column> {
    let centre = kept.iter().map(|&k| f64::from(k)).sum::<f64>() / kept.len().max(1) as f64;
    let spread: f64 = kept.iter().map(|&k| (f64::from(k) - centre).powi(2)).sum();
    let mut before = None;
    kept.iter()
        .zip(&spec.columns)
        .map(|(&index, &column)| {
            let beside = before.is_some_and(|b: f32| index - b == step);
            before = Some(index);
            let centred = f64::from(index) - centre;
            Column {
                source: u32::from(column) | if beside { NEIGHBOUR } else { 0 },
                index,
                centred: centred as f32,
                slope: if spread > 0.0 { (centred / spread) as f32 } else { 0.0 },
            }
        })
        .collect()
}
