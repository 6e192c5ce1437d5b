//! What a row of frames adds up to: by minute, hour and day, by zone and by person.

use std::collections::{BTreeMap, HashMap};

use invispose_pipeline::pose::Activity;
use invispose_pipeline::{Person, PoseFrame};

use super::block::{BlockError, Input, put};
use crate::view::source_name;

/// A minute, an hour and a day, nanoseconds. Each divides the next.
pub(crate) const SPANS: [i64; 3] = [MINUTE, 60 * MINUTE, 24 * 60 * MINUTE];
/// One minute, nanoseconds.
pub(crate) const MINUTE: i64 = 60_000_000_000;

/// Edge of a heat map's cell, metres.
pub(crate) const CELL_M: f32 = 0.25;
/// Cells count from this many metres before the origin, so that somebody just outside of the room has one.
const CELL_OFFSET_M: f32 = 64.0;

/// Which bucket a count belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub span_ns: i64,
    pub start_ns: i64,
    /// The zone's identifier; empty for the whole site.
    pub zone: String,
    pub source: &'static str,
}

/// Frames and persons counted over a bucket. Activities count persons in frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub frames: i64,
    /// Frames that say whether somebody is present; of the whole site only.
    pub known: i64,
    pub present: i64,
    /// Frames with at least one person there.
    pub occupied: i64,
    pub persons: i64,
    pub most: i64,
    /// Sum of the motion level over the known frames.
    pub motion: f64,
    pub activities: [i64; 6],
}

/// What one person did in a row of frames.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub source: &'static str,
    pub first: (u64, i64),
    pub last: (u64, i64),
    pub frames: i64,
    /// Sum over the frames.
    pub confidence: f64,
    /// Where they were last; empty outside of all zones.
    pub zone: String,
    pub activities: [i64; 6],
}

/// People in frames by cell.
pub(crate) type Cells = BTreeMap<(u16, u16), u64>;

/// Everything that a row of frames adds to the tables.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub buckets: BTreeMap<Key, Counts>,
    pub heat: BTreeMap<(i64, i64, &'static str), Cells>,
    pub persons: HashMap<u64, Seen>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.known += other.known;
        self.present += other.present;
        self.occupied += other.occupied;
        self.persons += other.persons;
        self.most = self.most.max(other.most);
        self.motion += other.motion;
        for (to, n) in self.activities.iter_mut().zip(other.activities) {
            *to += n;
        }
    }
}

impl Sums {
    /// Adds up frames of one site. `zone` gives the identifier of a zone's index.
    pub(crate) fn of<'z>(frames: &[PoseFrame], zone: impl Fn(u16) -> Option<&'z str>) -> Self {
        let mut sums = Self::default();
        for frame in frames {
            sums.count(frame, &zone);
            for person in &frame.persons {
                sums.see(frame, person, person.zone.and_then(&zone).unwrap_or_default());
            }
        }
        sums
    }

    fn count<'z>(&mut self, frame: &PoseFrame, zone: &impl Fn(u16) -> Option<&'z str>) {
        let mut parts: BTreeMap<&str, Counts> = BTreeMap::new();
        let whole = parts.entry("").or_default();
        whole.frames = 1;
        if let Some(presence) = frame.presence {
            whole.known = 1;
            whole.present = i64::from(presence.present);
            whole.motion = f64::from(presence.motion_level);
        }
        for person in &frame.persons {
            let zone = person.zone.and_then(zone);
            for part in std::iter::once("").chain(zone) {
                let counts = parts.entry(part).or_default();
                counts.persons += 1;
                counts.occupied = 1;
                counts.most = counts.persons;
                count_activity(&mut counts.activities, person.activity);
            }
        }
        let source = source_name(frame.provenance.source);
        for span_ns in SPANS {
            let start_ns = start_of(frame.time_ns, span_ns);
            for (zone, counts) in &parts {
                let key = Key { span_ns, start_ns, zone: (*zone).to_owned(), source };
                self.buckets.entry(key).or_default().add(counts);
            }
            let cells = frame.persons.iter().filter_map(cell);
            for cell in cells {
                *self.heat.entry((span_ns, start_ns, source)).or_default().entry(cell).or_default() += 1;
            }
        }
    }

    fn see(&mut self, frame: &PoseFrame, person: &Person, zone: &str) {
        let here = (frame.frame_id, frame.time_ns);
        let seen = self.persons.entry(person.id).or_insert_with(|| Seen {
            source: source_name(frame.provenance.source),
            first: here,
            last: here,
            frames: 0,
            confidence: 0.0,
            zone: String::new(),
            activities: [0; 6],
        });
        seen.last = here;
        seen.frames += 1;
        seen.confidence += f64::from(person.confidence);
        zone.clone_into(&mut seen.zone);
        count_activity(&mut seen.activities, person.activity);
    }
}

