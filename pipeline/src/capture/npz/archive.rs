//! The arrays in an NPZ file and a reader of one of them that borrows nothing.

use std::io::Cursor;

use flate2::{Decompress, FlushDecompress, Status};

/// Deflate cannot expand further (zlib's technical notes: 1032 to 1).
const MAX_RATIO: u64 = 1032;
/// NumPy's own limit for the text of a header is 10 000 characters.
const MAX_HEADER: usize = 10_000;

/// A member of the archive, unread.
pub(super) struct Entry {
    /// Name without `.npy`.
    pub name: String,
    start: usize,
    end: usize,
    deflated: bool,
}

/// All `.npy` members that are stored or deflated, in the archive's order.
pub(super) fn entries(data: &[u8]) -> Result<Vec<Entry>, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(data)).map_err(|e| e.to_string())?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let Ok(file) = archive.by_index_raw(index) else { continue };
        let Ok(name) = std::str::from_utf8(file.name_raw()) else { continue };
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let Some(start) = file.data_start().and_then(|s| usize::try_from(s).ok()) else { continue };
        let method = usize::try_from(file.header_start()).ok().and_then(|at| data.get(at + 8..at + 10));
        let deflated = match method {
            Some([0, 0]) => false,
            Some([8, 0]) => true,
            _ => continue,
        };
        let end = usize::try_from(file.compressed_size()).ok().and_then(|n| start.checked_add(n));
        // A member that the end of the file cuts off is read as far as it goes.
        let end = end.unwrap_or(data.len()).min(data.len());
        if start <= end && !file.encrypted() {
            entries.push(Entry { name, start, end, deflated });
        }
    }
    Ok(entries)
}

/// Reads a member from its start to its end.
pub(super) struct Stream {
    pos: usize,
    end: usize,
    inflate: Option<Box<Decompress>>,
}

impl Stream {
    pub(super) fn new(entry: &Entry) -> Self {
        let inflate = entry.deflated.then(|| Box::new(Decompress::new(false)));
        Self { pos: entry.start, end: entry.end, inflate }
    }

    /// Where in the file it reads.
    pub(super) fn offset(&self) -> u64 {
        self.pos as u64
    }

    /// Can the rest of the member hold `bytes` more? Asked before a buffer of that size is made.
    pub(super) fn can_hold(&self, bytes: usize) -> bool {
        let left = (self.end - self.pos) as u64;
        // What is inflated already but not taken yet is less than one window.
        let most = if self.inflate.is_some() { left * MAX_RATIO + 65_536 } else { left };
        bytes as u64 <= most
    }

    /// Fills `out`; `None` where the member ends or is damaged before.
    pub(super) fn read(&mut self, data: &[u8], out: &mut [u8]) -> Option<()> {
        let Some(inflate) = &mut self.inflate else {
            let next = self.pos.checked_add(out.len()).filter(|&n| n <= self.end)?;
            out.copy_from_slice(data.get(self.pos..next)?);
            self.pos = next;
            return Some(());
        };
        let mut filled = 0;
        while filled < out.len() {
            let input = data.get(self.pos..self.end)?;
            let (taken, given) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(input, &mut out[filled..], FlushDecompress::None).ok()?;
            let (taken, given) = (inflate.total_in() - taken, inflate.total_out() - given);
            self.pos += taken as usize;
            filled += given as usize;
            if filled < out.len() && (status == Status::StreamEnd || (taken == 0 && given == 0)) {
                return None;
            }
        }
        Some(())
    }
}

/// A NumPy element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    /// `i`, `u`, `f`, `c`, `b`, `U`, …
    pub kind: u8,
    /// Bytes of one element.
    pub size: usize,
    pub big_endian: bool,
}

/// An array whose header has been read; the stream stands at its first element.
pub(super) struct Array {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub stream: Stream,
}

impl Array {
    /// Reads the header (NEP 1: magic, version, length, a Python dictionary). Only C order is read.
    pub(super) fn open(data: &[u8], entry: &Entry) -> Result<Self, String> {
        let mut stream = Stream::new(entry);
        let ended = || format!("array `{}`: its header is cut off or damaged", clip(&entry.name));
        let mut start = [0; 8];
        stream.read(data, &mut start).ok_or_else(ended)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(format!("member `{}` is no NumPy array", clip(&entry.name)));
        }
        let length = if start[6] == 1 {
            let mut length = [0; 2];
            stream.read(data, &mut length).ok_or_else(ended)?;
            usize::from(u16::from_le_bytes(length))
        } else {
            let mut length = [0; 4];
            stream.read(data, &mut length).ok_or_else(ended)?;
            u32::from_le_bytes(length) as usize
        };
        if length > MAX_HEADER || !stream.can_hold(length) {
            return Err(format!("array `{}`: a header of {length} bytes", clip(&entry.name)));
        }
        let mut header = vec![0; length];
        stream.read(data, &mut header).ok_or_else(ended)?;
        let header = String::from_utf8_lossy(&header);
        let (dtype, shape, _) = parse_header(&header)
            .filter(|(dtype, _, fortran_order)| !fortran_order && dtype.size > 0)
            .ok_or_else(|| format!("array `{}`: header {}", clip(&entry.name), clip(&header)))?;
        Ok(Self { name: entry.name.clone(), dtype, shape, stream })
    }

    /// The single element of a scalar, or the first of an array, as a number.
    pub(super) fn scalar(mut self, data: &[u8]) -> Option<f64> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..self.dtype.size)?;
        self.stream.read(data, bytes)?;
        number(self.dtype, bytes)
    }

    /// Strings of a `U` array, at most `most` of them.
    pub(super) fn strings(mut self, data: &[u8], most: usize) -> Option<Vec<String>> {
        let count = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let fits = self.dtype.kind == b'U' && self.dtype.size <= 4096 && count <= most;
        if !fits || !self.stream.can_hold(count.checked_mul(self.dtype.size)?) {
            return None;
        }
        let mut bytes = vec![0; self.dtype.size];
        (0..count)
            .map(|_| {
                self.stream.read(data, &mut bytes)?;
                let chars = bytes.chunks_exact(4).map(|c| {
                    let c = [c[0], c[1], c[2], c[3]];
                    let c = if self.dtype.big_endian { u32::from_be_bytes(c) } else { u32::from_le_bytes(c) };
                    char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)
                });
                Some(chars.take_while(|&c| c != '\0').collect())
            })
            .collect()
    }
}

