//! GraphQL over HTTP and graphql-transport-ws, with real clients over a real ring.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{EPOCH_NS, Options, STEP_NS, Server, id, person};
use invispose_api::{ApiConfig, ModelCard, ModelEvaluation, Time};
use invispose_pipeline::events::{EVENTS_KEPT, Event, EventKind, Evidence, Place};
use serde_json::{Value, json};

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[test]
fn the_schema_is_the_checked_in_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let now = invispose_api::graphql::sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == now,
        "api/schema.graphql is not the schema: UPDATE_SCHEMA=1 cargo test -p invispose-api --test graphql"
    );
}

#[tokio::test]
async fn the_current_frame_with_everything() {
    let mut server = Server::start().await;
    let query = "{ currentFrame { id } }";
    assert_eq!(server.graphql(query, json!({})).await, json!({ "data": { "currentFrame": null } }));

    server.feeds[0].publish(vec![person(7, 0.75, 1.25, Some(0)), person(8, 0.3, 4.0, Some(1))]);
    let query = "query ($zone: ID, $least: Float! = 0.5) { currentFrame(zoneId: $zone, minConfidence: $least) {
        id site { id name roomM { z } zones { id name } } time processingTimeMs latencyMs ageMs stale
        provenance { source model calibrated experimental } presence { present motionLevel coverage } breathing { rateBpm quality } personCount
        count { mean low high basis } activity { name probability }
        persons { id confidence positionM { x y z } velocityMS { x } activity zone { id name } breathing { rateBpm quality }
            boundingBox { x y width height } keypoints { id name x y positionM { z } confidence } } } }";
    let answer = server.graphql(query, json!({})).await;
    let frame = &answer["data"]["currentFrame"];
    assert!(answer["errors"].is_null(), "{answer}");
    assert_eq!(frame["id"], "1");
    assert_eq!(frame["time"], "2026-01-02T03:04:05.050000Z");
    assert_eq!(frame["site"]["name"], "The lab");
    assert_eq!(frame["site"]["roomM"]["z"], 2.5);
    assert_eq!(frame["site"]["zones"][1], json!({ "id": "east", "name": "east" }));
    assert_eq!(
        frame["provenance"],
        json!({ "source": "SIMULATED", "model": "test 0.0.1", "calibrated": false, "experimental": true })
    );
    assert_eq!(frame["presence"], json!({ "present": true, "motionLevel": 2.5, "coverage": 1.0 }));
    assert_eq!(frame["breathing"], json!({ "rateBpm": 14.5, "quality": 0.75 }));
    assert_eq!(frame["count"], json!({ "mean": 2.25, "low": 2, "high": 3, "basis": "TRACKS" }));
    assert_eq!(frame["activity"], json!({ "name": "washing up", "probability": 0.75 }));
    assert_eq!(frame["persons"][0]["breathing"], json!({ "rateBpm": 12.25, "quality": 0.5 }));
    assert_eq!(
        (&frame["stale"], &frame["latencyMs"], &frame["personCount"]),
        (&json!(false), &Value::Null, &json!(1))
    );
    let person = &frame["persons"][0];
    assert_eq!(person["positionM"], json!({ "x": 1.25, "y": 1.0, "z": 0.75 }));
    assert_eq!(
        (&person["activity"], &person["zone"]),
        (&json!("WALKING"), &json!({ "id": "west", "name": "West half" }))
    );
    assert_eq!(person["keypoints"].as_array().unwrap().len(), 17);
    assert_eq!(person["keypoints"][0]["name"], "nose");

    let east = server.graphql(query, json!({ "zone": "east", "least": 0 })).await;
    assert_eq!(east["data"]["currentFrame"]["persons"][0]["id"], "8");
    let none = server.graphql(query, json!({ "zone": "cellar" })).await;
    assert_eq!(code(&none), "NOT_FOUND");
    assert_eq!(none["errors"][0]["extensions"]["argument"], "zoneId");
    assert_eq!(code(&server.graphql(query, json!({ "least": 2 })).await), "BAD_ARGUMENT");
}

