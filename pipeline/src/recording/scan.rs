//! Finding the blocks of a recording: by its index where it was closed, else from header to header.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::format::{
    BLOCK_HEADER_BYTES, BlockInfo, Header, INDEX_TRAILER_BYTES, decode_header, decode_index, decode_trailer,
};
use super::{Metadata, RecordingError};

/// Bytes between two blocks that belong to none: a block whose header is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where they start.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) metadata: Metadata,
    pub(super) blocks: Vec<BlockInfo>,
    pub(super) gaps: Vec<Gap>,
    /// End of the last whole block, or of the header.
    pub(super) end: u64,
    /// Bytes after `end` that are no index.
    pub(super) torn_bytes: u64,
    /// The index of a clean close was there.
    pub(super) indexed: bool,
}

pub(super) fn contents(file: &mut File, path: &Path) -> Result<Contents, RecordingError> {
    let io = |source| RecordingError::Io { path: path.to_owned(), source };
    let length = file.metadata().map_err(io)?.len();
    let (metadata, start) = header(file, path)?;
    if let Some((blocks, end)) = index(file, start, length).map_err(io)? {
        return Ok(Contents {
            metadata,
            gaps: gaps(&blocks, start),
            blocks,
            end,
            torn_bytes: 0,
            indexed: true,
        });
    }
    let blocks = scan(file, start, length).map_err(io)?;
    let end = blocks.last().map_or(start, BlockInfo::end);
    let gaps = gaps(&blocks, start);
    Ok(Contents { metadata, blocks, gaps, end, torn_bytes: length - end, indexed: false })
}

fn header(file: &mut File, path: &Path) -> Result<(Metadata, u64), RecordingError> {
    let io = |source| RecordingError::Io { path: path.to_owned(), source };
    let not = |offset, reason| RecordingError::NotARecording { path: path.to_owned(), offset, reason };
    let mut bytes = Vec::new();
    loop {
        match decode_header(&bytes) {
            Header::Whole(metadata, end) => return Ok((*metadata, end)),
            Header::Version(found) => return Err(RecordingError::Version { path: path.to_owned(), found }),
            Header::Bad(offset, reason) => return Err(not(offset, reason)),
            Header::Needs(n) => {
                read_at(file, 0, n, &mut bytes).map_err(io)?;
                if bytes.len() < n {
                    let reason = format!("the header ends after {} of {n} bytes", bytes.len());
                    return Err(not(bytes.len() as u64, reason));
                }
            }
        }
    }
}

/// The indexed blocks and where they end, where the file has an index that fits it.
fn index(file: &mut File, start: u64, length: u64) -> io::Result<Option<(Vec<BlockInfo>, u64)>> {
    let trailer = INDEX_TRAILER_BYTES as u64;
    let Some(trailer_at) = length.checked_sub(trailer).filter(|&at| at >= start) else { return Ok(None) };
    let mut bytes = Vec::new();
    read_at(file, trailer_at, INDEX_TRAILER_BYTES, &mut bytes)?;
    let Some((offset, crc)) = decode_trailer(&bytes) else { return Ok(None) };
    if offset < start || offset > trailer_at {
        return Ok(None);
    }
    // Bounded by the file's own length.
    let Ok(n) = usize::try_from(trailer_at - offset) else { return Ok(None) };
    read_at(file, offset, n, &mut bytes)?;
    let Some(blocks) = decode_index(&bytes, crc) else { return Ok(None) };
    let mut end = start;
    for block in &blocks {
        if block.offset < end || block.offset > offset || block.end() > offset {
            return Ok(None);
        }
        end = block.end();
    }
    Ok((end <= offset).then_some((blocks, offset)))
}

fn gaps(blocks: &[BlockInfo], start: u64) -> Vec<Gap> {
    let mut end = start;
    let mut gaps = Vec::new();
    for block in blocks {
        if block.offset > end {
            gaps.push(Gap { offset: end, bytes: block.offset - end });
        }
        end = block.end();
    }
    gaps
}

fn scan(file: &mut File, start: u64, length: u64) -> io::Result<Vec<BlockInfo>> {
    let mut blocks = Vec::new();
    let mut at = start;
    let mut bytes = Vec::new();
    while at < length {
        read_at(file, at, BLOCK_HEADER_BYTES, &mut bytes)?;
        let here = BlockInfo::decode(&bytes, at).filter(|b| b.end() <= length);
        let Some(block) = here.map_or_else(|| next_block(file, at + 1, length), |b| Ok(Some(b)))? else {
            break;
        };
        at = block.end();
        blocks.push(block);
    }
    Ok(blocks)
}

/// The first whole block whose header starts at or after `from`. Reads each byte about once.
fn next_block(file: &mut File, from: u64, length: u64) -> io::Result<Option<BlockInfo>> {
    const STEP: usize = 256 << 10;
    let mut bytes = Vec::new();
    let mut at = from;
    while at < length {
        // A header that starts in the last byte of a step is whole in what is read.
        read_at(file, at, STEP + BLOCK_HEADER_BYTES - 1, &mut bytes)?;
        let found = bytes
            .windows(BLOCK_HEADER_BYTES)
            .zip(at..)
            .find_map(|(window, offset)| BlockInfo::decode(window, offset).filter(|b| b.end() <= length));
        if found.is_some() {
            return Ok(found);
        }
        at += STEP as u64;
    }
    Ok(None)
}

/// Up to `n` bytes at `offset`; fewer at the end of the file.
fn read_at(file: &mut File, offset: u64, n: usize, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    file.seek(SeekFrom::Start(offset))?;
    (&*file).take(n as u64).read_to_end(out).map(|_| ())
}
