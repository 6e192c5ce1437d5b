//! Writing a recording.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::format::{BLOCK_HEADER_BYTES, BlockInfo, encode_header, encode_index};
use super::{Metadata, RecordingError, scan};
use crate::codec::{self, EncodeError};
use crate::{CsiFrame, PoseFrame};

/// When a block closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterConfig {
    /// A block that holds this many bytes closes.
    pub block_bytes: usize,
    /// A block whose first frame is this old closes: what a crash can cost.
    pub block_age: Duration,
}

impl Default for WriterConfig {
    /// 256 KiB or one second.
    fn default() -> Self {
        Self { block_bytes: 256 << 10, block_age: Duration::from_secs(1) }
    }
}

/// Appends frames to a recording. Holds an advisory lock on the file for as long as it lives.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    config: WriterConfig,
    blocks: Vec<BlockInfo>,
    next_number: u64,
    /// End of the last block on the disk.
    end: u64,
    /// Room for the block's header, then the frames of the open block.
    pending: Vec<u8>,
    open: Option<OpenBlock>,
    acknowledged: u64,
    closed: bool,
}

#[derive(Debug)]
struct OpenBlock {
    since: Instant,
    count: u32,
    first_ns: i64,
    last_ns: i64,
}

impl Writer {
    /// Starts a recording. The file must not exist.
    pub fn create(path: impl AsRef<Path>, metadata: &Metadata) -> Result<Self, RecordingError> {
        let path = path.as_ref().to_owned();
        let header = encode_header(metadata).map_err(|reason| RecordingError::Io {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, reason),
        })?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| file_error(&path, 0, e))?;
        lock(&file, &path)?;
        let written =
            file.write_all(&header).and_then(|()| file.sync_all()).and_then(|()| sync_parent(&path));
        if let Err(e) = written {
            // Without a whole header it is no recording; do not leave it in the way.
            let _ = std::fs::remove_file(&path);
            return Err(file_error(&path, 0, e));
        }
        Ok(Self::at(file, path, Vec::new(), header.len() as u64))
    }

    /// Goes on with an existing recording. A torn tail is cut off; whole blocks stay, damaged ones in the middle too.
    pub fn append(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref().to_owned();
        let mut file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(|e| file_error(&path, 0, e))?;
        lock(&file, &path)?;
        let contents = scan::contents(&mut file, &path)?;
        file.set_len(contents.end).and_then(|()| file.sync_all()).map_err(|e| file_error(&path, 0, e))?;
        Ok(Self::at(file, path, contents.blocks, contents.end))
    }

    fn at(file: File, path: PathBuf, blocks: Vec<BlockInfo>, end: u64) -> Self {
        let next_number = blocks.last().map_or(0, |b| b.number.saturating_add(1));
        let pending = vec![0; BLOCK_HEADER_BYTES];
        let config = WriterConfig::default();
        Self {
            file,
            path,
            config,
            blocks,
            next_number,
            end,
            pending,
            open: None,
            acknowledged: 0,
            closed: false,
        }
    }

    /// Closes blocks by other rules than the default.
    pub fn with_config(mut self, config: WriterConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes a CSI frame. On an error the frame was not taken; what was taken before is kept for another try.
    pub fn write_csi(&mut self, frame: &CsiFrame) -> Result<(), RecordingError> {
        self.write(frame.time_ns, |out| codec::encode_csi(frame, out))
    }

    /// Takes a pose frame. On an error the frame was not taken; what was taken before is kept for another try.
    pub fn write_pose(&mut self, frame: &PoseFrame) -> Result<(), RecordingError> {
        self.write(frame.time_ns, |out| codec::encode_pose(frame, out))
    }

    fn write(
        &mut self,
        time_ns: i64,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<usize, EncodeError>,
    ) -> Result<(), RecordingError> {
        // Before the frame is taken, so that memory stays bounded on a disk that stays full.
        if self.pending.len() - BLOCK_HEADER_BYTES >= self.config.block_bytes {
            self.flush()?;
        }
        self.flush_if_due()?;
        encode(&mut self.pending)?;
        let open = self.open.get_or_insert_with(|| OpenBlock {
            since: Instant::now(),
            count: 0,
            first_ns: time_ns,
            last_ns: time_ns,
        });
        open.count += 1;
        open.first_ns = open.first_ns.min(time_ns);
        open.last_ns = open.last_ns.max(time_ns);
        Ok(())
    }

    /// Closes the open block if it is older than [`WriterConfig::block_age`]; for callers whose frames come seldom.
    pub fn flush_if_due(&mut self) -> Result<(), RecordingError> {
        if self.open.as_ref().is_some_and(|b| b.since.elapsed() >= self.config.block_age) {
            self.flush()?;
        }
        Ok(())
    }

    /// Frames of this writer that are on the disk.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Writes the open block and waits until it is on the disk. Returns [`Self::acknowledged`]. On an error the file
    /// ends with the last good block, and the frames are kept for another try.
    pub fn flush(&mut self) -> Result<u64, RecordingError> {
        let Some(open) = &self.open else { return Ok(self.acknowledged) };
        let payload = self.pending.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
        let block = BlockInfo {
            offset: self.end,
            // A block is at most `block_bytes` and one frame long.
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            count: open.count,
            first_ns: open.first_ns,
            last_ns: open.last_ns,
            number: self.next_number,
            crc: crc32fast::hash(payload),
        };
        if let Some(header) = self.pending.first_chunk_mut() {
            *header = block.encode();
        }
        if let Err(e) = put(&mut self.file, self.end, &self.pending) {
            return Err(file_error(&self.path, self.acknowledged, e));
        }
        self.acknowledged += u64::from(block.count);
        self.end = block.end();
        self.next_number = self.next_number.saturating_add(1);
        self.blocks.push(block);
        self.pending.truncate(BLOCK_HEADER_BYTES);
        self.open = None;
        Ok(self.acknowledged)
    }

    /// Flushes and leaves an index. Returns [`Self::acknowledged`].
    pub fn close(mut self) -> Result<u64, RecordingError> {
        self.closed = true;
        self.flush()?;
        let index = encode_index(&self.blocks, self.end);
        put(&mut self.file, self.end, &index).map_err(|e| file_error(&self.path, self.acknowledged, e))?;
        Ok(self.acknowledged)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.closed
            && let Err(e) = self.flush()
        {
            tracing::error!(error = %e, "the last block of a recording was lost");
        }
        // Closing the file is not enough: a child that is being spawned holds a copy of it for a moment.
        let _ = self.file.unlock();
    }
}

/// Writes at `end` and waits for the disk; on an error cuts the file back to `end`.
fn put(file: &mut File, end: u64, bytes: &[u8]) -> io::Result<()> {
    let written =
        file.seek(SeekFrom::Start(end)).and_then(|_| file.write_all(bytes)).and_then(|()| file.sync_data());
    if written.is_err() {
        let _ = file.set_len(end);
    }
    written
}

fn lock(file: &File, path: &Path) -> Result<(), RecordingError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RecordingError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(RecordingError::Io { path: path.to_owned(), source }),
    }
}

/// The file's name is on the disk, too.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

fn file_error(path: &Path, acknowledged: u64, source: io::Error) -> RecordingError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            RecordingError::DiskFull { path, acknowledged, source }
        }
        _ => RecordingError::Io { path, source },
    }
}
