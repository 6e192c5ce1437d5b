//! The whole pipeline: sources in, frames out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use invispose_pipeline::codec;
use invispose_pipeline::evaluation::baseline_of;
use invispose_pipeline::health::Part;
use invispose_pipeline::pipeline::{STOP_WITHIN, SiteSetup};
use invispose_pipeline::pose::Keypoint;
use invispose_pipeline::recording::{self, Metadata};
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::site::{SiteConfig, ZoneConfig};
use invispose_pipeline::sources::{FrameSender, Source, SourceError, SourceSpec, Speed, Stop};
use invispose_pipeline::stages::inference::{ModelError, PoseInput, PoseModel};
use invispose_pipeline::stages::presence::PresenceConfig;
use invispose_pipeline::stages::recorder::{RecordDesk, RecordError, RecordSetup};
use invispose_pipeline::tracking::{Observation, PersonIds};
use invispose_pipeline::{
    Complex32, CsiFrame, Health, Layout, LinkId, PipelineBuilder, PoseFrame, SourceKind,
};

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if path.exists() {
        Some(path)
    } else {
        println!("skipped: {} is not there", path.display());
        None
    }
}

fn site(id: &str) -> SiteConfig {
    SiteConfig {
        id: id.to_owned(),
        name: String::new(),
        room_m: [6.0, 5.0, 2.7],
        links: Vec::new(),
        zones: vec![ZoneConfig {
            id: "left".to_owned(),
            name: String::new(),
            polygon_m: vec![[0.0, 0.0], [3.0, 0.0], [3.0, 5.0], [0.0, 5.0]],
            ..ZoneConfig::default()
        }],
        experimental_poses: false,
        max_occupancy: None,
    }
}

fn open(uri: &str) -> (String, Box<dyn Source>) {
    (uri.to_owned(), uri.parse::<SourceSpec>().unwrap().open().unwrap())
}

/// Runs sources that end by themselves and gives all frames of their site.
fn run_to_end(setup: SiteSetup, model: Option<Box<dyn PoseModel>>) -> (Vec<PoseFrame>, Health) {
    let health = Health::default();
    let (to, frames) = unbounded();
    let mut builder = PipelineBuilder::new(health.clone()).site(setup).frames_to(to);
    if let Some(model) = model {
        builder = builder.model(model);
    }
    builder.start().unwrap().join();
    (frames.iter().collect(), health)
}

fn check_accounts(health: &Health) {
    for s in health.sources() {
        let rejected: u64 = s.rejected.values().sum();
        assert_eq!(s.received, s.accepted + s.siblings + rejected + s.dropped, "{s:?}");
        assert!(!s.running);
    }
}

/// Sees one person in the middle of the left half, whatever it is given.
struct Seer;

