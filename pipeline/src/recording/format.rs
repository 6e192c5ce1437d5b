//! The bytes of a recording; `docs/formats.md` is their description.

use super::Metadata;

/// The first eight bytes of a recording.
pub const MAGIC: [u8; 8] = *b"INVISREC";
/// Versions of the file format that share this number can be read by each other's readers.
pub const MAJOR: u16 = 1;
pub(super) const MINOR: u16 = 0;

const BLOCK_MAGIC: [u8; 8] = *b"\xB1IVBLOCK";
pub(super) const BLOCK_HEADER_BYTES: usize = 48;
const INDEX_MAGIC: [u8; 8] = *b"\xB1IVINDEX";
const INDEX_END: [u8; 8] = *b"IVINDEX\xB1";
const INDEX_ENTRY_BYTES: usize = 48;
pub(super) const INDEX_TRAILER_BYTES: usize = 24;

const FIXED_HEADER_BYTES: usize = 16;
/// More metadata than this is refused.
pub(super) const MAX_HEADER_BYTES: usize = 16 << 20;

/// One block of a recording, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Where its header starts.
    pub offset: u64,
    /// Bytes after the header.
    pub payload_bytes: u32,
    /// Frames in it.
    pub count: u32,
    /// Earliest time of a frame, nanoseconds since the Unix epoch.
    pub first_ns: i64,
    /// Latest time of a frame.
    pub last_ns: i64,
    /// Counts blocks from 0.
    pub number: u64,
    /// CRC-32 of the payload.
    pub crc: u32,
}

impl BlockInfo {
    /// Where the next block starts.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(BLOCK_HEADER_BYTES as u64 + u64::from(self.payload_bytes))
    }

    pub(super) fn encode(&self) -> [u8; BLOCK_HEADER_BYTES] {
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES);
        out.extend(BLOCK_MAGIC);
        out.extend(self.payload_bytes.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.first_ns.to_le_bytes());
        out.extend(self.last_ns.to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out.extend(self.crc.to_le_bytes());
        out.extend(crc32fast::hash(&out).to_le_bytes());
        let mut header = [0; BLOCK_HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    /// The block whose header is at the start of `bytes`, which stand at `offset` in the file; `None` where there is none.
    pub(super) fn decode(bytes: &[u8], offset: u64) -> Option<Self> {
        let bytes = bytes.get(..BLOCK_HEADER_BYTES)?;
        // First, because a search asks this at every byte.
        if !bytes.starts_with(&BLOCK_MAGIC) {
            return None;
        }
        let (body, crc) = bytes.split_at(BLOCK_HEADER_BYTES - 4);
        if u32_at(crc, 0)? != crc32fast::hash(body) {
            return None;
        }
        Some(Self {
            offset,
            payload_bytes: u32_at(bytes, 8)?,
            count: u32_at(bytes, 12)?,
            first_ns: u64_at(bytes, 16)? as i64,
            last_ns: u64_at(bytes, 24)? as i64,
            number: u64_at(bytes, 32)?,
            crc: u32_at(bytes, 40)?,
        })
    }
}

/// Magic, versions, length of the whole header, metadata as JSON, CRC-32 of all that.
pub(super) fn encode_header(metadata: &Metadata) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(metadata).map_err(|e| e.to_string())?;
    let total = FIXED_HEADER_BYTES + json.len() + 4;
    if total > MAX_HEADER_BYTES {
        return Err(format!("{total} bytes of metadata"));
    }
    let mut out = Vec::with_capacity(total);
    out.extend(MAGIC);
    out.extend(MAJOR.to_le_bytes());
    out.extend(MINOR.to_le_bytes());
    out.extend((total as u32).to_le_bytes());
    out.extend(json);
    out.extend(crc32fast::hash(&out).to_le_bytes());
    Ok(out)
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq)]
pub(super) enum Header {
    /// Whole: metadata and length.
    Whole(Box<Metadata>, u64),
    /// This many bytes are needed to tell.
    Needs(usize),
    /// Another major version.
    Version(u16),
    /// None at all: offset and reason.
    Bad(u64, String),
}

pub(super) fn decode_header(bytes: &[u8]) -> Header {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Header::Bad(0, "wrong magic".into());
    }
    let (Some(major), Some(total)) = (u16_at(bytes, 8), u32_at(bytes, 12)) else {
        return Header::Needs(FIXED_HEADER_BYTES);
    };
    if major != MAJOR {
        return Header::Version(major);
    }
    let total = total as usize;
    if !(FIXED_HEADER_BYTES + 4..=MAX_HEADER_BYTES).contains(&total) {
        return Header::Bad(12, format!("header length {total}"));
    }
    let Some((body, crc)) = bytes.get(..total).and_then(|h| h.split_at_checked(total - 4)) else {
        return Header::Needs(total);
    };
    if u32_at(crc, 0) != Some(crc32fast::hash(body)) {
        return Header::Bad(total as u64 - 4, "checksum of the header".into());
    }
    match serde_json::from_slice(body.get(FIXED_HEADER_BYTES..).unwrap_or_default()) {
        Ok(metadata) => Header::Whole(Box::new(metadata), total as u64),
        Err(e) => Header::Bad(FIXED_HEADER_BYTES as u64, format!("metadata: {e}")),
    }
}

/// The index that a clean close leaves behind the last block.
pub(super) fn encode_index(blocks: &[BlockInfo], offset: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + INDEX_ENTRY_BYTES * blocks.len() + INDEX_TRAILER_BYTES);
    out.extend(INDEX_MAGIC);
    for b in blocks {
        out.extend(b.offset.to_le_bytes());
        out.extend(b.payload_bytes.to_le_bytes());
        out.extend(b.count.to_le_bytes());
        out.extend(b.first_ns.to_le_bytes());
        out.extend(b.last_ns.to_le_bytes());
        out.extend(b.number.to_le_bytes());
        out.extend(b.crc.to_le_bytes());
        out.extend([0; 4]);
    }
    let crc = crc32fast::hash(&out);
    out.extend(offset.to_le_bytes());
    out.extend(crc.to_le_bytes());
    out.extend([0; 4]);
    out.extend(INDEX_END);
    out
}

/// Where the index starts and its checksum, from the last bytes of a file.
pub(super) fn decode_trailer(bytes: &[u8]) -> Option<(u64, u32)> {
    let at = bytes.len().checked_sub(INDEX_TRAILER_BYTES)?;
    (bytes.get(at + 16..)? == INDEX_END).then_some(())?;
    Some((u64_at(bytes, at)?, u32_at(bytes, at + 8)?))
}

/// The blocks that an index (without its trailer) lists; `None` where it does not hold together.
pub(super) fn decode_index(bytes: &[u8], crc: u32) -> Option<Vec<BlockInfo>> {
    if crc32fast::hash(bytes) != crc {
        return None;
    }
    let entries = bytes.strip_prefix(&INDEX_MAGIC)?;
    if entries.len() % INDEX_ENTRY_BYTES != 0 {
        return None;
    }
    let entry = |e: &[u8]| {
        Some(BlockInfo {
            offset: u64_at(e, 0)?,
            payload_bytes: u32_at(e, 8)?,
            count: u32_at(e, 12)?,
            first_ns: u64_at(e, 16)? as i64,
            last_ns: u64_at(e, 24)? as i64,
            number: u64_at(e, 32)?,
            crc: u32_at(e, 40)?,
        })
    };
    entries.chunks_exact(INDEX_ENTRY_BYTES).map(entry).collect()
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}
