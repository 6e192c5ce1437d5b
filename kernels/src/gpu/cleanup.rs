//! The cleanup plan on a GPU.

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, Constants, FORMATS, Kernel},
    profile::{Busy, Profile},
    transfer::{Download, Upload},
    transform::{self, Transform},
};
use crate::{
    cleanup::{Clean, Cleanup, CleanupError, CleanupSpec, Iq, Sanitise, Scale, Sizes},
    doppler, hampel, phase,
};

/// How a plan works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// Every run brings its results to the host in the same submission, for [`Cleanup::read`]. Without it they stay
    /// on the device until `read` asks for them.
    pub readback: bool,
    /// Upload buffers: with two, the host writes a batch while the device works on the one before.
    pub slots: usize,
    /// Bytes of the widest complex sample expected: 2, 4 or 8. A wider one makes larger buffers when it first comes.
    pub sample_bytes: usize,
    /// Runs whose time on the device is measured between calls of [`GpuCleanup::busy`].
    pub timed_runs: u32,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self { readback: true, slots: 2, sample_bytes: 4, timed_runs: 0 }
    }
}

/// A result on the device, laid out as in [`Clean`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `[window][T]`.
    Gain,
    /// `[window][T][pairs][columns]`.
    Amplitude,
    /// `[window][T][pairs][columns]`, radians.
    Phase,
    /// Real part of the ratio, `[window][T][pairs][columns]`.
    RatioRe,
    /// Imaginary part.
    RatioIm,
    /// `[window][T][pairs][fft_len]`.
    Delay,
    /// `[window][pairs][frames][len]`.
    Doppler,
    /// `[window][2]`: the statistic, and 1 where it could be measured, else 0.
    Motion,
}

impl Output {
    const ALL: [Output; 8] = [
        Output::Gain,
        Output::Amplitude,
        Output::Phase,
        Output::RatioRe,
        Output::RatioIm,
        Output::Delay,
        Output::Doppler,
        Output::Motion,
    ];

    /// `f32`s of one window.
    fn len(self, spec: &CleanupSpec, sizes: &Sizes) -> usize {
        match self {
            Output::Gain => spec.steps,
            Output::Amplitude | Output::Phase => sizes.values,
            Output::RatioRe | Output::RatioIm => sizes.ratio,
            Output::Delay => sizes.delay,
            Output::Doppler => sizes.doppler,
            Output::Motion => 2 * usize::from(spec.motion),
        }
    }
}

/// A cleanup plan on a GPU.
pub struct GpuCleanup {
    context: GpuContext,
    spec: CleanupSpec,
    sizes: Sizes,
    stages: Vec<Stage>,
    outputs: Vec<wgpu::Buffer>,
    upload: Upload,
    download: Download,
    profile: Option<Profile>,
    options: GpuOptions,
    windows: usize,
    host: Vec<f32>,
    motion: Vec<Option<f32>>,
}

/// One dispatch of a run.
struct Stage {
    kernel: Kernel,
    groups: Vec<wgpu::BindGroup>,
    /// The buffers of group 0 behind the input, where the input is the first: to bind again when it is replaced.
    behind_input: Option<Vec<wgpu::Buffer>>,
    counts: [u32; 2],
    windows: Windows,
}

/// Which dimension of the workgroups counts windows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Windows {
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

const SAMPLES: &str = include_str!("wgsl/samples.wgsl");
const PACKET: &str = include_str!("wgsl/packet.wgsl");
const HAMPEL: &str = include_str!("wgsl/hampel.wgsl");
const TRANSFORM: &str = include_str!("wgsl/transform.wgsl");
const DELAY: &str = include_str!("wgsl/delay.wgsl");
const DOPPLER: &str = include_str!("wgsl/doppler.wgsl");
const MOTION: &str = include_str!("wgsl/motion.wgsl");

/// Threads of a workgroup where each has a value of its own.
const FLAT: usize = 64;

impl GpuCleanup {
    /// A plan on `context`'s device: compiles its kernels and makes its buffers.
    ///
    /// # Errors
    /// [`CleanupError::Spec`] from [`CleanupSpec::check`], [`CleanupError::Device`] if the device is lost or too small.
    pub fn new(context: &GpuContext, spec: CleanupSpec, options: GpuOptions) -> Result<Self, CleanupError> {
        spec.check()?;
        Ok(Self::build(context, spec, options)?)
    }

