//! Motion on a set of another room and device: suite `motion-vsense`.
//!
//! JSON lines `{ts_us, rssi, csi: [imaginary, real, …]}` of one receiver that hears several transmitters and does not say which. Nothing is
//! tuned on this set: the detector runs with its shipped values, calibrated on the empty room.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use invispose_kernels::{Complex32, Layout};
use serde::Deserialize;
use serde_json::{Value, json};

use super::motion::still;
use super::recordings::{
    EvaluationError, Place, Recording, file_name, files, play, set_folder, text, without_arrays,
};
use super::report::{Answer, Figures, Report, Score, figure};
use crate::csi::{CsiFrame, LinkId};
use crate::stages::assembly::AssemblyConfig;
use crate::stages::presence::PresenceDetector;

#[derive(Deserialize)]
struct Line {
    ts_us: i64,
    rssi: f32,
    csi: Vec<i8>,
}

/// Reads a file of the set. Packets of a transmitter are told by their strength.
pub(super) fn read(path: &Path) -> Result<Recording, EvaluationError> {
    let content = |n: usize, problem: String| EvaluationError::Content {
        path: path.to_owned(),
        problem: format!("line {}: {problem}", n + 1),
    };
    let mut lines = Vec::new();
    for (n, text) in text(path)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let line: Line = serde_json::from_str(text).map_err(|e| content(n, e.to_string()))?;
        if line.csi.is_empty() || !line.csi.len().is_multiple_of(2) || line.csi.len() > 1 << 14 {
            return Err(content(n, format!("{} values of csi", line.csi.len())));
        }
        lines.push(line);
    }
    let border = valley(lines.iter().map(|l| l.rssi).collect());
    let start = lines.first().map_or(0, |l| l.ts_us);
    let link = |rssi: f32| match border {
        Some(border) if rssi < border => "weak",
        _ => "strong",
    };
    let frame = |line: &Line| {
        let csi: Vec<Complex32> =
            line.csi.chunks_exact(2).map(|p| Complex32::new(f32::from(p[1]), f32::from(p[0]))).collect();
        CsiFrame {
            time_ns: line.ts_us.saturating_sub(start).saturating_mul(1000),
            rssi_dbm: Some(line.rssi),
            ..CsiFrame::new(LinkId::new(Arc::from(link(line.rssi))), Layout::new(1, 1, csi.len() as u16), csi)
        }
    };
    let mut frames: Vec<CsiFrame> = lines.iter().map(frame).collect();
    frames.sort_by_key(|f| f.time_ns);
    Ok(Recording { file: file_name(path), start_ns: 0, frames })
}

/// Twice the length that the pipeline looks at: each transmitter is heard ten times a second only.
const WINDOW: Duration = Duration::from_secs(4);
/// Transmitters whose packets differ by less than this are not told apart, decibels.
const APART_DB: f32 = 8.0;

/// The middle of the widest gap between strengths, where it parts two groups of at least a twentieth each.
fn valley(mut rssi: Vec<f32>) -> Option<f32> {
    rssi.sort_unstable_by(f32::total_cmp);
    let least = rssi.len() / 20 + 1;
    let gaps = (least..rssi.len().saturating_sub(least)).map(|i| (rssi[i] - rssi[i - 1], i));
    let (gap, at) = gaps.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (gap >= APART_DB).then(|| 0.5 * (rssi[at] + rssi[at - 1]))
}

/// What the file's name says: somebody moves, or the room is empty.
fn truth(file: &str) -> Option<bool> {
    let name = file.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    if has(&["empty", "quiet", "baseline"]) {
        Some(false)
    } else {
        has(&["walk", "mov", "hand", "run", "wave"]).then_some(true)
    }
}

