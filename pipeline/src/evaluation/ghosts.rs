//! Quiet rooms for hours: suite `ghosts`.
//!
//! Every quiet recording of `motion-espectre`, `motion-vsense` and `occupancy-esp32s3` under DIR is played forth and back, as fast as the stages go, with
//! faults: steps of the gain, packets lost one by one and in bursts, nodes that reboot (silence, then the recording's own beginning, in which its
//! receiver settles), and restarts of the whole program, which goes on from the baseline that it kept. From the first baseline on nobody may be there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::recordings::{EvaluationError, Recording, file_name, files, set_folder};
use super::report::{Answer, Figures, Report, figure};
use super::{occupancy, vsense};
use crate::csi::CsiFrame;
use crate::health::SourceStats;
use crate::pose::SourceKind;
use crate::sources::Packet;
use crate::stages::assembly::{Assembler, AssemblyConfig};
use crate::stages::cleanup::Cleanup;
use crate::stages::presence::{PresenceConfig, PresenceDetector};

/// How long each recording is played, and when what happens to it.
#[derive(Clone, Debug)]
pub struct GhostPlan {
    /// Stream time of each recording, seconds.
    pub seconds: f64,
    /// From one step of the gain to the next, seconds; steps are of −6, 0 and 6 dB.
    pub gain_every_s: f64,
    /// From one reboot of the node to the next, seconds.
    pub reboot_every_s: f64,
    /// From one restart of the program to the next, seconds.
    pub restart_every_s: f64,
    /// Share of packets that are lost.
    pub loss: f64,
    /// From one window to the next.
    pub hop: Duration,
}

impl Default for GhostPlan {
    fn default() -> Self {
        Self {
            seconds: 1200.0,
            gain_every_s: 37.0,
            reboot_every_s: 290.0,
            restart_every_s: 410.0,
            loss: 0.15,
            hop: Duration::from_millis(200),
        }
    }
}

/// What was said of a quiet room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Haunted {
    /// Stream time, seconds.
    pub seconds: f64,
    /// Windows.
    pub windows: usize,
    /// Windows after the first baseline in which presence was known.
    pub known: usize,
    /// Of these, with somebody there.
    pub present: usize,
    /// Times that somebody came.
    pub alarms: usize,
    /// Windows with a breathing rate.
    pub breathing: usize,
}

/// A reboot takes this long, seconds: more than a link's long silence.
const REBOOT_S: f64 = 12.0;
/// The recording's beginning, in which its receiver may settle, is heard at the start and after reboots only, seconds.
const SETTLING_S: f64 = 4.0;

/// Runs the suite.
pub fn ghosts(data: &Path) -> Result<Report, EvaluationError> {
    let quiet = quiet_recordings(data)?;
    if quiet.is_empty() {
        let missing = "no quiet recordings of motion-espectre, motion-vsense or occupancy-esp32s3";
        return Err(EvaluationError::Empty { folder: data.to_owned(), missing });
    }
    let plan = GhostPlan::default();
    let mut sum = Haunted::default();
    let mut per_recording = Vec::new();
    for (k, recording) in quiet.iter().enumerate() {
        let h = haunt(recording, &plan, &PresenceConfig::default(), k as u64 + 1);
        sum.seconds += h.seconds;
        sum.windows += h.windows;
        sum.known += h.known;
        sum.present += h.present;
        sum.alarms += h.alarms;
        sum.breathing += h.breathing;
        per_recording.push(Answer {
            file: recording.file.clone(),
            truth: "nobody".into(),
            answer: Value::Object(
                [
                    ("windows_known", h.known),
                    ("windows_present", h.present),
                    ("windows_with_breathing", h.breathing),
                ]
                .into_iter()
                .map(|(k, v)| (k.to_owned(), Value::from(v)))
                .collect(),
            ),
        });
    }
    Ok(Report {
        suite: "ghosts",
        split: "shipped thresholds; the motion-espectre part of them was chosen with these recordings in sight".into(),
        metrics: Figures::from([
            ("hours", figure(sum.seconds / 3600.0)),
            ("windows", sum.windows.into()),
            ("windows_known", sum.known.into()),
            ("windows_present", sum.present.into()),
            ("windows_with_breathing", sum.breathing.into()),
            ("false_alarms_per_day", figure(sum.alarms as f64 / sum.seconds * 86_400.0)),
        ]),
        baseline: Figures::new(),
        more: Default::default(),
        per_recording,
        notes: vec![
            "some minutes of rooms, repeated: it shows that faults of radios and programs make nobody appear, not that nothing else ever will".into(),
            "no network looks at these windows: persons follow only where presence does".into(),
        ],
        plots: Vec::new(),
    })
}

fn quiet_recordings(data: &Path) -> Result<Vec<Recording>, EvaluationError> {
    let mut found = Vec::new();
    let list = |folder: &Path, ending| if folder.is_dir() { files(folder, ending) } else { Ok(Vec::new()) };
    for file in list(&set_folder(data, "motion-espectre").join("baseline"), "npz")? {
        found.push(Recording::open(&file)?);
    }
    for file in list(&data.join("motion-vsense"), "jsonl")? {
        if file_name(&file).contains("empty") {
            found.push(vsense::read(&file)?);
        }
    }
    for file in list(&data.join("occupancy-esp32s3"), "csv")? {
        let (people, recording) = occupancy::packets(&file)?;
        if people == 0 {
            found.push(recording);
        }
    }
    Ok(found)
}

