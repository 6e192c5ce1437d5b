//! Alert rules, from events to the end of an alert.
#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::{Duration, Instant};

use invispose_pipeline::alerts::{AlertDesk, AlertEngine, AlertRule, AlertState, Change, RuleError, Status};
use invispose_pipeline::events::{Event, EventBus, EventKind, Evidence, Place, Severity};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

fn rule(text: &str) -> AlertRule {
    serde_json::from_str(text).unwrap()
}

fn engine(text: &str) -> AlertEngine {
    AlertEngine::new(&[rule(text)], AlertState::default()).unwrap()
}

fn fall(person: u64, t: i64) -> Event {
    Event { person: Some(person), ..Event::new(EventKind::FallDetected, t * SECOND).at(&"lab".into()) }
        .severe(Severity::Medium)
}

fn kinds(changes: &[Change]) -> Vec<EventKind> {
    changes.iter().map(|c| c.kind).collect()
}

const FALLS: &str = r#"{"id": "falls", "on": ["person.fall_detected"], "severity": "medium", "escalate_after_s": 60,
    "resolve_on": ["person.fall_recovered"], "resolve_after_s": 600}"#;

#[test]
fn an_alert_is_opened_once_escalates_and_ends() {
    let mut engine = engine(FALLS);
    assert_eq!(kinds(&engine.event(&fall(1, 0), 0)), [EventKind::AlertOpened]);
    assert!(engine.event(&fall(1, 15), 15 * SECOND).is_empty(), "the same fall again");
    assert_eq!(kinds(&engine.event(&fall(2, 20), 20 * SECOND)), [EventKind::AlertOpened]);
    assert_eq!(engine.alerts()[0].events, 2);

    assert!(engine.tick(59 * SECOND).is_empty());
    let changes = engine.tick(60 * SECOND);
    assert_eq!(kinds(&changes), [EventKind::AlertEscalated]);
    assert_eq!(changes[0].alert.severity, Severity::High);

    let second = engine.alerts()[1].id;
    let changes = engine.acknowledge(second, "ann", 70 * SECOND).unwrap();
    assert_eq!(kinds(changes.as_slice()), [EventKind::AlertAcknowledged]);
    assert_eq!(engine.acknowledge(second, "bob", 71 * SECOND), Ok(None));
    assert_eq!(engine.alerts()[1].acknowledged, Some(("ann".into(), 70 * SECOND)));

    // The first goes on to critical, and no further; the acknowledged one stays as it is.
    assert_eq!(engine.tick(121 * SECOND)[0].alert.severity, Severity::Critical);
    assert!(engine.tick(500 * SECOND).is_empty());
    assert_eq!(engine.alerts()[1].severity, Severity::Medium);

    let up = Event { kind: EventKind::FallRecovered, ..fall(2, 510) };
    let changes = engine.event(&up, 510 * SECOND);
    assert_eq!((kinds(&changes), changes[0].alert.id), (vec![EventKind::AlertResolved], second));
    assert_eq!(changes[0].alert.status, Status::Resolved);
    assert!(engine.acknowledge(second, "ann", 0).is_err() && engine.resolve(second, "ann", 0).is_err());
    // Nothing more of the first for ten minutes after its last event.
    assert!(engine.tick(614 * SECOND).is_empty());
    assert_eq!(kinds(&engine.tick(615 * SECOND)), [EventKind::AlertResolved]);
    assert!(engine.alerts().is_empty());
}

