//! Configuration: defaults, then the file, then `INVISPOSE_…` variables, then flags, and where each value came from.

mod listener;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use invispose_api::access::{self, AccessConfig, LoginConfig, ProviderConfig, RateLimits, SigningKey};
use invispose_api::outputs::OutputsConfig;
use invispose_api::outputs::mqtt::MqttConfig;
use invispose_api::outputs::webhooks::WebhooksConfig;
use invispose_api::store::{Keep, StoreConfig};
use invispose_api::telemetry::TelemetryConfig;
use invispose_models::predictor::Weights;
use invispose_pipeline::alerts::{AlertEngine, AlertRule, AlertState};
use invispose_pipeline::events::{MonitorConfig, RateRule, WatchConfig};
use invispose_pipeline::signal::SignalConfig;
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::stages::presence::PresenceConfig;
use invispose_pipeline::tracking::TrackerConfig;
use invispose_pipeline::understanding::{
    ActivityConfig, BreathRules, Clock, CountRules, FallConfig, ZoneRules,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use self::listener::{LimitsSection, TlsSection, UnixSection};

/// Everything that can be configured. Every key has a default, so that no file is needed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the API.
    pub listen: SocketAddr,
    /// Let everybody who reaches an address that is not loopback do everything.
    pub insecure_listen: bool,
    /// The certificate of the API.
    pub tls: TlsSection,
    /// A Unix socket beside TCP, or instead of it.
    pub unix: UnixSection,
    /// What clients may take up.
    pub limits: LimitsSection,
    /// Where rings, baselines and recordings live.
    pub data_dir: PathBuf,
    /// Where cleanup and the network run: `cpu`, `gpu`, `gpu:N`, `cuda`, `cuda:N` or `auto`.
    pub device: String,
    /// Who may talk to the API.
    pub api: ApiSection,
    /// Who is let in.
    pub auth: AuthSection,
    /// How often.
    pub rate_limits: RateLimitsSection,
    /// The pose network.
    pub model: ModelSection,
    /// How windows of all sites are gathered for one run of a GPU or of the network.
    pub batch: BatchSection,
    /// Recent frames in memory, per site.
    pub ring: RingSection,
    /// History, events and what operators set up.
    pub database: DatabaseSection,
    /// To a broker.
    pub mqtt: MqttConfig,
    /// To endpoints that operators register.
    pub webhooks: WebhooksConfig,
    /// Traces of frames.
    pub telemetry: TelemetryConfig,
    /// Logging.
    pub log: LogSection,
    /// The windows that the network sees.
    pub window: WindowSection,
    /// What counts as somebody, by the signal alone.
    pub presence: PresenceConfig,
    /// How people are followed.
    pub tracking: TrackerConfig,
    /// When somebody is in a zone.
    pub zones: ZoneRules,
    /// How activities are told.
    pub activity: ActivityConfig,
    /// What counts as a fall.
    pub falls: FallConfig,
    /// How people are counted.
    pub count: CountRules,
    /// Whose breath it is.
    pub breath: BreathRules,
    /// When the classifiers that a site has taught are believed.
    pub signal: SignalConfig,
    /// What becomes an event.
    pub watch: WatchConfig,
    /// When the pipeline's own troubles become events.
    pub monitor: MonitorConfig,
    /// Versions of the REST API that will end.
    pub deprecated: Vec<DeprecatedSection>,
    /// How often events may be published, kind by kind.
    #[serde(rename = "event_rate")]
    pub event_rates: Vec<RateRule>,
    /// What alerts are raised for.
    #[serde(rename = "alert")]
    pub alerts: Vec<AlertRule>,
    /// Places.
    #[serde(rename = "site")]
    pub sites: Vec<SiteConfig>,
    /// Where packets come from.
    #[serde(rename = "source")]
    pub sources: Vec<SourceSection>,
}

