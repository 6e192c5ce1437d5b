//! The cleanup plan on a GPU.

use super::{
    batch::{DeviceSamples, GpuBatch},
    context::{GpuContext, GpuError},
    kernel,
    output::Output,
    profile::{Busy, Profile},
    stages::{Builder, FLAT, Stage},
    transfer::{Download, Upload, packed},
};
use crate::cleanup::{Clean, Cleanup, CleanupError, CleanupSpec, Iq, Sizes};

/// How a plan works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// Every run brings its results to the host in the same submission, for [`Cleanup::read`]. Without it they stay
    /// on the device until `read` asks for them.
    pub readback: bool,
    /// Upload buffers: with two, the host writes a batch while the device works on the one before. With none the plan is
    /// made for [`GpuCleanup::record`], and [`Cleanup::run`] makes one when it is first called.
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

/// A cleanup plan on a GPU.
pub struct GpuCleanup {
    context: GpuContext,
    spec: CleanupSpec,
    sizes: Sizes,
    stages: Vec<Stage>,
    outputs: Vec<wgpu::Buffer>,
    upload: Upload,
    /// Made when it is first needed.
    download: Option<Download>,
    download_bytes: u64,
    profile: Option<Profile>,
    options: GpuOptions,
    windows: usize,
    host: Vec<f32>,
    motion: Vec<Option<f32>>,
}

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
        let sample_bytes = if options.slots == 0 { 0 } else { options.sample_bytes.clamp(2, 8) as u64 };
        let upload = Upload::new(context, options.slots, values * sample_bytes)?;
        let download = match options.readback {
            true => Some(Download::new(context, bytes(lens.iter().sum()))?),
            false => None,
        };
        let stages = Builder { context, spec: &spec, outputs: &outputs, input: upload.input() }.stages()?;
        Ok(Self {
            context: context.clone(),
            stages,
            outputs,
            upload,
            download,
            download_bytes: bytes(lens.iter().sum()),
            profile: Profile::new(context, options.timed_runs)?,
            options,
            windows: 0,
            host: if options.readback {
                vec![0.0; spec.windows * lens.iter().sum::<usize>()]
            } else {
                vec![]
            },
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

    /// Adds a run over `samples` to `batch`, which several plans may share. The results stay on the device; work that
    /// is recorded or submitted later sees them without a wait. [`Cleanup::read`] knows nothing of this run.
    ///
    /// # Errors
    /// [`CleanupError::Input`] if the samples are no whole windows, or too many; [`CleanupError::Device`].
    pub fn record(&mut self, batch: &mut GpuBatch, samples: &DeviceSamples) -> Result<(), CleanupError> {
        let windows = self.spec.whole_windows(samples.values())?;
        let context = &self.context;
        context.guarded(|| {
            let groups: Vec<Option<wgpu::BindGroup>> = self
                .stages
                .iter()
                .map(|stage| {
                    let behind = stage.behind_input.as_ref()?;
                    let behind = behind.iter().map(|buffer| buffer.as_entire_buffer_binding());
                    let parts: Vec<_> = std::iter::once(samples.binding()).chain(behind).collect();
                    Some(stage.kernel.bind_parts(context, 0, &parts))
                })
                .collect();
            let mut pass = batch.encoder().begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("cleanup"),
                timestamp_writes: self.profile.as_mut().and_then(Profile::next),
            });
            for (stage, own) in self.stages.iter().zip(&groups) {
                stage.dispatch(&mut pass, samples.format(), own.as_ref(), windows);
            }
        })?;
        self.windows = windows;
        Ok(())
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
        let result = context.guarded(|| {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            self.upload.write(&context, bytes, &mut encoder)?;
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("cleanup"),
                timestamp_writes: self.profile.as_mut().and_then(Profile::next),
            });
            for stage in &self.stages {
                stage.dispatch(&mut pass, format, None, windows);
            }
            drop(pass);
            let down = if self.options.readback { self.record_download(&mut encoder, windows) } else { 0 };
            Ok((context.queue().submit([encoder.finish()]), down))
        });
        let (submission, down) = self.upload.submitted(&context, result.flatten())?;
        if let Some(download) = self.download.as_mut().filter(|_| down > 0) {
            download.submitted(&submission, down);
        }
        context.check()
    }

    fn record_download(&mut self, encoder: &mut wgpu::CommandEncoder, windows: usize) -> u64 {
        let parts = Output::ALL.map(|o| {
            let len = windows * o.len(&self.spec, &self.sizes) * size_of::<f32>();
            (&self.outputs[o as usize], len as u64)
        });
        self.download.as_mut().map_or(0, |download| download.record(encoder, &parts))
    }

    fn fetch(&mut self) -> Result<(), GpuError> {
        let (windows, context) = (self.windows, self.context.clone());
        if self.download.is_none() {
            self.download = Some(Download::new(&context, self.download_bytes)?);
            self.host = vec![0.0; self.floats(self.spec.windows)];
        }
        let floats = self.floats(windows);
        if !self.options.readback && windows > 0 {
            let (submission, bytes) = context.guarded(|| {
                let mut encoder = context.device().create_command_encoder(&Default::default());
                let bytes = self.record_download(&mut encoder, windows);
                (context.queue().submit([encoder.finish()]), bytes)
            })?;
            if let Some(download) = &mut self.download {
                download.submitted(&submission, bytes);
            }
        }
        match &mut self.download {
            Some(download) => download.fetch(&context, bytemuck::cast_slice_mut(&mut self.host[..floats])),
            None => context.check(),
        }
    }
}

impl Cleanup for GpuCleanup {
    fn spec(&self) -> &CleanupSpec {
        &self.spec
    }

    fn run(&mut self, input: Iq<'_>) -> Result<(), CleanupError> {
        self.windows = 0;
        let windows = self.spec.windows_in(&input)?;
        let (format, bytes) = packed(input);
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
