//! A month of history: what it takes on the disk, and how long it takes to ask. One site with four zones at 10 frames a second; from eight
//! to eighteen o'clock people come and go, up to three at a time, each for some minutes. The rows are made up; the way into the database and the
//! queries are those of the server.
//!
//! `cargo bench -p invispose-benches --bench month [-- --days 30 --queries 200 --url postgres://… --data-dir FOLDER]`
#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod live;
mod served;

use std::path::Path;
use std::time::{Duration, Instant};

use invispose_api::query::{Filter, Page, Selection, Take, TimeRange};
use invispose_api::store::{Store, StoreConfig};
use invispose_api::{ApiConfig, ApiState, Site, Time};
use invispose_pipeline::events::EventBus;
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::site::{SiteConfig, ZoneConfig};
use invispose_pipeline::{Health, Person, PoseFrame};
use live::quantile;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use served::argument;

const FPS: i64 = 10;
const STEP_NS: i64 = 1_000_000_000 / FPS;
const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
const SLOTS: u32 = 4096;

fn main() {
    let number = |name: &str, default: u64| argument(name).map_or(default, |v| v.parse().expect("a number"));
    let (days, queries) = (number("days", 30) as i64, number("queries", 200) as usize);
    let folder = tempfile::tempdir().expect("a folder");
    let dir = argument("data-dir").map_or_else(|| folder.path().to_owned(), Into::into);
    std::fs::create_dir_all(&dir).expect("a folder");
    tokio::runtime::Runtime::new().expect("tokio").block_on(month(&dir, days, queries));
}

fn site() -> SiteConfig {
    let zone = |name: &str, x: f32, y: f32| ZoneConfig {
        id: name.into(),
        polygon_m: vec![[x, y], [x + 4.0, y], [x + 4.0, y + 3.0], [x, y + 3.0]],
        ..ZoneConfig::default()
    };
    SiteConfig {
        id: "lab".into(),
        room_m: [8.0, 6.0, 2.7],
        zones: vec![zone("a", 0.0, 0.0), zone("b", 4.0, 0.0), zone("c", 0.0, 3.0), zone("d", 4.0, 3.0)],
        ..SiteConfig::default()
    }
}

/// Somebody's stay.
struct Visit {
    id: u64,
    from_ns: i64,
    to_ns: i64,
    phase: [f32; 2],
}

/// Who comes on a day, by the time of coming.
fn visits(day_ns: i64, ids: &mut u64, random: &mut StdRng) -> Vec<Visit> {
    let mut found = Vec::new();
    for _ in 0..3 {
        let mut time = day_ns + 8 * HOUR_NS;
        while time < day_ns + 18 * HOUR_NS {
            time += random.random_range(60..1800) * 1_000_000_000;
            let to_ns = time + random.random_range(120..1500) * 1_000_000_000;
            *ids += 1;
            found.push(Visit { id: *ids, from_ns: time, to_ns, phase: [random.random(), random.random()] });
            time = to_ns;
        }
    }
    found.sort_by_key(|v| v.from_ns);
    found
}

/// Where they are: slowly about the room, with the centimetres by which estimates differ.
fn person(visit: &Visit, time_ns: i64, random: &mut StdRng) -> Person {
    let t = (time_ns - visit.from_ns) as f32 / 1e9;
    let swing = |speed: f32, phase: f32| 0.5 + 0.5 * (speed * t + 6.3 * phase).sin();
    let at = [0.3 + 7.4 * swing(0.031, visit.phase[0]), 0.3 + 5.4 * swing(0.023, visit.phase[1])];
    let mut person = served::person(visit.id, 0);
    person.position_m = [at[0], at[1], 0.91];
    for k in &mut person.keypoints {
        let noise: [f32; 3] = [random.random(), random.random(), random.random()];
        k.position_m[0] = at[0] + 0.02 * noise[0];
        k.position_m[1] = at[1] + 0.02 * noise[1];
        k.position_m[2] += 0.02 * noise[2];
        k.confidence = 0.7 + 0.3 * noise[0];
    }
    let column = u16::from(at[0] >= 4.0);
    person.zone = Some(column + 2 * u16::from(at[1] >= 3.0));
    person
}

