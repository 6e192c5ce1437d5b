//! A server on a free port over real ring files, and clients that speak real HTTP and WebSocket.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use invispose_api::listen::{Listeners, Tls};
use invispose_api::store::{Store, StoreConfig, Writer};
use invispose_api::{ApiConfig, ApiState, Site, Wake};
use invispose_pipeline::alerts::{AlertDesk, AlertEngine, AlertState};
use invispose_pipeline::events::{EVENTS_KEPT, EventBus, EventKind, RateRule};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::health::SourceStats;
use invispose_pipeline::pose::{Activity, Breathing, Count, CountBasis, Keypoint, Presence, SignalActivity};
use invispose_pipeline::radio::Radio;
use invispose_pipeline::ring::{RingConfig, RingReader, RingWriter};
use invispose_pipeline::site::{SiteConfig, ZoneConfig};
use invispose_pipeline::{Health, Person, PoseFrame, Provenance, SourceKind};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// 2026-01-02T03:04:05Z
pub const EPOCH_NS: i64 = 1_767_323_045_000_000_000;
/// Between frames.
pub const STEP_NS: i64 = 50_000_000;

pub fn site(id: &str) -> SiteConfig {
    SiteConfig {
        id: id.into(),
        name: format!("The {id}"),
        room_m: [5.0, 4.0, 2.5],
        links: vec![],
        zones: vec![
            ZoneConfig {
                id: "west".into(),
                name: "West half".into(),
                polygon_m: vec![[0.0, 0.0], [2.5, 0.0], [2.5, 4.0], [0.0, 4.0]],
                ..ZoneConfig::default()
            },
            ZoneConfig {
                id: "east".into(),
                name: String::new(),
                polygon_m: vec![[2.5, 0.0], [5.0, 0.0], [5.0, 4.0], [2.5, 4.0]],
                ..ZoneConfig::default()
            },
        ],
        experimental_poses: false,
        max_occupancy: None,
    }
}

/// The site with its zones in force.
pub fn place(config: SiteConfig, ring: RingReader) -> (Site, Wake) {
    let plan = FloorPlan::new(&config.zones).unwrap();
    Site::new(config, plan, ring)
}

pub fn person(id: u64, confidence: f32, x: f32, zone: Option<u16>) -> Person {
    let mut keypoints = [Keypoint::default(); 17];
    for (i, k) in keypoints.iter_mut().enumerate() {
        *k = Keypoint { position_m: [x, 1.0, 1.75 - 0.1 * i as f32], confidence: 0.9 };
    }
    Person {
        id,
        confidence,
        position_m: [x, 1.0, 0.75],
        velocity_m_s: [0.25, 0.0, 0.0],
        keypoints,
        activity: Some(Activity::Walking),
        zone,
        breathing: (id == 7).then_some(Breathing { rate_bpm: 12.25, quality: 0.5 }),
    }
}

pub fn frame(site: &str, id: u64, persons: Vec<Person>) -> PoseFrame {
    PoseFrame {
        frame_id: id,
        site: site.into(),
        time_ns: EPOCH_NS + STEP_NS * id as i64,
        processing_ns: 1_500_000,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: Some(Arc::from("test 0.0.1")),
            calibrated: false,
            experimental: true,
        },
        presence: Some(Presence { present: true, motion_level: 2.5, coverage: 1.0 }),
        breathing: (!id.is_multiple_of(2)).then_some(Breathing { rate_bpm: 14.5, quality: 0.75 }),
        count: (!id.is_multiple_of(2)).then_some(Count {
            mean: 2.25,
            low: 2,
            high: 3,
            basis: CountBasis::Tracks,
        }),
        activity: (!id.is_multiple_of(2))
            .then(|| SignalActivity { name: "washing up".into(), probability: 0.75 }),
        persons,
    }
}

pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

pub struct Feed {
    pub site: String,
    pub writer: RingWriter,
}

impl Feed {
    pub fn publish(&mut self, persons: Vec<Person>) -> u64 {
        let id = self.writer.next_frame_id();
        self.writer.publish(&frame(&self.site, id, persons)).unwrap();
        id
    }

