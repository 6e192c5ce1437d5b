//! Public sets of recordings with poses, in the layouts in which they are published: whoever holds one trains and measures a network on
//! it.
//!
//! A recording is read when it is needed. Splits are chosen by name and never by frame: neighbouring frames of one recording
//! are nearly the same, so that a network would be asked what it was told.

mod baseline;
#[cfg(feature = "nn")]
mod measure;
mod skeleton;
#[cfg(feature = "nn")]
mod windows;

use std::path::Path;

use super::recordings::{EvaluationError, set_folder};
use super::{mmfi, person_in_wifi, pictures};
use crate::csi::CsiFrame;

pub use baseline::baseline;
#[cfg(feature = "nn")]
pub use measure::measure;
pub use skeleton::{Body, Camera, Order, Seen};
#[cfg(feature = "nn")]
pub use windows::teach;

/// A public set.
pub struct PublicSet {
    /// Its name on the command line, and that of its folder.
    pub name: &'static str,
    /// Its splits.
    pub splits: fn() -> Vec<&'static str>,
    /// The recordings in its folder, unread, in an order of their own.
    pub recordings: fn(&Path) -> Result<Vec<Box<dyn PoseRecording>>, EvaluationError>,
    /// What its figures cannot say.
    pub notes: &'static [&'static str],
}

/// All of them.
pub const SETS: [PublicSet; 4] = [mmfi::SET, person_in_wifi::SET, pictures::WISPPN, pictures::WI_POSE];

/// Which part of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To learn from.
    Train,
    /// To be measured on.
    Test,
}

/// A recording of a set.
pub trait PoseRecording: Send + Sync {
    /// Its path below the set's folder.
    fn name(&self) -> String;
    /// Whom or what it shows: recordings of the same are not parted for validation.
    fn group(&self) -> String;
    /// In which room, where the set tells.
    fn room(&self) -> Option<&'static str>;
    /// Where it belongs in one of the set's splits; nowhere if that leaves it out.
    fn part(&self, split: &str) -> Option<Part>;
    /// Who was where.
    ///
    /// # Errors
    /// When the files cannot be read or hold something else.
    fn truth(&self) -> Result<Truth, EvaluationError>;
    /// What was received.
    ///
    /// # Errors
    /// When nothing can be read.
    fn received(&self) -> Result<Received, EvaluationError>;
}

/// Who was where, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// In a room of this size.
    Metres {
        /// Metres.
        room_m: [f32; 3],
        /// Site coordinates in metres.
        seen: Vec<Seen<3>>,
    },
    /// In a camera's picture.
    Pixels(Vec<Seen<2>>),
}

/// What the links of a recording received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The links.
    pub links: Vec<SetLink>,
    /// Files that were left out, each with the reason.
    pub left_out: Vec<String>,
}

/// A link of a recording.
#[derive(Clone, Debug)]
pub struct SetLink {
    /// Transmitter, site coordinates in metres.
    pub transmitter_m: [f32; 3],
    /// Receiver, site coordinates in metres.
    pub receiver_m: [f32; 3],
    /// In order of time; their times are from the recording's start, all of one layout.
    pub packets: Vec<CsiFrame>,
}

/// The set of this name.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<&'static PublicSet, EvaluationError> {
    static ALL: [PublicSet; SETS.len()] = SETS;
    ALL.iter().find(|set| set.name == name).ok_or_else(|| {
        let known = SETS.map(|set| set.name).join(", ");
        EvaluationError::Set(format!("no set of poses {name:?}; there are {known}"))
    })
}

/// Whether a recording of this name is for testing, where a set publishes no split by recordings: one in five, whatever others
/// there are.
pub(super) fn one_in_five(name: &str) -> bool {
    crc32fast::hash(name.as_bytes()).is_multiple_of(5)
}

impl PublicSet {
    /// The split of this name.
    ///
    /// # Errors
    /// When the set has none of this name, and where it would part neighbouring frames.
    pub fn split(&self, name: &str) -> Result<&'static str, EvaluationError> {
        let all = (self.splits)();
        all.iter().find(|split| **split == name).copied().ok_or_else(|| {
            let why = if name.contains("frame") {
                "is refused: neighbouring frames are nearly the same, so a network would be asked what it was told"
            } else {
                "is unknown"
            };
            EvaluationError::Set(format!("{}: split {name:?} {why}; there are {}", self.name, all.join(", ")))
        })
    }

    /// The recordings under `data`: the set's own folder, or the one that holds the sets.
    ///
    /// # Errors
    /// When there are none.
    pub fn under(&self, data: &Path) -> Result<Vec<Box<dyn PoseRecording>>, EvaluationError> {
        (self.recordings)(&set_folder(data, self.name))
    }
}
