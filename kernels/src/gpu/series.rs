//! What looks along time in blocks of streams that lie on the device, such as [`super::Output::Amplitude`]: detrending,
//! band-pass and principal components.

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, Constants, Kernel},
    transfer::{Download, Upload},
};
use crate::filter::Section;

const SERIES: &str = include_str!("wgsl/series.wgsl");
const PCA: &str = include_str!("wgsl/pca.wgsl");

/// Threads of a workgroup of `series.wgsl`.
const FLAT: usize = 64;

/// Most components: their products stay in a workgroup's memory.
const COMPONENTS: usize = 16;

/// What is taken out of each stream first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detrend {
    /// Nothing.
    Keep,
    /// Its mean ([`crate::filter::detrend_mean`]).
    Mean,
    /// Its least-squares line ([`crate::filter::detrend_linear`]).
    Line,
}

/// Principal components ([`crate::pca::PcaPlan`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Components {
    /// How many, 1..=16 and at most the steps and the streams.
    pub count: usize,
    /// Rounds of power iteration.
    pub iterations: usize,
}

/// What a [`GpuSeries`] is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSpec {
    /// Most windows in one run.
    pub windows: usize,
    /// Samples of a stream in a window, T.
    pub steps: usize,
    /// Streams.
    pub streams: usize,
    /// Taken out first.
    pub detrend: Detrend,
    /// The filter that follows ([`crate::filter::filter`]), its state zero at each window's start; none for an empty one.
    pub sections: Vec<Section>,
    /// Run the filter backwards too ([`crate::filter::filter_zero_phase`]).
    pub zero_phase: bool,
    /// Components of what then is left.
    pub components: Option<Components>,
}

/// A block of `[window][T][streams]`.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    /// On the host, a whole number of windows.
    Host(&'a [f32]),
    /// The first so many windows of a buffer of the same device that may be copied from.
    Device(&'a wgpu::Buffer, usize),
}

/// Results of one run, on the host.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Windows in this run.
    pub windows: usize,
    /// Detrended and filtered, `[window][T][streams]`.
    pub values: &'a [f32],
    /// `[window][components][streams]`, unit rows by falling variance, the greatest loading positive.
    pub components: &'a [f32],
    /// `[window][components][T]`.
    pub scores: &'a [f32],
    /// `[window][components]`.
    pub variances: &'a [f32],
}

/// One kernel to begin, one for each iteration and one to end, with their bindings.
struct Pca {
    begin: (Kernel, wgpu::BindGroup),
    iterate: (Kernel, wgpu::BindGroup),
    end: (Kernel, wgpu::BindGroup),
    iterations: usize,
}

impl Pca {
    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, windows: u32) {
        let middle = std::iter::repeat_n(&self.iterate, self.iterations);
        for (kernel, group) in std::iter::once(&self.begin).chain(middle).chain([&self.end]) {
            kernel.dispatch(pass, 0, &[group], [windows, 1, 1]);
        }
    }
}

/// A plan on a GPU.
pub struct GpuSeries {
    context: GpuContext,
    spec: SeriesSpec,
    upload: Upload,
    series: (Kernel, wgpu::BindGroup),
    pca: Option<Pca>,
    results: [wgpu::Buffer; 3],
    download: Download,
    windows: usize,
    host: Vec<f32>,
}

impl GpuSeries {
    /// A plan on `context`'s device.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if something is empty or too large, else the device's.
    pub fn new(context: &GpuContext, spec: SeriesSpec) -> Result<Self, GpuError> {
        let most = u64::from(context.device().limits().max_compute_workgroups_per_dimension);
        let groups = spec.streams.div_ceil(FLAT);
        let count = spec.components.map_or(1, |c| c.count);
        let allowed = COMPONENTS.min(spec.steps).min(spec.streams) as u64;
        for (what, n, limit) in [
            ("windows in a batch", spec.windows, most),
            ("streams over 64", groups, most),
            ("packets in a window", spec.steps, u64::from(u32::MAX)),
            ("components", count, allowed),
        ] {
            if n == 0 || n as u64 > limit {
                return Err(GpuError::Limit { what, needed: n as u64, limit });
            }
        }
        let lens = lens(&spec);
        let bytes = |len: usize| spec.windows as u64 * len as u64 * size_of::<f32>() as u64;
        let upload = Upload::new(context, 2, bytes(lens[0]))?;
        let storage = |what, len| kernel::storage(context, what, bytes(len));
        let results =
            [storage("components", lens[1])?, storage("scores", lens[2])?, storage("variances", lens[3])?];
        let download = Download::new(context, bytes(lens.iter().sum()))?;
        Ok(Self {
            series: series(context, &spec, upload.input())?,
            pca: spec
                .components
                .map(|components| pca(context, &spec, components, upload.input(), &results))
                .transpose()?,
            context: context.clone(),
            upload,
            results,
            download,
            windows: 0,
            host: vec![0.0; spec.windows * lens.iter().sum::<usize>()],
            spec,
        })
    }

