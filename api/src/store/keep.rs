//! Retention: old frames are thinned out, then forgotten; sums and events live longer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row;
use tokio::sync::watch;

use super::aggregate::MINUTE;
use super::{Store, StoreError, block, now_ns};

/// For how long things are kept, by the time at which they were written.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Every frame.
    pub full: Duration,
    /// One frame a second.
    pub thinned: Duration,
    /// Sums by the minute; those by the hour and the day are kept for good.
    pub minutes: Duration,
    /// Events, alerts that are over, and the audit log.
    pub events: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        Self { full: days(7), thinned: days(90), minutes: days(400), events: days(400) }
    }
}

const EVERY: Duration = Duration::from_secs(600);
/// Thinned frames are this far apart, nanoseconds.
const SECOND: i64 = 1_000_000_000;
/// Rows that are thinned at once.
const BATCH: i64 = 32;

/// Tidies up now and then until `closing`.
pub(super) async fn run(store: Store, mut closing: watch::Receiver<bool>) {
    loop {
        if let Err(error) = store.tidy(now_ns()).await {
            tracing::debug!("retention: {error}");
        }
        tokio::select! {
            _ = closing.wait_for(|&c| c) => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Store {
    /// Thins out and forgets what is old enough at `now_ns`.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn tidy(&self, now_ns: i64) -> Result<(), StoreError> {
        let before = |age: Duration| now_ns.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        let keep = &self.config().keep;
        while self.thin(before(keep.full)).await? {
            // The writer comes first.
            tokio::task::yield_now().await;
        }
        let pool = self.pool()?;
        for (statement, age) in [
            ("DELETE FROM pose_block WHERE stored_ns < $1", keep.thinned),
            ("DELETE FROM person WHERE stored_ns < $1", keep.thinned),
            ("DELETE FROM event WHERE stored_ns < $1", keep.events),
            ("DELETE FROM alert WHERE status = 'resolved' AND stored_ns < $1", keep.events),
        ] {
            sqlx::query(statement).bind(before(age)).execute(pool).await?;
        }
        self.tidy_access(now_ns, before(keep.events)).await?;
        for statement in [
            "DELETE FROM bucket WHERE span_ns = $2 AND stored_ns < $1",
            "DELETE FROM heat WHERE span_ns = $2 AND stored_ns < $1",
        ] {
            sqlx::query(statement).bind(before(keep.minutes)).bind(MINUTE).execute(pool).await?;
        }
        Ok(())
    }

    /// Thins some rows written before; `false` when there are none.
    async fn thin(&self, stored_before: i64) -> Result<bool, StoreError> {
        const OLD: &str = "SELECT site, first_id, body FROM pose_block
            WHERE thinned = 0 AND stored_ns < $1 ORDER BY stored_ns, site, first_id LIMIT $2";
        const NEW: &str =
            "UPDATE pose_block SET thinned = $3, frames = $4, body = $5 WHERE site = $1 AND first_id = $2";
        let mut transaction = self.write().await?;
        let rows = sqlx::query(OLD).bind(stored_before).bind(BATCH).fetch_all(&mut *transaction).await?;
        let mut kept = HashMap::new();
        for row in &rows {
            let site: String = row.try_get(0)?;
            let body: Vec<u8> = row.try_get(2)?;
            // Zones by name, whatever the configuration says today.
            let zones = RefCell::new(Vec::<String>::new());
            let index = |zone: &str| {
                let mut zones = zones.borrow_mut();
                let place = zones.iter().position(|z| z == zone).unwrap_or_else(|| {
                    zones.push(zone.to_owned());
                    zones.len() - 1
                });
                u16::try_from(place).ok()
            };
            let mut frames = block::decode(&body, &site.as_str().into(), index)?;
            let last = kept.entry(site.clone()).or_insert(None);
            // The first of each second, also where a row ends within one.
            frames.retain(|f| {
                let second = Some(f.time_ns.div_euclid(SECOND));
                std::mem::replace(last, second) != second
            });
            let zones = zones.into_inner();
            let zone = |i: u16| zones.get(usize::from(i)).map(String::as_str);
            sqlx::query(NEW)
                .bind(site.as_str())
                .bind(row.try_get::<i64, _>(1)?)
                .bind(SECOND)
                .bind(frames.len() as i64)
                .bind(block::encode(&frames, zone)?)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(!rows.is_empty())
    }
}
