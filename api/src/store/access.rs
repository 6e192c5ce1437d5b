//! What access needs to remember: uses of API keys, refresh tokens, revocations, the audit log, shared rates.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::{Store, StoreError, now_ns};
use crate::Time;

/// A refresh token.
#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub id: String,
    /// All that descend from the same first one.
    pub family: String,
    /// SHA-256 of the token, hexadecimal.
    pub hash: String,
    /// What it grants, as JSON.
    pub body: String,
    pub expires_ns: i64,
    /// Another one was given for it.
    pub used: bool,
}

/// What became of what somebody tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// They were not let.
    Refused,
}

impl Outcome {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Who changed what, or was refused what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Unique; ids sort by time.
    pub id: String,
    /// When, the first time.
    pub time: Time,
    /// Who: the subject of a token, the name of an API key, or an address.
    pub who: String,
    /// How they proved it: `token`, `key`, `provider`, `mqtt`, `anonymous`.
    pub kind: String,
    /// From where; empty where it is not known.
    pub address: String,
    /// What, such as `PUT /api/config/zones/{id}` or `mutation createZone`.
    pub operation: String,
    /// What it was about: a path, or arguments.
    pub object: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why they were refused.
    pub detail: String,
    /// How often, within a minute.
    pub times: u64,
}

/// Which entries of the audit log, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only by them.
    pub who: Option<String>,
    /// Only entries before the one of this id.
    pub before: Option<String>,
    /// How many.
    pub limit: usize,
}

/// Refusals that are kept; changes are kept for as long as events.
const REFUSALS: i64 = 100_000;

impl Store {
    /// An API key was used.
    pub(crate) async fn touch_key(&self, id: &str) -> Result<(), StoreError> {
        const TOUCH: &str = "INSERT INTO api_key_use (id, used_ns) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET used_ns = excluded.used_ns";
        sqlx::query(TOUCH).bind(id).bind(now_ns()).execute(self.pool()?).await?;
        Ok(())
    }

