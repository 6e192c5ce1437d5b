//! REST over a real ring, as the contract says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{EPOCH_NS, Options, STEP_NS, Server, now_ns, person};
use invispose_api::{ApiConfig, Time};
use invispose_pipeline::SourceKind;
use invispose_pipeline::health::{Part, SourceStats};
use invispose_pipeline::pose::KEYPOINT_NAMES;
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|f| f["frame_id"].as_u64().unwrap()).collect()
}

fn persons(frame: &Value) -> Vec<&str> {
    frame["persons"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect()
}

fn history(from_frame: i64, to_frame: i64, more: &str) -> String {
    let time = |n: i64| Time::from_ns(EPOCH_NS + STEP_NS * n);
    format!("/api/v1/pose/history?start_time={}&end_time={}{more}", time(from_frame), time(to_frame))
}

#[tokio::test]
async fn no_frame_is_no_data() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/pose/current").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["title"], "Not Found");
    assert!(problem["detail"].as_str().unwrap().contains("no pose data"), "{problem}");
    assert_eq!(server.get(&history(0, 100, "")).await.json(), json!([]));
}

#[tokio::test]
async fn the_current_frame_has_the_contracts_shape() {
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![person(7, 0.75, 1.25, Some(0))]);
    let answer = server.get("/api/v1/pose/current").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(answer.header("cache-control"), "no-cache");
    let frame = answer.json();
    assert_eq!(frame["timestamp"], "2026-01-02T03:04:05.050000Z");
    assert_eq!(frame["frame_id"], 1);
    assert_eq!(frame["processing_time_ms"], 1.5);
    let metadata = &frame["metadata"];
    assert_eq!(metadata["site_id"], "lab");
    assert_eq!(metadata["source"], "simulated");
    assert_eq!(metadata["model"], "test 0.0.1");
    assert_eq!(metadata["calibrated"], false);
    assert_eq!(metadata["experimental"], true);
    assert_eq!(metadata["presence"], json!({ "present": true, "motion_level": 2.5, "coverage": 1.0 }));
    assert_eq!(metadata["breathing"], json!({ "rate_bpm": 14.5, "quality": 0.75 }));
    assert_eq!(metadata["count"], json!({ "mean": 2.25, "low": 2, "high": 3, "basis": "tracks" }));
    assert_eq!(metadata["activity"], json!({ "name": "washing up", "probability": 0.75 }));
    assert_eq!(frame["persons"][0]["breathing"], json!({ "rate_bpm": 12.25, "quality": 0.5 }));
    assert_eq!(metadata["stale"], false);
    assert_eq!(metadata["latency_ms"], Value::Null, "only live frames carry this host's time");

    let person = &frame["persons"][0];
    assert_eq!(person["id"], "7");
    assert_eq!(person["confidence"], 0.75);
    assert_eq!(person["zone_id"], "west");
    assert_eq!(person["activity"], "walking");
    assert_eq!(person["position_m"], json!([1.25, 1.0, 0.75]));
    let keypoints = person["keypoints"].as_array().unwrap();
    assert_eq!(keypoints.len(), 17);
    for (i, keypoint) in keypoints.iter().enumerate() {
        let z = 1.75 - 0.1 * i as f64;
        assert_eq!(keypoint["id"], i);
        assert_eq!(keypoint["name"], KEYPOINT_NAMES[i]);
        assert_eq!(keypoint["x"], 0.25);
        assert!((keypoint["y"].as_f64().unwrap() - (1.0 - z / 2.5)).abs() < 1e-3, "{keypoint}");
        assert_eq!(keypoint["confidence"], 0.9);
    }
    let bounds = &person["bounding_box"];
    assert_eq!((&bounds["x"], &bounds["width"]), (&json!(0.25), &json!(0.0)));
    assert!((bounds["y"].as_f64().unwrap() - 0.3).abs() < 1e-3);
    assert!((bounds["height"].as_f64().unwrap() - 0.64).abs() < 1e-3);
}

