//! What is kept: pose history, what it adds up to, events, and what operators set up.
//!
//! ```text
//! ring ──► follow ──► queue ──► writer ──► database
//!                                 └──► on-disk queue while the database is away
//! ```
//!
//! SQLite in the data directory, or PostgreSQL: one schema and one set of queries through sqlx's `Any`. The ring is read,
//! never waited for, so nothing here can slow the pipeline; what the ring overwrites before it was read is counted and raised as a fault.

mod access;
mod aggregate;
mod alerts;
mod analytics;
mod block;
mod events;
mod frames;
mod insert;
mod keep;
mod persons;
mod resources;
mod snapshot;
mod spool;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, SqlSafeStr, Transaction};
use thiserror::Error;

pub use access::{AuditEntry, AuditQuery, Outcome};
pub use alerts::AlertQuery;
pub use analytics::{Bucket, HeatCell, HeatMap};
pub use block::BlockError;
pub use keep::Keep;
pub use persons::PersonRecord;
pub use resources::{Kind, Resource};
pub use snapshot::{damage, snapshot};
pub use writer::Writer;

pub(crate) use access::Refresh;
pub(crate) use aggregate::{CELL_M, MINUTE, Sums};
pub(crate) use analytics::Over;
pub use events::EventQuery;
pub(crate) use frames::Wanted;
pub(crate) use persons::PersonQuery;

/// The name under which the store reports to [`Health`](invispose_pipeline::Health).
pub const COMPONENT: &str = "store";
/// The name under which it reports gaps in the history.
pub const HISTORY: &str = "history";

/// Connections at a time. SQLite has one writer; the others read.
const CONNECTIONS: u32 = 8;
/// Time for the database to give a connection or to take what is written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where and for how long things are kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `postgres://…`; `None`: SQLite in the data directory.
    pub url: Option<String>,
    /// Where the SQLite database and the on-disk queue live.
    pub data_dir: PathBuf,
    /// Bytes of writes that wait on the disk while the database is away.
    pub queue_bytes: u64,
    /// Frames are written after this time at the latest; until then the ring alone has them.
    pub write_every: Duration,
    /// For how long.
    pub keep: Keep,
}

impl StoreConfig {
    /// SQLite in this directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            url: None,
            data_dir: data_dir.into(),
            queue_bytes: 1 << 30,
            write_every: Duration::from_secs(10),
            keep: Keep::default(),
        }
    }
}

