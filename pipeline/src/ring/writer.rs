//! The one writer of a ring.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::map::{HEADER_BYTES, MAGIC, Map, file_bytes};
use super::protocol::{MAX_ID, SLOT_HEADER_WORDS, Stamp};
use super::{RingConfig, RingError, RingReader, VERSION};
use crate::{PoseFrame, codec};

type Hook = Box<dyn Fn(u64) + Send>;

/// Publishes frames. Holds an advisory lock on the file for as long as it lives.
pub struct RingWriter {
    map: Arc<Map>,
    file: File,
    path: PathBuf,
    next: u64,
    latest_ns: i64,
    scratch: Vec<u8>,
    hooks: Vec<Hook>,
}

impl std::fmt::Debug for RingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingWriter")
            .field("path", &self.path)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl RingWriter {
    /// Creates the ring, or picks up the one that is there. The disk space of the whole ring is taken now, so that a
    /// disk that fills up later does no harm.
    pub fn open(path: impl AsRef<Path>, config: RingConfig) -> Result<Self, RingError> {
        let path = path.as_ref().to_owned();
        check(config)?;
        let io = |source| RingError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RingError::Locked { path }),
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        match read_header(&mut file, &path)? {
            Some(found) if found != config => return Err(RingError::Size { path, expected: config, found }),
            Some(_) => {}
            None => create(&mut file, config).map_err(io)?,
        }
        let map = Arc::new(Map::new(&file, config, true).map_err(io)?);
        let shared = map.shared().ok_or(RingError::Config { config, reason: "too few slots" })?;
        let latest_ns = shared.recover();
        if shared.head() >= MAX_ID {
            return Err(RingError::NotARing { path, reason: "absurd frame id" });
        }
        let next = shared.head() + 1;
        Ok(Self { map, file, path, next, latest_ns, scratch: Vec::new(), hooks: Vec::new() })
    }

    /// The id that the next frame must carry; 1 in a new ring.
    pub fn next_frame_id(&self) -> u64 {
        self.next
    }

    /// Leaves out ids up to this one, where they were given already by a ring that is no more. Readers find those frames lost.
    pub fn continue_after(&mut self, id: u64) -> Result<(), RingError> {
        if id >= MAX_ID {
            return Err(RingError::FrameId { expected: self.next, found: id });
        }
        if id >= self.next
            && let Some(shared) = self.map.shared()
        {
            shared.pass_over(id);
            self.next = id + 1;
        }
        Ok(())
    }

    /// Makes the frame the newest one. An error changes nothing.
    pub fn publish(&mut self, frame: &PoseFrame) -> Result<(), RingError> {
        if frame.frame_id != self.next {
            return Err(RingError::FrameId { expected: self.next, found: frame.frame_id });
        }
        self.scratch.clear();
        let bytes = codec::encode_pose(frame, &mut self.scratch)?;
        let config = self.map.config();
        let limit = config.slot_bytes as usize - SLOT_HEADER_WORDS * 8;
        let latest_ns = self.latest_ns.max(frame.time_ns);
        let stamp = Stamp { time_ns: frame.time_ns, latest_ns };
        if !self.map.shared().is_some_and(|shared| shared.publish(self.next, stamp, &self.scratch)) {
            return Err(RingError::TooLarge { bytes, limit });
        }
        self.latest_ns = latest_ns;
        let id = self.next;
        self.next += 1;
        for hook in &self.hooks {
            hook(id);
        }
        Ok(())
    }

    /// Calls `hook` with the id after each publish, on the publishing thread: it must be quick and must not block.
    pub fn on_publish(&mut self, hook: Box<dyn Fn(u64) + Send>) {
        self.hooks.push(hook);
    }

    /// A reader of this ring that shares the mapping.
    pub fn reader(&self) -> RingReader {
        RingReader::new(self.map.clone())
    }

    /// Writes the ring to the disk. The death of the process needs no such thing; that of the machine does.
    pub fn sync(&self) -> Result<(), RingError> {
        self.map.flush().map_err(|source| RingError::Io { path: self.path.clone(), source })
    }
}

impl Drop for RingWriter {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is being spawned holds a copy of it for a moment.
        let _ = self.file.unlock();
    }
}

fn check(config: RingConfig) -> Result<(), RingError> {
    let refuse = |reason| Err(RingError::Config { config, reason });
    if config.slots < 2 {
        return refuse("at least 2 slots are needed");
    }
    if config.slot_bytes < 128 || !config.slot_bytes.is_multiple_of(64) {
        return refuse("a slot is a multiple of 64 bytes and at least 128");
    }
    if file_bytes(config) > 1 << 40 {
        return refuse("more than 1 TiB");
    }
    Ok(())
}

/// The geometry of the ring in `file`; `None` where there is no ring yet, or one whose creation broke off.
pub(super) fn read_header(file: &mut File, path: &Path) -> Result<Option<RingConfig>, RingError> {
    let not = |reason| RingError::NotARing { path: path.to_owned(), reason };
    let io = |source| RingError::Io { path: path.to_owned(), source };
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    (&*file).take(HEADER_BYTES).read_to_end(&mut header).map_err(io)?;
    if header.iter().all(|&b| b == 0) {
        return Ok(None);
    }
    let (words, _) = header.as_chunks::<8>();
    let [magic, version, slots, slot_bytes, ..] = words else { return Err(not("shorter than a header")) };
    if u64::from_le_bytes(*magic) != MAGIC {
        return Err(not("wrong magic"));
    }
    let found = u64::from_le_bytes(*version);
    if found != VERSION {
        return Err(RingError::Version { path: path.to_owned(), found });
    }
    let number = |word: &[u8; 8]| u32::try_from(u64::from_le_bytes(*word)).map_err(|_| not("absurd size"));
    let config = RingConfig { slots: number(slots)?, slot_bytes: number(slot_bytes)? };
    check(config).map_err(|_| not("absurd size"))?;
    if file.metadata().map_err(io)?.len() != file_bytes(config) {
        return Err(not("the file's length does not match its header"));
    }
    Ok(Some(config))
}

/// Zeros first, the header last: a ring whose creation broke off starts with zeros.
fn create(file: &mut File, config: RingConfig) -> io::Result<()> {
    file.set_len(0)?;
    // Written, not just extended: a hole that cannot be filled later would end the process.
    let zeros = vec![0; 1 << 20];
    let mut left = file_bytes(config);
    file.seek(SeekFrom::Start(0))?;
    while left > 0 {
        let n = left.min(zeros.len() as u64);
        if let Err(e) = file.write_all(zeros.get(..n as usize).unwrap_or_default()) {
            let _ = file.set_len(0);
            return Err(e);
        }
        left -= n;
    }
    let mut header = Vec::with_capacity(32);
    for word in [MAGIC, VERSION, u64::from(config.slots), u64::from(config.slot_bytes)] {
        header.extend(word.to_le_bytes());
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header)?;
    file.sync_all()
}
