//! The audit log as GraphQL objects.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};

use super::page;
use super::scalars::Count;
use crate::query::QueryError;
use crate::store::{AuditEntry as Entry, AuditQuery, Outcome};
use crate::{ApiState, Time};

/// What became of what somebody tried.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Outcome")]
pub(crate) enum AuditOutcome {
    /// It was done.
    Done,
    /// They were not let.
    Refused,
}

/// Who changed what, or was refused what.
#[derive(SimpleObject)]
struct AuditEntry {
    /// Unique; ids sort by time.
    id: ID,
    /// When, the first time.
    time: Time,
    /// Who: the subject of a token, the name of an API key, or an address.
    who: String,
    /// How they proved it: `token`, `key`, `provider`, `mqtt`, `anonymous`.
    kind: String,
    /// From where; empty where it is not known.
    address: String,
    /// What, such as `PUT /api/config/zones/{id}` or `mutation createZone`.
    operation: String,
    /// What it was about: a path, or arguments.
    object: String,
    /// What became of it.
    outcome: AuditOutcome,
    /// Why they were refused.
    detail: String,
    /// How often, within a minute.
    times: Count,
}

impl From<Entry> for AuditEntry {
    fn from(e: Entry) -> Self {
        Self {
            id: e.id.into(),
            time: e.time,
            who: e.who,
            kind: e.kind,
            address: e.address,
            operation: e.operation,
            object: e.object,
            outcome: e.outcome.into(),
            detail: e.detail,
            times: Count(e.times),
        }
    }
}

/// Queries over the audit log.
#[derive(Default)]
pub(crate) struct Log;

#[Object]
impl Log {
    /// Who changed what, and who was refused, the newest first.
    #[graphql(complexity = "1 + page(first).unwrap_or(0) * child_complexity")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what was done, or what was refused.")] outcome: Option<AuditOutcome>,
        #[graphql(desc = "Only by them.")] who: Option<String>,
        #[graphql(desc = "Only entries before the one of this id.")] before: Option<ID>,
        #[graphql(desc = "How many, 1..1000.", default = 100)] first: i32,
    ) -> Result<Vec<AuditEntry>> {
        let limit = page(first).map_err(|e| e.graphql())?;
        let state = ctx.data::<ApiState>()?;
        let none = || QueryError::Away("this server keeps nothing".into()).graphql();
        let store = state.store().ok_or_else(none)?;
        let query =
            AuditQuery { outcome: outcome.map(Outcome::from), who, before: before.map(|id| id.0), limit };
        let found = store.audit(&query).await.map_err(|e| QueryError::from(e).graphql())?;
        Ok(found.into_iter().map(AuditEntry::from).collect())
    }
}
