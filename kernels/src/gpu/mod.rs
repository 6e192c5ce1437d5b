//! Cleanup on a GPU: WGSL compute kernels through wgpu, on Vulkan.
//!
//! [`GpuContext`] is a device and its queue, made here or shared with another user of wgpu (burn's runtime);
//! [`GpuCleanup`] is the plan, the counterpart of [`crate::cpu::CpuCleanup`]. A plan compiles its kernels and makes its
//! buffers once; a run is one upload of packed samples and one submission; results stay on the device as
//! [`wgpu::Buffer`]s and come to the host if asked for.
//!
//! No call panics when the device is lost or out of memory: it returns an error, and so does every later call, so that
//! the caller can go on with the CPU.

mod batch;
mod cleanup;
mod context;
mod kernel;
mod output;
mod product;
mod profile;
mod series;
mod stages;
mod transfer;
mod transform;

pub use self::{
    batch::{DeviceSamples, GpuBatch, Pool, Pooled, Program, Readback, SampleFormat, Uploads},
    cleanup::{GpuCleanup, GpuOptions},
    context::{Adapter, AdapterChoice, GpuContext, GpuError, adapters},
    kernel::{Access, Constants},
    output::Output,
    product::GpuProduct,
    profile::Busy,
    series::{Block, Components, Detrend, GpuSeries, Series, SeriesSpec},
};
pub use wgpu;
