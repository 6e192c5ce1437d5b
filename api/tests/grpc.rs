//! gRPC with tonic's clients over plain HTTP/2, beside what the other protocols answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{EPOCH_NS, STEP_NS, Server, person};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use invispose_api::grpc::proto::event_service_client::EventServiceClient;
use invispose_api::grpc::proto::history_service_client::HistoryServiceClient;
use invispose_api::grpc::proto::pose_service_client::PoseServiceClient;
use invispose_api::grpc::proto::{self, EventFilter, Filter};
use invispose_pipeline::events::{Event, EventKind};
use prost_types::Timestamp;
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

type Http = Client<HttpConnector, tonic::body::Body>;

fn http() -> Http {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn poses(server: &Server) -> PoseServiceClient<Http> {
    PoseServiceClient::with_origin(http(), format!("http://{}", server.address).parse().unwrap())
}

fn history(server: &Server) -> HistoryServiceClient<Http> {
    HistoryServiceClient::with_origin(http(), format!("http://{}", server.address).parse().unwrap())
}

fn events(server: &Server) -> EventServiceClient<Http> {
    EventServiceClient::with_origin(http(), format!("http://{}", server.address).parse().unwrap())
}

fn at(ns: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: ns / 1_000_000_000, nanos: (ns % 1_000_000_000) as i32 })
}

async fn all<T>(mut stream: Streaming<T>) -> Vec<T> {
    let mut found = Vec::new();
    while let Some(next) = stream.message().await.unwrap() {
        found.push(next);
    }
    found
}

#[tokio::test]
async fn frames_are_those_of_rest() {
    let mut server = Server::start().await;
    let mut poses = poses(&server);
    let current = || proto::GetCurrentFrameRequest::default();
    assert_eq!(poses.get_current_frame(current()).await.unwrap_err().code(), Code::NotFound);
    let mut watched = poses.watch_frames(proto::WatchFramesRequest::default()).await.unwrap().into_inner();
    server.feeds[0].publish(vec![person(7, 0.9, 1.0, Some(0)), person(8, 0.25, 2.0, None)]);
    let frame = poses.get_current_frame(current()).await.unwrap().into_inner();
    let rest = server.get("/api/v1/pose/current").await.json();
    assert_eq!(frame.frame_id, rest["frame_id"]);
    assert_eq!(frame.site_id, rest["metadata"]["site_id"]);
    assert_eq!(
        frame.persons.len(),
        1,
        "the other one is below the confidence that is meant by saying nothing"
    );
    let (one, other) = (&frame.persons[0], &rest["persons"][0]);
    assert_eq!((&one.id, one.zone_id.as_deref()), (&"7".to_owned(), Some("west")));
    assert_eq!(one.activity().as_str_name(), "ACTIVITY_WALKING");
    assert_eq!(other["activity"], "walking");
    assert_eq!(one.keypoints.len(), 17);
    for (k, r) in one.keypoints.iter().zip(other["keypoints"].as_array().unwrap()) {
        let p = k.position_m.unwrap();
        assert_eq!(serde_json::json!([p.x, p.y, p.z]), r["position_m"]);
        assert_eq!(
            (k.name.as_str(), k.x, k.y),
            (r["name"].as_str().unwrap(), r["x"].as_f64().unwrap(), r["y"].as_f64().unwrap())
        );
    }
    let provenance = frame.provenance.unwrap();
    assert_eq!(provenance.source().as_str_name(), "SOURCE_SIMULATED");
    assert_eq!(frame.presence.unwrap().motion_level, rest["metadata"]["presence"]["motion_level"]);
    let seen = watched.message().await.unwrap().unwrap();
    assert_eq!((seen.frame_id, seen.persons.len()), (frame.frame_id, 1));

    // Filters are those of everybody.
    let faint = Filter { min_confidence: Some(0.0), person_id: Some("8".into()), ..Filter::default() };
    let only = poses.get_current_frame(proto::GetCurrentFrameRequest { filter: Some(faint) }).await.unwrap();
    assert_eq!(only.into_inner().persons.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["8"]);
    for (filter, code, names) in [
        (Filter { site_id: Some("attic".into()), ..Filter::default() }, Code::NotFound, "site_id"),
        (Filter { zone_id: Some("attic".into()), ..Filter::default() }, Code::NotFound, "zone_id"),
        (Filter { min_confidence: Some(2.0), ..Filter::default() }, Code::InvalidArgument, "min_confidence"),
    ] {
        let request = proto::GetCurrentFrameRequest { filter: Some(filter) };
        let status = poses.get_current_frame(request).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.message().contains(names), "{status}");
    }
    let too_fast = proto::WatchFramesRequest { max_fps: Some(1e9), ..Default::default() };
    assert_eq!(poses.watch_frames(too_fast).await.unwrap_err().code(), Code::InvalidArgument);

    // Whoever goes on after a frame is not given it again; the server's end is the stream's.
    let after_frame_id = server.feeds[0].publish(vec![]);
    let resumed = proto::WatchFramesRequest { after_frame_id, ..Default::default() };
    let mut resumed = poses.watch_frames(resumed).await.unwrap().into_inner();
    server.feeds[0].publish(vec![person(9, 0.9, 1.0, None)]);
    let next = resumed.message().await.unwrap().unwrap();
    assert_eq!((next.frame_id, next.persons[0].id.as_str()), (after_frame_id + 1, "9"));
    server.stop();
    assert!(resumed.message().await.is_ok_and(|m| m.is_none()));
}

