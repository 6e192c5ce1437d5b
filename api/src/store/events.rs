//! Events, as they were published.

use std::sync::Arc;

use invispose_pipeline::events::{Event, EventKind, Severity};
use sqlx::Row;

use super::{Store, StoreError, now_ns};

const INSERT: &str = "INSERT INTO event (id, site, time_ns, kind, severity, zone, person, body, stored_ns)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
const LIST: &str = "SELECT body FROM event
    WHERE ($1 = '*' OR site = $1) AND time_ns >= $2 AND time_ns < $3 AND severity >= $4
    AND ($5 = '*' OR kind = $5) AND ($6 = '*' OR zone = $6) AND ($7 < 0 OR person = $7)
    AND id > $8 ORDER BY id LIMIT $9 OFFSET $10";

/// Which events, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of this site; `""`: of the whole system.
    pub site: Option<String>,
    /// First moment, nanoseconds.
    pub from_ns: Option<i64>,
    /// First moment that is too late.
    pub to_ns: Option<i64>,
    /// At least so severe.
    pub severity: Option<Severity>,
    /// Of this kind only.
    pub kind: Option<EventKind>,
    /// In this zone only.
    pub zone: Option<String>,
    /// About this person only.
    pub person: Option<u64>,
    /// After the event of this id.
    pub after: Option<String>,
    /// How many.
    pub limit: usize,
    /// How many to pass over.
    pub skip: usize,
}

impl Store {
    /// Adds events; those that are there already are left as they are.
    pub(super) async fn insert_events(&self, events: &[Arc<Event>]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let now = now_ns();
        for event in events {
            let zone = event.place.as_ref().and_then(|p| p.zone.as_deref());
            sqlx::query(INSERT)
                .bind(event.id.to_string())
                .bind(event.site.as_deref().unwrap_or_default())
                .bind(event.time_ns)
                .bind(event.kind.name())
                .bind(event.severity as i64)
                .bind(zone.unwrap_or_default())
                .bind(event.person.map(|p| p as i64))
                .bind(serde_json::to_string(event)?)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Events in the order of their ids.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(query.site.as_deref().unwrap_or("*"))
            .bind(query.from_ns.unwrap_or(i64::MIN))
            .bind(query.to_ns.unwrap_or(i64::MAX))
            .bind(query.severity.map_or(0, |s| s as i64))
            .bind(query.kind.map_or("*", EventKind::name))
            .bind(query.zone.as_deref().unwrap_or("*"))
            .bind(query.person.map_or(-1, |p| p as i64))
            .bind(query.after.as_deref().unwrap_or_default())
            .bind(query.limit as i64)
            .bind(i64::try_from(query.skip).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await?;
        rows.iter().map(|row| Ok(serde_json::from_str(row.try_get(0)?)?)).collect()
    }
}
