//! The store beside a running ring, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/postgres.rs"]
mod postgres;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{EPOCH_NS, STEP_NS, frame, person, place, site};
use invispose_api::query::{Filter, Page, Take, TimeRange};
use invispose_api::store::{COMPONENT, HISTORY, Kind, Store, StoreConfig, StoreError, Writer};
use invispose_api::{ApiConfig, ApiState, Site, Time};
use invispose_pipeline::events::{Event, EventBus, EventKind};
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::{Health, PoseFrame};
use postgres::Postgres;
use serde_json::json;

/// A site with a small ring and a store behind it.
struct Bed {
    config: StoreConfig,
    ring: Option<RingWriter>,
    place: Site,
    health: Health,
    events: EventBus,
    store: Store,
    writer: Option<Writer>,
}

const SLOTS: u32 = 64;

impl Bed {
    async fn open(config: StoreConfig) -> Self {
        Self::with_slots(config, SLOTS).await
    }

    async fn with_slots(config: StoreConfig, slots: u32) -> Self {
        std::fs::create_dir_all(&config.data_dir).unwrap();
        let ring = RingConfig { slots, slot_bytes: 8192 };
        let mut ring = RingWriter::open(config.data_dir.join("lab.ring"), ring).unwrap();
        let (place, wake) = place(site("lab"), ring.reader());
        ring.on_publish(Box::new(move |id| wake.published(id)));
        let (health, events) = (Health::default(), EventBus::default());
        let store = Store::open(config.clone()).await.unwrap();
        let writer = store.start(std::slice::from_ref(&place), &events, &health).unwrap();
        Self { config, ring: Some(ring), place, health, events, store, writer: Some(writer) }
    }

    fn state(&self) -> ApiState {
        let (store, events) = (self.store.clone(), self.events.clone());
        ApiState::with_store(
            vec![self.place.clone()],
            self.health.clone(),
            ApiConfig::default(),
            store,
            events,
        )
    }

    fn publish(&mut self, change: impl FnOnce(&mut PoseFrame)) -> u64 {
        let ring = self.ring.as_mut().unwrap();
        let id = ring.next_frame_id();
        let mut frame = frame("lab", id, people(id));
        change(&mut frame);
        ring.publish(&frame).unwrap();
        id
    }

    /// Publishes so many frames, as fast as the store takes them.
    async fn fill(&mut self, count: u64) -> u64 {
        let mut last = 0;
        for n in 1..=count {
            last = self.publish(|_| ());
            if n % 16 == 0 {
                self.stored(last).await;
            }
        }
        self.stored(last).await;
        last
    }

    async fn stored(&self, id: u64) {
        until("frames in the database", async || self.store.position("lab").await.is_ok_and(|p| p >= id))
            .await;
    }

    /// The process dies: the ring's file and what is on the disk stay.
    async fn die(mut self) -> StoreConfig {
        drop(self.ring.take());
        drop(self.writer.take());
        self.config.clone()
    }

    async fn ids(&self, page: Page) -> (Vec<u64>, bool) {
        let selection = self.state().select(&Filter::default()).unwrap();
        let slice = selection.history(TimeRange::default(), page).await.unwrap();
        (slice.frames.iter().map(|f| f.frame().frame_id).collect(), slice.more)
    }
}

fn people(id: u64) -> Vec<invispose_pipeline::Person> {
    match id % 3 {
        0 => vec![],
        1 => vec![person(7, 0.75, 1.0 + id as f32 / 1000.0, Some(0))],
        _ => vec![person(7, 0.5, 1.25, Some(0)), person(8 + id / 100, 0.9, 4.0, Some(1))],
    }
}