    fn build(context: &GpuContext, spec: CleanupSpec, options: GpuOptions) -> Result<Self, GpuError> {
        let sizes = spec.sizes();
        let most = context.device().limits().max_compute_workgroups_per_dimension as usize;
        let streams = spec.layout.pairs() * spec.columns.len();
        let hampel_groups = (spec.steps * streams).div_ceil(FLAT);
        for (what, n) in [
            ("packets in a window", spec.steps),
            ("windows in a batch", spec.windows),
            ("antenna pairs", spec.layout.pairs()),
            ("values in a window over 64", if spec.hampel.is_some() { hampel_groups } else { 0 }),
        ] {
            if n > most {
                return Err(GpuError::Limit { what, needed: n as u64, limit: most as u64 });
            }
        }
        let window = spec.steps * spec.layout.values();
        let values = (spec.windows * window) as u64;
        if values > u64::from(u32::MAX / 2) {
            return Err(GpuError::Limit { what: "values in a batch", needed: values, limit: 1 << 31 });
        }
        let lens = Output::ALL.map(|output| output.len(&spec, &sizes));
        let bytes = |len: usize| (spec.windows * len * size_of::<f32>()) as u64;
        let outputs = Output::ALL
            .iter()
            .zip(lens)
            .map(|(_, len)| kernel::storage(context, "results", bytes(len)))
            .collect::<Result<Vec<_>, _>>()?;
        let upload = Upload::new(context, options.slots, values * options.sample_bytes.clamp(2, 8) as u64)?;
        let download = Download::new(context, bytes(lens.iter().sum()))?;
        let stages = Builder { context, spec: &spec, outputs: &outputs, input: upload.input() }.stages()?;
        Ok(Self {
            context: context.clone(),
            stages,
            outputs,
            upload,
            download,
            profile: Profile::new(context, options.timed_runs)?,
            options,
            windows: 0,
            host: vec![0.0; spec.windows * lens.iter().sum::<usize>()],
            motion: vec![None; if spec.motion { spec.windows } else { 0 }],
            sizes,
            spec,
        })
    }

    /// A result of the last run: the first windows of the buffer hold it once the submissions so far are done. Work
    /// submitted to the same queue later sees it without waiting. Results that the specification leaves out are
    /// buffers without meaning.
    pub fn output(&self, output: Output) -> &wgpu::Buffer {
        &self.outputs[output as usize]
    }

    /// Windows of the last run.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Waits until the device has done all that was submitted.
    ///
    /// # Errors
    /// The device's.
    pub fn wait(&self) -> Result<(), GpuError> {
        self.context.wait(None)
    }

    /// Waits for the runs since the last call and tells how long they kept the device busy. `None` if the device has no
    /// clock or [`GpuOptions::timed_runs`] is 0.
    ///
    /// # Errors
    /// The device's.
    pub fn busy(&mut self) -> Result<Option<Busy>, GpuError> {
        self.profile.as_mut().map(|profile| profile.collect(&self.context)).transpose()
    }

    /// Bytes that a run of `windows` sends to the device and, with readback, brings back.
    pub fn bytes(&self, windows: usize, sample_bytes: usize) -> (u64, u64) {
        let up = windows * self.spec.steps * self.spec.layout.values() * sample_bytes;
        let down = self.floats(windows) * size_of::<f32>();
        (up as u64, if self.options.readback { down as u64 } else { 0 })
    }

    fn floats(&self, windows: usize) -> usize {
        windows * Output::ALL.iter().map(|o| o.len(&self.spec, &self.sizes)).sum::<usize>()
    }

