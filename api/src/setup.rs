//! What operators set up, changed in one place for every protocol: into the store, and from there into what runs.

use std::sync::Arc;
use std::time::Duration;

use invispose_pipeline::alerts::{AlertRule, RuleError};
use invispose_pipeline::floor::FloorError;
use invispose_pipeline::health::Part;
use invispose_pipeline::site::ZoneConfig;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::documents::{AlertRuleDocument, Document, ZoneDocument};
use crate::store::{Kind, Resource, Store, StoreError};
use crate::{ApiState, Site};

/// Zones that are kept for one site: every one is looked at with every frame.
const MOST_ZONES: usize = 256;
/// Alert rules that are kept for one site: every one is asked about every event.
const MOST_RULES: usize = 256;
/// The name under which rules that cannot be put in force are reported.
pub(crate) const RULES: &str = "alert rules";
/// The name under which zones that cannot be put in force are reported.
pub(crate) const ZONES: &str = "zones";
/// Between looks at what another process, or a database that was away, has to say.
const EVERY: Duration = Duration::from_secs(30);

/// What may change in the configuration while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Reconfiguration {
    /// By site.
    pub zones: Vec<(String, Vec<ZoneConfig>)>,
    /// All of them.
    pub alerts: Vec<AlertRule>,
    /// See [`ApiConfig::allowed_hosts`](crate::ApiConfig::allowed_hosts).
    pub allowed_hosts: Vec<String>,
    /// See [`ApiConfig::allowed_origins`](crate::ApiConfig::allowed_origins).
    pub allowed_origins: Vec<String>,
}

/// Keeps two changes from overtaking each other on their way into what runs.
pub(crate) type Turn = Arc<Mutex<()>>;