impl PoseModel for Seer {
    fn name(&self) -> Arc<str> {
        "seer 1".into()
    }
    fn device(&self) -> String {
        "cpu (none)".to_owned()
    }
    fn predict(&mut self, windows: &[PoseInput<'_>]) -> Result<Vec<Option<Vec<Observation>>>, ModelError> {
        let person = Observation {
            confidence: 0.9,
            position_sigma_m: 0.2,
            root_m: [1.5, 2.5, 0.95],
            keypoints: [Keypoint { position_m: [1.5, 2.5, 1.0], confidence: 0.7 }; 17],
            activity: None,
        };
        Ok(windows.iter().map(|_| Some(vec![person.clone()])).collect())
    }
}

/// A simulated site that an evaluation speaks for.
fn calibrated(uri: &str) -> SiteSetup {
    SiteSetup { calibrated: true, ..SiteSetup::new(site("sim"), vec![open(uri)]) }
}

#[test]
fn every_capture_gives_replayed_frames() {
    let Some(folder) = shared("captures") else { return };
    let mut files = vec![];
    for kind in std::fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().is_dir()) {
        files.extend(std::fs::read_dir(kind.path()).unwrap().flatten().map(|e| e.path()));
    }
    let mut played = 0;
    for file in files.iter().filter(|f| !f.to_string_lossy().ends_with(".meta.json")) {
        let mut uri = format!("file:{}?speed=max", file.display());
        if let Err(e) = uri.parse::<SourceSpec>().unwrap().open() {
            // A format without times says what to do.
            assert!(e.to_string().contains("rate=HZ"), "{e}");
            uri.push_str("&rate=100");
        }
        let (frames, health) = run_to_end(SiteSetup::new(site("lab"), vec![open(&uri)]), None);
        let source = &health.sources()[0];
        assert!(source.accepted > 0, "{uri}: {source:?}");
        assert!(!frames.is_empty(), "{uri}: {source:?}");
        assert!(frames.iter().all(|f| f.provenance.source == SourceKind::Replay && f.persons.is_empty()));
        assert!(frames.iter().all(|f| f.provenance.model.is_none()));
        let last = frames.last().unwrap();
        assert!(last.presence.is_none(), "{uri}: the last frame still says {:?}", last.presence);
        check_accounts(&health);
        played += 1;
    }
    println!("{played} captures");
    assert!(played > 10);
}

#[test]
fn quiet_recordings_show_nobody_and_moving_ones_somebody() {
    let Some(folder) = shared("labelled/motion-espectre") else { return };
    // One chip of each kind of receiver; the suite `motion-espectre` measures all of them.
    for (quiet, moving) in [
        ("baseline_c3_64sc_20260329_130303", "movement_c3_64sc_20260329_130321"),
        ("baseline_esp32_64sc_20260310_232100", "movement_esp32_64sc_20260310_232137"),
    ] {
        let quiet = folder.join("baseline").join(quiet).with_extension("npz");
        let moving = folder.join("movement").join(moving).with_extension("npz");
        let uri = |p: &Path| format!("file:{}?speed=max", p.display());
        let says = |frames: &[PoseFrame]| -> Vec<bool> {
            frames.iter().filter_map(|f| f.presence.map(|p| p.present)).collect()
        };
        let (frames, _) = run_to_end(SiteSetup::new(site("lab"), vec![open(&uri(&quiet))]), None);
        let said = says(&frames);
        assert!(said.len() > 40 && said.iter().all(|p| !p), "{}", quiet.display());

        let (frames, _) = run_to_end(SiteSetup::new(site("lab"), vec![open(&uri(&moving))]), None);
        let said = says(&frames);
        assert!(said.len() > 40 && said.iter().all(|p| *p), "{}", moving.display());

        let baseline = baseline_of(&quiet, &PresenceConfig::default()).unwrap();
        assert_eq!(baseline.links.len(), 1);
        let setup =
            SiteSetup { baseline: Some(baseline), ..SiteSetup::new(site("lab"), vec![open(&uri(&moving))]) };
        let (frames, _) = run_to_end(setup, None);
        let said = says(&frames);
        let present = said.iter().filter(|p| **p).count();
        assert!(present * 10 > said.len() * 8, "{}: {present} of {}", moving.display(), said.len());
    }
}

#[test]
fn an_empty_simulated_room_shows_nobody() {
    let uri = "sim:empty?seed=3&speed=max&seconds=120";
    let (frames, health) = run_to_end(calibrated(uri), Some(Box::new(Seer)));
    assert!(frames.len() > 2400, "{} frames", frames.len());
    let ghosts =
        frames.iter().filter(|f| !f.persons.is_empty() || f.presence.is_some_and(|p| p.present)).count();
    assert_eq!(ghosts, 0);
    assert!(frames.iter().filter(|f| f.presence.is_some()).count() > 2300, "presence was not learned");
    assert!(frames.iter().all(|f| f.provenance.source == SourceKind::Simulated));
    check_accounts(&health);
}