async fn until(what: &str, mut content: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !content().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn config(dir: &Path, url: Option<String>) -> StoreConfig {
    StoreConfig { url, write_every: Duration::from_millis(20), ..StoreConfig::new(dir) }
}

fn all(take: Take) -> Page {
    Page { after: None, before: None, skip: 0, take }
}

async fn each_frame_once(config: StoreConfig) {
    let mut bed = Bed::open(config).await;
    let last = bed.fill(400).await;
    let expected: Vec<u64> = (1..=last).collect();
    let (forwards, more) = bed.ids(all(Take::First(1000))).await;
    assert_eq!((forwards, more), (expected.clone(), false));
    assert_eq!(bed.ids(all(Take::Last(1000))).await.0, expected);
    let (page, more) = bed.ids(Page { skip: 30, ..all(Take::First(350)) }).await;
    assert_eq!((page, more), ((31..=380).collect(), true));
    let (page, more) = bed.ids(Page { after: Some(100), before: Some(390), ..all(Take::Last(300)) }).await;
    assert_eq!((page, more), ((101..=389).collect(), false));
    assert_eq!(bed.ids(Page { skip: 398, ..all(Take::Last(50)) }).await.0, [1, 2]);

    // What comes from the store is what was published, in every figure that an API shows.
    let state = bed.state();
    let one = Filter { person: Some("7".into()), zone: Some("west".into()), ..Filter::default() };
    let selection = state.select(&one).unwrap();
    let time = |n: i64| Some(Time::from_ns(EPOCH_NS + STEP_NS * n));
    let range = TimeRange::checked(time(10), time(20)).unwrap();
    let slice = selection.history(range, all(Take::First(100))).await.unwrap();
    let found: Vec<u64> = slice.frames.iter().map(|f| f.frame().frame_id).collect();
    assert_eq!(found, [10, 11, 13, 14, 16, 17, 19]);
    let oldest = &slice.frames[0];
    let mut original = frame("lab", 10, people(10));
    assert_eq!(oldest.frame().provenance, original.provenance);
    original.persons[0].position_m[0] = oldest.frame().persons[0].position_m[0];
    for (new, old) in original.persons[0].keypoints.iter_mut().zip(&oldest.frame().persons[0].keypoints) {
        for (a, b) in new.position_m.iter_mut().zip(old.position_m) {
            assert!((*a - b).abs() < 1e-4);
            *a = b;
        }
    }
    assert_eq!(*oldest.frame(), original);
    assert!(
        selection.history(range, Page { skip: 7, ..all(Take::First(9)) }).await.unwrap().frames.is_empty()
    );

    let record = bed.store.person("lab", 7).await.unwrap().unwrap();
    assert_eq!((record.frames, record.zone.as_deref()), ((1, last), Some("west")));
    let seen = expected.iter().filter(|n| **n % 3 != 0).count() as u64;
    assert_eq!((record.count, record.activities), (seen, [0, seen, 0, 0, 0, 0]));
    bed.writer.take().unwrap().close().await;
}

async fn death_loses_nothing_and_doubles_nothing(mut config: StoreConfig) {
    let mut last = 0;
    for n in 0..6 {
        let mut bed = Bed::open(config).await;
        bed.fill(20 + n).await;
        // These may or may not be written when the process dies; the ring has them.
        for _ in 0..n * 4 {
            last = bed.publish(|_| ());
            tokio::task::yield_now().await;
        }
        config = bed.die().await;
    }
    let bed = Bed::open(config).await;
    bed.stored(last).await;
    assert_eq!(bed.ids(all(Take::First(1000))).await.0, (1..=last).collect::<Vec<_>>());
    let whole = bed.state().select(&Filter::default()).unwrap();
    let from = Time::from_ns(EPOCH_NS - 60_000_000_000);
    let buckets =
        whole.buckets(from, Time::from_ns(EPOCH_NS + STEP_NS * 1000), 60_000_000_000).await.unwrap();
    let frames: u64 = buckets.iter().filter(|b| b.zone.is_none()).map(|b| b.frames).sum();
    assert_eq!(frames, last, "nothing is summed twice");
}

async fn sums_are_those_of_the_frames(config: StoreConfig) {
    let mut bed = Bed::open(config).await;
    // A frame every 20 s, so that hours and minutes differ; some from before.
    let mut truth = Vec::new();
    for n in 0..300i64 {
        let time_ns = EPOCH_NS + if n % 50 == 49 { -7 } else { n } * 20_000_000_000;
        let id = bed.publish(|f| f.time_ns = time_ns);
        truth.push(frame("lab", id, people(id)));
        truth.last_mut().unwrap().time_ns = time_ns;
        if n % 16 == 0 {
            bed.stored(id).await;
        }
    }
    bed.stored(300).await;
    let selection = bed.state().select(&Filter::default()).unwrap();
    let minute = 60_000_000_000;
    for width in [minute, 7 * minute, 60 * minute, 1440 * minute] {
        let (from, to) = (EPOCH_NS + 13 * minute, EPOCH_NS + 90 * minute);
        let (from, to) = (from - from.rem_euclid(minute), to - to.rem_euclid(minute));
        let buckets = selection.buckets(Time::from_ns(from), Time::from_ns(to), width).await.unwrap();
        for zone in [None, Some(0u16)] {
            let name = zone.map(|_| "west".to_owned());
            let inside = || truth.iter().filter(|f| (from..to).contains(&f.time_ns));
            let starts: std::collections::BTreeSet<i64> =
                inside().map(|f| f.time_ns - f.time_ns.rem_euclid(width)).collect();
            for start in starts {
                let frames: Vec<_> =
                    inside().filter(|f| f.time_ns - f.time_ns.rem_euclid(width) == start).collect();
                let count = |f: &&PoseFrame| {
                    f.persons.iter().filter(|p| zone.is_none() || p.zone == zone).count() as u64
                };
                let persons: u64 = frames.iter().map(count).sum();
                let bucket = buckets.iter().find(|b| b.start.as_ns() == start && b.zone == name);
                let Some(bucket) = bucket else {
                    assert_eq!((persons, zone.is_some()), (0, true), "{width} {start}");
                    continue;
                };
                assert_eq!(bucket.persons, persons, "{width} {start} {zone:?}");
                assert_eq!(bucket.most, frames.iter().map(count).max().unwrap());
                assert_eq!(bucket.occupied, frames.iter().filter(|f| count(f) > 0).count() as u64);
                if zone.is_none() {
                    assert_eq!(bucket.frames, frames.len() as u64);
                    assert_eq!((bucket.known, bucket.motion), (bucket.frames, Some(2.5)));
                }
            }
        }
    }
    let heat =
        selection.heat(Time::from_ns(EPOCH_NS - minute * 9), Time::from_ns(EPOCH_NS + minute * 200)).await;
    let heat = heat.unwrap();
    let persons: usize = truth.iter().map(|f| f.persons.len()).sum();
    assert_eq!(heat.cells.iter().map(|c| c.count).sum::<u64>(), persons as u64);
    assert!(heat.cells.iter().any(|c| c.corner_m == [4.0, 1.0] && c.count == 100), "{heat:?}");
}

async fn old_frames_are_thinned_and_forgotten(config: StoreConfig) {
    let mut bed = Bed::open(config).await;
    bed.fill(100).await;
    let minute = Duration::from_secs(60);
    let keep = bed.config.keep.clone();
    let in_time = |age: Duration| Time::now().as_ns() + i64::try_from((age + minute).as_nanos()).unwrap();
    bed.store.tidy(in_time(Duration::ZERO)).await.unwrap();
    assert_eq!(bed.ids(all(Take::First(1000))).await.0.len(), 100);
    bed.store.tidy(in_time(keep.full)).await.unwrap();
    // The ring still has its frames; before them there is one a second, and 20 frames are a second.
    let ids = bed.ids(all(Take::First(1000))).await.0;
    assert!(ids.len() > 30 && ids.len() < 70, "{ids:?}");
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
    assert_eq!(ids.iter().filter(|id| **id <= 20).count(), 2, "{ids:?}");
    bed.store.tidy(in_time(keep.thinned)).await.unwrap();
    assert!(bed.store.person("lab", 7).await.unwrap().is_none());
    bed.store.tidy(in_time(keep.minutes)).await.unwrap();
    let selection = bed.state().select(&Filter::default()).unwrap();
    let (from, to) = (Time::from_ns(EPOCH_NS - 10 * 3600 * 1_000_000_000), Time::now());
    let hours = selection.buckets(from, to, 3_600_000_000_000).await.unwrap();
    assert_eq!(hours.iter().filter(|b| b.zone.is_none()).map(|b| b.frames).sum::<u64>(), 100);
}

async fn events_are_kept(config: StoreConfig) {
    let bed = Bed::open(config).await;
    let mut ids = Vec::new();
    for n in 0..20u64 {
        let mut event = Event::new(EventKind::PersonDetected, EPOCH_NS + n as i64).at(&"lab".into());
        event.person = Some(n);
        ids.push(bed.events.publish(event).unwrap().id);
    }
    let stats = bed.store.stats();
    until("events in the database", async || stats.events.load(Ordering::Relaxed) == 20).await;
    let query = invispose_api::store::EventQuery {
        site: Some("lab".into()),
        from_ns: Some(EPOCH_NS + 3),
        to_ns: Some(EPOCH_NS + 9),
        limit: 4,
        skip: 1,
        ..Default::default()
    };
    let found = bed.store.events(&query).await.unwrap();
    assert_eq!(found.iter().map(|e| e.id).collect::<Vec<_>>(), ids[4..8]);
    assert_eq!(found[0].person, Some(4));
}

async fn documents_change_only_from_their_version(config: StoreConfig) {
    let bed = Bed::open(config).await;
    let store = &bed.store;
    let made = store.create(Kind::Zone, "lab", "desk", &json!({ "name": "Desk" })).await.unwrap();
    assert!(matches!(store.create(Kind::Zone, "lab", "desk", &json!({})).await, Err(StoreError::Changed)));
    let first = store.replace(Kind::Zone, &made, json!({ "name": "A" })).await.unwrap();
    let second = store.replace(Kind::Zone, &made, json!({ "name": "B" })).await;
    assert!(matches!(second, Err(StoreError::Changed)));
    assert_eq!(store.resource(Kind::Zone, "lab", "desk").await.unwrap().unwrap(), first);
    assert_eq!((first.version, &first.body["name"]), (2, &json!("A")));
    assert!(matches!(store.remove(Kind::Zone, &made).await, Err(StoreError::Changed)));
    store.remove(Kind::Zone, &first).await.unwrap();
    assert!(store.resources(Kind::Zone, "lab", 10, 0).await.unwrap().is_empty());
}

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                super::$name(super::config(dir.path(), None)).await;
            })*
        }

        /// One server for all.
        #[tokio::test]
        async fn the_same_on_postgresql() {
            let Some(postgres) = Postgres::start() else { return };
            $({
                let dir = tempfile::tempdir().unwrap();
                $name(config(dir.path(), Some(postgres.database(stringify!($name))))).await;
            })*
        }
    };
}

