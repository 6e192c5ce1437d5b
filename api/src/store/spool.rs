//! Writes that wait on the disk while the database is away: one file each, in order, up to a limit.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use invispose_pipeline::files;

use super::{Store, StoreError};

/// What one file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    /// A block of frames of a site.
    Frames(Arc<str>, Vec<u8>),
    /// Events as JSON.
    Events(Vec<u8>),
    /// Alerts as JSON.
    Alerts(Vec<u8>),
}

const FRAMES: u8 = 1;
const EVENTS: u8 = 2;
const ALERTS: u8 = 3;

/// The queue. One process has it at a time, as it has the rings.
#[derive(Debug)]
pub(super) struct Spool {
    store: Store,
    dir: PathBuf,
    /// Number and length of each file, oldest first.
    files: VecDeque<(u64, u64)>,
    bytes: u64,
    next: u64,
}

/// The queue takes no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Full {
    #[error("the on-disk queue holds {0} bytes already")]
    Limit(u64),
    #[error("the on-disk queue: {0}")]
    Disk(StoreError),
}

impl Spool {
    /// Picks up what an earlier run left.
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let dir = store.config().data_dir.join("store-queue");
        let io = |source| StoreError::Io { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(io)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_suffix(".write")).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                files.push((number, entry.metadata().map_err(io)?.len()));
            }
        }
        files.sort_unstable();
        let next = files.last().map_or(0, |(number, _)| number + 1);
        let bytes = files.iter().map(|(_, n)| n).sum();
        let spool = Self { store, dir: dir.clone(), files: files.into(), bytes, next };
        spool.tell();
        Ok(spool)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016}.write"))
    }

    fn tell(&self) {
        let stats = self.store.stats();
        stats.queued.store(self.files.len() as u64, Ordering::Relaxed);
        stats.queued_bytes.store(self.bytes, Ordering::Relaxed);
    }

    /// Adds an entry at the end; it is on the disk when this returns.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Full> {
        let path = self.path(self.next);
        let bytes = entry.encode();
        let length = bytes.len() as u64;
        if self.bytes + length > self.store.config().queue_bytes {
            return Err(Full::Limit(self.bytes));
        }
        files::replace(&path, &bytes).map_err(|source| Full::Disk(StoreError::Io { path, source }))?;
        self.files.push_back((self.next, length));
        self.bytes += length;
        self.next += 1;
        self.tell();
        Ok(())
    }

    /// The oldest entry; `None` when there is none. A damaged one is put aside and counted.
    pub(super) fn front(&mut self) -> Result<Option<Entry>, StoreError> {
        while let Some(&(number, _)) = self.files.front() {
            let path = self.path(number);
            let bytes = fs::read(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
            if let Some(entry) = Entry::decode(&bytes) {
                return Ok(Some(entry));
            }
            self.refuse("damaged");
        }
        Ok(None)
    }

    /// The oldest entry was written.
    pub(super) fn pop(&mut self) {
        let Some(path) = self.forget() else { return };
        if let Err(error) = fs::remove_file(&path) {
            // Written twice does no harm: what is in the database already is left out.
            tracing::warn!("{}: {error}", path.display());
        }
    }

    /// Puts the oldest entry aside, for somebody to look at.
    pub(super) fn refuse(&mut self, reason: &str) {
        let Some(path) = self.forget() else { return };
        tracing::error!("{}: {reason}; kept as .refused", path.display());
        let _ = fs::rename(&path, path.with_extension("refused"));
        self.store.stats().refused.fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&mut self) -> Option<PathBuf> {
        let (number, length) = self.files.pop_front()?;
        self.bytes = self.bytes.saturating_sub(length);
        self.tell();
        Some(self.path(number))
    }
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let (kind, site, body) = match self {
            Self::Frames(site, body) => (FRAMES, site.as_bytes(), body),
            Self::Events(body) => (EVENTS, &[][..], body),
            Self::Alerts(body) => (ALERTS, &[][..], body),
        };
        // A site's identifier has at most 64 letters.
        let length = site.len().min(usize::from(u8::MAX));
        let mut bytes = vec![kind, length as u8];
        bytes.extend(site.get(..length).unwrap_or_default());
        bytes.extend(body);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (&[kind, length], rest) = bytes.split_first_chunk::<2>()?;
        let (site, body) = rest.split_at_checked(usize::from(length))?;
        match kind {
            FRAMES => Some(Self::Frames(std::str::from_utf8(site).ok()?.into(), body.to_owned())),
            EVENTS => Some(Self::Events(body.to_owned())),
            ALERTS => Some(Self::Alerts(body.to_owned())),
            _ => None,
        }
    }
}
