//! REST: requests per second of the newest frame and of a page of history, over connections that stay open. Server and clients are two
//! processes on this machine. Every frame shows two people with all joints; a page of history has 100 of them.
//!
//! `cargo bench -p invispose-benches --bench requests [-- --clients 32 --seconds 10]`, or the same clients against another
//! server: `-- --connect 127.0.0.1:8000 --pid PID`.
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod served;

use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use served::{Served, argument, now_ns, serve_if_asked};

fn main() {
    serve_if_asked();
    let number = |name: &str, default: f64| argument(name).map_or(default, |v| v.parse().expect("a number"));
    let (clients, seconds) = (number("clients", 32.0) as usize, number("seconds", 10.0));
    let served = match argument("connect") {
        Some(address) => Served::at(address, argument("pid").map(|p| p.parse().expect("a process id"))),
        None => Served::start(20.0),
    };
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(async {
        // So that there is a page of history.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let time = |ns: i64| {
            chrono::DateTime::from_timestamp_nanos(ns).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
        };
        let (from, to) = (time(now_ns() - 7_000_000_000), time(now_ns() + 3_600_000_000_000));
        let history = format!("/api/v1/pose/history?start_time={from}&end_time={to}&limit=100");
        for (what, path) in [("pose/current", "/api/v1/pose/current"), ("pose/history, 100 frames", &history)] {
            let begin = Instant::now() + Duration::from_secs(1);
            let end = begin + Duration::from_secs_f64(seconds);
            let (_, before) = served.figures();
            let clients: Vec<_> = (0..clients)
                .map(|_| tokio::spawn(ask(served.address.clone(), path.to_owned(), begin, end)))
                .collect();
            let (mut delays, mut bytes) = (Vec::new(), 0);
            for client in clients {
                let (mut own, size) = client.await.expect("a client");
                delays.append(&mut own);
                bytes = bytes.max(size);
            }
            let (memory, after) = served.figures();
            delays.sort_by(f64::total_cmp);
            let at = |q: f64| delays[((delays.len().max(1) - 1) as f64 * q) as usize];
            println!(
                "{what}: {:.0} requests/s, p50 {:.2} ms, p99 {:.2} ms, {bytes} bytes; server {memory:.0} MiB, {:.2} cores",
                delays.len() as f64 / seconds, at(0.5), at(0.99), (after - before) / (seconds + 1.0)
            );
        }
    });
}

/// Times of answers in milliseconds, and the length of the last one.
async fn ask(address: String, path: String, begin: Instant, end: Instant) -> (Vec<f64>, usize) {
    let stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let (mut delays, mut bytes) = (Vec::new(), 0);
    while Instant::now() < end {
        let request =
            Request::get(&path).header("host", &address).body(Empty::<Bytes>::new()).expect("a request");
        let asked = Instant::now();
        let response = sender.send_request(request).await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
        bytes = response.into_body().collect().await.expect("a body").to_bytes().len();
        if asked >= begin {
            delays.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    (delays, bytes)
}