async fn month(dir: &Path, days: i64, queries: usize) {
    let config = RingConfig { slots: SLOTS, slot_bytes: 16 << 10 };
    let mut ring = RingWriter::open(dir.join("lab.ring"), config).expect("a ring");
    let floor = FloorPlan::new(&site().zones).expect("usable zones");
    let (place, wake) = Site::new(site(), floor, ring.reader());
    ring.on_publish(Box::new(move |frame| wake.published(frame)));
    let url = argument("url");
    let store =
        Store::open(StoreConfig { url: url.clone(), ..StoreConfig::new(dir) }).await.expect("a store");
    let (health, events) = (Health::default(), EventBus::default());
    let writer = store.start(std::slice::from_ref(&place), &events, &health).expect("a writer");
    let state =
        ApiState::with_store(vec![place], health, ApiConfig::default(), store.clone(), events.clone());

    let mut random = StdRng::seed_from_u64(1);
    let end = served::now_ns() / DAY_NS * DAY_NS;
    let begin = end - days * DAY_NS;
    let (mut ids, mut stays, mut person_frames) = (0, Vec::new(), 0u64);
    let started = Instant::now();
    for day in 0..days {
        let today = visits(begin + day * DAY_NS, &mut ids, &mut random);
        for step in 0..DAY_NS / STEP_NS {
            let time_ns = begin + day * DAY_NS + step * STEP_NS;
            let there = today.iter().filter(|v| (v.from_ns..v.to_ns).contains(&time_ns));
            let persons: Vec<Person> = there.map(|v| person(v, time_ns, &mut random)).collect();
            person_frames += persons.len() as u64;
            let id = ring.next_frame_id();
            let frame = PoseFrame { time_ns, persons, ..served::frame(id, 0) };
            ring.publish(&frame).expect("a place in the ring");
            // Before the ring has gone around.
            while id > store.stats().frames.load(std::sync::atomic::Ordering::Relaxed) + u64::from(SLOTS) / 2
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        stays.extend(today);
    }
    let last = ring.next_frame_id() - 1;
    while store.position("lab").await.expect("an answer") < last {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = started.elapsed().as_secs_f64();
    println!(
        "{days} days: {last} frames with {person_frames} persons in {} stays, written in {took:.0} s: {:.0} frames/s",
        stays.len(),
        last as f64 / took
    );
    size(dir, url.as_deref(), last);
    ask(&state, &stays, begin, end, queries).await;

    // As it is once every frame is older than what is kept in full.
    store.tidy(served::now_ns() + 8 * DAY_NS).await.expect("an answer");
    println!("thinned to a frame a second, what is free used again by later frames:");
    ask(&state, &stays, begin, end, queries).await;
    writer.close().await;
}

fn size(dir: &Path, url: Option<&str>, frames: u64) {
    let bytes = match url {
        None => std::fs::metadata(dir.join("invispose.sqlite")).map_or(0, |m| m.len()),
        Some(url) => {
            let query = "SELECT pg_database_size(current_database())";
            let told = std::process::Command::new("psql").args([url, "-Atc", query]).output().expect("psql");
            String::from_utf8_lossy(&told.stdout).trim().parse().unwrap_or(0)
        }
    };
    println!(
        "  {:.1} MiB, {:.1} bytes a frame",
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / frames as f64
    );
}

async fn ask(state: &ApiState, stays: &[Visit], begin: i64, end: i64, queries: usize) {
    let mut random = StdRng::seed_from_u64(2);
    let select = |person: Option<u64>| -> Selection {
        let person = person.map(|id| id.to_string());
        state.select(&Filter { person, ..Filter::default() }).expect("a site")
    };
    let (from, to) = (Time::from_ns(begin), Time::from_ns(end));
    let (mut occupancy, mut heat, mut path) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stretches, mut cells, mut frames) = (0, 0, 0);
    for _ in 0..queries {
        let asked = Instant::now();
        stretches = select(None).stretches(from, to, HOUR_NS).await.expect("an answer").len();
        occupancy.push(asked.elapsed().as_secs_f64() * 1e3);

        let asked = Instant::now();
        cells = select(None).heat(from, to).await.expect("an answer").cells.len();
        heat.push(asked.elapsed().as_secs_f64() * 1e3);

        let stay = &stays[random.random_range(0..stays.len())];
        let range =
            TimeRange { from: Some(Time::from_ns(stay.from_ns)), to: Some(Time::from_ns(stay.to_ns)) };
        let page = Page { after: None, before: None, skip: 0, take: Take::First(1000) };
        let asked = Instant::now();
        frames += select(Some(stay.id)).history(range, page).await.expect("an answer").frames.len();
        path.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    for (what, mut times) in [
        (format!("occupancy by hour of the whole time, {stretches} stretches"), occupancy),
        (format!("heat map of the whole time, {cells} cells"), heat),
        (format!("one person's trajectory, {} frames in the mean", frames / queries.max(1)), path),
    ] {
        println!(
            "  {what}: p50 {:.1} ms, p99 {:.1} ms",
            quantile(&mut times, 0.5),
            quantile(&mut times, 0.99)
        );
    }
}
