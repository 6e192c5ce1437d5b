//! Copies of SQLite databases that other processes write meanwhile.

use std::path::Path;

use sqlx::{AnyConnection, Connection, Executor, Row};

use super::{StoreError, sqlite_url};

/// Copies a database as it is at one moment, whoever reads and writes it meanwhile. `to` must not be there yet.
///
/// # Errors
/// `from` is no database, is locked for too long, or `to` cannot be written.
pub async fn snapshot(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut connection = open(from).await?;
    // In a transaction of its own, of which writers know nothing: https://www.sqlite.org/lang_vacuum.html#vacuuminto
    sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned()).execute(&mut connection).await?;
    connection.close().await?;
    let io = |source| StoreError::Io { path: to.to_owned(), source };
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(io)
}

/// Looks for damage. `None`: none was found.
///
/// # Errors
/// It is no database, or cannot be opened.
pub async fn damage(path: &Path) -> Result<Option<String>, StoreError> {
    let mut connection = open(path).await?;
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut connection).await?;
    let said: String = row.try_get(0)?;
    connection.close().await?;
    Ok(Some(said).filter(|said| said != "ok"))
}

async fn open(path: &Path) -> Result<AnyConnection, StoreError> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&sqlite_url(path, "rw")).await?;
    connection.execute("PRAGMA busy_timeout = 10000").await?;
    Ok(connection)
}
