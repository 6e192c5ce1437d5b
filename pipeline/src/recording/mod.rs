//! Recordings: an append-only file of CSI and pose frames that survives crashes.
//!
//! Frames are gathered into blocks with a checksum each. A block that was flushed is on the disk; after a crash the
//! file is readable up to the last whole block, and can be appended to. `docs/formats.md` has the bytes.

mod format;
mod reader;
mod scan;
mod writer;

use std::{io, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::codec::EncodeError;
use crate::{SourceKind, site::SiteConfig};

pub use format::{BlockInfo, MAGIC, MAJOR};
pub use reader::{Frames, Reader};
pub use scan::Gap;
pub use writer::{Writer, WriterConfig};

/// What a recording says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What kind of source the frames came from when they were recorded.
    pub source: SourceKind,
    /// The site, where the recording is of one and this version understands its description.
    #[serde(default, deserialize_with = "understood_site")]
    pub site: Option<SiteConfig>,
    /// When the recording was started, nanoseconds since the Unix epoch.
    pub created_ns: i64,
    /// For people: what was recorded, and how.
    #[serde(default)]
    pub note: String,
}

/// A site description of another version must not make the frames unreadable.
fn understood_site<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SiteConfig>, D::Error> {
    let Some(value) = Option::<serde_json::Value>::deserialize(from)? else { return Ok(None) };
    let site = serde_json::from_value(value);
    Ok(site.inspect_err(|e| tracing::warn!(error = %e, "the recording's site description is not used")).ok())
}

/// Does the file start as a recording does? False also where it cannot be read.
pub fn is_recording(path: &std::path::Path) -> bool {
    let mut head = [0; format::MAGIC.len()];
    std::fs::File::open(path).and_then(|mut f| io::Read::read_exact(&mut f, &mut head)).is_ok()
        && head == format::MAGIC
}

/// Why a recording cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The recording.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// No room. What was acknowledged before stays readable; what was not is kept for the next try.
    #[error("{path}: disk full ({source}); {acknowledged} frames are safe")]
    DiskFull {
        /// The recording.
        path: PathBuf,
        /// Frames of this writer that are on the disk.
        acknowledged: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// Not a recording, or one whose header did not reach the disk.
    #[error("{path}: not a recording: {reason} at offset {offset}")]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// Another major version of the format.
    #[error("{path}: recording format version {found}; this program reads version {MAJOR}")]
    Version {
        /// The recording.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// Another writer has the file.
    #[error("{path}: another process writes this recording")]
    Locked {
        /// The recording.
        path: PathBuf,
    },
    /// The frame cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
