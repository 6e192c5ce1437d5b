//! Tables of the transforms in `transform.wgsl`.

use std::f64::consts::{PI, TAU};

use num_complex::Complex64;
use rustfft::FftPlanner;

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, Constants, Kernel},
};

/// The buffers of bind group 1.
pub(super) const TABLES: &[Access] = &[Access::Read; 3];

/// Most threads in a workgroup: what every device allows.
const THREADS: usize = 256;

/// Workgroup memory that a transform takes if it can choose: more would leave fewer workgroups on a processor.
const COMFORTABLE: usize = 8192;

/// How one length is transformed.
pub(super) struct Transform {
    length: usize,
    points: usize,
    pub(super) lines: usize,
    line_threads: usize,
    before: Vec<[f32; 2]>,
}

impl Transform {
    /// `window` weights what goes in; at most `lines` at once. `extra` bytes of workgroup memory are taken by the kernel.
    pub(super) fn new(
        context: &GpuContext,
        what: &'static str,
        window: &[f32],
        lines: usize,
        extra: usize,
    ) -> Result<Self, GpuError> {
        let length = window.len().max(1);
        let points = if length.is_power_of_two() { length } else { (2 * length - 1).next_power_of_two() };
        let line_threads = (points / 4).clamp(1, THREADS);
        let bytes = points * size_of::<[f32; 2]>();
        let limit = context.device().limits().max_compute_workgroup_storage_size as usize;
        if bytes + extra > limit {
            return Err(GpuError::Limit { what, needed: (bytes + extra) as u64, limit: limit as u64 });
        }
        let room = (COMFORTABLE / bytes).max(1).min(THREADS / line_threads);
        let before = (0..length)
            .map(|n| {
                let turn = if points == length { Complex64::ONE } else { chirp(n, length) };
                let value = turn * window.get(n).copied().map_or(1.0, f64::from);
                [value.re as f32, value.im as f32]
            })
            .collect();
        Ok(Self { length, points, lines: room.min(lines.max(1)), line_threads, before })
    }

    pub(super) fn constants(&self, constants: Constants) -> Constants {
        constants
            .u32("LENGTH", self.length)
            .u32("POINTS", self.points)
            .u32("LINES", self.lines)
            .u32("LINE_THREADS", self.line_threads)
            .bool("RADIX2", self.points.trailing_zeros() % 2 == 1)
            .bool("BLUESTEIN", self.points != self.length)
    }

    pub(super) fn bind(&self, context: &GpuContext, kernel: &Kernel) -> Result<wgpu::BindGroup, GpuError> {
        let m = self.points;
        let roots: Vec<[f32; 2]> = (0..m)
            .map(|k| Complex64::from_polar(1.0, -TAU * k as f64 / m as f64))
            .map(|w| [w.re as f32, w.im as f32])
            .collect();
        let mut spectrum = vec![Complex64::ZERO; m];
        if m != self.length {
            for n in 0..self.length {
                spectrum[n] = chirp(n, self.length).conj() / m as f64;
                spectrum[(m - n) % m] = spectrum[n];
            }
            FftPlanner::new().plan_fft_forward(m).process(&mut spectrum);
        }
        let spectrum: Vec<[f32; 2]> = spectrum.iter().map(|v| [v.re as f32, v.im as f32]).collect();
        let roots = kernel::table(context, "roots of unity", &roots)?;
        let before = kernel::table(context, "window", &self.before)?;
        let spectrum = kernel::table(context, "chirp", &spectrum)?;
        context.guarded(|| kernel.bind(context, 1, &[&roots, &before, &spectrum]))
    }
}

/// Bluestein's `exp(−πi n² / N)`. Source: Bluestein, "A linear filtering approach to the computation of discrete Fourier
/// transform", 1970.
fn chirp(n: usize, length: usize) -> Complex64 {
    let square = (n as u64 * n as u64) % (2 * length as u64);
    Complex64::from_polar(1.0, -PI * square as f64 / length as f64)
}