fn count_activity(counts: &mut [i64; 6], activity: Option<Activity>) {
    if let Some(n) = Activity::ALL.iter().position(|a| Some(*a) == activity).and_then(|i| counts.get_mut(i)) {
        *n += 1;
    }
}

/// Start of the span that holds the time.
pub(crate) fn start_of(ns: i64, span_ns: i64) -> i64 {
    ns.saturating_sub(ns.rem_euclid(span_ns.max(1)))
}

fn cell(person: &Person) -> Option<(u16, u16)> {
    let [x, y, _] = person.position_m;
    let index = |v: f32| {
        let i = ((v + CELL_OFFSET_M) / CELL_M).floor();
        // NaN is in no range.
        (0.0..f32::from(u16::MAX)).contains(&i).then_some(i as u16)
    };
    Some((index(x)?, index(y)?))
}

/// Lower corner of a cell, metres.
pub(crate) fn corner((x, y): (u16, u16)) -> [f32; 2] {
    [x, y].map(|i| f32::from(i) * CELL_M - CELL_OFFSET_M)
}

/// Cells as bytes: pairs of the distance to the cell before and the count.
pub(crate) fn pack(cells: &Cells) -> Vec<u8> {
    let mut out = Vec::with_capacity(cells.len() * 4);
    let mut before = 0;
    for (&(x, y), &n) in cells {
        let place = u64::from(x) << 16 | u64::from(y);
        put(&mut out, place - before);
        put(&mut out, n);
        before = place;
    }
    out
}

/// Adds packed cells.
pub(crate) fn unpack(bytes: &[u8], into: &mut Cells) -> Result<(), BlockError> {
    let mut at = Input(bytes);
    let mut place = 0u64;
    while !at.0.is_empty() {
        place = place.wrapping_add(at.number()?);
        let n = at.number()?;
        let count = into.entry(((place >> 16) as u16, place as u16)).or_default();
        *count = count.saturating_add(n);
    }
    Ok(())
}

/// The fewest whole buckets that make up `from_ns..to_ns`, as (span, from, to), spans of at most `widest_ns`. Both ends are widened to whole minutes.
pub(crate) fn pieces(from_ns: i64, to_ns: i64, widest_ns: i64) -> Vec<(i64, i64, i64)> {
    let from = start_of(from_ns, MINUTE);
    let to = start_of(to_ns.saturating_add(MINUTE - 1), MINUTE);
    let mut pieces = Vec::new();
    split(from, to, SPANS.iter().rposition(|&s| s <= widest_ns).unwrap_or(0), &mut pieces);
    pieces
}

fn split(from: i64, to: i64, level: usize, pieces: &mut Vec<(i64, i64, i64)>) {
    let Some(&span) = SPANS.get(level) else { return };
    if from >= to {
        return;
    }
    let (first, last) = (start_of(from.saturating_add(span - 1), span), start_of(to, span));
    if first >= last {
        if level > 0 {
            split(from, to, level - 1, pieces);
        }
        return;
    }
    if level > 0 {
        split(from, first, level - 1, pieces);
    }
    pieces.push((span, first, last));
    if level > 0 {
        split(last, to, level - 1, pieces);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_cover_every_minute_once(from in -200_000i64..200_000, minutes in 0i64..20_000, widest in 0usize..3) {
            let (from, to) = (from * MINUTE, (from + minutes) * MINUTE);
            let pieces = pieces(from, to, SPANS[widest]);
            prop_assert!(pieces.len() <= 5);
            let mut at = from;
            for (span, start, end) in pieces {
                prop_assert!(span <= SPANS[widest] && start == at && end > start);
                prop_assert!(start % span == 0 && end % span == 0);
                at = end;
            }
            prop_assert_eq!(at, to);
        }

        #[test]
        fn cells_come_back(cells in prop::collection::btree_map(any::<(u16, u16)>(), 0u64..1 << 40, 0..40)) {
            let mut back = Cells::new();
            unpack(&pack(&cells), &mut back).unwrap();
            prop_assert_eq!(&back, &cells);
        }
    }
}
