//! Activities from the signal alone, across days: suite `har-geotec`.
//!
//! Folders of days hold `NAME-x.npy` (`[56][sample]` amplitudes at 100 Hz) and `NAME-y.npy` (a label for each sample). The classifier learns from
//! the first day and is judged on all others. Where the link's static channel differs from day to day, what moves is alike: features are energies in
//! bands of frequency, before, in and after the window, and the shape of the channel relative to the recording's own mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use invispose_kernels::discriminant::Discriminant;
use invispose_kernels::{Complex32, Layout};
use serde_json::Value;

use super::npy;
use super::recordings::{EvaluationError, Recording, files, play, set_folder};
use super::report::{Answer, Figures, Report, class_figures};
use super::series::{Series, groups, log};
use crate::csi::{CsiFrame, LinkId};
use crate::signal::{self, Labelled, Look, LookConfig, Looks, SignalConfig, Task};
use crate::stages::assembly::AssemblyConfig;

const RATE_HZ: f64 = 100.0;
/// Samples of a window, and from one to the next.
const WINDOW: usize = 100;
const HOP: usize = 25;
/// Bands of frequency, hertz: posture, limbs, walking, fast limbs, noise.
const BANDS: [(f64, f64); 5] = [(0.3, 2.0), (2.0, 6.0), (6.0, 12.0), (12.0, 25.0), (25.0, 45.0)];
/// Neighbouring windows whose energies count too, samples away.
const AROUND: [i64; 4] = [-200, -100, 100, 200];
/// Groups of subcarriers.
const GROUPS: usize = 8;
/// Chosen by leaving recordings of the first day out.
const SHRINKAGE: f64 = 0.01;

pub(super) struct Sequence {
    file: String,
    /// The day's folder.
    pub(super) day: String,
    /// Windows: the class at the middle, features, and the plain amplitudes that the baseline looks at.
    windows: Vec<(usize, Vec<f64>, Vec<f64>)>,
    /// `[sample]`: class.
    labels: Vec<usize>,
    /// What the classifier that a site can teach sees, a second after each moment, and the class.
    pub(super) looks: Vec<(usize, Look)>,
}

impl Sequence {
    /// Both directions of one walk through the room lie in one recording number.
    pub(super) fn number(&self) -> &str {
        self.file.rsplit('/').next().and_then(|name| name.get(..3)).unwrap_or_default()
    }
}

/// The set's folder, its classes by their number, and all recordings, those of the first day first.
pub(super) fn read(data: &Path) -> Result<(PathBuf, Vec<String>, Vec<Sequence>), EvaluationError> {
    let folder = set_folder(data, "har-geotec");
    let mut classes = Vec::new();
    let mut all = Vec::new();
    for day in folders(&folder)? {
        for x in files(&day, "npy")? {
            let Some(stem) = x.to_str().and_then(|p| p.strip_suffix("-x.npy")) else { continue };
            let y = PathBuf::from(format!("{stem}-y.npy"));
            all.push(sequence(&folder, &day, &x, &y, &mut classes)?);
        }
    }
    Ok((folder, classes, all))
}