pub(super) fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The header of an array that stands in a file of its own.
pub(crate) struct NpyHeader {
    dtype: Dtype,
    /// Length along each dimension.
    pub(crate) shape: Vec<usize>,
    /// The first dimension runs fastest.
    pub(crate) fortran_order: bool,
    /// Where the elements start.
    pub(crate) data_at: usize,
}

impl NpyHeader {
    /// Bytes of one element; 1 where elements have no fixed size.
    pub(crate) fn element_bytes(&self) -> usize {
        self.dtype.size.max(1)
    }

    /// One element as f64. `None` for types that are no real numbers.
    pub(crate) fn number(&self, bytes: &[u8]) -> Option<f64> {
        number(self.dtype, bytes)
    }
}

/// Reads the header of a `.npy` file.
pub(crate) fn npy_header(file: &[u8]) -> Option<NpyHeader> {
    let start = file.get(..8).filter(|s| s.starts_with(b"\x93NUMPY"))?;
    let (length, from): (usize, usize) = if start[6] == 1 {
        (usize::from(u16::from_le_bytes([*file.get(8)?, *file.get(9)?])), 10)
    } else {
        (u32::from_le_bytes(file.get(8..12)?.try_into().ok()?) as usize, 12)
    };
    let text = file.get(from..from.checked_add(length)?).filter(|t| t.len() <= MAX_HEADER)?;
    let (dtype, shape, fortran_order) = parse_header(&String::from_utf8_lossy(text))?;
    Some(NpyHeader { dtype, shape, fortran_order, data_at: from + length })
}

/// Element type, shape, and whether columns come first. Pickled objects have elements of size 0.
fn parse_header(header: &str) -> Option<(Dtype, Vec<usize>, bool)> {
    let value = |key: &str| {
        let at = header.find(key)? + key.len();
        Some(header[at..].trim_start_matches(['\'', '"', ':', ' ']))
    };
    let order_text = value("fortran_order")?;
    let fortran_order = order_text.starts_with("True");
    if !fortran_order && !order_text.starts_with("False") {
        return None;
    }
    let descr = value("descr")?;
    let descr = &descr[..descr.find(['\'', '"'])?];
    let (order, rest) = match descr.strip_prefix(['<', '|', '=']) {
        Some(rest) => (false, rest),
        None => (true, descr.strip_prefix('>')?),
    };
    let kind = *rest.as_bytes().first()?;
    let size: usize = if rest == "O" { 0 } else { rest.get(1..)?.parse().ok().filter(|s| *s > 0)? };
    let size = if kind == b'U' { size.checked_mul(4)? } else { size };
    let shape = value("shape")?.strip_prefix('(')?;
    let shape = shape[..shape.find(')')?]
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    (shape.len() <= 8).then_some((Dtype { kind, size, big_endian: order }, shape, fortran_order))
}

/// One element's bytes as the low bits of a number; `None` for more than eight.
fn bits(dtype: Dtype, bytes: &[u8]) -> Option<u64> {
    let mut le = [0u8; 8];
    let part = le.get_mut(..bytes.len())?;
    part.copy_from_slice(bytes);
    if dtype.big_endian {
        part.reverse();
    }
    Some(u64::from_le_bytes(le))
}

/// One element as f64. `None` for types that are no real numbers.
pub(super) fn number(dtype: Dtype, bytes: &[u8]) -> Option<f64> {
    let raw = bits(dtype, bytes)?;
    Some(match (dtype.kind, dtype.size) {
        (b'i', 1) => f64::from(raw as i8),
        (b'i', 2) => f64::from(raw as i16),
        (b'i', 4) => f64::from(raw as i32),
        (b'i', 8) => raw as i64 as f64,
        (b'u' | b'b', 1 | 2 | 4 | 8) => raw as f64,
        (b'f', 4) => f64::from(f32::from_bits(raw as u32)),
        (b'f', 8) => f64::from_bits(raw),
        _ => return None,
    })
}

/// One element as i64, exactly. `None` for types that are no integers.
pub(super) fn whole(dtype: Dtype, bytes: &[u8]) -> Option<i64> {
    let raw = bits(dtype, bytes)?;
    let shift = 64 - 8 * u32::try_from(dtype.size).ok().filter(|s| (1..=8).contains(s))?;
    match dtype.kind {
        b'i' => Some((raw << shift) as i64 >> shift),
        b'u' => i64::try_from(raw).ok(),
        _ => None,
    }
}
