//! The program as a service: demonstration, replay, live packets, crash and restart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../api/tests/common/mosquitto.rs"]
mod mosquitto;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use invispose_pipeline::capture::{self, adr018};
use invispose_pipeline::{CsiFrame, LinkId};
use serde_json::Value;
use support::{PATIENCE, Server, finished, output, shared, signal};

#[test]
fn the_demonstration_shows_what_it_simulates() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["demo"], dir.path());
    assert!(server.line("first pose frame reached a subscriber").contains(" s after start"));

    let frame = server.current(|f| f["metadata"]["presence"]["present"] == true);
    assert_eq!(frame["metadata"]["source"], "simulated");
    for person in frame["persons"].as_array().unwrap() {
        assert_eq!(person["keypoints"].as_array().unwrap().len(), 17);
    }
    let answer =
        server.graphql("{ currentFrame { id provenance { source } presence { present } } sites { id } }");
    assert!(answer["errors"].is_null(), "{answer}");
    assert_eq!(answer["data"]["currentFrame"]["provenance"]["source"], "SIMULATED");
    assert_eq!(answer["data"]["sites"][0]["id"], "demo");

    let (status, health) = server.get("/api/v1/system/health");
    assert_eq!((status, &health["status"]), (200, &Value::from("healthy")));

    // A zone that is set up while it runs takes part at once, and so does its end.
    let corners = [[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]];
    let zone = serde_json::json!({ "id": "room", "polygon_m": corners });
    let address = format!("{}/api/v1/config/zones", server.base);
    ureq::post(&address).send_json(&zone).unwrap();
    let told = |kind: &str| {
        let query =
            format!("{{ events(kind: \"{kind}\", zoneId: \"room\") {{ edges {{ node {{ personId }} }} }} }}");
        let end = Instant::now() + PATIENCE;
        while server.graphql(&query)["data"]["events"]["edges"].as_array().unwrap().is_empty() {
            assert!(Instant::now() < end, "no {kind}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    told("person.entered_zone");
    ureq::delete(format!("{address}/room")).header("if-match", "\"1\"").call().unwrap();
    told("person.left_zone");

    // Another process reads the same frames.
    let tail = output(&["ring", "data/demo.ring", "--json", "--last", "3"], dir.path());
    let ids: Vec<u64> = tail
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["frame_id"].as_u64().unwrap())
        .collect();
    assert!(ids.len() >= 3 && ids.windows(2).all(|w| w[1] == w[0] + 1), "{ids:?}");

    let (status, took) = server.terminate();
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
}

#[test]
fn the_demonstration_reaches_a_broker() {
    let Some(broker) = mosquitto::Mosquitto::start("") else { return };
    let heard = broker.listen(&[]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("invispose.toml"), format!("[mqtt]\nurl = {:?}\n", broker.url())).unwrap();
    let server = Server::start(&["demo"], dir.path());
    let current = heard.on("pose/current");
    assert_eq!((current.qos, current.retain), (0, true));
    assert_eq!(current.json()["metadata"]["source"], "simulated");
    assert!(heard.on("system/alerts/system").json()["event_id"].is_string());
    let (status, took) = server.terminate();
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    heard.find(|h| h.topic == "system/status" && h.json()["status"] == "offline");
}

#[test]
fn recordings_are_made_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["demo"], dir.path());
    server.line("first pose frame reached a subscriber");
    let address = |rest: &str| format!("{}/api/v1/recordings{rest}", server.base);
    let asked = |body: Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(address("")).send_json(&body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    let (status, begun) = asked(serde_json::json!({ "id": "evening", "note": "one person" }));
    assert_eq!((status, &begun["status"], &begun["source"]), (201, &"recording".into(), &"simulated".into()));
    for (body, wanted) in [
        (serde_json::json!({}), 409),
        (serde_json::json!({ "id": "../../evening" }), 422),
        (serde_json::json!({ "seconds": 0 }), 422),
        (serde_json::json!({ "csi": false, "poses": false }), 422),
        (serde_json::json!({ "site_id": "attic" }), 404),
    ] {
        let (status, answer) = asked(body);
        assert_eq!(status, wanted, "{answer}");
    }
    assert_eq!(server.get("/api/v1/recordings/evening/data").0, 409);
    let end = Instant::now() + PATIENCE;
    while server.get("/api/v1/recordings/evening").1["frames"].as_u64().unwrap() < 20 {
        assert!(Instant::now() < end, "frames reach the disk");
        std::thread::sleep(Duration::from_millis(50));
    }
    let stopped = server.graphql(
        "mutation { stopRecording(id: \"evening\") { id status siteId note frames bytes startTime endTime problem } }",
    );
    let stopped = &stopped["data"]["stopRecording"];
    assert_eq!((&stopped["status"], &stopped["siteId"]), (&"COMPLETE".into(), &"demo".into()), "{stopped}");
    assert!(stopped["problem"].is_null() && stopped["startTime"].is_string());

    // What is fetched is what was recorded, and plays again.
    let mut fetched = ureq::get(&address("/evening/data")).call().unwrap();
    let bytes = fetched.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    assert_eq!(bytes.len() as u64, stopped["bytes"].as_u64().unwrap());
    std::fs::write(dir.path().join("fetched.ivr"), bytes).unwrap();
    let held = output(&["inspect", "fetched.ivr", "--json"], dir.path());
    let held: Value = serde_json::from_str(&held).unwrap();
    assert!(held["frames"].as_u64().unwrap() > 0, "{held}");
    let part = ureq::get(&address("/evening/data")).header("range", "bytes=0-7").call().unwrap();
    assert_eq!(part.status(), 206);

    let listed = server.get("/api/v1/recordings").1;
    assert_eq!(listed["recordings"].as_array().unwrap().len(), 1);
    let gone = server.graphql("mutation { deleteRecording(id: \"evening\") }");
    assert_eq!(gone["data"]["deleteRecording"], "evening");
    assert_eq!(server.get("/api/v1/recordings/evening").0, 404);
    let none = server.graphql("{ recordings { id } recording(id: \"evening\") { id } }");
    assert_eq!(none["data"], serde_json::json!({ "recordings": [], "recording": null }));
    let again = server.graphql("mutation { stopRecording(id: \"evening\") { id } }");
    assert_eq!(again["errors"][0]["extensions"]["code"], "NOT_FOUND");
    // One that is open when the process ends is closed by it.
    assert_eq!(asked(serde_json::json!({ "id": "night" })).0, 201);
    let (status, _) = server.terminate();
    assert!(status.success());
    let night = std::fs::read_dir(dir.path().join("data/recordings")).unwrap().next().unwrap().unwrap();
    assert!(invispose_pipeline::recording::Reader::open(night.path()).unwrap().closed());
}

