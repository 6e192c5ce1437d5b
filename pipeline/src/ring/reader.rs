//! Readers of a ring.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::map::Map;
use super::protocol::{Miss, Shared};
use super::writer::read_header;
use super::{ReadError, RingError};
use crate::{PoseFrame, codec};

/// Reads frames of a ring, in the writer's process or another. Cheap to clone; holds nobody up.
#[derive(Clone, Debug)]
pub struct RingReader {
    map: Arc<Map>,
}

impl RingReader {
    /// Opens an existing ring, read-only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RingError> {
        let path = path.as_ref();
        let io = |source| RingError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let config = read_header(&mut file, path)?
            .ok_or(RingError::NotARing { path: path.to_owned(), reason: "not created yet" })?;
        Ok(Self::new(Arc::new(Map::new(&file, config, false).map_err(io)?)))
    }

    pub(super) fn new(map: Arc<Map>) -> Self {
        Self { map }
    }

    fn shared(&self) -> Option<Shared<'_, AtomicU64>> {
        self.map.shared()
    }

    /// How many frames it holds at most; the oldest may be on its way out.
    pub fn slots(&self) -> u32 {
        self.map.config().slots
    }

    /// The newest frame's id, 0 before the first.
    pub fn head(&self) -> u64 {
        self.shared().map_or(0, |s| s.head())
    }

    /// The oldest id that can be read and is not the next to be overwritten; 0 before the first frame.
    pub fn oldest(&self) -> u64 {
        self.shared().map_or(0, |s| s.oldest())
    }

    /// The frame with this id.
    pub fn read(&self, id: u64) -> Result<PoseFrame, ReadError> {
        let mut bytes = Vec::new();
        self.read_bytes(id, &mut bytes)?;
        let (frame, _) = codec::decode_pose(&bytes)?;
        Ok(frame)
    }

    /// The frame with this id in the encoding of [`crate::codec`]; the old content of `out` is dropped. On an error the content of
    /// `out` means nothing.
    pub fn read_bytes(&self, id: u64, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let shared = self.shared().ok_or(ReadError::Lost)?;
        shared.read(id, out).map(|_| ()).map_err(|miss| miss_error(&shared, miss))
    }

    /// The newest frame; `None` before the first.
    pub fn latest(&self) -> Option<PoseFrame> {
        let mut id = self.head();
        while id > 0 {
            match self.read(id) {
                Ok(frame) => return Some(frame),
                // The writer went once around meanwhile.
                Err(ReadError::Lapped { .. }) if self.head() > id => id = self.head(),
                // A lost frame leaves the one before it the newest.
                Err(_) if id > self.oldest() => id -= 1,
                Err(_) => return None,
            }
        }
        None
    }

    /// Frames from this id to the newest, oldest first. Ids that are overwritten or lost are passed over. Having
    /// returned `None`, the iterator goes on when there are newer frames.
    pub fn range_from(&self, id: u64) -> Frames {
        Frames { reader: self.clone(), next: id.max(1), lapped: 0 }
    }

    /// Id of the first frame that is still there and that `time_ns` or a later time can be found at: all frames before it are earlier.
    /// One more than the head where all are. Logarithmic in the ring's size, whether or not times rise with the ids.
    pub fn first_at(&self, time_ns: i64) -> u64 {
        let Some(shared) = self.shared() else { return 1 };
        let (mut low, mut high) = (shared.oldest().max(1), shared.head().saturating_add(1));
        // All below `low` are earlier (or gone), `high` is not.
        while low < high {
            let middle = low + (high - low) / 2;
            let mut probe = middle;
            let stamp = loop {
                match shared.stamp(probe) {
                    Ok(stamp) => break Some(stamp),
                    // A lost frame tells nothing; the next one tells the same about the latest time so far.
                    Err(Miss::Lost) if probe + 1 < high => probe += 1,
                    Err(_) => break None,
                }
            };
            match stamp {
                Some(stamp) if stamp.latest_ns >= time_ns => high = middle,
                Some(_) => low = probe + 1,
                None if middle < shared.oldest() => low = shared.oldest().min(high),
                None => high = middle,
            }
        }
        low
    }

    /// Frames with `from_ns <= time_ns < to_ns`, in the order of their ids, up to the newest at the time of the call.
    pub fn range_time(&self, from_ns: i64, to_ns: i64) -> impl Iterator<Item = PoseFrame> + use<> {
        let head = self.head();
        self.range_from(self.first_at(from_ns))
            .take_while(move |f| f.frame_id <= head)
            .filter(move |f| (from_ns..to_ns).contains(&f.time_ns))
    }
}

fn miss_error(shared: &Shared<'_, AtomicU64>, miss: Miss) -> ReadError {
    match miss {
        Miss::NotYet => ReadError::NotYet,
        Miss::Lapped => ReadError::Lapped { oldest: shared.oldest() },
        Miss::Lost => ReadError::Lost,
    }
}

/// Frames of a ring in the order of their ids; see [`RingReader::range_from`].
#[derive(Clone, Debug)]
pub struct Frames {
    reader: RingReader,
    next: u64,
    lapped: u64,
}

impl Frames {
    /// The id that comes next.
    pub fn next_id(&self) -> u64 {
        self.next
    }

    /// Frames that were overwritten or lost before they could be read.
    pub fn missed(&self) -> u64 {
        self.lapped
    }
}

impl Iterator for Frames {
    type Item = PoseFrame;

    fn next(&mut self) -> Option<PoseFrame> {
        loop {
            match self.reader.read(self.next) {
                Ok(frame) => {
                    self.next += 1;
                    return Some(frame);
                }
                Err(ReadError::NotYet) => return None,
                Err(ReadError::Lapped { oldest }) => {
                    let to = oldest.max(self.next + 1);
                    self.lapped += to - self.next;
                    self.next = to;
                }
                Err(_) => {
                    self.lapped += 1;
                    self.next += 1;
                }
            }
        }
    }
}