/// Why a document cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// There is one of this id.
    #[error("{0:?} is taken")]
    Taken(String),
    /// There are as many as there can be.
    #[error("there are {0} already, and no more can be kept")]
    Many(usize),
    /// Nothing is kept here.
    #[error("this server keeps nothing")]
    Nowhere,
    /// It would tell of sites that the caller may not know of.
    #[error("not enough permissions; a rule about all sites needs rights to all sites")]
    Elsewhere,
    /// It was changed meanwhile, or the database has no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why what is kept cannot be put in force.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Zones(#[from] FloorError),
    #[error(transparent)]
    Rules(#[from] RuleError),
    #[error("{0}")]
    Task(#[from] tokio::task::JoinError),
}

impl ApiState {
    /// Where documents are kept.
    pub(crate) fn keeper(&self) -> Result<&Store, SetupError> {
        self.store().ok_or(SetupError::Nowhere)
    }

    /// Adds a document, under an id of its own where it names none.
    pub(crate) async fn add(
        &self,
        kind: Kind,
        site: &Site,
        document: Document,
    ) -> Result<Resource, SetupError> {
        let store = self.keeper()?;
        self.within_rights(kind, &document.body)?;
        let place = &site.config().id;
        let id = document.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let most = match kind {
            Kind::Zone => Some(MOST_ZONES),
            Kind::AlertRule => Some(MOST_RULES),
            Kind::Router | Kind::Template | Kind::Report | Kind::Webhook | Kind::ApiKey => None,
        };
        if let Some(most) = most
            && store.resources(kind, place, most, 0).await?.len() == most
        {
            return Err(SetupError::Many(most));
        }
        let made = store.create(kind, place, &id, &document.body).await.map_err(|e| match e {
            StoreError::Changed => SetupError::Taken(id),
            e => e.into(),
        })?;
        self.put_in_force(kind, site).await;
        Ok(made)
    }

    fn within_rights(&self, kind: Kind, body: &Value) -> Result<(), SetupError> {
        let beyond = kind == Kind::AlertRule && body.get("all_sites") == Some(&Value::Bool(true));
        if beyond && !self.sees(None) { Err(SetupError::Elsewhere) } else { Ok(()) }
    }

    /// Replaces what a document says.
    pub(crate) async fn change(
        &self,
        kind: Kind,
        site: &Site,
        old: &Resource,
        body: Value,
    ) -> Result<Resource, SetupError> {
        self.within_rights(kind, &body)?;
        let new = self.keeper()?.replace(kind, old, body).await?;
        self.put_in_force(kind, site).await;
        Ok(new)
    }

    /// Away with a document.
    pub(crate) async fn remove(&self, kind: Kind, site: &Site, old: &Resource) -> Result<(), SetupError> {
        self.keeper()?.remove(kind, old).await?;
        self.put_in_force(kind, site).await;
        Ok(())
    }

    /// Puts everything that is kept in force. What cannot be is a fault of its site until it can.
    pub async fn load(&self) {
        for site in self.sites() {
            self.put_in_force(Kind::Zone, site).await;
        }
        if let Some(site) = self.sites().first() {
            self.put_in_force(Kind::AlertRule, site).await;
        }
    }

    /// Puts what the configuration says anew in force, beside what is kept.
    ///
    /// # Errors
    /// The alert rules cannot be used; nothing has changed then.
    pub async fn reconfigure(&self, new: Reconfiguration) -> Result<(), RuleError> {
        if let Some(desk) = self.alert_desk() {
            desk.configure(&new.alerts)?;
        }
        for (id, zones) in new.zones {
            if let Some(site) = self.sites().iter().find(|site| site.config().id == id) {
                site.configure_zones(zones);
            }
        }
        self.names().set(&new.allowed_hosts, &new.allowed_origins);
        self.load().await;
        Ok(())
    }

    /// [`ApiState::load`] now and then.
    pub(crate) async fn keep_loading(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.load().await;
        }
    }

    async fn put_in_force(&self, kind: Kind, site: &Site) {
        let Some(store) = self.store() else { return };
        let _turn = self.turn().lock().await;
        let (part, result) = match kind {
            Kind::Zone => (Part::Site(ZONES, site.config().id.as_str().into()), zones(store, site).await),
            Kind::AlertRule => (RULES.into(), self.rules(store).await),
            Kind::Router | Kind::Template | Kind::Report | Kind::Webhook | Kind::ApiKey => return,
        };
        let fault = match result {
            // The store says itself that the database is away; what was in force stays so.
            Err(ApplyError::Store(StoreError::Away(_))) => return,
            result => result.err().map(|e| e.to_string()),
        };
        if let Some(fault) = &fault {
            tracing::error!(kind = kind.name(), "{part}: not in force: {fault}");
        }
        self.health().set_fault(part, fault);
    }

    /// The kept rules of all sites, beside those of the configuration.
    async fn rules(&self, store: &Store) -> Result<(), ApplyError> {
        let Some(desk) = self.alert_desk() else { return Ok(()) };
        let mut rules = Vec::new();
        for site in self.sites() {
            let kept = store.resources(Kind::AlertRule, &site.config().id, MOST_RULES, 0).await?;
            for rule in &kept {
                rules.push(AlertRuleDocument::rule(rule)?);
            }
        }
        Ok(desk.keep(&rules)?)
    }
}

/// The zones of the configuration, each in the words that are kept where there are some of its id, then the other kept ones by id.
async fn zones(store: &Store, site: &Site) -> Result<(), ApplyError> {
    let kept = store.resources(Kind::Zone, &site.config().id, MOST_ZONES, 0).await?;
    let mut kept = kept.iter().map(ZoneDocument::zone).collect::<Result<Vec<ZoneConfig>, _>>()?;
    let mut zones = Vec::new();
    for configured in site.configured_zones() {
        let same = kept.iter().position(|k| k.id == configured.id);
        zones.push(same.map_or(configured, |place| kept.remove(place)));
    }
    zones.append(&mut kept);
    let plan = site.plan().clone();
    // New numbers go onto the disk first.
    tokio::task::spawn_blocking(move || plan.set(zones)).await??;
    Ok(())
}
