//! The stages between capture and the ring, each a plain state machine; [`crate::pipeline`] gives each its thread.

pub mod assembly;
pub mod baseline;
pub mod breathing;
pub mod calibration;
pub mod cleanup;
pub mod gather;
pub mod inference;
pub mod intake;
pub mod motion;
pub mod output;
pub mod persons;
pub mod presence;
mod quiet;
pub mod recorder;
pub mod segments;
pub mod site_presence;
mod worker;

pub use worker::{Worker, stage};