#[test]
fn an_empty_room_shows_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["run", "--source", "sim:empty?speed=20&seconds=240"], dir.path());
    // The site is quiet from the start, so the baseline is learned and every frame says nobody.
    let last =
        server.current(|f| f["frame_id"].as_u64().unwrap() > 3000 && f["metadata"]["presence"].is_object());
    assert!(last["persons"].as_array().unwrap().is_empty());
    let frames = output(&["ring", "data/demo.ring", "--json", "--last", "4000"], dir.path());
    let mut judged = 0;
    for line in frames.lines() {
        let frame: Value = serde_json::from_str(line).unwrap();
        assert!(frame["persons"].as_array().unwrap().is_empty(), "{line}");
        if frame["presence"].is_object() {
            assert_eq!(frame["presence"]["present"], false, "{line}");
            judged += 1;
        }
    }
    assert!(judged > 2000, "{judged}");
}

#[test]
fn real_recordings_of_a_quiet_room_and_of_movement_are_told_apart() {
    let Some(folder) = shared("labelled/motion-espectre") else { return };
    let first = |label: &str| {
        let mut files: Vec<_> = std::fs::read_dir(folder.join(label))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.to_string_lossy().contains("_c6_"))
            .collect();
        files.sort();
        files.remove(0)
    };
    for (label, present) in [("baseline", false), ("movement", true)] {
        let dir = tempfile::tempdir().unwrap();
        let source = format!("file:{}?speed=4", first(label).display());
        let server = Server::start(&["run", "--source", &source], dir.path());
        let frame = server.current(|f| f["metadata"]["presence"]["present"] == present);
        assert_eq!(frame["metadata"]["source"], "replay");
        assert!(frame["metadata"]["model"].is_null(), "no evaluation has earned poses here");
        assert!(frame["persons"].as_array().unwrap().is_empty());
        if !present {
            let lines = output(&["ring", "data/default.ring", "--json", "--last", "4000"], dir.path());
            assert!(!lines.contains("\"present\":true"));
        }
    }
}

