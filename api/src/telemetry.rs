//! Traces of frames to a collector of OpenTelemetry: one in so many, from its newest packet to those who subscribe.
//!
//! [OTLP/HTTP with JSON](https://opentelemetry.io/docs/specs/otlp/#otlphttp). The trace's id follows from the site and the frame's number, so
//! whoever has a frame finds its trace.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Uri};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use invispose_pipeline::health::{Counter, Health};
use invispose_pipeline::trail::Followed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::tls::{self, TlsError};
use crate::{ApiState, Time};

/// Between two looks at what has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time for the collector to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Spans of one request.
const AT_ONCE: usize = 512;
/// Deliveries that wait; more are given up and counted.
const WAITING: usize = 4096;

/// `[telemetry]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where a collector of OpenTelemetry listens, e.g. `http://127.0.0.1:4318`; empty: no traces.
    pub otlp_endpoint: String,
    /// One frame in so many is followed.
    pub every: u32,
    /// Certificates that the collector's is checked against, besides those of the system (PEM); empty: none.
    pub ca_file: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), every: 20, ca_file: String::new() }
    }
}

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address makes no sense.
    #[error("telemetry.otlp_endpoint: http://HOST:4318 or https://HOST:4318 is expected")]
    Endpoint,
    /// One frame in none.
    #[error("telemetry.every must be at least 1")]
    Every,
    /// TLS is not possible.
    #[error("telemetry: {0}")]
    Tls(#[from] TlsError),
}

impl TelemetryConfig {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), TelemetryError> {
        if self.every == 0 {
            return Err(TelemetryError::Every);
        }
        if self.otlp_endpoint.is_empty() { Ok(()) } else { self.traces().map(drop) }
    }

    fn traces(&self) -> Result<Uri, TelemetryError> {
        let text = format!("{}/v1/traces", self.otlp_endpoint.trim_end_matches('/'));
        let uri: Uri = text.parse().map_err(|_| TelemetryError::Endpoint)?;
        let known = uri.scheme_str().is_some_and(|s| s == "http" || s == "https");
        // What stands before an @ would be sent to nobody.
        let host = uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        if known && host { Ok(uri) } else { Err(TelemetryError::Endpoint) }
    }
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct TelemetryStats {
    /// The collector has them.
    pub sent: Counter,
    /// The collector did not take them.
    pub failed: Counter,
    /// There were too many at a time.
    pub given_up: Counter,
}

/// A frame that somebody was given.
struct Delivered {
    site: Arc<str>,
    frame_id: u64,
    begin_ns: i64,
    end_ns: i64,
}

/// Tells of frames that are delivered. Cheap to clone; says nothing of frames that are not followed.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    health: Health,
    to: mpsc::Sender<Delivered>,
    stats: Arc<TelemetryStats>,
}

impl Deliveries {
    /// Somebody has the frame, which was published at this time.
    pub(crate) fn tell(&self, site: &str, frame_id: u64, published: std::time::SystemTime) {
        if !self.health.trails().follows(site, frame_id) {
            return;
        }
        let begin_ns = published
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        let delivered = Delivered { site: site.into(), frame_id, begin_ns, end_ns: Time::now().as_ns() };
        if self.to.try_send(delivered).is_err() {
            self.stats.given_up.add(1);
        }
    }
}

/// Where a site's deliveries are told, once somebody asks for traces.
pub(crate) type Told = OnceLock<Deliveries>;

/// The running exporter.
#[derive(Debug)]
pub struct Telemetry {
    task: JoinHandle<()>,
    close: watch::Sender<bool>,
}

impl Telemetry {
    /// Follows frames from now on, where a collector is configured. Call it before the pipeline starts.
    ///
    /// # Errors
    /// The address or the certificates cannot be used. A collector that is away is tried again with every batch.
    pub fn start(state: &ApiState, config: &TelemetryConfig) -> Result<Option<Self>, TelemetryError> {
        if config.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        config.check()?;
        let uri = config.traces()?;
        let ca = Some(Path::new(&config.ca_file)).filter(|path| !path.as_os_str().is_empty());
        let tls = tls::client_of_system_and(ca)?.as_ref().clone();
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(https);
        let stats = state.telemetry().clone();
        let (to, delivered) = mpsc::channel(WAITING);
        let followed = state.health().trails().follow(config.every);
        for site in state.sites() {
            site.tell_deliveries(Deliveries {
                health: state.health().clone(),
                to: to.clone(),
                stats: stats.clone(),
            });
        }
        let (close, closing) = watch::channel(false);
        let exporter =
            Exporter { uri, client, followed, delivered, stats, away: false, numbers: AtomicU64::new(0) };
        Ok(Some(Self { task: tokio::spawn(exporter.run(closing)), close }))
    }

