//! A server in a process of its own: one site whose ring gets a frame with two people so many times a second.

#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use invispose_api::{ApiConfig, ApiState, Site};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::pose::{Activity, Keypoint, Presence};
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::{Health, Person, PoseFrame, Provenance, SourceKind};

/// The server's process; it ends with this value.
pub struct Served {
    child: Option<Child>,
    pub address: String,
    pub pid: Option<u32>,
}

impl Served {
    /// This program again, as a server.
    pub fn start(fps: f64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("--serve").arg(fps.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("an address");
        let pid = Some(child.id());
        Self { child: Some(child), address: line.trim().to_owned(), pid }
    }

    /// Another program that listens already.
    pub fn at(address: String, pid: Option<u32>) -> Self {
        Self { child: None, address, pid }
    }

    /// Resident memory in MiB, and seconds of CPU time so far.
    pub fn figures(&self) -> (f64, f64) {
        let Some(pid) = self.pid else { return (f64::NAN, f64::NAN) };
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let kib = read("status")
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        let stat = read("stat");
        let ticks = stat.rsplit(')').next().map(|rest| {
            rest.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>()
        });
        // Linux counts CPU time in hundredths of a second.
        (kib.unwrap_or(f64::NAN) / 1024.0, ticks.unwrap_or(f64::NAN) / 100.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Value of `--name`, where it is given.
pub fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|a| *a == format!("--{name}"))?;
    arguments.next()
}

pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as i64
}

/// Somebody.
pub fn person(id: u64, n: u64) -> Person {
    let x = 1.0 + ((n + 7 * id) % 100) as f32 / 37.0;
    let mut keypoints = [Keypoint::default(); 17];
    for (i, k) in keypoints.iter_mut().enumerate() {
        *k = Keypoint { position_m: [x + 0.013 * i as f32, 1.37, 1.75 - 0.1 * i as f32], confidence: 0.917 };
    }
    Person {
        id,
        confidence: 0.93,
        position_m: [x, 1.37, 0.912],
        velocity_m_s: [0.74, 0.0, 0.0],
        keypoints,
        activity: Some(Activity::Walking),
        zone: None,
        breathing: None,
    }
}

/// A frame of the site `lab` with so many people.
pub fn frame(id: u64, persons: u64) -> PoseFrame {
    PoseFrame {
        frame_id: id,
        site: "lab".into(),
        time_ns: now_ns(),
        processing_ns: 1_500_000,
        provenance: Provenance {
            source: SourceKind::Simulated,
            model: Some("bench".into()),
            calibrated: false,
            experimental: true,
        },
        presence: Some(Presence { present: true, motion_level: 2.5, coverage: 1.0 }),
        breathing: None,
        count: None,
        activity: None,
        persons: (1..=persons).map(|p| person(p, id)).collect(),
    }
}

/// The whole of a server's life, where this process is one.
pub fn serve_if_asked() {
    let Some(fps) = argument("serve") else { return };
    let step = Duration::from_secs_f64(1.0 / fps.parse::<f64>().expect("frames per second"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut ring = RingWriter::open(folder.path().join("lab.ring"), RingConfig::default()).expect("a ring");
    let config = SiteConfig { id: "lab".into(), room_m: [6.0, 5.0, 2.7], ..SiteConfig::default() };
    let (site, wake) = Site::new(config, FloorPlan::default(), ring.reader());
    ring.on_publish(Box::new(move |id| wake.published(id)));
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let state = ApiState::new(vec![site], Health::default(), ApiConfig::default());
        tokio::spawn(invispose_api::serve(state, listener, std::future::pending()));
    });
    // A thread of its own, as the pipeline's last stage is.
    let mut due = Instant::now();
    loop {
        let id = ring.next_frame_id();
        let frame = frame(id, 2);
        ring.publish(&frame).expect("a place in the ring");
        due += step;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
