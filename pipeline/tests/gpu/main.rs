//! The pipeline's GPU paths, on any Vulkan adapter, lavapipe included. Without one the tests say so and pass;
//! `REQUIRE_GPU=1` makes that a failure.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod captures;
mod stage;
mod whole;

use invispose_kernels::gpu::{AdapterChoice, GpuContext, GpuError};

/// A device of its own for a test: hardware if there is any, else software.
fn context() -> Option<GpuContext> {
    match GpuContext::new(AdapterChoice { index: None, software: true }) {
        Ok(context) => Some(context),
        Err(GpuError::NoAdapter { .. }) if std::env::var("REQUIRE_GPU").as_deref() != Ok("1") => {
            println!("skipped: no Vulkan adapter");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
