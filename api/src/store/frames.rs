//! Reading frames back.

use std::sync::Arc;

use invispose_pipeline::PoseFrame;
use sqlx::Row;

use super::aggregate::MINUTE;
use super::{Store, StoreError, block};
use crate::Site;

/// Rows read at once.
const ROWS: i64 = 16;

/// Which frames, by id and by time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// First id.
    pub first: u64,
    /// First id that is too late.
    pub end: u64,
    /// First moment, nanoseconds.
    pub from_ns: i64,
    /// First moment that is too late.
    pub to_ns: i64,
}

/// One row of frames, still packed.
#[derive(Debug)]
pub(crate) struct Packed {
    /// How many are in it.
    pub frames: u64,
    /// All of them are wanted.
    pub whole: bool,
    body: Vec<u8>,
}

/// Goes through the rows that may hold what is wanted, in the order of the ids or against it.
#[derive(Debug)]
pub(crate) struct Rows {
    store: Store,
    site: Site,
    wanted: Wanted,
    backwards: bool,
    ended: bool,
    read: std::vec::IntoIter<Packed>,
}

const BOUNDS: &str = "SELECT MIN(first_id), MAX(last_id) FROM pose_block
    WHERE site = $1 AND first_ns >= $2 AND first_ns < $3 AND last_ns >= $4";
const FORWARDS: &str = "SELECT first_id, last_id, first_ns, last_ns, frames, body FROM pose_block
    WHERE site = $1 AND first_id < $2 AND last_id >= $3 AND first_id >= $4 AND first_ns < $5 AND last_ns >= $6
    ORDER BY first_id LIMIT $7";
const BACKWARDS: &str = "SELECT first_id, last_id, first_ns, last_ns, frames, body FROM pose_block
    WHERE site = $1 AND first_id < $2 AND last_id >= $3 AND first_id >= $4 AND first_ns < $5 AND last_ns >= $6
    ORDER BY first_id DESC LIMIT $7";

impl Store {
    /// The rows that may hold these frames.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn rows(
        &self,
        site: &Site,
        mut wanted: Wanted,
        backwards: bool,
    ) -> Result<Rows, StoreError> {
        if wanted.from_ns > i64::MIN || wanted.to_ns < i64::MAX {
            // Time does not rise with the ids where captures are replayed; a row spans at most a minute.
            let row = sqlx::query(BOUNDS)
                .bind(site.config().id.as_str())
                .bind(wanted.from_ns.saturating_sub(MINUTE))
                .bind(wanted.to_ns)
                .bind(wanted.from_ns)
                .fetch_one(self.pool()?)
                .await?;
            let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            wanted.first = wanted.first.max(first.map_or(u64::MAX, |n| n as u64));
            wanted.end = wanted.end.min(last.map_or(0, |n| n as u64 + 1));
        }
        let ended = wanted.first >= wanted.end;
        let (store, site) = (self.clone(), site.clone());
        Ok(Rows { store, site, wanted, backwards, ended, read: Vec::new().into_iter() })
    }
}

impl Rows {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Packed>, StoreError> {
        if self.read.len() == 0 && !self.ended {
            self.fetch().await?;
        }
        Ok(self.read.next())
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let wanted = self.wanted;
        let id = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let rows = sqlx::query(if self.backwards { BACKWARDS } else { FORWARDS })
            .bind(self.site.config().id.as_str())
            .bind(id(wanted.end))
            .bind(id(wanted.first))
            // A row holds at most so many, so the one with the first id starts here at the earliest.
            .bind(id(wanted.first).saturating_sub(block::MAX_FRAMES as i64))
            .bind(wanted.to_ns)
            .bind(wanted.from_ns)
            .bind(ROWS)
            .fetch_all(self.store.pool()?)
            .await?;
        self.ended = (rows.len() as i64) < ROWS;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            let [first, last] = [row.try_get::<i64, _>(0)? as u64, row.try_get::<i64, _>(1)? as u64];
            let [first_ns, last_ns] = [row.try_get::<i64, _>(2)?, row.try_get::<i64, _>(3)?];
            let whole = first >= wanted.first
                && last < wanted.end
                && first_ns >= wanted.from_ns
                && last_ns < wanted.to_ns;
            read.push(Packed { frames: row.try_get::<i64, _>(4)? as u64, whole, body: row.try_get(5)? });
            if self.backwards {
                self.wanted.end = first;
            } else {
                self.wanted.first = last + 1;
            }
        }
        self.read = read.into_iter();
        Ok(())
    }

    /// The frames of a row, oldest first; also those that are not wanted.
    ///
    /// # Errors
    /// The row is damaged.
    pub(crate) fn unpack(&self, packed: &Packed) -> Result<Vec<Arc<PoseFrame>>, StoreError> {
        let id = self.site.config().id.as_str().into();
        let floor = self.site.floor();
        let frames = block::decode(&packed.body, &id, |zone| floor.number_of(zone))?;
        Ok(frames.into_iter().map(Arc::new).collect())
    }
}
