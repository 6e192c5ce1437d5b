//! What operators set up, as JSON documents with a version: a change names the version that it was made from.

use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, now_ns};
use crate::Time;

/// Kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An area of a site's floor.
    Zone,
    /// An access point or another transmitter of CSI.
    Router,
    /// A rule that raises alerts.
    AlertRule,
    /// A set of settings to start from.
    Template,
    /// A report and its progress.
    Report,
    /// An endpoint that is told of events.
    Webhook,
    /// An API key.
    ApiKey,
}

impl Kind {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Router => "router",
            Self::AlertRule => "alert",
            Self::Template => "template",
            Self::Report => "report",
            Self::Webhook => "webhook",
            Self::ApiKey => "api_key",
        }
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The site; empty where it belongs to none.
    pub site: String,
    /// Identifier within kind and site.
    pub id: String,
    /// Counts changes from 1.
    pub version: u64,
    /// When it was made.
    pub created: Time,
    /// When it was changed last.
    pub changed: Time,
    /// What it says.
    pub body: Value,
}

const GET: &str = "SELECT site, id, version, created_ns, changed_ns, body FROM resource
    WHERE kind = $1 AND site = $2 AND id = $3";
const LIST: &str = "SELECT site, id, version, created_ns, changed_ns, body FROM resource
    WHERE kind = $1 AND site = $2 ORDER BY id LIMIT $3 OFFSET $4";
const CREATE: &str = "INSERT INTO resource (kind, site, id, version, created_ns, changed_ns, body)
    VALUES ($1, $2, $3, 1, $4, $4, $5) ON CONFLICT (kind, site, id) DO NOTHING";
const UPDATE: &str = "UPDATE resource SET version = version + 1, changed_ns = $5, body = $6
    WHERE kind = $1 AND site = $2 AND id = $3 AND version = $4";
const DELETE: &str = "DELETE FROM resource WHERE kind = $1 AND site = $2 AND id = $3 AND version = $4";

impl Store {
    /// One document; `None` where there is none.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn resource(&self, kind: Kind, site: &str, id: &str) -> Result<Option<Resource>, StoreError> {
        let query = sqlx::query(GET).bind(kind.name()).bind(site).bind(id);
        query.fetch_optional(self.pool()?).await?.as_ref().map(read).transpose()
    }

    /// Documents of a site by id.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn resources(
        &self,
        kind: Kind,
        site: &str,
        limit: usize,
        skip: usize,
    ) -> Result<Vec<Resource>, StoreError> {
        let query = sqlx::query(LIST).bind(kind.name()).bind(site);
        let query = query.bind(limit as i64).bind(i64::try_from(skip).unwrap_or(i64::MAX));
        query.fetch_all(self.pool()?).await?.iter().map(read).collect()
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where there is one of this id; or the database has no answer.
    pub async fn create(
        &self,
        kind: Kind,
        site: &str,
        id: &str,
        body: &Value,
    ) -> Result<Resource, StoreError> {
        let now = now_ns();
        let query = sqlx::query(CREATE).bind(kind.name()).bind(site).bind(id).bind(now);
        let done = query.bind(body.to_string()).execute(self.pool()?).await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Changed);
        }
        let time = Time::from_ns(now);
        Ok(Resource {
            site: site.into(),
            id: id.into(),
            version: 1,
            created: time,
            changed: time,
            body: body.clone(),
        })
    }

    /// Replaces what a document says, if it still has this version.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where it has another or is gone; or the database has no answer.
    pub async fn replace(&self, kind: Kind, old: &Resource, body: Value) -> Result<Resource, StoreError> {
        let now = now_ns();
        let query = sqlx::query(UPDATE)
            .bind(kind.name())
            .bind(old.site.as_str())
            .bind(old.id.as_str())
            .bind(old.version as i64)
            .bind(now)
            .bind(body.to_string());
        if query.execute(self.pool()?).await?.rows_affected() == 0 {
            return Err(StoreError::Changed);
        }
        Ok(Resource { version: old.version + 1, changed: Time::from_ns(now), body, ..old.clone() })
    }

    /// Removes a document, if it still has this version.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where it has another or is gone; or the database has no answer.
    pub async fn remove(&self, kind: Kind, old: &Resource) -> Result<(), StoreError> {
        let query = sqlx::query(DELETE)
            .bind(kind.name())
            .bind(old.site.as_str())
            .bind(old.id.as_str())
            .bind(old.version as i64);
        if query.execute(self.pool()?).await?.rows_affected() == 0 {
            return Err(StoreError::Changed);
        }
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Resource, StoreError> {
    Ok(Resource {
        site: row.try_get(0)?,
        id: row.try_get(1)?,
        version: row.try_get::<i64, _>(2)? as u64,
        created: Time::from_ns(row.try_get(3)?),
        changed: Time::from_ns(row.try_get(4)?),
        body: serde_json::from_str(row.try_get(5)?)?,
    })
}
