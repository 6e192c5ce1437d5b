//! The last N pose frames of one site, in a memory-mapped file: one writer, any number of readers in any process.
//!
//! The writer never waits for a reader. A reader that is too slow learns that it was lapped; it never sees half a frame.
//! The file outlives the writer: whoever opens it next goes on with the next frame id.

mod map;
pub mod protocol;
mod reader;
mod writer;

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::codec::{DecodeError, EncodeError};

pub use reader::{Frames, RingReader};
pub use writer::RingWriter;

/// The format of the file. Another version is refused.
pub const VERSION: u64 = 1;

/// How much the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Slots; one less frame is guaranteed to be readable, because the oldest slot may be the one being overwritten.
    pub slots: u32,
    /// Bytes of a slot with its 32-byte header; a multiple of 64.
    pub slot_bytes: u32,
}

impl Default for RingConfig {
    /// 8 KiB hold a frame of [`PoseFrame::MAX_PERSONS`](crate::PoseFrame::MAX_PERSONS) (5042 bytes) and 3118 bytes of
    /// site and model names. 4096 slots are 3.4 minutes at 20 frames/s and 32 MiB of file, small enough to
    /// stay in the page cache for each site of a host; longer history is the storage's business.
    fn default() -> Self {
        Self { slots: 4096, slot_bytes: 8192 }
    }
}

/// Why a ring cannot be opened or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RingError {
    /// The file system said no; a full disk shows here when the ring is created, and never later.
    #[error("{path}: {source}")]
    Io {
        /// The ring's file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The bytes are not a ring, or a ring whose creation did not finish.
    #[error("{path}: not a ring: {reason}")]
    NotARing {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A ring of another version of the format.
    #[error("{path}: ring format version {found}; this program reads version {VERSION}")]
    Version {
        /// The ring's file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The existing ring has another size than the one asked for.
    #[error("{path}: the ring has {} slots of {} bytes, the configuration says {} of {}; change the configuration or remove the file",
        found.slots, found.slot_bytes, expected.slots, expected.slot_bytes)]
    Size {
        /// The ring's file.
        path: PathBuf,
        /// What was asked for.
        expected: RingConfig,
        /// What is there.
        found: RingConfig,
    },
    /// The configuration cannot be used.
    #[error("ring of {} slots of {} bytes: {reason}", config.slots, config.slot_bytes)]
    Config {
        /// What was asked for.
        config: RingConfig,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another writer has the ring.
    #[error("{path}: another process writes this ring")]
    Locked {
        /// The ring's file.
        path: PathBuf,
    },
    /// The frame does not carry the ring's next id.
    #[error("frame id {found} where the ring expects {expected}")]
    FrameId {
        /// [`RingWriter::next_frame_id`].
        expected: u64,
        /// The frame's.
        found: u64,
    },
    /// The frame is longer than a slot.
    #[error("a frame of {bytes} bytes does not fit into {limit}")]
    TooLarge {
        /// Encoded length.
        bytes: usize,
        /// What a slot takes.
        limit: usize,
    },
    /// The frame cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why a frame cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No such frame yet.
    #[error("not written yet")]
    NotYet,
    /// Overwritten by newer frames.
    #[error("overwritten; frame {oldest} is the oldest")]
    Lapped {
        /// The oldest frame that can be read.
        oldest: u64,
    },
    /// The slot does not hold what it should: the machine went down before the page reached the disk.
    #[error("lost when the machine went down")]
    Lost,
    /// The slot is intact, but its frame is of another version of the encoding.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
