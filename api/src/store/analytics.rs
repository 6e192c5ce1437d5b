//! What the sums say: occupancy and activity over time, and where people were.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use super::aggregate::{Cells, Counts, corner, pieces, start_of, unpack};
use super::{Store, StoreError};
use crate::Time;

/// What was seen in one stretch of time, of a site or a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Its start.
    pub start: Time,
    /// The zone; `None` for the whole site.
    pub zone: Option<String>,
    /// Where the packets came from: `live`, `replay`, `simulated`.
    pub sources: BTreeSet<String>,
    /// Frames.
    pub frames: u64,
    /// Frames in which somebody was there.
    pub occupied: u64,
    /// Persons, summed over the frames.
    pub persons: u64,
    /// Persons in the fullest frame.
    pub most: u64,
    /// Frames that know whether somebody is present.
    pub known: u64,
    /// Frames in which somebody is present, by the signal.
    pub present: u64,
    /// Mean motion level of those that know.
    pub motion: Option<f64>,
    /// Persons in frames by activity, in the order standing, walking, sitting, lying, waving, falling.
    pub activities: [u64; 6],
}

/// A cell of the floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatCell {
    /// Lower corner, metres.
    pub corner_m: [f32; 2],
    /// Frames that showed somebody there, one for each person.
    pub count: u64,
}

/// Where people were.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// Edge of a cell, metres.
    pub cell_m: f32,
    /// Where the packets came from.
    pub sources: BTreeSet<String>,
    /// Cells that anybody was in.
    pub cells: Vec<HeatCell>,
}

/// Which sums.
#[derive(Clone, Debug)]
pub(crate) struct Over<'a> {
    /// Of this site.
    pub site: &'a str,
    /// First moment, nanoseconds; taken down to the minute.
    pub from_ns: i64,
    /// First moment that is too late; taken up to the minute.
    pub to_ns: i64,
}

const SUMS: &str = "SELECT start_ns - (start_ns - $5) % $6, zone, source,
    CAST(SUM(frames) AS BIGINT), CAST(SUM(known) AS BIGINT), CAST(SUM(present) AS BIGINT),
    CAST(SUM(occupied) AS BIGINT), CAST(SUM(persons) AS BIGINT), CAST(MAX(most) AS BIGINT), SUM(motion),
    CAST(SUM(standing) AS BIGINT), CAST(SUM(walking) AS BIGINT), CAST(SUM(sitting) AS BIGINT),
    CAST(SUM(lying) AS BIGINT), CAST(SUM(waving) AS BIGINT), CAST(SUM(falling) AS BIGINT)
    FROM bucket WHERE site = $1 AND span_ns = $2 AND start_ns >= $3 AND start_ns < $4
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
const HEAT: &str =
    "SELECT source, cells FROM heat WHERE site = $1 AND span_ns = $2 AND start_ns >= $3 AND start_ns < $4";

impl Store {
    /// Sums in stretches of `width_ns`, which start at whole multiples of it; a whole number of minutes. Stretches without a frame are left out.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn buckets(&self, over: &Over<'_>, width_ns: i64) -> Result<Vec<Bucket>, StoreError> {
        let mut found: BTreeMap<(i64, String), (Counts, BTreeSet<String>)> = BTreeMap::new();
        // Sums by the day serve stretches of whole days only, and so on.
        let widest =
            super::aggregate::SPANS.into_iter().rev().find(|s| width_ns % s == 0).unwrap_or(width_ns);
        for (span, from, to) in pieces(over.from_ns, over.to_ns, widest) {
            let rows = sqlx::query(SUMS)
                .bind(over.site)
                .bind(span)
                .bind(from)
                .bind(to)
                .bind(start_of(from, width_ns))
                .bind(width_ns)
                .fetch_all(self.pool()?)
                .await?;
            for row in &rows {
                let number = |i: usize| row.try_get::<i64, _>(i);
                let mut counts = Counts {
                    frames: number(3)?,
                    known: number(4)?,
                    present: number(5)?,
                    occupied: number(6)?,
                    persons: number(7)?,
                    most: number(8)?,
                    motion: row.try_get(9)?,
                    activities: [0; 6],
                };
                for (i, n) in counts.activities.iter_mut().enumerate() {
                    *n = number(10 + i)?;
                }
                let (sums, sources) = found.entry((number(0)?, row.try_get(1)?)).or_default();
                sums.add(&counts);
                sources.insert(row.try_get(2)?);
            }
        }
        Ok(found
            .into_iter()
            .map(|((start, zone), (sums, sources))| bucket(start, zone, &sums, sources))
            .collect())
    }

    /// Where people were.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn heat(&self, site: &str, from_ns: i64, to_ns: i64) -> Result<HeatMap, StoreError> {
        let mut cells = Cells::new();
        let mut sources = BTreeSet::new();
        for (span, from, to) in pieces(from_ns, to_ns, i64::MAX) {
            let query = sqlx::query(HEAT).bind(site).bind(span).bind(from).bind(to);
            for row in query.fetch_all(self.pool()?).await? {
                sources.insert(row.try_get(0)?);
                unpack(&row.try_get::<Vec<u8>, _>(1)?, &mut cells)?;
            }
        }
        let cells =
            cells.into_iter().map(|(cell, count)| HeatCell { corner_m: corner(cell), count }).collect();
        Ok(HeatMap { cell_m: super::CELL_M, sources, cells })
    }
}

fn bucket(start: i64, zone: String, sums: &Counts, sources: BTreeSet<String>) -> Bucket {
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    Bucket {
        start: Time::from_ns(start),
        zone: Some(zone).filter(|z| !z.is_empty()),
        sources,
        frames: number(sums.frames),
        occupied: number(sums.occupied),
        persons: number(sums.persons),
        most: number(sums.most),
        known: number(sums.known),
        present: number(sums.present),
        motion: (sums.known > 0).then(|| sums.motion / sums.known as f64),
        activities: sums.activities.map(number),
    }
}