/// `[api]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// Names under which a proxy or a name server makes this server known, besides the loopback names.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may ask and open WebSockets, e.g. `https://example.org`, besides the server's own.
    pub allowed_origins: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed, e.g. `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
}

/// `[auth]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSection {
    /// Everybody has to say who they are, also programs of this machine.
    pub required: bool,
    /// Signs tokens of this server; empty: `token.key` in the data directory.
    pub key_file: PathBuf,
    /// Minutes for which a token of `/oauth/token` is good.
    pub token_minutes: u32,
    /// Days for which it can be refreshed.
    pub refresh_days: u32,
    /// Seconds by which the clocks of those who make tokens may differ from this one's.
    pub leeway_s: u32,
    /// An OAuth2 or OpenID Connect provider whose tokens are taken too; empty: none.
    pub issuer: String,
    /// As which its tokens name this server.
    pub audience: String,
    /// Where its keys are; empty: where its discovery document says.
    pub keys_url: String,
    /// As which client the dashboard signs people in with it; empty: it does not.
    pub client_id: String,
    /// What is asked for then.
    pub login_scope: String,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            required: false,
            key_file: PathBuf::new(),
            token_minutes: 24 * 60,
            refresh_days: 30,
            leeway_s: 30,
            issuer: String::new(),
            audience: String::new(),
            keys_url: String::new(),
            client_id: String::new(),
            login_scope: "openid".into(),
        }
    }
}

/// `[rate_limits]`: requests an hour; 0 means without a limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitsSection {
    /// For those who do not say who they are.
    pub default: u32,
    /// For those who do.
    pub authenticated: u32,
    /// For those whose credentials say so.
    pub premium: u32,
    /// What one caller says over WebSockets.
    pub streaming: u32,
    /// For programs of this machine where nobody needs to say who they are.
    pub local: u32,
}

impl Default for RateLimitsSection {
    fn default() -> Self {
        let RateLimits { default, authenticated, premium, streaming, local } = RateLimits::default();
        Self { default, authenticated, premium, streaming, local }
    }
}

/// `[[deprecated]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeprecatedSection {
    /// `v1` or `v2`.
    pub version: String,
    /// When it ends, as an HTTP date, e.g. `Sat, 01 Jan 2028 00:00:00 GMT`.
    #[serde(default)]
    pub sunset: String,
    /// Where clients find how to move on.
    #[serde(default)]
    pub guide: String,
}

/// `[model]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Weights that `invispose train` or `calibrate` wrote; empty: those of the program.
    pub weights: PathBuf,
}

impl ModelSection {
    /// Where the network's weights come from.
    pub fn source(&self) -> Weights {
        if self.weights.as_os_str().is_empty() {
            Weights::Shipped
        } else {
            Weights::File(self.weights.clone())
        }
    }
}

/// `[ring]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RingSection {
    /// Frames kept: 4096 at 20 frames/s are the last 3.4 minutes.
    pub slots: u32,
}

/// `[batch]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    /// At most so many windows.
    pub windows: u32,
    /// The first window of a batch waits at most this long for others, milliseconds.
    pub wait_ms: u32,
}

/// `[database]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSection {
    /// `postgres://USER@HOST/DATABASE`; empty: SQLite in the data directory.
    pub url: String,
    /// Megabytes of writes that wait on the disk while the database is away.
    pub queue_mb: u32,
    /// Seconds after which frames are written at the latest.
    pub write_every_s: u32,
    /// Days for which every frame is kept.
    pub keep_frames_days: u32,
    /// Days for which one frame a second is kept.
    pub keep_thinned_days: u32,
    /// Days for which sums by the minute are kept; those by the hour stay.
    pub keep_minutes_days: u32,
    /// Days for which events are kept.
    pub keep_events_days: u32,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A `tracing` filter, e.g. `info` or `invispose_pipeline=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[window]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowSection {
    /// Time from one pose frame to the next, milliseconds.
    pub hop_ms: u32,
}

/// `[[source]]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// `sim:…`, `udp://…`, `nexmon://…`, `file:…` or `recording:…`.
    pub uri: String,
    /// The site that its packets belong to; may be left out where there is one site.
    #[serde(default)]
    pub site: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            insecure_listen: false,
            tls: TlsSection::default(),
            unix: UnixSection::default(),
            limits: LimitsSection::default(),
            data_dir: "invispose-data".into(),
            device: "auto".into(),
            api: ApiSection::default(),
            auth: AuthSection::default(),
            rate_limits: RateLimitsSection::default(),
            model: ModelSection::default(),
            batch: BatchSection::default(),
            ring: RingSection::default(),
            database: DatabaseSection::default(),
            mqtt: MqttConfig::default(),
            webhooks: WebhooksConfig::default(),
            telemetry: TelemetryConfig::default(),
            log: LogSection::default(),
            window: WindowSection::default(),
            presence: PresenceConfig::default(),
            tracking: TrackerConfig::default(),
            zones: ZoneRules::default(),
            activity: ActivityConfig::default(),
            falls: FallConfig::default(),
            count: CountRules::default(),
            breath: BreathRules::default(),
            signal: SignalConfig::default(),
            watch: WatchConfig::default(),
            monitor: MonitorConfig::default(),
            deprecated: Vec::new(),
            event_rates: Vec::new(),
            alerts: Vec::new(),
            sites: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl Default for RingSection {
    fn default() -> Self {
        Self { slots: 4096 }
    }
}

