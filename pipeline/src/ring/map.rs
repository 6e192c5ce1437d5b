//! The ring's file as atomic words.
//!
//! File: one page of header (magic, version, slots, slot bytes at words 0..4, head at word 8), then the slots.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

use super::RingConfig;
use super::protocol::Shared;

#[cfg(target_endian = "big")]
compile_error!("the ring's words are little-endian in the file");

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"INVISRNG");
pub(super) const HEADER_BYTES: u64 = 4096;
const HEAD_WORD: usize = 8;

/// The mapped file of a ring with the given geometry.
#[derive(Debug)]
pub(super) struct Map {
    raw: MmapRaw,
    config: RingConfig,
}

pub(super) fn file_bytes(config: RingConfig) -> u64 {
    HEADER_BYTES + u64::from(config.slots) * u64::from(config.slot_bytes)
}

impl Map {
    /// Maps `file`, which is `file_bytes(config)` long; a reader maps it read-only.
    pub(super) fn new(file: &File, config: RingConfig, writable: bool) -> io::Result<Self> {
        let bytes = usize::try_from(file_bytes(config)).map_err(io::Error::other)?;
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than its header says"));
        }
        let mut options = MmapOptions::new();
        options.len(bytes);
        let raw = if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        Ok(Self { raw, config })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, lives as long as `self` and is at least `len` bytes long, which are in
        // the file: nobody makes a ring's file shorter. All access in this and every other process goes through
        // atomics; read-only mappings are only loaded from, and only with relaxed ordering.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr().cast::<AtomicU64>(), self.raw.len() / 8) }
    }

    pub(super) fn config(&self) -> RingConfig {
        self.config
    }

    /// `None` only for a geometry that `RingConfig`'s check refuses.
    pub(super) fn shared(&self) -> Option<Shared<'_, AtomicU64>> {
        let words = self.words();
        let slots = words.get(HEADER_BYTES as usize / 8..)?;
        Shared::new(words.get(HEAD_WORD)?, slots, self.config.slot_bytes as usize / 8)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.raw.flush()
    }
}
