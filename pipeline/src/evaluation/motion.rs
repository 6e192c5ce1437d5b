//! Presence on recordings of a quiet room and of movement: suite `motion-espectre`.
//!
//! The folder holds `baseline/*.npz` (quiet) and `movement/*.npz`, named `LABEL_CHIP_…`. Every recording goes through
//! assembly, cleanup and presence like a live stream, in two ways: *cold*, where nothing is known and the detector learns from the recording
//! itself, and *known*, where it starts from what it learned from the quiet recording that was made before (the one that follows it in
//! the alphabet of its chip's quiet recordings stands in for the first).
//!
//! Both thresholds are tuned leaving one chip out: each chip is judged with the values that are best for the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::capture::{self, OpenError};
use crate::health::SourceStats;
use crate::pose::SourceKind;
use crate::sources::{NoTime, Packet, TimeLine};
use crate::stages::assembly::{Assembler, AssemblyConfig, CsiWindow};
use crate::stages::baseline::Baseline;
use crate::stages::cleanup::{CleanWindow, Cleanup};
use crate::stages::presence::{PresenceConfig, PresenceDetector};

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct MotionReport {
    /// Starting without a baseline, with the default thresholds.
    pub cold: Table,
    /// Starting from the chip's other quiet recording, with the default thresholds.
    pub known: Table,
    /// Cold, each chip with the `moving_share` that is best for the other chips.
    pub cold_left_out: Table,
    /// Known, each chip with the `on` that is best for the other chips.
    pub known_left_out: Table,
    /// The values chosen for each left-out chip.
    pub chosen: BTreeMap<String, Thresholds>,
}

/// Thresholds of [`PresenceConfig`] under their names there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// For the cold start.
    pub moving_share: f32,
    /// For the known baseline.
    pub on: f32,
}

/// One way of judging all recordings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// Each recording.
    pub recordings: Vec<RecordingResult>,
    /// By recording: one that shows somebody in more than half of its judged windows counts as movement.
    pub by_recording: Score,
    /// By window. Those in which nothing was said count as nobody.
    pub by_window: Score,
}

/// One recording.
#[derive(Clone, Debug, Serialize)]
pub struct RecordingResult {
    /// File name.
    pub file: String,
    /// `c3`, `c5`, `c6`, `esp32`, `s3`.
    pub chip: String,
    /// The truth: somebody moves.
    pub moving: bool,
    /// Windows that said somebody is there.
    pub present: usize,
    /// Windows that said nobody is there.
    pub absent: usize,
    /// Windows that said nothing: too few packets, or quiet and still learning.
    pub unsaid: usize,
    /// Stream time of the first window that said somebody is there, seconds from the first packet.
    pub first_present_s: Option<f64>,
}

impl RecordingResult {
    /// More than half of the windows that said something said that somebody is there.
    pub fn says_movement(&self) -> bool {
        self.present > self.absent
    }
}

/// Counts and what follows from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// Movement, seen.
    pub true_positive: usize,
    /// Quiet, taken for movement.
    pub false_positive: usize,
    /// Movement, not seen.
    pub false_negative: usize,
    /// Quiet, seen as such.
    pub true_negative: usize,
    /// `tp / (tp + fp)`; 1 where nothing was called movement.
    pub precision: f64,
    /// `tp / (tp + fn)`.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
}

impl Score {
    fn of(judged: impl Iterator<Item = (bool, bool, usize)>) -> Self {
        let mut s = Self::default();
        for (truth, said, count) in judged {
            match (truth, said) {
                (true, true) => s.true_positive += count,
                (false, true) => s.false_positive += count,
                (true, false) => s.false_negative += count,
                (false, false) => s.true_negative += count,
            }
        }
        let ratio = |a: usize, b: usize| if a + b == 0 { 1.0 } else { a as f64 / (a + b) as f64 };
        s.precision = ratio(s.true_positive, s.false_positive);
        s.recall = ratio(s.true_positive, s.false_negative);
        let sum = s.precision + s.recall;
        s.f1 = if sum > 0.0 { 2.0 * s.precision * s.recall / sum } else { 0.0 };
        s
    }
}

/// The suite cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum MotionError {
    /// A folder cannot be read.
    #[error("{path}: {error}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Nothing to measure.
    #[error("{0}: no recordings LABEL_CHIP_….npz of movement and of quiet")]
    Empty(PathBuf),
    /// A recording cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A recording's packets have no times.
    #[error("{path}: {error}")]
    Time {
        /// The recording.
        path: PathBuf,
        /// What is missing.
        error: NoTime,
    },
}

struct Labelled {
    file: String,
    chip: String,
    moving: bool,
    windows: Vec<CleanWindow>,
}

