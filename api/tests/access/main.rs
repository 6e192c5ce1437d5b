//! Who may do what, on every protocol: authentication, scopes, sites, tokens, the audit log, rates.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod jws;
mod keys;
mod operations;
#[path = "../common/postgres.rs"]
mod postgres;
mod provider;
mod rates;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Options, Server, Socket, person};
use http_body_util::Full;
use hyper::Request;
use invispose_api::access::operations::{Needs, OPERATIONS, Operation, What};
use invispose_api::access::{AccessConfig, Grant, RateLimits, SigningKey};
use invispose_api::{ApiConfig, Scope};
use invispose_pipeline::events::{Event, EventKind};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
const FREE: RateLimits = RateLimits { default: 0, authenticated: 0, premium: 0, streaming: 0, local: 0 };

fn key() -> SigningKey {
    SigningKey::new([7; 32])
}

fn guarded(limits: RateLimits) -> ApiConfig {
    let access = AccessConfig { required: true, signing_key: Some(key()), limits, ..AccessConfig::default() };
    ApiConfig { access, ..ApiConfig::default() }
}

/// Two sites behind a door.
async fn server() -> Server {
    with(guarded(FREE)).await
}

async fn with(config: ApiConfig) -> Server {
    Server::with(Options { sites: vec!["lab", "attic"], config, ..Options::default() }).await
}

fn token_for(scopes: &[Scope], sites: Option<&[&str]>, ttl: Duration) -> String {
    let grant = Grant {
        subject: "somebody".into(),
        scopes: scopes.iter().copied().collect(),
        sites: sites.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()),
        ..Grant::default()
    };
    key().mint(&grant, ttl).unwrap()
}

fn token(scopes: &[Scope]) -> String {
    token_for(scopes, None, HOUR)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Enough for it, and too little.
fn rights(operation: &Operation) -> (Vec<Scope>, Vec<Scope>) {
    let needed: Vec<Scope> = match operation.needs {
        Needs::All(scopes) => scopes.to_vec(),
        Needs::Any(scopes) => scopes[..1].to_vec(),
        Needs::Nothing | Needs::Somebody | Needs::Own => vec![],
    };
    let all: &[Scope] = match operation.needs {
        Needs::All(scopes) | Needs::Any(scopes) => scopes,
        _ => &[],
    };
    let others = Scope::ALL.into_iter().filter(|s| *s != Scope::AdminAll);
    // Of several that are needed, the first is missing.
    let wrong: Vec<Scope> = match operation.needs {
        Needs::All(_) => others.filter(|s| *s != all[0]).collect(),
        _ => others.filter(|s| !all.contains(s)).collect(),
    };
    (needed, wrong)
}

fn path_of(route: &str) -> String {
    let path = route.replacen("/api/", "/api/v1/", 1);
    let values = [
        ("{kind}", "routers"),
        ("{person_id}", "5"),
        ("{zone_id}", "west"),
        ("{site_id}", "lab"),
        ("{number}", "1"),
        ("{name}", "x"),
        ("{id}", "00000000-0000-7000-8000-000000000000"),
    ];
    values.into_iter().fold(path, |path, (from, to)| path.replace(from, to))
}

async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>, body: Value) -> common::Answer {
    let value = token.map(bearer);
    let mut headers: Vec<(&str, &str)> = vec![("if-match", "\"1\"")];
    headers.extend(value.as_deref().map(|v| ("authorization", v)));
    server.send(method, path, &headers, body).await
}

async fn graphql(server: &Server, token: &str, query: &str) -> Value {
    let headers = [("content-type", "application/json"), ("authorization", &bearer(token))];
    server.post("/graphql", &headers, json!({ "query": query }).to_string()).await.json()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

async fn socket(server: &Server, path: &str, protocol: Option<&str>) -> Socket {
    server.socket_at(path, protocol, None).await.unwrap()
}

/// `/ws/v1/stream` with a token in the address.
async fn open(server: &Server, token: &str) -> Socket {
    let mut socket = socket(server, &format!("/ws/v1/stream?token={token}"), None).await;
    assert_eq!(socket.receive().await["type"], "connection");
    socket
}

/// GraphQL over a WebSocket with a token among the connection's parameters.
async fn introduced(server: &Server, token: &str) -> Socket {
    let mut socket = socket(server, "/graphql/ws", Some("graphql-transport-ws")).await;
    socket.send(json!({ "type": "connection_init", "payload": { "Authorization": bearer(token) } })).await;
    assert_eq!(socket.receive().await["type"], "connection_ack");
    socket
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this thread logs, as long as this lives.
struct Heard {
    log: Log,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Heard {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).into_owned()
    }
}

/// Hears all that this thread logs from now on; the server of a test runs on the same one.
fn heard() -> Heard {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    Heard { log, _guard: tracing::subscriber::set_default(subscriber) }
}
