//! What a camera or a known path says of the people in a recording, for a site that teaches the network its room.

use std::path::Path;

use invispose_models::data::{Label, ObservedLink, Person};
use invispose_models::input::Binned;
use invispose_models::network::JOINTS;
use invispose_models::predictor::Activity;
use invispose_models::weights::MeanPose;
use serde::Deserialize;

use super::recordings::{EvaluationError, Recording, text};
use crate::site::SiteConfig;
use crate::stages::baseline::Baseline;

/// Times from here on are seconds since the Unix epoch (this is 1973), earlier ones since the recording's first packet.
const EPOCH_S: f64 = 1e8;
/// Labels are this much apart at least, seconds: nearer ones say the same again.
const APART_S: f64 = 0.18;
/// Nobody goes faster along a path, m/s.
const FASTEST_M_S: f64 = 5.0;

/// A line of a file of keypoints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Seconds.
    time: f64,
    persons: Vec<Seen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// COCO order, site coordinates in metres.
    keypoints: Vec<[f32; 3]>,
    #[serde(default)]
    activity: Option<String>,
}

/// Keypoints as JSON lines: `{"time": S, "persons": [{"keypoints": [[x, y, z], … 17], "activity": "walking"}]}`, COCO order, site
/// coordinates in metres, `activity` where it is known. Times are seconds since the Unix epoch or since the recording's first
/// packet, and rise.
///
/// # Errors
/// When the file cannot be read, or a line is not that.
pub fn keypoints(path: &Path) -> Result<Vec<Label>, EvaluationError> {
    let fail = |line: usize, problem: String| content(path, format!("line {}: {problem}", line + 1));
    let mut labels: Vec<Label> = Vec::new();
    for (number, line) in text(path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|e| fail(number, e.to_string()))?;
        let persons =
            line.persons.iter().map(person).collect::<Result<_, _>>().map_err(|e| fail(number, e))?;
        if !line.time.is_finite() || labels.last().is_some_and(|before| before.time_s >= line.time) {
            return Err(fail(number, format!("time {} is not after the line before", line.time)));
        }
        labels.push(Label { time_s: line.time, persons });
    }
    Ok(labels)
}

fn person(seen: &Seen) -> Result<Person, String> {
    let count = seen.keypoints.len();
    let keypoints_m = seen.keypoints.as_slice().try_into();
    let keypoints_m: [[f32; 3]; JOINTS] =
        keypoints_m.map_err(|_| format!("{count} keypoints, not {JOINTS}"))?;
    if keypoints_m.iter().flatten().any(|v| !v.is_finite()) {
        return Err("a keypoint is not finite".into());
    }
    let index = |name: &String| {
        let known = Activity::ALL.iter().position(|a| a.name() == name);
        known.ok_or_else(|| {
            format!("activity {name:?} is none of {}", Activity::ALL.map(|a| a.name()).join(", "))
        })
    };
    let activity = seen.activity.as_ref().map(index).transpose()?;
    Ok(Person { keypoints_m, activity, pose_known: true })
}

