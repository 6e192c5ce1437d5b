//! CSI frames on their way from a capture to the ring.
//!
//! `capture → assembly → cleanup → inference → tracking → ring`: each stage is one module, owns its thread and
//! state, and knows only the type it takes and the type it gives. Bounded crossbeam channels join them.

pub mod alerts;
pub mod capture;
pub mod codec;
pub mod csi;
pub mod evaluation;
pub mod events;
pub mod files;
pub mod floor;
pub mod health;
#[cfg(feature = "parquet")]
pub mod parquet_columns;
pub mod pipeline;
pub mod pose;
pub mod radio;
pub mod recording;
pub mod ring;
pub mod signal;
pub mod site;
pub mod sources;
pub mod stages;
pub mod tracking;
pub mod trail;
pub mod understanding;

pub use csi::{CsiFrame, LinkId};
pub use health::Health;
pub use invispose_kernels::{Complex32, Layout};
pub use pipeline::{Pipeline, PipelineBuilder};
pub use pose::{Person, PoseFrame, Provenance, SourceKind};
