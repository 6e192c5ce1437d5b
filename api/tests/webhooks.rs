//! Webhooks against a real receiver that fails in every way, and against a process that is killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/receiver.rs"]
mod receiver;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use common::{Options, Server};
use invispose_api::outputs::webhooks::WebhooksConfig;
use invispose_api::outputs::{Outputs, OutputsConfig};
use invispose_pipeline::events::{Event, EventKind, Evidence, Place, Severity};
use postgres::Postgres;
use receiver::{Act, Got, PATIENCE, Receiver};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn config() -> WebhooksConfig {
    WebhooksConfig {
        allowed_networks: vec!["127.0.0.1/32".into()],
        timeout_s: 2.0,
        retry_unit_s: 0.002,
        ..WebhooksConfig::default()
    }
}

async fn start(server: &Server, webhooks: WebhooksConfig) -> Outputs {
    let config = OutputsConfig { webhooks, ..OutputsConfig::default() };
    Outputs::start(&server.state, &config, server.dir.path()).await.unwrap()
}

async fn register(server: &Server, body: Value) -> Value {
    let answer = server.send("POST", "/api/v1/webhooks", &[JSON], body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn fall(server: &Server, person: u64) -> String {
    let event = Event {
        person: Some(person),
        place: Some(Place { zone: Some("west".into()), position_m: Some([1.0, 2.0, 0.5]) }),
        confidence: Some(0.875),
        ..Event::new(EventKind::FallDetected, common::now_ns()).at(&"lab".into()).severe(Severity::High)
    };
    server.events.publish(event).unwrap().id.to_string()
}

fn ids(got: &[Got]) -> Vec<String> {
    got.iter().map(|g| g.header("x-delivery-id").to_owned()).collect()
}

/// The signature of the bytes, by somebody else's code.
fn hmac(secret: &str, body: &[u8]) -> String {
    let program = "import hashlib,hmac,sys; print('sha256='+hmac.new(sys.argv[1].encode(),sys.stdin.buffer.read(),hashlib.sha256).hexdigest())";
    let mut python = Command::new("python3");
    let mut child =
        python.args(["-c", program, secret]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_say_what_the_contract_says() {
    let receiver = Receiver::start();
    let server = Server::start().await;
    let outputs = start(&server, config()).await;
    let hook = json!({
        "id": "alarm", "url": receiver.url("/hook"), "events": ["person.fall_detected", "alert.high_occupancy"],
        "secret": "correct horse", "headers": { "X-Tenant": "seven", "Authorization": "Bearer abc" },
    });
    let made = register(&server, hook.clone()).await;
    assert_eq!(
        (&made["signed"], &made["secret"], &made["headers"]["Authorization"]),
        (&json!(true), &Value::Null, &json!("***"))
    );
    assert_eq!(made["retry_policy"], json!({ "max_attempts": 3, "retry_on_status": [500, 502, 503, 504] }));

    // One that nobody asked for is not delivered.
    server.events.publish(Event::new(EventKind::SystemStarted, common::now_ns()));
    let id = fall(&server, 456);
    let got = receiver.of(&id).await;
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hook"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", "WiFi-DensePose/1.0"),
        ("x-event-type", "person.fall_detected"),
        ("x-delivery-id", &id),
        ("x-tenant", "seven"),
        ("authorization", "Bearer abc"),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert_eq!(got.all("x-signature"), [hmac("correct horse", &got.body)]);
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(body["event_type"], "person.fall_detected");
    assert!(body["timestamp"].is_string() && !got.header("x-timestamp").is_empty());
    let data = &body["data"];
    assert_eq!(data["person_id"], "456");
    assert_eq!(
        data["location"],
        json!({ "zone_id": "west", "x": 0.2, "y": 0.8, "position_m": [1.0, 2.0, 0.5] })
    );
    assert_eq!(
        (&data["confidence"], &data["severity"], &data["alert_triggered"]),
        (&json!(0.875), &json!("high"), &json!(true))
    );

    let crowd = Evidence::Occupancy { current: 25, maximum: 20, duration_s: 300.0 };
    let place = Place { zone: Some("west".into()), position_m: None };
    let event = Event { place: Some(place), ..Event::new(EventKind::HighOccupancy, common::now_ns()) };
    let id = server.events.publish(event.at(&"lab".into()).because(crowd)).unwrap().id.to_string();
    let got = receiver.of(&id).await;
    let data = serde_json::from_slice::<Value>(&got.body).unwrap()["data"].clone();
    for (member, value) in [
        ("zone_id", json!("west")),
        ("current_occupancy", json!(25)),
        ("max_occupancy", json!(20)),
        ("duration_seconds", json!(300.0)),
    ] {
        assert_eq!(data[member], value, "{data}");
    }

    // Two secrets are alive while one replaces the other.
    let secret = json!({ "secret": "battery staple", "keep_previous_s": 60 });
    let answer = server.send("POST", "/api/v1/webhooks/alarm/secret", &[JSON], secret).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains("staple") && !answer.text().contains("horse"));
    let got = receiver.of(&fall(&server, 457)).await;
    assert_eq!(got.all("x-signature"), [hmac("battery staple", &got.body), hmac("correct horse", &got.body)]);
    let again = json!({ "secret": "third secret", "keep_previous_s": 0 });
    server.send("POST", "/api/v1/webhooks/alarm/secret", &[JSON], again).await;
    let got = receiver.of(&fall(&server, 458)).await;
    assert_eq!(got.all("x-signature"), [hmac("third secret", &got.body)]);

    // The log tells what was tried, and nothing of what was said.
    let end = Instant::now() + PATIENCE;
    let log = loop {
        let log = server.get("/api/v1/webhooks/alarm/deliveries").await;
        // A change may have one delivery made again.
        if log.json()["deliveries"].as_array().unwrap().len() >= 4 {
            break log;
        }
        assert!(Instant::now() < end, "{}", log.text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(!log.text().contains("position_m") && !log.text().contains("secret"));

    // A document that comes back as it was shown changes nothing but what it says.
    let mut shown = server.get("/api/v1/webhooks/alarm").await.json();
    for member in ["signed", "version", "created_at", "updated_at", "links"] {
        shown.as_object_mut().unwrap().remove(member);
    }
    shown["events"] = json!(["*"]);
    let replaced = server.send("PUT", "/api/v1/webhooks/alarm", &[JSON, ("if-match", "\"3\"")], shown).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    let got = receiver.of(&fall(&server, 459)).await;
    assert_eq!(got.header("authorization"), "Bearer abc");
    assert_eq!(got.all("x-signature"), [hmac("third secret", &got.body)]);

    for (change, field) in [
        (json!({ "url": "ftp://example.org" }), "url"),
        (json!({ "url": "http://me:secret@example.org/" }), "url"),
        (json!({ "url": "http://192.168.1.1/" }), "url"),
        (json!({ "url": "http://[::ffff:10.0.0.1]/" }), "url"),
        (json!({ "url": "http://0x7f.1.1/" }), "url"),
        (json!({ "events": [] }), "events"),
        (json!({ "events": ["person.flew"] }), "events"),
        (json!({ "headers": { "X-Signature": "mine" } }), "headers"),
        (json!({ "headers": { "A": "b\r\nC: d" } }), "headers.A"),
        (json!({ "secret": "short" }), "secret"),
        (json!({ "retry_policy": { "max_attempts": 1000 } }), "retry_policy.max_attempts"),
        (json!({ "batch": { "max_events": 1 } }), "batch.max_events"),
        (json!({ "id": "../x" }), "id"),
        (json!({ "colour": "red" }), "colour"),
    ] {
        let mut wrong = hook.clone();
        wrong["id"] = json!("other");
        wrong.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = server.send("POST", "/api/v1/webhooks", &[JSON], wrong).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["field"].as_str()),
            (422, Some(field)),
            "{change}: {}",
            answer.text()
        );
    }
    let taken = server.send("POST", "/api/v1/webhooks", &[JSON], hook).await;
    assert_eq!(taken.status, 409);
    let gone = server.send("DELETE", "/api/v1/webhooks/alarm", &[("if-match", "*")], Value::Null).await;
    assert_eq!(gone.status, 204);
    let late = fall(&server, 460);
    outputs.close().await;
    assert!(!ids(&receiver.got()).contains(&late));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_whatever_the_receiver_does() {
    let receiver = Receiver::start();
    let server = Server::start().await;
    let outputs = start(&server, config()).await;
    let policy = json!({ "max_attempts": 20, "retry_on_status": [500, 503] });
    register(&server, json!({ "url": receiver.url("/a"), "events": ["*"], "retry_policy": policy })).await;
    // Another endpoint that takes no call is nobody else's trouble.
    register(&server, json!({ "url": "http://127.0.0.1:9/", "events": ["*"] })).await;
    receiver.next(vec![
        Act::Answer(500, ""),
        Act::CloseAtOnce,
        Act::Answer(200, ""),
        Act::CloseHalfWay,
        Act::Stall,
        Act::Answer(200, ""),
        Act::Answer(429, "Retry-After: 1\r\n"),
        Act::Answer(503, "Retry-After: Fri, 01 Jan 2010 00:00:00 GMT\r\n"),
        // The head says that it was taken; what comes of the rest is no matter.
        Act::CutBody,
        Act::Slow(Duration::from_millis(100)),
        Act::Answer(204, ""),
    ]);
    let sent: Vec<String> = (0..20).map(|i| fall(&server, i)).collect();
    let got = receiver.until(|got| ids(got).last() == sent.last()).await;
    let mut order = ids(&got);
    assert_eq!(order.len(), 20 + 6, "six attempts failed");
    let waited = got.iter().position(|g| matches!(g.act, Act::Answer(429, _))).unwrap();
    assert!(got[waited + 1].at - got[waited].at >= Duration::from_millis(990), "Retry-After is respected");
    order.dedup();
    assert_eq!(order, sent, "each was taken before the next was tried");
    outputs.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_delivered_is_kept() {
    let receiver = Receiver::start();
    let server = Server::start().await;
    let outputs = start(&server, config()).await;
    let policy = json!({ "max_attempts": 2 });
    register(
        &server,
        json!({ "id": "a", "url": receiver.url("/a"), "events": ["*"], "retry_policy": policy }),
    )
    .await;
    receiver.next(vec![
        Act::Answer(500, ""),
        Act::Answer(502, ""),
        Act::Answer(503, ""),
        Act::Answer(400, ""),
    ]);
    let sent: Vec<String> = (0..3).map(|i| fall(&server, i)).collect();
    let got = receiver.wait(5).await;
    let attempts = [&sent[0], &sent[0], &sent[0], &sent[1], &sent[2]];
    assert_eq!(
        ids(&got).iter().collect::<Vec<_>>(),
        attempts,
        "three attempts, one where more are of no use, one that arrives"
    );
    let dead = server.get("/api/v1/webhooks/a/dead-letters").await.json()["dead_letters"].clone();
    let of = |i: usize| {
        (dead[i]["delivery_id"].as_str().unwrap().to_owned(), dead[i]["attempts"].as_u64().unwrap())
    };
    assert_eq!((of(0), of(1)), ((sent[0].clone(), 3), (sent[1].clone(), 1)));
    assert!(dead[1]["reason"].as_str().unwrap().contains("400"));

    let path = format!("/api/v1/webhooks/a/dead-letters/{}/redeliver", dead[0]["number"]);
    receiver.next(vec![Act::Answer(500, "")]);
    assert_eq!(server.send("POST", &path, &[], Value::Null).await.json()["status"], 500);
    assert_eq!(server.send("POST", &path, &[], Value::Null).await.json()["status"], 200);
    assert_eq!(
        server.send("POST", &path, &[], Value::Null).await.status,
        404,
        "it is gone once it has arrived"
    );
    let got = receiver.wait(7).await;
    assert_eq!(got[6].body, got[0].body, "the same bytes");
    assert_eq!(server.state.outputs().webhooks.dead.load(Relaxed), 2);
    outputs.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_never_called() {
    let (receiver, inside) = (Receiver::start(), Receiver::start_on("127.0.0.2:0"));
    let server = Server::start().await;
    // Without a word in the configuration none of this machine's addresses may be called, by number or by name.
    let closed = start(&server, WebhooksConfig { allowed_networks: vec![], ..config() }).await;
    let refused = json!({ "url": receiver.url("/"), "events": ["*"] });
    assert_eq!(server.send("POST", "/api/v1/webhooks", &[JSON], refused).await.status, 422);
    let named =
        json!({ "id": "name", "url": format!("http://localhost:{}/", receiver.port()), "events": ["*"] });
    register(&server, named).await;
    fall(&server, 1);
    let reason = dead(&server, "name").await;
    assert!(reason.contains("no public address"), "{reason}");
    closed.close().await;
    drop(server);

    let server = Server::start().await;
    let outputs = start(&server, config()).await;
    let headers = json!({ "Authorization": "Bearer abc" });
    register(&server, json!({ "id": "a", "url": receiver.url("/a"), "events": ["*"], "secret": "correct horse", "headers": headers })).await;
    for place in [
        inside.url("/"),
        format!("http://[::1]:{}/", inside.port()),
        "http://169.254.169.254/latest".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        receiver.next(vec![Act::Redirect(307, place.clone())]);
        let before = server.state.outputs().webhooks.dead.load(Relaxed);
        fall(&server, 2);
        let end = Instant::now() + PATIENCE;
        while server.state.outputs().webhooks.dead.load(Relaxed) == before && ids(&receiver.got()).len() < 40
        {
            assert!(Instant::now() < end, "{place}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let letters = server.get("/api/v1/webhooks/a/dead-letters").await.json();
    assert_eq!(letters["dead_letters"].as_array().unwrap().len(), 4, "{letters}");
    assert!(inside.got().is_empty());

    // A redirect to where it may go is followed with the same bytes, and without what is for the first one alone.
    let other = Receiver::start();
    receiver.next(vec![Act::Redirect(308, other.url("/b"))]);
    fall(&server, 3);
    let got = other.wait(1).await.remove(0);
    assert_eq!((got.method.as_str(), got.path.as_str(), got.header("authorization")), ("POST", "/b", ""));
    assert_eq!(got.all("x-signature"), [hmac("correct horse", &got.body)]);
    outputs.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    certificates::make(dir.path());
    let receiver = Receiver::start_tls(dir.path());
    let hook = |host: &str| json!({ "id": "a", "url": format!("https://{host}:{}/a", receiver.port()), "events": ["*"] });

    // The authorities of the system know nothing of this one; it is no authority for another name.
    for (ca_file, host) in [(PathBuf::new(), "localhost"), (dir.path().join("ca.pem"), "127.0.0.1")] {
        let server = Server::start().await;
        let outputs = start(&server, WebhooksConfig { ca_file, ..config() }).await;
        register(&server, hook(host)).await;
        fall(&server, 1);
        let reason = dead(&server, "a").await;
        assert!(reason.contains("certificate"), "{reason}");
        outputs.close().await;
    }
    assert!(receiver.got().is_empty());

    let server = Server::start().await;
    let outputs = start(&server, WebhooksConfig { ca_file: dir.path().join("ca.pem"), ..config() }).await;
    register(&server, hook("localhost")).await;
    let id = fall(&server, 2);
    assert_eq!(receiver.of(&id).await.path, "/a");
    // What was asked for over https does not go on without it.
    let plain = Receiver::start();
    receiver.next(vec![Act::Redirect(307, plain.url("/"))]);
    fall(&server, 3);
    let reason = dead(&server, "a").await;
    assert!(reason.contains("https to http"), "{reason}");
    assert!(plain.got().is_empty());
    outputs.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_on_while_postgresql_is_away() {
    let Some(mut postgres) = Postgres::start() else { return };
    let receiver = Receiver::start();
    let database = Some(postgres.database("webhooks"));
    let server = Server::with(Options { database, ..Options::default() }).await;
    let outputs = start(&server, config()).await;
    register(&server, json!({ "id": "a", "url": receiver.url("/a"), "events": ["*"] })).await;
    let first = fall(&server, 1);
    receiver.of(&first).await;

    postgres.crash();
    let second = fall(&server, 2);
    receiver.of(&second).await;
    let answer = server.get("/api/v1/webhooks/a").await;
    assert_eq!(answer.status, 503, "{}", answer.text());

    postgres.resume();
    let end = Instant::now() + PATIENCE;
    while server.get("/api/v1/webhooks/a").await.status != 200 {
        assert!(Instant::now() < end, "the database is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    register(&server, json!({ "id": "b", "url": receiver.url("/b"), "events": ["*"] })).await;
    let third = fall(&server, 3);
    let got = receiver.until(|got| ids(got).iter().filter(|id| **id == third).count() == 2).await;
    let at = |path: &str| ids(&got.iter().filter(|g| g.path == path).cloned().collect::<Vec<_>>());
    // The system's own events are told as well.
    assert!(
        at("/a").iter().filter(|id| [&first, &second, &third].contains(id)).eq([&first, &second, &third])
    );
    assert!(at("/b").contains(&third) && !at("/b").contains(&second));
    outputs.close().await;
}

/// Why the first delivery to this endpoint was given up.
async fn dead(server: &Server, id: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let letters = server.get(&format!("/api/v1/webhooks/{id}/dead-letters")).await.json();
        if let Some(letter) = letters["dead_letters"].get(0) {
            return letter["reason"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < end, "{letters}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_may_be_one_delivery() {
    let receiver = Receiver::start();
    let server = Server::start().await;
    let outputs = start(&server, config()).await;
    let batch = json!({ "max_events": 10, "max_wait_ms": 50 });
    register(
        &server,
        json!({ "url": receiver.url("/"), "events": ["*"], "secret": "correct horse", "batch": batch }),
    )
    .await;
    let sent: Vec<String> = (0..25).map(|i| fall(&server, i)).collect();
    let events = |got: &[Got]| -> Vec<String> {
        let bodies = got.iter().map(|g| serde_json::from_slice::<Value>(&g.body).unwrap());
        let all: Vec<Value> = bodies.flat_map(|b| b["data"]["events"].as_array().unwrap().clone()).collect();
        all.iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect()
    };
    let got = receiver.until(|got| events(got).len() >= 25).await;
    assert_eq!(events(&got), sent);
    assert!(got.len() < 25, "{} deliveries", got.len());
    assert_eq!(got[0].header("x-event-type"), "batch");
    assert_eq!(got[0].all("x-signature"), [hmac("correct horse", &got[0].body)]);
    outputs.close().await;
}

const CHILD: &str = "OUTPUTS_TEST_CHILD";

/// The process that is killed: publishes events and says which are on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_publishes() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (dir, url) = place.split_once('\n').unwrap();
    let server = Server::start().await;
    let config = OutputsConfig { webhooks: config(), ..OutputsConfig::default() };
    let _outputs = Outputs::start(&server.state, &config, std::path::Path::new(dir)).await.unwrap();
    register(&server, json!({ "id": "a", "url": url, "events": ["*"] })).await;
    let mut sent = 0;
    for i in 0.. {
        println!("published {}", fall(&server, i));
        let logged = server.state.outputs().webhooks.queued.load(Relaxed);
        if logged > sent {
            sent = logged;
            println!("on the disk {sent}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_that_was_queued() {
    let receiver = Receiver::start();
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_publishes", "--nocapture"])
        .env(CHILD, format!("{}\n{}", dir.path().display(), receiver.url("/")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Slow enough that the process dies with a queue.
    receiver.always(Act::Slow(Duration::from_millis(50)));
    let (mut published, mut queued) = (Vec::new(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(id) = line.strip_prefix("published ") {
            published.push(id.to_owned());
        } else if let Some(n) = line.strip_prefix("on the disk ") {
            queued = n.parse().unwrap();
            if queued >= 200 && receiver.got().len() >= 20 {
                break;
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = receiver.got().len();
    assert!(before < queued);
    receiver.always(Act::Answer(200, ""));

    // Registrations are in the store's database, which died with the child's temporary directory: they are made again.
    let server = Server::start().await;
    let config = OutputsConfig { webhooks: config(), ..OutputsConfig::default() };
    let body = json!({ "url": receiver.url("/"), "events": ["*"] });
    server.store.create(invispose_api::store::Kind::Webhook, "", "a", &body).await.unwrap();
    let outputs = Outputs::start(&server.state, &config, dir.path()).await.unwrap();
    let got = receiver.until(|got| ids(got).contains(&published[queued - 1])).await;
    let mut order = ids(&got);
    let again = order.len();
    order.dedup();
    // What was delivered last before the kill comes once more, from the first that was not known to be delivered.
    let mut firsts: Vec<String> = Vec::new();
    for id in order {
        if !firsts.contains(&id) {
            firsts.push(id);
        }
    }
    let again = again - firsts.len();
    assert_eq!(firsts, published[..firsts.len()]);
    println!("{before} delivered before the kill, {again} delivered again, none lost of {queued}");
    outputs.close().await;
}
