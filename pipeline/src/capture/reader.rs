//! Opening a capture: memory-mapped, format chosen by content.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap};

use super::FORMATS;
use super::decoder::{Decoder, Format, Item};

/// Bytes that formats are recognised by.
const HEAD: usize = 64 * 1024;

/// Why a capture could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory, socket or other thing that cannot be mapped.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// Nothing in it.
    #[error("{0} is empty")]
    Empty(String),
    /// Compressed as a whole.
    #[error("{name} is compressed ({compression}): unpack it first")]
    Compressed {
        /// The file's name.
        name: String,
        /// `gzip`, `zstd`, `xz`, `bzip2`, `zip` or `7z`.
        compression: &'static str,
    },
    /// No decoder knows it.
    #[error("{name} begins like none of the known formats ({known}); its first bytes are {first}")]
    Unknown {
        /// The file's name.
        name: String,
        /// The formats' names.
        known: String,
        /// The first bytes in hexadecimal.
        first: String,
    },
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Iterates over the records of one capture. Holds the mapping and one decoder, nothing else: memory does not grow with the
/// file.
pub struct CaptureReader {
    bytes: Bytes,
    format: &'static Format,
    decoder: Box<dyn Decoder>,
}

impl std::fmt::Debug for CaptureReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureReader")
            .field("format", &self.format.name)
            .field("bytes", &self.len())
            .finish()
    }
}

/// Maps a capture file and chooses its decoder by the content, never by the name.
///
/// The file must not be truncated while the reader lives: touching a page that is gone ends the process (SIGBUS), as for
/// every memory-mapped file. Appending to it is harmless and not seen.
///
/// # Errors
/// [`OpenError`] when the file cannot be read, is empty, is compressed as a whole or is of no known format.
pub fn open(path: impl AsRef<Path>) -> Result<CaptureReader, OpenError> {
    let path = path.as_ref();
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    // A FIFO would block in `open`, a directory would open and then fail to map: ask first.
    let meta = std::fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    if meta.len() == 0 {
        return Err(OpenError::Empty(path.display().to_string()));
    }
    let file = File::open(path).map_err(io)?;
    // SAFETY: the mapping is private to this reader, read-only, and lives as long as every slice of it (decoders hold
    // offsets, never slices). Rust's no-mutation rule for `&[u8]` holds as long as no other process rewrites or truncates
    // the file: captures are written once, and the documentation of `open` states the duty.
    let map = unsafe { Mmap::map(&file) }.map_err(io)?;
    // Advice only: without it the read-ahead is smaller.
    let _ = map.advise(Advice::Sequential);
    CaptureReader::new(Bytes::Mapped(map), &path.display().to_string())
}

/// Reads a capture that is in memory already; `name` stands in error messages.
///
/// # Errors
/// [`OpenError`] as for [`open`].
pub fn open_bytes(bytes: Vec<u8>, name: &str) -> Result<CaptureReader, OpenError> {
    CaptureReader::new(Bytes::Owned(bytes), name)
}

/// The format of a capture that starts with `head`.
pub fn sniff(head: &[u8]) -> Option<&'static Format> {
    let head = &head[..head.len().min(HEAD)];
    FORMATS.iter().copied().find(|format| (format.sniff)(head))
}

impl CaptureReader {
    fn new(bytes: Bytes, name: &str) -> Result<Self, OpenError> {
        let data = bytes.get();
        if data.is_empty() {
            return Err(OpenError::Empty(name.to_owned()));
        }
        let Some(format) = sniff(data) else {
            let name = name.to_owned();
            if let Some(compression) = compression(data) {
                return Err(OpenError::Compressed { name, compression });
            }
            let known = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
            let first = data.iter().take(16).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
            return Err(OpenError::Unknown { name, known, first });
        };
        Ok(Self { decoder: (format.decoder)(), bytes, format })
    }

    /// The format's name.
    pub fn format(&self) -> &'static str {
        self.format.name
    }

    /// The chip, as far as the bytes read so far tell.
    pub fn chip(&self) -> Option<&str> {
        self.decoder.chip()
    }

    /// Size of the capture in bytes.
    pub fn len(&self) -> usize {
        self.bytes.get().len()
    }

    /// Never true: an empty capture does not open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts again at the first record.
    pub fn rewind(&mut self) {
        self.decoder = (self.format.decoder)();
    }
}

impl Iterator for CaptureReader {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.decoder.next(self.bytes.get())
    }
}

fn compression(data: &[u8]) -> Option<&'static str> {
    const MAGICS: [(&[u8], &str); 6] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], "7z"),
    ];
    MAGICS.iter().find(|(magic, _)| data.starts_with(magic)).map(|&(_, name)| name)
}
