//! The audit log: every change and every refusal, with who, what, when and from where.
//!
//! A change is written before it is answered. Refusals of the same kind within a minute are one entry that says how many they were,
//! and of more than a few kinds at once the rest is one kind: whoever is refused all the time fills no disk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::principal::Principal;
use super::scope::names;
use super::token::Grant;
use crate::Time;
use crate::store::{AuditEntry, Outcome, Store};

/// Between two entries about refusals of the same kind.
const APART: Duration = Duration::from_secs(60);
/// Kinds of refusals that are told apart within that time.
const MOST: usize = 256;
/// The longest text that is kept, characters.
const LONGEST: usize = 256;

struct Pending {
    entry: AuditEntry,
    due: Instant,
}

#[derive(Default)]
pub(super) struct Audit {
    refused: Mutex<HashMap<[String; 4], Pending>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

fn entry(who: &Principal, address: Option<IpAddr>, operation: String, object: &str) -> AuditEntry {
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    AuditEntry {
        id: uuid::Uuid::now_v7().to_string(),
        time: Time::now(),
        who: short(who.name()),
        kind: who.kind().name().to_owned(),
        address: address.map(|ip| ip.to_string()).unwrap_or_default(),
        operation,
        object: short(object),
        outcome: Outcome::Done,
        detail: String::new(),
        times: 1,
    }
}

/// A token was made on the command line.
pub(super) fn of_command_line(user: &str, grant: &Grant) -> AuditEntry {
    let Grant { subject, scopes, sites, .. } = grant;
    let sites = sites.as_ref().map_or_else(
        || "all sites".to_owned(),
        |sites| sites.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    );
    let who = if user.is_empty() { "command line".to_owned() } else { format!("{user} on the command line") };
    let object = format!("{subject}: {}; {sites}", names(scopes, " "));
    AuditEntry { who, ..entry(&Principal::program(), None, "token create".to_owned(), &object) }
}

impl Audit {
    /// Somebody has changed something.
    pub(super) async fn done(
        &self,
        store: Option<&Store>,
        who: &Principal,
        address: Option<IpAddr>,
        operation: String,
        object: &str,
    ) {
        let entry = entry(who, address, operation, object);
        let written = match store {
            Some(store) => store.add_audit(std::slice::from_ref(&entry)).await.map_err(|e| e.to_string()),
            None => Err("this server keeps nothing".into()),
        };
        match written {
            Ok(()) => {}
            Err(reason) => tracing::warn!(
                who = entry.who,
                operation = entry.operation,
                object = entry.object,
                "a change is not in the audit log: {reason}"
            ),
        }
    }

    /// Somebody was refused something.
    pub(super) fn refused(
        &self,
        who: &Principal,
        address: Option<IpAddr>,
        operation: String,
        object: &str,
        detail: &str,
    ) {
        let detail: String = detail.chars().take(LONGEST).collect();
        let fresh =
            AuditEntry { outcome: Outcome::Refused, detail, ..entry(who, address, operation, object) };
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [fresh.who.clone(), fresh.address.clone(), fresh.operation.clone(), fresh.detail.clone()];
        let (key, fresh) = if all.len() < MOST || all.contains_key(&key) {
            (key, fresh)
        } else {
            let others = || "others".to_owned();
            let (address, object) = (String::new(), String::new());
            let entry = AuditEntry {
                who: others(),
                operation: others(),
                detail: String::new(),
                address,
                object,
                ..fresh
            };
            (std::array::from_fn(|_| others()), entry)
        };
        match all.get_mut(&key) {
            Some(Pending { entry, .. }) if entry.times == 0 => *entry = fresh,
            Some(Pending { entry, .. }) => entry.times += 1,
            None => drop(all.insert(key, Pending { entry: fresh, due: Instant::now() })),
        }
    }

    /// Writes what is due, or all.
    pub(super) async fn flush(&self, store: Option<&Store>, all: bool) {
        let due = self.due(all);
        let Some(store) = store.filter(|_| !due.is_empty()) else { return };
        if let Err(error) = store.add_audit(&due).await {
            tracing::warn!("{} refusals are not in the audit log: {error}", due.len());
        }
    }

    fn due(&self, all: bool) -> Vec<AuditEntry> {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, pending| {
            if !all && pending.due > now {
                return true;
            }
            let news = pending.entry.times > 0;
            if news {
                due.push(pending.entry.clone());
                pending.entry.times = 0;
                pending.due = now + APART;
            }
            // Whoever was silent for so long is forgotten.
            news
        });
        due.sort_by(|a, b| a.id.cmp(&b.id));
        due
    }
}
