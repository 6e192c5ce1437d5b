//! What every protocol shares.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use invispose_pipeline::Health;
use invispose_pipeline::alerts::{Alert, AlertDesk};
use invispose_pipeline::events::EventBus;
use invispose_pipeline::health::{Part, SourceSnapshot};
use invispose_pipeline::radio::Radio;
use invispose_pipeline::stages::calibration::Calibrations;
use tokio::sync::broadcast;

use crate::Site;
use crate::access::{Access, AccessConfig, Principal};
use crate::alerts::Alerts;
use crate::guard::Names;
use crate::listen::ConnectionStats;
use crate::metrics::Traffic;
use crate::model::ModelCard;
use crate::outputs::OutputStats;
use crate::recordings::Recordings;
use crate::rest::Written;
use crate::setup::Turn;
use crate::store::Store;
use crate::telemetry::TelemetryStats;

/// Limits and permissions of the API. The defaults are for loopback.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// A site without a new frame for this long is stale: its newest frame is no longer the present.
    pub stale_after: Duration,
    /// Largest request body, bytes.
    pub body_limit: usize,
    /// Largest WebSocket message, bytes.
    pub message_limit: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request's head, its line and header fields together.
    pub header_bytes: usize,
    /// Time for a request's head and for the TLS handshake, and for which a connection without a request stays open.
    pub head_timeout: Duration,
    /// A request that is not answered by then gets 503; a client that takes no data for this long is dropped.
    pub timeout: Duration,
    /// Open connections, WebSockets among them; more wait.
    pub connections: usize,
    /// Open connections of one address, or of one /64 of IPv6; more are refused.
    pub connections_per_address: usize,
    /// Open WebSockets; more are refused.
    pub sockets: usize,
    /// A WebSocket that says nothing for half this time is asked whether it is there; one that stays silent is closed.
    pub socket_idle: Duration,
    /// Open subscriptions of one WebSocket.
    pub subscriptions: usize,
    /// Versions of the REST API that will end.
    pub deprecated: Vec<Deprecation>,
    /// Host names that requests may carry, besides the loopback names; checked when listening on loopback or when not empty.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may ask and open WebSockets, e.g. `https://example.org`, besides the server's own; WebSockets also from
    /// loopback ones where the server listens on loopback.
    pub allowed_origins: Vec<String>,
    /// Who is let in, and how often.
    pub access: AccessConfig,
}

/// A version of the REST API that will end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deprecation {
    /// `v1` or `v2`.
    pub version: String,
    /// When it ends, as an HTTP date (RFC 9110, 5.6.7); empty while that is open.
    pub sunset: String,
    /// Where clients find how to move on; may be empty.
    pub guide: String,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            stale_after: Duration::from_secs(5),
            body_limit: 1 << 20,
            message_limit: 256 << 10,
            headers: 100,
            header_bytes: 32 << 10,
            head_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            connections: 8192,
            connections_per_address: 1024,
            sockets: 4096,
            socket_idle: Duration::from_secs(60),
            subscriptions: 64,
            deprecated: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            access: AccessConfig::default(),
        }
    }
}

/// Sites, health and limits, as far as somebody may know of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiState {
    inner: Arc<Inner>,
    /// Those whom `who` may know of.
    sites: Arc<[Site]>,
    who: Principal,
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct Inner {
    sites: Arc<[Site]>,
    access: Access,
    health: Health,
    store: Option<Store>,
    events: EventBus,
    alerts: OnceLock<Alerts>,
    radio: OnceLock<Radio>,
    recordings: OnceLock<Recordings>,
    calibrations: OnceLock<Calibrations>,
    model: RwLock<Option<Arc<ModelCard>>>,
    turn: Turn,
    started: Instant,
    outputs: Arc<OutputStats>,
    written: Arc<Written>,
    connections: Arc<ConnectionStats>,
    traffic: Arc<Traffic>,
    telemetry: Arc<TelemetryStats>,
    names: Names,
    config: ApiConfig,
}

impl ApiState {
    /// The first site answers where a request names none.
    pub fn new(sites: Vec<Site>, health: Health, config: ApiConfig) -> Self {
        Self::build(sites, health, config, None, EventBus::default())
    }

    /// With a database and with what happens.
    pub fn with_store(
        sites: Vec<Site>,
        health: Health,
        config: ApiConfig,
        store: Store,
        events: EventBus,
    ) -> Self {
        Self::build(sites, health, config, Some(store), events)
    }

    fn build(
        sites: Vec<Site>,
        health: Health,
        config: ApiConfig,
        store: Option<Store>,
        events: EventBus,
    ) -> Self {
        let (turn, started) = (Turn::default(), Instant::now());
        let sites = Arc::<[Site]>::from(sites);
        Self {
            sites: sites.clone(),
            who: Principal::program(),
            address: None,
            inner: Arc::new(Inner {
                sites,
                access: Access::new(config.access.clone(), store.clone()),
                health,
                store,
                events,
                alerts: OnceLock::new(),
                radio: OnceLock::new(),
                recordings: OnceLock::new(),
                calibrations: OnceLock::new(),
                model: RwLock::default(),
                turn,
                started,
                outputs: Arc::default(),
                written: Arc::default(),
                connections: Arc::default(),
                traffic: Arc::default(),
                telemetry: Arc::default(),
                names: Names::new(&config),
                config,
            }),
        }
    }

