//! The past as one row of frames, from the ring and the store.

use invispose_pipeline::ring::{ReadError, RingReader};

use crate::query::{Page, QueryError, Selection, Take, TimeRange};
use crate::store::{Store, Wanted};
use crate::view::FrameView;

/// One more than the page holds, in the order of its taking, so that it is known whether there is more.
pub(crate) async fn gather(
    selection: &Selection,
    range: TimeRange,
    page: Page,
) -> Result<Vec<FrameView>, QueryError> {
    if selection.person() == Some(None) {
        return Ok(Vec::new());
    }
    let backwards = matches!(page.take, Take::Last(_));
    let first = page.after.map_or(1, |id| id.saturating_add(1)).max(1);
    let end = page.before.unwrap_or(u64::MAX);
    let wanted = page.take.count().saturating_add(1);
    let mut gathering = Gathering { selection, range, skip: page.skip, wanted, found: Vec::new() };
    let border = border(selection, range, first).await?;
    let stored = match (selection.store(), border) {
        (Some(store), Some(border)) => Some((store, first, end.min(border))),
        _ => None,
    };
    if let Some((store, first, end)) = stored
        && !backwards
    {
        gathering.store(store, first, end, false).await?;
    }
    gathering.ring(first.max(border.unwrap_or(1)), end, backwards).await?;
    if let Some((store, first, end)) = stored
        && backwards
    {
        gathering.store(store, first, end, true).await?;
    }
    Ok(gathering.found)
}

/// Where the store ends and the ring begins: the first id that the ring answers. `None` where the ring has all that is asked for.
///
/// Whatever is written is left to the store near the ring's end, where it may be overwritten while it is read.
async fn border(selection: &Selection, range: TimeRange, first: u64) -> Result<Option<u64>, QueryError> {
    let Some(store) = selection.store() else { return Ok(None) };
    let ring = selection.site().ring();
    let (oldest, head) = (oldest(ring), ring.head());
    let safe = if head == 0 { u64::MAX } else { oldest + (head - oldest) / 8 };
    // All frames before this one are earlier.
    let later = || range.from.is_some_and(|t| ring.first_at(t.as_ns()) > safe);
    if head > 0 && (oldest <= 1 || first >= safe || later()) {
        return Ok(None);
    }
    let stored = store.position(&selection.site().config().id).await?;
    Ok(Some(safe.min(stored.saturating_add(1))))
}

/// The oldest frame that the ring has. A new ring whose ids go on after those of another one begins with frames that are lost.
fn oldest(ring: &RingReader) -> u64 {
    let (mut low, mut high) = (ring.oldest(), ring.head());
    if !matches!(ring.read(low), Err(ReadError::Lost)) {
        return low;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if ring.read(middle).is_ok() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

struct Gathering<'a> {
    selection: &'a Selection,
    range: TimeRange,
    skip: usize,
    wanted: usize,
    found: Vec<FrameView>,
}

impl Gathering<'_> {
    fn full(&self) -> bool {
        self.found.len() >= self.wanted
    }

    fn take(&mut self, view: FrameView) {
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.found.push(view);
        }
    }

    async fn ring(&mut self, first: u64, end: u64, backwards: bool) -> Result<(), QueryError> {
        if self.full() {
            return Ok(());
        }
        let (selection, range) = (self.selection.clone(), self.range);
        let (skip, wanted) = (self.skip, self.wanted - self.found.len());
        let read = move || {
            let site = selection.site();
            let ring = site.ring();
            let start = range.from.map_or(0, |t| ring.first_at(t.as_ns())).max(ring.oldest()).max(first);
            let end = ring.head().saturating_add(1).min(end);
            let mut skipped = 0;
            let mut matching = |id: u64| {
                // A frame that is overwritten between the two reads is gone, like those before it.
                let view = site.frame(id).and_then(|f| selection.matching(f, range))?;
                if skipped < skip {
                    skipped += 1;
                    return None;
                }
                Some(view)
            };
            let found: Vec<FrameView> = if backwards {
                (start..end).rev().filter_map(&mut matching).take(wanted).collect()
            } else {
                (start..end).filter_map(&mut matching).take(wanted).collect()
            };
            (found, skipped)
        };
        // Up to a whole ring is decoded.
        let (found, skipped) =
            tokio::task::spawn_blocking(read).await.map_err(|e| QueryError::Away(e.to_string()))?;
        self.skip -= skipped;
        self.found.extend(found);
        Ok(())
    }

    async fn store(
        &mut self,
        store: &Store,
        mut first: u64,
        mut end: u64,
        backwards: bool,
    ) -> Result<(), QueryError> {
        let site = self.selection.site();
        if let Some(Some(person)) = self.selection.person() {
            let Some(record) = store.person(&site.config().id, person).await? else { return Ok(()) };
            (first, end) = (first.max(record.frames.0), end.min(record.frames.1.saturating_add(1)));
        }
        let wanted = Wanted {
            first,
            end,
            from_ns: self.range.from.map_or(i64::MIN, |t| t.as_ns()),
            to_ns: self.range.to.map_or(i64::MAX, |t| t.as_ns()),
        };
        let mut rows = store.rows(site, wanted, backwards).await?;
        while !self.full() {
            let Some(packed) = rows.next().await? else { break };
            let count = usize::try_from(packed.frames).unwrap_or(usize::MAX);
            if packed.whole && self.selection.person().is_none() && self.skip >= count {
                self.skip -= count;
                continue;
            }
            let mut frames = rows.unpack(&packed)?;
            if backwards {
                frames.reverse();
            }
            for frame in frames {
                if (first..end).contains(&frame.frame_id)
                    && !self.full()
                    && let Some(view) = self.selection.matching(frame, self.range)
                {
                    self.take(view);
                }
            }
        }
        Ok(())
    }
}
