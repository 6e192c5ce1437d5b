//! Deliveries on the disk: events that are to be told, how far each endpoint is, what could not be delivered, and what was tried.
//!
//! An event is written once however many endpoints it goes to; an endpoint is a place in that row.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqlitePool};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::Time;
use crate::store::StoreError;

/// Events in memory, for endpoints that are not far behind.
const RECENT: usize = 8192;
/// Attempts that are kept for each endpoint.
const ATTEMPTS: i64 = 1000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, kind TEXT NOT NULL, site TEXT NOT NULL, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS place (
        webhook TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, due_ns INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS dead_letter (
        number INTEGER PRIMARY KEY AUTOINCREMENT, webhook TEXT NOT NULL, delivery TEXT NOT NULL, kind TEXT NOT NULL,
        body BLOB NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL, died_ns INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS dead_letter_webhook ON dead_letter (webhook, number);
    CREATE TABLE IF NOT EXISTS attempt (
        number INTEGER PRIMARY KEY AUTOINCREMENT, webhook TEXT NOT NULL, delivery TEXT NOT NULL, kind TEXT NOT NULL,
        attempt INTEGER NOT NULL, started_ns INTEGER NOT NULL, took_ms REAL NOT NULL, status INTEGER, error TEXT,
        bytes INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS attempt_webhook ON attempt (webhook, number)";

/// An event that is to be told.
#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub seq: i64,
    pub id: String,
    pub kind: String,
    pub site: String,
    pub body: Bytes,
}

/// How far an endpoint is: everything up to `seq` is delivered, dead, or not for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub seq: i64,
    /// Attempts that the next delivery has had.
    pub attempt: u32,
    /// Not before this time.
    pub due_ns: i64,
}

/// One attempt. What was said, on either side, is not kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// `X-Delivery-ID`.
    pub delivery_id: String,
    /// `X-Event-Type`.
    pub event_type: String,
    /// Counts from 1.
    pub attempt: u32,
    /// When.
    pub started_at: Time,
    /// Until the answer's head, or the end of patience, milliseconds.
    pub took_ms: f64,
    /// The answer's status; null where there was none.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// Length of the body.
    pub bytes: usize,
}

/// A delivery that was given up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeadLetter {
    /// Its place in the list.
    pub number: i64,
    /// `X-Delivery-ID`.
    pub delivery_id: String,
    /// `X-Event-Type`.
    pub event_type: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When.
    pub died_at: Time,
    #[serde(skip)]
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct Desk {
    pool: SqlitePool,
    limit: i64,
    recent: Mutex<VecDeque<Arc<Logged>>>,
    newest: watch::Sender<i64>,
    /// Written now and then: after a crash what was delivered last is delivered once more.
    unwritten: Mutex<Unwritten>,
}

#[derive(Debug, Default)]
struct Unwritten {
    places: HashMap<String, Place>,
    attempts: Vec<(String, Attempt)>,
}

