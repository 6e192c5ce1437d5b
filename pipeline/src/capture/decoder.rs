//! The one trait behind which all capture formats stand.

use crate::csi::CsiFrame;

/// A record that could not be used. It costs this record and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Byte offset of the record in the capture (of the datagram: 0).
    pub offset: u64,
    /// A short stable name that counters use, e.g. `truncated`, `bad_length`, `bad_number`.
    pub reason: &'static str,
    /// What was wrong, with the values that were seen.
    pub detail: String,
}

/// What a decoder found next.
pub type Item = Result<CsiFrame, Reject>;

/// Walks over one capture.
///
/// Implementations never panic, never trust a length, consume at least one byte for every item that they return, and
/// allocate no more than a small multiple of the bytes they were given.
pub trait Decoder: Send {
    /// The next frame or rejected record of `data`, which is the same slice (the whole capture) at every call;
    /// `None` at its end. The decoder keeps its own offset.
    fn next(&mut self, data: &[u8]) -> Option<Item>;

    /// The chip or device that made the capture, as far as the bytes say so (by now), e.g. `BCM43455c0`.
    fn chip(&self) -> Option<&str> {
        None
    }
}

/// A capture format: how to know it and how to read it.
pub struct Format {
    /// Stable name, as `inspect` prints it, e.g. `intel5300`.
    pub name: &'static str,
    /// Does a capture that starts with these bytes (its first 64 KiB, or all of it) look like this format?
    /// True for one format only, unless the capture is damaged.
    pub sniff: fn(head: &[u8]) -> bool,
    /// A decoder at the start of a capture.
    pub decoder: fn() -> Box<dyn Decoder>,
}