    pub fn publish_frame(&mut self, change: impl FnOnce(&mut PoseFrame)) -> u64 {
        let id = self.writer.next_frame_id();
        let mut frame = frame(&self.site, id, vec![]);
        change(&mut frame);
        self.writer.publish(&frame).unwrap();
        id
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub feeds: Vec<Feed>,
    pub health: Health,
    pub source: Arc<SourceStats>,
    pub radio: Radio,
    pub events: EventBus,
    pub store: Store,
    pub alerts: AlertDesk,
    pub state: ApiState,
    _writer: Writer,
    _running: crossbeam_channel::Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<std::io::Result<()>>,
    pub dir: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

pub struct Options {
    pub sites: Vec<&'static str>,
    pub slots: u32,
    pub config: ApiConfig,
    /// Another database than the embedded one.
    pub database: Option<String>,
    /// Of an earlier server.
    pub dir: Option<tempfile::TempDir>,
    /// TLS instead of plain TCP.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        let config = ApiConfig::default();
        Self { sites: vec!["lab"], slots: 64, config, database: None, dir: None, tls: None }
    }
}

/// A database of this directory's own on the PostgreSQL server that `TEST_POSTGRES` names (`scripts/with-postgres`): the same tests run on
/// both databases.
fn postgres(dir: &Path) -> Option<String> {
    let server = std::env::var("TEST_POSTGRES").ok()?;
    let note = dir.join("database-url");
    if let Ok(url) = std::fs::read_to_string(&note) {
        return Some(url);
    }
    let of_dir = dir.file_name().unwrap().to_str().unwrap().to_lowercase();
    let name: String = of_dir.chars().filter(char::is_ascii_alphanumeric).collect();
    let statement = format!("CREATE DATABASE test_{name}_{}", std::process::id());
    let end = std::time::Instant::now() + Duration::from_secs(60);
    // Two at a time cannot copy the template.
    while !std::process::Command::new("psql")
        .args([&server, "-qc", &statement])
        .output()
        .unwrap()
        .status
        .success()
    {
        assert!(std::time::Instant::now() < end, "{statement}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let url = server.replacen("/postgres?", &format!("/test_{name}_{}?", std::process::id()), 1);
    std::fs::write(&note, &url).unwrap();
    Some(url)
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let dir = options.dir.unwrap_or_else(|| tempfile::tempdir().unwrap());
        let health = Health::default();
        let source = Arc::new(SourceStats::new("sim:test", SourceKind::Simulated));
        source.running.set(1);
        health.add_source(source.clone());
        let radio = Radio::default();
        let (mut sites, mut feeds) = (Vec::new(), Vec::new());
        for id in options.sites {
            let config = RingConfig { slots: options.slots, slot_bytes: 8192 };
            let mut writer = RingWriter::open(dir.path().join(format!("{id}.ring")), config).unwrap();
            let (site, wake) = place(site(id), writer.reader());
            writer.on_publish(Box::new(move |frame| wake.published(frame)));
            sites.push(site);
            feeds.push(Feed { site: id.into(), writer });
        }
        let mut database =
            StoreConfig { write_every: Duration::from_millis(20), ..StoreConfig::new(dir.path()) };
        database.url = options.database.or_else(|| postgres(dir.path()));
        let store = Store::open(database).await.unwrap();
        // Nothing is held back.
        let free = EventKind::ALL.iter().map(|&kind| RateRule { kind, repeat_s: 0.0, per_minute: 1e9 });
        let events = EventBus::new(&free.collect::<Vec<_>>(), EVENTS_KEPT);
        let mut writer = store.start(&sites, &events, &health).unwrap();
        let engine = AlertEngine::new(&[], AlertState::default()).unwrap();
        let alerts = AlertDesk::new(engine, events.clone());
        writer.keep_alerts(&alerts).await;
        let (running, ended) = crossbeam_channel::bounded(0);
        let (desk, heard) = (alerts.clone(), events.subscribe());
        std::thread::spawn(move || desk.run(heard, &ended));
        let state =
            ApiState::with_store(sites, health.clone(), options.config, store.clone(), events.clone())
                .with_alerts(alerts.clone())
                .with_radio(radio.clone());
        state.load().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let mut listeners = Listeners::from(listener);
        if let Some(tls) = options.tls {
            listeners = listeners.with_tls(tls);
        }
        let task = tokio::spawn(invispose_api::serve(state.clone(), listeners, shutdown));
        Self {
            address,
            feeds,
            health,
            source,
            radio,
            events,
            store,
            alerts,
            state,
            _writer: writer,
            _running: running,
            stop: Some(stop),
            task,
            dir,
        }
    }

    /// Ends as a process does, and leaves its directory.
    pub async fn end(mut self) -> tempfile::TempDir {
        self.stop();
        let Self { _writer: writer, dir, task, .. } = self;
        task.await.unwrap().unwrap();
        writer.close().await;
        dir
    }

    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn request(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Full::default()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::post(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Full::new(body.into())).unwrap()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if !body.is_null() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        self.request(request.body(Full::new(body)).unwrap()).await
    }

    /// Waits until the frame is in the database.
    pub async fn stored(&self, site: &str, id: u64) {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while self.store.position(site).await.unwrap() < id {
            assert!(std::time::Instant::now() < end, "frame {id} is never written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn graphql(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let answer = self.post("/graphql", &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A socket after the handshake of the protocol.
    pub async fn socket(&self) -> Socket {
        let mut socket = self.raw_socket(Some("graphql-transport-ws"), None).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        socket
    }

    pub async fn raw_socket(
        &self,
        protocol: Option<&str>,
        origin: Option<&str>,
    ) -> Result<Socket, tungstenite::Error> {
        self.socket_at("/graphql/ws", protocol, origin).await
    }

    pub async fn socket_at(
        &self,
        path: &str,
        protocol: Option<&str>,
        origin: Option<&str>,
    ) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(protocol).unwrap());
        }
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
        }
        let (stream, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Socket { stream })
    }
}

pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, message: &str) {
        self.stream.send(Message::text(message)).await.unwrap();
    }

    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    /// The next message, or the close frame as `{"close": code, "reason": …}`. Pings are answered meanwhile.
    pub async fn receive(&mut self) -> Value {
        let message = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    message => return message,
                }
            }
        };
        let message = tokio::time::timeout(Duration::from_secs(60), message).await;
        match message.expect("a message within a minute") {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Close(Some(frame)))) => {
                json!({ "close": u16::from(frame.code), "reason": frame.reason.as_str() })
            }
            other => json!({ "end": format!("{other:?}") }),
        }
    }

    /// What `field` says in the next `next` message.
    pub async fn value(&mut self, field: &str) -> Value {
        let message = self.receive().await;
        assert!(message["type"] == "next" && message["payload"]["errors"].is_null(), "{message}");
        message["payload"]["data"][field].clone()
    }

    /// The frame of the next `next` message.
    pub async fn frame(&mut self) -> Value {
        self.value("poseFrames").await
    }
}

/// A `poseFrames` frame's id as a number.
pub fn id(frame: &Value) -> u64 {
    frame["id"].as_str().unwrap().parse().unwrap()
}