impl Desk {
    /// Picks up what an earlier run left. At most `limit` events are kept.
    pub(super) async fn open(file: &Path, limit: u32) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        // Numbers go on where they were, also when all events were told.
        let last = "SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)";
        let last: i64 = sqlx::query(last).fetch_one(&pool).await?.try_get(0)?;
        Ok(Self {
            pool,
            limit: limit.into(),
            recent: Mutex::default(),
            newest: watch::Sender::new(last),
            unwritten: Mutex::default(),
        })
    }

    /// The number of the newest event, changing with every one.
    pub(super) fn newest(&self) -> watch::Receiver<i64> {
        self.newest.subscribe()
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<Logged>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events and then says so. One caller at a time.
    pub(super) async fn log(&self, mut events: Vec<Logged>) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO event (seq, id, kind, site, body) VALUES ($1, $2, $3, $4, $5)";
        let mut seq = *self.newest.borrow();
        let mut transaction = self.pool.begin().await?;
        for event in &mut events {
            seq += 1;
            event.seq = seq;
            let query = sqlx::query(ADD).bind(seq).bind(event.id.as_str()).bind(event.kind.as_str());
            query.bind(event.site.as_str()).bind(event.body.as_ref()).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let mut recent = self.recent();
        for event in events {
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(Arc::new(event));
        }
        drop(recent);
        self.newest.send_replace(seq);
        Ok(())
    }

    /// Events behind this number, in order.
    pub(super) async fn after(&self, seq: i64, most: usize) -> Result<Vec<Arc<Logged>>, StoreError> {
        const READ: &str = "SELECT seq, id, kind, site, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
        {
            let recent = self.recent();
            // They follow on each other without gaps.
            if recent.front().is_some_and(|first| first.seq <= seq + 1) {
                let start = recent.partition_point(|e| e.seq <= seq);
                return Ok(recent.iter().skip(start).take(most).cloned().collect());
            }
        }
        let rows = sqlx::query(READ).bind(seq).bind(most as i64).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| -> Result<Arc<Logged>, StoreError> {
            Ok(Arc::new(Logged {
                seq: row.try_get(0)?,
                id: row.try_get(1)?,
                kind: row.try_get(2)?,
                site: row.try_get(3)?,
                body: row.try_get::<Vec<u8>, _>(4)?.into(),
            }))
        };
        rows.iter().map(read).collect()
    }

    /// How far an endpoint was; a new one begins with what happens from now on.
    pub(super) async fn place(&self, webhook: &str) -> Result<Place, StoreError> {
        if let Some(place) = self.unwritten().places.get(webhook) {
            return Ok(*place);
        }
        let query = sqlx::query("SELECT seq, attempt, due_ns FROM place WHERE webhook = $1").bind(webhook);
        let Some(row) = query.fetch_optional(&self.pool).await? else {
            let place = Place { seq: *self.newest.borrow(), ..Place::default() };
            self.put(webhook, place);
            self.write().await?;
            return Ok(place);
        };
        Ok(Place { seq: row.try_get(0)?, attempt: row.try_get::<i64, _>(1)? as u32, due_ns: row.try_get(2)? })
    }

    /// How far an endpoint is now.
    pub(super) fn put(&self, webhook: &str, place: Place) {
        self.unwritten().places.insert(webhook.to_owned(), place);
    }

    /// Forgets how far an endpoint is.
    pub(super) async fn leave(&self, webhook: &str) -> Result<(), StoreError> {
        self.unwritten().places.remove(webhook);
        sqlx::query("DELETE FROM place WHERE webhook = $1").bind(webhook).execute(&self.pool).await?;
        Ok(())
    }

    pub(super) fn tried(&self, webhook: &str, attempt: Attempt) {
        self.unwritten().attempts.push((webhook.to_owned(), attempt));
    }

    /// Writes how far the endpoints are and what was tried.
    pub(super) async fn write(&self) -> Result<(), StoreError> {
        const PLACE: &str = "INSERT INTO place (webhook, seq, attempt, due_ns) VALUES ($1, $2, $3, $4)
            ON CONFLICT (webhook) DO UPDATE SET seq = excluded.seq, attempt = excluded.attempt, due_ns = excluded.due_ns";
        const ATTEMPT: &str = "INSERT INTO attempt
            (webhook, delivery, kind, attempt, started_ns, took_ms, status, error, bytes)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let Unwritten { places, attempts } = std::mem::take(&mut *self.unwritten());
        if places.is_empty() && attempts.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut transaction = self.pool.begin().await?;
            for (webhook, place) in &places {
                let query = sqlx::query(PLACE).bind(webhook.as_str()).bind(place.seq);
                query.bind(i64::from(place.attempt)).bind(place.due_ns).execute(&mut *transaction).await?;
            }
            for (webhook, a) in &attempts {
                let query = sqlx::query(ATTEMPT).bind(webhook.as_str()).bind(a.delivery_id.as_str());
                let query =
                    query.bind(a.event_type.as_str()).bind(i64::from(a.attempt)).bind(a.started_at.as_ns());
                let query = query.bind(a.took_ms).bind(a.status.map(i64::from)).bind(a.error.as_deref());
                query.bind(a.bytes as i64).execute(&mut *transaction).await?;
            }
            transaction.commit().await.map_err(StoreError::from)
        };
        let written = written.await;
        if written.is_err() {
            // Newer places win.
            let mut unwritten = self.unwritten();
            for (webhook, place) in places {
                unwritten.places.entry(webhook).or_insert(place);
            }
        }
        written
    }

    /// Gives up a delivery; it is kept for somebody to look at.
    pub(super) async fn bury(&self, webhook: &str, letter: &DeadLetter) -> Result<(), StoreError> {
        const BURY: &str =
            "INSERT INTO dead_letter (webhook, delivery, kind, body, attempts, reason, died_ns)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let query = sqlx::query(BURY)
            .bind(webhook)
            .bind(letter.delivery_id.as_str())
            .bind(letter.event_type.as_str());
        let query =
            query.bind(letter.body.as_ref()).bind(i64::from(letter.attempts)).bind(letter.reason.as_str());
        query.bind(letter.died_at.as_ns()).execute(&self.pool).await?;
        Ok(())
    }

    /// What was given up, oldest first.
    pub(crate) async fn dead_letters(
        &self,
        webhook: &str,
        most: usize,
        skip: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        const LIST: &str = "SELECT number, delivery, kind, attempts, reason, died_ns, body FROM dead_letter
            WHERE webhook = $1 ORDER BY number LIMIT $2 OFFSET $3";
        let query =
            sqlx::query(LIST).bind(webhook).bind(most as i64).bind(i64::try_from(skip).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(letter).collect()
    }

    pub(super) async fn dead_letter(
        &self,
        webhook: &str,
        number: i64,
    ) -> Result<Option<DeadLetter>, StoreError> {
        const FIND: &str = "SELECT number, delivery, kind, attempts, reason, died_ns, body FROM dead_letter
            WHERE webhook = $1 AND number = $2";
        let query = sqlx::query(FIND).bind(webhook).bind(number);
        query.fetch_optional(&self.pool).await?.as_ref().map(letter).transpose()
    }

    /// A dead letter is done with.
    pub(super) async fn exhume(&self, number: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM dead_letter WHERE number = $1").bind(number).execute(&self.pool).await?;
        Ok(())
    }

    /// What was tried, newest first.
    pub(crate) async fn attempts(
        &self,
        webhook: &str,
        most: usize,
        skip: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        const LIST: &str =
            "SELECT delivery, kind, attempt, started_ns, took_ms, status, error, bytes FROM attempt
            WHERE webhook = $1 ORDER BY number DESC LIMIT $2 OFFSET $3";
        self.write().await?;
        let query =
            sqlx::query(LIST).bind(webhook).bind(most as i64).bind(i64::try_from(skip).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| -> Result<Attempt, StoreError> {
            Ok(Attempt {
                delivery_id: row.try_get(0)?,
                event_type: row.try_get(1)?,
                attempt: row.try_get::<i64, _>(2)? as u32,
                started_at: Time::from_ns(row.try_get(3)?),
                took_ms: row.try_get(4)?,
                status: row.try_get::<Option<i64>, _>(5)?.and_then(|s| u16::try_from(s).ok()),
                error: row.try_get(6)?,
                bytes: row.try_get::<i64, _>(7)? as usize,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Forgets what all of these endpoints have been told, what exceeds the limit, old attempts, and endpoints that are no more.
    /// Returns how many events were given up.
    pub(super) async fn tidy(&self, webhooks: &BTreeMap<String, bool>) -> Result<u64, StoreError> {
        self.write().await?;
        let newest = *self.newest.borrow();
        let mut told = newest;
        for row in sqlx::query("SELECT webhook, seq FROM place").fetch_all(&self.pool).await? {
            let (webhook, seq): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            match webhooks.get(&webhook) {
                Some(true) => told = told.min(seq),
                Some(false) => {}
                None => {
                    for statement in [
                        "DELETE FROM place WHERE webhook = $1",
                        "DELETE FROM attempt WHERE webhook = $1",
                        "DELETE FROM dead_letter WHERE webhook = $1",
                    ] {
                        sqlx::query(statement).bind(webhook.as_str()).execute(&self.pool).await?;
                    }
                }
            }
        }
        sqlx::query("DELETE FROM event WHERE seq <= $1").bind(told).execute(&self.pool).await?;
        let over = sqlx::query("DELETE FROM event WHERE seq <= $1")
            .bind(newest - self.limit)
            .execute(&self.pool)
            .await?;
        for webhook in webhooks.keys() {
            const OLD: &str = "DELETE FROM attempt WHERE webhook = $1 AND number <=
                (SELECT number FROM attempt WHERE webhook = $1 ORDER BY number DESC LIMIT 1 OFFSET $2)";
            sqlx::query(OLD).bind(webhook.as_str()).bind(ATTEMPTS).execute(&self.pool).await?;
        }
        Ok(over.rows_affected())
    }

    pub(super) async fn close(&self) {
        if let Err(error) = self.write().await {
            tracing::warn!("webhooks: {error}");
        }
        self.pool.close().await;
    }
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        number: row.try_get(0)?,
        delivery_id: row.try_get(1)?,
        event_type: row.try_get(2)?,
        attempts: row.try_get::<i64, _>(3)? as u32,
        reason: row.try_get(4)?,
        died_at: Time::from_ns(row.try_get(5)?),
        body: row.try_get::<Vec<u8>, _>(6)?.into(),
    })
}