/// Values that are tried for the cold start.
const SHARES: [f32; 9] = [0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50];
/// Values that are tried for the known baseline.
const LEVELS: [f32; 9] = [1.0, 1.2, 1.35, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0];

/// Runs the suite over the recordings under `folder`.
pub fn motion_espectre(folder: &Path) -> Result<MotionReport, MotionError> {
    let mut recordings = Vec::new();
    for (label, moving) in [("baseline", false), ("movement", true)] {
        let path = folder.join(label);
        let fail = |error| MotionError::Folder { path: path.clone(), error };
        let mut files = Vec::new();
        for entry in fs::read_dir(&path).map_err(fail)? {
            files.push(entry.map_err(fail)?.path());
        }
        files.sort();
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "npz")) {
            let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(chip) = name.split('_').nth(1) else { continue };
            let windows = clean_windows(file)?;
            recordings.push(Labelled { chip: chip.to_owned(), file: name, moving, windows });
        }
    }
    if !recordings.iter().any(|r| r.moving) || recordings.iter().all(|r| r.moving) {
        return Err(MotionError::Empty(folder.to_owned()));
    }

    let default = PresenceConfig::default();
    let cold = |share: f32, r: &Labelled| {
        judge(r, None, PresenceConfig { moving_share: share, ..PresenceConfig::default() })
    };
    // Learning does not depend on `on` beyond what counts as quiet while it learns.
    let baselines: Vec<Option<Baseline>> =
        recordings.iter().map(|r| quiet_before(r, &recordings)).map(|q| q.map(learn)).collect();
    let known = |on: f32, r: &Labelled, baseline: Option<&Baseline>| {
        let off = default.off.min(on);
        judge(r, baseline, PresenceConfig { on, off, ..PresenceConfig::default() })
    };

    let all_cold: Vec<Vec<RecordingResult>> =
        SHARES.iter().map(|&share| recordings.iter().map(|r| cold(share, r)).collect()).collect();
    let all_known: Vec<Vec<RecordingResult>> = LEVELS
        .iter()
        .map(|&on| recordings.iter().zip(&baselines).map(|(r, b)| known(on, r, b.as_ref())).collect())
        .collect();

    let mut chips: Vec<&String> = recordings.iter().map(|r| &r.chip).collect();
    chips.sort();
    chips.dedup();
    let mut chosen = BTreeMap::new();
    let (mut cold_left_out, mut known_left_out) = (Vec::new(), Vec::new());
    for chip in chips {
        let share = best(&all_cold, chip);
        let on = best(&all_known, chip);
        let thresholds = Thresholds { moving_share: SHARES[share], on: LEVELS[on] };
        cold_left_out.extend(all_cold[share].iter().filter(|r| r.chip == *chip).cloned());
        known_left_out.extend(all_known[on].iter().filter(|r| r.chip == *chip).cloned());
        chosen.insert(chip.clone(), thresholds);
    }
    Ok(MotionReport {
        cold: Table::of(recordings.iter().map(|r| cold(default.moving_share, r)).collect()),
        known: Table::of(
            recordings.iter().zip(&baselines).map(|(r, b)| known(default.on, r, b.as_ref())).collect(),
        ),
        cold_left_out: Table::of(cold_left_out),
        known_left_out: Table::of(known_left_out),
        chosen,
    })
}

/// The value that is best by window for all chips but this one: the middle of those that are equally good.
fn best(candidates: &[Vec<RecordingResult>], left_out: &str) -> usize {
    let scores: Vec<f64> = candidates
        .iter()
        .map(|results| window_score(results.iter().filter(|r| r.chip != left_out)).f1)
        .collect();
    let most = scores.iter().copied().fold(0.0, f64::max);
    let equal: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] >= most - 1e-9).collect();
    equal[equal.len() / 2]
}

fn window_score<'a>(results: impl Iterator<Item = &'a RecordingResult>) -> Score {
    Score::of(results.flat_map(|r| [(r.moving, true, r.present), (r.moving, false, r.absent + r.unsaid)]))
}

impl Table {
    fn of(recordings: Vec<RecordingResult>) -> Self {
        Self {
            by_recording: Score::of(recordings.iter().map(|r| (r.moving, r.says_movement(), 1))),
            by_window: window_score(recordings.iter()),
            recordings,
        }
    }
}

