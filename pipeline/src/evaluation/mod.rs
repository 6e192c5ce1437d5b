//! Measurements of the stages on labelled recordings.

pub mod detector;
pub mod falls;
pub mod motion;
pub mod tracking;
