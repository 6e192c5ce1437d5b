//! How long the device computes, by its own clock.

use super::{
    context::{GpuContext, GpuError},
    transfer::Download,
};

/// Time that a device spent on runs, by timestamps around each run's kernels (its copies are outside).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Busy {
    /// Runs counted.
    pub runs: usize,
    /// Seconds in kernels, all runs together.
    pub busy_s: f64,
    /// Seconds from the first run's begin to the last run's end.
    pub span_s: f64,
}

impl Busy {
    /// Share of the span in which no kernel ran, 0..1; `None` before there is a span.
    pub fn idle_share(&self) -> Option<f64> {
        (self.span_s > 0.0).then(|| (1.0 - self.busy_s / self.span_s).clamp(0.0, 1.0))
    }
}

/// Bytes of a timestamp.
const STAMP: u64 = 8;

pub(super) struct Profile {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    download: Download,
    runs: u32,
    used: u32,
}

impl Profile {
    /// For `runs` runs; `None` if the device has no timestamps.
    pub(super) fn new(context: &GpuContext, runs: u32) -> Result<Option<Self>, GpuError> {
        let device = context.device();
        let runs = runs.min(wgpu::QUERY_SET_MAX_QUERIES / 2);
        if runs == 0 || !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let bytes = u64::from(2 * runs) * STAMP;
        let (set, resolved) = context.guarded(|| {
            let set = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("runs"),
                ty: wgpu::QueryType::Timestamp,
                count: 2 * runs,
            });
            let resolved = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: bytes,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            (set, resolved)
        })?;
        let download = Download::new(context, bytes)?;
        Ok(Some(Self { set, resolved, download, runs, used: 0 }))
    }

    /// Timestamps for the next run; `None` when all are used.
    pub(super) fn next(&mut self) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let at = (self.used < self.runs).then_some(2 * self.used)?;
        self.used += 1;
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &self.set,
            beginning_of_pass_write_index: Some(at),
            end_of_pass_write_index: Some(at + 1),
        })
    }

    /// Waits for the runs since the last call and adds them up.
    pub(super) fn collect(&mut self, context: &GpuContext) -> Result<Busy, GpuError> {
        let count = 2 * std::mem::take(&mut self.used);
        if count == 0 {
            return Ok(Busy::default());
        }
        let bytes = u64::from(count) * STAMP;
        let (submission, bytes) = context.guarded(|| {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            encoder.resolve_query_set(&self.set, 0..count, &self.resolved, 0);
            let bytes = self.download.record(&mut encoder, &[(&self.resolved, bytes)]);
            (context.queue().submit([encoder.finish()]), bytes)
        })?;
        self.download.submitted(&submission, bytes);
        let mut stamps = vec![0u64; count as usize];
        self.download.fetch(context, bytemuck::cast_slice_mut(&mut stamps))?;
        let seconds = |ticks: u64| ticks as f64 * f64::from(context.queue().get_timestamp_period()) * 1e-9;
        let busy: u64 = stamps.chunks_exact(2).map(|run| run[1].saturating_sub(run[0])).sum();
        let (first, last) = (stamps.iter().min(), stamps.iter().max());
        let span = first.zip(last).map_or(0, |(first, last)| last - first);
        Ok(Busy { runs: count as usize / 2, busy_s: seconds(busy), span_s: seconds(span) })
    }
}