/// Why the store has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, or takes too long.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    /// The database refuses.
    #[error("the database: {0}")]
    Database(#[source] sqlx::Error),
    /// The database's schema cannot be brought up to date.
    #[error("the database's schema: {0}")]
    Schema(#[from] MigrateError),
    /// A row cannot be read.
    #[error("a damaged row: {0}")]
    Block(#[from] BlockError),
    /// JSON in a row, or for it.
    #[error("a damaged row: {0}")]
    Json(#[from] serde_json::Error),
    /// The on-disk queue.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database URL cannot be used.
    #[error("database.url: {0}")]
    Url(String),
    /// Somebody else changed it first.
    #[error("it was changed meanwhile")]
    Changed,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Away(error.to_string()),
            other => Self::Database(other),
        }
    }
}

impl StoreError {
    /// The same write will never be taken: its row is there already, or makes no sense.
    fn is_refusal(&self) -> bool {
        use sqlx::error::ErrorKind::{
            CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation,
        };
        match self {
            Self::Database(sqlx::Error::Database(e)) => {
                matches!(e.kind(), UniqueViolation | ForeignKeyViolation | NotNullViolation | CheckViolation)
            }
            Self::Block(_) | Self::Json(_) => true,
            _ => false,
        }
    }
}

/// What the store counts.
#[derive(Debug, Default)]
pub struct StoreStats {
    /// Frames in the database or in the on-disk queue.
    pub frames: AtomicU64,
    /// Frames that were overwritten in the ring before they could be written.
    pub missed: AtomicU64,
    /// Events in the database or in the on-disk queue.
    pub events: AtomicU64,
    /// Events that the bus gave up before they could be written.
    pub missed_events: AtomicU64,
    /// Writes that wait on the disk.
    pub queued: AtomicU64,
    /// Their bytes.
    pub queued_bytes: AtomicU64,
    /// Queued writes that turned out to be damaged, or that the database will never take.
    pub refused: AtomicU64,
}

impl StoreStats {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// The counter's value.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: AnyPool,
    postgres: bool,
    /// The schema is up to date.
    ready: AtomicBool,
    /// Why it is not, when it was tried last.
    unready: Mutex<String>,
    stats: StoreStats,
    config: StoreConfig,
}

impl Store {
    /// Opens the database and brings its schema up to date. A PostgreSQL server that cannot be reached is tried again later:
    /// until then queries fail and writes wait.
    ///
    /// # Errors
    /// The SQLite file cannot be opened, the URL makes no sense, or the schema is another program's or of a newer version.
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let postgres = match &config.url {
            None => false,
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => true,
            Some(_) => return Err(StoreError::Url("postgres://USER@HOST/DATABASE is expected".into())),
        };
        let url = match &config.url {
            Some(url) => url.clone(),
            None => {
                let io = |source| StoreError::Io { path: config.data_dir.clone(), source };
                std::fs::create_dir_all(&config.data_dir).map_err(io)?;
                sqlite_url(&Self::file(&config.data_dir), "rwc")
            }
        };
        let options: AnyConnectOptions =
            url.parse().map_err(|e: sqlx::Error| StoreError::Url(e.to_string()))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(if postgres { POSTGRES_SETUP } else { SQLITE_SETUP }).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let stats = StoreStats::default();
        let inner =
            Inner { pool, postgres, ready: AtomicBool::new(false), unready: Mutex::default(), stats, config };
        let store = Self { inner: Arc::new(inner) };
        match store.prepare().await {
            Err(error @ (StoreError::Away(_) | StoreError::Database(_))) if postgres => {
                tracing::warn!("{error}; writes wait on the disk until it is back");
            }
            result => result?,
        }
        Ok(store)
    }

    /// The file of the embedded database.
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("invispose.sqlite")
    }

    /// Does a PostgreSQL server answer under this URL?
    ///
    /// # Errors
    /// Why it does not.
    pub async fn reach(url: &str) -> Result<(), StoreError> {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(url).await?;
        connection.execute("SELECT 1").await?;
        Ok(connection.close().await?)
    }

    /// Brings the schema up to date, once.
    async fn prepare(&self) -> Result<(), StoreError> {
        if self.inner.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let blob = if self.inner.postgres { "BYTEA" } else { "BLOB" };
        let migration = |version, name: &'static str, sql: &str| {
            let sql = AssertSqlSafe(sql.replace("{BLOB}", blob)).into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        };
        let migrator = Migrator::with_migrations(vec![
            migration(1, "history", include_str!("../../migrations/1_history.sql")),
            migration(3, "alerts", include_str!("../../migrations/3_alerts.sql")),
            migration(4, "access", include_str!("../../migrations/4_access.sql")),
        ]);
        match migrator.run(&self.inner.pool).await {
            Ok(()) => {}
            Err(MigrateError::Execute(e)) => {
                let error = StoreError::from(e);
                if let StoreError::Away(reason) = &error {
                    self.inner.unready.lock().unwrap_or_else(PoisonError::into_inner).clone_from(reason);
                }
                return Err(error);
            }
            Err(e) => return Err(e.into()),
        }
        self.inner.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// The pool, once the schema is there.
    fn pool(&self) -> Result<&AnyPool, StoreError> {
        if self.inner.ready.load(Ordering::Acquire) {
            Ok(&self.inner.pool)
        } else {
            let reason = self.inner.unready.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Err(StoreError::Away(format!("not once since the start: {reason}")))
        }
    }

    /// A transaction that writes. SQLite takes its write lock at once, so that what was read inside is still true at the end.
    async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begin = if self.inner.postgres { "BEGIN" } else { "BEGIN IMMEDIATE" };
        Ok(self.pool()?.begin_with(begin).await?)
    }

    /// What it counts.
    pub fn stats(&self) -> &StoreStats {
        &self.inner.stats
    }

    /// `sqlite` or `postgresql`.
    pub fn backend(&self) -> &'static str {
        if self.inner.postgres { "postgresql" } else { "sqlite" }
    }

    fn config(&self) -> &StoreConfig {
        &self.inner.config
    }
}

/// Readers go on while the one writer writes; a commit is on the disk when it returns.
const SQLITE_SETUP: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY";
/// A query that takes longer serves nobody any more.
const POSTGRES_SETUP: &str = "SET statement_timeout = '30s'";

/// Characters that mean something in a URL are escaped.
fn sqlite_url(path: &Path, mode: &str) -> String {
    let text = path.to_string_lossy();
    let escaped = text.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{escaped}?mode={mode}")
}

/// Nanoseconds since the Unix epoch by this host's clock.
fn now_ns() -> i64 {
    crate::Time::now().as_ns()
}