#[tokio::test]
async fn frames_page_both_ways() {
    let mut server = Server::with(Options { slots: 512, ..Options::default() }).await;
    for n in 1..=150u64 {
        server.feeds[0].publish(if n % 10 == 0 { vec![person(n / 50, 0.9, 1.0, Some(0))] } else { vec![] });
    }
    let query = "query ($from: DateTime, $to: DateTime, $first: Int, $last: Int, $after: String, $before: String, $person: ID) {
        frames(from: $from, to: $to, first: $first, last: $last, after: $after, before: $before, personId: $person) {
            nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let page = async |variables: Value| {
        let answer = server.graphql(query, variables).await;
        assert!(answer["errors"].is_null(), "{answer}");
        let frames = answer["data"]["frames"].clone();
        let ids: Vec<u64> = frames["nodes"].as_array().unwrap().iter().map(id).collect();
        (ids, frames["pageInfo"].clone())
    };
    let time = |n: i64| Time::from_ns(EPOCH_NS + STEP_NS * n).to_string();

    let (ids, info) = page(json!({})).await;
    assert_eq!((ids.len(), ids[0], ids[99]), (100, 51, 150));
    assert_eq!((&info["hasPreviousPage"], &info["hasNextPage"]), (&json!(true), &json!(false)));

    // Forwards through a range, without a gap and without a frame twice.
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let (ids, info) =
            page(json!({ "from": time(31), "to": time(101), "first": 20, "after": after })).await;
        seen.extend(ids);
        after = info["endCursor"].clone();
        if info["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(seen, (31..=100).collect::<Vec<u64>>());

    // And backwards.
    let (mut seen, mut before) = (Vec::new(), Value::Null);
    loop {
        let (mut ids, info) =
            page(json!({ "from": time(31), "to": time(101), "last": 33, "before": before })).await;
        ids.extend(seen);
        seen = ids;
        before = info["startCursor"].clone();
        if info["hasPreviousPage"] == false {
            break;
        }
    }
    assert_eq!(seen, (31..=100).collect::<Vec<u64>>());

    assert_eq!(page(json!({ "person": "2" })).await.0, [100, 110, 120, 130, 140]);
    assert_eq!(page(json!({ "person": "2", "last": 2 })).await.0, [130, 140]);
    for wrong in [
        json!({ "first": 0 }),
        json!({ "first": 1, "last": 1 }),
        json!({ "after": "x" }),
        json!({ "last": 1001 }),
        json!({ "from": time(2), "to": time(1) }),
    ] {
        assert_eq!(code(&server.graphql(query, wrong.clone()).await), "BAD_ARGUMENT", "{wrong}");
    }
    for wrong in ["first: 9999999999", "from: \"0955-08-12T21:56:20Z\""] {
        let answer = server.graphql(&format!("{{ frames({wrong}) {{ nodes {{ id }} }} }}"), json!({})).await;
        assert_eq!(code(&answer), "BAD_ARGUMENT", "{answer}");
    }
}

#[tokio::test]
async fn sites_zones_and_the_system() {
    let mut server = Server::with(Options { sites: vec!["north", "south"], ..Options::default() }).await;
    server.source.received.add(5_000_000_000);
    server.source.accepted.add(4_999_999_999);
    server.source.reject("truncated");
    server.health.stage("cleanup").given.add(3);
    let query = "{ sites { id zones { id occupancy } } site(id: \"south\") { name } nowhere: site(id: \"x\") { id }
        zones(siteId: \"north\") { id name polygonM { x y } }
        system { status version currentFps gpuUsagePercent health { status issues components { name status } }
            sources { uri kind running received accepted dropped rejected { reason count } } stages { name given } } }";
    let data = server.graphql(query, json!({})).await["data"].clone();
    assert_eq!(data["sites"][0]["zones"][0]["occupancy"], Value::Null, "no frame, no number");
    assert_eq!(data["site"]["name"], "The south");
    assert_eq!(data["nowhere"], Value::Null);
    assert_eq!(data["zones"][0]["polygonM"][1], json!({ "x": 2.5, "y": 0.0 }));
    let source = &data["system"]["sources"][0];
    assert_eq!((&source["received"], &source["kind"]), (&json!(5_000_000_000u64), &json!("SIMULATED")));
    assert_eq!(source["rejected"], json!([{ "reason": "truncated", "count": 1 }]));
    assert_eq!(
        data["system"]["stages"],
        json!([{ "name": "cleanup", "given": 3 }, { "name": "store", "given": 0 }])
    );
    assert_eq!(data["system"]["gpuUsagePercent"], Value::Null);

    server.feeds[1].publish(vec![person(1, 0.9, 1.0, Some(0)), person(2, 0.2, 1.0, Some(0))]);
    let data = server
        .graphql("{ zones(siteId: \"south\") { occupancy all: occupancy(minConfidence: 0) } }", json!({}))
        .await;
    assert_eq!(data["data"]["zones"], json!([{ "occupancy": 1, "all": 2 }, { "occupancy": 0, "all": 0 }]));
}

#[tokio::test]
async fn http_is_to_the_letter() {
    let server = Server::start().await;
    let json_type = ("content-type", "application/json");
    let strict = ("accept", "application/graphql-response+json");
    let good = json!({ "query": "{ sites { id } }" }).to_string();
    let answer = server.post("/graphql", &[json_type, strict], good.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/graphql-response+json; charset=utf-8")
    );
    let answer = server.post("/graphql", &[json_type], good.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/json; charset=utf-8")
    );

    for body in [
        json!({ "query": "{" }),
        json!({ "query": "{ nothing }" }),
        json!({ "query": "query ($a: Int!) { frames(first: $a) { nodes { id } } }" }),
    ] {
        let lenient = server.post("/graphql", &[json_type], body.to_string()).await;
        let strict = server.post("/graphql", &[json_type, strict], body.to_string()).await;
        assert_eq!((lenient.status.as_u16(), strict.status.as_u16()), (200, 400), "{body}");
        assert!(strict.json().get("data").is_none(), "{}", strict.text());
        assert!(!strict.json()["errors"][0]["message"].as_str().unwrap().is_empty());
    }
    for body in ["", "nonsense", "[]", "{}", r#"{"query": 1}"#, r#"{"query": "{sites{id}}", "variables": 7}"#]
    {
        let answer = server.post("/graphql", &[json_type], body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert!(answer.json()["errors"].is_array());
    }
    assert_eq!(server.post("/graphql", &[("content-type", "text/plain")], good.clone()).await.status, 415);
    assert_eq!(server.post("/graphql", &[json_type, ("accept", "image/png")], good).await.status, 406);

    let get = server.get("/graphql?query=query%20Q(%24id%3AID!)%7Bsite(id%3A%24id)%7Bid%7D%7D&operationName=Q&variables=%7B%22id%22%3A%22lab%22%7D").await;
    assert_eq!(get.json(), json!({ "data": { "site": { "id": "lab" } } }));
    assert_eq!(server.get("/graphql").await.status, 400);
    let page = server.get_with("/graphql", &[("accept", "text/html")]).await;
    assert_eq!((page.status.as_u16(), page.header("location")), (303, "graphiql"));
    let over_http = server.graphql("subscription { poseFrames { id } }", json!({})).await;
    assert!(over_http["errors"].is_array() && over_http.get("data").is_none(), "{over_http}");
}

#[tokio::test]
async fn deep_wide_and_large_queries_are_refused() {
    let server = Server::start().await;
    // What GraphiQL and code generators send must pass.
    let of_type = "kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
    let introspection = format!(
        "{{ __schema {{ types {{ name fields {{ name args {{ name type {{ {of_type} }} }} }} }} }} }}"
    );
    let answer = server.graphql(&introspection, json!({})).await;
    assert!(answer["errors"].is_null(), "{}", answer["errors"]);

    let whole = "id persons { id keypoints { id name x y confidence positionM { x y z } } }";
    let affordable = format!("{{ frames(last: 200) {{ nodes {{ {whole} }} }} }}");
    assert!(server.graphql(&affordable, json!({})).await["errors"].is_null());
    let wide = format!("{{ frames(last: 1000) {{ nodes {{ {whole} }} }} }}");
    assert!(
        server.graphql(&wide, json!({})).await["errors"][0]["message"].as_str().unwrap().contains("complex")
    );
    let aliases: String =
        (0..40).map(|i| format!("a{i}: frames(last: 20) {{ nodes {{ {whole} }} }} ")).collect();
    assert!(server.graphql(&format!("{{ {aliases} }}"), json!({})).await["errors"].is_array());
    let deep = format!(
        "{{ __schema {{ types {{ {} }} }} }}",
        "fields { type { ".repeat(9) + "name" + &" } }".repeat(9)
    );
    assert!(server.graphql(&deep, json!({})).await["errors"].is_array());
    // A few lines that come to more than a hundred million fields, and texts that are not even parsed.
    let doubling: String =
        (0..27).map(|i| format!("fragment f{i} on Site {{ ...f{} ...f{} }} ", i + 1, i + 1)).collect();
    for text in [
        format!("{{ sites {{ ...f0 }} }} {doubling} fragment f27 on Site {{ id }}"),
        format!("{{ {} }}", (0..600).map(|i| format!("a{i}: sites {{ id }} ")).collect::<String>()),
        format!("{}{}", "{ sites ".repeat(100), "}".repeat(100)),
        format!("{{ {} }}", "sites { id } ".repeat(3000)),
        format!("{{ sites {{ id }} }} #{}", "x".repeat(100_000)),
    ] {
        let refused = server.graphql(&text, json!({})).await;
        assert_eq!(code(&refused), "TOO_LARGE", "{text:.80}: {refused}");
    }
    let large = json!({ "query": format!("{{ sites {{ id }} }} #{}", "x".repeat(2 << 20)) }).to_string();
    let refused = server.post("/graphql", &[("content-type", "application/json")], large).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (413, "application/problem+json"));
    let no_upgrade = server.get("/graphql/ws").await;
    assert_eq!(
        (no_upgrade.status.as_u16(), no_upgrade.header("content-type")),
        (400, "application/problem+json")
    );
}

#[tokio::test]
async fn a_subscription_shows_every_frame_to_a_quick_client() {
    let mut server = Server::with(Options { sites: vec!["north", "south"], ..Options::default() }).await;
    let mut socket = server.socket().await;
    socket.subscribe("s", "subscription { poseFrames(siteId: \"south\", zoneId: \"west\", minConfidence: 0.6) { id site { id } stale persons { id zone { id } } } }").await;
    for n in 1..=20 {
        server.feeds[0].publish(vec![]);
        let published = server.feeds[1].publish(vec![
            person(n, 0.9, 1.0, Some(0)),
            person(90, 0.9, 4.0, Some(1)),
            person(91, 0.5, 1.0, Some(0)),
        ]);
        let frame = socket.frame().await;
        assert_eq!(id(&frame), published);
        assert_eq!((&frame["site"]["id"], &frame["stale"]), (&json!("south"), &json!(false)));
        assert_eq!(frame["persons"], json!([{ "id": n.to_string(), "zone": { "id": "west" } }]));
    }
    // Queries go over the same socket, and others are not disturbed.
    socket.subscribe("q", "{ sites { id } }").await;
    assert_eq!(socket.receive().await["payload"]["data"]["sites"][1]["id"], "south");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "q" }));
    socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    // After `complete` nothing comes any more.
    socket.send(json!({ "type": "complete", "id": "s" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong" }));
    server.feeds[1].publish(vec![]);
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_late_subscriber_gets_the_newest_frame_at_once() {
    let mut server = Server::start().await;
    for _ in 0..3 {
        server.feeds[0].publish(vec![]);
    }
    let mut socket = server.socket().await;
    socket.subscribe("s", "subscription { poseFrames { id } }").await;
    assert_eq!(id(&socket.frame().await), 3);
    server.feeds[0].publish(vec![]);
    assert_eq!(id(&socket.frame().await), 4);
}

#[tokio::test]
async fn max_fps_thins_to_the_newest() {
    let mut server = Server::with(Options { slots: 4096, ..Options::default() }).await;
    let mut socket = server.socket().await;
    socket.subscribe("s", "subscription { poseFrames(maxFps: 20) { id } }").await;
    server.feeds[0].publish(vec![]);
    assert_eq!(id(&socket.frame().await), 1);
    // All of these are published within the interval or after it: the next answer is in no case an old one.
    let started = Instant::now();
    for _ in 0..50 {
        server.feeds[0].publish(vec![]);
    }
    let mut last = 1;
    let mut answers = 0;
    while last < 51 {
        let next = id(&socket.frame().await);
        assert!(next > last);
        last = next;
        answers += 1;
    }
    let most = (started.elapsed().as_secs_f64() * 20.0).ceil() + 1.0;
    assert!(f64::from(answers) <= most, "{answers} answers, at most {most} at 20 a second");

    for wrong in ["0", "-1", "1e9"] {
        socket.subscribe("w", &format!("subscription {{ poseFrames(maxFps: {wrong}) {{ id }} }}")).await;
        let message = socket.receive().await;
        assert!(message.to_string().contains("maxFps: must be between"), "{message}");
        if message["type"] == "next" {
            assert_eq!(socket.receive().await["type"], "complete");
        }
    }
}

/// A client that stops reading fills the socket; what it gets afterwards is what was in flight and then the newest
/// frame. Meanwhile a second client sees every frame.
#[tokio::test]
async fn a_slow_client_is_conflated_and_slows_nobody() {
    const FRAMES: u64 = 1500;
    // Whoever takes nothing for a while is not dropped here.
    let config = ApiConfig { timeout: Duration::from_secs(600), ..ApiConfig::default() };
    let mut server = Server::with(Options { slots: 32, config, ..Options::default() }).await;
    let crowd: Vec<_> = (0..16).map(|n| person(n, 0.9, 1.0, Some(0))).collect();
    let query = "subscription { poseFrames { id persons { id keypoints { id name x y confidence positionM { x y z } } } } }";
    let mut slow = server.socket().await;
    slow.subscribe("s", query).await;
    let mut quick = server.socket().await;
    quick.subscribe("s", "subscription { poseFrames { id } }").await;
    for _ in 0..FRAMES {
        let published = server.feeds[0].publish(crowd.clone());
        assert_eq!(id(&quick.frame().await), published);
    }
    let (mut last, mut received) = (0, 0);
    while last < FRAMES {
        let next = id(&slow.frame().await);
        assert!(next > last);
        last = next;
        received += 1;
    }
    assert!(received < FRAMES, "{received} of {FRAMES}: nothing was left out");
}

#[tokio::test]
async fn the_protocol_is_kept() {
    let server = Server::with(Options {
        config: ApiConfig { subscriptions: 2, ..ApiConfig::default() },
        ..Options::default()
    })
    .await;
    let protocol = Some("graphql-transport-ws");
    let subscribe = json!({ "type": "subscribe", "id": "a", "payload": { "query": "subscription { poseFrames { id } }" } });

    let mut early = server.raw_socket(protocol, None).await.unwrap();
    early.send(subscribe.clone()).await;
    assert_eq!(early.receive().await["close"], 4401);

    let mut twice = server.socket().await;
    twice.send(json!({ "type": "connection_init" })).await;
    assert_eq!(twice.receive().await["close"], 4429);

    for nonsense in ["nonsense", "{}", r#"{"type":"subscribe"}"#, r#"{"type":"launch"}"#] {
        let mut socket = server.socket().await;
        socket.send_text(nonsense).await;
        assert_eq!(socket.receive().await["close"], 4400, "{nonsense}");
    }

    let mut same = server.socket().await;
    same.send(subscribe.clone()).await;
    same.send(subscribe.clone()).await;
    assert_eq!(same.receive().await, json!({ "close": 4409, "reason": "Subscriber for a already exists" }));

    let mut other = server.raw_socket(None, None).await.unwrap();
    assert_eq!(other.receive().await["close"], 4406);

    let mut many = server.socket().await;
    for id in ["a", "b", "c"] {
        many.subscribe(id, "subscription { poseFrames { id } }").await;
    }
    let refused = many.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("c")));
    many.subscribe("d", "{ nothing }").await;
    assert_eq!(many.receive().await["id"], "d");
    // An operation whose arguments are wrong ends alone.
    many.send(json!({ "type": "complete", "id": "a" })).await;
    many.subscribe("e", "subscription { poseFrames(zoneId: \"cellar\") { id } }").await;
    let wrong = many.receive().await;
    assert!(
        wrong.to_string().contains("no zone \\\"cellar\\\"") || wrong.to_string().contains("zoneId"),
        "{wrong}"
    );
    many.send(json!({ "type": "ping" })).await;
    loop {
        match many.receive().await["type"].as_str() {
            Some("complete") => {}
            other => break assert_eq!(other, Some("pong")),
        }
    }
}

#[tokio::test]
async fn shutdown_says_goodbye_and_ends() {
    let mut server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("s", "subscription { poseFrames { id } }").await;
    server.feeds[0].publish(vec![]);
    socket.frame().await;
    server.stop();
    assert_eq!(socket.receive().await, json!({ "close": 1001, "reason": "the server stops" }));
    let ended = tokio::time::timeout(Duration::from_secs(60), &mut server.task).await;
    ended.expect("the server ends within its grace").unwrap().unwrap();
}

#[tokio::test]
async fn a_subscription_ends_with_its_site() {
    let mut server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("s", "subscription { poseFrames { id } }").await;
    server.feeds[0].publish(vec![]);
    socket.frame().await;
    drop(server.feeds.remove(0));
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "s" }));
}

