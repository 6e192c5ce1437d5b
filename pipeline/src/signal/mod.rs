//! What the signal alone says beyond presence: activities and counts that a site has taught with recordings of its own.
//!
//! A classifier knows one room, its radios and its people, so none is shipped. `invispose calibrate activity` and `calibrate count` learn one from
//! labelled recordings, measure it on recordings that it has not seen, and keep it in the data directory only if it is good
//! enough. Nothing is said where the signal is unlike all that was learned, or where no class is likely enough.

mod features;
mod learn;
mod model;
mod recordings;
mod watch;

use serde::{Deserialize, Serialize};

use crate::pose::{Count, SignalActivity};

pub use features::{Look, LookConfig, Looks};
pub use learn::{Labelled, LearnError, learn, measure};
pub use model::{Measured, ModelFileError, SignalModel, Task};
pub use recordings::looks_of;
pub use watch::{Newest, SignalWatch};

/// The rules of classifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalConfig {
    /// Least probability at which an activity is shown, 0..1: below it two classes are about as likely as each other.
    pub min_probability: f32,
    /// Least balanced accuracy, 0..1, on recordings that were left out, at which a classifier is kept.
    pub min_accuracy: f32,
    /// A moment that is farther from all that was learned than this many times the strangest of a thousand learned moments is not judged.
    pub strange: f32,
    /// Probabilities are averaged over this long, seconds: single looks err, and looks of longer ago are of what was done before.
    pub average_s: f32,
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self { min_probability: 0.6, min_accuracy: 0.6, strange: 1.5, average_s: 0.5 }
    }
}

/// What the site's own classifiers say of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalAnswer {
    /// `None` without a classifier, while nobody is there, and where it cannot tell.
    pub activity: Option<SignalActivity>,
    /// Likewise.
    pub count: Option<Count>,
}