/// Runs the suite.
pub fn vsense(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "motion-vsense");
    let mut all = Vec::new();
    for file in files(&folder, "jsonl")? {
        if let Some(moving) = truth(&file_name(&file)) {
            all.push((moving, read(&file)?));
        }
    }
    let missing = "no recording empty….jsonl beside one of movement";
    let quiet: Vec<&Recording> = all.iter().filter(|(m, _)| !m).map(|(_, r)| r).collect();
    let (Some(calibration), true) = (quiet.first(), all.iter().any(|(m, _)| *m)) else {
        return Err(EvaluationError::Empty { folder, missing });
    };

    let mut windows = Score::default();
    let mut recordings = Score::default();
    let mut spread = Score::default();
    let mut more = Figures::new();
    let mut per_recording = Vec::new();
    let limit = 1.4 * spread_of(calibration, 0.5).0;
    for (moving, recording) in &all {
        // The calibrating recording is judged on its second half, once its first has been seen.
        let own = recording.file == calibration.file;
        let parts = if own { vec![recording] } else { vec![*calibration, recording] };
        let half_s = 0.5e-9 * recording.duration_ns() as f64 + WINDOW.as_secs_f64();
        let judged = |p: Place| if own { p.end_s >= half_s } else { p.part == 1 && p.whole };
        let (mut present, mut all_windows) = (0, 0);
        let mut detector = PresenceDetector::new(still(), None);
        let mut level = Vec::new();
        let assembly = AssemblyConfig { window: WINDOW, ..Default::default() };
        play(&parts, &assembly, |place, window| {
            let presence = detector.run(without_arrays(window)).presence;
            if judged(place) {
                all_windows += 1;
                present += usize::from(presence.is_some_and(|p| p.present));
                windows.add(*moving, presence.is_some_and(|p| p.present));
                level.extend(presence.map(|p| p.motion_level));
            }
        });
        level.sort_unstable_by(f32::total_cmp);
        let says = 2 * present > all_windows;
        recordings.add(*moving, says);
        spread.add(*moving, spread_of(recording, 1.0).1 > limit);
        let word = |m| if m { "movement" } else { "quiet" };
        per_recording.push(Answer {
            file: recording.file.clone(),
            truth: word(*moving).into(),
            answer: json!({
                "says": word(says), "windows": all_windows, "movement": present,
                "median_motion_level": level.get(level.len() / 2).map_or(Value::Null, |l| figure(f64::from(*l))),
            }),
        });
    }
    more.extend(recordings.figures());
    let mut baseline = spread.figures();
    baseline.insert("method", "by recording: deviation over time of the whole packet's amplitude, transmitters mixed, against 1.4 × the first half of the empty room".into());
    Ok(Report {
        suite: "motion-vsense",
        split: "nothing tuned on this set; calibrated on the empty room, whose second half is judged; by window of 4 s".into(),
        metrics: windows.figures(),
        baseline,
        more: [("metrics_by_recording", more)].into(),
        per_recording,
        notes: vec![
            "one recording of each kind: it says whether the detector carries over to this room, not how often it would err".into(),
            "the receiver hears two transmitters without naming them: packets are told apart by their strength".into(),
        ],
        plots: Vec::new(),
    })
}

/// Mean over subcarriers of the deviation of amplitude over its mean: over the first `share` of a recording, and over all.
fn spread_of(recording: &Recording, share: f64) -> (f64, f64) {
    let deviation = |frames: &[CsiFrame]| {
        let n = frames.len() as f64;
        let columns = frames.first().map_or(0, |f| f.csi.len());
        let (mut sum, mut used) = (0.0, 0.0);
        for c in 0..columns {
            let values: Vec<f64> =
                frames.iter().filter_map(|f| f.csi.get(c)).map(|h| f64::from(h.norm())).collect();
            let mean = values.iter().sum::<f64>() / n;
            if mean > 1.0 {
                sum += (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt() / mean;
                used += 1.0;
            }
        }
        if used > 0.0 { sum / used } else { 0.0 }
    };
    let first = (recording.frames.len() as f64 * share) as usize;
    (deviation(&recording.frames[..first]), deviation(&recording.frames))
}
