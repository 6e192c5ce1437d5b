//! MQTT against a real mosquitto: topics, QoS and retain flags, a broker that dies, TLS, credentials, commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/mosquitto.rs"]
mod mosquitto;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Options, Server, person};
use invispose_api::access::{AccessConfig, RateLimits};
use invispose_api::outputs::mqtt::{COMPONENT, MqttConfig};
use invispose_api::outputs::{Outputs, OutputsConfig};
use invispose_api::{ApiConfig, Scope};
use invispose_pipeline::events::{Event, EventKind, Place, Severity};
use invispose_pipeline::health::Part;
use mosquitto::{Heard, Listener, Mosquitto, PATIENCE};
use serde_json::{Value, json};

fn config(broker: &Mosquitto) -> MqttConfig {
    MqttConfig { url: broker.url(), max_fps: 1000.0, ..MqttConfig::default() }
}

async fn start(server: &Server, mqtt: MqttConfig) -> Outputs {
    let config = OutputsConfig { mqtt, ..OutputsConfig::default() };
    Outputs::start(&server.state, &config, server.dir.path()).await.unwrap()
}

fn event(kind: EventKind, person: u64) -> Event {
    Event {
        person: Some(person),
        place: Some(Place { zone: Some("west".into()), position_m: Some([1.0, 2.0, 0.5]) }),
        confidence: Some(0.875),
        ..Event::new(kind, common::now_ns()).at(&"lab".into()).severe(Severity::High)
    }
}

