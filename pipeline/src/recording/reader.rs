//! Reading a recording.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use super::format::{BLOCK_HEADER_BYTES, BlockInfo};
use super::scan::{self, Gap};
use super::{Metadata, RecordingError};
use crate::capture::Reject;
use crate::codec::{self, Envelope, Frame};

/// A recording, memory-mapped. Sees the whole blocks that were there when it was opened.
#[derive(Debug)]
pub struct Reader {
    map: Mmap,
    contents: scan::Contents,
}

impl Reader {
    /// Opens a recording, closed or crashed, or one that is being written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let io = |source| RecordingError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let contents = scan::contents(&mut file, path)?;
        let bytes = usize::try_from(contents.end).map_err(|e| io(std::io::Error::other(e)))?;
        // SAFETY: only whole blocks are mapped, which writers never change and never cut off: the file may only grow behind them.
        // A recording that somebody shortens by other means ends the process when it is read; that is the one
        // thing that a mapped file asks of its surroundings.
        let map = unsafe { MmapOptions::new().len(bytes).map(&file) }.map_err(io)?;
        Ok(Self { map, contents })
    }

    /// What the recording says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.contents.metadata
    }

    /// Its blocks, in the order of the file.
    pub fn blocks(&self) -> &[BlockInfo] {
        &self.contents.blocks
    }

    /// Places in the middle where a block should be and none can be recognised.
    pub fn gaps(&self) -> &[Gap] {
        &self.contents.gaps
    }

    /// Bytes at the end that are no whole block: what was being written when the writer died.
    pub fn torn_bytes(&self) -> u64 {
        self.contents.torn_bytes
    }

    /// The writer closed the file and left an index.
    pub fn closed(&self) -> bool {
        self.contents.indexed
    }

    /// Frames, as the blocks' headers count them.
    pub fn frame_count(&self) -> u64 {
        self.blocks().iter().map(|b| u64::from(b.count)).sum()
    }

    /// Earliest and latest time, nanoseconds since the Unix epoch; `None` for an empty recording.
    pub fn time_range_ns(&self) -> Option<(i64, i64)> {
        let first = self.blocks().iter().map(|b| b.first_ns).min()?;
        let last = self.blocks().iter().map(|b| b.last_ns).max()?;
        Some((first, last))
    }

    /// All frames, in the order of the file.
    pub fn frames(&self) -> Frames<'_> {
        self.frames_from(i64::MIN)
    }

    /// The frames at this time or later, in the order of the file. Blocks that are earlier as a whole are not touched.
    pub fn frames_from(&self, time_ns: i64) -> Frames<'_> {
        Frames { reader: self, from_ns: time_ns, block: 0, gap: 0, at: 0, end: 0 }
    }

    fn bytes(&self, from: u64, to: u64) -> Option<&[u8]> {
        self.map.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }

    /// The block's payload, once its header and checksum are right.
    fn check(&self, block: &BlockInfo) -> Result<(), &'static str> {
        let bytes = self.bytes(block.offset, block.end()).ok_or("truncated")?;
        if BlockInfo::decode(bytes, block.offset).as_ref() != Some(block) {
            return Err("block_header");
        }
        let payload = bytes.get(BLOCK_HEADER_BYTES..).ok_or("truncated")?;
        if crc32fast::hash(payload) == block.crc { Ok(()) } else { Err("block_checksum") }
    }
}

/// Frames of a recording; see [`Reader::frames`]. A damaged block or an unknown frame costs one [`Reject`] and nothing else.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: &'a Reader,
    from_ns: i64,
    /// Index of the next block and the next gap.
    block: usize,
    gap: usize,
    /// What is left of the current block.
    at: u64,
    end: u64,
}

impl Frames<'_> {
    /// The next gap before the next block, or that block's entry; `None` at the end of the recording.
    fn advance(&mut self) -> Option<Result<(), Reject>> {
        loop {
            let block = self.reader.blocks().get(self.block);
            if let Some(gap) = self.reader.gaps().get(self.gap)
                && block.is_none_or(|b| gap.offset < b.offset)
            {
                self.gap += 1;
                let detail = format!("{} bytes without a block header", gap.bytes);
                return Some(Err(Reject { offset: gap.offset, reason: "block_header", detail }));
            }
            let block = block?;
            self.block += 1;
            if block.last_ns < self.from_ns {
                continue;
            }
            if let Err(reason) = self.reader.check(block) {
                let detail = format!("block {} with {} frames", block.number, block.count);
                return Some(Err(Reject { offset: block.offset, reason, detail }));
            }
            self.at = block.offset + BLOCK_HEADER_BYTES as u64;
            self.end = block.end();
            return Some(Ok(()));
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Reject>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.at >= self.end {
                match self.advance()? {
                    Ok(()) => continue,
                    Err(reject) => return Some(Err(reject)),
                }
            }
            let offset = self.at;
            let bytes = self.reader.bytes(offset, self.end).unwrap_or_default();
            match codec::decode(bytes) {
                Ok((frame, used)) => {
                    self.at += used as u64;
                    if frame.time_ns() >= self.from_ns {
                        return Some(Ok(frame));
                    }
                }
                Err(e) => {
                    // A frame of a later version is stepped over by its length.
                    self.at = Envelope::parse(bytes).map_or(self.end, |e| offset + e.total_bytes() as u64);
                    return Some(Err(Reject { offset, reason: "frame", detail: e.to_string() }));
                }
            }
        }
    }
}