/// Plays one recording by the plan; `seed` decides which packets are lost.
pub fn haunt(recording: &Recording, plan: &GhostPlan, config: &PresenceConfig, seed: u64) -> Haunted {
    let mut program = Program::new(plan, PresenceDetector::new(config.clone(), None));
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let end_ns = (plan.seconds * 1e9) as i64;
    let after = |every: f64, now: i64| now.saturating_add((every * 1e9) as i64);
    let mut now = 0;
    let [mut gain_at, mut reboot_at, mut restart_at] =
        [plan.gain_every_s, plan.reboot_every_s, plan.restart_every_s].map(|every| after(every, 0));
    let (mut gain, mut lost) = (1.0f32, 0u32);
    let settled = (SETTLING_S * 1e9) as i64;
    let last = recording.duration_ns();
    let mut order = Order { forward: true, from_start: true };
    while now < end_ns {
        let base = now;
        let (first, packets) = order.next(&recording.frames, settled.min(last / 3));
        let mut rebooted = false;
        for frame in packets {
            now = base + (frame.time_ns - first).abs();
            if now >= reboot_at {
                now += (REBOOT_S * 1e9) as i64;
                reboot_at = after(plan.reboot_every_s, now);
                rebooted = true;
                break;
            }
            if now >= gain_at {
                gain_at = after(plan.gain_every_s, now);
                gain = [0.5, 1.0, 2.0][(dice.next() * 3.0) as usize % 3];
            }
            if now >= restart_at {
                restart_at = after(plan.restart_every_s, now);
                program = program.restarted(plan, config);
            }
            // One loss in ten begins a burst of up to half a second.
            if lost == 0 && dice.next() < plan.loss {
                lost = if dice.next() < 0.1 { (dice.next() * 30.0) as u32 } else { 1 };
            }
            if lost > 0 {
                lost -= 1;
                continue;
            }
            program.push(frame, now, gain);
        }
        order = Order { forward: rebooted || !order.forward, from_start: rebooted };
        now += 10_000_000;
    }
    program.said.seconds = now as f64 / 1e9;
    program.said
}

/// How the recording is played next.
struct Order {
    forward: bool,
    from_start: bool,
}

impl Order {
    /// Time of the first packet, and the packets.
    fn next<'a>(
        &self,
        frames: &'a [CsiFrame],
        settled: i64,
    ) -> (i64, Box<dyn Iterator<Item = &'a CsiFrame> + 'a>) {
        let from = if self.from_start { 0 } else { frames.partition_point(|f| f.time_ns < settled) };
        let part = &frames[from..];
        if self.forward {
            (part.first().map_or(0, |f| f.time_ns), Box::new(part.iter()))
        } else {
            (part.last().map_or(0, |f| f.time_ns), Box::new(part.iter().rev()))
        }
    }
}

/// The stages of one run of the program.
struct Program {
    assembler: Assembler,
    cleanup: Cleanup,
    detector: PresenceDetector,
    account: Arc<SourceStats>,
    learned: bool,
    was_present: bool,
    said: Haunted,
}

impl Program {
    fn new(plan: &GhostPlan, detector: PresenceDetector) -> Self {
        let config = AssemblyConfig { hop: plan.hop, ..Default::default() };
        Self {
            assembler: Assembler::new("ghosts", SourceKind::Replay, config),
            cleanup: Cleanup::new(),
            detector,
            account: Arc::new(SourceStats::new("ghosts", SourceKind::Replay)),
            learned: false,
            was_present: false,
            said: Haunted::default(),
        }
    }

    /// A new run with the baseline of the one before.
    fn restarted(self, plan: &GhostPlan, config: &PresenceConfig) -> Self {
        let detector = PresenceDetector::new(config.clone(), Some(&self.detector.baseline()));
        Self { learned: self.learned, said: self.said, ..Self::new(plan, detector) }
    }

    fn push(&mut self, frame: &CsiFrame, now: i64, gain: f32) {
        const START_NS: i64 = 1_000_000_000_000;
        let mut frame = CsiFrame { time_ns: START_NS + now, ..frame.clone() };
        frame.csi.iter_mut().for_each(|h| *h *= gain);
        let packet = Packet { frame, arrived: Instant::now(), account: self.account.clone() };
        let mut windows = Vec::new();
        self.assembler.push(packet, &mut |w| windows.push(w));
        for window in windows {
            let observed = self.detector.run(self.cleanup.run(window));
            self.learned |= self.detector.take_changed();
            self.said.windows += 1;
            let Some(presence) = observed.presence.filter(|_| self.learned) else { continue };
            self.said.known += 1;
            self.said.present += usize::from(presence.present);
            self.said.alarms += usize::from(presence.present && !self.was_present);
            self.said.breathing += usize::from(observed.breathing.is_some());
            self.was_present = presence.present;
        }
    }
}

/// 0..1 by Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}
