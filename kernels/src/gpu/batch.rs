//! One submission of several plans and programs: samples to the device, work on them, results back.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    context::{GpuContext, GpuError},
    kernel::{self, Access, FORMATS, Kernel},
    stages::SAMPLES,
    transfer::{Download, Staging},
};

/// Parts of an upload begin at multiples of this: Vulkan's largest alignment of storage buffers.
const PART: usize = 256;

/// Commands that are submitted together.
pub struct GpuBatch {
    context: GpuContext,
    encoder: wgpu::CommandEncoder,
}

impl GpuBatch {
    /// An empty one.
    ///
    /// # Errors
    /// The device's.
    pub fn new(context: &GpuContext) -> Result<Self, GpuError> {
        let encoder = context.guarded(|| context.device().create_command_encoder(&Default::default()))?;
        Ok(Self { context: context.clone(), encoder })
    }

    /// The encoder, to record with.
    pub fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        &mut self.encoder
    }

    /// Sends it off. What was written to `uploads` and asked of `readback` for this batch goes with it.
    ///
    /// # Errors
    /// The device's.
    pub fn submit(
        self,
        uploads: Option<&mut Uploads>,
        readback: Option<&mut Readback>,
    ) -> Result<(), GpuError> {
        let Self { context, encoder } = self;
        let mut result = context.guarded(|| (context.queue().submit([encoder.finish()]), ()));
        if let Some(staging) = uploads.and_then(|u| u.staging.as_mut()) {
            result = staging.submitted(&context, result);
        }
        let (submission, ()) = result?;
        if let Some(readback) = readback {
            readback.download.submitted(&submission, readback.recorded);
        }
        context.check()
    }
}

/// How complex samples are packed: see [`crate::cleanup::Iq`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SampleFormat {
    /// Signed bytes, real part first.
    I8,
    /// Signed 16-bit numbers, real part first.
    I16,
    /// Floats, real part first.
    F32,
}

impl SampleFormat {
    /// Bytes of one complex value.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::I8 => 2,
            Self::I16 => 4,
            Self::F32 => 8,
        }
    }

    /// The `FORMAT` of `samples.wgsl`.
    fn number(self) -> u32 {
        match self {
            Self::I8 => 0,
            Self::I16 => 2,
            Self::F32 => 3,
        }
    }
}

/// Packed complex samples on the device. Clones are the same memory, which lasts as long as they do.
#[derive(Clone, Debug)]
pub struct DeviceSamples {
    memory: Arc<Pooled>,
    offset: usize,
    values: usize,
    format: SampleFormat,
}

impl DeviceSamples {
    /// Complex values.
    pub fn values(&self) -> usize {
        self.values
    }

    /// How they are packed.
    pub fn packing(&self) -> SampleFormat {
        self.format
    }

    /// The memory that they are in, and the number of the first of them if that is counted in their format from
    /// the memory's start.
    pub fn place(&self) -> (&Arc<Pooled>, usize) {
        (&self.memory, self.offset / self.format.value_bytes())
    }

    /// The values `from..from + len`, or as many of them as there are.
    pub fn slice(&self, from: usize, len: usize) -> Self {
        let from = from.min(self.values);
        let values = len.min(self.values - from);
        let offset = self.offset + from * self.format.value_bytes();
        Self { memory: self.memory.clone(), offset, values, format: self.format }
    }

    pub(super) fn format(&self) -> usize {
        self.format.number() as usize
    }

    /// What a kernel binds; the samples begin where the binding does.
    pub(super) fn binding(&self) -> wgpu::BufferBinding<'_> {
        let bytes = (self.values * self.format.value_bytes()).next_multiple_of(4) as u64;
        let size = std::num::NonZeroU64::new(bytes);
        wgpu::BufferBinding { buffer: &self.memory.buffer, offset: self.offset as u64, size }
    }
}

/// Samples on their way to the device: a part for each plan, all in one buffer, one copy.
#[derive(Debug, Default)]
pub struct Uploads {
    staging: Option<Staging>,
    slots: usize,
    bytes: Vec<u8>,
    parts: Vec<(usize, usize, SampleFormat)>,
}

impl Uploads {
    /// `slots` buffers in turn: with two, the host writes a batch while the device works on the one before.
    pub fn new(slots: usize) -> Self {
        Self { slots, ..Self::default() }
    }

    /// Begins a part; what is [pushed](Self::push) from now on belongs to it.
    pub fn begin(&mut self, format: SampleFormat) {
        self.bytes.resize(self.bytes.len().next_multiple_of(PART), 0);
        self.parts.push((self.bytes.len(), 0, format));
    }