#[tokio::test]
async fn sockets_are_counted() {
    let config = ApiConfig { sockets: 1, ..ApiConfig::default() };
    let server = Server::with(Options { config, ..Options::default() }).await;
    let first = server.socket().await;
    let refused = server.raw_socket(Some("graphql-transport-ws"), None).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(answer)) = refused else {
        panic!("a second one was let in")
    };
    assert_eq!(answer.status(), 503);
    drop(first);
    // The place is free once the server has seen the end of the first.
    while server.raw_socket(Some("graphql-transport-ws"), None).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// The client that most JavaScript programs use.
#[tokio::test(flavor = "multi_thread")]
async fn the_npm_client_subscribes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/graphiql");
    if !std::path::Path::new(folder).join("node_modules/graphql-ws").exists() {
        println!("skipped: no npm packages in api/graphiql (make bundles)");
        return;
    }
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![person(7, 0.9, 1.0, None)]);
    let script = format!(
        "import {{ createClient }} from 'graphql-ws';
         const client = createClient({{ url: 'ws://{}/graphql/ws' }});
         for await (const result of client.iterate({{ query: '{{ sites {{ id }} }}' }})) console.log(JSON.stringify(result.data));
         for await (const result of client.iterate({{ query: 'subscription {{ poseFrames {{ id persons {{ id }} }} }}' }})) {{
           console.log(JSON.stringify(result.data));
           break;
         }}
         await client.dispose();",
        server.address
    );
    let node = || {
        let arguments =
            ["--experimental-websocket", "--no-warnings", "--input-type=module", "--eval", &script];
        std::process::Command::new("node").args(arguments).current_dir(folder).output()
    };
    let Ok(output) = tokio::task::block_in_place(node) else {
        println!("skipped: no node");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let frame = json!({ "poseFrames": { "id": "1", "persons": [{ "id": "7" }] } });
    assert_eq!(
        lines,
        [json!({ "sites": [{ "id": "lab" }] }), frame],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn the_past_is_summed_up() {
    let mut server = Server::start().await;
    for n in 1..=40u64 {
        let persons = if n % 2 == 0 { vec![person(5, 0.75, 1.0, Some(0))] } else { vec![] };
        let id = server.feeds[0].publish(persons);
        if n % 16 == 0 {
            server.stored("lab", id).await;
        }
    }
    server.stored("lab", 40).await;
    let query = "query ($from: DateTime, $to: DateTime) {
        person(id: 5) { id firstSeen tracked frames lastZoneId averageConfidence activities { activity frames } }
        nobody: person(id: \"x\") { id }
        persons { id }
        activity(from: $from, to: $to, intervalMinutes: 60, zoneId: \"west\") { zoneId frames meanOccupancy maxOccupancy activities { activity share } }
        heatMap(from: $from, to: $to) { cellM sources cells { xM yM count } }
    }";
    let range = json!({ "from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z" });
    let answer = server.graphql(query, range).await;
    assert!(answer["errors"].is_null(), "{answer}");
    let data = &answer["data"];
    let person = &data["person"];
    assert_eq!(
        (&person["frames"], &person["lastZoneId"], &person["tracked"]),
        (&json!(20), &json!("west"), &json!(true))
    );
    assert_eq!(person["activities"], json!([{ "activity": "walking", "frames": 20 }]));
    assert_eq!((&data["nobody"], &data["persons"]), (&json!(null), &json!([{ "id": "5" }])));
    let west = &data["activity"][0];
    assert_eq!(
        (&west["frames"], &west["meanOccupancy"], &west["maxOccupancy"]),
        (&json!(40), &json!(0.5), &json!(1))
    );
    assert_eq!(data["heatMap"]["cells"], json!([{ "xM": 1.0, "yM": 1.0, "count": 20 }]));
    let wrong = server.graphql("{ activity(intervalMinutes: 0) { frames } }", json!({})).await;
    assert_eq!(wrong["errors"][0]["extensions"]["argument"], "intervalMinutes");
}

#[tokio::test]
async fn events_come_and_are_kept() {
    use invispose_pipeline::events::{Event, EventKind, Severity};
    let server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("1", "subscription { events(minSeverity: HIGH) { id kind severity personId } }").await;
    // The socket answers in order, so the subscription stands once this is answered.
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");
    let mut ids = Vec::new();
    for n in 0..6u64 {
        let severity = if n % 2 == 0 { Severity::High } else { Severity::Info };
        let event = Event::new(EventKind::PersonDetected, common::EPOCH_NS + n as i64).at(&"lab".into());
        let event = Event { person: Some(n), ..event.severe(severity) };
        ids.push(server.events.publish(event).unwrap().id.to_string());
    }
    for n in [0, 2, 4] {
        let event = &socket.receive().await["payload"]["data"]["events"];
        assert_eq!((&event["id"], &event["personId"]), (&json!(ids[n]), &json!(n.to_string())));
    }
    let query = "query ($after: String) { events(siteId: \"lab\", kind: \"person.detected\", first: 4, after: $after) {
        edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }";
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let page = loop {
        let page = server.graphql(query, json!({})).await;
        if page["data"]["events"]["pageInfo"]["hasNextPage"] == true {
            break page;
        }
        assert!(std::time::Instant::now() < end, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let of = |page: &Value| -> Vec<String> {
        let edges = page["data"]["events"]["edges"].as_array().unwrap();
        edges.iter().map(|e| e["node"]["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of(&page), ids[..4]);
    let after = page["data"]["events"]["pageInfo"]["endCursor"].clone();
    until_all(&server, query, &after, &ids[4..], of).await;
    let wrong = server.graphql("{ events(kind: \"rain\") { edges { cursor } } }", json!({})).await;
    assert_eq!(wrong["errors"][0]["extensions"]["argument"], "kind");
}

async fn until_all(
    server: &Server,
    query: &str,
    after: &Value,
    expected: &[String],
    of: impl Fn(&Value) -> Vec<String>,
) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let page = server.graphql(query, json!({ "after": after })).await;
        if of(&page) == expected {
            return;
        }
        assert!(std::time::Instant::now() < end, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_set_up_is_in_force() {
    let server = Server::start().await;
    let corners = json!([{ "x": 0.0, "y": 0.0 }, { "x": 1.0, "y": 0.0 }, { "x": 1.0, "y": 1.0 }]);
    let settings =
        json!({ "polygonM": corners, "restricted": [{ "days": ["SAT"], "from": "22:00", "to": "06:00" }] });
    let create = "mutation ($settings: ZoneInput!) { createZone(id: \"desk\", settings: $settings) { id version settings { polygonM { y } restricted { days timeZone } } } }";
    let made = server.graphql(create, json!({ "settings": settings })).await;
    let desk = &made["data"]["createZone"];
    assert_eq!((&desk["version"], &desk["settings"]["polygonM"][2]["y"]), (&json!(1), &json!(1.0)), "{made}");
    assert_eq!(desk["settings"]["restricted"], json!([{ "days": ["SAT"], "timeZone": "UTC" }]));
    let zones = server.graphql("{ zones { id } keptZones { id } }", json!({})).await;
    assert_eq!(
        (&zones["data"]["zones"][2]["id"], &zones["data"]["keptZones"][0]["id"]),
        (&json!("desk"), &json!("desk"))
    );

    let update = "mutation ($version: Int!, $settings: ZoneInput!) { updateZone(id: \"desk\", version: $version, settings: $settings) { version settings { name } } }";
    let mut named = settings.clone();
    named["name"] = json!("Desk");
    let at = |version: i32| json!({ "version": version, "settings": named });
    assert_eq!(server.graphql(update, at(7)).await["errors"][0]["extensions"]["code"], "CONFLICT");
    let changed = server.graphql(update, at(1)).await;
    assert_eq!(changed["data"]["updateZone"], json!({ "version": 2, "settings": { "name": "Desk" } }));
    let bad = json!({ "settings": { "polygonM": [] } });
    let refused = server.graphql(&create.replace("desk", "bad"), bad).await;
    assert_eq!(refused["errors"][0]["extensions"]["argument"], "polygonM");
    let gone = server.graphql("mutation { deleteZone(id: \"desk\", version: 2) }", json!({})).await;
    assert_eq!(gone["data"]["deleteZone"], "desk");
    assert_eq!(
        server.graphql("{ zones { id } }", json!({})).await["data"]["zones"].as_array().unwrap().len(),
        2
    );

    let others = "mutation { createRouter(id: \"r\", settings: { positionM: { x: 1, y: 2, z: 0.5 } }) { settings { positionM { z } } }
        createTemplate(id: \"t\", settings: { name: \"T\", settings: { a: [1] } }) { settings { settings } } }";
    let made = server.graphql(others, json!({})).await;
    assert_eq!(made["data"]["createRouter"]["settings"]["positionM"]["z"], 0.5, "{made}");
    assert_eq!(made["data"]["createTemplate"]["settings"]["settings"], json!({ "a": [1] }));
    // Following a link changes nothing.
    let link = "/graphql?query=mutation%7BdeleteRouter(id:%22r%22,version:1)%7D";
    let get = server.get(link).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    let events = server.get_with(link, &[("accept", "text/event-stream")]).await;
    assert!(events.text().contains("mutations are sent with POST"), "{}", events.text());
    assert_eq!(server.graphql("{ routers { id } }", json!({})).await["data"]["routers"][0]["id"], "r");
}

#[tokio::test]
async fn figures_are_told_as_they_change() {
    let mut server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("o", "subscription { occupancy { personCount zones { zoneId personCount } } }").await;
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, Some(0))]);
    let count = |west: u64, east: u64| {
        json!({ "personCount": west + east,
            "zones": [{ "zoneId": "west", "personCount": west }, { "zoneId": "east", "personCount": east }] })
    };
    assert_eq!(socket.value("occupancy").await, count(1, 0));
    server.feeds[0].publish(vec![person(1, 0.9, 1.1, Some(0))]);
    server.feeds[0].publish(vec![person(1, 0.9, 1.2, Some(0)), person(2, 0.9, 4.0, Some(1))]);
    assert_eq!(socket.value("occupancy").await, count(1, 1));

    let mut socket = server.socket().await;
    socket.subscribe("p", "subscription { person(id: \"2\") { frameId person { id zone { id } } } }").await;
    let here = json!({ "id": "2", "zone": { "id": "east" } });
    assert_eq!(socket.value("person").await, json!({ "frameId": "3", "person": here }));
    server.feeds[0].publish(vec![]);
    assert_eq!(socket.value("person").await, json!({ "frameId": "4", "person": null }));
    server.feeds[0].publish(vec![]);
    server.feeds[0].publish(vec![person(2, 0.9, 4.0, Some(1))]);
    assert_eq!(socket.value("person").await, json!({ "frameId": "6", "person": here }));

    let mut socket = server.socket().await;
    socket.subscribe("m", "subscription { systemMetrics(everyS: 0.1) { status totalPersonsTracked } }").await;
    for _ in 0..2 {
        assert_eq!(socket.value("systemMetrics").await["totalPersonsTracked"], 1);
    }
    socket.subscribe("w", "subscription { systemMetrics(everyS: 0) { status } }").await;
    let message = socket.receive().await.to_string();
    assert!(message.contains("everyS: must be") || message.contains("totalPersonsTracked"), "{message}");
    let query = "{ models { name sites { siteId source } card { trainedOn evaluations { people recall mpjpeMm beatsMean } } }
        links { linkId } }";
    let models = server.graphql(query, json!({})).await;
    let model = &models["data"]["models"][0];
    assert_eq!(model["sites"], json!([{ "siteId": "lab", "source": "SIMULATED" }]));
    assert_eq!(model["card"], json!(null));
    assert_eq!(models["data"]["links"], json!([]));

    // The card of a network is shown beside its name alone.
    let better = ModelEvaluation {
        people: 1,
        mpjpe_mm: Some(100.0),
        mean_position_mpjpe_mm: Some(150.0),
        ..Default::default()
    };
    let unknown = ModelEvaluation { people: 2, recall: Some(0.25), ..better.clone() };
    let best = ModelEvaluation {
        root_relative_mm: Some(80.0),
        mean_pose_root_relative_mm: Some(90.0),
        ..better.clone()
    };
    let card = ModelCard {
        name: model["name"].as_str().unwrap().into(),
        trained_on: "a room".into(),
        evaluations: vec![best, unknown],
        ..ModelCard::default()
    };
    let state = server.state.clone();
    state.set_model(card);
    let models = server.graphql(query, json!({})).await;
    assert_eq!(
        models["data"]["models"][0]["card"],
        json!({ "trainedOn": "a room", "evaluations": [
            { "people": 1, "recall": null, "mpjpeMm": 100.0, "beatsMean": true },
            { "people": 2, "recall": 0.25, "mpjpeMm": 100.0, "beatsMean": false },
        ] })
    );
}

#[tokio::test]
async fn stays_and_ways_between_zones() {
    let server = Server::start().await;
    let happened = |kind, person: u64, zone: &str, second: i64| Event {
        person: Some(person),
        place: Some(Place { zone: Some(zone.into()), position_m: None }),
        ..Event::new(kind, common::EPOCH_NS + second * 1_000_000_000).at(&"lab".into())
    };
    for person in 1..=10 {
        for (zone, second) in [("west", 0), ("east", 20), ("west", 40)] {
            server.events.publish(happened(EventKind::PersonEnteredZone, person, zone, second));
        }
        let left = happened(EventKind::PersonLeftZone, person, "west", 10 + person as i64);
        server.events.publish(left.because(Evidence::Stay { dwell_s: person as f64 }));
    }
    let query = "query ($from: DateTime, $to: DateTime) {
        dwell(from: $from, to: $to) { zoneId stays meanS p50S p90S p99S maxS suppressed }
        transitions(from: $from, to: $to) { fromZoneId toZoneId count }
        one: transitions(from: $from, to: $to, personId: \"3\") { count } }";
    let (from, to) = (Time::from_ns(common::EPOCH_NS), Time::from_ns(common::EPOCH_NS + 60_000_000_000));
    let range = json!({ "from": from.to_string(), "to": to.to_string() });
    let end = Instant::now() + Duration::from_secs(60);
    // The fields of one query are read one after the other: kept are all events once one answer says so.
    while server.graphql(query, range.clone()).await["data"]["dwell"][0]["stays"] != 10 {
        assert!(Instant::now() < end, "the events were not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let data = server.graphql(query, range).await["data"].clone();
    assert_eq!(
        data["dwell"],
        json!([{ "zoneId": "west", "stays": 10, "meanS": 5.5, "p50S": 5.0, "p90S": 9.0, "p99S": 10.0, "maxS": 10.0, "suppressed": 0 }])
    );
    let way = |from: &str, to: &str| json!({ "fromZoneId": from, "toZoneId": to, "count": 10 });
    assert_eq!(data["transitions"], json!([way("east", "west"), way("west", "east")]));
    assert_eq!(data["one"], json!([{ "count": 1 }, { "count": 1 }]));
}

#[tokio::test]
async fn who_asks_for_the_same_shares_it() {
    let mut server = Server::start().await;
    let query = "subscription { poseFrames { id persons { id } } }";
    let mut sockets = Vec::new();
    for n in 0..20 {
        let mut socket = server.socket().await;
        socket.subscribe(&format!("s{n}"), query).await;
        sockets.push(socket);
    }
    for n in 1..=5 {
        server.feeds[0].publish(vec![person(n, 0.9, 1.0, Some(0))]);
        for socket in &mut sockets {
            let frame = socket.frame().await;
            assert_eq!((id(&frame), &frame["persons"][0]["id"]), (n, &json!(n.to_string())));
        }
    }
    // Those who leave take nothing from those who stay, and who comes back late gets the newest.
    sockets.truncate(1);
    let mut late = server.socket().await;
    late.subscribe("late", query).await;
    assert_eq!(id(&late.frame().await), 5);
    server.feeds[0].publish(vec![]);
    for socket in sockets.iter_mut().chain([&mut late]) {
        assert_eq!(id(&socket.frame().await), 6);
    }
    // Other variables are another question.
    let mut west = server.socket().await;
    let payload = json!({ "query": "subscription ($zone: ID) { poseFrames(zoneId: $zone) { id personCount } }",
        "variables": { "zone": "west" } });
    west.send(json!({ "type": "subscribe", "id": "w", "payload": payload })).await;
    assert_eq!(west.frame().await["personCount"], 0);
}

#[tokio::test]
async fn a_client_too_slow_for_events_is_told_so() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("e", "subscription { events { kind subject evidence } }").await;
    // The socket answers in order, so the subscription stands once this is answered.
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");
    // Nobody else has a turn meanwhile: these are more than its place in the row and the bus hold.
    for n in 0..2 * EVENTS_KEPT.max(1024) {
        let message = "a fault".to_owned();
        let event = Event::new(EventKind::SystemError, 0).about(n.to_string());
        server.events.publish(event.because(Evidence::Fault { message }));
    }
    let mut last = Value::Null;
    loop {
        let message = socket.receive().await;
        match message["type"].as_str() {
            Some("next") => last = message,
            end => break assert_eq!(end, Some("complete"), "{message}"),
        }
    }
    assert!(
        last["payload"]["errors"][0]["message"].as_str().unwrap().contains("events were missed"),
        "{last}"
    );
}

#[tokio::test]
async fn server_sent_events_and_the_old_protocol() {
    let mut server = Server::start().await;
    server.feeds[0].publish(vec![]);
    let query = json!({ "query": "{ sites { id } }" }).to_string();
    let headers = [("content-type", "application/json"), ("accept", "text/event-stream")];
    let answer = server.post("/graphql", &headers, query).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/event-stream"));
    assert_eq!(
        answer.text(),
        "event: next\ndata: {\"data\":{\"sites\":[{\"id\":\"lab\"}]}}\n\nevent: complete\ndata: {}\n\n"
    );
    let refused = server.post("/graphql", &headers, json!({ "query": "{ nothing }" }).to_string()).await;
    assert!(refused.text().starts_with("event: next\ndata: {\"errors\":["), "{}", refused.text());

    let mut socket = server.raw_socket(Some("graphql-ws"), None).await.unwrap();
    socket.send(json!({ "type": "connection_init", "payload": {} })).await;
    assert_eq!(socket.receive().await["type"], "connection_ack");
    let start = |id: &str, query: &str| json!({ "type": "start", "id": id, "payload": { "query": query } });
    socket.send(start("1", "subscription { poseFrames { id } }")).await;
    let first = socket.receive().await;
    assert_eq!(
        (&first["type"], &first["payload"]["data"]["poseFrames"]["id"]),
        (&json!("data"), &json!("1"))
    );
    socket.send(json!({ "type": "stop", "id": "1" })).await;
    socket.send(start("2", "{ nothing }")).await;
    let refused = socket.receive().await;
    assert!(refused["type"] == "data" && refused["payload"]["errors"].is_array(), "{refused}");
    assert_eq!(socket.receive().await, json!({ "type": "complete", "id": "2" }));
    socket.send(json!({ "type": "connection_terminate" })).await;
    assert!(socket.receive().await["end"].is_string());
}

#[tokio::test]
async fn documents_are_named_by_their_hash() {
    let server = Server::start().await;
    let hash = "4c2ef8f56bd7c5bde9b8ff2f6a9a2a2b2f2f6fa6d4fd0e0a4c2f5f2d4c2f5f2d";
    let ask = |query: Option<&str>, hash: &str| {
        let mut body = json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": hash } } });
        body["query"] = query.map_or(Value::Null, Value::from);
        if query.is_none() {
            body.as_object_mut().unwrap().remove("query");
        }
        body.to_string()
    };
    let json_type = [("content-type", "application/json")];
    let unknown = server.post("/graphql", &json_type, ask(None, hash)).await.json();
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound", "{unknown}");
    let wrong = server.post("/graphql", &json_type, ask(Some("{ sites { id } }"), hash)).await.json();
    assert!(wrong["errors"].is_array(), "{wrong}");
    // printf '{ sites { id } }' | sha256sum
    let hash = "0242bf134c9b3008fd51868652d1081b9087d0c28e91a9b181eaf38f546aa620";
    for query in [Some("{ sites { id } }"), None] {
        let answer = server.post("/graphql", &json_type, ask(query, hash)).await.json();
        assert_eq!(answer["data"]["sites"][0]["id"], "lab", "{answer}");
    }
    // Following a link changes nothing, also where the link only names what changes something.
    let mutation = "mutation { createTemplate(id: \"t\", settings: { name: \"T\", settings: {} }) { id } }";
    // The same through sha256sum.
    let hash = "234732133ff01efcfe4e704c43fadf97700e7314180215c49a2df7ba9a6eec90";
    let made = server.post("/graphql", &json_type, ask(Some(mutation), hash)).await.json();
    assert_eq!(made["data"]["createTemplate"]["id"], "t", "{made}");
    let gone = server.graphql("mutation { deleteTemplate(id: \"t\", version: 1) }", json!({})).await;
    assert_eq!(gone["data"]["deleteTemplate"], "t", "{gone}");
    let link = format!(
        "/graphql?extensions=%7B%22persistedQuery%22:%7B%22version%22:1,%22sha256Hash%22:%22{hash}%22%7D%7D"
    );
    let refused = server.get(&link).await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "POST"));
    assert_eq!(refused.json()["errors"][0]["message"], "mutations are sent with POST");
    assert_eq!(server.graphql("{ templates { id } }", json!({})).await["data"]["templates"], json!([]));
}

#[tokio::test]
async fn the_quiet_room_is_calibrated_where_packets_come_from() {
    let server = Server::start().await;
    let query = "{ calibration { siteId state seconds endedAt reason links { linkId layout quietLevel learnedAt holds dropped } } }";
    let answer = server.graphql(query, json!({})).await;
    assert_eq!(answer["data"]["calibration"]["state"], "NEVER", "{answer}");
    for (seconds, code) in [(30.0, "CONFLICT"), (5.0, "BAD_ARGUMENT")] {
        let ask = "mutation ($s: Float!) { calibrateBaseline(seconds: $s) { state } }";
        let answer = server.graphql(ask, json!({ "s": seconds })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
    }
}
