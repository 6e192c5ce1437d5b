//! Measurements of the stages on labelled recordings.

pub mod detector;
pub mod motion;
pub mod tracking;
