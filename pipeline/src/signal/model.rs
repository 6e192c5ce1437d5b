//! A classifier that a site has taught, and its file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use invispose_kernels::Layout;
use invispose_kernels::discriminant::Discriminant;
use serde::{Deserialize, Serialize};

use super::features::{Look, LookConfig};
use crate::csi::LinkId;
use crate::files;

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// What somebody does.
    Activity,
    /// How many people are there; labels are whole numbers.
    Count,
}

impl Task {
    /// Its name in commands and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Count => "count",
        }
    }
}

/// What a classifier is worth, by recordings that were left out in turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Recordings, each left out once.
    pub recordings: usize,
    /// Moments, four a second.
    pub looks: usize,
    /// Mean over the labels of the share of moments that were told right, 0..1.
    pub balanced_accuracy: f64,
    /// Share told right, by label.
    pub by_label: BTreeMap<String, f64>,
    /// Share of moments in which an answer would have been shown, 0..1…
    pub shown: f64,
    /// …and the share of these that were right.
    pub shown_right: f64,
    /// For counts: mean absolute error of the expected number of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mae: Option<f64>,
    /// For counts: share of moments in which the number of people is within the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<f64>,
}

/// A trained classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalModel {
    /// Version of this file's format: 1.
    pub version: u32,
    /// What it tells.
    pub task: Task,
    /// When it was learned, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The links that it looks at.
    pub links: Vec<(String, Layout)>,
    /// Their quiet room's amplitudes; empty where none were known.
    pub profiles: Vec<Vec<f32>>,
    /// What it tells apart.
    pub labels: Vec<String>,
    /// What it is worth.
    pub measured: Measured,
    /// Scores are divided by this before they are taken for logarithms of probabilities: moments that overlap are no independent evidence.
    pub temperature: f64,
    /// Strangeness (see [`Discriminant::strangeness`]) that one in a thousand learned moments exceeds.
    pub strangest: f64,
    /// The discriminant.
    pub classifier: Discriminant,
}

/// A file of a classifier cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("classifier {path}: {problem}")]
pub struct ModelFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// The format's version.
pub(super) const VERSION: u32 = 1;
const MAX_BYTES: u64 = 64 << 20;
/// The longest label, bytes.
pub(super) const MAX_LABEL: usize = 64;

impl SignalModel {
    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// When it holds anything else than a classifier for `task`.
    pub fn load(path: &Path, task: Task) -> Result<Option<Self>, ModelFileError> {
        let fail = |problem: String| ModelFileError { path: path.to_owned(), problem };
        let bytes = match fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_BYTES => return Err(fail(format!("{} bytes", meta.len()))),
            Ok(_) => fs::read(path).map_err(|e| fail(e.to_string()))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e.to_string())),
        };
        let model: Self = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
        match model.problem(task) {
            Some(problem) => Err(fail(problem)),
            None => Ok(Some(model)),
        }
    }

    /// Writes it so that a crash leaves the old file or the new one.
    ///
    /// # Errors
    /// What the file system said.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let fail = |problem: String| ModelFileError { path: path.to_owned(), problem };
        let text = serde_json::to_vec(self).map_err(|e| fail(e.to_string()))?;
        files::replace(path, &text).map_err(|e| fail(e.to_string()))
    }

    /// Why it cannot be used.
    fn problem(&self, task: Task) -> Option<String> {
        let profiles = self.profiles.iter().zip(&self.links);
        let fits = |(profile, (_, layout)): (&Vec<f32>, &(String, Layout))| profile.len() == layout.values();
        let no_label = |l: &String| {
            l.is_empty() || l.len() > MAX_LABEL || self.task == Task::Count && l.parse::<u8>().is_err()
        };
        if self.version != VERSION {
            Some(format!("version {}, this program reads {VERSION}", self.version))
        } else if self.task != task {
            Some(format!("it tells {}, not {}", self.task.name(), task.name()))
        } else if let Some(label) = self.labels.iter().find(|l| no_label(l)) {
            Some(format!("{label:?} is no label"))
        } else if !(self.profiles.is_empty()
            || self.profiles.len() == self.links.len() && profiles.clone().all(fits))
        {
            Some("`profiles` do not fit `links`".into())
        } else if !self.classifier.is_whole()
            || self.classifier.classes() != self.labels.len()
            || self.classifier.features() != self.looks().width()
        {
            Some("`classifier` does not fit `labels` and `links`".into())
        } else if !(self.temperature > 0.0 && self.temperature.is_finite() && self.strangest >= 0.0) {
            Some("`temperature` and `strangest` must be numbers above 0".into())
        } else {
            None
        }
    }

    /// What it looks at.
    pub fn looks(&self) -> LookConfig {
        LookConfig {
            links: self.links.iter().map(|(link, layout)| (LinkId::new(link.as_str()), *layout)).collect(),
            profiles: self.profiles.iter().map(|p| Arc::from(p.as_slice())).collect(),
        }
    }

    /// Probabilities of the labels, and how strange the moment is over the strangest that was learned.
    pub fn judge(&self, look: &Look) -> (Vec<f64>, f64) {
        let strange = self.classifier.strangeness(&look.values) / self.strangest.max(f64::MIN_POSITIVE);
        (probabilities(&self.classifier.scores(&look.values), self.temperature), strange)
    }
}

/// The softmax of scores over a temperature.
pub(super) fn probabilities(scores: &[f64], temperature: f64) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::MIN, f64::max);
    let mut p: Vec<f64> = scores.iter().map(|s| ((s - most) / temperature).exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}