#[tokio::test]
async fn filters_keep_persons_and_name_what_does_not_exist() {
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![
        person(1, 0.9, 1.0, Some(0)),
        person(2, 0.4, 1.0, Some(0)),
        person(3, 0.5, 4.0, Some(1)),
        person(4, 0.9, 9.0, None),
    ]);
    for (query, expected) in [
        ("", vec!["1", "3", "4"]),
        ("?min_confidence=0", vec!["1", "2", "3", "4"]),
        ("?min_confidence=0.6", vec!["1", "4"]),
        ("?zone_id=west", vec!["1"]),
        ("?zone_id=west&min_confidence=0.1", vec!["1", "2"]),
        ("?zone_id=east&unknown=1", vec!["3"]),
        ("?min_confidence=1", vec![]),
    ] {
        let frame = server.get(&format!("/api/v1/pose/current{query}")).await.json();
        assert_eq!(persons(&frame), expected, "{query}");
    }
    for (query, status, field) in [
        ("?zone_id=cellar", 404, "zone_id"),
        ("?site_id=nowhere", 404, "site_id"),
        ("?min_confidence=high", 400, "min_confidence"),
        ("?min_confidence=1.5", 400, "min_confidence"),
        ("?min_confidence=NaN", 400, "min_confidence"),
    ] {
        let answer = server.get(&format!("/api/v1/pose/current{query}")).await;
        assert_eq!(answer.status, status, "{query}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
    }
}