#[tokio::test]
async fn the_past_comes_once_and_in_order() {
    let mut server = Server::start().await;
    for n in 0..250 {
        let people = if n % 2 == 0 { vec![person(1, 0.9, 1.0, Some(0))] } else { vec![] };
        let id = server.feeds[0].publish(people);
        // Before the ring has gone around.
        if id % 32 == 0 || id == 250 {
            server.stored("lab", id).await;
        }
    }
    let mut history = history(&server);
    let everything = proto::ListFramesRequest::default();
    let frames = all(history.list_frames(everything).await.unwrap().into_inner()).await;
    assert_eq!(frames.iter().map(|f| f.frame_id).collect::<Vec<_>>(), (1..=250).collect::<Vec<_>>());
    let some = proto::ListFramesRequest { after_frame_id: 20, limit: 130, ..Default::default() };
    let frames = all(history.list_frames(some).await.unwrap().into_inner()).await;
    assert_eq!(frames.iter().map(|f| f.frame_id).collect::<Vec<_>>(), (21..=150).collect::<Vec<_>>());
    let shown = proto::ListFramesRequest {
        filter: Some(Filter { person_id: Some("1".into()), ..Filter::default() }),
        from: at(EPOCH_NS + 10 * STEP_NS),
        to: at(EPOCH_NS + 20 * STEP_NS),
        ..Default::default()
    };
    let frames = all(history.list_frames(shown).await.unwrap().into_inner()).await;
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().all(|f| f.persons.len() == 1));
    let turned = proto::ListFramesRequest { from: at(EPOCH_NS), to: at(EPOCH_NS - 1), ..Default::default() };
    let status = history.list_frames(turned).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let status = history.list_frames(proto::ListFramesRequest { from: never, ..Default::default() }).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);

    // What it adds up to is what REST says.
    let (from, to) = (EPOCH_NS - EPOCH_NS % 60_000_000_000, EPOCH_NS + 60_000_000_000);
    let asked =
        proto::ListActivityRequest { from: at(from), to: at(to), interval_minutes: 1, ..Default::default() };
    let stretches = history.list_activity(asked).await.unwrap().into_inner().stretches;
    let whole = stretches.iter().find(|s| s.zone_id.is_none()).unwrap();
    assert_eq!((whole.frames, whole.mean_occupancy, whole.max_occupancy), (250, 0.5, 1));
    assert_eq!(whole.sources, [i32::from(proto::Source::Simulated)]);
    assert_eq!(whole.activities.iter().map(|a| a.share).sum::<f64>(), 1.0);
    let long = proto::ListActivityRequest { interval_minutes: u32::MAX, ..Default::default() };
    assert_eq!(history.list_activity(long).await.unwrap_err().code(), Code::InvalidArgument);
    let asked = proto::GetHeatMapRequest { from: at(from), to: at(to), site_id: None };
    let heat = history.get_heat_map(asked).await.unwrap().into_inner();
    assert_eq!((heat.cell_m, heat.cells.iter().map(|c| c.persons).sum::<u64>()), (0.25, 125));
}

#[tokio::test]
async fn events_come_and_are_kept() {
    let server = Server::start().await;
    let mut events = events(&server);
    let filter = EventFilter { kind: Some("person.detected".into()), ..Default::default() };
    let wanted = proto::WatchEventsRequest { filter: Some(filter.clone()) };
    let mut watched = events.watch_events(wanted).await.unwrap().into_inner();
    let made = |kind, person| {
        let event = Event { person: Some(person), ..Event::new(kind, EPOCH_NS) };
        server.events.publish(event.at(&"lab".into())).unwrap().id.to_string()
    };
    made(EventKind::PersonLost, 1);
    let ids: Vec<String> = (2..=150).map(|n| made(EventKind::PersonDetected, n)).collect();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(
        (&first.id, first.person_id.as_deref(), first.kind.as_str()),
        (&ids[0], Some("2"), "person.detected")
    );
    assert_eq!((first.time, first.site_id.as_deref()), (at(EPOCH_NS), Some("lab")));

    let request = proto::ListEventsRequest { filter: Some(filter), ..Default::default() };
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let kept = loop {
        let kept = all(events.list_events(request.clone()).await.unwrap().into_inner()).await;
        if kept.len() == ids.len() {
            break kept;
        }
        assert!(std::time::Instant::now() < end, "{} events are kept", kept.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(kept.iter().map(|e| &e.id).eq(&ids));
    let rest = proto::ListEventsRequest { after_event_id: ids[99].clone(), limit: 10, ..request };
    let rest = all(events.list_events(rest).await.unwrap().into_inner()).await;
    assert!(rest.iter().map(|e| &e.id).eq(&ids[100..110]));
    let unknown = EventFilter { kind: Some("person.sneezed".into()), ..Default::default() };
    let status = events.watch_events(proto::WatchEventsRequest { filter: Some(unknown) }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_and_reflection() {
    let mut server = Server::start().await;
    let origin: hyper::Uri = format!("http://{}", server.address).parse().unwrap();
    let mut health = HealthClient::with_origin(http(), origin.clone());
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    let mut watched = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.feeds[0].publish(vec![]);
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let check = health.check(of("invispose.v1.PoseService")).await.unwrap().into_inner();
    assert_eq!(check.status(), ServingStatus::Serving);
    assert_eq!(health.check(of("nobody")).await.unwrap_err().code(), Code::NotFound);

    let mut reflection = ServerReflectionClient::with_origin(http(), origin);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(futures_util::stream::iter([ask])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = services.service.into_iter().map(|s| s.name).collect();
    for wanted in ["PoseService", "HistoryService", "EventService"] {
        assert!(names.contains(&format!("invispose.v1.{wanted}")), "{names:?}");
    }
}
