//! Load on the outputs: events to many webhooks and people over MQTT, beside a live pipeline. A receiver and a mosquitto of their own
//! are processes on this machine.
//!
//! `cargo bench -p invispose-benches --bench outputs [-- --seconds 20 --webhooks 100 --events 1000 --batch 50]`
//!
//! So many events a second for so many webhooks: each for one of them or, with a batch size, every event for every one. Over MQTT 50 persons
//! on four sites at 20 frames a second. Prints what arrived, and how long the pipeline of one simulated room took for its frames, first
//! without and then with the outputs.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod live;
#[path = "../../api/tests/common/mosquitto.rs"]
mod mosquitto;
mod served;

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use invispose_api::outputs::mqtt::MqttConfig;
use invispose_api::outputs::webhooks::WebhooksConfig;
use invispose_api::outputs::{Outputs, OutputsConfig};
use invispose_api::store::{Kind, Store, StoreConfig};
use invispose_api::{ApiConfig, ApiState, Site};
use invispose_pipeline::events::{Event, EventBus, EventKind, RateRule};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::{Health, PoseFrame};
use live::{demo, quantile};
use mosquitto::Mosquitto;
use serde_json::json;
use served::{argument, frame, now_ns};

const PERSONS: [u64; 4] = [13, 13, 12, 12];
const FRAME: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
struct Load {
    seconds: u64,
    webhooks: usize,
    events: u64,
    batch: Option<usize>,
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    if std::env::args().any(|a| a == "--receive") {
        return runtime.block_on(receive());
    }
    let number = |name: &str| argument(name).map(|v| v.parse::<usize>().expect("a number"));
    let load = Load {
        seconds: number("seconds").unwrap_or(20) as u64,
        webhooks: number("webhooks").unwrap_or(100),
        events: number("events").unwrap_or(1000) as u64,
        batch: number("batch"),
    };
    for with_outputs in [false, true] {
        let (mut took, expected) = runtime.block_on(run(load, with_outputs));
        println!(
            "pipeline {} outputs: last packet in to finished frame p50 {:.1} ms, p99 {:.1} ms, {} of {expected} frames",
            if with_outputs { "with" } else { "without" },
            quantile(&mut took, 0.5),
            quantile(&mut took, 0.99),
            took.len()
        );
    }
}

/// The receiver's process: answers 200 and prints again and again how many requests and events it got.
async fn receive() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let shared = counts.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            println!("{} {}", shared.0.load(Relaxed), shared.1.load(Relaxed));
            std::io::stdout().flush().expect("standard output");
        }
    });
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let counts = counts.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let counts = counts.clone();
            async move {
                let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                counts.0.fetch_add(1, Relaxed);
                counts.1.fetch_add(events_in(&body), Relaxed);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
    }
}

/// Each event has one `person_id`.
fn events_in(body: &[u8]) -> u64 {
    const NAME: &[u8] = b"\"person_id\"";
    body.windows(NAME.len()).filter(|w| *w == NAME).count() as u64
}

struct Receiver {
    child: Child,
    url: String,
    counts: Arc<(AtomicU64, AtomicU64)>,
}

impl Receiver {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let mut child = command.arg("--receive").stdout(Stdio::piped()).spawn().expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let url = format!("http://{}/", lines.next().expect("a line").expect("an address"));
        let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let shared = counts.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (requests, events) = line.split_once(' ').expect("two numbers");
                shared.0.store(requests.parse().expect("a number"), Relaxed);
                shared.1.store(events.parse().expect("a number"), Relaxed);
            }
        });
        Self { child, url, counts }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes frames at 20 Hz, as the last stage of a pipeline does.
fn write_frames(mut ring: RingWriter, site: Arc<str>, persons: u64, ended: &AtomicBool) {
    let start = Instant::now();
    for n in 0u32.. {
        std::thread::sleep((start + FRAME * n).saturating_duration_since(Instant::now()));
        if ended.load(Relaxed) {
            return;
        }
        let id = ring.next_frame_id();
        let frame = PoseFrame { site: site.clone(), ..frame(id, persons) };
        ring.publish(&frame).expect("a place in the ring");
    }
}

/// Seconds of processor time of this process.
fn spent_s() -> f64 {
    served::Served::at(String::new(), Some(std::process::id())).figures().1
}