#[tokio::test]
async fn each_is_told_what_they_asked_for() {
    let mut server = Server::start().await;
    let zone = json!({ "id": "north", "polygon_m": [[0.0, 0.0], [5.0, 0.0], [5.0, 4.0]] });
    let made = server.send("POST", "/api/v1/config/zones", &[], zone).await;
    let north = server.state.sites()[0].floor().number("north").unwrap();
    server.feeds[0].publish_frame(|frame| {
        frame.persons = vec![person(1, 0.9, 1.0, Some(north)), person(2, 0.6, 2.0, None)];
        frame.provenance.model = Some("\",\"stale\":true,\"}".into());
    });
    let past = history(1, 10, "");
    for _ in 0..2 {
        let frame = server.get("/api/v1/pose/current").await.json();
        assert_eq!(persons(&frame), ["1", "2"]);
        assert_eq!(frame["persons"][0]["zone_id"], "north");
        assert_eq!(frame["metadata"]["model"], "\",\"stale\":true,\"}");
        assert_eq!(
            (&frame["metadata"]["stale"], &frame["metadata"]["latency_ms"]),
            (&json!(false), &Value::Null)
        );
        assert!(frame["metadata"]["age_ms"].as_f64().unwrap() >= 0.0);
        assert_eq!(persons(&server.get("/api/v1/pose/current?min_confidence=0.8").await.json()), ["1"]);
        assert_eq!(persons(&server.get("/api/v1/pose/current?zone_id=north").await.json()), ["1"]);
        let page = server.get(&past).await.json();
        assert_eq!((ids(&page), persons(&page[0])), (vec![1], vec!["1", "2"]));
    }
    // What a zone is called is looked up when somebody asks.
    let tag = made.header("etag").to_owned();
    let gone = server.send("DELETE", "/api/v1/config/zones/north", &[("if-match", &tag)], Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    assert_eq!(server.get("/api/v1/pose/current").await.json()["persons"][0]["zone_id"], Value::Null);
}

#[tokio::test]
async fn history_is_filtered_and_paged() {
    let mut server = Server::start().await;
    for n in 1..=20 {
        let persons = if n % 2 == 0 {
            vec![person(5, 0.3, 1.0, Some(0)), person(6, 0.9, 4.0, Some(1))]
        } else {
            vec![]
        };
        server.feeds[0].publish(persons);
    }
    // The end is not part of the range.
    assert_eq!(ids(&server.get(&history(3, 7, "")).await.json()), [3, 4, 5, 6]);
    assert_eq!(ids(&server.get(&history(-100, 100, "&limit=3&skip=2")).await.json()), [3, 4, 5]);
    assert_eq!(ids(&server.get(&history(-100, 100, "&skip=18")).await.json()), [19, 20]);
    assert_eq!(ids(&server.get(&history(30, 100, "")).await.json()), Vec::<u64>::new());
    let of_one = server.get(&history(-100, 100, "&person_id=6&limit=4&skip=1")).await.json();
    assert_eq!(ids(&of_one), [4, 6, 8, 10]);
    assert!(of_one.as_array().unwrap().iter().all(|f| persons(f) == ["6"]));
    assert_eq!(server.get(&history(-100, 100, "&person_id=nobody")).await.json(), json!([]));
    // History leaves nobody out unless asked to.
    assert_eq!(persons(&server.get(&history(2, 3, "")).await.json()[0]), ["5", "6"]);
    assert_eq!(persons(&server.get(&history(2, 3, "&min_confidence=0.5")).await.json()[0]), ["6"]);
    assert_eq!(persons(&server.get(&history(2, 3, "&zone_id=west")).await.json()[0]), ["5"]);

    for (path, field) in [
        ("/api/v1/pose/history".to_owned(), "start_time"),
        ("/api/v1/pose/history?start_time=2026-01-01T00:00:00Z".to_owned(), "end_time"),
        ("/api/v1/pose/history?start_time=yesterday&end_time=2026-01-01T00:00:00Z".to_owned(), "start_time"),
        (history(5, 4, ""), "end_time"),
        (history(0, 4, "&limit=1001"), "limit"),
        (history(0, 4, "&limit=0"), "limit"),
        (history(0, 4, "&limit=-1"), "limit"),
        (history(0, 4, "&limit=ten"), "limit"),
        (history(0, 4, "&skip=-1"), "skip"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["field"], field, "{path}");
    }
}

#[tokio::test]
async fn a_lapped_ring_gives_what_is_left() {
    let mut server = Server::with(Options { slots: 8, ..Options::default() }).await;
    for _ in 0..100 {
        server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
    }
    let left = ids(&server.get(&history(-100, 1000, "")).await.json());
    assert_eq!(left.last(), Some(&100));
    assert!((7..=8).contains(&left.len()), "{left:?}");
    assert!(left.windows(2).all(|w| w[1] == w[0] + 1), "{left:?}");
}

#[tokio::test]
async fn sites_are_apart() {
    let mut server = Server::with(Options { sites: vec!["north", "south"], ..Options::default() }).await;
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
    server.feeds[1].publish(vec![person(2, 0.9, 1.0, None)]);
    server.feeds[1].publish(vec![person(3, 0.9, 1.0, None)]);
    let current = async |query: &str| server.get(&format!("/api/v1/pose/current{query}")).await.json();
    assert_eq!(persons(&current("").await), ["1"], "the first site answers where none is named");
    assert_eq!(persons(&current("?site_id=north").await), ["1"]);
    let south = current("?site_id=south").await;
    assert_eq!((persons(&south), &south["metadata"]["site_id"]), (vec!["3"], &json!("south")));
    assert_eq!(ids(&server.get(&history(-10, 10, "&site_id=south")).await.json()), [1, 2]);
}

#[tokio::test]
async fn frames_of_an_earlier_run_are_old() {
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
    let mut second = Server::start().await;
    // The second server maps the first one's ring as a new process would.
    let reader = invispose_pipeline::ring::RingReader::open(server.dir.path().join("lab.ring")).unwrap();
    let (site, _wake) = common::place(common::site("lab"), reader);
    let state = invispose_api::ApiState::new(vec![site], second.health.clone(), ApiConfig::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    second.address = listener.local_addr().unwrap();
    tokio::spawn(invispose_api::serve(state, listener, std::future::pending()));
    let frame = second.get("/api/v1/pose/current").await.json();
    assert_eq!((&frame["metadata"]["stale"], &frame["metadata"]["age_ms"]), (&json!(true), &Value::Null));
    let status = second.get("/api/v1/system/status").await.json();
    assert_eq!(status["total_persons_tracked"], 0);
}

#[tokio::test]
async fn status_counts_and_leaves_out_what_is_not_measured() {
    let mut server = Server::start().await;
    let fresh = server.get("/api/v1/system/status").await.json();
    assert_eq!((&fresh["current_fps"], &fresh["average_latency_ms"]), (&Value::Null, &Value::Null));
    assert_eq!(fresh["active_routers"], 0);

    server.source.last_ns.set(now_ns() as u64);
    server.health.set_device("cpu: asked for");
    for _ in 0..3 {
        server.feeds[0].publish(vec![person(1, 0.9, 1.0, None), person(2, 0.9, 1.0, None)]);
    }
    let status = server.get("/api/v1/system/status").await.json();
    assert_eq!(status["status"], "healthy");
    assert_eq!(status["active_routers"], 1);
    assert_eq!(status["total_persons_tracked"], 2);
    assert_eq!(status["average_latency_ms"], 1.5);
    assert!(status["current_fps"].as_f64().unwrap() > 0.0);
    assert!(status["uptime_seconds"].as_f64().unwrap() > 0.0);
    assert!(status["memory_usage_mb"].as_f64().unwrap() > 1.0);
    assert_eq!(status["gpu_usage_percent"], Value::Null);
    assert_eq!(status["device"], "cpu: asked for");
}

#[tokio::test]
async fn health_looks_at_the_pipeline() {
    let config = ApiConfig { stale_after: Duration::from_millis(50), ..ApiConfig::default() };
    let mut server = Server::with(Options { config, ..Options::default() }).await;
    assert_eq!(server.get("/livez").await.status, 200);
    let starting = server.get("/readyz").await;
    assert_eq!(starting.status, 503);
    assert!(starting.json()["detail"].as_str().unwrap().contains("no frame yet"));
    assert_eq!(server.get("/health").await.status, 200, "starting is not ill");

    server.source.last_ns.set(1);
    server.feeds[0].publish(vec![]);
    // A running source and no new frame: the site is ill once the frame is stale.
    let ill = loop {
        let answer = server.get("/api/v1/system/health").await;
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(answer.json()["status"], "healthy");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(ill.status, 503);
    let problem = ill.json();
    assert!(problem["issues"][0].as_str().unwrap().contains("site lab: no new frame for"), "{problem}");
    assert_eq!(problem["components"]["site lab"]["status"], "unhealthy");
    assert_eq!(problem["components"]["source sim:test"]["status"], "healthy");
    assert_eq!(server.get("/livez").await.status, 200, "a new start would not help");

    server.health.set_fault("inference", Some("the adapter was lost".into()));
    let dead = server.get("/livez").await;
    assert_eq!(
        (dead.status.as_u16(), dead.json()["detail"].as_str().unwrap()),
        (503, "inference: the adapter was lost")
    );
    server.health.set_fault("inference", None);

    server.health.add_source(Arc::new(SourceStats::new("udp://test", SourceKind::Live)));
    let problem = server.get("/health").await.json();
    assert!(problem["detail"].as_str().unwrap().contains("source udp://test: does not run"), "{problem}");
}

#[tokio::test]
async fn a_replay_that_ended_is_not_ill() {
    let mut server = Server::start().await;
    server.health.add_source(Arc::new(SourceStats::new("file:walk.dat", SourceKind::Replay)));
    server.feeds[0].publish(vec![]);
    let health = server.get("/api/v1/system/health").await;
    assert_eq!(health.status, 200, "{}", health.text());
    assert_eq!(health.json()["components"]["source file:walk.dat"]["status"], "ended");
    assert_eq!(server.get("/readyz").await.text(), "ok\n");
}

#[tokio::test]
async fn a_site_is_judged_by_its_own_sources() {
    let config = ApiConfig { stale_after: Duration::from_millis(1), ..ApiConfig::default() };
    let sites = vec!["north", "south"];
    let mut server = Server::with(Options { sites, config, ..Options::default() }).await;
    server.source.running.set(0);
    let south = SourceStats::new("udp://south", SourceKind::Live).of_site("south".into());
    south.running.set(1);
    server.health.add_source(Arc::new(south));
    server.health.set_fault(Part::Site("ring", "south".into()), Some("too large".into()));
    server.feeds[0].publish(vec![]);
    server.feeds[1].publish(vec![]);
    let components = loop {
        let components = server.get("/health").await.json()["components"].take();
        if components["site north"]["status"] != "healthy" && components["site south"]["status"] != "healthy"
        {
            break components;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(components["site north"]["status"], "ended");
    assert_eq!(components["site south"]["status"], "unhealthy");
    assert_eq!(components["ring of site south"]["detail"], "too large");
    let metrics = server.get("/metrics").await;
    let line = r#"invispose_fault{component="ring",site="south"} 1"#;
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let mut server = Server::start().await;
    server.source.received.add(10);
    server.source.accepted.add(7);
    server.source.reject("truncated \"tail\"");
    server.health.stage("cleanup").taken.add(4);
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
    let answer = server.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        r#"invispose_source_received_total{source="sim:test",kind="simulated"} 10"#,
        r#"invispose_source_accepted_total{source="sim:test",kind="simulated"} 7"#,
        r#"invispose_source_rejected_total{source="sim:test",kind="simulated",reason="truncated \"tail\""} 1"#,
        r#"invispose_stage_taken_total{stage="cleanup"} 4"#,
        r#"invispose_frames_total{site="lab"} 1"#,
        r#"invispose_persons{site="lab"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| bare.strip_suffix(end));
        let typed = |name: &str| text.contains(&format!("# TYPE {name} "));
        assert!(typed(bare) || of_histogram.is_some_and(typed), "{line}");
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
    }
}

#[tokio::test]
async fn what_clients_do_is_counted_by_route() {
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![]);
    for path in ["/api/v1/pose/current", "/api/v1/pose/current?zone_id=nowhere", "/no/such/page", "/nor/this"]
    {
        server.get(path).await;
    }
    server.send("DELETE", "/livez", &[], Value::Null).await;
    server.graphql("{ sites { nothing } }", json!({})).await;
    let mut socket = server.socket().await;
    socket.subscribe("1", "subscription { poseFrames { id } }").await;
    assert_eq!(socket.receive().await["type"], "next");
    let text = server.get("/metrics").await.text().to_owned();
    for line in [
        r#"api_requests_total{method="GET",endpoint="/api/v1/pose/current",status="200"} 1"#,
        r#"api_requests_total{method="GET",endpoint="unmatched",status="404"} 2"#,
        r#"api_request_duration_seconds_count{method="GET",endpoint="unmatched"} 2"#,
        r#"api_request_duration_seconds_bucket{method="GET",endpoint="unmatched",le="+Inf"} 2"#,
        r#"api_errors_total{endpoint="unmatched",error_type="not_found"} 2"#,
        r#"api_errors_total{endpoint="/livez",error_type="method_not_allowed"} 1"#,
        r#"api_errors_total{endpoint="/graphql",error_type="graphql"} 1"#,
        r#"websocket_connections_active 1"#,
        r#"websocket_messages_total{direction="received",type="subscribe"} 1"#,
        r#"websocket_messages_total{direction="sent",type="connection_ack"} 1"#,
        r#"invispose_subscriptions{protocol="graphql"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    // Nothing is said of what is not there.
    for absent in
        ["invispose_mqtt_", "invispose_webhook_", "invispose_tls_", "invispose_device_info", "nowhere"]
    {
        assert!(!text.contains(absent), "{absent} in\n{text}");
    }
    drop(socket);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !server.get("/metrics").await.text().contains("websocket_connections_active 0") {
        assert!(std::time::Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn errors_of_the_server_itself_are_problems_too() {
    let server = Server::start().await;
    let missing = server.get("/nothing").await;
    assert_eq!((missing.status.as_u16(), missing.header("content-type")), (404, "application/problem+json"));
    let method = server.post("/api/v1/pose/current", &[], "").await;
    assert_eq!((method.status.as_u16(), method.header("content-type")), (405, "application/problem+json"));
    assert_eq!(method.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn foreign_names_and_pages_are_refused() {
    let server = Server::start().await;
    let rebound = server.get_with("/api/v1/system/status", &[("host", "evil.example")]).await;
    assert_eq!(rebound.status, 421);
    assert_eq!(rebound.json()["field"], "Host");
    assert_eq!(server.get_with("/livez", &[("host", "localhost:8080")]).await.status, 200);
    assert_eq!(server.get("/livez").await.header("x-content-type-options"), "nosniff");

    let protocol = Some("graphql-transport-ws");
    let own = format!("http://{}", server.address);
    assert!(server.raw_socket(protocol, Some(&own)).await.is_ok());
    for origin in ["http://evil.example", "null"] {
        let refused = server.raw_socket(protocol, Some(origin)).await;
        let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = refused else {
            panic!("{origin} was let in")
        };
        assert_eq!(answer.status(), 403);
    }
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere() {
    let server = Server::start().await;
    for path in ["/", "/graphiql", "/docs", "/redoc"] {
        let page = server.get(path).await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
        let html = page.text();
        assert!(!html.contains("://"), "{path} names another host");
        assert!(!html.contains("=\"/"), "{path} would not work behind a path prefix");
        for part in html.split(['"']).filter(|p| p.contains("assets/")) {
            let part = format!("/{}", part.trim_start_matches("./"));
            let asset = server.get(&part).await;
            assert_eq!(asset.status, 200, "{part}");
            assert_eq!(server.get_with(&part, &[("if-none-match", asset.header("etag"))]).await.status, 304);
        }
    }
    for path in ["/graphiql/assets/..%2Fpackage.json", "/assets/..%2Findex.html", "/assets/index.html"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn answers_are_compressed_on_request() {
    let mut server = Server::start().await;
    server.feeds[0].publish((0..10).map(|i| person(i, 0.9, 1.0, None)).collect());
    let plain = server.get("/api/v1/pose/current").await;
    let packed = server.get_with("/api/v1/pose/current", &[("accept-encoding", "gzip")]).await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), ("", "gzip"));
    assert!(packed.body.len() * 4 < plain.body.len());
    // Not where a page of another site asks, which learns from lengths.
    let host = server.address.to_string();
    let (own, other) = (format!("http://{host}/explore"), "https://evil.example/".to_owned());
    for (name, value, encoding) in [
        ("referer", own.as_str(), "gzip"),
        ("referer", other.as_str(), ""),
        ("sec-fetch-site", "cross-site", ""),
        ("sec-fetch-site", "same-origin", "gzip"),
    ] {
        let answer =
            server.get_with("/api/v1/pose/current", &[("accept-encoding", "gzip"), (name, value)]).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{name}: {value}");
    }
}
