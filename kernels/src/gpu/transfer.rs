//! Bytes to the device and back.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::{
    context::{GpuContext, GpuError},
    kernel,
};
use crate::cleanup::Iq;

/// The number that `samples.wgsl` has for a format, and the samples' bytes.
pub(super) fn packed(input: Iq<'_>) -> (usize, &[u8]) {
    match input {
        Iq::I8(x) => (0, bytemuck::cast_slice(x)),
        Iq::I8ImaginaryFirst(x) => (1, bytemuck::cast_slice(x)),
        Iq::I16(x) => (2, bytemuck::cast_slice(x)),
        Iq::F32(x) => (3, bytemuck::cast_slice(x)),
    }
}

const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A mapping that was asked for.
#[derive(Debug)]
struct Mapping(Arc<AtomicU8>);

impl Mapping {
    fn request(buffer: &wgpu::Buffer, mode: wgpu::MapMode, bytes: u64) -> Self {
        let state = Arc::new(AtomicU8::new(PENDING));
        let done = state.clone();
        buffer.map_async(mode, 0..bytes, move |result| {
            done.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        Self(state)
    }

    /// Waits for the submission that the mapping waits for.
    fn wait(&self, context: &GpuContext, after: Option<&wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        if self.0.load(Ordering::Acquire) == PENDING {
            context.wait(after)?;
        }
        if self.0.load(Ordering::Acquire) != MAPPED {
            context.fault().set(GpuError::Lost("its memory cannot be mapped".into()));
        }
        context.check()
    }
}

/// A ring of buffers that the host writes while the device works on what earlier ones brought.
#[derive(Debug)]
pub(super) struct Staging {
    slots: Vec<Slot>,
    next: usize,
    capacity: u64,
}

#[derive(Debug)]
struct Slot {
    buffer: wgpu::Buffer,
    /// `None`: mapped since it was made.
    mapping: Option<Mapping>,
    submission: Option<wgpu::SubmissionIndex>,
}

impl Staging {
    pub(super) fn new(context: &GpuContext, slots: usize, capacity: u64) -> Result<Self, GpuError> {
        let limit = context.device().limits().max_buffer_size;
        if capacity > limit {
            return Err(GpuError::Limit { what: "an upload", needed: capacity, limit });
        }
        let make = || Slot {
            buffer: context.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("upload"),
                size: capacity,
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            }),
            mapping: None,
            submission: None,
        };
        let slots = context.guarded(|| (0..slots.max(1)).map(|_| make()).collect())?;
        Ok(Self { slots, next: 0, capacity })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Writes `bytes`, at most the capacity, to the next slot, waiting for its last use to end, and records the copy
    /// to the start of `to`.
    pub(super) fn write(
        &mut self,
        context: &GpuContext,
        bytes: &[u8],
        encoder: &mut wgpu::CommandEncoder,
        to: &wgpu::Buffer,
    ) -> Result<(), GpuError> {
        let slot = &mut self.slots[self.next];
        if let Some(mapping) = &slot.mapping {
            mapping.wait(context, slot.submission.as_ref())?;
        }
        let padded = (bytes.len() as u64).next_multiple_of(4);
        match slot.buffer.get_mapped_range_mut(..padded) {
            Ok(mut view) => view.slice(..bytes.len()).copy_from_slice(bytes),
            Err(error) => context.fault().set(GpuError::Lost(error.to_string())),
        }
        slot.buffer.unmap();
        encoder.copy_buffer_to_buffer(&slot.buffer, 0, to, 0, padded);
        context.check()
    }

    /// To be called with what became of the submission: the slot is asked back, also when there was an error.
    pub(super) fn submitted<T>(
        &mut self,
        context: &GpuContext,
        result: Result<(wgpu::SubmissionIndex, T), GpuError>,
    ) -> Result<(wgpu::SubmissionIndex, T), GpuError> {
        let (count, capacity) = (self.slots.len(), self.capacity);
        let slot = &mut self.slots[self.next];
        self.next = (self.next + 1) % count;
        slot.submission = result.as_ref().ok().map(|done| done.0.clone());
        let asked = context.guarded(|| {
            slot.mapping = Some(Mapping::request(&slot.buffer, wgpu::MapMode::Write, capacity));
        });
        result.and_then(|done| asked.map(|()| done))
    }
}

/// A ring of upload buffers and the one on the device that they are copied to.
pub(super) struct Upload {
    staging: Staging,
    input: wgpu::Buffer,
}

impl Upload {
    pub(super) fn new(context: &GpuContext, slots: usize, bytes: u64) -> Result<Self, GpuError> {
        let input = kernel::storage(context, "input", bytes)?;
        Ok(Self { staging: Staging::new(context, slots, input.size())?, input })
    }

    /// The device's side.
    pub(super) fn input(&self) -> &wgpu::Buffer {
        &self.input
    }

    pub(super) fn capacity(&self) -> u64 {
        self.staging.capacity()
    }

    /// See [`Staging::write`].
    pub(super) fn write(
        &mut self,
        context: &GpuContext,
        bytes: &[u8],
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<(), GpuError> {
        self.staging.write(context, bytes, encoder, &self.input)
    }

    /// See [`Staging::submitted`].
    pub(super) fn submitted<T>(
        &mut self,
        context: &GpuContext,
        result: Result<(wgpu::SubmissionIndex, T), GpuError>,
    ) -> Result<(wgpu::SubmissionIndex, T), GpuError> {
        self.staging.submitted(context, result)
    }
}

/// A buffer that brings results to the host.
pub(super) struct Download {
    buffer: wgpu::Buffer,
    pending: Option<(Mapping, wgpu::SubmissionIndex, u64)>,
}

impl Download {
    pub(super) fn new(context: &GpuContext, bytes: u64) -> Result<Self, GpuError> {
        let limit = context.device().limits().max_buffer_size;
        if bytes > limit {
            return Err(GpuError::Limit { what: "results on the host", needed: bytes, limit });
        }
        let buffer = context.guarded(|| {
            context.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("download"),
                size: bytes.max(16).next_multiple_of(4),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        Ok(Self { buffer, pending: None })
    }

    /// Records copies of the first bytes of each buffer, one after the other, and returns how many bytes that makes.
    /// What was on its way is given up.
    pub(super) fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        parts: &[(&wgpu::Buffer, u64)],
    ) -> u64 {
        if self.pending.take().is_some() {
            self.buffer.unmap();
        }
        let mut at = 0;
        for &(buffer, bytes) in parts.iter().filter(|part| part.1 > 0) {
            encoder.copy_buffer_to_buffer(buffer, 0, &self.buffer, at, bytes);
            at += bytes;
        }
        at
    }

    /// To be called when the copies have been submitted.
    pub(super) fn submitted(&mut self, submission: &wgpu::SubmissionIndex, bytes: u64) {
        let mapping = Mapping::request(&self.buffer, wgpu::MapMode::Read, bytes);
        self.pending = Some((mapping, submission.clone(), bytes));
    }

    /// Waits for the copies and moves them to `host`. Does nothing if nothing is on its way.
    pub(super) fn fetch(&mut self, context: &GpuContext, host: &mut [u8]) -> Result<(), GpuError> {
        let Some((mapping, submission, bytes)) = self.pending.take() else { return context.check() };
        mapping.wait(context, Some(&submission))?;
        match self.buffer.get_mapped_range(..bytes) {
            Ok(view) => host[..bytes as usize].copy_from_slice(&view),
            Err(error) => context.fault().set(GpuError::Lost(error.to_string())),
        }
        self.buffer.unmap();
        context.check()
    }
}