impl Default for BatchSection {
    fn default() -> Self {
        Self { windows: 32, wait_ms: 2 }
    }
}

impl Default for DatabaseSection {
    fn default() -> Self {
        Self {
            url: String::new(),
            queue_mb: 1024,
            write_every_s: 10,
            keep_frames_days: 7,
            keep_thinned_days: 90,
            keep_minutes_days: 400,
            keep_events_days: 400,
        }
    }
}

impl DatabaseSection {
    /// As the store takes it.
    pub fn store(&self, data_dir: &Path) -> StoreConfig {
        let days = |n: u32| Duration::from_secs(u64::from(n) * 86_400);
        StoreConfig {
            url: Some(self.url.clone()).filter(|url| !url.is_empty()),
            queue_bytes: u64::from(self.queue_mb) << 20,
            write_every: Duration::from_secs(self.write_every_s.max(1).into()),
            keep: Keep {
                full: days(self.keep_frames_days),
                thinned: days(self.keep_thinned_days),
                minutes: days(self.keep_minutes_days),
                events: days(self.keep_events_days),
            },
            ..StoreConfig::new(data_dir)
        }
    }
}

impl Config {
    /// Where the key lies that signs tokens.
    pub fn key_file(&self) -> PathBuf {
        match self.auth.key_file.as_os_str().is_empty() {
            true => self.data_dir.join("token.key"),
            false => self.auth.key_file.clone(),
        }
    }

    /// Whoever comes has to say who they are.
    pub fn asks_for_credentials(&self) -> bool {
        let reached = !(self.unix.only || self.listen.ip().is_loopback());
        self.auth.required || (reached && !self.insecure_listen)
    }

    /// Who is let in, and how often.
    pub fn access(&self) -> anyhow::Result<AccessConfig> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let path = self.key_file();
        let key = SigningKey::open(&path).with_context(|| format!("auth.key_file: {}", path.display()))?;
        let RateLimitsSection { default, authenticated, premium, streaming, local } = self.rate_limits;
        Ok(AccessConfig {
            required: self.auth.required,
            open_elsewhere: self.insecure_listen,
            signing_key: Some(key),
            token_ttl: Duration::from_secs(u64::from(self.auth.token_minutes) * 60),
            refresh_ttl: Duration::from_secs(u64::from(self.auth.refresh_days) * 86_400),
            leeway: Duration::from_secs(u64::from(self.auth.leeway_s)),
            provider: given(&self.auth.issuer).map(|issuer| ProviderConfig {
                issuer,
                audience: self.auth.audience.clone(),
                keys_url: given(&self.auth.keys_url),
                refetch_after: None,
                login: given(&self.auth.client_id)
                    .map(|client_id| LoginConfig { client_id, scope: self.auth.login_scope.clone() }),
            }),
            limits: RateLimits { default, authenticated, premium, streaming, local },
            trusted_proxies: self.trusted_proxies()?,
        })
    }

    fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        let net = |text: &String| {
            let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
            let net = address.or_else(|_| text.parse());
            net.with_context(|| format!("api.trusted_proxies: {text:?} is no network, e.g. 10.0.0.0/8"))
        };
        self.api.trusted_proxies.iter().map(net).collect()
    }

    /// What goes out by itself.
    pub fn outputs(&self) -> OutputsConfig {
        OutputsConfig { mqtt: self.mqtt.clone(), webhooks: self.webhooks.clone(), falls: self.falls.enabled }
    }
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl Default for WindowSection {
    fn default() -> Self {
        Self { hop_ms: 50 }
    }
}

/// A configuration and, for each key that somebody set, who did.
#[derive(Debug)]
pub struct Loaded {
    /// The result.
    pub config: Config,
    /// Dotted key → `FILE:LINE`, `$VARIABLE` or `--flag`. A key that is missing here has its default.
    pub origins: BTreeMap<String, String>,
}

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "invispose.toml";
const PREFIX: &str = "INVISPOSE_";

/// The three names that look most like a wrong one.
fn nearest(wrong: &str, mut known: Vec<String>) -> String {
    known.sort_by(|a, b| strsim::jaro_winkler(b, wrong).total_cmp(&strsim::jaro_winkler(a, wrong)));
    known.truncate(3);
    known.join(", ")
}

