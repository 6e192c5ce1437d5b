//! API keys: shown once, kept as a hash, found by their prefix.
//!
//! A key is 256 random bits, so that nobody can try them all: one round of SHA-256 hides it as well as a slow hash would, which
//! exist for what people choose. Hashes are compared in constant time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::principal::{Identity, Kind, Principal, Tier};
use super::scope::Scope;
use super::token::{Reason, client_mark, hex, random};
use crate::Time;
use crate::store::{self, Resource, Store, StoreError};

/// How every key begins.
pub(crate) const PREFIX: &str = "ivk_";
/// A key that was found to be right is right for so long, wherever it is withdrawn.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Keys that are remembered.
const MOST: usize = 1024;
/// Between two notes of a key's last use.
const NOTED: Duration = Duration::from_secs(60);

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKey {
    pub name: String,
    /// SHA-256 of the whole key, hexadecimal.
    pub hash: String,
    #[serde(flatten)]
    pub grants: Grants,
}

/// What a key grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Grants {
    /// To do what.
    pub scopes: BTreeSet<Scope>,
    /// At these sites only; at all where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<BTreeSet<String>>,
    /// How often: `authenticated` or `premium`.
    #[serde(default)]
    pub tier: Tier,
    /// Until when; for good where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A new key: its id, what is kept of it, and the key itself.
pub(crate) fn make(name: String, grants: Grants) -> (String, ApiKey, String) {
    let id = hex(&random::<8>());
    let key = format!("{PREFIX}{id}_{}", hex(&random::<32>()));
    let hash = digest(&key);
    (id, ApiKey { name, hash, grants }, key)
}

/// SHA-256, hexadecimal: what is kept of a secret.
pub fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Is this the secret of that hash? In constant time.
pub fn same(secret: &str, hash: &str) -> bool {
    digest(secret).as_bytes().ct_eq(hash.as_bytes()).into()
}

/// As it is kept.
pub(crate) fn kept(resource: &Resource) -> Result<ApiKey, StoreError> {
    Ok(serde_json::from_value(resource.body.clone())?)
}

/// Keys that were seen lately.
#[derive(Debug, Default)]
pub(super) struct Keys {
    right: Mutex<HashMap<String, (Principal, Instant)>>,
    noted: Mutex<HashMap<String, Instant>>,
}

impl Keys {
    /// Whom a key speaks for.
    pub(super) async fn check(&self, store: Option<&Store>, key: &str) -> Result<Principal, Reason> {
        let hash = digest(key);
        let remembered = self.remembered(&hash);
        let store = store.ok_or(Reason::NoKey)?;
        let id = key.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()).unwrap_or_default();
        let principal = match remembered {
            Some(principal) => principal,
            None => {
                let principal = Self::find(store, id, key).await?;
                let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
                if right.len() >= MOST {
                    right.clear();
                }
                right.insert(hash, (principal.clone(), Instant::now()));
                principal
            }
        };
        if principal.expires().is_some_and(|at| at <= Time::now()) {
            return Err(Reason::Expired);
        }
        self.note(store, id);
        Ok(principal)
    }

    fn remembered(&self, hash: &str) -> Option<Principal> {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.get(hash).filter(|(_, at)| at.elapsed() < REMEMBERED).map(|(principal, _)| principal.clone())
    }

    async fn find(store: &Store, id: &str, key: &str) -> Result<Principal, Reason> {
        let away = |e: StoreError| Reason::Away(e.to_string());
        let found = store.resource(store::Kind::ApiKey, "", id).await.map_err(away)?;
        let found = found.ok_or(Reason::NoKey)?;
        let ApiKey { name, hash, grants } = kept(&found).map_err(away)?;
        if !same(key, &hash) {
            return Err(Reason::NoKey);
        }
        Ok(Principal::new(Identity {
            name: format!("{name} ({id})"),
            kind: Kind::Key,
            scopes: grants.scopes,
            sites: grants.sites,
            tier: grants.tier,
            expires: grants.expires_at,
            marks: vec![client_mark(id)],
        }))
    }

    /// Forgets what it remembers: a key was withdrawn.
    pub(super) fn forget(&self) {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// That it was used, to the minute.
    fn note(&self, store: &Store, id: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(id).is_some_and(|at| at.elapsed() < NOTED) {
            return;
        }
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert(id.to_owned(), Instant::now());
        let (store, id) = (store.clone(), id.to_owned());
        tokio::spawn(async move {
            if let Err(error) = store.touch_key(&id).await {
                tracing::debug!("the use of an API key is not noted: {error}");
            }
        });
    }
}