#[test]
fn live_packets_are_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(&["run", "--source", &format!("udp://{free}")], dir.path());
    // Nobody else writes where this one does.
    let other =
        ["run", "--source", "udp://127.0.0.1:0?site=b", "--data-dir", "data", "--listen", "127.0.0.1:0"];
    let refused = finished(&other, dir.path());
    let message = String::from_utf8(refused.stderr).unwrap();
    let holder = format!("data directory data: in use by process {};", server.pid());
    assert!(!refused.status.success() && message.contains(&holder), "{message}");

    // Before the first packet there is no frame, or one that says that nothing is known.
    let (status, frame) = server.get("/api/v1/pose/current");
    let unknown = frame["metadata"]["presence"].is_null() && frame["persons"] == serde_json::json!([]);
    assert!(status == 404 || status == 200 && unknown, "{status} {frame}");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut packet = vec![0x01, 0x00, 0x11, 0xC5, 7, 1, 64, 0];
    packet.extend(2437u32.to_le_bytes());
    packet.extend(1u32.to_le_bytes());
    packet.extend([(-40i8) as u8, (-95i8) as u8, 0, 0]);
    packet.extend((0..128).map(|i| i as u8));
    let end = Instant::now() + PATIENCE;
    let mut sent = 0u32;
    loop {
        for _ in 0..20 {
            sent += 1;
            packet[12..16].copy_from_slice(&sent.to_le_bytes());
            socket.send_to(&packet, free).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        socket.send_to(b"junk", free).unwrap();
        let (status, frame) = server.get("/api/v1/pose/current");
        let answer = server.graphql(
            "{ system { sources { received accepted dropped siblings rejected { reason count } } } }",
        );
        assert!(answer["errors"].is_null(), "{answer}");
        let source = &answer["data"]["system"]["sources"][0];
        let rejected = source["rejected"].as_array().unwrap();
        if status == 200
            && frame["metadata"]["source"] == "live"
            && source["accepted"].as_u64().unwrap() > 0
            && rejected.iter().any(|r| r["count"].as_u64().unwrap() > 0)
        {
            break;
        }
        assert!(Instant::now() < end, "no frame, or no account: {status} {frame} {source}");
    }
}