#[test]
fn simulated_people_become_tracked_persons() {
    let uri = "sim:demo?people=1&seed=5&speed=max&seconds=12";
    let (frames, health) = run_to_end(calibrated(uri), Some(Box::new(Seer)));
    let shown: Vec<&PoseFrame> = frames.iter().filter(|f| !f.persons.is_empty()).collect();
    assert!(shown.len() > 100, "{} of {} frames show somebody", shown.len(), frames.len());
    let person = &shown[50].persons[0];
    assert_eq!((person.id, person.zone), (1, Some(0)));
    assert!((person.position_m[0] - 1.5).abs() < 0.1);
    assert_eq!(shown[50].provenance.model.as_deref(), Some("seer 1"));
    assert!(shown[50].provenance.calibrated && !shown[50].provenance.experimental);
    assert!(frames.last().unwrap().persons.is_empty(), "somebody is left after the end");
    let times: Vec<i64> = frames.iter().map(|f| f.time_ns).collect();
    assert!(times.windows(2).all(|w| w[0] < w[1]));
    let ids: Vec<u64> = frames.iter().map(|f| f.frame_id).collect();
    assert_eq!(ids, (1..=frames.len() as u64).collect::<Vec<_>>());
    assert_eq!(health.device().as_deref(), Some("cpu (none)"));
    check_accounts(&health);
}

#[test]
fn poses_are_earned_by_each_site_for_itself() {
    let uri = || vec![open("sim:demo?people=1&seed=5&speed=max&seconds=4")];
    let (to, frames) = unbounded();
    let evaluated = SiteSetup { calibrated: true, ..SiteSetup::new(site("evaluated"), uri()) };
    PipelineBuilder::new(Health::default())
        .site(evaluated)
        .site(SiteSetup::new(site("other"), uri()))
        .model(Box::new(Seer))
        .frames_to(to)
        .start()
        .unwrap()
        .join();
    let frames: Vec<PoseFrame> = frames.iter().collect();
    let of = |id: &'static str| frames.iter().filter(move |f| &*f.site == id);
    assert!(of("evaluated").any(|f| f.provenance.calibrated && !f.persons.is_empty()));
    assert!(of("other").any(|f| f.presence.is_some_and(|p| p.present)));
    assert!(of("other").all(|f| f.persons.is_empty() && f.provenance.model.is_none()));
}

#[test]
fn one_site_does_not_clear_the_fault_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let setup = |id: &str, slot_bytes, seconds| {
        let config = RingConfig { slots: 16, slot_bytes };
        let ring = RingWriter::open(dir.path().join(format!("{id}.ring")), config).unwrap();
        let source = open(&format!("sim:empty?speed=max&seconds={seconds}"));
        SiteSetup { ring: Some(ring), ..SiteSetup::new(site(id), vec![source]) }
    };
    // No frame of this name fits into so small a slot.
    let long = "a".repeat(64);
    let health = Health::default();
    PipelineBuilder::new(health.clone())
        .site(setup(&long, 128, 1))
        .site(setup("well", 8192, 5))
        .start()
        .unwrap()
        .join();
    let faults = health.faults();
    let parts: Vec<&Part> = faults.keys().collect();
    assert_eq!(parts, [&Part::Site("ring", long.as_str().into())], "{faults:?}");
}

/// Sends what the test says, when the test says so.
struct Scripted {
    frames: Receiver<CsiFrame>,
    kind: SourceKind,
    panics: bool,
}

impl Source for Scripted {
    fn kind(&self) -> SourceKind {
        self.kind
    }
    fn speed(&self) -> Speed {
        if self.kind == SourceKind::Live { Speed::Times(1.0) } else { Speed::Max }
    }
    fn run(self: Box<Self>, out: &FrameSender, stop: &Stop) -> Result<(), SourceError> {
        while !stop.stopped() {
            match self.frames.recv_timeout(Duration::from_millis(20)) {
                Ok(frame) => {
                    if out.send(frame, stop).is_err() {
                        break;
                    }
                }
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                    assert!(!self.panics, "the cable was pulled");
                    break;
                }
            }
        }
        Ok(())
    }
}