/// The labels of one person who walks along a path that is known: lines of `time_s,x_m,y_m`, where they were at which moment, straight
/// on between two lines. Only the root is known, at the height of the mean pose.
///
/// # Errors
/// When the file cannot be read, a line is not that, or nobody can walk so fast.
pub fn walk(path: &Path, mean: &MeanPose) -> Result<Vec<Label>, EvaluationError> {
    let fail = |line: usize, problem: String| content(path, format!("line {}: {problem}", line + 1));
    let mut points: Vec<[f64; 3]> = Vec::new();
    let body = text(path)?;
    let lines = body.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (number, line) in lines.filter(|(number, line)| *number > 0 || line.trim() != "time_s,x_m,y_m") {
        let fields = line.split(',').map(|v| v.trim().parse::<f64>().ok().filter(|v| v.is_finite()));
        let fields: Option<Vec<f64>> = fields.collect();
        let Some(&[time, x, y]) = fields.as_deref() else {
            return Err(fail(number, format!("{line:?} is not time_s,x_m,y_m")));
        };
        if let Some([before, from_x, from_y]) = points.last() {
            let seconds = time - before;
            if seconds <= 0.0 {
                return Err(fail(number, format!("time {time} is not after the line before")));
            }
            let speed = (x - from_x).hypot(y - from_y) / seconds;
            if speed > FASTEST_M_S {
                return Err(fail(
                    number,
                    format!("{speed:.1} m/s from the line before: nobody walks so fast"),
                ));
            }
        }
        points.push([time, x, y]);
    }
    let walking = Activity::ALL.iter().position(|a| *a == Activity::Walking);
    let mut labels = Vec::new();
    for pair in points.windows(2) {
        let [from, to] = pair else { continue };
        let steps = ((to[0] - from[0]) / APART_S).floor().max(1.0) as usize;
        for step in 0..steps {
            let part = step as f64 / steps as f64;
            let [time_s, x, y] = std::array::from_fn(|i| from[i] + part * (to[i] - from[i]));
            let root = [x as f32, y as f32, mean.root_m[2]];
            let keypoints_m = mean.pose_m.map(|p| std::array::from_fn(|i| root[i] + p[i]));
            let moves = from[1..] != to[1..];
            let activity = walking.filter(|_| moves);
            labels.push(Label { time_s, persons: vec![Person { keypoints_m, activity, pose_known: false }] });
        }
    }
    Ok(labels)
}

/// Labels on the recording's clock: seconds from its first packet.
pub fn on_clock_of(recording: &Recording, labels: Vec<Label>) -> Vec<Label> {
    let start_s = recording.start_ns as f64 / 1e9;
    let since = |time_s: f64| if time_s >= EPOCH_S { time_s - start_s } else { time_s };
    labels.into_iter().map(|l| Label { time_s: since(l.time_s), ..l }).collect()
}

/// Few enough of them that each says something else.
pub fn thinned(labels: Vec<Label>) -> Vec<Label> {
    let mut kept: Vec<Label> = Vec::new();
    for label in labels {
        if kept.last().is_none_or(|before| label.time_s - before.time_s >= APART_S) {
            kept.push(label);
        }
    }
    kept
}

/// The site's links that have a place, a known quiet room and packets in the recording; times from its first packet.
///
/// # Errors
/// Where there is none, with what is missing.
pub fn links(
    recording: &Recording,
    site: &SiteConfig,
    baseline: Option<&Baseline>,
) -> Result<Vec<ObservedLink>, EvaluationError> {
    let known = baseline.map_or(&[][..], |b| &b.links);
    let (mut found, mut silent, mut unknown) = (Vec::new(), 0, 0);
    for place in &site.links {
        let frames = || recording.frames.iter().filter(|f| f.link.as_str() == place.id);
        let Some(first) = frames().next() else {
            silent += 1;
            continue;
        };
        let quiet = known.iter().find(|l| l.link == place.id && l.layout == first.layout);
        let Some(reference) = quiet.and_then(|l| l.reference.clone()) else {
            unknown += 1;
            continue;
        };
        let same = frames().filter(|f| f.layout == first.layout);
        found.push(ObservedLink {
            transmitter_m: place.transmitter_m,
            receiver_m: place.receiver_m,
            reference,
            packets: same.map(|f| (f.time_ns as f64 / 1e9, Binned::of(f.layout, &f.csi))).collect(),
        });
    }
    if found.is_empty() {
        let problem = format!(
            "no link to learn from: site {} has {} links with a place, of which {silent} sent nothing in {} and {unknown} have no known quiet \
             room (calibrate the baseline first)",
            site.id,
            site.links.len(),
            recording.file,
        );
        return Err(EvaluationError::Site(problem));
    }
    Ok(found)
}

fn content(path: &Path, problem: String) -> EvaluationError {
    EvaluationError::Content { path: path.to_owned(), problem }
}