    /// Starts on a batch: one submission.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if the block is no whole number of windows or more than the plan's, else the device's.
    pub fn run(&mut self, block: Block<'_>) -> Result<(), GpuError> {
        let window = self.spec.steps * self.spec.streams;
        let (values, windows) = match block {
            Block::Host(x) => (x.len(), x.len() / window),
            Block::Device(buffer, windows) => {
                let values = windows.saturating_mul(window);
                let held = buffer.size() / size_of::<f32>() as u64;
                if values as u64 > held {
                    return Err(GpuError::Limit {
                        what: "values of the block",
                        needed: values as u64,
                        limit: held,
                    });
                }
                (values, windows)
            }
        };
        self.windows = 0;
        if windows == 0 || windows > self.spec.windows || windows * window != values {
            let limit = (self.spec.windows * window) as u64;
            return Err(GpuError::Limit { what: "values of whole windows", needed: values as u64, limit });
        }
        let context = self.context.clone();
        let result = context.guarded(|| {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            match block {
                Block::Host(x) => self.upload.write(&context, bytemuck::cast_slice(x), &mut encoder)?,
                Block::Device(buffer, _) => {
                    let bytes = (values * size_of::<f32>()) as u64;
                    encoder.copy_buffer_to_buffer(buffer, 0, self.upload.input(), 0, bytes);
                }
            }
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let groups = self.spec.streams.div_ceil(FLAT) as u32;
            let (kernel, group) = &self.series;
            kernel.dispatch(&mut pass, 0, &[group], [groups, windows as u32, 1]);
            if let Some(pca) = &self.pca {
                pca.dispatch(&mut pass, windows as u32);
            }
            drop(pass);
            Ok((context.queue().submit([encoder.finish()]), ()))
        });
        match block {
            Block::Host(_) => self.upload.submitted(&context, result.flatten())?,
            Block::Device(..) => result.flatten()?,
        };
        self.windows = windows;
        context.check()
    }

    /// Detrended and filtered values on the device, until the next run.
    pub fn values(&self) -> &wgpu::Buffer {
        self.upload.input()
    }

    /// Components, scores and variances on the device, as in [`Series`].
    pub fn components(&self) -> [&wgpu::Buffer; 3] {
        self.results.each_ref()
    }

    /// The results of the last run, waiting for them.
    ///
    /// # Errors
    /// The device's.
    pub fn read(&mut self) -> Result<Series<'_>, GpuError> {
        let (windows, context) = (self.windows, self.context.clone());
        let lens = lens(&self.spec).map(|len| windows * len);
        if windows > 0 {
            let (submission, bytes) = context.guarded(|| {
                let mut encoder = context.device().create_command_encoder(&Default::default());
                let [components, scores, variances] = &self.results;
                let buffers = [self.upload.input(), components, scores, variances];
                let parts: Vec<_> =
                    buffers.into_iter().zip(lens.map(|len| (len * size_of::<f32>()) as u64)).collect();
                let bytes = self.download.record(&mut encoder, &parts);
                (context.queue().submit([encoder.finish()]), bytes)
            })?;
            self.download.submitted(&submission, bytes);
        }
        let all = lens.iter().sum();
        self.download.fetch(&context, bytemuck::cast_slice_mut(&mut self.host[..all]))?;
        let (values, rest) = self.host.split_at(lens[0]);
        let (components, rest) = rest.split_at(lens[1]);
        let (scores, rest) = rest.split_at(lens[2]);
        Ok(Series { windows, values, components, scores, variances: &rest[..lens[3]] })
    }
}

/// `f32`s of a window: values, components, scores, variances.
fn lens(spec: &SeriesSpec) -> [usize; 4] {
    let k = spec.components.map_or(0, |c| c.count);
    [spec.steps * spec.streams, k * spec.streams, k * spec.steps, k]
}

fn constants(spec: &SeriesSpec) -> Constants {
    Constants::default().u32("STEPS", spec.steps).u32("STREAMS", spec.streams)
}

fn series(
    context: &GpuContext,
    spec: &SeriesSpec,
    values: &wgpu::Buffer,
) -> Result<(Kernel, wgpu::BindGroup), GpuError> {
    let n = spec.steps as f64;
    let moment = if spec.steps > 1 { 12.0 / (n * (n * n - 1.0)) } else { 0.0 };
    let source = constants(spec)
        .u32("SECTIONS", spec.sections.len())
        .bool("MEAN", spec.detrend != Detrend::Keep)
        .bool("LINE", spec.detrend == Detrend::Line)
        .bool("BACKWARDS", spec.zero_phase)
        .f32("MOMENT_SCALE", moment as f32)
        .source(&[SERIES]);
    let split = |x: &f64| [*x as f32, (x - f64::from(*x as f32)) as f32];
    let coefficients: Vec<[f32; 2]> = spec
        .sections
        .iter()
        .flat_map(|s| s.b.iter().chain(&s.a))
        .map(split)
        .chain(std::iter::once([0.0; 2]))
        .collect();
    let coefficients = kernel::table(context, "sections", &coefficients)?;
    context.guarded(|| {
        let kernel = Kernel::new(context, "series", source, &[&[Access::Write, Access::Read]], None);
        let group = kernel.bind(context, 0, &[values, &coefficients]);
        (kernel, group)
    })
}

fn pca(
    context: &GpuContext,
    spec: &SeriesSpec,
    components: Components,
    values: &wgpu::Buffer,
    results: &[wgpu::Buffer; 3],
) -> Result<Pca, GpuError> {
    let source = constants(spec).u32("K", components.count).source(&[PCA]);
    let start = kernel::table(context, "start", &start(components.count * spec.streams))?;
    let centred = kernel::storage(context, "centred values", values.size())?;
    let access = [Access::Read, Access::Read, Access::Write, Access::Write, Access::Write, Access::Write];
    let [axes, scores, variances] = results;
    let step = |name| {
        let kernel = Kernel::new(context, name, source.clone(), &[&access], None);
        let group = kernel.bind(context, 0, &[values, &start, &centred, axes, scores, variances]);
        (kernel, group)
    };
    context.guarded(|| Pca {
        begin: step("pca_begin"),
        iterate: step("pca_iterate"),
        end: step("pca_end"),
        iterations: components.iterations.max(1),
    })
}

/// Values without structure, the same every time (xorshift).
fn start(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}
