//! Tracking: what the network sees in each window, to people who stay the same from window to window.

mod assignment;
mod body;
mod config;
mod ids;
mod kalman;
mod track;
mod tracker;

pub use assignment::assign;
pub use config::TrackerConfig;
pub use ids::{IdError, PersonIds};
pub use kalman::{Axis, Motion};
pub use track::Observation;
pub use tracker::Tracker;
