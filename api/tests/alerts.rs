//! Alerts from rules that are kept: raised, told, acknowledged, resolved, and there again after a new start.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{EPOCH_NS, Options, Server};
use invispose_pipeline::events::{Event, EventKind, Place};
use serde_json::{Value, json};

/// Somebody comes into the zone, or leaves it.
fn moved(kind: EventKind, person: u64, zone: &str) -> Event {
    Event {
        person: Some(person),
        place: Some(Place { zone: Some(zone.into()), position_m: None }),
        ..Event::new(kind, EPOCH_NS).at(&"lab".into())
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn alerts(server: &Server, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("/api/v1/alerts{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["alerts"].as_array().unwrap().clone()
}

fn rule() -> Value {
    json!({ "id": "west", "name": "Somebody in the west", "on": ["person.entered_zone"], "zone_id": "west",
        "severity": "high", "resolve_on": ["person.left_zone"] })
}

#[tokio::test]
async fn an_alert_lives_through_its_states() {
    let server = Server::start().await;
    let mut socket = server.socket().await;
    socket.subscribe("a", "subscription { alerts { id ruleId status severity acknowledged { by } } }").await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");
    let made = server.send("POST", "/api/v1/config/alerts", &[], rule()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!((&made.json()["at_least"], &made.json()["each"]), (&json!(1), &json!("subject")));

    server.events.publish(moved(EventKind::PersonEnteredZone, 1, "east"));
    server.events.publish(moved(EventKind::PersonEnteredZone, 2, "west"));
    let raised = until("an alert", async || alerts(&server, "").await.pop()).await;
    assert_eq!((&raised["rule_id"], &raised["person_id"]), (&json!("lab/west"), &json!("2")));
    assert_eq!((&raised["status"], &raised["severity"]), (&json!("open"), &json!("high")));
    let told = socket.value("alerts").await;
    assert_eq!((&told["id"], &told["status"]), (&raised["alert_id"], &json!("OPEN")));

    let href = raised["links"]["acknowledge"]["href"].as_str().unwrap();
    let by = json!({ "by": "Mia" });
    for _ in 0..2 {
        let seen = server.send("POST", href, &[], by.clone()).await.json();
        assert_eq!((&seen["status"], &seen["acknowledged"]["by"]), (&json!("acknowledged"), &json!("Mia")));
    }
    assert_eq!(socket.value("alerts").await["acknowledged"]["by"], "Mia");
    assert_eq!(alerts(&server, "?status=open").await.len(), 0);
    assert_eq!(alerts(&server, "?status=acknowledged&site_id=lab").await.len(), 1);

    server.events.publish(moved(EventKind::PersonLeftZone, 2, "west"));
    assert_eq!(socket.value("alerts").await["status"], "RESOLVED");
    assert!(alerts(&server, "").await.is_empty());
    let over = until("the alert among those that are over", async || {
        alerts(&server, "?status=resolved").await.pop()
    })
    .await;
    assert_eq!((&over["alert_id"], &over["resolved"]["by"]), (&raised["alert_id"], &Value::Null));
    assert_eq!(
        server.get(raised["links"]["self"]["href"].as_str().unwrap()).await.json()["status"],
        "resolved"
    );
    assert_eq!(server.send("POST", href, &[], by.clone()).await.status, 409);
    for (path, body, status) in [
        ("/api/v1/alerts/0/acknowledge", by.clone(), 404),
        ("/api/v1/alerts/019b2f3c-0000-7000-8000-000000000000/resolve", by, 404),
        (href, json!({ "by": "" }), 422),
        (href, json!({}), 422),
    ] {
        assert_eq!(server.send("POST", path, &[], body).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn alerts_and_rules_outlive_the_process() {
    let server = Server::start().await;
    let twice = json!({ "id": "twice", "on": ["router.disconnected"], "at_least": 2, "within_s": 3600.0, "severity": "low" });
    for rule in [rule(), twice] {
        assert_eq!(server.send("POST", "/api/v1/config/alerts", &[], rule).await.status, 201);
    }
    server.events.publish(moved(EventKind::PersonEnteredZone, 2, "west"));
    let lost = || Event::new(EventKind::RouterDisconnected, EPOCH_NS).at(&"lab".into()).about("a");
    server.events.publish(lost());
    let id = until("an alert", async || alerts(&server, "").await.pop()).await["alert_id"].clone();
    server.alerts.acknowledge(id.as_str().unwrap().parse().unwrap(), "Mia").unwrap();
    until("the count", async || (!server.alerts.state().counted.is_empty()).then_some(())).await;

    let server = Server::with(Options { dir: Some(server.end().await), ..Options::default() }).await;
    let again = alerts(&server, "").await;
    assert_eq!((&again[0]["alert_id"], &again[0]["status"]), (&id, &json!("acknowledged")));
    // The second one counts with the first.
    server.events.publish(Event { time_ns: EPOCH_NS + 1, ..lost() });
    until("the rule that counts", async || {
        alerts(&server, "?status=open").await.pop().filter(|a| a["rule_id"] == "lab/twice")
    })
    .await;
    // The rule is in force, and the alert that it raised goes on.
    server.events.publish(moved(EventKind::PersonLeftZone, 2, "west"));
    until("its end", async || (alerts(&server, "?status=acknowledged").await.is_empty()).then_some(())).await;
}

#[tokio::test]
async fn rules_that_cannot_be_used_are_refused() {
    let server = Server::start().await;
    for (member, value, field) in [
        ("on", json!(["person.flew"]), "on[0]"),
        ("on", json!(["alert.opened"]), "body"),
        ("at_least", json!(0), "body"),
        ("within_s", json!(-1.0), "body"),
        ("severity", json!("awful"), "severity"),
        ("schedule", json!([{ "from": "1:00", "to": "02:00" }]), "schedule[0].from"),
    ] {
        let mut bad = rule();
        bad[member] = value;
        let refused = server.send("POST", "/api/v1/config/alerts", &[], bad).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["field"]),
            (422, &json!(field)),
            "{}",
            refused.text()
        );
    }
    // As GraphQL: the same checks, under its own names.
    let create = "mutation ($settings: AlertRuleInput!) { createAlertRule(id: \"g\", settings: $settings) { id version } }";
    let answer =
        server.graphql(create, json!({ "settings": { "on": ["person.flew"], "severity": "HIGH" } })).await;
    assert_eq!(answer["errors"][0]["extensions"]["argument"], "on[0]", "{answer}");
    let good = json!({ "settings": { "on": ["person.lost"], "severity": "HIGH", "resolveAfterS": 60 } });
    assert_eq!(server.graphql(create, good.clone()).await["data"]["createAlertRule"]["version"], 1);
    assert_eq!(server.graphql(create, good).await["errors"][0]["extensions"]["code"], "CONFLICT");
    assert_eq!(server.alerts.rules()[0].resolve_after_s, Some(60.0));
}