    /// Adds packed samples, `values` of them.
    pub fn push(&mut self, packed: &[u8], values: usize) {
        self.bytes.extend_from_slice(packed);
        if let Some(part) = self.parts.last_mut() {
            part.1 += values;
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the parts.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
    }

    /// Copies the parts to memory of `pool` as the first thing that `batch` does, and forgets them. The samples are in
    /// the order of the parts.
    ///
    /// # Errors
    /// The device's.
    pub fn record(&mut self, batch: &mut GpuBatch, pool: &Pool) -> Result<Vec<DeviceSamples>, GpuError> {
        let context = &batch.context;
        let needed = (self.bytes.len().max(4) as u64).next_multiple_of(4);
        let staging = match &mut self.staging {
            Some(staging) if staging.capacity() >= needed => staging,
            place => place.insert(Staging::new(context, self.slots, needed.next_power_of_two())?),
        };
        let memory = Arc::new(pool.take(needed)?);
        let encoder = &mut batch.encoder;
        context.guarded(|| staging.write(context, &self.bytes, encoder, &memory.buffer)).flatten()?;
        let samples = self
            .parts
            .iter()
            .map(|&(offset, values, format)| DeviceSamples { memory: memory.clone(), offset, values, format })
            .collect();
        self.clear();
        Ok(samples)
    }
}

/// Buffers on the device that are used again and again.
#[derive(Clone, Debug)]
pub struct Pool {
    context: GpuContext,
    free: Arc<Mutex<Vec<wgpu::Buffer>>>,
}

/// A buffer that goes back to its [`Pool`] when it is dropped. Work submitted before is done with it before work
/// submitted later begins, so nobody waits.
#[derive(Debug)]
pub struct Pooled {
    buffer: wgpu::Buffer,
    free: Arc<Mutex<Vec<wgpu::Buffer>>>,
}

/// Free buffers that a pool keeps.
const KEPT: usize = 16;

impl Pool {
    /// An empty pool.
    pub fn new(context: &GpuContext) -> Self {
        Self { context: context.clone(), free: Arc::default() }
    }

    /// A storage buffer with this in it.
    ///
    /// # Errors
    /// The device's.
    pub fn with(&self, bytes: &[u8]) -> Result<Pooled, GpuError> {
        let pooled = self.take(bytes.len().max(4) as u64)?;
        self.context.guarded(|| self.context.queue().write_buffer(&pooled.buffer, 0, bytes))?;
        Ok(pooled)
    }

    /// A storage buffer of at least so many bytes; what is in it is anybody's guess.
    ///
    /// # Errors
    /// The device's.
    pub fn take(&self, bytes: u64) -> Result<Pooled, GpuError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |b: &wgpu::Buffer| (bytes..=8 * bytes.max(PART as u64)).contains(&b.size());
        let found = free.iter().position(fits).map(|i| free.swap_remove(i));
        drop(free);
        let buffer = match found {
            Some(buffer) => buffer,
            None => kernel::storage(&self.context, "samples", bytes.next_power_of_two())?,
        };
        Ok(Pooled { buffer, free: self.free.clone() })
    }
}

impl Pooled {
    /// The buffer.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(self.buffer.clone());
        }
    }
}

/// Results on their way to the host.
pub struct Readback {
    context: GpuContext,
    download: Download,
    capacity: u64,
    recorded: u64,
}

impl Readback {
    /// Room for so many bytes.
    ///
    /// # Errors
    /// The device's.
    pub fn new(context: &GpuContext, bytes: u64) -> Result<Self, GpuError> {
        let download = Download::new(context, bytes)?;
        Ok(Self { context: context.clone(), download, capacity: bytes, recorded: 0 })
    }

    /// Asks for the first bytes of each buffer, one after the other, behind what `batch` has done so far. To be called
    /// once for a batch.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if there is no room, else the device's.
    pub fn record(&mut self, batch: &mut GpuBatch, parts: &[(&wgpu::Buffer, u64)]) -> Result<(), GpuError> {
        let needed = parts.iter().map(|part| part.1).sum();
        if needed > self.capacity {
            return Err(GpuError::Limit { what: "results on the host", needed, limit: self.capacity });
        }
        let (download, encoder) = (&mut self.download, &mut batch.encoder);
        self.recorded = self.context.guarded(|| download.record(encoder, parts))?;
        Ok(())
    }

    /// Waits for what was submitted last and moves it to `host`, which has its length.
    ///
    /// # Errors
    /// The device's.
    pub fn fetch(&mut self, host: &mut [u8]) -> Result<(), GpuError> {
        self.download.fetch(&self.context, host)
    }
}

/// A compute kernel of the caller's own.
pub struct Program {
    context: GpuContext,
    kernel: Kernel,
}

impl Program {
    /// Compiles `entry` of `source`, whose group 0 has these buffers.
    ///
    /// # Errors
    /// [`GpuError::Refused`] with the compiler's words, else the device's.
    pub fn new(
        context: &GpuContext,
        entry: &str,
        source: String,
        buffers: &[Access],
    ) -> Result<Self, GpuError> {
        let kernel = context.guarded(|| Kernel::new(context, entry, source, &[buffers], None))?;
        Ok(Self { context: context.clone(), kernel })
    }

    /// As [`Self::new`], with two functions added to `source`: `sample(v)` is value `v` of a buffer `samples` of `u32`s that
    /// it declares, in the format that each run names, and `angle(y, x)` an `atan2` that is as exact on every device.
    ///
    /// # Errors
    /// [`GpuError::Refused`] with the compiler's words, else the device's.
    pub fn unpacking(
        context: &GpuContext,
        entry: &str,
        source: &str,
        buffers: &[Access],
    ) -> Result<Self, GpuError> {
        let source = format!("{SAMPLES}\n{source}");
        let kernel = context.guarded(|| Kernel::new(context, entry, source, &[buffers], Some(FORMATS)))?;
        Ok(Self { context: context.clone(), kernel })
    }

    /// Runs `counts` workgroups as the next thing that `batch` does.
    ///
    /// # Errors
    /// The device's.
    pub fn record(
        &self,
        batch: &mut GpuBatch,
        format: Option<SampleFormat>,
        buffers: &[wgpu::BufferBinding<'_>],
        counts: [u32; 3],
    ) -> Result<(), GpuError> {
        let format = format.map_or(0, |format| format.number() as usize);
        self.context.guarded(|| {
            let group = self.kernel.bind_parts(&self.context, 0, buffers);
            let mut pass = batch.encoder.begin_compute_pass(&Default::default());
            self.kernel.dispatch(&mut pass, format, &[&group], counts);
        })
    }
}
