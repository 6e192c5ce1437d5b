//! Numeric work on CSI arrays: unpacking, phase sanitisation, outlier removal, filters, FFT features.
//!
//! Arrays are row-major `f32` or [`Complex32`]; a block of packets of one link is
//! `[time][antenna pair][subcarrier]`, with antenna pair = `tx * rx_count + rx`.
//! This crate imports no other room of the workspace.

pub mod layout;

pub use layout::Layout;
pub use num_complex::Complex32;
