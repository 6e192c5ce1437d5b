//! What somebody may do: the one place that decides it.

use serde::{Deserialize, Serialize};

/// A right, under the name that the contract gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Scope {
    /// To see status and health.
    #[serde(rename = "system:read")]
    SystemRead,
    /// To ask what the past adds up to.
    #[serde(rename = "analytics:read")]
    AnalyticsRead,
    /// To change zones.
    #[serde(rename = "zone:write")]
    ZoneWrite,
    /// To change what else operators set up, such as webhooks.
    #[serde(rename = "config:write")]
    ConfigWrite,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// Somebody whom [`crate::guard`] let in.
    Http,
    /// Somebody whom the broker let publish commands; they have the rights that the configuration gives to MQTT.
    Mqtt(&'a [Scope]),
}

/// The caller lacks this right.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not enough permissions; required scope: {}", serde_json::to_string(.0).unwrap_or_default().trim_matches('"'))]
pub(crate) struct Denied(pub Scope);

/// May the caller do this? There are no users yet: whoever reaches the HTTP server may do all.
pub(crate) fn check(caller: Caller<'_>, scope: Scope) -> Result<(), Denied> {
    match caller {
        Caller::Http => Ok(()),
        Caller::Mqtt(granted) if granted.contains(&scope) => Ok(()),
        Caller::Mqtt(_) => Err(Denied(scope)),
    }
}