    /// Sends what is left, for a moment.
    pub async fn close(self) {
        self.close.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

struct Exporter {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    followed: Receiver<Followed>,
    delivered: mpsc::Receiver<Delivered>,
    stats: Arc<TelemetryStats>,
    /// The collector took nothing the last time.
    away: bool,
    numbers: AtomicU64,
}

impl Exporter {
    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        loop {
            let ended = tokio::time::timeout(LOOK_EVERY, closing.wait_for(|&closing| closing)).await.is_ok();
            let mut spans: Vec<Value> =
                self.followed.try_iter().flat_map(|followed| spans(&followed)).collect();
            while let Ok(delivered) = self.delivered.try_recv() {
                spans.push(self.delivery(&delivered));
            }
            for some in spans.chunks(AT_ONCE) {
                self.send(some).await;
            }
            if ended {
                return;
            }
        }
    }

    fn delivery(&self, delivered: &Delivered) -> Value {
        let ids = Ids::of(&delivered.site, delivered.frame_id);
        // The first numbers are those of the stages.
        let number = 1 << 32 | self.numbers.fetch_add(1, Relaxed);
        span(&ids, Some(ids.span(number)), "delivery", delivered.begin_ns, delivered.end_ns, json!([]))
    }

    async fn send(&mut self, spans: &[Value]) {
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let resource = json!({ "attributes": [
            text("service.name", "invispose"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ] });
        let body = json!({ "resourceSpans": [{
            "resource": resource,
            "scopeSpans": [{ "scope": { "name": "invispose" }, "spans": spans }],
        }] });
        let request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::from(body.to_string()));
        let Ok(request) = request else { return };
        let answered = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        let trouble = match answered {
            Ok(Ok(answer)) if answer.status().is_success() => None,
            Ok(Ok(answer)) => Some(format!("answered {}", answer.status())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("did not answer in time".to_owned()),
        };
        let count = spans.len() as u64;
        match &trouble {
            None => self.stats.sent.add(count),
            Some(_) => self.stats.failed.add(count),
        }
        if let Some(trouble) = trouble.as_ref().filter(|_| !self.away) {
            tracing::warn!(
                "the collector of traces at {}: {trouble}; spans are given up until it is back",
                self.uri
            );
        } else if trouble.is_none() && self.away {
            tracing::info!("the collector of traces is back");
        }
        self.away = trouble.is_some();
    }
}

/// Ids of a frame's trace and spans.
struct Ids([u8; 32]);

impl Ids {
    fn of(site: &str, frame_id: u64) -> Self {
        let hash = Sha256::new().chain_update(site).chain_update([0]).chain_update(frame_id.to_be_bytes());
        Self(hash.finalize().into())
    }

    fn trace(&self) -> String {
        hex(self.0.get(..16).unwrap_or_default())
    }

    fn root(&self) -> String {
        hex(self.0.get(16..24).unwrap_or_default())
    }

    fn span(&self, number: u64) -> String {
        let hash = Sha256::new().chain_update(self.0).chain_update(number.to_be_bytes()).finalize();
        hex(hash.get(..8).unwrap_or_default())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One for the frame, from its newest packet until it was in the ring, and below it one for each stage.
fn spans(followed: &Followed) -> Vec<Value> {
    let ids = Ids::of(&followed.site, followed.frame_id);
    let steps = &followed.trail.steps;
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Vec::new() };
    let attributes = json!([
        { "key": "invispose.site", "value": { "stringValue": &*followed.site } },
        { "key": "invispose.frame_id", "value": { "intValue": followed.frame_id.to_string() } },
        { "key": "invispose.frame_time_ns", "value": { "intValue": followed.time_ns.to_string() } },
    ]);
    let root = span(&ids, None, "frame", first.begin_ns, last.end_ns, attributes);
    let stages = (0u64..).zip(steps).map(|(number, step)| {
        span(&ids, Some(ids.span(number)), step.stage, step.begin_ns, step.end_ns, json!([]))
    });
    std::iter::once(root).chain(stages).collect()
}

/// `id`: `None` for the root.
fn span(ids: &Ids, id: Option<String>, name: &str, begin_ns: i64, end_ns: i64, attributes: Value) -> Value {
    let mut span = json!({
        "traceId": ids.trace(),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": begin_ns.to_string(),
        "endTimeUnixNano": end_ns.max(begin_ns).to_string(),
        "attributes": attributes,
    });
    match id {
        None => span["spanId"] = ids.root().into(),
        Some(id) => {
            span["spanId"] = id.into();
            span["parentSpanId"] = ids.root().into();
        }
    }
    span
}