    fn submit(&mut self, format: usize, bytes: &[u8], windows: usize) -> Result<(), GpuError> {
        if bytes.len() as u64 > self.upload.capacity() {
            let window = self.spec.steps * self.spec.layout.values();
            let sample = bytes.len() / (windows * window);
            self.upload =
                Upload::new(&self.context, self.options.slots, (self.spec.windows * window * sample) as u64)?;
            for stage in &mut self.stages {
                if let Some(behind) = &stage.behind_input {
                    let buffers: Vec<_> = std::iter::once(self.upload.input()).chain(behind).collect();
                    stage.groups[0] =
                        self.context.guarded(|| stage.kernel.bind(&self.context, 0, &buffers))?;
                }
            }
        }
        let context = self.context.clone();
        let (submission, down) = context.guarded(|| {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            self.upload.write(&context, bytes, &mut encoder)?;
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("cleanup"),
                timestamp_writes: self.profile.as_mut().and_then(Profile::next),
            });
            for stage in &self.stages {
                let groups: Vec<_> = stage.groups.iter().collect();
                let n = windows as u32;
                let counts = match stage.windows {
                    Windows::First => [n, 1, 1],
                    Windows::Second => [stage.counts[0], n, stage.counts[1]],
                };
                stage.kernel.dispatch(&mut pass, format, &groups, counts);
            }
            drop(pass);
            let down = if self.options.readback { self.record_download(&mut encoder, windows) } else { 0 };
            Ok::<_, GpuError>((context.queue().submit([encoder.finish()]), down))
        })??;
        self.upload.submitted(&submission);
        if down > 0 {
            self.download.submitted(&submission, down);
        }
        context.check()
    }

    fn record_download(&mut self, encoder: &mut wgpu::CommandEncoder, windows: usize) -> u64 {
        let parts = Output::ALL.map(|o| {
            let len = windows * o.len(&self.spec, &self.sizes) * size_of::<f32>();
            (&self.outputs[o as usize], len as u64)
        });
        self.download.record(encoder, &parts)
    }

    fn fetch(&mut self) -> Result<(), GpuError> {
        let (windows, context) = (self.windows, self.context.clone());
        if !self.options.readback && windows > 0 {
            let (submission, bytes) = context.guarded(|| {
                let mut encoder = context.device().create_command_encoder(&Default::default());
                let bytes = self.record_download(&mut encoder, windows);
                (context.queue().submit([encoder.finish()]), bytes)
            })?;
            self.download.submitted(&submission, bytes);
        }
        let floats = self.floats(windows);
        self.download.fetch(&context, bytemuck::cast_slice_mut(&mut self.host[..floats]))
    }
}

impl Cleanup for GpuCleanup {
    fn spec(&self) -> &CleanupSpec {
        &self.spec
    }

    fn run(&mut self, input: Iq<'_>) -> Result<(), CleanupError> {
        let window_values = self.spec.steps * self.spec.layout.values();
        let windows = input.len() / window_values;
        self.windows = 0;
        if windows == 0 || windows > self.spec.windows || windows * window_values != input.len() {
            return Err(CleanupError::Input {
                values: input.len(),
                window_values,
                windows: self.spec.windows,
            });
        }
        let (format, bytes): (usize, &[u8]) = match input {
            Iq::I8(x) => (0, bytemuck::cast_slice(x)),
            Iq::I8ImaginaryFirst(x) => (1, bytemuck::cast_slice(x)),
            Iq::I16(x) => (2, bytemuck::cast_slice(x)),
            Iq::F32(x) => (3, bytemuck::cast_slice(x)),
        };
        self.submit(format, bytes, windows)?;
        self.windows = windows;
        Ok(())
    }

    fn read(&mut self) -> Result<Clean<'_>, CleanupError> {
        self.fetch()?;
        let windows = self.windows;
        let mut rest = &self.host[..];
        let [gain, amplitude, phase, ratio_re, ratio_im, delay, doppler, motion] = Output::ALL.map(|o| {
            let (part, after) = rest.split_at(windows * o.len(&self.spec, &self.sizes));
            rest = after;
            part
        });
        for (to, from) in self.motion.iter_mut().zip(motion.chunks_exact(2)) {
            *to = (from[1] != 0.0).then_some(from[0]);
        }
        let measured = if self.spec.motion { windows } else { 0 };
        Ok(Clean {
            windows,
            gain,
            amplitude,
            phase,
            ratio_re,
            ratio_im,
            delay,
            doppler,
            motion: &self.motion[..measured],
        })
    }
}

/// Makes the stages of a plan.
struct Builder<'a> {
    context: &'a GpuContext,
    spec: &'a CleanupSpec,
    outputs: &'a [wgpu::Buffer],
    input: &'a wgpu::Buffer,
}

impl Builder<'_> {
    fn stages(&self) -> Result<Vec<Stage>, GpuError> {
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
        self.from_input(kernel, behind, vec![], [spec.steps, 1])
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
        self.from_input(kernel, behind, vec![tables], [spec.steps, spec.layout.pairs()])
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
    fn from_input(
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