/// Merges the layers.
///
/// `file` must exist when it is named. `variables` are the environment's; those without the prefix are ignored, an
/// unknown one with it is refused. `flags` are (dotted key, value, flag's name).
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: &[(&str, Value, &str)],
) -> anyhow::Result<Loaded> {
    let defaults = Table::try_from(Config::default()).context("default configuration")?;
    let mut merged = Table::new();
    let mut origins = BTreeMap::new();

    let named = file.is_some();
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => read_file(path, &text, &mut merged, &mut origins)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !named => {}
        Err(e) => return Err(e).with_context(|| format!("configuration file {}", path.display())),
    }

    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some((key, default)) = leaves(&defaults).into_iter().find(|(k, _)| variable_of(k) == rest) else {
            let known: Vec<_> =
                leaves(&defaults).iter().map(|(k, _)| format!("{PREFIX}{}", variable_of(k))).collect();
            bail!(
                "${name} is no setting; nearest are {} (invispose config lists all)",
                nearest(&name, known)
            );
        };
        let value = typed(&text, &default).with_context(|| format!("${name}={text}"))?;
        set(&mut merged, &key, value);
        parse(&merged).with_context(|| format!("${name}={text}"))?;
        origins.insert(key, format!("${name}"));
    }

    for (key, value, flag) in flags {
        set(&mut merged, key, value.clone());
        parse(&merged).with_context(|| format!("{flag} {value}"))?;
        origins.insert((*key).to_owned(), (*flag).to_owned());
    }

    Ok(Loaded { config: check(parse(&merged)?)?, origins })
}