/// The quiet recording of the same chip from which a recording's baseline is learned: never the recording itself.
fn quiet_before<'a>(of: &Labelled, all: &'a [Labelled]) -> Option<&'a Labelled> {
    // Names end in the date and time of the recording.
    let stamp = |r: &Labelled| r.file.splitn(3, '_').nth(2).map(str::to_owned);
    let mut quiet: Vec<&Labelled> =
        all.iter().filter(|r| r.chip == of.chip && !r.moving && r.file != of.file).collect();
    quiet.sort_by_key(|r| stamp(r));
    quiet.iter().rev().find(|r| stamp(r) < stamp(of)).or(quiet.first()).copied()
}

fn learn(quiet: &Labelled) -> Baseline {
    let mut detector = PresenceDetector::new(PresenceConfig::default(), None);
    for window in &quiet.windows {
        detector.run(window.clone());
    }
    detector.baseline()
}

fn judge(recording: &Labelled, baseline: Option<&Baseline>, config: PresenceConfig) -> RecordingResult {
    let mut detector = PresenceDetector::new(config, baseline);
    let mut result = RecordingResult {
        file: recording.file.clone(),
        chip: recording.chip.clone(),
        moving: recording.moving,
        present: 0,
        absent: 0,
        unsaid: 0,
        first_present_s: None,
    };
    let start = recording.windows.first().map_or(0, |w| w.window.grid.end_ns);
    for window in &recording.windows {
        match detector.run(window.clone()).presence.map(|p| p.present) {
            Some(true) => {
                result.present += 1;
                let since = window.window.grid.end_ns.saturating_sub(start) as f64 / 1e9;
                result.first_present_s.get_or_insert(since);
            }
            Some(false) => result.absent += 1,
            None => result.unsaid += 1,
        }
    }
    result
}

/// A recording's windows with their motion statistics; the arrays, which presence does not look at, are left out.
fn clean_windows(path: &Path) -> Result<Vec<CleanWindow>, MotionError> {
    let mut out = Vec::new();
    for_each_window(path, |mut window| {
        for link in &mut window.links {
            link.amplitude = Vec::new();
            link.phase = Vec::new();
            link.ratio = Vec::new();
            link.raw.csi = Vec::new();
            link.new_steps = 0;
        }
        out.push(window);
    })?;
    Ok(out)
}

fn for_each_window(path: &Path, mut work: impl FnMut(CleanWindow)) -> Result<(), MotionError> {
    let account = Arc::new(SourceStats::new(path.display().to_string(), SourceKind::Replay));
    let mut assembler = Assembler::new("evaluation", SourceKind::Replay, AssemblyConfig::default());
    let mut cleanup = Cleanup::new();
    let mut line = TimeLine::new(0, None);
    let mut emit = |window: CsiWindow| {
        if !window.last {
            work(cleanup.run(window));
        }
    };
    for mut frame in capture::open(path)?.flatten() {
        frame.time_ns = line
            .next(frame.capture_time_ns)
            .map_err(|error| MotionError::Time { path: path.to_owned(), error })?;
        assembler.push(Packet { frame, arrived: Instant::now(), account: account.clone() }, &mut emit);
    }
    assembler.finish(&mut emit);
    Ok(())
}

/// What a capture of the quiet room teaches, for `--baseline FILE`. Empty where the capture is too short or never quiet.
pub fn baseline_of(path: &Path, config: &PresenceConfig) -> Result<Baseline, MotionError> {
    let mut detector = PresenceDetector::new(config.clone(), None);
    for_each_window(path, |window| {
        detector.run(window);
    })?;
    Ok(detector.baseline())
}

impl std::fmt::Display for MotionReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("cold start", &self.cold),
            ("known baseline", &self.known),
            ("cold start, chip left out", &self.cold_left_out),
            ("known baseline, chip left out", &self.known_left_out),
        ];
        for (name, table) in parts {
            writeln!(f, "{name}\n{table}")?;
        }
        for (chip, t) in &self.chosen {
            writeln!(f, "without {chip}: moving_share {}, on {}", t.moving_share, t.on)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "  {:<42} {:>7} {:>7} {:>7}  {:>8}",
            "recording", "present", "absent", "unsaid", "first"
        )?;
        for r in &self.recordings {
            let first = r.first_present_s.map_or("never".to_owned(), |s| format!("{s:.1} s"));
            writeln!(f, "  {:<42} {:>7} {:>7} {:>7}  {first:>8}", r.file, r.present, r.absent, r.unsaid)?;
        }
        for (name, s) in [("by recording", self.by_recording), ("by window", self.by_window)] {
            writeln!(
                f,
                "  {name:<13} precision {:.3}  recall {:.3}  F1 {:.3}  (tp {}, fp {}, fn {}, tn {})",
                s.precision,
                s.recall,
                s.f1,
                s.true_positive,
                s.false_positive,
                s.false_negative,
                s.true_negative
            )?;
        }
        Ok(())
    }
}
