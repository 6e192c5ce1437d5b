//! Refresh tokens: each is used once and gives the next. One that comes a second time was stolen, or its successor was: then all of its
//! family end (RFC 9700, 4.14.2).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::{digest, same};
use super::scope::Scope;
use super::token::{self, hex, random};
use crate::store::{Refresh, Store, StoreError};
use crate::{ApiState, Time};

/// How every one begins.
pub(super) const PREFIX: &str = "ivr_";

/// What is kept of a refresh token's rights.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub client: String,
    pub subject: String,
    pub scopes: BTreeSet<Scope>,
}

/// A new one.
pub(super) async fn give(
    store: &Store,
    kept: &Kept,
    family: String,
    expires_ns: i64,
) -> Result<String, StoreError> {
    let id = hex(&random::<8>());
    let token = format!("{PREFIX}{id}_{}", hex(&random::<32>()));
    let (hash, body) = (digest(&token), serde_json::to_string(kept)?);
    store.add_refresh(&Refresh { id, family, hash, body, expires_ns, used: false }).await?;
    Ok(token)
}

/// A refresh token of this client, whoever comes with it.
pub(super) async fn find(
    store: &Store,
    client: &str,
    token: &str,
) -> Result<Option<(Kept, Refresh)>, StoreError> {
    let id = token.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()).unwrap_or_default();
    let Some(found) = store.refresh(id).await? else { return Ok(None) };
    let kept: Kept = serde_json::from_str(&found.body)?;
    Ok((same(token, &found.hash) && kept.client == client).then_some((kept, found)))
}

/// Uses a refresh token of this client up; `None` where it is none that is good.
pub(super) async fn take(
    state: &ApiState,
    store: &Store,
    client: &str,
    token: &str,
) -> Result<Option<(Kept, Refresh)>, StoreError> {
    let Some((kept, found)) = find(store, client, token).await? else { return Ok(None) };
    let mark = token::family_mark(&found.family);
    let now = Time::now().as_ns();
    if found.expires_ns <= now || store.revocations().await?.iter().any(|(of, _)| *of == mark) {
        return Ok(None);
    }
    if found.used || !store.use_refresh(&found.id).await? {
        tracing::warn!(client, "a refresh token came twice: all that came from it is revoked");
        end(state, &found).await?;
        return Ok(None);
    }
    Ok(Some((kept, found)))
}

/// Ends a family: its refresh tokens, and the tokens that came from them.
pub(super) async fn end(state: &ApiState, token: &Refresh) -> Result<(), StoreError> {
    let access = state.access();
    let longest = Time::now().as_ns().saturating_add(nanoseconds(access.config().token_ttl));
    access.revoke(token::family_mark(&token.family), Time::from_ns(longest.max(token.expires_ns))).await
}

pub(super) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