fn read_file(
    path: &Path,
    text: &str,
    merged: &mut Table,
    origins: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let shown = path.display();
    // toml's own messages carry line, column and the offending text.
    toml::from_str::<Config>(text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?;
    *merged = toml::from_str(text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?;
    let spanned = toml::de::DeTable::parse(text).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?;
    let line_of = |offset: usize| text.as_bytes().iter().take(offset).filter(|&&b| b == b'\n').count() + 1;
    for (key, value) in spanned.get_ref() {
        let key_name = key.get_ref();
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => {
                for (sub, _) in inner {
                    origins.insert(
                        format!("{key_name}.{}", sub.get_ref()),
                        format!("{shown}:{}", line_of(sub.span().start)),
                    );
                }
            }
            _ => {
                origins.insert(key_name.to_string(), format!("{shown}:{}", line_of(key.span().start)));
            }
        }
    }
    Ok(())
}

/// Deserialises what is there so far; keys that nobody set take their defaults.
fn parse(merged: &Table) -> anyhow::Result<Config> {
    Ok(Config::deserialize(Value::Table(merged.clone()))?)
}

/// Refuses settings that do not go together or make no sense.
fn check(config: Config) -> anyhow::Result<Config> {
    if config.window.hop_ms == 0 {
        bail!("window.hop_ms must be at least 1");
    }
    listener::check(&config.tls, &config.unix, &config.limits)?;
    check_auth(&config.auth)?;
    config.trusted_proxies()?;
    if !(1..=1024).contains(&config.batch.windows) {
        bail!("batch.windows must be 1 to 1024");
    }
    let presence = &config.presence;
    if !(presence.off > 0.0 && presence.on >= presence.off) {
        bail!(
            "presence.on = {} must be at least presence.off = {}, and that above 0",
            presence.on,
            presence.off
        );
    }
    if !(0.0..=1.0).contains(&presence.quantile) || !(0.0..=1.0).contains(&presence.breathing.min_quality) {
        bail!("presence.quantile and presence.breathing.min_quality are shares, 0 to 1");
    }
    let signal = &config.signal;
    for (key, share) in [
        ("signal.min_probability", f64::from(signal.min_probability)),
        ("signal.min_accuracy", f64::from(signal.min_accuracy)),
        ("presence.fit", f64::from(presence.fit)),
        ("count.missed", config.count.missed),
    ] {
        if !(0.0..=1.0).contains(&share) {
            bail!("{key} = {share}: a share, 0 to 1, is needed");
        }
    }
    if config.ring.slots < 2 {
        bail!("ring.slots must be at least 2");
    }
    for (key, value) in leaves(&Table::try_from(&config)?) {
        if value.as_float().is_some_and(|v| !(v.is_finite() && v >= 0.0)) {
            bail!("{key} = {value}: a number of at least 0 is needed");
        }
    }
    for rate in &config.event_rates {
        if !(rate.per_minute > 0.0 && rate.repeat_s >= 0.0 && rate.per_minute.max(rate.repeat_s).is_finite())
        {
            bail!("event_rate of {}: per_minute must be above 0, repeat_s at least 0", rate.kind);
        }
    }
    if let Some(wrong) = config.deprecated.iter().find(|d| d.version != "v1" && d.version != "v2") {
        bail!("deprecated: there is no version {:?}; known: v1, v2", wrong.version);
    }
    for host in &config.api.allowed_hosts {
        check_host(host).with_context(|| format!("api.allowed_hosts: {host:?}"))?;
    }
    for origin in &config.api.allowed_origins {
        check_origin(origin).with_context(|| format!("api.allowed_origins: {origin:?}"))?;
    }
    AlertEngine::new(&config.alerts, AlertState::default())?;
    let sites: Vec<&str> = config.sites.iter().map(|s| s.id.as_str()).collect();
    config.outputs().check(&sites)?;
    config.telemetry.check()?;
    for site in &config.sites {
        check_site_id(&site.id)?;
        if config.sites.iter().filter(|s| s.id == site.id).count() > 1 {
            bail!("two sites have the id {:?}", site.id);
        }
        for zone in &site.zones {
            for schedule in &zone.restricted {
                Clock::new(schedule).with_context(|| format!("zone {:?} of site {:?}", zone.id, site.id))?;
            }
            if site.zones.iter().filter(|z| z.id == zone.id).count() > 1 {
                bail!("two zones of site {:?} have the id {:?}", site.id, zone.id);
            }
            if zone.polygon_m.len() < 3 {
                bail!(
                    "zone {:?} of site {:?} has {} corners, of at least 3",
                    zone.id,
                    site.id,
                    zone.polygon_m.len()
                );
            }
        }
    }
    for source in &config.sources {
        if let Some(site) = &source.site
            && !config.sites.iter().any(|s| s.id == *site)
        {
            bail!("source {} names the site {site:?}, which is not configured", source.uri);
        }
    }
    Ok(config)
}

fn check_auth(auth: &AuthSection) -> anyhow::Result<()> {
    if auth.token_minutes == 0 || auth.refresh_days == 0 {
        bail!("auth.token_minutes and auth.refresh_days must be at least 1");
    }
    if auth.leeway_s > 300 {
        bail!(
            "auth.leeway_s: {} is more than 300, for which a stolen token should not outlive its end",
            auth.leeway_s
        );
    }
    if auth.issuer.is_empty() {
        if !auth.audience.is_empty() || !auth.keys_url.is_empty() || !auth.client_id.is_empty() {
            bail!("auth.audience, auth.keys_url and auth.client_id say nothing without auth.issuer");
        }
        return Ok(());
    }
    if auth.audience.is_empty() {
        bail!("auth.audience: as what do tokens of {:?} name this server?", auth.issuer);
    }
    let address = |key: &str, text: &str| {
        access::check_address(text).map(drop).map_err(|reason| anyhow::anyhow!("{key}: {reason}"))
    };
    address("auth.issuer", &auth.issuer)?;
    if auth.keys_url.is_empty() { Ok(()) } else { address("auth.keys_url", &auth.keys_url) }
}

/// What stands in a Host header, less the port: a name or an address.
fn check_host(host: &str) -> anyhow::Result<()> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if host.parse::<std::net::IpAddr>().is_err() && (host.is_empty() || !host.chars().all(name)) {
        bail!("write a name or an address, without scheme or port, e.g. pose.example.org");
    }
    Ok(())
}

/// What a browser sends as Origin: scheme, host and, where it is not the scheme's own, port.
fn check_origin(origin: &str) -> anyhow::Result<()> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '/' | '*' | '?' | '#' | '@');
    if !host.is_some_and(|host| !host.is_empty() && host.chars().all(plain)) {
        bail!("write scheme and host, and a port where there is one, e.g. https://pose.example.org");
    }
    Ok(())
}

/// A site's id names its files and stands in URLs.
pub fn check_site_id(id: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
        bail!("site id {id:?}: 1 to 64 letters, digits, - and _ are possible");
    }
    Ok(())
}

/// Keys that hold lists of tables. They are set in the file only.
pub const TABLES: [&str; 5] = ["site", "source", "alert", "event_rate", "deprecated"];

