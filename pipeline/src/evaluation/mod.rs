//! Measurements of the stages on labelled recordings.

pub mod motion;