/// Milliseconds that the pipeline took for each of its frames, and how many frames there are in that time.
async fn run(load: Load, with_outputs: bool) -> (Vec<f64>, u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let rates = [RateRule { kind: EventKind::ActivityDetected, repeat_s: 0.0, per_minute: 1e9 }];
    let events = EventBus::new(&rates, 4096);
    let health = Health::default();
    let (demo_site, demo_frames, builder) = demo(dir.path(), &health);
    let (mut sites, mut rings) = (vec![demo_site], Vec::new());
    for i in 0..PERSONS.len() {
        let config = RingConfig { slots: 256, slot_bytes: 16 << 10 };
        let mut ring = RingWriter::open(dir.path().join(format!("{i}.ring")), config).expect("a ring");
        let config = SiteConfig { id: format!("s{i}"), room_m: [5.0, 4.0, 2.5], ..SiteConfig::default() };
        let (site, wake) = Site::new(config, FloorPlan::default(), ring.reader());
        ring.on_publish(Box::new(move |frame| wake.published(frame)));
        sites.push(site);
        rings.push(ring);
    }
    let store = Store::open(StoreConfig::new(dir.path())).await.expect("a store");
    let state = ApiState::with_store(sites, health, ApiConfig::default(), store.clone(), events.clone());
    let running = if with_outputs { Some(outputs(load, &state, &store, dir.path()).await) } else { None };
    let pipeline = builder.start().expect("a pipeline");
    let ended = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = rings
        .into_iter()
        .zip(PERSONS)
        .enumerate()
        .map(|(i, (ring, persons))| {
            let ended = ended.clone();
            std::thread::spawn(move || write_frames(ring, format!("s{i}").into(), persons, &ended))
        })
        .collect();
    // The room's first seconds are spent on learning what it is without people.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (first, before, start) = (demo_frames.head(), spent_s(), Instant::now());
    if with_outputs {
        let places: Vec<Arc<str>> = (0..load.webhooks).map(|i| format!("w{i}").into()).collect();
        for n in 0..load.seconds * load.events {
            let due = Duration::from_nanos(n * 1_000_000_000 / load.events);
            let early = due.saturating_sub(start.elapsed());
            // Finer than a millisecond there is no sleep.
            if early > Duration::from_millis(1) {
                tokio::time::sleep(early).await;
            }
            let place = &places[n as usize % load.webhooks];
            let event = Event::new(EventKind::ActivityDetected, now_ns()).at(place);
            events.publish(Event { person: Some(n), ..event }).expect("no rule holds it back");
        }
    } else {
        tokio::time::sleep(Duration::from_secs(load.seconds)).await;
    }
    let took = start.elapsed().as_secs_f64();
    let (last, used) = (demo_frames.head(), (spent_s() - before) / took);
    ended.store(true, Relaxed);
    writers.into_iter().for_each(|w| w.join().expect("a writer"));
    let times = (first + 1..=last).filter_map(|id| demo_frames.read(id).ok());
    let times = times.map(|f| f.processing_ns as f64 / 1e6).collect();
    pipeline.stop(Duration::from_secs(5)).expect("an end");
    println!("this process, with the simulator: {used:.2} cores");
    if let Some((outputs, receiver, broker)) = running {
        report(load, &state, &receiver, broker.is_some(), took).await;
        events.close();
        outputs.close().await;
    }
    (times, (took / FRAME.as_secs_f64()) as u64)
}

async fn outputs(
    load: Load,
    state: &ApiState,
    store: &Store,
    data_dir: &std::path::Path,
) -> (Outputs, Receiver, Option<Mosquitto>) {
    let receiver = Receiver::start();
    for i in 0..load.webhooks {
        let mut hook = json!({ "url": receiver.url, "events": ["person.activity_detected"], "secret": "a secret of some length" });
        match load.batch {
            None => hook["site_ids"] = json!([format!("w{i}")]),
            Some(n) => hook["batch"] = json!({ "max_events": n, "max_wait_ms": 1000 }),
        }
        store.create(Kind::Webhook, "", &format!("w{i}"), &hook).await.expect("a registration");
    }
    let broker = Mosquitto::start("");
    let url = broker.as_ref().map_or_else(String::new, |b| format!("mqtt://127.0.0.1:{}", b.port));
    let mqtt = MqttConfig { url, prefix: "{site}".into(), max_fps: 1000.0, ..MqttConfig::default() };
    let webhooks =
        WebhooksConfig { allowed_networks: vec!["127.0.0.1/32".into()], ..WebhooksConfig::default() };
    let config = OutputsConfig { mqtt, webhooks, falls: false };
    let outputs = Outputs::start(state, &config, data_dir).await.expect("outputs");
    (outputs, receiver, broker)
}

async fn report(load: Load, state: &ApiState, receiver: &Receiver, with_broker: bool, took: f64) {
    let each = if load.batch.is_some() { load.webhooks as u64 } else { 1 };
    let wanted = load.seconds * load.events * each;
    let stats = &state.outputs().webhooks;
    let (at_end, drained) = (stats.delivered.load(Relaxed), Instant::now());
    while receiver.counts.1.load(Relaxed) < wanted && drained.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "webhooks: {} of {wanted} events arrived in {} requests; {:.1} % had at the end of {took:.1} s, the rest within {:.2} s; \
         {} attempts failed, {} events missed",
        receiver.counts.1.load(Relaxed),
        receiver.counts.0.load(Relaxed),
        at_end as f64 / wanted as f64 * 100.0,
        drained.elapsed().as_secs_f64(),
        stats.failed.load(Relaxed),
        stats.missed.load(Relaxed) + stats.given_up.load(Relaxed),
    );
    if with_broker {
        let mqtt = &state.outputs().mqtt;
        let drained = Instant::now();
        while mqtt.queued_bytes.load(Relaxed) > 0 && drained.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!(
            "MQTT: {} messages queued, {:.0} a second; {} confirmed by the broker, the last {:.2} s after the end; {} given up",
            mqtt.kept.load(Relaxed),
            mqtt.kept.load(Relaxed) as f64 / took,
            mqtt.published.load(Relaxed),
            drained.elapsed().as_secs_f64(),
            mqtt.given_up.load(Relaxed),
        );
    }
}
