//! Every operation against references that share no code with it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod breathing;
mod cleanup;
mod data;
mod dense;
mod discriminant;
mod goldens;
mod operations;
mod properties;
mod reference;
mod same_work;