/// Sends simulated packets of one ESP32 node, a hundred a second, until it is dropped.
struct Node {
    quiet: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Node {
    /// With somebody in the room or nobody, whatever `captures` holds.
    fn start(captures: &[Vec<Vec<u8>>; 2], to: SocketAddr, quiet: bool) -> Self {
        let node = Self { quiet: Arc::new(quiet.into()), ended: Arc::default() };
        let (quiet, ended, captures) = (node.quiet.clone(), node.ended.clone(), captures.clone());
        std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for k in 0.. {
                let packets = &captures[usize::from(!quiet.load(Ordering::Relaxed))];
                // Nobody may listen yet, or any more.
                socket.send_to(&packets[k % packets.len()], to).ok();
                std::thread::sleep(Duration::from_millis(10));
                if ended.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_room_that_was_calibrated_is_known_after_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let captures = ["0", "1"].map(|people| {
        let args = ["simulate", "--out", "room.csv", "--format", "esp32-csv", "--seconds", "20"];
        output(&[&args[..], &["--seed", "12", "--people", people]].concat(), dir.path());
        let packet = |frame| {
            let frame = CsiFrame { link: LinkId::new("node-7"), ..frame };
            adr018::encode(&frame).unwrap()
        };
        capture::open(dir.path().join("room.csv")).unwrap().map(|frame| packet(frame.unwrap())).collect()
    });
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let calibrate = |quiet: bool, data: &str| {
        let address = free();
        let _node = Node::start(&captures, address, quiet);
        let source = format!("udp://{address}");
        let args = ["calibrate", "baseline", "--source", &source, "--seconds", "10", "--data-dir", data];
        finished(&[&args[..], &["--json"]].concat(), dir.path())
    };
    let (learned, refused) = std::thread::scope(|scope| {
        let moving = scope.spawn(|| calibrate(false, "moving"));
        (calibrate(true, "data"), moving.join().unwrap())
    });
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("not quiet"), "{why}");
    assert!(learned.status.success(), "{}", String::from_utf8_lossy(&learned.stderr));
    let learned: Value = serde_json::from_slice(&learned.stdout).unwrap();
    assert_eq!(learned["sites"][0]["links"][0]["link"], "node-7");
    let kept = std::fs::read(dir.path().join("data/default.baseline.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let second = (kept["links"][0]["time_ns"].as_i64().unwrap() % 60_000_000_000) as f64 / 1e9;

    let address = free();
    let node = Node::start(&captures, address, true);
    // What is learned while it runs would take this long to count.
    let patient = [("INVISPOSE_PRESENCE_HOLD_S", "3600")];
    let source = format!("udp://{address}");
    let server = Server::start_with(&["run", "--source", &source], dir.path(), &patient);
    let mut known = Value::Null;
    until("the baseline to hold", || {
        known = server.get("/api/v1/sites/default/calibration").1["known"][0].clone();
        known["holds"] == true
    });
    let learned_at = known["learned_at"].as_str().unwrap();
    assert!(learned_at.ends_with(&format!("{second:09.6}Z")), "{known}: learned anew, not at {second}");
    assert!(known["dropped"].is_null(), "{known}");
    let frame = server.current(|f| f["metadata"]["presence"].is_object());
    assert_eq!(frame["metadata"]["presence"]["present"], false);
    node.quiet.store(false, Ordering::Relaxed);
    server.current(|f| f["metadata"]["presence"]["present"] == true);
    let busy = calibrate(true, "data");
    assert!(String::from_utf8_lossy(&busy.stderr).contains("/calibration/baseline"));
}

#[test]
fn the_configuration_reaches_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"
        [api]
        allowed_hosts = ["pose.example"]
        [[site]]
        id = "zoo"
        room_m = [6, 5, 2.7]
        [[site]]
        id = "attic"
        room_m = [6, 5, 2.7]
        [[source]]
        uri = "udp://127.0.0.1:0"
        site = "attic"
    "#;
    std::fs::write(dir.path().join("invispose.toml"), text).unwrap();
    let server = Server::start(&["run"], dir.path());
    let answer = server.graphql("{ sites { id } }");
    assert_eq!(answer["data"]["sites"], serde_json::json!([{ "id": "zoo" }, { "id": "attic" }]));
    let (status, health) = server.get("/api/v1/system/health");
    assert_eq!(status, 200, "{health}");
    assert_eq!(health["components"]["site zoo"]["detail"], "no source is configured for this site");
    for (host, status) in [("pose.example", "200"), ("other.example", "421")] {
        let mut stream = TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
        write!(stream, "GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    assert!(server.terminate().0.success());
}

#[test]
fn a_service_goes_on_when_nobody_reads_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = support::invispose()
        .args(["run", "--source", "udp://127.0.0.1:0", "--listen", &address.to_string()])
        .current_dir(dir.path())
        .stdout(closed.try_clone().unwrap())
        .stderr(closed)
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let url = format!("http://{address}/api/v1/pose/current");
        // Frames come without packets too, and say that there are none.
        if ureq::get(url).call().is_ok_and(|answer| answer.status() == 200) {
            break;
        }
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(child.id(), "TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_recording_tells_at_once_of_a_source_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let iq = "01".repeat(128);
    let line = |time: &str| format!("{{{time}\"node_id\":1,\"iq_hex\":\"{iq}\",\"subcarriers\":64}}\n");
    let lines = line("\"timestamp\":1700000000.0,") + &line("");
    std::fs::write(dir.path().join("half.jsonl"), lines).unwrap();
    let mut child = support::invispose()
        .args(["record", "--source", "file:half.jsonl", "--source", "udp://127.0.0.1:0", "--out", "a.ivr"])
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    // It comes while the other source still runs.
    let line = said.find_map(|line| line.ok().filter(|l| l.contains("half.jsonl"))).unwrap();
    assert!(line.contains("no times"), "{line}");
    assert!(child.try_wait().unwrap().is_none());
    signal(child.id(), "TERM");
    assert!(!child.wait().unwrap().success());
    let kept = output(&["inspect", "a.ivr", "--json"], dir.path());
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["frames"], 1);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["demo", "--record", "demo.ivr"], dir.path());
    server.current(|f| f["frame_id"].as_u64().unwrap() > 40);
    let before = server.get("/api/v1/pose/current").1["frame_id"].as_u64().unwrap();
    server.kill();

    let summary: Value =
        serde_json::from_str(&output(&["inspect", "demo.ivr", "--json"], dir.path())).unwrap();
    assert!(summary["frames"].as_u64().unwrap() > 0);
    assert!(summary["rejected"].as_object().unwrap().is_empty(), "{summary}");
    let kept = output(&["ring", "data/demo.ring", "--json", "--last", "1"], dir.path());
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert!(kept["frame_id"].as_u64().unwrap() >= before);

    // The ring is picked up: ids go on.
    let again = Server::start(&["demo"], dir.path());
    let frame = again.current(|f| f["metadata"]["stale"] == false);
    assert!(frame["frame_id"].as_u64().unwrap() > kept["frame_id"].as_u64().unwrap());

    // And what was recorded plays.
    let replay = Server::start(&["replay", "../demo.ivr", "--speed", "max"], &{
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        other
    });
    let frame = replay.current(|_| true);
    assert_eq!(frame["metadata"]["source"], "simulated", "a recording of a simulation stays one");
}

#[test]
fn history_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    // The ring takes the burst with which a simulation begins, and overwrites it later: then the database alone has it.
    let settings = "[ring]\nslots = 256\n[database]\nwrite_every_s = 1\n";
    std::fs::write(dir.path().join("invispose.toml"), settings).unwrap();
    let server = Server::start(&["demo"], dir.path());
    let frame = server.current(|f| f["frame_id"].as_u64().unwrap() > 200);
    let before = frame["frame_id"].as_u64().unwrap();
    server.kill();

    let again = Server::start(&["demo"], dir.path());
    again.current(|f| f["metadata"]["stale"] == false && f["frame_id"].as_u64().unwrap() > before + 120);
    let all = "/api/v1/pose/history?start_time=2000-01-01T00:00:00Z&end_time=2100-01-01T00:00:00Z&limit=1000";
    let (status, frames) = again.get(all);
    assert_eq!(status, 200, "{frames}");
    let ids: Vec<u64> = frames.as_array().unwrap().iter().map(|f| f["frame_id"].as_u64().unwrap()).collect();
    assert!(ids.len() as u64 > before + 120);
    assert!(ids.iter().zip(1..).all(|(id, n)| *id == n), "{ids:?}");
}

#[test]
fn a_recording_ends_cleanly_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["record", "--source", "sim:demo?speed=max&seconds=4", "--out", "a.ivr"];
    output(&args, dir.path());
    let frames = |file| -> u64 {
        let summary: Value = serde_json::from_str(&output(&["inspect", file, "--json"], dir.path())).unwrap();
        summary["frames"].as_u64().unwrap()
    };
    let once = frames("a.ivr");
    output(&args, dir.path());
    assert_eq!(frames("a.ivr"), 2 * once);

    let mut child = support::invispose()
        .args(["record", "--source", "sim:demo", "--out", "b.ivr"])
        .current_dir(dir.path())
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    while std::fs::metadata(dir.path().join("b.ivr")).map_or(0, |m| m.len()) < 100_000 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), "INT");
    assert!(child.wait().unwrap().success());
    assert!(frames("b.ivr") > 0);
    assert!(finished(&["inspect", "c.ivr"], dir.path()).stdout.is_empty());
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_configuration_is_read_again_and_the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let manager = std::os::unix::net::UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = |wanted: &str| {
        let mut bytes = [0; 4096];
        loop {
            let n = manager.recv(&mut bytes).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            if String::from_utf8_lossy(&bytes[..n]).lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let zone = |id: &str| format!("[[site.zones]]\nid = {id:?}\npolygon_m = [[0, 0], [1, 0], [0, 1]]\n");
    let config = |host: &str, zone: &str, rest: &str| {
        format!(
            "{rest}\n[api]\nallowed_hosts = [{host:?}]\n[[site]]\nid = \"lab\"\nroom_m = [6, 5, 2.7]\n{zone}\n[[source]]\nuri = \"udp://127.0.0.1:0\"\n"
        )
    };
    let file = dir.path().join("invispose.toml");
    std::fs::write(&file, config("one.example", &zone("old"), "")).unwrap();
    let socket = dir.path().join("notify").display().to_string();
    let server =
        Server::start_with(&["run"], dir.path(), &[("NOTIFY_SOCKET", &socket), ("WATCHDOG_USEC", "300000")]);
    told("READY=1");
    told("WATCHDOG=1");
    let zones = || -> Vec<String> {
        let answer = server.graphql("{ sites { zones { id } } }");
        let zones = answer["data"]["sites"][0]["zones"].as_array().unwrap();
        zones.iter().map(|zone| zone["id"].as_str().unwrap().to_owned()).collect()
    };
    let known = |host: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.get(format!("{}/livez", server.base)).header("host", host).call().unwrap().status() == 200
    };
    assert_eq!((zones(), known("one.example"), known("two.example")), (vec!["old".to_owned()], true, false));

    std::fs::write(&file, config("two.example", &zone("new"), "")).unwrap();
    signal(server.pid(), "HUP");
    told("RELOADING=1");
    told("READY=1");
    assert_eq!((zones(), known("one.example"), known("two.example")), (vec!["new".to_owned()], false, true));

    for bad in [
        config("three.example", "", "listne = 3"),
        config("three.example", "", "[log]\nlevel = \"no=such=level\""),
    ] {
        std::fs::write(&file, bad).unwrap();
        signal(server.pid(), "HUP");
        told("RELOADING=1");
        told("READY=1");
        assert_eq!(
            (zones(), known("two.example"), known("three.example")),
            (vec!["new".to_owned()], true, false)
        );
    }
    let (status, _) = server.terminate();
    assert!(status.success());
    told("STOPPING=1");
}