/// Runs the suite.
pub fn geotec(data: &Path) -> Result<Report, EvaluationError> {
    let (folder, classes, all) = read(data)?;
    let first = all.iter().map(|s| s.day.clone()).min().unwrap_or_default();
    let (train, test): (Vec<&Sequence>, Vec<&Sequence>) = all.iter().partition(|s| s.day == first);
    let missing = "no recordings NAME-x.npy with NAME-y.npy of two days";
    let empty = || EvaluationError::Empty { folder: folder.clone(), missing };
    if test.is_empty() {
        return Err(empty());
    }
    // Days are read in order, so classes that only later days have come last; they cannot be learned.
    let learned = train.iter().flat_map(|s| &s.labels).max().map_or(0, |c| c + 1);
    let learn = |features: fn(&(usize, Vec<f64>, Vec<f64>)) -> &Vec<f64>,
                 out: &dyn Fn(&Sequence) -> bool,
                 shrinkage| {
        let used = train.iter().filter(|s| !out(s)).flat_map(|s| &s.windows);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for window in used {
            x.extend_from_slice(features(window));
            y.push(window.0);
        }
        let width = if y.is_empty() { 0 } else { x.len() / y.len() };
        Discriminant::train(&x, &y, width, learned, shrinkage)
    };
    let nothing = |_: &Sequence| false;
    let by_motion = learn(|w| &w.1, &nothing, SHRINKAGE).ok_or_else(empty)?;
    let by_amplitude = learn(|w| &w.2, &nothing, 0.1).ok_or_else(empty)?;

    let pairs =
        |of: &[&Sequence], answer: &dyn Fn(&(usize, Vec<f64>, Vec<f64>)) -> usize| -> Vec<(usize, usize)> {
            of.iter().flat_map(|s| &s.windows).map(|w| (w.0, answer(w))).collect()
        };
    let judged = pairs(&test, &|w| by_motion.classify(&w.1));
    let mut baseline = class_figures(&pairs(&test, &|w| by_amplitude.classify(&w.2)), classes.len());
    baseline.insert("method", "linear discriminants of the window's mean amplitudes".into());
    let mut same_day = Vec::new();
    for left_out in &train {
        let out = |s: &Sequence| s.number() == left_out.number();
        if let Some(trained) = learn(|w| &w.1, &out, SHRINKAGE) {
            same_day.extend(pairs(&[*left_out], &|w| trained.classify(&w.1)));
        }
    }
    let taught = |of: &[&Sequence]| -> Vec<Labelled> {
        let mut by_class: BTreeMap<usize, Vec<Look>> = BTreeMap::new();
        for (class, look) in of.iter().flat_map(|s| &s.looks) {
            by_class.entry(*class).or_default().push(look.clone());
        }
        let labelled = |(class, looks): (usize, Vec<Look>)| {
            let label = classes.get(class).cloned().unwrap_or_default();
            Labelled { name: label.clone(), label, looks }
        };
        by_class.into_iter().map(labelled).collect()
    };
    let live = signal::measure(Task::Activity, &taught(&train), &taught(&test), &SignalConfig::default());
    let activity = without_place(&classes);
    let merged: Vec<(usize, usize)> = judged.iter().map(|&(a, b)| (activity[a], activity[b])).collect();

    let per_recording = test.iter().map(|s| answer(s, &classes, &|w| by_motion.classify(&w.1))).collect();
    Ok(Report {
        suite: "har-geotec",
        split: format!("train {first}, test all other days; by window of 1 s every 0.25 s, labelled by its middle"),
        metrics: class_figures(&judged, classes.len()),
        baseline,
        more: [
            ("first_day_recordings_left_out", class_figures(&same_day, classes.len())),
            ("activity_without_place", class_figures(&merged, classes.len())),
            ("live", live.map_or_else(Figures::new, |m| m.figures())),
        ]
        .into(),
        per_recording,
        notes: vec![
            "one person, one room; each recording holds the same order of activities, and two seconds on either side of a window are looked at, so part of the order can be learned".into(),
            "features are relative to the whole recording: a live stream would need some minutes of its own first".into(),
            "live: what `calibrate activity` learns, causal, from windows of 2 s and what was seen up to 4 s before, labelled by their middle".into(),
        ],
        plots: Vec::new(),
    })
}

fn sequence(
    folder: &Path,
    day: &Path,
    x: &Path,
    y: &Path,
    classes: &mut Vec<String>,
) -> Result<Sequence, EvaluationError> {
    let (shape, values) = npy::numbers(x)?;
    let names = npy::strings(y)?;
    let [streams, samples] = shape[..] else {
        return Err(EvaluationError::Content { path: x.to_owned(), problem: format!("shape {shape:?}") });
    };
    if samples != names.len() || samples < WINDOW || streams < GROUPS {
        let problem = format!("{streams} × {samples} amplitudes and {} labels", names.len());
        return Err(EvaluationError::Content { path: x.to_owned(), problem });
    }
    let mut labels = Vec::new();
    for name in names {
        let known = classes.iter().position(|c| *c == name);
        labels.push(known.unwrap_or(classes.len()));
        if known.is_none() {
            classes.push(name);
        }
    }
    let rows = (0..samples).map(|t| (0..streams).map(|s| values[s * samples + t] as f32).collect());
    let series = Series::new(rows, &[streams], RATE_HZ);
    let short = |p: &Path| p.strip_prefix(folder).unwrap_or(p).display().to_string();
    Ok(Sequence {
        file: short(x),
        day: short(day),
        windows: windows(&series, &labels, &values, samples),
        looks: looks(&values, samples, streams, &labels),
        labels,
    })
}

/// What is seen of the amplitudes as if they came from a radio, four times a second.
fn looks(values: &[f64], samples: usize, streams: usize, labels: &[usize]) -> Vec<(usize, Look)> {
    let layout = Layout::new(1, 1, streams as u16);
    let link = LinkId::new("link");
    let frame = |t: usize| {
        let csi = (0..streams).map(|s| Complex32::new(values[s * samples + t] as f32, 0.0)).collect();
        CsiFrame { time_ns: (t as f64 / RATE_HZ * 1e9) as i64, ..CsiFrame::new(link.clone(), layout, csi) }
    };
    let recording = Recording { file: String::new(), start_ns: 0, frames: (0..samples).map(frame).collect() };
    let mut looks = Looks::new(LookConfig { links: vec![(link.clone(), layout)], profiles: Vec::new() });
    let mut seen = Vec::new();
    play(&[&recording], &AssemblyConfig::default(), |place, window| {
        if let Some(look) = looks.take(&window) {
            let middle = ((place.end_s - 1.0) * RATE_HZ).max(0.0) as usize;
            seen.extend(labels.get(middle).map(|&class| (class, look)));
        }
    });
    seen
}

