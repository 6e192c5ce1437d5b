//! Who asks, and what they may do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::operations::{Needs, Operation};
use super::scope::{Scope, names};
use crate::Time;

/// Who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Principal {
    inner: Arc<Identity>,
}

/// What is known of somebody.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// For the audit log, and whose rate is limited.
    pub name: String,
    pub kind: Kind,
    pub scopes: BTreeSet<Scope>,
    /// The only sites that they may know of; `None`: all.
    pub sites: Option<BTreeSet<String>>,
    pub tier: Tier,
    /// From when on they are nobody.
    pub expires: Option<Time>,
    /// Names under which their rights can be taken back.
    pub marks: Vec<String>,
}

/// How somebody came by their rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// This program itself.
    Program,
    /// They did not say who they are.
    Anonymous,
    /// By a token of this server.
    Token,
    /// By an API key.
    Key,
    /// By a token of the identity provider.
    Provider,
    /// By the broker.
    Mqtt,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Anonymous => "anonymous",
            Self::Token => "token",
            Self::Key => "key",
            Self::Provider => "provider",
            Self::Mqtt => "mqtt",
        }
    }
}

/// How often somebody may ask: section 7.2 of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Programs on this machine, where nobody needs to say who they are.
    #[serde(skip)]
    Local,
    /// Those who did not say who they are.
    #[serde(skip)]
    Default,
    /// Those who did.
    #[default]
    Authenticated,
    /// Those whose credentials say so.
    Premium,
    /// What is said over WebSockets.
    #[serde(skip)]
    Streaming,
}

impl Tier {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Default => "default",
            Self::Authenticated => "authenticated",
            Self::Premium => "premium",
            Self::Streaming => "streaming",
        }
    }
}

/// The caller lacks rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("not enough permissions; required scope: {0}")]
    Scope(String),
    #[error("not enough permissions; rights to all sites are required")]
    Sites,
}

impl Denied {
    /// What is lacking, as a list of scopes; empty where it is no scope.
    pub(crate) fn scopes(&self) -> String {
        match self {
            Self::Scope(names) => names.replace(" or ", " "),
            Self::Sites => String::new(),
        }
    }
}

impl Principal {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { inner: Arc::new(identity) }
    }

    fn simple(name: String, kind: Kind, scopes: BTreeSet<Scope>, tier: Tier) -> Self {
        Self::new(Identity { name, kind, scopes, sites: None, tier, expires: None, marks: Vec::new() })
    }

    /// This program itself, which may do all.
    pub(crate) fn program() -> Self {
        Self::simple("invispose".into(), Kind::Program, [Scope::AdminAll].into(), Tier::Local)
    }

    /// Somebody at an address, where nobody needs to say who they are: they may do all.
    pub(crate) fn anyone(address: Option<IpAddr>) -> Self {
        let local = address.is_none_or(|ip| ip.is_loopback());
        let tier = if local { Tier::Local } else { Tier::Default };
        Self::simple(name_of(address), Kind::Anonymous, [Scope::AdminAll].into(), tier)
    }

    /// Somebody at an address who may do nothing.
    pub(crate) fn nobody(address: Option<IpAddr>) -> Self {
        let identity = Identity {
            name: name_of(address),
            kind: Kind::Anonymous,
            scopes: BTreeSet::new(),
            sites: Some(BTreeSet::new()),
            tier: Tier::Default,
            expires: None,
            marks: Vec::new(),
        };
        Self::new(identity)
    }

    /// Whoever the broker lets publish commands.
    pub(crate) fn mqtt(scopes: &[Scope]) -> Self {
        Self::simple("mqtt".into(), Kind::Mqtt, scopes.iter().copied().collect(), Tier::Authenticated)
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    pub(crate) fn kind(&self) -> Kind {
        self.inner.kind
    }

    pub(crate) fn tier(&self) -> Tier {
        self.inner.tier
    }

    pub(crate) fn scopes(&self) -> &BTreeSet<Scope> {
        &self.inner.scopes
    }

    pub(crate) fn sites(&self) -> Option<&BTreeSet<String>> {
        self.inner.sites.as_ref()
    }

    pub(crate) fn expires(&self) -> Option<Time> {
        self.inner.expires
    }

    pub(crate) fn marks(&self) -> &[String] {
        &self.inner.marks
    }

    /// May they know of what belongs to this site? `None` is what belongs to none, or to all.
    pub(crate) fn sees(&self, site: Option<&str>) -> bool {
        self.sites().is_none_or(|sites| site.is_some_and(|site| sites.contains(site)))
    }

    fn has(&self, scope: Scope) -> bool {
        self.scopes().contains(&scope) || self.scopes().contains(&Scope::AdminAll)
    }

    /// May they do this?
    pub(crate) fn check(&self, operation: &Operation) -> Result<(), Denied> {
        match operation.needs {
            Needs::Nothing | Needs::Somebody | Needs::Own => {}
            Needs::Any(scopes) if scopes.iter().any(|s| self.has(*s)) => {}
            Needs::Any(scopes) => return Err(Denied::Scope(names(scopes, " or "))),
            Needs::All(scopes) => {
                if !scopes.iter().all(|s| self.has(*s)) {
                    return Err(Denied::Scope(names(scopes, " ")));
                }
            }
        }
        if operation.everywhere && self.sites().is_some() {
            return Err(Denied::Sites);
        }
        Ok(())
    }

    /// The same for all whose answers are the same.
    pub(crate) fn rights(&self) -> String {
        let sites = self.sites().map(|sites| sites.iter().map(String::as_str).collect::<Vec<_>>().join(","));
        format!("{}\n{}", names(self.scopes(), " "), sites.unwrap_or_else(|| "*".into()))
    }
}

fn name_of(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "local".to_owned(), |ip| ip.to_string())
}
