//! Messages that wait on the disk until the broker has them.
//!
//! A SQLite file of its own in the data directory: what goes out does not wait for the database of the history, and survives
//! the death of the process.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlitePool};

use crate::store::StoreError;

/// Messages of one lane are kept in order, and given up, oldest first, when they exceed the lane's share of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Each says something that is said once.
    Kept = 0,
    /// Samples of something that goes on; the next one says more.
    Samples = 1,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Kept, Self::Samples];
}

/// A message with QoS 1 or 2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub lane: Lane,
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub payload: Bytes,
}

/// A message and its number; numbers grow.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub seq: i64,
    pub message: Message,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pool: SqlitePool,
    limit: u64,
    bytes: Mutex<[u64; 2]>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, topic TEXT NOT NULL, qos INTEGER NOT NULL,
        retain INTEGER NOT NULL, payload BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS message_lane ON message (lane, seq);
    CREATE TABLE IF NOT EXISTS answer (
        command TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL, made_ns INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS announced (topic TEXT NOT NULL PRIMARY KEY);
    DELETE FROM answer WHERE made_ns < CAST(strftime('%s', 'now') AS INTEGER) * 1000000000 - 86400000000000";

const APPEND: &str = "INSERT INTO message (lane, topic, qos, retain, payload) VALUES ($1, $2, $3, $4, $5)";
const READ: &str =
    "SELECT seq, topic, qos, retain, payload FROM message WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const OLDEST: &str = "SELECT seq, LENGTH(payload) FROM message WHERE lane = $1 ORDER BY seq LIMIT 1024";
const FORGET: &str = "DELETE FROM message WHERE lane = $1 AND seq <= $2 RETURNING LENGTH(payload)";
const SIZE: &str = "SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM message WHERE lane = $1";

impl Queue {
    /// Picks up what an earlier run left. Each lane takes at most `limit` bytes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) async fn open(file: &Path, limit: u64) -> Result<Self, StoreError> {
        // A commit is in the system's hands when it returns: it survives the process, and the machine up to its last moments.
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        let mut bytes = [0; 2];
        for lane in Lane::ALL {
            let size: i64 = sqlx::query(SIZE).bind(lane as i64).fetch_one(&pool).await?.try_get(0)?;
            bytes[lane as usize] = size.unsigned_abs();
        }
        Ok(Self { pool, limit, bytes: Mutex::new(bytes) })
    }

    fn grow(&self, lane: Lane, by: i64) -> u64 {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = &mut bytes[lane as usize];
        *lane = lane.saturating_add_signed(by);
        *lane
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).iter().sum()
    }

    /// Adds messages at the end, all or none. Returns how many old ones were given up for want of room.
    pub(crate) async fn append(&self, messages: &[Message]) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        for m in messages {
            let query = sqlx::query(APPEND).bind(m.lane as i64).bind(m.topic.as_str()).bind(i64::from(m.qos));
            query.bind(m.retain).bind(m.payload.as_ref()).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let mut given_up = 0;
        for lane in Lane::ALL {
            let added: usize = messages.iter().filter(|m| m.lane == lane).map(|m| m.payload.len()).sum();
            if added > 0 && self.grow(lane, added as i64) > self.limit {
                given_up += self.make_room(lane).await?;
            }
        }
        Ok(given_up)
    }

    async fn make_room(&self, lane: Lane) -> Result<u64, StoreError> {
        let mut given_up = 0;
        while self.grow(lane, 0) > self.limit {
            let rows = sqlx::query(OLDEST).bind(lane as i64).fetch_all(&self.pool).await?;
            let mut freed = 0;
            let mut last = None;
            for row in &rows {
                freed += row.try_get::<i64, _>(1)?;
                last = Some(row.try_get::<i64, _>(0)?);
                given_up += 1;
                if self.grow(lane, 0).saturating_add_signed(-freed) <= self.limit {
                    break;
                }
            }
            let Some(last) = last else { break };
            self.forget(lane, last).await?;
        }
        Ok(given_up)
    }

    /// The next messages of a lane behind this number, oldest first.
    pub(crate) async fn read(&self, lane: Lane, after: i64, most: usize) -> Result<Vec<Queued>, StoreError> {
        let query = sqlx::query(READ).bind(lane as i64).bind(after).bind(most as i64);
        let rows = query.fetch_all(&self.pool).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| -> Result<Queued, StoreError> {
            let message = Message {
                lane,
                topic: row.try_get(1)?,
                qos: u8::try_from(row.try_get::<i64, _>(2)?).unwrap_or(1).clamp(1, 2),
                retain: row.try_get(3)?,
                payload: row.try_get::<Vec<u8>, _>(4)?.into(),
            };
            Ok(Queued { seq: row.try_get(0)?, message })
        };
        rows.iter().map(read).collect()
    }

    /// Messages of a lane up to this number are where they belong.
    pub(crate) async fn forget(&self, lane: Lane, seq: i64) -> Result<(), StoreError> {
        let rows = sqlx::query(FORGET).bind(lane as i64).bind(seq).fetch_all(&self.pool).await?;
        let mut freed = 0;
        for row in &rows {
            freed += row.try_get::<i64, _>(0)?;
        }
        self.grow(lane, -freed);
        Ok(())
    }

    /// What a command was answered, if it was heard before.
    pub(crate) async fn answer(&self, command: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query("SELECT body FROM answer WHERE command = $1").bind(command);
        Ok(query.fetch_optional(&self.pool).await?.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps what a command was answered, for a day.
    pub(crate) async fn answered(&self, command: &str, body: &str) -> Result<(), StoreError> {
        const KEEP: &str =
            "INSERT INTO answer (command, body, made_ns) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let query = sqlx::query(KEEP).bind(command).bind(body).bind(crate::Time::now().as_ns());
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// Topics under which something was announced and not taken back.
    pub(crate) async fn announced(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT topic FROM announced ORDER BY topic").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Remembers that something is announced under this topic, or no more.
    pub(crate) async fn announce(&self, topic: &str, there: bool) -> Result<(), StoreError> {
        let statement = if there {
            "INSERT INTO announced (topic) VALUES ($1) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM announced WHERE topic = $1"
        };
        sqlx::query(statement).bind(topic).execute(&self.pool).await?;
        Ok(())
    }

    /// Writes back what is in memory and lets the file go.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_full_lane_gives_up_its_oldest_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("queue.sqlite");
        let message = |lane, i: u32| Message {
            lane,
            topic: "t".into(),
            qos: 1,
            retain: false,
            payload: Bytes::from(format!("{i:050}")),
        };
        let queue = Queue::open(&file, 1000).await.unwrap();
        let mut given_up = queue.append(&[message(Lane::Kept, 0)]).await.unwrap();
        for i in 0..10 {
            let samples: Vec<Message> = (0..7).map(|j| message(Lane::Samples, 7 * i + j)).collect();
            given_up += queue.append(&samples).await.unwrap();
        }
        assert_eq!((given_up, queue.bytes()), (50, 1050));
        queue.close().await;

        let queue = Queue::open(&file, 1000).await.unwrap();
        assert_eq!(queue.bytes(), 1050);
        let left = queue.read(Lane::Samples, 0, 100).await.unwrap();
        let expected: Vec<Message> = (50..70).map(|i| message(Lane::Samples, i)).collect();
        assert_eq!(left.iter().map(|q| q.message.clone()).collect::<Vec<_>>(), expected);
        queue.forget(Lane::Samples, left[18].seq).await.unwrap();
        assert_eq!(queue.read(Lane::Samples, 0, 100).await.unwrap().len(), 1);
        assert_eq!(queue.read(Lane::Kept, 0, 100).await.unwrap().len(), 1);
        assert_eq!(queue.bytes(), 100);
    }
}
