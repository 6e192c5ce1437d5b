//! Rights, under the names of section 7.1 of the API contract.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A right, under the name that the contract gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub enum Scope {
    /// To see people: poses, where they are, what happens to them.
    #[serde(rename = "pose:read")]
    PoseRead,
    /// To ask what the past adds up to.
    #[serde(rename = "analytics:read")]
    AnalyticsRead,
    /// To see status, health, alerts and links.
    #[serde(rename = "system:read")]
    SystemRead,
    /// To change what operators set up, zones aside.
    #[serde(rename = "config:write")]
    ConfigWrite,
    /// To change zones.
    #[serde(rename = "zone:write")]
    ZoneWrite,
    /// To do all.
    #[serde(rename = "admin:all")]
    AdminAll,
    /// To follow what one may read, as it comes.
    #[serde(rename = "stream:subscribe")]
    StreamSubscribe,
    /// To send streams in.
    #[serde(rename = "stream:publish")]
    StreamPublish,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PoseRead,
        Self::AnalyticsRead,
        Self::SystemRead,
        Self::ConfigWrite,
        Self::ZoneWrite,
        Self::AdminAll,
        Self::StreamSubscribe,
        Self::StreamPublish,
    ];

    /// Its name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::PoseRead => "pose:read",
            Self::AnalyticsRead => "analytics:read",
            Self::SystemRead => "system:read",
            Self::ConfigWrite => "config:write",
            Self::ZoneWrite => "zone:write",
            Self::AdminAll => "admin:all",
            Self::StreamSubscribe => "stream:subscribe",
            Self::StreamPublish => "stream:publish",
        }
    }
}

/// No right has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope {0:?}; known: {known}", known = names(&Scope::ALL, ", "))]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| UnknownScope(name.to_owned()))
    }
}

pub(crate) fn names<'a>(scopes: impl IntoIterator<Item = &'a Scope>, between: &str) -> String {
    scopes.into_iter().map(|s| s.name()).collect::<Vec<_>>().join(between)
}
