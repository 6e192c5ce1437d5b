//! What operators register: the contract's `WebhookConfig` and what a service needs besides.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderName, HeaderValue};
use invispose_pipeline::events::{Event, EventKind};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::guard::Guard;
use crate::Time;
use crate::documents::Wrong;

/// Stands for a header's value in answers, and for the value that is kept in requests.
pub(crate) const HIDDEN: &str = "***";
/// All kinds of events.
const ALL: &str = "*";
/// Headers that say what the delivery is and how it is sent.
const OURS: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "x-event-type",
    "x-delivery-id",
    "x-timestamp",
    "x-signature",
];

/// When a delivery is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts after the first.
    #[schema(maximum = 20)]
    pub max_attempts: u32,
    /// Answers that may be better next time. 429 always may, and so may no answer.
    pub retry_on_status: BTreeSet<u16>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, retry_on_status: [500, 502, 503, 504].into() }
    }
}

/// Several events in one delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// At most so many.
    #[schema(minimum = 2, maximum = 1000)]
    pub max_events: usize,
    /// The first of them waits so long for others, milliseconds.
    #[serde(default)]
    #[schema(maximum = 60_000)]
    pub max_wait_ms: u32,
}

/// An endpoint and what it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where deliveries go: `https://…`, or `http://…` where nobody listens in between.
    pub url: String,
    /// Kinds of events, such as `person.fall_detected`; `*` means all.
    #[schema(min_items = 1)]
    pub events: BTreeSet<String>,
    /// Only events of these sites; of all, and of the whole system, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_ids: Option<BTreeSet<String>>,
    /// Signs deliveries. Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Sent with each delivery. Their values are never shown; `***` keeps the one that is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// When a delivery is tried again.
    #[serde(default)]
    pub retry_policy: RetryPolicy,
    /// Deliver at all. Events that happen meanwhile are not delivered later.
    #[serde(default = "yes")]
    pub active: bool,
    /// Several events in one delivery; one each where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batching>,
    /// The secret before, which still signs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub(crate) previous_secret: Option<PreviousSecret>,
}

fn yes() -> bool {
    true
}

/// A secret on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreviousSecret {
    pub secret: String,
    pub until: Time,
}

impl Webhook {
    /// Refuses what could never be delivered.
    pub(crate) fn check(&self, guard: &Guard) -> Result<(), Wrong> {
        target(&self.url, guard).map_err(|reason| Wrong::new("url", reason))?;
        if self.events.is_empty() {
            return Err(Wrong::new("events", "name at least one kind of event, or *"));
        }
        for kind in self.events.iter().filter(|k| *k != ALL) {
            kind.parse::<EventKind>().map_err(|e| Wrong::new("events", e.to_string()))?;
        }
        if self.secret.as_ref().is_some_and(|s| !(8..=256).contains(&s.len())) {
            return Err(Wrong::new("secret", "has 8 to 256 characters"));
        }
        if self.headers.len() > 32 {
            return Err(Wrong::new("headers", "are at most 32"));
        }
        for (name, value) in &self.headers {
            let known = HeaderName::try_from(name.as_str())
                .map_err(|_| Wrong::new("headers", format!("{name:?} is no name")))?;
            if OURS.contains(&known.as_str()) {
                return Err(Wrong::new("headers", format!("{name} is set by every delivery itself")));
            }
            if value.len() > 4096 || HeaderValue::from_str(value).is_err() {
                return Err(Wrong::new(format!("headers.{name}"), "cannot be the value of a header"));
            }
        }
        if self.retry_policy.max_attempts > 20 {
            return Err(Wrong::new("retry_policy.max_attempts", "is at most 20"));
        }
        match &self.batch {
            Some(b) if !(2..=1000).contains(&b.max_events) => {
                Err(Wrong::new("batch.max_events", "is 2 to 1000"))
            }
            Some(b) if b.max_wait_ms > 60_000 => Err(Wrong::new("batch.max_wait_ms", "is at most 60000")),
            _ => Ok(()),
        }
    }

    pub(super) fn wants_kind(&self, kind: &str) -> bool {
        self.events.contains(ALL) || self.events.contains(kind)
    }

    pub(super) fn wants_site(&self, site: &str) -> bool {
        self.site_ids.as_ref().is_none_or(|sites| sites.contains(site))
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        self.active
            && self.wants_kind(event.kind.name())
            && self.wants_site(event.site.as_deref().unwrap_or_default())
    }

    /// Secrets that sign now, the newest first.
    pub(super) fn secrets(&self, now: Time) -> impl Iterator<Item = &str> {
        let previous = self.previous_secret.as_ref().filter(|p| now < p.until);
        self.secret.as_deref().into_iter().chain(previous.map(|p| p.secret.as_str()))
    }

    /// Takes over what a new document does not say because answers do not show it.
    pub(crate) fn continue_from(&mut self, old: &Self) {
        if self.secret.is_none() {
            self.secret.clone_from(&old.secret);
            self.previous_secret.clone_from(&old.previous_secret);
        }
        for (name, value) in self.headers.iter_mut().filter(|(_, value)| *value == HIDDEN) {
            if let Some(kept) = old.headers.get(name) {
                value.clone_from(kept);
            }
        }
    }
}

/// Where a delivery goes, if that may be.
pub(super) fn target(url: &str, guard: &Guard) -> Result<Url, String> {
    let url = Url::parse(url).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("http:// or https:// is expected".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("say who we are in headers, not in the address".to_owned());
    }
    let host = url.host().ok_or("a host is expected")?;
    guard.check_host(&host).map_err(|e| e.to_string())?;
    Ok(url)
}
