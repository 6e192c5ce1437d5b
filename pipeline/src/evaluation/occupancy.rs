//! How many people from the signal alone: suite `occupancy`.
//!
//! CSV of ESP32-CSI-Tool lines (`pc_timestamp,label,tag,note,raw_line`), the label is the number of people. With two recordings or more of every
//! count, recordings are left out in turn; with one, the first part of each trains and the last is judged.

use std::path::Path;

use invispose_kernels::discriminant::Discriminant;
use serde_json::json;

use super::recordings::{EvaluationError, Recording, file_name, files, set_folder, text};
use super::report::{Answer, Figures, Report, class_figures, figure};
use super::series::{Series, groups, log};
use crate::capture;
use crate::csi::CsiFrame;
use crate::signal::{self, Labelled, Look, Measured, SignalConfig, Task};

/// Seconds of a window, and from one to the next.
const WINDOW_S: f64 = 4.0;
const HOP_S: f64 = 1.0;
const GROUPS: usize = 8;
const SHRINKAGE: f64 = 0.1;
/// With one recording a count: shares of it that train, and from which on it is judged.
const TRAIN_SHARE: f64 = 0.55;
const TEST_SHARE: f64 = 0.65;

struct Room {
    file: String,
    people: usize,
    /// Where in the recording a window starts and ends, 0..1, what moves in it, and its mean channel.
    windows: Vec<(f64, f64, Vec<f64>, Vec<f64>)>,
    recording: Recording,
}

/// Runs the suite.
pub fn occupancy(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "occupancy-esp32s3");
    let mut rooms = Vec::new();
    for file in files(&folder, "csv")? {
        rooms.push(read(&file)?);
    }
    let mut counts: Vec<usize> = rooms.iter().map(|r| r.people).collect();
    counts.sort_unstable();
    counts.dedup();
    let missing = "no CSV with pc_timestamp, label and raw_line of two counts of people";
    let empty = || EvaluationError::Empty { folder: folder.clone(), missing };
    if counts.len() < 2 {
        return Err(empty());
    }
    let several = counts.iter().all(|n| rooms.iter().filter(|r| r.people == *n).count() >= 2);
    let class = |people: usize| counts.iter().position(|n| *n == people).unwrap_or(0);

    type Window = (f64, f64, Vec<f64>, Vec<f64>);
    let answers = |features: &dyn Fn(&Window) -> Vec<f64>| -> Result<Vec<Vec<usize>>, EvaluationError> {
        let mut out = Vec::new();
        for (i, room) in rooms.iter().enumerate() {
            let (mut x, mut y) = (Vec::new(), Vec::new());
            for (j, other) in rooms.iter().enumerate().filter(|(j, _)| !several || *j != i) {
                for window in other.windows.iter().filter(|w| (several && j != i) || w.1 <= TRAIN_SHARE) {
                    x.extend(features(window));
                    y.push(class(other.people));
                }
            }
            let width = if y.is_empty() { 0 } else { x.len() / y.len() };
            let trained = Discriminant::train(&x, &y, width, counts.len(), SHRINKAGE).ok_or_else(empty)?;
            let judged = room.windows.iter().filter(|w| several || w.0 >= TEST_SHARE);
            out.push(judged.map(|w| counts[trained.classify(&features(w))]).collect());
        }
        Ok(out)
    };
    let figures = |said: &[Vec<usize>]| -> Figures {
        let pairs: Vec<(usize, usize)> =
            rooms.iter().zip(said).flat_map(|(r, s)| s.iter().map(|&n| (r.people, n))).collect();
        let classes: Vec<(usize, usize)> = pairs.iter().map(|&(a, b)| (class(a), class(b))).collect();
        let mut figures = class_figures(&classes, counts.len());
        let error = pairs.iter().map(|&(a, b)| a.abs_diff(b) as f64).sum::<f64>() / pairs.len().max(1) as f64;
        figures.insert("mae", figure(error));
        figures
    };
    let by_motion = answers(&|w| w.2.clone())?;
    let by_channel = answers(&|w| w.3.clone())?;
    let middle = counts[counts.len() / 2];
    let constant: Vec<Vec<usize>> = by_motion.iter().map(|s| vec![middle; s.len()]).collect();
    let mut baseline = figures(&constant);
    baseline.insert("method", format!("always {middle}").into());
    let per_recording = rooms.iter().zip(&by_motion).map(|(r, said)| {
        let mean = said.iter().sum::<usize>() as f64 / said.len().max(1) as f64;
        let mut sorted = said.clone();
        sorted.sort_unstable();
        let answer =
            json!({ "median": sorted.get(sorted.len() / 2), "mean": figure(mean), "windows": said.len() });
        Answer { file: r.file.clone(), truth: r.people.into(), answer }
    });
    let (split, note) = if several {
        (
            "each recording left out in turn; by window of 4 s",
            "recordings of one room and one day: another room may need its own training",
        )
    } else {
        (
            "within each recording: the first 55 % train, the last 35 % are judged, 10 % between; by window of 4 s",
            "a weak claim: one recording a count, so count, minute and posture cannot be told apart; it says that four recordings differ in how much moves, not that people are counted",
        )
    };
    Ok(Report {
        suite: "occupancy",
        split: split.into(),
        metrics: figures(&by_motion),
        baseline,
        more: [
            ("static_channel_alone", figures(&by_channel)),
            ("live", live(&rooms, several).map_or_else(Figures::new, |m| m.figures())),
        ]
        .into(),
        per_recording: per_recording.collect(),
        notes: vec![note.into()],
        plots: Vec::new(),
    })
}

