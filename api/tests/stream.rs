//! `/ws/v1/stream`, as the contract says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::{Server, Socket, person};
use invispose_pipeline::events::{Event, EventKind, Evidence, Place, Severity};
use serde_json::{Value, json};

async fn open(server: &Server) -> Socket {
    let mut socket = server.socket_at("/ws/v1/stream?token=any", None, None).await.unwrap();
    let hello = socket.receive().await;
    assert_eq!((&hello["type"], &hello["status"]), (&json!("connection"), &json!("connected")));
    assert!(hello["client_id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(hello["server_time"].as_str().unwrap().ends_with('Z'));
    socket
}

async fn subscribe(socket: &mut Socket, topic: &str, filters: Value) -> Value {
    socket.send(json!({ "type": "subscribe", "topic": topic, "filters": filters })).await;
    socket.receive().await
}

#[tokio::test]
async fn frames_come_as_they_are_made() {
    let mut server = Server::start().await;
    let mut socket = open(&server).await;
    let filters = json!({ "zone_id": "west", "min_confidence": 0.6 });
    let answer = subscribe(&mut socket, "pose_updates", filters.clone()).await;
    let expected = json!({ "type": "subscription", "topic": "pose_updates", "status": "subscribed", "filters": filters });
    assert_eq!(answer, expected);
    server.feeds[0].publish(vec![
        person(1, 0.9, 1.0, Some(0)),
        person(2, 0.5, 1.0, Some(0)),
        person(3, 0.9, 4.0, Some(1)),
    ]);
    let update = socket.receive().await;
    assert_eq!((&update["type"], &update["frame_id"]), (&json!("pose_update"), &json!(1)));
    assert_eq!(
        (&update["timestamp"], &update["processing_time_ms"]),
        (&json!("2026-01-02T03:04:05.050000Z"), &json!(1.5))
    );
    let persons = update["persons"].as_array().unwrap();
    assert_eq!(persons.len(), 1);
    let one = &persons[0];
    assert_eq!(
        (&one["id"], &one["zone_id"], &one["activity"]),
        (&json!("1"), &json!("west"), &json!("walking"))
    );
    assert_eq!(one["keypoints"].as_array().unwrap().len(), 17);
    for member in ["id", "x", "y", "confidence"] {
        assert!(one["keypoints"][0][member].is_number(), "{member}");
    }
    assert_eq!(update["metadata"]["source"], "simulated");

    socket.send(json!({ "type": "unsubscribe", "topic": "pose_updates" })).await;
    assert_eq!(socket.receive().await["status"], "unsubscribed");
    server.feeds[0].publish(vec![]);
    socket.send(json!({ "type": "ping" })).await;
    let pong = socket.receive().await;
    assert!(pong["type"] == "pong" && pong["timestamp"].is_string(), "no frame comes any more: {pong}");
}

#[tokio::test]
async fn one_person_can_be_followed() {
    let mut server = Server::start().await;
    let mut socket = open(&server).await;
    subscribe(&mut socket, "person_tracking", json!({ "person_id": "2" })).await;
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, None), person(2, 0.9, 4.0, Some(1))]);
    let update = socket.receive().await;
    assert_eq!((&update["type"], &update["person_id"]), (&json!("person_update"), &json!("2")));
    assert_eq!((&update["person"]["id"], &update["person"]["zone_id"]), (&json!("2"), &json!("east")));
}

#[tokio::test]
async fn a_client_that_was_away_gets_what_it_missed() {
    let mut server = Server::start().await;
    for n in 1..=200 {
        let id = server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
        if n % 16 == 0 {
            server.stored("lab", id).await;
        }
    }
    let mut socket = open(&server).await;
    socket.send(json!({ "type": "subscribe", "topic": "pose_updates", "last_frame_id": 20 })).await;
    assert_eq!(socket.receive().await["status"], "subscribed");
    for expected in 21..=200 {
        assert_eq!(socket.receive().await["frame_id"], expected);
    }
    server.feeds[0].publish(vec![]);
    assert_eq!(socket.receive().await["frame_id"], 201);
}

#[tokio::test]
async fn events_come_by_topic_and_filter() {
    let server = Server::start().await;
    let (mut zones, mut alerts) = (open(&server).await, open(&server).await);
    subscribe(&mut zones, "zone_events", json!({ "zone_id": "west" })).await;
    subscribe(&mut alerts, "system_alerts", Value::Null).await;
    let entered = |zone: &str, person: u64| Event {
        person: Some(person),
        place: Some(Place { zone: Some(Arc::from(zone)), position_m: None }),
        ..Event::new(EventKind::PersonEnteredZone, common::EPOCH_NS).at(&"lab".into())
    };
    server.events.publish(entered("east", 1));
    server.events.publish(entered("west", 2));
    let fault = Event::new(EventKind::SystemError, common::EPOCH_NS).about("ring").severe(Severity::High);
    server.events.publish(fault.because(Evidence::Fault { message: "it is full".into() }));
    let event = zones.receive().await;
    assert_eq!((&event["type"], &event["event"]), (&json!("zone_event"), &json!("person.entered_zone")));
    assert_eq!((&event["zone_id"], &event["person_id"]), (&json!("west"), &json!("2")));
    let alert = alerts.receive().await;
    assert_eq!(
        (&alert["type"], &alert["severity"], &alert["category"]),
        (&json!("system_alert"), &json!("high"), &json!("alert"))
    );
    assert_eq!(alert["message"], "alert.system_error (ring): it is full");
    assert!(alert["timestamp"].is_string() && alert["details"].is_object());
}

#[tokio::test]
async fn what_cannot_be_is_said_and_the_socket_stays() {
    let server = Server::start().await;
    let mut socket = open(&server).await;
    for (message, code) in [
        (json!({ "type": "subscribe", "topic": "weather" }), "unknown_topic"),
        (
            json!({ "type": "subscribe", "topic": "pose_updates", "filters": { "zone_id": "cellar" } }),
            "bad_filter",
        ),
        (
            json!({ "type": "subscribe", "topic": "zone_events", "filters": { "min_confidence": 2 } }),
            "bad_filter",
        ),
        (json!({ "type": "sing" }), "bad_message"),
        (json!({ "type": "configure", "config": { "max_fps": 0 } }), "bad_config"),
        (json!([1]), "bad_message"),
    ] {
        socket.send(message.clone()).await;
        let answer = socket.receive().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{message}: {answer}"
        );
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
    socket.send_text("not json").await;
    assert_eq!(socket.receive().await["code"], "bad_message");
    socket.send(json!({ "type": "configure", "config": { "max_fps": 5 } })).await;
    let applied = json!({ "type": "configuration", "status": "applied", "config": { "max_fps": 5.0 } });
    assert_eq!(socket.receive().await, applied);
}

#[tokio::test]
async fn foreign_pages_open_no_stream() {
    let server = Server::start().await;
    assert!(server.socket_at("/ws/v1/stream", None, Some("http://evil.example")).await.is_err());
}
