//! From a packet's arrival to a subscriber's receipt: the simulator in real time, the whole pipeline with the shipped network, the
//! API on loopback, and one graphql-transport-ws client, all in this process. Prints p50 and p99.
//!
//! `cargo bench -p invispose-benches --bench latency [-- SECONDS]`
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod live;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use invispose_api::{ApiConfig, ApiState};
use invispose_pipeline::Health;
use live::{demo, quantile};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

fn main() {
    let seconds = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(20.0);
    let folder = tempfile::tempdir().expect("a folder");
    let health = Health::default();
    let (site, _, builder) = demo(folder.path(), &health);

    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    let (mut end_to_end, mut processing) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = ApiState::new(vec![site], health, ApiConfig::default());
        tokio::spawn(invispose_api::serve(state, listener, std::future::pending()));
        let mut request = format!("ws://{address}/graphql/ws").into_client_request().expect("a request");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a name"));
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
        let say = |value: Value| Message::text(value.to_string());
        socket.send(say(json!({ "type": "connection_init" }))).await.expect("sent");
        let query = "subscription { poseFrames { time processingTimeMs persons { id } } }";
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } });
        socket.send(say(subscribe)).await.expect("sent");
        let pipeline = builder.start().expect("a pipeline");

        let (mut end_to_end, mut processing) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs_f64(seconds) {
            let message = socket.next().await.expect("open").expect("a message");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as f64 / 1e6;
            let value: Value = serde_json::from_str(message.to_text().unwrap_or("{}")).unwrap_or_default();
            let frame = &value["payload"]["data"]["poseFrames"];
            let Some(stamp) = frame["time"].as_str() else { continue };
            // The first second warms caches and learns the quiet room from packets of the past.
            if begun.elapsed() > Duration::from_secs(1) {
                let window_end = chrono::DateTime::parse_from_rfc3339(stamp).expect("RFC 3339");
                end_to_end.push(now - window_end.timestamp_nanos_opt().expect("this century") as f64 / 1e6);
                processing.push(frame["processingTimeMs"].as_f64().expect("a number"));
            }
        }
        pipeline.stop(Duration::from_secs(5)).expect("an end");
        (end_to_end, processing)
    });
    report("end of window to subscriber (includes waiting for reordered packets)", &mut end_to_end);
    report("last packet in to finished frame", &mut processing);
}

fn report(what: &str, values: &mut [f64]) {
    let (p50, p99) = (quantile(values, 0.5), quantile(values, 0.99));
    println!("{what}: p50 {p50:.2} ms, p99 {p99:.2} ms, {} frames", values.len());
}