/// What `calibrate count` learns, with the same split. With several recordings of every count the last of each is judged and the others train.
fn live(rooms: &[Room], several: bool) -> Option<Measured> {
    let recordings: Vec<(String, Recording)> =
        rooms.iter().map(|r| (r.people.to_string(), r.recording.clone())).collect();
    let (_, seen) = signal::looks_of(&recordings, None).ok()?;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (i, recording) in seen.iter().enumerate() {
        if several {
            let last = seen.iter().rposition(|r| r.label == recording.label) == Some(i);
            if last { &mut test } else { &mut train }.push(recording.clone());
            continue;
        }
        let (first, last) = (recording.looks.first()?.time_ns, recording.looks.last()?.time_ns);
        let part = |from: f64, to: f64| {
            let at = |l: &&Look| (l.time_ns - first) as f64 / (last - first).max(1) as f64;
            let looks = recording.looks.iter().filter(|l| (from..=to).contains(&at(l))).cloned().collect();
            Labelled { looks, ..recording.clone() }
        };
        train.push(part(0.0, TRAIN_SHARE));
        test.push(part(TEST_SHARE, 1.0));
    }
    signal::measure(Task::Count, &train, &test, &SignalConfig::default())
}

fn read(path: &Path) -> Result<Room, EvaluationError> {
    let (people, recording) = packets(path)?;
    let windows = windows(&recording.frames);
    if windows.is_empty() {
        let problem = "shorter than a window".into();
        return Err(EvaluationError::Content { path: path.to_owned(), problem });
    }
    Ok(Room { file: recording.file.clone(), people, windows, recording })
}

/// How many people there are by the file's first label, and its packets.
pub(super) fn packets(path: &Path) -> Result<(usize, Recording), EvaluationError> {
    let fail = |problem: String| EvaluationError::Content { path: path.to_owned(), problem };
    let text = text(path)?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    let at = |name: &str| head.iter().position(|h| *h == name);
    let (Some(time_at), Some(label_at)) = (at("pc_timestamp"), at("label")) else {
        return Err(fail("line 1: no columns pc_timestamp and label".into()));
    };
    let mut rows = Vec::new();
    let mut packets = String::new();
    for (n, line) in lines.enumerate() {
        let Some(start) = line.find("CSI_DATA") else { continue };
        let fields: Vec<&str> = line[..start].split(',').collect();
        let number =
            |at: usize| fields.get(at).and_then(|f| f.trim().parse::<f64>().ok()).filter(|v| v.is_finite());
        let (Some(time), Some(label)) = (number(time_at), number(label_at)) else {
            return Err(fail(format!("line {}: no time or label", n + 2)));
        };
        rows.push((time, label.round().max(0.0) as usize));
        // The row is quoted, and so are the quotes in it.
        packets.push_str(
            line[start..].trim_end_matches('"').trim_start_matches('"').replace("\"\"", "\"").as_str(),
        );
        packets.push_str("\"\n");
    }
    let Some(&(start, people)) = rows.first() else { return Err(fail("no packet".into())) };
    let mut frames = Vec::new();
    let mut decoded = capture::open_bytes(packets.into_bytes(), &path.display().to_string())?;
    // Rows and packets pair up only while every row is a packet.
    for ((time, _), frame) in rows.iter().zip(&mut decoded) {
        if let Ok(frame) = frame {
            frames.push(CsiFrame { time_ns: ((time - start) * 1e9) as i64, ..frame });
        }
    }
    Ok((people, Recording { file: file_name(path), start_ns: 0, frames }))
}

fn windows(frames: &[CsiFrame]) -> Vec<(f64, f64, Vec<f64>, Vec<f64>)> {
    let width = frames.first().map_or(0, |f| f.csi.len());
    // Columns that carry signal, and the training fields, which the receiver scales apart.
    let power = |c: usize| frames.iter().filter_map(|f| f.csi.get(c)).map(|h| h.norm_sqr()).sum::<f32>();
    let power: Vec<f32> = (0..width).map(power).collect();
    let live = invispose_kernels::mask::live_columns(&power, 0.04);
    let legacy = if width > 64 { live.iter().filter(|&&c| c < 64).count() } else { live.len() };
    let last = frames.last().map_or(0.0, |f| f.time_ns as f64 / 1e9);
    let mut out = Vec::new();
    let mut start = 0.0;
    while start + WINDOW_S <= last {
        let inside = |f: &&CsiFrame| (start..start + WINDOW_S).contains(&(f.time_ns as f64 / 1e9));
        let rows = frames.iter().filter(inside).filter(|f| f.csi.len() == width);
        let rows = rows.map(|f| live.iter().map(|&c| f.csi[usize::from(c)].norm()).collect());
        let series = Series::new(rows, &[legacy, live.len() - legacy], 1.0);
        if series.len() >= 20 {
            let mut moving: Vec<f64> = groups(&series.deviation(), GROUPS).into_iter().map(log).collect();
            moving.extend(groups(&series.step(), GROUPS).into_iter().map(log));
            out.push((start / last, (start + WINDOW_S) / last, moving, groups(&series.mean(), GROUPS)));
        }
        start += HOP_S;
    }
    out
}
