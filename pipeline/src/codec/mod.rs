//! The one binary encoding of frames: recordings, the ring and the network carry it.
//!
//! Little-endian, written field by field, versioned. Every frame starts with an 8-byte [`Envelope`]; the bodies are
//! laid out in `docs/formats.md`. A reader refuses another major version and skips what a newer minor version appended.

mod csi;
mod cursor;
mod pose;

use thiserror::Error;

use crate::{CsiFrame, PoseFrame};
use cursor::Cursor;

/// Encodings that share this number can be read by each other's readers.
pub const MAJOR: u8 = 1;
/// Counts additions that older readers skip.
pub const MINOR: u8 = 2;
/// Bytes of an [`Envelope`].
pub const ENVELOPE_BYTES: usize = 8;
/// The longest frame that is encoded, envelope included.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Which frame an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`CsiFrame`].
    Csi,
    /// A [`PoseFrame`].
    Pose,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Csi => 1,
            Self::Pose => 2,
        }
    }
}

/// Either frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// One packet of one link.
    Csi(CsiFrame),
    /// Who is where.
    Pose(PoseFrame),
}

impl Frame {
    /// The frame's place on the pipeline's time line, nanoseconds since the Unix epoch.
    pub fn time_ns(&self) -> i64 {
        match self {
            Self::Csi(f) => f.time_ns,
            Self::Pose(f) => f.time_ns,
        }
    }
}

/// Why bytes are no frame. Offsets count from the frame's first byte.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end within a field.
    #[error("offset {offset}: {needed} bytes needed, {available} there")]
    Truncated {
        /// Where the field starts.
        offset: usize,
        /// Its length.
        needed: u64,
        /// What is left.
        available: usize,
    },
    /// Not a kind that this version knows, or not the one asked for.
    #[error("offset 0: frame kind {kind} is not expected here")]
    Kind {
        /// The kind byte.
        kind: u8,
    },
    /// Another major version.
    #[error("offset 1: encoding version {major} is not version {MAJOR}")]
    Version {
        /// The version found.
        major: u8,
    },
    /// A field holds what it must not.
    #[error("offset {offset}: {field} = {value}")]
    Value {
        /// Where the field starts.
        offset: usize,
        /// Its name in `docs/formats.md`.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// A name is not UTF-8.
    #[error("offset {offset}: {field} is not UTF-8")]
    Text {
        /// Where the field starts.
        offset: usize,
        /// Its name in `docs/formats.md`.
        field: &'static str,
    },
    /// Bytes after the last field of a version that has no such bytes.
    #[error("offset {offset}: {count} bytes too many")]
    Trailing {
        /// Where they start.
        offset: usize,
        /// How many.
        count: usize,
    },
}

/// Why a frame cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The array does not have the length that the layout says.
    #[error("{field} has {found} values, the layout says {expected}")]
    Shape {
        /// `csi` or `subcarrier_index`.
        field: &'static str,
        /// By the layout.
        expected: usize,
        /// In the frame.
        found: usize,
    },
    /// A list, name or frame is longer than the encoding allows.
    #[error("{field}: {found} exceeds the limit of {limit}")]
    TooLong {
        /// What is too long.
        field: &'static str,
        /// The most that fits.
        limit: usize,
        /// What was given.
        found: usize,
    },
}

/// The first 8 bytes of every frame: kind, major, minor, 0, body length (u32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The kind byte: 1 CSI, 2 pose; others belong to later versions.
    pub kind: u8,
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Bytes of the body that follows.
    pub body_bytes: u32,
}

impl Envelope {
    /// Reads the envelope at the start of `bytes`, of whatever kind and version, and makes sure that the whole body is there.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut at = Cursor::new(bytes);
        let (kind, major, minor, _) = (at.u8()?, at.u8()?, at.u8()?, at.u8()?);
        let envelope = Self { kind, major, minor, body_bytes: at.u32()? };
        at.take(u64::from(envelope.body_bytes))?;
        Ok(envelope)
    }

    /// Bytes of the frame, envelope included.
    pub fn total_bytes(&self) -> usize {
        ENVELOPE_BYTES + self.body_bytes as usize
    }
}

