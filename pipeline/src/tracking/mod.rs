//! Tracking: what the network sees in each window, to people who stay the same from window to window.

mod assignment;
mod ids;
mod kalman;
mod track;

pub use assignment::assign;
pub use ids::{IdError, PersonIds};
pub use kalman::Axis;
pub use track::{Observation, Tracker, TrackerConfig};