async fn fault(server: &Server, wanted: impl Fn(Option<&str>) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let faults = server.health.faults();
        let fault = faults.get(&Part::from(COMPONENT)).map(String::as_str);
        if wanted(fault) {
            return;
        }
        assert!(Instant::now() < end, "{fault:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until it is answered: commands are heard once the subscription to them stands.
fn ping(broker: &Mosquitto, heard: &Listener) -> Heard {
    let end = Instant::now() + PATIENCE;
    loop {
        broker.publish("command/system/ping", "{}", &[]);
        let answer = heard.within(Duration::from_millis(500), |h| h.topic == "response/system/ping");
        if let Some(answer) = answer {
            return answer;
        }
        assert!(Instant::now() < end, "no answer");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_topic_has_its_qos_and_retain_flag() {
    for version in ["5", "3.1.1"] {
        let Some(broker) = Mosquitto::start("") else { return };
        let heard = broker.listen(&[]);
        let mut server = Server::start().await;
        let outputs = start(&server, MqttConfig { version: version.into(), ..config(&broker) }).await;
        let status = heard.on("system/status");
        assert_eq!((status.qos, status.retain), (1, true), "{version}");
        for member in ["timestamp", "status", "uptime_seconds", "performance", "routers"] {
            assert!(!status.json()[member].is_null(), "{member}: {status:?}");
        }

        let id = server.feeds[0].publish(vec![person(7, 0.9, 1.0, Some(0)), person(8, 0.8, 3.0, Some(1))]);
        let current = heard.on("pose/current");
        assert_eq!((current.qos, current.retain), (0, true));
        let frame = current.json();
        assert_eq!(frame["frame_id"], id);
        assert_eq!(frame["person_count"], 2);
        assert_eq!(frame["persons"][0]["id"], "7");
        assert_eq!(frame["persons"][0]["zone_id"], "west");
        assert_eq!(frame["persons"][0]["activity"], "walking");
        assert_eq!(frame["persons"][0]["keypoint_summary"], json!({ "detected": 17, "total": 17 }));
        assert_eq!(frame["metadata"]["source"], "simulated", "what is simulated says so");

        let update = heard.on("pose/person/7/update");
        assert_eq!((update.qos, update.retain), (1, false));
        let update = update.json();
        assert_eq!(update["person_id"], "7");
        assert_eq!(update["keypoints"].as_array().unwrap().len(), 17);
        assert_eq!(update["keypoints"][0]["name"], "nose");
        for member in ["timestamp", "bounding_box", "confidence", "zone_id", "activity"] {
            assert!(!update[member].is_null(), "{member}: {update}");
        }
        for (zone, inside) in [("west", "7"), ("east", "8")] {
            let occupancy = heard.on(&format!("pose/zone/{zone}/occupancy"));
            assert_eq!((occupancy.qos, occupancy.retain), (1, true));
            let occupancy = occupancy.json();
            assert_eq!(occupancy["zone_id"], zone);
            assert_eq!(occupancy["occupancy_count"], 1);
            assert_eq!(occupancy["person_ids"], json!([inside]));
        }
        // Whoever leaves is told too; the contract's own sample never says that a zone is empty.
        server.feeds[0].publish(vec![person(8, 0.8, 3.0, Some(1))]);
        assert_eq!(heard.on("pose/zone/west/occupancy").json()["occupancy_count"], 0);

        for (kind, category) in [
            (EventKind::FallDetected, "fall"),
            (EventKind::HighOccupancy, "alert"),
            (EventKind::RouterDisconnected, "router"),
        ] {
            let event = server.events.publish(event(kind, 7)).unwrap();
            let alert = heard.on(&format!("system/alerts/{category}"));
            assert_eq!((alert.qos, alert.retain), (2, false));
            let alert = alert.json();
            assert_eq!(alert["event_id"], event.id.to_string());
            assert_eq!(alert["severity"], "high");
        }

        let answer = ping(&broker, &heard);
        assert_eq!((answer.qos, answer.retain, &answer.json()["status"]), (1, false, &json!("success")));

        server.events.close();
        outputs.close().await;
        let last = heard.find(|h| h.topic == "system/status" && h.json()["status"] == "offline");
        assert!(last.retain);
        drop(heard);
        // Whoever comes later sees that nobody measures.
        let late = broker.listen(&[]);
        let frame = late.on("pose/current").json();
        assert_eq!((&frame["metadata"]["stale"], &frame["person_count"]), (&json!(true), &Value::Null));
    }
}

/// Ids in the order of their first arrival, and how many came again.
fn firsts(ids: impl Iterator<Item = String>) -> (Vec<String>, usize) {
    let (mut order, mut again) = (Vec::new(), 0);
    for id in ids {
        if order.contains(&id) {
            again += 1;
        } else {
            order.push(id);
        }
    }
    (order, again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing() {
    const EVENTS: usize = 150;
    // The witness says nothing to the broker, so that it reads all that a dying broker sent; what comes while it is away waits.
    const SETTINGS: &str = "persistence true\nqueue_qos0_messages true\nmax_queued_messages 0\n";
    const TOPICS: [(EventKind, &str); 2] =
        [(EventKind::FallDetected, "system/alerts/fall"), (EventKind::AlertOpened, "system/alerts/alert")];
    for version in ["5", "3.1.1"] {
        let Some(mut broker) = Mosquitto::start(SETTINGS) else {
            return;
        };
        let heard = broker.listen(&["-c", "-i", "witness", "-x", "3600", "-q", "0"]);
        let server = Server::start().await;
        let outputs = start(&server, MqttConfig { version: version.into(), ..config(&broker) }).await;
        heard.on("system/status");
        broker.save();

        let events = server.events.clone();
        let publishing = tokio::spawn(async move {
            let mut sent = [Vec::new(), Vec::new()];
            for i in 0..2 * EVENTS {
                let (kind, _) = TOPICS[i % 2];
                // Each about another person, so that the bus takes none for a repetition.
                sent[i % 2].push(events.publish(event(kind, i as u64)).unwrap().id.to_string());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            sent
        });
        let mut got: Vec<(String, String)> = Vec::new();
        for rounds in [20, 120] {
            while got.len() < rounds {
                let next = heard.find(|h| h.topic.starts_with("system/alerts/"));
                got.push((next.topic.clone(), next.json()["event_id"].as_str().unwrap().to_owned()));
            }
            broker.kill();
            tokio::time::sleep(Duration::from_millis(100)).await;
            broker.resume();
            // For a session that is away mosquitto confirms what it holds in memory alone, and a kill costs it that: no publisher can
            // help. So it is not killed again before it has nothing for the witness.
            heard.subscribed();
        }
        let sent = publishing.await.unwrap();
        while TOPICS
            .iter()
            .zip(&sent)
            .any(|((_, topic), ids)| !got.contains(&((*topic).to_owned(), ids[EVENTS - 1].clone())))
        {
            let next = heard.find(|h| h.topic.starts_with("system/alerts/"));
            got.push((next.topic.clone(), next.json()["event_id"].as_str().unwrap().to_owned()));
        }
        for ((_, topic), ids) in TOPICS.iter().zip(&sent) {
            let (order, again) = firsts(got.iter().filter(|(t, _)| t == topic).map(|(_, id)| id.clone()));
            assert_eq!(&order, ids, "MQTT {version}, {topic}");
            println!("MQTT {version}, {topic}: {} events, {again} came again", order.len());
        }
        drop(outputs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_survives_the_process() {
    let Some(mut broker) = Mosquitto::start("") else { return };
    let mut server = Server::start().await;
    broker.kill();
    let outputs = start(&server, config(&broker)).await;
    fault(&server, |f| f.is_some()).await;
    let first = server.events.publish(event(EventKind::FallDetected, 1)).unwrap();
    for i in 0..50 {
        server.feeds[0].publish(vec![person(7, 0.9, 1.0 + 0.001 * i as f32, Some(0))]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = server.events.publish(event(EventKind::FallDetected, 2)).unwrap();
    // The outputs write to the disk on their own time, events in their order: with more of these there than everything else comes to,
    // the two are there.
    for i in 0..300 {
        server.events.publish(event(EventKind::AlertOpened, i)).unwrap();
    }
    let end = Instant::now() + PATIENCE;
    while server.state.outputs().mqtt.kept.load(std::sync::atomic::Ordering::Relaxed) < 200 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As a crash does.
    drop(outputs);

    broker.resume();
    // mosquitto_sub 2.0.11 breaks off over hundreds of messages of quality 2 at once.
    let heard = broker.listen(&["-q", "1"]);
    let outputs = start(&server, config(&broker)).await;
    let mut alerts = Vec::new();
    let mut frames = Vec::new();
    while alerts.len() < 2 || frames.is_empty() {
        let next = heard.find(|h| h.topic == "system/alerts/fall" || h.topic == "pose/person/7/update");
        match next.topic.as_str() {
            "system/alerts/fall" => alerts.push(next.json()["event_id"].clone()),
            _ => frames.push(next.json()["timestamp"].as_str().unwrap().to_owned()),
        }
    }
    assert_eq!(alerts, [first.id.to_string(), second.id.to_string()]);
    assert!(frames.is_sorted());
    fault(&server, |f| f.is_none()).await;

    // A crash with the broker there: it says so itself.
    heard.find(|h| h.topic == "system/status" && h.json()["status"] != "offline");
    drop(outputs);
    let will = heard.find(|h| h.topic == "system/status" && h.json()["status"] == "offline");
    assert!(will.retain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_credentials_are_checked() {
    let broker = Mosquitto::start_with(|dir| {
        certificates::make(dir);
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c", "users", "pose", "right"])
            .current_dir(dir)
            .status();
        assert!(made.unwrap().success());
        let d = dir.display();
        format!(
            "allow_anonymous false\npassword_file {d}/users\ncertfile {d}/cert.pem\nkeyfile {d}/key.pem\n"
        )
    });
    let Some(broker) = broker else { return };
    let server = Server::start().await;
    let password = |text: &str| {
        let file = server.dir.path().join(format!("password-{text}"));
        std::fs::write(&file, format!("{text}\n")).unwrap();
        file
    };
    let base = MqttConfig {
        url: format!("mqtts://localhost:{}", broker.port),
        username: "pose".into(),
        password_file: password("right"),
        ca_file: broker.file("ca.pem"),
        ..MqttConfig::default()
    };
    let url = format!("mqtt://localhost:{}", broker.port);
    let name = |c: MqttConfig, host: &str| MqttConfig { url: c.url.replace("localhost", host), ..c };
    for (wrong, what) in [
        (MqttConfig { password_file: password("wrong"), ..base.clone() }, "password"),
        (MqttConfig { username: String::new(), ..base.clone() }, "no user"),
        (name(base.clone(), "127.0.0.1"), "a certificate of another name"),
        (MqttConfig { url, ..base.clone() }, "no TLS"),
    ] {
        let outputs = start(&server, wrong).await;
        fault(&server, |f| f.is_some_and(|f| !f.contains("right") && !f.contains("wrong"))).await;
        drop(outputs);
        server.health.set_fault(COMPONENT, None);
        println!("refused: {what}");
    }
    let before = server.state.outputs().mqtt.connections.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, 0);
    for version in ["5", "3.1.1"] {
        let connections = &server.state.outputs().mqtt.connections;
        let before = connections.load(std::sync::atomic::Ordering::Relaxed);
        let outputs = start(&server, MqttConfig { version: version.into(), ..base.clone() }).await;
        let end = Instant::now() + PATIENCE;
        while connections.load(std::sync::atomic::Ordering::Relaxed) == before {
            assert!(Instant::now() < end, "{:?}", server.health.faults());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        outputs.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_checked_done_once_and_answered() {
    for version in ["5", "3.1.1"] {
        let Some(broker) = Mosquitto::start("") else { return };
        let server = Server::start().await;
        let mqtt = MqttConfig { version: version.into(), prefix: "home/{site}".into(), ..config(&broker) };
        let outputs = start(&server, mqtt.clone()).await;
        let heard = broker.listen(&["-t", "home/#"]);
        // The subscription stands once a command is answered.
        let end = Instant::now() + PATIENCE;
        while server.state.outputs().mqtt.commands.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            assert!(Instant::now() < end);
            broker.publish("home/command/system/ping", "{}", &[]);
        }
        heard.on("home/response/system/ping");
        let response = |h: &mosquitto::Heard| h.topic.contains("/response/") && !h.topic.ends_with("/ping");

        let zone = "home/lab/command/zone/desk/configure";
        let answer = "home/lab/response/zone/desk/configure";
        let corners = json!({ "name": "Desk", "polygon_m": [[0, 0], [1, 0], [1, 1]] });
        let first = json!({ "command_id": "a", "configuration": corners }).to_string();
        broker.publish(zone, &first, &[]);
        let done = heard.on(answer);
        assert_eq!(done.qos, 1);
        let done = done.json();
        assert_eq!(
            (&done["status"], &done["zone_id"], &done["version"]),
            (&json!("success"), &json!("desk"), &json!(1))
        );
        // The same command again is answered and not done; what it says by then makes no difference.
        let other = json!({ "command_id": "a", "configuration": { "name": "Other", "polygon_m": [[0, 0], [1, 0], [1, 1]] } });
        broker.publish(zone, &other.to_string(), &[]);
        assert_eq!(heard.on(answer).json(), done);
        let kept = server.get("/api/v1/config/zones/desk").await.json();
        assert_eq!((&kept["name"], &kept["version"]), (&json!("Desk"), &json!(1)));

        let deep = format!("{{\"configuration\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        for (payload, blamed) in [
            ("{".to_owned(), Value::Null),
            ("\u{0}\u{1}\u{fffd}".to_owned(), Value::Null),
            (deep, json!("configuration")),
            ("[]".to_owned(), Value::Null),
            (json!({ "configuration": [] }).to_string(), json!("configuration")),
            (
                json!({ "configuration": { "polygon_m": [[0, 0]] } }).to_string(),
                json!("configuration.polygon_m"),
            ),
            (json!({ "configuration": { "polygon_m": "x" } }).to_string(), json!("configuration.polygon_m")),
            (
                json!({ "configuration": { "id": "other", "polygon_m": [[0, 0], [1, 0], [1, 1]] } })
                    .to_string(),
                json!("configuration.id"),
            ),
            (json!({ "configuration": corners, "shell": "rm" }).to_string(), json!("shell")),
        ] {
            broker.publish(zone, &payload, &[]);
            let refused = heard.on(answer).json();
            assert_eq!(refused["status"], "error", "{payload:.80}");
            assert_eq!(refused["error"]["field"], blamed, "{payload:.80}: {refused}");
        }
        // Topics that name nothing, retained commands, and messages of a quarter of a megabyte are not answered.
        broker.publish("home/lab/command/zone/..%2f/configure", &first, &[]);
        broker.publish("home/attic/command/zone/desk/configure", &first, &[]);
        broker.publish("home/lab/command/zone/desk/configure/x", &first, &[]);
        broker.publish(zone, &format!("{{\"configuration\":\"{}\"}}", "x".repeat(300_000)), &[]);
        broker.publish("home/command/system/reboot", "{}", &[]);
        let next = heard.find(response);
        let next = match version {
            // Version 3 brokers pass on what is too large, and it is refused here.
            "3.1.1" => {
                assert_eq!((next.topic.as_str(), &next.json()["status"]), (answer, &json!("error")));
                heard.find(response)
            }
            _ => next,
        };
        assert_eq!(next.topic, "home/response/system/reboot");
        assert!(next.json()["error"]["detail"].as_str().unwrap().contains("known: ping, status"));
        broker.publish("home/command/system/status", "{}", &[]);
        assert!(heard.on("home/response/system/status").json()["result"]["uptime_seconds"].is_number());

        let range = json!({ "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-02T00:00:00Z" });
        broker.publish("home/command/analytics/report", &json!({ "request": range }).to_string(), &[]);
        let report = heard.on("home/response/analytics/report").json();
        let path = report["href"].as_str().unwrap_or_else(|| panic!("{report}"));
        assert_eq!(server.get(path).await.status, 200);
        outputs.close().await;

        // What was sent while nobody was there is heard, with the rights of now; what is retained is not.
        broker.publish(
            "home/command/analytics/report",
            &json!({ "command_id": "b", "request": range }).to_string(),
            &["-r"],
        );
        broker.publish(zone, &json!({ "command_id": "c", "configuration": corners }).to_string(), &[]);
        let outputs = start(&server, MqttConfig { command_scopes: vec![Scope::SystemRead], ..mqtt }).await;
        let denied = heard.on(answer).json();
        assert_eq!(denied["command_id"], "c");
        assert!(denied["error"]["detail"].as_str().unwrap().contains("zone:write"), "{denied}");
        outputs.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_counted_like_other_requests() {
    let Some(broker) = Mosquitto::start("") else { return };
    let limits = RateLimits { authenticated: 3, ..RateLimits::default() };
    let access = AccessConfig { limits, ..AccessConfig::default() };
    let options = Options { config: ApiConfig { access, ..ApiConfig::default() }, ..Options::default() };
    let server = Server::with(options).await;
    let heard = broker.listen(&[]);
    let outputs = start(&server, config(&broker)).await;
    let mut answers: Vec<Value> = (0..4).map(|_| ping(&broker, &heard).json()).collect();
    let refused = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer["status"] == "success"), "{answers:?}");
    assert!(refused["error"]["detail"].as_str().unwrap().starts_with("Rate limit exceeded"), "{refused}");
    outputs.close().await;
}