/// Appends the frame to `out` and returns the bytes it took. An error leaves `out` as it was.
pub fn encode_csi(frame: &CsiFrame, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    encode(Kind::Csi, out, csi::body_bytes(frame)?, |out| csi::write(frame, out))
}

/// Appends the frame to `out` and returns the bytes it took. An error leaves `out` as it was.
pub fn encode_pose(frame: &PoseFrame, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    encode(Kind::Pose, out, pose::body_bytes(frame)?, |out| pose::write(frame, out))
}

/// The CSI frame at the start of `bytes` and the bytes it takes.
pub fn decode_csi(bytes: &[u8]) -> Result<(CsiFrame, usize), DecodeError> {
    match decode(bytes)? {
        (Frame::Csi(frame), n) => Ok((frame, n)),
        _ => Err(DecodeError::Kind { kind: Kind::Pose.code() }),
    }
}

/// The pose frame at the start of `bytes` and the bytes it takes.
pub fn decode_pose(bytes: &[u8]) -> Result<(PoseFrame, usize), DecodeError> {
    match decode(bytes)? {
        (Frame::Pose(frame), n) => Ok((frame, n)),
        _ => Err(DecodeError::Kind { kind: Kind::Csi.code() }),
    }
}

/// The frame at the start of `bytes` and the bytes it takes.
pub fn decode(bytes: &[u8]) -> Result<(Frame, usize), DecodeError> {
    let envelope = Envelope::parse(bytes)?;
    if envelope.major != MAJOR {
        return Err(DecodeError::Version { major: envelope.major });
    }
    let total = envelope.total_bytes();
    let newer = envelope.minor > MINOR;
    let mut body = Cursor::new(bytes.get(..total).unwrap_or(bytes));
    body.take(ENVELOPE_BYTES as u64)?;
    let frame = match envelope.kind {
        1 => Frame::Csi(csi::read(&mut body, newer)?),
        2 => Frame::Pose(pose::read(&mut body, newer)?),
        kind => return Err(DecodeError::Kind { kind }),
    };
    if !newer && body.left() > 0 {
        return Err(DecodeError::Trailing { offset: body.offset(), count: body.left() });
    }
    Ok((frame, total))
}

fn encode(
    kind: Kind,
    out: &mut Vec<u8>,
    body_bytes: usize,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<usize, EncodeError> {
    let total = body_bytes.saturating_add(ENVELOPE_BYTES);
    at_most("frame", MAX_FRAME_BYTES, total)?;
    let start = out.len();
    out.reserve(total);
    out.extend([kind.code(), MAJOR, MINOR, 0]);
    // MAX_FRAME_BYTES is far below 2³².
    out.extend((body_bytes as u32).to_le_bytes());
    write(out);
    debug_assert_eq!(out.len() - start, total);
    Ok(total)
}

fn at_most(field: &'static str, limit: usize, found: usize) -> Result<(), EncodeError> {
    if found > limit { Err(EncodeError::TooLong { field, limit, found }) } else { Ok(()) }
}

fn exactly(field: &'static str, expected: usize, found: usize) -> Result<(), EncodeError> {
    if found == expected { Ok(()) } else { Err(EncodeError::Shape { field, expected, found }) }
}

/// Flag bits beyond `known` belong to a newer minor version.
fn check_flags(offset: usize, flags: u16, known: u16, newer: bool) -> Result<(), DecodeError> {
    if !newer && flags & !known != 0 {
        return Err(DecodeError::Value { offset, field: "flags", value: u64::from(flags) });
    }
    Ok(())
}

fn put_f32(out: &mut Vec<u8>, values: &[f32]) {
    for v in values {
        out.extend(v.to_le_bytes());
    }
}