#[test]
fn a_rule_takes_what_it_asks_for() {
    let text = r#"{"id": "crowd", "on": ["alert.high_occupancy"], "site": "lab", "zone": "hall", "above": 10,
        "min_severity": "medium", "severity": "low", "each": "zone",
        "schedule": [{"from": "08:00", "to": "18:00"}]}"#;
    let hour = 3600 * SECOND;
    let event = |site: &str, zone: &str, current: u32, t: i64, severity| Event {
        place: Some(Place { zone: Some(zone.into()), position_m: None }),
        ..Event::new(EventKind::HighOccupancy, t)
            .at(&site.into())
            .severe(severity)
            .because(Evidence::Occupancy { current, maximum: 5, duration_s: 3.0 })
    };
    let opens = |e: Event| !engine(text).event(&e, 0).is_empty();
    assert!(opens(event("lab", "hall", 11, 9 * hour, Severity::Medium)));
    assert!(!opens(event("lab", "hall", 10, 9 * hour, Severity::Medium)), "not above");
    assert!(!opens(event("lab", "hall", 11, 7 * hour, Severity::Medium)), "too early");
    assert!(!opens(event("lab", "bath", 11, 9 * hour, Severity::Medium)), "another zone");
    assert!(!opens(event("shop", "hall", 11, 9 * hour, Severity::Medium)), "another site");
    assert!(!opens(event("lab", "hall", 11, 9 * hour, Severity::Low)), "too little");
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let refused = |texts: &[&str]| {
        let rules: Vec<AlertRule> = texts.iter().map(|t| rule(t)).collect();
        AlertEngine::new(&rules, AlertState::default()).unwrap_err()
    };
    assert_eq!(refused(&[FALLS, FALLS]), RuleError::SameId("falls".into()));
    let loops = r#"{"id": "a", "on": ["alert.opened"], "severity": "low"}"#;
    assert!(refused(&[loops]).to_string().contains("not made of alerts"));
    let never = r#"{"id": "a", "on": ["person.lost"], "severity": "low", "at_least": 0}"#;
    assert!(refused(&[never]).to_string().contains("at_least"));
    let nowhere = r#"{"id": "a", "on": ["person.lost"], "severity": "low",
        "schedule": [{"from": "08:00", "to": "18:00", "time_zone": "Mars"}]}"#;
    assert!(refused(&[nowhere]).to_string().contains("Mars"));
}

proptest! {
    /// An alert is opened exactly when so many events lie within so many seconds, whatever a restart comes between.
    #[test]
    fn enough_events_make_an_alert(gaps in prop::collection::vec(0i64..40, 1..60), restarts in prop::collection::vec(any::<bool>(), 60)) {
        let text = r#"{"id": "often", "on": ["person.detected"], "severity": "low", "at_least": 3, "within_s": 60, "each": "site"}"#;
        let mut engine = engine(text);
        let mut times: Vec<i64> = Vec::new();
        let mut t = 0;
        for (gap, restart) in gaps.into_iter().zip(restarts) {
            t += gap;
            times.push(t);
            let expected = times.iter().filter(|&&u| t - u <= 60).count() >= 3;
            let event = Event::new(EventKind::PersonDetected, t * SECOND).at(&"lab".into());
            let changes = engine.event(&event, t * SECOND);
            prop_assert_eq!(changes.len() == 1, expected);
            if expected {
                engine.resolve(changes[0].alert.id, "ann", t * SECOND).unwrap();
                times.clear();
            }
            if restart {
                let kept = serde_json::to_string(engine.state()).unwrap();
                engine = AlertEngine::new(&[rule(text)], serde_json::from_str(&kept).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn the_desk_hears_the_bus_and_answers_on_it() {
    let bus = EventBus::default();
    let mut heard = bus.subscribe();
    let desk = AlertDesk::new(engine(FALLS), bus.clone());
    let (running, ended) = crossbeam_channel::bounded::<()>(0);
    let thread = thread::spawn({
        let (desk, events) = (desk.clone(), bus.subscribe());
        move || desk.run(events, &ended)
    });
    bus.publish(fall(1, 0)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut next = |kind: EventKind| {
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(invispose_pipeline::events::Delivery::Event(e)) = heard.next_within(left)
                && e.kind == kind
            {
                return e;
            }
        }
        panic!("no {kind}");
    };
    let opened = next(EventKind::AlertOpened);
    let alert = desk.alerts()[0].clone();
    assert_eq!(opened.subject.as_deref(), Some(alert.id.to_string().as_str()));
    desk.acknowledge(alert.id, "ann").unwrap();
    next(EventKind::AlertAcknowledged);
    desk.resolve(alert.id, "ann").unwrap();
    next(EventKind::AlertResolved);
    drop(running);
    thread.join().unwrap();
    assert_eq!(desk.state(), AlertState::default());
}
