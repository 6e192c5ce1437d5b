//! The quiet room, as each link of a site knows it; kept in the data directory between runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use invispose_kernels::Layout;
use invispose_models::input::Reference;
use serde::{Deserialize, Serialize};

use crate::files;

/// What the links of one site are like while nobody moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of this file's format: 3; 2 had no `profile`.
    pub version: u32,
    /// One entry a link and layout.
    pub links: Vec<LinkBaseline>,
}

/// What one link is like while nobody moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkBaseline {
    /// The link's name.
    pub link: String,
    /// Its layout.
    pub layout: Layout,
    /// Stream time at which it was learned or last brought up to date, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// Coherent variation of quiet windows (see [`super::motion::Motion::coherent`]), at least what the noise makes of it; any order.
    pub quiet: Vec<f32>,
    /// The mean channel.
    pub reference: Option<Reference>,
    /// `[tx][rx][subcarrier]`: mean amplitude of packets scaled to unit mean square (each training field of an ESP32 by itself), 0 where no
    /// signal is. By it a later run sees whether the link still stands as it did. May be empty.
    #[serde(default)]
    pub profile: Vec<f32>,
}

/// A baseline file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("baseline {path}: {problem}")]
pub struct BaselineError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// The format's version, and the oldest that is read.
pub(super) const VERSION: u32 = 3;
const OLDEST: u32 = 2;
/// A baseline is some kilobytes a link; more than this is something else.
const MAX_BYTES: u64 = 64 << 20;

impl Baseline {
    /// Reads a file; `None` when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, BaselineError> {
        let fail = |problem: String| BaselineError { path: path.to_owned(), problem };
        let bytes = match fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_BYTES => return Err(fail(format!("{} bytes", meta.len()))),
            Ok(_) => fs::read(path).map_err(|e| fail(e.to_string()))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e.to_string())),
        };
        let baseline: Self = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
        if !(OLDEST..=VERSION).contains(&baseline.version) {
            return Err(fail(format!(
                "version {}, this program reads {OLDEST} to {VERSION}",
                baseline.version
            )));
        }
        for link in &baseline.links {
            if link.quiet.is_empty() || link.quiet.iter().any(|q| !q.is_finite() || *q < 0.0) {
                return Err(fail(format!("link {}: `quiet` must hold numbers of at least 0", link.link)));
            }
            let profile = &link.profile;
            if !(profile.is_empty() || profile.len() == link.layout.values())
                || profile.iter().any(|p| !p.is_finite())
            {
                return Err(fail(format!(
                    "link {}: `profile` must hold a number for each value of the layout",
                    link.link
                )));
            }
        }
        Ok(Some(baseline))
    }

    /// Takes over what `newer` knows of its links.
    pub fn merge(&mut self, newer: Self) {
        self.links.retain(|o| !newer.links.iter().any(|n| n.link == o.link && n.layout == o.layout));
        self.links.extend(newer.links);
    }

    /// Writes it so that a crash leaves the old file or the new one.
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        let fail = |problem: String| BaselineError { path: path.to_owned(), problem };
        let text = serde_json::to_vec(&Self { version: VERSION, links: self.links.clone() })
            .map_err(|e| fail(e.to_string()))?;
        files::replace(path, &text).map_err(|e| fail(e.to_string()))
    }
}
