//! Persons, zones, analytics, exports, reports and configuration over REST, as the contract says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{EPOCH_NS, Options, STEP_NS, Server, person};
use invispose_api::{ApiConfig, Deprecation, Time};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Value, json};

fn at(n: i64) -> Time {
    Time::from_ns(EPOCH_NS + STEP_NS * n)
}

fn range(from: i64, to: i64) -> String {
    format!("start_time={}&end_time={}", at(from), at(to))
}

/// 100 frames: person 5 in the west on every second one, person 6 in the east on every fourth.
async fn lived_in() -> Server {
    let mut server = Server::start().await;
    for n in 1..=100u64 {
        let mut persons = Vec::new();
        if n % 2 == 0 {
            persons.push(person(5, 0.75, 1.0, Some(0)));
        }
        if n % 4 == 0 {
            persons.push(person(6, 0.5, 4.0, Some(1)));
        }
        let id = server.feeds[0].publish(persons);
        if n % 16 == 0 {
            server.stored("lab", id).await;
        }
    }
    server
}

#[tokio::test]
async fn a_person_is_known_from_first_to_last() {
    let server = lived_in().await;
    let details = server.get("/api/v1/pose/persons/5").await.json();
    assert_eq!(details["person_id"], "5");
    assert_eq!(details["first_seen"], at(2).to_string());
    assert_eq!(details["last_seen"], at(100).to_string());
    assert_eq!(details["current_zone"], "west");
    assert_eq!(details["average_confidence"], 0.75);
    assert_eq!(details["detected_activities"], json!(["walking"]));
    assert_eq!((&details["frames"], &details["tracked"]), (&json!(50), &json!(true)));
    assert_eq!(details["movement_history"], Value::Null);
    let href = details["links"]["history"]["href"].as_str().unwrap();
    assert_eq!(server.get(href).await.json().as_array().unwrap().len(), 50);

    let with = server.get("/api/v1/pose/persons/6?include_history=true&limit=3").await.json();
    let history = with["movement_history"].as_array().unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[2]["timestamp"], at(100).to_string());
    assert_eq!(
        (&history[0]["position_m"], &history[0]["zone_id"]),
        (&json!([4.0, 1.0, 0.75]), &json!("east"))
    );
    for nobody in ["7", "somebody"] {
        let missing = server.get(&format!("/api/v1/pose/persons/{nobody}")).await;
        assert_eq!((missing.status.as_u16(), &missing.json()["detail"]), (404, &json!("Person not found")));
    }
    let list = server.get("/api/v1/pose/persons").await.json();
    let ids: Vec<&str> =
        list["persons"].as_array().unwrap().iter().map(|p| p["person_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["6", "5"]);
    let early = server.get(&format!("/api/v1/pose/persons?{}", range(0, 3))).await.json();
    assert_eq!(early["persons"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn zones_count_who_is_in_them() {
    let server = lived_in().await;
    let zones = server.get("/api/v1/pose/zones").await.json();
    let counts: Vec<&Value> =
        zones["zones"].as_array().unwrap().iter().map(|z| &z["current_occupancy"]).collect();
    assert_eq!(counts, [&json!(1), &json!(1)]);
    let href = zones["zones"][0]["links"]["occupancy"]["href"].as_str().unwrap();
    let now = server.get(href).await.json();
    assert_eq!(
        (&now["zone_id"], &now["current_occupancy"], &now["persons"]),
        (&json!("west"), &json!(1), &json!(["5"]))
    );
    assert_eq!(now["history"], Value::Null);
    server.stored("lab", 100).await;
    let path = format!("/api/v1/pose/zones/east/occupancy?{}&interval=1m", range(-2000, 2000));
    let past = server.get(&path).await.json();
    let bucket = &past["history"][0];
    assert_eq!(
        (&bucket["mean"], &bucket["maximum"], &bucket["occupied"]),
        (&json!(0.25), &json!(1), &json!(0.25))
    );
    assert_eq!(server.get("/api/v1/pose/zones/cellar/occupancy").await.status, 404);
    assert_eq!(
        server.get("/api/v1/pose/zones/east/occupancy?interval=90s").await.json()["field"],
        "interval"
    );
}

#[tokio::test]
async fn the_past_adds_up() {
    let server = lived_in().await;
    server.stored("lab", 100).await;
    let path = format!("/api/v1/analytics/activity?{}&interval=1h", range(-100, 2000));
    let activity = server.get(&path).await.json();
    assert_eq!(activity["interval_seconds"], 3600);
    let buckets = activity["buckets"].as_array().unwrap();
    let whole = buckets.iter().find(|b| b["zone_id"].is_null()).unwrap();
    assert_eq!((&whole["frames"], &whole["mean_occupancy"]), (&json!(100), &json!(0.75)));
    assert_eq!((&whole["max_occupancy"], &whole["occupied"]), (&json!(2), &json!(0.5)));
    assert_eq!((&whole["present"], &whole["motion_level"]), (&json!(1.0), &json!(2.5)));
    assert_eq!(whole["activities"]["walking"], 1.0);
    assert_eq!(whole["sources"], json!(["simulated"]));
    let west = server.get(&format!("{path}&zone_id=west")).await.json();
    assert_eq!(west["buckets"].as_array().unwrap().len(), 1);
    assert_eq!(west["buckets"][0]["mean_occupancy"], 0.5);
    let heat = server.get(&format!("/api/v1/analytics/heatmaps?{}", range(-100, 2000))).await.json();
    assert_eq!(
        (&heat["total"], &heat["cell_m"], &heat["origin_m"]),
        (&json!(75), &json!(0.25), &json!([1.0, 1.0]))
    );
    assert_eq!((&heat["cells"][0][0], &heat["cells"][0][12]), (&json!(50), &json!(25)));
    for (query, field) in
        [("interval=1", "interval"), ("interval=1y", "interval"), ("start_time=x", "start_time")]
    {
        let answer = server.get(&format!("/api/v1/analytics/activity?{query}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
    let many = server.get("/api/v1/analytics/activity?start_time=2020-01-01T00:00:00Z&interval=1m").await;
    assert_eq!((many.status.as_u16(), &many.json()["field"]), (400, &json!("interval")));
}

#[tokio::test]
async fn history_names_its_next_page() {
    let server = lived_in().await;
    let mut path = format!("/api/v1/pose/history?{}&limit=30", range(-10, 1000));
    let mut ids = Vec::new();
    let mut pages = 0;
    loop {
        let answer = server.get(&path).await;
        ids.extend(answer.json().as_array().unwrap().iter().map(|f| f["frame_id"].as_u64().unwrap()));
        pages += 1;
        let Some(next) = answer.headers.get("link") else { break };
        let next = next.to_str().unwrap().strip_prefix('<').unwrap();
        path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
    assert_eq!((ids, pages), ((1..=100).collect(), 4));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let mut server = lived_in().await;
    let history = format!("/api/v1/pose/history?{}", range(0, 10));
    for path in [history.as_str(), "/api/v1/pose/current", "/api/v1/pose/persons/5"] {
        let first = server.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(!tag.is_empty(), "{path}");
        let again = server.get_with(path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
    }
    let tag = server.get("/api/v1/pose/current").await.header("etag").to_owned();
    let other = server.get_with("/api/v1/pose/current?min_confidence=0.1", &[("if-none-match", &tag)]).await;
    assert_eq!(other.status, 200);
    server.feeds[0].publish(vec![]);
    assert_eq!(server.get_with("/api/v1/pose/current", &[("if-none-match", &tag)]).await.status, 200);
}

#[tokio::test]
async fn exports_hold_every_frame() {
    let server = lived_in().await;
    let path = |format: &str| format!("/api/v1/analytics/export?{}&format={format}", range(-10, 1000));
    let csv = server.get(&path("csv")).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert!(csv.header("content-disposition").contains(".csv"));
    let rows: Vec<Vec<&str>> = csv.text().lines().map(|l| l.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|c| *c == name).unwrap();
    assert!(rows.iter().all(|r| r.len() == rows[0].len()));
    // 50 frames without anybody, 50 with person 5, of which 25 with person 6 too.
    assert_eq!(rows.len(), 1 + 50 + 50 + 25);
    let frames: BTreeSet<u64> = rows[1..].iter().map(|r| r[column("frame_id")].parse().unwrap()).collect();
    assert_eq!(frames, (1..=100).collect());
    let east = rows.iter().filter(|r| r[column("zone_id")] == "east").count();
    assert_eq!((east, rows[2][column("x_m")], rows[1][column("person_id")]), (25, "1", ""));

    let lines = server.get(&path("jsonl")).await;
    let frames: Vec<Value> = lines.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(frames.len(), 100);
    assert_eq!(frames[3]["persons"][1]["zone_id"], "east");

    let file = server.get(&path("parquet")).await;
    let reader = SerializedFileReader::new(file.body.clone()).unwrap();
    let row = |row: Row| -> BTreeMap<String, Field> {
        row.get_column_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|r| row(r.unwrap())).collect();
    assert_eq!(rows.len(), 125);
    let of = |n: i64| rows.iter().find(|r| r["frame_id"] == Field::Long(n)).unwrap();
    assert_eq!(of(1)["person_id"], Field::Null);
    assert_eq!((&of(2)["person_id"], &of(2)["zone_id"]), (&Field::Long(5), &Field::Str("west".into())));
    assert!(matches!(&of(2)["keypoints"], Field::ListInternal(list) if list.len() == 68));

    let none = server.get(&format!("/api/v1/analytics/export?{}", range(500, 600))).await;
    assert_eq!(none.text().lines().count(), 1, "the header alone");
    let wrong = server.get(&path("xls")).await;
    assert_eq!((wrong.status.as_u16(), &wrong.json()["field"]), (400, &json!("format")));
    assert_eq!(server.get("/api/v1/analytics/export").await.json()["field"], "start_time");
}

#[tokio::test]
async fn reports_are_made_and_tell_how_far_they_are() {
    let server = lived_in().await;
    server.stored("lab", 100).await;
    let mut events = server.events.subscribe();
    let request = json!({ "start_time": at(-100), "end_time": at(2000), "interval": "1m" });
    let made = server.send("POST", "/api/v1/analytics/reports", &[], request).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let place = made.header("location").to_owned();
    let end = Instant::now() + Duration::from_secs(60);
    let report = loop {
        let report = server.get(&place).await.json();
        let progress = report["progress"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&progress));
        if report["status"] == "done" {
            break report;
        }
        assert!(report["status"] != "failed" && Instant::now() < end, "{report}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&report["progress"], &report["result"]["persons"]), (&json!(1.0), &json!(2)));
    let frames: u64 = report["result"]["activity"]["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|b| b["zone_id"].is_null())
        .map(|b| b["frames"].as_u64().unwrap())
        .sum();
    assert_eq!(frames, 100);
    let told = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap();
    assert!(format!("{told:?}").contains("ReportGenerated"), "{told:?}");
    let list = server.get("/api/v1/analytics/reports").await.json();
    assert_eq!(
        (&list["reports"][0]["status"], &list["reports"][0]["result"]),
        (&json!("done"), &Value::Null)
    );
    assert_eq!(server.send("DELETE", &place, &[], Value::Null).await.status, 204);
    assert_eq!(server.get(&place).await.status, 404);
    for (body, status, field) in [
        (json!({ "start_time": at(0) }), 422, "body"),
        (json!({ "start_time": at(5), "end_time": at(0) }), 400, "end_time"),
        (json!({ "start_time": "soon", "end_time": at(0) }), 422, "start_time"),
        (json!({ "start_time": at(0), "end_time": at(5), "site_id": "x" }), 404, "site_id"),
    ] {
        let answer = server.send("POST", "/api/v1/analytics/reports", &[], body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (status, &json!(field)), "{body}");
    }
}

#[tokio::test]
async fn documents_are_made_read_changed_and_removed() {
    let server = Server::start().await;
    for (kind, first, second, wrong, field) in [
        (
            "zones",
            json!({ "name": "Desk", "polygon_m": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]] }),
            json!({ "name": "Table", "polygon_m": [[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]] }),
            json!({ "polygon_m": [[0.0, 0.0], [1.0, 0.0]] }),
            "polygon_m",
        ),
        (
            "routers",
            json!({ "name": "Door", "position_m": [0.0, 1.0, 2.0] }),
            json!({ "name": "Window", "address": "aa:bb:cc:dd:ee:ff" }),
            json!({ "position_m": [1.0, 2.0] }),
            "position_m",
        ),
        (
            "templates",
            json!({ "name": "Night", "settings": { "a": 1 } }),
            json!({ "name": "Day", "settings": {} }),
            json!({ "name": "Night", "settings": 3 }),
            "settings",
        ),
    ] {
        let folder = format!("/api/v1/config/{kind}");
        let mut named = first.clone();
        named["id"] = json!("one");
        let made = server.send("POST", &folder, &[], named.clone()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let (place, tag) = (made.header("location").to_owned(), made.header("etag").to_owned());
        let read = server.get(&place).await;
        assert_eq!((read.header("etag"), &read.json()["name"]), (tag.as_str(), &first["name"]));
        assert_eq!((&read.json()["id"], &read.json()["version"]), (&json!("one"), &json!(1)));
        assert_eq!(server.get_with(&place, &[("if-none-match", &tag)]).await.status, 304);
        assert_eq!(server.send("POST", &folder, &[], named).await.status, 409);

        assert_eq!(server.send("PUT", &place, &[], second.clone()).await.status, 428);
        let changed = server.send("PUT", &place, &[("if-match", &tag)], second.clone()).await;
        assert_eq!((changed.status.as_u16(), &changed.json()["name"]), (200, &second["name"]));
        let lost = server.send("PUT", &place, &[("if-match", &tag)], first).await;
        assert_eq!((lost.status.as_u16(), &lost.json()["field"]), (412, &json!("If-Match")));
        // What was read can be sent back.
        let back = server.get(&place).await;
        let tag = back.header("etag").to_owned();
        let tag =
            server.send("PUT", &place, &[("if-match", &tag)], back.json()).await.header("etag").to_owned();
        assert_eq!(tag, "\"3\"");

        let refused = server.send("POST", &folder, &[], wrong).await;
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert!(refused.json()["field"].as_str().unwrap().starts_with(field), "{}", refused.text());
        if kind == "routers" {
            let far = json!({ "position_m": [1e300, 0.0, 0.0] });
            assert_eq!(server.send("POST", &folder, &[], far).await.json()["field"], "position_m");
        }
        let odd = server.send("POST", &folder, &[], json!({ "colour": "red", "id": "../x" })).await;
        assert_eq!(odd.json()["field"], "id");

        assert_eq!(server.get(&folder).await.json()["items"].as_array().unwrap().len(), 1);
        assert_eq!(server.send("DELETE", &place, &[], Value::Null).await.status, 428);
        assert_eq!(server.send("DELETE", &place, &[("if-match", &tag)], Value::Null).await.status, 204);
        assert_eq!(server.get(&place).await.status, 404);
    }
    assert_eq!(server.get("/api/v1/config/wishes").await.status, 404);
    let text = server.post("/api/v1/config/zones", &[("content-type", "text/plain")], "x").await;
    assert_eq!(text.status, 415);
}

#[tokio::test]
async fn kept_zones_are_in_force_at_once() {
    let mut server = Server::start().await;
    let corners = json!([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]);
    let ids = async |server: &Server| {
        let zones = server.get("/api/v1/pose/zones").await.json();
        let id =
            |z: &Value| (z["zone_id"].as_str().unwrap().to_owned(), z["name"].as_str().unwrap().to_owned());
        zones["zones"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    let path = "/api/v1/config/zones";
    let desk = json!({ "id": "desk", "polygon_m": corners, "max_occupancy": 2, "max_dwell_s": 60.0,
        "restricted": [{ "from": "22:00", "to": "06:00", "time_zone": "Europe/Berlin" }] });
    assert_eq!(server.send("POST", path, &[], desk).await.status, 201);
    // One of the configuration's ids replaces the configuration's words, and keeps its place.
    let west = json!({ "id": "west", "name": "Mine", "polygon_m": corners });
    assert_eq!(server.send("POST", path, &[], west).await.status, 201);
    assert_eq!(ids(&server).await, [pair("west", "Mine"), pair("east", ""), pair("desk", "")]);
    // Numbers count up as zones come.
    server.feeds[0].publish(vec![person(1, 0.9, 0.5, Some(2))]);
    let shown = server.get("/api/v1/pose/current?zone_id=desk").await.json();
    assert_eq!(shown["persons"][0]["zone_id"], "desk");

    let tag = [("if-match", "\"1\"")];
    for id in ["west", "desk"] {
        assert_eq!(server.send("DELETE", &format!("{path}/{id}"), &tag, Value::Null).await.status, 204);
    }
    assert_eq!(ids(&server).await, [pair("west", "West half"), pair("east", "")]);
    assert_eq!(server.get("/api/v1/pose/current?zone_id=desk").await.status, 404);
    assert_eq!(server.get("/api/v1/pose/current").await.json()["persons"][0]["zone_id"], Value::Null);
    for (field, value) in [
        ("polygon_m", json!([[0.0, 0.0], [1e39, 0.0], [1.0, 1.0]])),
        (
            "restricted[0].time_zone",
            json!([{ "from": "22:00", "to": "06:00", "time_zone": "Europe/Atlantis" }]),
        ),
        ("max_dwell_s", json!(-1.0)),
    ] {
        let mut zone = json!({ "polygon_m": corners });
        zone[field.split('[').next().unwrap()] = value;
        let refused = server.send("POST", path, &[], zone).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (422, &json!(field)));
    }
}

#[tokio::test]
async fn systems_and_sites_are_described() {
    let mut server = lived_in().await;
    server.source.received.add(3);
    let routers = server.get("/api/v1/system/routers").await.json();
    assert_eq!(
        (&routers["routers"][0]["id"], &routers["routers"][0]["received"]),
        (&json!("sim:test"), &json!(3))
    );
    server.feeds[0].publish(vec![]);
    let performance = server.get("/api/v1/system/performance").await.json();
    let backend = if std::env::var_os("TEST_POSTGRES").is_some() { "postgresql" } else { "sqlite" };
    assert_eq!(
        (&performance["store"]["backend"], &performance["store"]["missed"]),
        (&json!(backend), &json!(0))
    );
    let sites = server.get("/api/v1/sites").await.json();
    let links = &sites["sites"][0]["links"];
    for rel in ["self", "current", "persons", "zones"] {
        assert_eq!(server.get(links[rel]["href"].as_str().unwrap()).await.status, 200, "{rel}");
    }
}

#[tokio::test]
async fn versions_are_chosen_by_path_and_by_accept() {
    let config = ApiConfig {
        deprecated: vec![Deprecation {
            version: "v1".into(),
            sunset: "Sat, 01 Jan 2028 00:00:00 GMT".into(),
            guide: "/docs/migration/v1-to-v2".into(),
        }],
        ..ApiConfig::default()
    };
    let server = Server::with(Options { config, ..Options::default() }).await;
    for (path, accept, version) in [
        ("/api/v1/sites", "application/json", "v1"),
        ("/api/v2/sites", "application/json", "v2"),
        ("/api/v2/sites", "application/json;version=v1", "v2"),
        ("/api/sites", "application/json", "v1"),
        ("/api/sites", "application/json; version=2", "v2"),
    ] {
        let answer = server.get_with(path, &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("api-version")), (200, version), "{path} {accept}");
        let old = version == "v1";
        assert_eq!(answer.header("deprecation"), if old { "true" } else { "" });
        assert_eq!(answer.header("sunset"), if old { "Sat, 01 Jan 2028 00:00:00 GMT" } else { "" });
        assert_eq!(
            answer.header("link"),
            if old { "</docs/migration/v1-to-v2>; rel=\"deprecation\"" } else { "" }
        );
    }
    let unknown = server.get_with("/api/sites", &[("accept", "application/json;version=v9")]).await;
    assert_eq!((unknown.status.as_u16(), &unknown.json()["field"]), (406, &json!("Accept")));
    assert_eq!(server.get("/api/v9/sites").await.status, 404);
}

#[tokio::test]
async fn answers_come_in_any_common_compression() {
    let server = lived_in().await;
    for coding in ["gzip", "br", "zstd"] {
        let path = format!("/api/v1/pose/history?{}", range(0, 100));
        let answer = server.get_with(&path, &[("accept-encoding", coding)]).await;
        assert_eq!(answer.header("content-encoding"), coding);
    }
}

#[tokio::test]
async fn every_route_is_described() {
    let server = Server::start().await;
    let description = server.get("/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = description["paths"].as_object().unwrap();
    for path in [
        "pose/current",
        "pose/history",
        "pose/persons",
        "pose/persons/{person_id}",
        "pose/zones",
        "pose/zones/{zone_id}/occupancy",
        "system/status",
        "system/health",
        "system/routers",
        "system/performance",
        "analytics/activity",
        "analytics/heatmaps",
        "analytics/reports",
        "analytics/reports/{id}",
        "analytics/export",
        "config/{kind}",
        "config/{kind}/{id}",
        "sites",
        "sites/{site_id}",
        "alerts",
        "alerts/{id}",
        "alerts/{id}/acknowledge",
        "alerts/{id}/resolve",
    ] {
        assert!(paths.contains_key(&format!("/api/v1/{path}")), "{path}");
    }
    // What is referred to is there, and every answer of the contract has a shape.
    let text = description.to_string();
    let schemas = description["components"]["schemas"].as_object().unwrap();
    for name in text.split("#/components/schemas/").skip(1).map(|t| t.split('"').next().unwrap()) {
        assert!(schemas.contains_key(name), "{name}");
    }
    let answer =
        &paths["/api/v1/pose/current"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(answer["$ref"], "#/components/schemas/PoseFrame");
}
