//! How one writer and many readers share slots without locks and without torn reads.
//!
//! A seqlock whose sequence number is the frame's id: `2·id − 1` while frame `id` is being written, `2·id` when it is
//! complete, 0 when the slot was never used. The payload is copied through relaxed atomic words, so that a read that
//! races with the writer is a wrong value and no data race, and the sequence number tells it from a right one
//! (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012).
//!
//! Only relaxed accesses and fences are used: relaxed loads are the only ones that are guaranteed to work on
//! memory that is mapped read-only.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of a slot before its payload: sequence, length and CRC, time, latest time so far.
pub const SLOT_HEADER_WORDS: usize = 4;

/// Ids end here: far beyond what a ring can count to, and their double still fits into a word.
pub const MAX_ID: u64 = u64::MAX >> 2;

/// A 64-bit atomic and the fences that go with it: the standard library's, or a model checker's.
pub trait Word {
    /// Relaxed load.
    fn load(&self) -> u64;
    /// Relaxed store.
    fn store(&self, value: u64);
    /// Acquire fence.
    fn fence_acquire();
    /// Release fence.
    fn fence_release();
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
    fn store(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
    fn fence_acquire() {
        fence(Ordering::Acquire);
    }
    fn fence_release() {
        fence(Ordering::Release);
    }
}

/// Why a slot does not give the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Not published yet.
    NotYet,
    /// A newer frame has, or is taking, its slot.
    Lapped,
    /// Published, but not in its slot or not whole.
    Lost,
}

/// What a slot says of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The frame's time, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The latest time of this and all earlier frames.
    pub latest_ns: i64,
}

/// The shared words of a ring.
#[derive(Debug)]
pub struct Shared<'a, W> {
    head: &'a W,
    slots: &'a [W],
    slot_words: usize,
    count: u64,
}

impl<'a, W: Word> Shared<'a, W> {
    /// `slots` is cut into slots of `slot_words` words, which is more than [`SLOT_HEADER_WORDS`]; a rest is not used. `None` where that
    /// gives fewer than two slots.
    pub fn new(head: &'a W, slots: &'a [W], slot_words: usize) -> Option<Self> {
        if slot_words <= SLOT_HEADER_WORDS {
            return None;
        }
        let count = (slots.len() / slot_words) as u64;
        (count >= 2).then_some(Self { head, slots, slot_words, count })
    }

    /// Payload bytes that a slot takes.
    pub fn capacity(&self) -> usize {
        (self.slot_words - SLOT_HEADER_WORDS) * 8
    }

    /// The newest frame's id, 0 before the first.
    pub fn head(&self) -> u64 {
        let head = self.head.load();
        W::fence_acquire();
        head
    }

    /// The oldest id that is not the next to be overwritten; 0 before the first frame.
    pub fn oldest(&self) -> u64 {
        let head = self.head();
        head.saturating_add(2).saturating_sub(self.count).max(1).min(head)
    }

    /// Writes frame `id` and makes it the head. Only the one writer calls this, with `id` = head + 1 and at most
    /// [`Self::capacity`] bytes; `false`, and nothing done, otherwise.
    pub fn publish(&self, id: u64, stamp: Stamp, payload: &[u8]) -> bool {
        if payload.len() > self.capacity() || id > MAX_ID || id != self.head.load().wrapping_add(1) {
            return false;
        }
        let Some((header, words)) = self.slot(id) else { return false };
        let [sequence, length, time, latest] = header;
        // Whoever sees the odd number sees the head that makes the overwritten frame too old.
        W::fence_release();
        sequence.store(2 * id - 1);
        // No store below is seen before the odd number by a reader that fences before it looks again.
        W::fence_release();
        length.store(payload.len() as u64 | u64::from(checksum(id, stamp, payload)) << 32);
        time.store(stamp.time_ns as u64);
        latest.store(stamp.latest_ns as u64);
        let (whole, rest) = payload.as_chunks::<8>();
        for (word, bytes) in words.iter().zip(whole) {
            word.store(u64::from_le_bytes(*bytes));
        }
        if let Some(word) = words.get(whole.len())
            && !rest.is_empty()
        {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            word.store(u64::from_le_bytes(last));
        }
        // Whoever sees the even number sees the payload, and whoever sees the head sees the even number.
        W::fence_release();
        sequence.store(2 * id);
        W::fence_release();
        self.head.store(id);
        true
    }