    /// With those who keep the alerts.
    #[must_use]
    pub fn with_alerts(self, desk: AlertDesk) -> Self {
        self.inner.alerts.get_or_init(|| Alerts::new(desk));
        self
    }

    /// With a look at the signal.
    #[must_use]
    pub fn with_radio(self, radio: Radio) -> Self {
        self.inner.radio.get_or_init(|| radio);
        self
    }

    /// With recordings.
    #[must_use]
    pub fn with_recordings(self, recordings: Recordings) -> Self {
        self.inner.recordings.get_or_init(|| recordings);
        self
    }

    /// Recordings; `None` where nothing is recorded.
    pub(crate) fn recordings(&self) -> Option<&Recordings> {
        self.inner.recordings.get()
    }

    /// With those who calibrate.
    #[must_use]
    pub fn with_calibrations(self, calibrations: Calibrations) -> Self {
        self.inner.calibrations.get_or_init(|| calibrations);
        self
    }

    /// Calibration of all sites.
    pub(crate) fn calibrations(&self) -> &Calibrations {
        self.inner.calibrations.get_or_init(Calibrations::default)
    }

    /// Says what the weights of the network in use say about themselves.
    pub fn set_model(&self, card: ModelCard) {
        *self.inner.model.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(card));
    }

    /// What the network's weights say about themselves; `None` where none is loaded.
    pub(crate) fn model(&self) -> Option<Arc<ModelCard>> {
        self.inner.model.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The signal as it is at present.
    pub(crate) fn radio(&self) -> &Radio {
        self.inner.radio.get_or_init(Radio::default)
    }

    /// The alerts that are not over, and their changes; `None` where nobody keeps any.
    pub(crate) fn alert_desk(&self) -> Option<&AlertDesk> {
        self.inner.alerts.get().map(Alerts::desk)
    }

    /// The changes of alerts, where anybody keeps some.
    pub(crate) fn alert_changes(&self) -> Option<broadcast::Receiver<Arc<Alert>>> {
        self.inner.alerts.get().map(Alerts::changes)
    }

    /// The database; `None` where nothing but the rings is kept.
    pub fn store(&self) -> Option<&Store> {
        self.inner.store.as_ref()
    }

    /// What happens, as it happens.
    pub fn events(&self) -> &EventBus {
        &self.inner.events
    }

    /// Held while what is kept is put in force.
    pub(crate) fn turn(&self) -> &Turn {
        &self.inner.turn
    }

    /// What went out by itself.
    pub fn outputs(&self) -> &OutputStats {
        &self.inner.outputs
    }

    /// Who came to the listeners.
    pub fn connections(&self) -> &Arc<ConnectionStats> {
        &self.inner.connections
    }

    /// Frames as REST writes them.
    pub(crate) fn written(&self) -> &Written {
        &self.inner.written
    }

    /// What became of traces.
    pub(crate) fn telemetry(&self) -> &Arc<TelemetryStats> {
        &self.inner.telemetry
    }

    /// Under which names it is known.
    pub(crate) fn names(&self) -> &Names {
        &self.inner.names
    }

    /// What clients ask and get.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.inner.traffic
    }

    /// The same as somebody may see it.
    pub(crate) fn seen_by(&self, who: Principal) -> Self {
        let sites = match who.sites() {
            None => self.inner.sites.clone(),
            Some(_) => self.inner.sites.iter().filter(|s| who.sees(Some(&s.config().id))).cloned().collect(),
        };
        Self { inner: self.inner.clone(), sites, who, address: None }
    }

    /// They come from this address.
    pub(crate) fn from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same as this program itself sees it.
    pub(crate) fn whole(&self) -> Self {
        self.seen_by(Principal::program())
    }

    /// Who sees it so.
    pub(crate) fn who(&self) -> &Principal {
        &self.who
    }

    /// Where they are.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Who is let in, and how often.
    pub(crate) fn access(&self) -> &Access {
        &self.inner.access
    }

    /// May what belongs to this site be seen? `None` is what belongs to none, or to all.
    pub(crate) fn sees(&self, site: Option<&str>) -> bool {
        self.who.sees(site)
    }

    /// The account of each source that may be seen.
    pub(crate) fn sources(&self) -> Vec<SourceSnapshot> {
        let mut sources = self.health().sources();
        sources.retain(|s| self.sees(s.site.as_deref()));
        sources
    }

    /// Standing faults that may be seen.
    pub(crate) fn faults(&self) -> Vec<(Part, String)> {
        let sources: Vec<String> = self.sources().into_iter().map(|s| s.uri).collect();
        let seen = |part: &Part| match (part.site(), part.source()) {
            (Some(site), _) => self.sees(Some(site)),
            (None, Some(uri)) => self.sees(None) || sources.iter().any(|s| s == uri),
            (None, None) => true,
        };
        self.health().faults().into_iter().filter(|(part, _)| seen(part)).collect()
    }

    /// All sites that may be seen.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The pipeline's account of itself.
    pub fn health(&self) -> &Health {
        &self.inner.health
    }

    /// Time since the API started.
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// Limits.
    pub fn config(&self) -> &ApiConfig {
        &self.inner.config
    }
}
