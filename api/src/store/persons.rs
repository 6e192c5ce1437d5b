//! What is known of a person.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError};
use crate::Time;

/// One person's record.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonRecord {
    /// Their id.
    pub id: u64,
    /// `live`, `replay` or `simulated`.
    pub source: String,
    /// First and last frame that shows them.
    pub frames: (u64, u64),
    /// When that was.
    pub first_seen: Time,
    /// When that was.
    pub last_seen: Time,
    /// Frames that show them.
    pub count: u64,
    /// Mean over these frames, 0..1.
    pub average_confidence: f64,
    /// Where they were last.
    pub zone: Option<String>,
    /// Frames by activity, in the order standing, walking, sitting, lying, waving, falling.
    pub activities: [u64; 6],
}

/// Which persons of a site.
#[derive(Clone, Debug, Default)]
pub(crate) struct PersonQuery {
    /// Seen at or after.
    pub from_ns: Option<i64>,
    /// Seen before.
    pub to_ns: Option<i64>,
    /// How many.
    pub limit: usize,
}

const ONE: &str = "SELECT id, source, first_id, last_id, first_ns, last_ns, frames, confidence, zone,
     standing, walking, sitting, lying, waving, falling FROM person WHERE site = $1 AND id = $2";
const LIST: &str = "SELECT id, source, first_id, last_id, first_ns, last_ns, frames, confidence, zone,
     standing, walking, sitting, lying, waving, falling FROM person
     WHERE site = $1 AND last_ns >= $2 AND first_ns < $3 ORDER BY last_ns DESC, id DESC LIMIT $4";

impl Store {
    /// The greatest id that any site's person ever had; 0 where nobody was written.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn last_person(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COALESCE(MAX(id), 0) FROM person").fetch_one(self.pool()?).await?;
        Ok(row.try_get::<i64, _>(0)? as u64)
    }

    /// One person; `None` where nobody of this id was ever written.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn person(&self, site: &str, id: u64) -> Result<Option<PersonRecord>, StoreError> {
        let row = sqlx::query(ONE).bind(site).bind(id as i64).fetch_optional(self.pool()?).await?;
        row.as_ref().map(record).transpose()
    }

    /// Persons, those seen last first.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn persons(
        &self,
        site: &str,
        query: &PersonQuery,
    ) -> Result<Vec<PersonRecord>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(site)
            .bind(query.from_ns.unwrap_or(i64::MIN))
            .bind(query.to_ns.unwrap_or(i64::MAX))
            .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &AnyRow) -> Result<PersonRecord, StoreError> {
    let number = |i: usize| row.try_get::<i64, _>(i).map(|n| n as u64);
    let count = number(6)?;
    let mut activities = [0; 6];
    for (i, n) in activities.iter_mut().enumerate() {
        *n = number(9 + i)?;
    }
    let zone: String = row.try_get(8)?;
    Ok(PersonRecord {
        id: number(0)?,
        source: row.try_get(1)?,
        frames: (number(2)?, number(3)?),
        first_seen: Time::from_ns(row.try_get(4)?),
        last_seen: Time::from_ns(row.try_get(5)?),
        count,
        average_confidence: row.try_get::<f64, _>(7)? / count.max(1) as f64,
        zone: Some(zone).filter(|z| !z.is_empty()),
        activities,
    })
}