#[test]
fn a_backup_of_a_running_server_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("invispose.toml"), "[ring]\nslots = 256\n[database]\nwrite_every_s = 1\n")
        .unwrap();
    let server = Server::start(&["demo"], dir.path());
    let newest = server.current(|f| f["frame_id"].as_u64().unwrap() > 200)["frame_id"].as_u64().unwrap();

    // Killed in the middle: there is the beginning of a backup, and nothing that looks like one.
    let args = ["backup", "--to", "copy", "--data-dir", "data"];
    let mut cut = support::invispose().args(args).current_dir(dir.path()).spawn().unwrap();
    until("the beginning of a backup", || {
        dir.path().join(".copy.partial").exists() || cut.try_wait().unwrap().is_some()
    });
    cut.kill().unwrap();
    cut.wait().unwrap();
    if dir.path().join("copy").exists() {
        // It was quicker.
        std::fs::rename(dir.path().join("copy"), dir.path().join(".copy.partial")).unwrap();
    }
    let said = output(&args, dir.path());
    assert!(said.contains("files"), "{said}");
    assert!(!dir.path().join(".copy.partial").exists());
    assert!(!finished(&args, dir.path()).status.success(), "it is there already");
    // The server has seen nothing of it.
    server.current(|f| f["frame_id"].as_u64().unwrap() > newest && f["metadata"]["stale"] == false);
    let refused = finished(&["restore", "copy", "--data-dir", "data"], dir.path());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by process"));
    server.kill();

    output(&["restore", "copy", "--data-dir", "other/data"], dir.path());
    let other = dir.path().join("other");
    std::fs::copy(dir.path().join("invispose.toml"), other.join("invispose.toml")).unwrap();
    let again = Server::start(&["demo"], &other);
    again.current(|f| f["metadata"]["stale"] == false);
    let all = "/api/v1/pose/history?start_time=2000-01-01T00:00:00Z&end_time=2100-01-01T00:00:00Z&limit=1000";
    until("the history up to the backup", || {
        let (_, frames) = again.get(all);
        let ids: Vec<u64> =
            frames.as_array().unwrap().iter().map(|f| f["frame_id"].as_u64().unwrap()).collect();
        assert!(ids.iter().zip(1..).all(|(id, n)| *id == n), "{ids:?}");
        ids.len() as u64 >= newest
    });
    drop(again);

    // A copy that was changed is not believed.
    let ids = dir.path().join("copy/person-ids");
    std::fs::write(&ids, "7\n").unwrap();
    let refused = finished(&["restore", "copy", "--data-dir", "third"], dir.path());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("person-ids: is not what was backed up"));
    assert!(!dir.path().join("third").exists());
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "listen = \"{}\"\n[tls]\ncertificate_file = \"none.pem\"\nkey_file = \"none.key\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n\
         [[site]]\nid = \"lab\"\nroom_m = [1, 1, 1]\n[[source]]\nuri = \"file:missing.dat\"\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(dir.path().join("invispose.toml"), text).unwrap();
    let said = finished(&["doctor", "--json"], dir.path());
    assert!(!said.status.success());
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["healthy"], false);
    for (check, grade) in [
        ("listener", "error"),
        ("TLS", "error"),
        ("source", "error"),
        ("broker", "error"),
        ("data directory", "ok"),
        ("model", "ok"),
    ] {
        let finding = said["findings"].as_array().unwrap().iter().find(|f| f["check"] == check).unwrap();
        assert_eq!(finding["grade"], grade, "{finding}");
        assert_eq!(finding["fix"].is_string(), grade != "ok", "{finding}");
    }
    std::fs::write(dir.path().join("invispose.toml"), "listen = \"127.0.0.1:0\"\ndevice = \"cpu\"\n")
        .unwrap();
    let well = finished(&["doctor"], dir.path());
    assert!(well.status.success(), "{}", String::from_utf8_lossy(&well.stdout));
}

