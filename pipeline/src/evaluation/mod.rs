//! Measurements of the stages on labelled recordings.
//!
//! Each suite reads one public set in the layout in which it is published, whatever recordings of it lie there, and gives a [`Report`].

pub mod breaths;
pub mod detector;
#[cfg(feature = "nn")]
pub mod empty;
pub mod fall;
pub mod falls;
pub mod faults;
pub mod ghosts;
pub mod har_geotec;
pub mod har_wiar;
#[cfg(feature = "nn")]
pub mod labels;
pub mod lived;
mod matlab;
pub mod mmfi;
pub mod motion;
mod npy;
pub mod occupancy;
pub mod person_in_wifi;
pub mod pictures;
pub mod recordings;
pub mod report;
pub mod respiration;
mod series;
pub mod sets;
mod simulated;
pub mod sweep;
mod taught;
pub mod tracking;
pub mod vsense;

use std::path::Path;

pub use recordings::{EvaluationError, baseline_of, quiet_room};
pub use report::Report;

use self::report::Plot;
use crate::signal::SignalConfig;
use crate::stages::presence::PresenceConfig;

type Run = fn(&Path) -> Result<Report, EvaluationError>;

/// Suites on real recordings, by name.
pub const SUITES: [(&str, Run); 12] = [
    ("motion-espectre", motion::espectre),
    ("motion-vsense", vsense::vsense),
    ("occupancy", occupancy::occupancy),
    ("har-geotec", har_geotec::geotec),
    ("har-wiar", har_wiar::wiar),
    ("fall", fall::fall),
    ("respiration", respiration::respiration),
    ("ghosts", ghosts::ghosts),
    ("mmfi", |data| sets::baseline(&mmfi::SET, data)),
    ("person-in-wifi-3d", |data| sets::baseline(&person_in_wifi::SET, data)),
    ("wisppn", |data| sets::baseline(&pictures::WISPPN, data)),
    ("wi-pose", |data| sets::baseline(&pictures::WI_POSE, data)),
];

/// Runs a suite on the recordings under `data`: the set's own folder, or the one that holds the sets. `None` where there is none
/// of this name.
pub fn run(suite: &str, data: &Path) -> Option<Result<Report, EvaluationError>> {
    SUITES.iter().find(|(name, _)| *name == suite).map(|(_, run)| run(data))
}

/// Further trade-offs on the recordings of a suite: what the settings of `presence` and `signal` are worth, one after the other. Empty for a suite
/// that has none.
pub fn sweeps(
    suite: &str,
    data: &Path,
    presence: &PresenceConfig,
    signal: &SignalConfig,
) -> Result<Vec<Plot>, EvaluationError> {
    match suite {
        "motion-espectre" => motion::sweeps(data, presence),
        "respiration" => respiration::sweeps(data, &presence.breathing),
        "har-geotec" => taught::sweeps(data, signal),
        _ => Ok(Vec::new()),
    }
}