fn scripted(kind: SourceKind, panics: bool) -> (Sender<CsiFrame>, (String, Box<dyn Source>)) {
    let (send, frames) = bounded(10_000);
    (send, ("test:".to_owned(), Box::new(Scripted { frames, kind, panics })))
}

const LAYOUT: Layout = Layout::new(1, 1, 8);
const START: i64 = 1_700_000_000_000_000_000;

fn frame(link: &str, k: i64) -> CsiFrame {
    let csi = (0..8).map(|i| Complex32::new(5.0 + ((k * 7 + i * 3) % 5) as f32 * 0.1, 1.0)).collect();
    CsiFrame { time_ns: START + k * 10_000_000, ..CsiFrame::new(LinkId::new(link), LAYOUT, csi) }
}

/// Waits for a frame that fits; frames come by themselves, so this ends or the test runner's limit does.
fn wait_for(frames: &Receiver<PoseFrame>, fits: impl Fn(&PoseFrame) -> bool) -> PoseFrame {
    loop {
        let frame = frames.recv_timeout(Duration::from_secs(60)).expect("frames have stopped");
        if fits(&frame) {
            return frame;
        }
    }
}

#[test]
fn a_source_that_dies_leaves_the_rest_running() {
    let health = Health::default();
    let (to, frames) = unbounded();
    let (first, dying) = scripted(SourceKind::Live, true);
    let (second, living) = scripted(SourceKind::Live, false);
    let pipeline = PipelineBuilder::new(health.clone())
        .site(SiteSetup::new(site("lab"), vec![dying, living]))
        .frames_to(to)
        .start()
        .unwrap();
    for k in 0..300 {
        first.send(frame("a", k)).unwrap();
        second.send(frame("b", k)).unwrap();
    }
    wait_for(&frames, |f| f.time_ns >= START + 2_800_000_000);
    drop(first);
    // Frames go on, and in the end say that nothing comes: the second source is silent, but alive.
    let silent = wait_for(&frames, |f| f.presence.is_none() && f.time_ns > START + 5_000_000_000);
    assert!(silent.persons.is_empty());
    let faults = health.faults();
    let fault = faults.iter().find(|(part, _)| matches!(part, Part::Source(_))).unwrap().1;
    assert!(fault.contains("the cable was pulled"), "{faults:?}");
    let newest = silent.time_ns;
    for k in 0..100 {
        second.send(frame("b", (newest - START) / 10_000_000 + 100 + k)).unwrap();
    }
    wait_for(&frames, |f| f.time_ns > newest + 1_500_000_000);
    pipeline.stop(STOP_WITHIN).unwrap();
    check_accounts(&health);
    let sources = health.sources();
    assert_eq!((sources[0].received, sources[1].received), (300, 400));
}

#[test]
fn a_silent_live_source_still_gives_frames_and_stops_at_once() {
    let (to, frames) = unbounded();
    let health = Health::default();
    let pipeline = PipelineBuilder::new(health.clone())
        .site(SiteSetup::new(site("lab"), vec![open("udp://127.0.0.1:0")]))
        .frames_to(to)
        .start()
        .unwrap();
    let first = wait_for(&frames, |_| true);
    let later = wait_for(&frames, |f| f.frame_id >= 5);
    assert!(later.time_ns > first.time_ns && later.presence.is_none());
    assert_eq!(later.provenance.source, SourceKind::Live);
    let asked = Instant::now();
    pipeline.stop(STOP_WITHIN).unwrap();
    assert!(asked.elapsed() < STOP_WITHIN);
    check_accounts(&health);
}