/// Takes what is posted, as a collector does, and gives the bodies.
fn collector() -> (String, std::sync::mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let sender = sender.clone();
            std::thread::spawn(move || {
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    if stream.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    assert_eq!(line.trim(), "POST /v1/traces HTTP/1.1");
                    while line.trim() != "" {
                        line.clear();
                        stream.read_line(&mut line).unwrap();
                        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).unwrap();
                    sender.send(serde_json::from_slice(&body).unwrap()).ok();
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                }
            });
        }
    });
    (url, bodies)
}

#[test]
fn a_trace_follows_a_frame_from_packet_to_subscriber() {
    let (url, bodies) = collector();
    let dir = tempfile::tempdir().unwrap();
    let settings = [("INVISPOSE_TELEMETRY_OTLP_ENDPOINT", url.as_str()), ("INVISPOSE_TELEMETRY_EVERY", "2")];
    let server = Server::start_with(&["demo"], dir.path(), &settings);
    let body = serde_json::json!({ "query": "subscription { poseFrames { id } }" });
    let events =
        ureq::post(format!("{}/graphql", server.base)).header("accept", "text/event-stream").send_json(&body);
    let events = events.unwrap().into_body().into_reader();
    std::thread::spawn(move || BufReader::new(events).lines().map_while(Result::ok).for_each(drop));

    let mut traces = std::collections::BTreeMap::<String, Vec<Value>>::new();
    let end = Instant::now() + PATIENCE;
    let whole = loop {
        let body = bodies.recv_timeout(end.saturating_duration_since(Instant::now())).expect("a trace");
        let sent = &body["resourceSpans"][0];
        assert_eq!(sent["resource"]["attributes"][0]["value"]["stringValue"], "invispose");
        for span in sent["scopeSpans"][0]["spans"].as_array().unwrap() {
            traces.entry(span["traceId"].as_str().unwrap().to_owned()).or_default().push(span.clone());
        }
        let named = |trace: &&Vec<Value>, name: &str| trace.iter().any(|span| span["name"] == name);
        if let Some(trace) = traces.values().find(|t| named(t, "frame") && named(t, "delivery")) {
            break trace.clone();
        }
    };
    let find = |name: &str| {
        whole.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name} in {whole:?}"))
    };
    let time = |span: &Value, key: &str| -> u64 { span[key].as_str().unwrap().parse().unwrap() };
    let root = find("frame");
    assert!(root["parentSpanId"].is_null());
    assert_eq!((root["traceId"].as_str().unwrap().len(), root["spanId"].as_str().unwrap().len()), (32, 16));
    let mut before = 0;
    for stage in ["assembly", "cleanup", "presence", "inference", "tracking", "ring"] {
        let span = find(stage);
        assert_eq!(span["parentSpanId"], root["spanId"]);
        let (begin, end) = (time(span, "startTimeUnixNano"), time(span, "endTimeUnixNano"));
        // Clocks of one host may be set back by a little between two readings.
        assert!(
            begin <= end && begin + 1_000_000 >= before,
            "{stage} begins before the stage ahead of it ended: {whole:?}"
        );
        before = end;
    }
    assert!(find("delivery")["parentSpanId"] == root["spanId"]);
    let ids: std::collections::BTreeSet<&str> =
        whole.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), whole.len());
    let metrics =
        ureq::get(format!("{}/metrics", server.base)).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains(r#"invispose_telemetry_spans_total{result="sent"}"#));
}