    /// Copies frame `id` into `out`, whose old content is dropped. On a miss the content of `out` means nothing.
    pub fn read(&self, id: u64, out: &mut Vec<u8>) -> Result<Stamp, Miss> {
        self.published(id)?;
        self.copy(id, out)
    }

    /// The times of frame `id`, without its payload.
    pub fn stamp(&self, id: u64) -> Result<Stamp, Miss> {
        self.published(id)?;
        self.consistent(id, |_, _| ()).map(|(stamp, ())| stamp)
    }

    /// For the writer that takes over: makes good what its predecessor left half done. A slot that does not hold a whole frame of
    /// its own is emptied, the head becomes the newest whole frame or stays where it is, whichever is later.
    /// Returns the latest time of all frames, `i64::MIN` where there is none.
    pub fn recover(&self) -> i64 {
        let mut scratch = Vec::new();
        let mut head = self.head();
        let mut latest_ns = i64::MIN;
        for index in 0..self.count {
            let Some(([sequence, ..], _)) = self.slot(index + 1) else { continue };
            let value = sequence.load();
            let id = value / 2;
            let own = value % 2 == 0 && id > 0 && (id - 1) % self.count == index;
            let stamp = if own { self.copy(id, &mut scratch).ok() } else { None };
            if let Some(stamp) = stamp {
                // Complete before the head moved counts as published.
                head = head.max(id);
                latest_ns = latest_ns.max(stamp.latest_ns);
            } else if value != 0 {
                sequence.store(0);
            }
        }
        W::fence_release();
        self.head.store(head);
        latest_ns
    }

    /// Makes `id`, which no frame has, the head. Only the one writer calls this.
    pub fn pass_over(&self, id: u64) {
        W::fence_release();
        self.head.store(id);
    }

    fn published(&self, id: u64) -> Result<(), Miss> {
        match id {
            0 => Err(Miss::Lapped),
            id if id > self.head() => Err(Miss::NotYet),
            _ => Ok(()),
        }
    }

    fn copy(&self, id: u64, out: &mut Vec<u8>) -> Result<Stamp, Miss> {
        out.clear();
        let (stamp, crc) = self.consistent(id, |length, words| {
            let bytes = (length & u64::from(u32::MAX)) as usize;
            if bytes > words.len() * 8 {
                return None;
            }
            out.resize(bytes.next_multiple_of(8), 0);
            let (chunks, _) = out.as_chunks_mut::<8>();
            for (to, word) in chunks.iter_mut().zip(words) {
                *to = word.load().to_le_bytes();
            }
            out.truncate(bytes);
            Some(length >> 32)
        })?;
        match crc {
            Some(crc) if u64::from(checksum(id, stamp, out)) == crc => Ok(stamp),
            _ => Err(Miss::Lost),
        }
    }

    /// Runs `copy` on the slot of `id` and says whether what it saw belonged together.
    fn consistent<T>(&self, id: u64, copy: impl FnOnce(u64, &[W]) -> T) -> Result<(Stamp, T), Miss> {
        let Some(([sequence, length, time, latest], words)) = self.slot(id) else { return Err(Miss::Lost) };
        let before = sequence.load();
        W::fence_acquire();
        let complete = id.saturating_mul(2);
        if before != complete {
            let gone = before > complete || id < self.oldest();
            return Err(if gone { Miss::Lapped } else { Miss::Lost });
        }
        let stamp = Stamp { time_ns: time.load() as i64, latest_ns: latest.load() as i64 };
        let copied = copy(length.load(), words);
        W::fence_acquire();
        let unchanged = sequence.load() == before;
        W::fence_acquire();
        if unchanged { Ok((stamp, copied)) } else { Err(Miss::Lapped) }
    }

    fn slot(&self, id: u64) -> Option<([&'a W; SLOT_HEADER_WORDS], &'a [W])> {
        let start = (id.checked_sub(1)? % self.count) as usize * self.slot_words;
        match self.slots.get(start..start + self.slot_words)? {
            [sequence, length, time, latest, words @ ..] => Some(([sequence, length, time, latest], words)),
            _ => None,
        }
    }
}

/// CRC-32 over all that belongs to a frame, so that a slot whose pages are from different times is recognised.
fn checksum(id: u64, stamp: Stamp, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for word in [id, stamp.time_ns as u64, stamp.latest_ns as u64] {
        hasher.update(&word.to_le_bytes());
    }
    hasher.update(payload);
    hasher.finalize()
}
