//! Numeric work on CSI arrays: unpacking, phase sanitisation, outlier removal, filters, FFT features.
//!
//! Arrays are row-major `f32` or [`Complex32`]; a block of packets of one link is
//! `[time][antenna pair][subcarrier]`, with antenna pair = `tx * rx_count + rx`.
//! This crate imports no other room of the workspace.
//!
//! The modules hold plain functions over slices that the caller brings; plans (`…Plan`) own the tables and buffers
//! of transforms that need them. Nothing but a constructor allocates. `docs/kernels.md` lists formulas and sources.

pub mod agc;
pub mod breathing;
pub mod cholesky;
pub mod cleanup;
pub mod cpu;
pub mod delay;
pub mod discriminant;
pub mod doppler;
pub mod filter;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod grid;
pub mod hampel;
pub mod layout;
pub mod mask;
pub mod motion;
pub mod music;
pub mod pca;
pub mod phase;
pub mod ratio;
pub mod same_work;

pub use layout::Layout;
pub use num_complex::Complex32;