suite!(
    each_frame_once,
    death_loses_nothing_and_doubles_nothing,
    sums_are_those_of_the_frames,
    old_frames_are_thinned_and_forgotten,
    events_are_kept,
    documents_change_only_from_their_version,
);

#[tokio::test]
async fn what_the_ring_overwrote_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::with_slots(config(dir.path(), None), 8).await;
    bed.fill(2).await;
    // Nothing else runs meanwhile.
    for _ in 0..100 {
        bed.publish(|_| ());
    }
    bed.stored(102).await;
    let missed = bed.store.stats().missed.load(Ordering::Relaxed);
    assert!((90..100).contains(&missed), "{missed}");
    let kept = bed.ids(all(Take::First(1000))).await.0;
    assert_eq!(kept, (1..=2).chain(missed + 3..=102).collect::<Vec<_>>());
    // The fault goes once the store keeps up.
    bed.publish(|_| ());
    until("no fault", async || !format!("{:?}", bed.health.faults()).contains(HISTORY)).await;
}

#[tokio::test]
async fn ids_go_on_when_the_ring_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::open(config(dir.path(), None)).await;
    let last = bed.fill(40).await;
    let config = bed.die().await;
    std::fs::remove_file(dir.path().join("lab.ring")).unwrap();
    let ring = RingConfig { slots: SLOTS, slot_bytes: 8192 };
    let mut ring = RingWriter::open(dir.path().join("lab.ring"), ring).unwrap();
    ring.continue_after(last).unwrap();
    assert_eq!((ring.next_frame_id(), ring.reader().head()), (last + 1, last));
    assert!(ring.reader().latest().is_none());
    drop(ring);
    let mut bed = Bed::open(config).await;
    let last = bed.fill(30).await;
    assert_eq!(bed.ids(all(Take::First(1000))).await.0, (1..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn writes_wait_while_the_database_is_away() {
    let Some(mut postgres) = Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::open(config(dir.path(), Some(postgres.database("away")))).await;
    bed.fill(100).await;
    postgres.crash();
    // Four times around the ring: most of it waits on the disk.
    let taken = |bed: &Bed| bed.store.stats().frames.load(Ordering::Relaxed);
    for n in 0..256 {
        let id = bed.publish(|_| ());
        if n % 16 == 15 {
            until("frames on the disk", async || taken(&bed) >= id).await;
        }
    }
    assert!(format!("{:?}", bed.health.faults()).contains(COMPONENT));
    assert!(bed.store.stats().queued.load(Ordering::Relaxed) > 0);
    // Live answers and those that the ring can give go on; others say why not.
    let state = bed.state();
    let selection = state.select(&Filter::default()).unwrap();
    assert_eq!(selection.current().unwrap().frame().frame_id, 356);
    let recent = Page { after: Some(340), ..all(Take::First(10)) };
    assert_eq!(bed.ids(recent).await.0, (341..=350).collect::<Vec<_>>());
    assert!(selection.history(TimeRange::default(), all(Take::First(10))).await.is_err());

    // The process is started anew before the database is back.
    let config = bed.die().await;
    let bed = Bed::open(config).await;
    postgres.resume();
    bed.stored(356).await;
    assert_eq!(bed.ids(all(Take::First(1000))).await.0, (1..=356).collect::<Vec<_>>());
    until("no fault", async || bed.health.faults().is_empty()).await;
    assert_eq!(bed.store.stats().queued.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_connection_may_be_encrypted() {
    let made = tempfile::tempdir().unwrap();
    certificates::make(made.path());
    let Some((postgres, port)) = Postgres::start_tls(made.path()) else { return };
    postgres.database("private");
    let url = |mode: &str, authority: &Path| {
        let authority = authority.display();
        Some(format!("postgres://invispose@localhost:{port}/private?sslmode={mode}&sslrootcert={authority}"))
    };
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(config(dir.path(), url("verify-full", &made.path().join("ca.pem")))).await.unwrap();
    store.create(Kind::Zone, "lab", "desk", &json!({ "name": "Desk" })).await.unwrap();
    // As the server sees it; a division by zero fails.
    let encrypted = "SELECT 1 / (count(*) > 0 AND bool_and(ssl))::int FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL";
    assert!(postgres.sql("private", encrypted));

    // One that another authority signed is not talked to.
    let other = tempfile::tempdir().unwrap();
    certificates::make(other.path());
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(config(dir.path(), url("verify-full", &other.path().join("ca.pem")))).await.unwrap();
    let refused = store.resource(Kind::Zone, "lab", "desk").await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_holds_writes_up_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "none"])
        .arg(dir.path())
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        println!("skipped: no right to mount a small tmpfs");
        return;
    }
    struct Unmount<'a>(&'a Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _unmount = Unmount(dir.path());
    let mut bed = Bed::open(config(dir.path(), None)).await;
    bed.fill(32).await;
    let ballast = dir.path().join("ballast");
    let _ = std::fs::write(&ballast, vec![1; 4 << 20]);
    bed.publish(|_| ());
    until("a fault", async || format!("{:?}", bed.health.faults()).contains(COMPONENT)).await;
    for _ in 0..20 {
        bed.publish(|_| ());
    }
    assert_eq!(bed.state().select(&Filter::default()).unwrap().current().unwrap().frame().frame_id, 53);
    std::fs::remove_file(&ballast).unwrap();
    bed.stored(53).await;
    assert_eq!(bed.ids(all(Take::First(1000))).await.0, (1..=53).collect::<Vec<_>>());
    until("no fault", async || bed.health.faults().is_empty()).await;
}