fn windows(
    series: &Series,
    labels: &[usize],
    raw: &[f64],
    samples: usize,
) -> Vec<(usize, Vec<f64>, Vec<f64>)> {
    let mean = series.mean();
    let spread = series.deviation();
    let spread = (spread.iter().sum::<f64>() / spread.len() as f64).max(1e-6);
    let bands: Vec<Series> = BANDS.iter().filter_map(|&(low, high)| series.band(low, high)).collect();
    let relative = |part: &Series| -> Vec<f64> {
        let shape: Vec<f64> = part.mean().iter().zip(&mean).map(|(v, m)| (v - m) / spread).collect();
        groups(&shape, GROUPS)
    };
    let mut rows: Vec<(usize, Vec<f64>, Vec<f64>)> = Vec::new();
    for middle in (0..samples).step_by(HOP) {
        let (from, to) = (middle.saturating_sub(WINDOW / 2), (middle + WINDOW / 2).min(samples));
        let half = from + (to - from) / 2;
        let (early, late) = (relative(&series.part(from, half)), relative(&series.part(half, to)));
        let mut features = relative(&series.part(from, to));
        features.extend(late.iter().zip(&early).map(|(l, e)| l - e));
        features.extend(bands.iter().map(|b| log(b.part(from, to).energy())));
        features.push(log(bands[1].part(half, to).energy()) - log(bands[1].part(from, half).energy()));
        for away in AROUND {
            let at = |edge: usize| (edge as i64 + away).clamp(0, samples as i64) as usize;
            let (from, to) = (at(from), at(to));
            let known = to - from >= 20;
            features.extend(
                bands[..3].iter().map(|b| if known { log(b.part(from, to).energy()) } else { f64::NAN }),
            );
        }
        let plain = raw.chunks_exact(samples).map(|s| s[from..to].iter().sum::<f64>() / (to - from) as f64);
        rows.push((labels[middle], features, plain.collect()));
    }
    // What lies beyond the recording's ends counts as the recording's mean.
    for feature in 0..rows.first().map_or(0, |r| r.1.len()) {
        let known: Vec<f64> = rows.iter().map(|r| r.1[feature]).filter(|v| v.is_finite()).collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        rows.iter_mut().map(|r| &mut r.1[feature]).filter(|v| !v.is_finite()).for_each(|v| *v = mean);
    }
    rows
}

/// The first class that differs only in the place, by which labels end.
fn without_place(classes: &[String]) -> Vec<usize> {
    let activity = |c: &str| c.rsplit_once('_').map_or(c.to_owned(), |(a, _)| a.to_owned());
    let first = |c: &String| classes.iter().position(|d| activity(d) == activity(c)).unwrap_or(0);
    classes.iter().map(first).collect()
}

/// The labels of the recording's stretches, and the commonest answer in each.
fn answer(
    sequence: &Sequence,
    classes: &[String],
    classify: &dyn Fn(&(usize, Vec<f64>, Vec<f64>)) -> usize,
) -> Answer {
    let (mut truth, mut answers) = (Vec::new(), Vec::new());
    let mut start = 0;
    for stretch in sequence.labels.chunk_by(|a, b| a == b) {
        let range = start..start + stretch.len();
        start = range.end;
        let inside = sequence.windows.iter().enumerate().filter(|(i, _)| range.contains(&(i * HOP)));
        let mut votes = vec![0; classes.len()];
        inside.for_each(|(_, w)| votes[classify(w)] += 1);
        let most = (0..votes.len()).max_by_key(|&c| votes[c]).filter(|&c| votes[c] > 0);
        truth.push(Value::from(classes[stretch[0]].as_str()));
        answers.push(most.map_or(Value::Null, |c| classes[c].as_str().into()));
    }
    Answer { file: sequence.file.clone(), truth: truth.into(), answer: answers.into() }
}

/// Folders in a folder, by name.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>, EvaluationError> {
    let fail = |error| EvaluationError::Read { path: folder.to_owned(), error };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        found.push(entry.map_err(fail)?.path());
    }
    found.retain(|p| p.is_dir());
    found.sort();
    Ok(found)
}
