//! The event bus, its gate, and what becomes an event.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use invispose_pipeline::events::{
    Delivery, Event, EventBus, EventKind, Evidence, Monitor, MonitorConfig, Nothing, RateRule, SiteWatch,
    WatchConfig,
};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::health::{Part, SourceStats};
use invispose_pipeline::pose::{Keypoint, Person, Presence};
use invispose_pipeline::{Health, PoseFrame, Provenance, SourceKind};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const LONG: Duration = Duration::from_secs(20);

fn free() -> Vec<RateRule> {
    EventKind::ALL.iter().map(|&kind| RateRule { kind, repeat_s: 0.0, per_minute: 1e9 }).collect()
}

fn numbered(n: u64) -> Event {
    Event { person: Some(n), ..Event::new(EventKind::PersonDetected, n as i64) }
}

proptest! {
    /// Whatever a subscriber's pace: it gets every event in order, or is told how many it did not get.
    #[test]
    fn nothing_is_lost_in_silence(capacity in 1usize..20, bursts in prop::collection::vec((0u64..30, 0usize..30), 1..20)) {
        let bus = EventBus::new(&free(), capacity);
        let mut reader = bus.subscribe();
        let (mut sent, mut expected) = (0, 0);
        let mut read = |reads: usize, sent: u64| {
            for _ in 0..reads {
                match reader.try_next() {
                    Ok(Delivery::Event(e)) => {
                        assert_eq!(e.person, Some(expected));
                        expected += 1;
                    }
                    Ok(Delivery::Missed(n)) => expected += n,
                    Err(nothing) => {
                        assert_eq!(nothing, Nothing::Yet);
                        assert_eq!(expected, sent);
                        return;
                    }
                }
            }
        };
        for (sends, reads) in bursts {
            for _ in 0..sends {
                bus.publish(numbered(sent)).unwrap();
                sent += 1;
            }
            read(reads, sent);
        }
        read(usize::MAX, sent);
        bus.close();
        prop_assert!(bus.publish(numbered(0)).is_none());
        prop_assert_eq!(reader.try_next(), Err(Nothing::Closed));
    }

    /// Of any times and persons: no two of one person within `repeat_s`, and no more than the rate allows.
    #[test]
    fn the_gate_keeps_its_rule(steps in prop::collection::vec((0u32..3000, 0u64..4), 1..200)) {
        let rule = RateRule { kind: EventKind::PersonEnteredZone, repeat_s: 5.0, per_minute: 6.0 };
        let bus = EventBus::new(&[rule], 1000);
        let mut time = 0i64;
        let mut passed: Vec<Arc<Event>> = Vec::new();
        let mut refused_by_rate = 0;
        for (ms, person) in steps {
            time += i64::from(ms) * 1_000_000;
            let repeats = passed.iter().any(|e| e.person == Some(person) && time - e.time_ns < 5 * SECOND);
            let event = Event { person: Some(person), ..Event::new(EventKind::PersonEnteredZone, time) };
            match bus.publish(event) {
                Some(e) => {
                    prop_assert!(!repeats);
                    prop_assert!(e.suppressed <= refused_by_rate);
                    refused_by_rate = 0;
                    passed.push(e);
                }
                None => refused_by_rate += 1,
            }
        }
        // A bucket of six, filled at six a minute: in any span T no more than 6 + T / 10 s.
        for (i, first) in passed.iter().enumerate() {
            for (k, last) in passed.iter().enumerate().skip(i) {
                let span_s = (last.time_ns - first.time_ns) as f64 / 1e9;
                prop_assert!((k - i + 1) as f64 <= 6.0 + span_s / 10.0 + 1e-6);
            }
        }
    }

    /// Every person who was announced is taken leave of once, and nobody else is.
    #[test]
    fn those_who_come_go(frames in prop::collection::vec(prop::collection::btree_set(1u64..6, 0..5), 1..40)) {
        let mut watch = SiteWatch::new("lab", FloorPlan::default(), WatchConfig::default());
        let mut there = std::collections::BTreeSet::new();
        for (i, ids) in frames.into_iter().enumerate() {
            let mut told = Vec::new();
            watch.frame(&frame(i as i64 * SECOND, &ids.iter().copied().collect::<Vec<_>>()), &mut |e| told.push(e));
            for event in told {
                let id = event.person.unwrap();
                match event.kind {
                    EventKind::PersonDetected => prop_assert!(there.insert(id)),
                    EventKind::PersonLost => prop_assert!(there.remove(&id)),
                    other => prop_assert!(false, "{other}"),
                }
                prop_assert!(event.provenance.is_some() && event.place.is_some());
            }
            prop_assert_eq!(&there, &ids);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn those_who_wait_are_woken() {
    let bus = EventBus::new(&free(), 10_000);
    let readers: Vec<_> = (0..4)
        .map(|i| {
            let mut reader = bus.subscribe();
            thread::spawn(move || {
                let mut last = 0;
                loop {
                    let got =
                        if i % 2 == 0 { reader.next_within(LONG).ok() } else { block_on(reader.next()) };
                    match got {
                        Some(Delivery::Event(e)) => last = e.person.unwrap(),
                        Some(Delivery::Missed(n)) => panic!("missed {n}"),
                        None => return last,
                    }
                }
            })
        })
        .collect();
    for n in 1..=5000 {
        bus.publish(numbered(n)).unwrap();
    }
    bus.close();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 5000);
    }
}

#[test]
fn an_event_is_the_same_after_json() {
    for &kind in EventKind::ALL {
        assert_eq!(kind.name().parse::<EventKind>().unwrap(), kind);
        let evidence = Evidence::Threshold { metric: "dwell_s".into(), value: 61.5, limit: 60.0 };
        let event = numbered(7).because(evidence).about("a rule");
        let event = Event { kind, ..event };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(&format!("\"{kind}\"")));
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
    assert!("person.vanished".parse::<EventKind>().is_err());
}

#[test]
fn a_fault_is_told_when_it_comes_and_when_it_goes() {
    let health = Health::default();
    let mut monitor = Monitor::new(health.clone(), MonitorConfig::default());
    let mut look = |t: i64| {
        let mut told = Vec::new();
        monitor.look(t * SECOND, &mut |e| told.push((e.kind, e.subject.unwrap().to_string())));
        told
    };
    assert!(look(0).is_empty());
    health.set_fault("inference", Some("the adapter was lost".into()));
    assert_eq!(look(1), [(EventKind::SystemError, "inference".into())]);
    assert!(look(2).is_empty());
    health.set_fault("inference", None);
    assert_eq!(look(3), [(EventKind::SystemRecovered, "inference".into())]);

    health.set_fault(Part::Site("ring", "attic".into()), Some("no space left".into()));
    let mut sites = Vec::new();
    monitor.look(4 * SECOND, &mut |e| sites.push((e.kind, e.site)));
    assert_eq!(sites, [(EventKind::SystemError, Some("attic".into()))]);

    let mut look = |t: i64| {
        let mut told = Vec::new();
        monitor.look(t * SECOND, &mut |e| told.push((e.kind, e.subject.unwrap().to_string())));
        told
    };
    let source = Arc::new(SourceStats::new("udp://x", SourceKind::Live));
    health.add_source(source.clone());
    assert!(look(10).is_empty());
    source.accepted.add(1000);
    source.dropped.add(5);
    assert!(look(31).is_empty(), "half a percent is little");
    source.accepted.add(1000);
    source.dropped.add(50);
    assert!(look(45).is_empty(), "judged before its time");
    assert_eq!(look(60), [(EventKind::PerformanceDegraded, "udp://x".into())]);
}

#[test]
fn links_and_presence_are_told_at_their_changes() {
    let mut watch = SiteWatch::new("lab", FloorPlan::default(), WatchConfig::default());
    let mut told = Vec::new();
    for second in 0..60 {
        let names: &[&str] = if (20..45).contains(&second) { &["a"] } else { &["a", "b"] };
        watch.links(second * SECOND, names.iter().copied(), &mut |e| {
            told.push((second, e.kind.name(), e.subject.unwrap().to_string()));
        });
        let present = (10..50).contains(&second);
        let presence = Presence { present, motion_level: 2.0, coverage: 1.0 };
        let frame =
            PoseFrame { presence: (second % 7 != 0).then_some(presence), ..frame(second * SECOND, &[]) };
        watch.frame(&frame, &mut |e| told.push((second, e.kind.name(), String::new())));
    }
    let expected = [
        (0, "router.connected", "a"),
        (0, "router.connected", "b"),
        (10, "presence.started", ""),
        (30, "router.disconnected", "b"),
        (45, "router.connected", "b"),
        (50, "presence.ended", ""),
    ];
    assert_eq!(told, expected.map(|(t, kind, about)| (t, kind, about.to_owned())));
}

fn frame(time_ns: i64, ids: &[u64]) -> PoseFrame {
    let person = |&id: &u64| Person {
        id,
        confidence: 0.9,
        position_m: [1.0, 1.0, 0.9],
        velocity_m_s: [0.0; 3],
        keypoints: [Keypoint::default(); 17],
        activity: None,
        zone: None,
        breathing: None,
    };
    PoseFrame {
        frame_id: 0,
        site: "lab".into(),
        time_ns,
        processing_ns: 0,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: None,
            calibrated: false,
            experimental: true,
        },
        presence: None,
        breathing: None,
        count: None,
        activity: None,
        persons: ids.iter().map(person).collect(),
    }
}