    /// When an API key was used last, to the minute.
    pub(crate) async fn key_used(&self, id: &str) -> Result<Option<Time>, StoreError> {
        let row = sqlx::query("SELECT used_ns FROM api_key_use WHERE id = $1").bind(id);
        let row = row.fetch_optional(self.pool()?).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.map(Time::from_ns))
    }

    pub(crate) async fn add_refresh(&self, token: &Refresh) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO refresh_token (id, family, hash, body, expires_ns, used)
            VALUES ($1, $2, $3, $4, $5, 0)";
        sqlx::query(ADD)
            .bind(token.id.as_str())
            .bind(token.family.as_str())
            .bind(token.hash.as_str())
            .bind(token.body.as_str())
            .bind(token.expires_ns)
            .execute(self.pool()?)
            .await?;
        Ok(())
    }

    pub(crate) async fn refresh(&self, id: &str) -> Result<Option<Refresh>, StoreError> {
        const GET: &str = "SELECT id, family, hash, body, expires_ns, used FROM refresh_token WHERE id = $1";
        let read = |row: AnyRow| {
            Ok::<_, StoreError>(Refresh {
                id: row.try_get(0)?,
                family: row.try_get(1)?,
                hash: row.try_get(2)?,
                body: row.try_get(3)?,
                expires_ns: row.try_get(4)?,
                used: row.try_get::<i64, _>(5)? != 0,
            })
        };
        sqlx::query(GET).bind(id).fetch_optional(self.pool()?).await?.map(read).transpose()
    }

    /// `false` where somebody else has used it already.
    pub(crate) async fn use_refresh(&self, id: &str) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE refresh_token SET used = 1 WHERE id = $1 AND used = 0").bind(id);
        Ok(query.execute(self.pool()?).await?.rows_affected() == 1)
    }

    pub(crate) async fn revoke(&self, mark: &str, until_ns: i64) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO revocation (mark, until_ns) VALUES ($1, $2)
            ON CONFLICT (mark) DO UPDATE SET until_ns = excluded.until_ns";
        sqlx::query(ADD).bind(mark).bind(until_ns).execute(self.pool()?).await?;
        Ok(())
    }

    pub(crate) async fn revocations(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let query = sqlx::query("SELECT mark, until_ns FROM revocation WHERE until_ns > $1").bind(now_ns());
        let rows = query.fetch_all(self.pool()?).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Adds entries to the audit log.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn add_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        const ADD: &str = "INSERT INTO audit
            (id, time_ns, who, kind, address, operation, object, outcome, detail, times)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let mut transaction = self.write().await?;
        for entry in entries {
            sqlx::query(ADD)
                .bind(entry.id.as_str())
                .bind(entry.time.as_ns())
                .bind(entry.who.as_str())
                .bind(entry.kind.as_str())
                .bind(entry.address.as_str())
                .bind(entry.operation.as_str())
                .bind(entry.object.as_str())
                .bind(entry.outcome.name())
                .bind(entry.detail.as_str())
                .bind(i64::try_from(entry.times).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Entries of the audit log, the newest first.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        const LIST: &str = "SELECT id, time_ns, who, kind, address, operation, object, outcome, detail, times
            FROM audit WHERE ($1 = '*' OR outcome = $1) AND ($2 = '*' OR who = $2) AND ($3 = '' OR id < $3)
            ORDER BY id DESC LIMIT $4";
        let rows = sqlx::query(LIST)
            .bind(query.outcome.map_or("*", Outcome::name))
            .bind(query.who.as_deref().unwrap_or("*"))
            .bind(query.before.as_deref().unwrap_or_default())
            .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await?;
        let read = |row: &AnyRow| {
            let refused = row.try_get::<&str, _>(7)? == Outcome::Refused.name();
            Ok(AuditEntry {
                id: row.try_get(0)?,
                time: Time::from_ns(row.try_get(1)?),
                who: row.try_get(2)?,
                kind: row.try_get(3)?,
                address: row.try_get(4)?,
                operation: row.try_get(5)?,
                object: row.try_get(6)?,
                outcome: if refused { Outcome::Refused } else { Outcome::Done },
                detail: row.try_get(8)?,
                times: row.try_get::<i64, _>(9)? as u64,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Do several processes share this database?
    pub(crate) fn shared(&self) -> bool {
        self.inner.postgres
    }

    /// Takes `cost_ns` from what a caller has, which is `window_ns` at the most: see [`crate::access`]. When they have everything again,
    /// or where they have not enough, the same as an error.
    pub(crate) async fn charge(
        &self,
        caller: &str,
        now_ns: i64,
        cost_ns: i64,
        window_ns: i64,
    ) -> Result<Result<i64, i64>, StoreError> {
        const TAKE: &str = "INSERT INTO rate (caller, full_ns) VALUES ($1, $2 + $3) ON CONFLICT (caller)
            DO UPDATE SET full_ns = GREATEST(rate.full_ns, $2) + $3
            WHERE GREATEST(rate.full_ns, $2) + $3 <= $2 + $4 RETURNING full_ns";
        let query = sqlx::query(TAKE).bind(caller).bind(now_ns).bind(cost_ns).bind(window_ns);
        if let Some(row) = query.fetch_optional(self.pool()?).await? {
            return Ok(Ok(row.try_get(0)?));
        }
        let row = sqlx::query("SELECT full_ns FROM rate WHERE caller = $1").bind(caller);
        Ok(Err(row.fetch_one(self.pool()?).await?.try_get(0)?))
    }

    /// Forgets what access remembers and needs no more; of the audit log what is older than `audit_ns`.
    pub(super) async fn tidy_access(&self, now_ns: i64, audit_ns: i64) -> Result<(), StoreError> {
        let pool = self.pool()?;
        for (statement, before) in [
            ("DELETE FROM refresh_token WHERE expires_ns < $1", now_ns),
            ("DELETE FROM revocation WHERE until_ns < $1", now_ns),
            ("DELETE FROM rate WHERE full_ns < $1", now_ns),
            ("DELETE FROM audit WHERE time_ns < $1", audit_ns),
        ] {
            sqlx::query(statement).bind(before).execute(pool).await?;
        }
        const MANY: &str = "DELETE FROM audit WHERE outcome = 'refused' AND id <=
            (SELECT id FROM audit WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1 OFFSET $1)";
        sqlx::query(MANY).bind(REFUSALS).execute(pool).await?;
        Ok(())
    }
}