#[test]
fn a_live_source_drops_the_oldest_and_a_replay_waits() {
    for (kind, drops) in [(SourceKind::Live, true), (SourceKind::Replay, false)] {
        let health = Health::default();
        // Nobody takes frames: everything fills up.
        let (to, frames) = bounded(0);
        let (send, source) = scripted(kind, false);
        let pipeline = PipelineBuilder::new(health.clone())
            .site(SiteSetup::new(site("lab"), vec![source]))
            .frames_to(to)
            .start()
            .unwrap();
        for k in 0..8000 {
            send.send(frame("a", k)).unwrap();
        }
        drop(send);
        let reader = std::thread::spawn(move || {
            // Only once the source has had all of its packets, or can go no further.
            let mut count = 0;
            for _ in frames {
                count += 1;
            }
            count
        });
        pipeline.join();
        reader.join().unwrap();
        check_accounts(&health);
        let source = &health.sources()[0];
        assert_eq!(source.received, 8000);
        if !drops {
            assert_eq!(source.accepted, 8000, "{source:?}");
        }
    }
}

#[test]
fn two_captures_of_one_time_are_merged() {
    let (a, first) = scripted(SourceKind::Replay, false);
    let (b, second) = scripted(SourceKind::Replay, false);
    for k in 0..2000 {
        a.send(frame("a", k)).unwrap();
        b.send(frame("b", k + 500)).unwrap();
    }
    drop((a, b));
    let (frames, health) = run_to_end(SiteSetup::new(site("lab"), vec![first, second]), None);
    for s in health.sources() {
        assert_eq!(s.accepted, 2000, "{s:?}");
    }
    assert!(frames.len() > 480);
}

#[test]
fn rings_and_recordings_hold_what_came_out_and_ids_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (ring_path, ids_path) = (dir.path().join("ring"), dir.path().join("person-ids"));
    let mut last_ids = Vec::new();
    let mut heads = Vec::new();
    for round in 0..2 {
        let ring = RingWriter::open(&ring_path, RingConfig { slots: 64, ..RingConfig::default() }).unwrap();
        let reader = ring.reader();
        let recording = dir.path().join(format!("recording-{round}"));
        let metadata =
            Metadata { source: SourceKind::Simulated, site: None, created_ns: 0, note: String::new() };
        let record = RecordSetup {
            writer: recording::Writer::create(&recording, &metadata).unwrap(),
            site: None,
            csi: true,
            poses: true,
            limit: None,
        };
        let health = Health::default();
        let (to, frames) = unbounded();
        let setup =
            SiteSetup { ring: Some(ring), ..calibrated("sim:demo?people=1&seed=5&speed=max&seconds=5") };
        let ids = PersonIds::open(&ids_path).unwrap();
        let builder = PipelineBuilder::new(health.clone()).site(setup).person_ids(ids).record(record);
        builder.model(Box::new(Seer)).frames_to(to).start().unwrap().join();
        let frames: Vec<PoseFrame> = frames.iter().collect();
        assert_eq!(reader.latest().unwrap(), *frames.last().unwrap());
        last_ids.extend(frames.iter().flat_map(|f| &f.persons).map(|p| p.id).max());
        heads.push((frames[0].frame_id, reader.head()));

        let read = recording::Reader::open(&recording).unwrap();
        let csi = health.sources()[0].received;
        assert_eq!(read.frame_count(), csi + frames.len() as u64);

        // What was simulated stays simulated when it is played again.
        let uri = format!("recording:{}?speed=max", recording.display());
        let (again, health) = run_to_end(SiteSetup::new(site("sim"), vec![open(&uri)]), None);
        assert!(again.iter().all(|f| f.provenance.source == SourceKind::Simulated));
        assert_eq!(health.sources()[0].accepted, csi);
        let times = |f: &[PoseFrame]| f.iter().map(|f| (f.time_ns, f.presence)).collect::<Vec<_>>();
        assert_eq!(times(&again), times(&frames), "the replay says something else");
    }
    assert!(last_ids[1] > last_ids[0], "{last_ids:?}");
    assert_eq!(heads[1].0, heads[0].1 + 1);
}

