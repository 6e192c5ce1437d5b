//! GraphQL subscribers at one site: from a frame's writing to its receipt by each of them, and what a subscriber costs. Server and clients
//! are two processes on this machine. Every frame shows two people with all joints.
//!
//! `cargo bench -p invispose-benches --bench fanout [-- --subscribers 1000 --seconds 20 --fps 20]`, or the same clients
//! against another server: `-- --connect 127.0.0.1:4000 --pid PID`.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod served;

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use served::{Served, argument, now_ns, serve_if_asked};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

const QUERY: &str = "subscription { poseFrames { id time persons { id confidence activity positionM { x y z } \
                     keypoints { id name x y confidence positionM { x y z } } } } }";

fn main() {
    serve_if_asked();
    let number = |name: &str, default: f64| argument(name).map_or(default, |v| v.parse().expect("a number"));
    let (subscribers, seconds) = (number("subscribers", 1000.0) as usize, number("seconds", 20.0));
    let fps = number("fps", 20.0);
    let served = match argument("connect") {
        Some(address) => Served::at(address, argument("pid").map(|p| p.parse().expect("a process id"))),
        None => Served::start(fps),
    };
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(async {
        // The first one warms what is made once for all.
        let warm = subscribe(&served.address).await;
        let (empty, _) = served.figures();
        let mut sockets = Vec::new();
        for _ in 0..subscribers {
            sockets.push(subscribe(&served.address).await);
        }
        let begin = Instant::now() + Duration::from_secs(3);
        let end = begin + Duration::from_secs_f64(seconds);
        let readers: Vec<_> = sockets.into_iter().map(|s| tokio::spawn(read(s, begin, end))).collect();
        tokio::time::sleep_until(begin.into()).await;
        let (_, before) = served.figures();
        tokio::time::sleep_until(end.into()).await;
        let (full, after) = served.figures();
        let mut delays = Vec::new();
        let (mut fewest, mut bytes) = (u64::MAX, 0);
        for reader in readers {
            let (mut own, size) = reader.await.expect("a reader");
            fewest = fewest.min(own.len() as u64);
            bytes += size;
            delays.append(&mut own);
        }
        drop(warm);
        delays.sort_by(f64::total_cmp);
        let at = |q: f64| delays[((delays.len().max(1) - 1) as f64 * q) as usize];
        println!("{subscribers} subscribers, {fps} frames/s asked for, {seconds} s");
        println!(
            "received {:.0} frames/s in all, at least {:.1} frames/s each, {:.0} bytes a frame",
            delays.len() as f64 / seconds,
            fewest as f64 / seconds,
            bytes as f64 / delays.len().max(1) as f64
        );
        println!(
            "from write to receipt: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        println!(
            "server: {empty:.1} MiB with one subscriber, {full:.1} MiB with all: {:.1} KiB each; {:.2} cores",
            (full - empty) * 1024.0 / subscribers as f64,
            (after - before) / seconds
        );
    });
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn subscribe(address: &str) -> Socket {
    let mut request = format!("ws://{address}/graphql/ws").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a name"));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
    for message in [
        r#"{"type":"connection_init"}"#.to_owned(),
        format!(r#"{{"type":"subscribe","id":"1","payload":{{"query":"{QUERY}"}}}}"#),
    ] {
        socket.send(Message::text(message)).await.expect("sent");
    }
    socket
}

/// Delays in milliseconds of what came within the time, and its bytes.
async fn read(mut socket: Socket, begin: Instant, end: Instant) -> (Vec<f64>, u64) {
    let (mut delays, mut bytes) = (Vec::new(), 0);
    while Instant::now() < end {
        let Ok(Some(Ok(message))) = tokio::time::timeout_at(end.into(), socket.next()).await else { break };
        let now = now_ns();
        let Ok(text) = message.to_text() else { continue };
        // Reading all of it would measure the client.
        let Some((_, rest)) = text.split_once("\"time\":\"") else { continue };
        let Some((stamp, _)) = rest.split_once('"') else { continue };
        if Instant::now() >= begin {
            let written = chrono::DateTime::parse_from_rfc3339(stamp).expect("RFC 3339");
            delays.push((now - written.timestamp_nanos_opt().expect("this century")) as f64 / 1e6);
            bytes += text.len() as u64;
        }
    }
    (delays, bytes)
}