/// Settings of one value or one list of texts, as (dotted key, default).
pub fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
            }
            Value::Array(_) if TABLES.contains(&key.as_str()) => {}
            leaf => found.push((key.clone(), leaf.clone())),
        }
    }
    found
}

fn variable_of(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

fn typed(text: &str, default: &Value) -> anyhow::Result<Value> {
    Ok(match default {
        Value::Integer(_) => Value::Integer(text.parse().context("a whole number is needed")?),
        Value::Float(_) => Value::Float(text.parse().context("a number is needed")?),
        Value::Boolean(_) => Value::Boolean(text.parse().context("true or false is needed")?),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    })
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = table.entry(head.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let f = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(f.path(), text).unwrap();
        f
    }

    fn none() -> impl Iterator<Item = (String, String)> {
        std::iter::empty()
    }

    #[test]
    fn later_layers_win_and_are_named() {
        let f = file("listen = '127.0.0.1:1'\n\n[ring]\nslots = 10\n");
        let env = [("INVISPOSE_RING_SLOTS", "20"), ("HOME", "/"), ("INVISPOSE_LISTEN", "127.0.0.1:2")];
        let env = env.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned()));
        let flags = [("listen", Value::String("127.0.0.1:3".into()), "--listen")];
        let loaded = load(Some(f.path()), env, &flags).unwrap();
        assert_eq!(loaded.config.listen.port(), 3);
        assert_eq!(loaded.config.ring.slots, 20);
        assert_eq!(loaded.origins["listen"], "--listen");
        assert_eq!(loaded.origins["ring.slots"], "$INVISPOSE_RING_SLOTS");

        let lists = file("[api]\nallowed_hosts = ['pose.example', '192.0.2.1', '2001:db8::1']\n");
        let env = [("INVISPOSE_API_ALLOWED_ORIGINS", "https://ops.example, http://ops.example:8443")];
        let env = env.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned()));
        let loaded = load(Some(lists.path()), env, &[]).unwrap();
        assert_eq!(loaded.config.api.allowed_hosts.len(), 3);
        assert_eq!(loaded.config.api.allowed_origins, ["https://ops.example", "http://ops.example:8443"]);
        assert_eq!(loaded.origins["api.allowed_origins"], "$INVISPOSE_API_ALLOWED_ORIGINS");
        assert!(loaded.origins["api.allowed_hosts"].ends_with(":2"));

        let alone = load(Some(f.path()), none(), &[]).unwrap();
        assert!(alone.origins["ring.slots"].ends_with(":4"), "{:?}", alone.origins);
        assert!(!alone.origins.contains_key("device"));
    }

    #[test]
    fn wrong_keys_and_values_are_refused_with_their_place() {
        let f = file("listen = '127.0.0.1:1'\nlisten_on = 3\n");
        let message = format!("{:#}", load(Some(f.path()), none(), &[]).unwrap_err());
        assert!(message.contains("line 2") && message.contains("listen_on"), "{message}");

        let f = file("[ring]\nslots = 'many'\n");
        let message = format!("{:#}", load(Some(f.path()), none(), &[]).unwrap_err());
        assert!(message.contains("line 2"), "{message}");

        let env = std::iter::once(("INVISPOSE_RINGS".to_owned(), "1".to_owned()));
        let message = format!("{:#}", load(Some(file("").path()), env, &[]).unwrap_err());
        assert!(
            message.contains("$INVISPOSE_RINGS") && message.contains("INVISPOSE_RING_SLOTS"),
            "{message}"
        );

        let env = std::iter::once(("INVISPOSE_RING_SLOTS".to_owned(), "x".to_owned()));
        let message = format!("{:#}", load(Some(file("").path()), env, &[]).unwrap_err());
        assert!(message.contains("whole number"), "{message}");

        assert!(load(Some(Path::new("/nonexistent/invispose.toml")), none(), &[]).is_err());

        for wrong in [
            "allowed_hosts = ['https://pose.example']",
            "allowed_hosts = ['pose.example:443']",
            "allowed_hosts = ['*']",
            "allowed_origins = ['pose.example']",
            "allowed_origins = ['https://pose.example/']",
            "allowed_origins = ['*']",
        ] {
            let f = file(&format!("[api]\n{wrong}\n"));
            let message = format!("{:#}", load(Some(f.path()), none(), &[]).unwrap_err());
            let key = wrong.split_once(' ').unwrap().0;
            assert!(message.contains(key) && message.contains("pose.example.org"), "{message}");
        }
    }
}