#[test]
fn recordings_begin_and_end_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let setup = |name: &str, limit| {
        let metadata =
            Metadata { source: SourceKind::Simulated, site: None, created_ns: 0, note: name.to_owned() };
        let writer = recording::Writer::create(dir.path().join(name), &metadata).unwrap();
        RecordSetup { writer, site: Some("a".into()), csi: name == "both", poses: true, limit }
    };
    let desk = RecordDesk::default();
    assert!(matches!(desk.begin(setup("early", None)), Err(RecordError::Stopped)));
    let mut builder = PipelineBuilder::new(Health::default()).recorder(desk.clone());
    let mut feeds = Vec::new();
    for id in ["a", "b"] {
        let (feed, source) = scripted(SourceKind::Live, false);
        feeds.push(feed);
        builder = builder.site(SiteSetup::new(site(id), vec![source]));
    }
    let (to, frames) = unbounded();
    let pipeline = builder.frames_to(to).start().unwrap();
    assert!(matches!(desk.end(), Err(RecordError::Idle)));
    assert_eq!(desk.written(), None);
    let mut packets = 0;
    // Until each site has shown some frames.
    let mut go_on = |names: [&str; 2]| {
        let mut seen = [0, 0];
        while seen.iter().any(|&n| n < 3) {
            for (feed, name) in feeds.iter().zip(names) {
                feed.send(frame(name, packets)).unwrap();
            }
            packets += 1;
            for frame in frames.try_iter() {
                seen[usize::from(&*frame.site == "b")] += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    go_on(["link-a", "link-b"]);
    desk.begin(setup("both", None)).unwrap();
    assert!(matches!(desk.begin(setup("second", None)), Err(RecordError::Busy)));
    assert!(desk.written().is_some());
    go_on(["link-a", "link-b"]);
    let written = desk.end().unwrap();
    go_on(["link-a", "link-b"]);
    let read = recording::Reader::open(dir.path().join("both")).unwrap();
    assert!(read.closed());
    assert_eq!(read.frame_count(), written);
    let (mut csi, mut poses) = (0, 0);
    for frame in read.frames() {
        match frame.unwrap() {
            codec::Frame::Csi(frame) => {
                assert_eq!(frame.link.as_str(), "link-a");
                csi += 1;
            }
            codec::Frame::Pose(frame) => {
                assert_eq!(&*frame.site, "a");
                poses += 1;
            }
        }
    }
    assert!(csi > 0 && poses >= 2, "{csi} packets and {poses} frames");

    desk.begin(setup("short", Some(Duration::ZERO))).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while desk.written().is_some() {
        assert!(Instant::now() < end, "it ends by itself");
        go_on(["link-a", "link-b"]);
    }
    assert!(recording::Reader::open(dir.path().join("short")).unwrap().closed());
    drop(feeds);
    pipeline.join();
    assert!(matches!(desk.begin(setup("late", None)), Err(RecordError::Stopped)));
}

#[test]
fn what_cannot_work_is_refused_at_once() {
    let fails = |uri: &str| uri.parse::<SourceSpec>().unwrap().open().err().expect("opened").to_string();
    let missing = fails("file:/nowhere/at/all.dat");
    assert!(missing.contains("/nowhere/at/all.dat"), "{missing}");
    assert!(fails("sim:demo?faults=rain:1").contains("rain"));
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    assert!(fails(&format!("udp://{taken}")).contains(&taken.to_string()));
    let none = PipelineBuilder::new(Health::default()).start().unwrap_err().to_string();
    assert!(none.contains("no site with a source"), "{none}");
    let twice = || SiteSetup::new(site("lab"), vec![open("sim:empty?seconds=1&speed=max")]);
    let same = PipelineBuilder::new(Health::default()).site(twice()).site(twice()).start().unwrap_err();
    assert!(same.to_string().contains("`lab`"));
}
