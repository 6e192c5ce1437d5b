//! Breathing against a phone on the chest: suite `respiration`.
//!
//! The folder holds Intel 5300 captures `…_NAME.dat` and `NAME.csv`, the phone's gyroscope while the same person kept still. The clocks differ,
//! so rates over whole recordings are compared. Where the other sets lie beside this one, their recordings of movement and of
//! empty rooms are played to the same estimator, which must keep silent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use invispose_kernels::doppler::hann;
use serde_json::{Value, json};

use super::recordings::{EvaluationError, Recording, file_name, files, play, set_folder, text};
use super::report::{Answer, Figures, Plot, Report, figure};
use super::sweep;
use super::vsense;
use crate::stages::assembly::AssemblyConfig;
use crate::stages::breathing::{BreathingConfig, BreathingMonitor};

/// Runs the suite.
pub fn respiration(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "respiration-intel");
    let mut pairs = Vec::new();
    for capture in files(&folder, "dat")? {
        if let Some(phone) = phone_of(&capture) {
            pairs.push((Recording::open(&capture)?, phone_rate(&phone)?));
        }
    }
    if pairs.is_empty() {
        let missing = "no capture …_NAME.dat with its NAME.csv";
        return Err(EvaluationError::Empty { folder, missing });
    }
    let mut errors = Errors::default();
    let mut by_window = Errors::default();
    let mut plain = Errors::default();
    let mut per_recording = Vec::new();
    let mut silent = 0usize;
    for (recording, truth) in &pairs {
        let rates = rates(recording, &BreathingConfig::default());
        let mut shown: Vec<f64> = rates.iter().flatten().copied().collect();
        shown.iter().for_each(|r| by_window.add(r - truth));
        shown.sort_unstable_by(f64::total_cmp);
        let median = shown.get(shown.len() / 2).copied();
        match median {
            Some(rate) => errors.add(rate - truth),
            None => silent += 1,
        }
        let simple = strongest_subcarrier(recording);
        plain.add(simple - truth);
        per_recording.push(Answer {
            file: recording.file.clone(),
            truth: figure(*truth),
            answer: json!({
                "median_bpm": median.map_or(Value::Null, figure),
                "seconds": figure(recording.duration_ns() as f64 / 1e9),
                "half_seconds_with_a_rate": shown.len(), "half_seconds": rates.len(),
                "lowest_bpm": shown.first().copied().map_or(Value::Null, figure),
                "highest_bpm": shown.last().copied().map_or(Value::Null, figure),
            }),
        });
    }
    let quiet = others(data, &folder)?;
    let mut metrics = errors.figures();
    metrics.insert("recordings_without_a_rate", silent.into());
    let mut baseline = plain.figures();
    baseline.insert(
        "method",
        "spectral peak, 0.1 to 0.6 Hz, of the subcarrier that varies most, over the whole recording".into(),
    );
    Ok(Report {
        suite: "respiration",
        split: "nothing trained; the rules were chosen with the one recording of the set in sight".into(),
        metrics,
        baseline,
        more: [("metrics_by_window", by_window.figures()), ("silence", silence(&quiet))].into(),
        per_recording,
        notes: vec![
            "by recording: the median of the rates shown, against the gyroscope's rate over its whole recording; by window: each rate shown (30 s, every half second) against that same rate".into(),
            "recordings of movement and empty rooms shorter than 45 s are played forth and back until they are as long".into(),
        ],
        plots: vec![trade_off(&pairs, &quiet)],
    })
}

#[derive(Default)]
struct Errors {
    sum: f64,
    most: f64,
    count: usize,
}

impl Errors {
    fn add(&mut self, error: f64) {
        self.sum += error.abs();
        self.most = self.most.max(error.abs());
        self.count += 1;
    }

    fn figures(&self) -> Figures {
        let any = self.count > 0;
        let mean = self.sum / self.count as f64;
        Figures::from([
            ("mean_abs_error_bpm", if any { figure(mean) } else { Value::Null }),
            ("max_abs_error_bpm", if any { figure(self.most) } else { Value::Null }),
            ("compared", self.count.into()),
        ])
    }
}

/// `sn1.csv` beside `4_19_sn1.dat`, or the table of the same name.
fn phone_of(capture: &Path) -> Option<PathBuf> {
    let stem = capture.file_stem()?.to_str()?;
    let tails = stem.match_indices('_').map(|(i, _)| &stem[i + 1..]);
    std::iter::once(stem)
        .chain(tails)
        .map(|t| capture.with_file_name(format!("{t}.csv")))
        .find(|p| p.is_file())
}

/// Breaths per minute by the phone: the highest peak of the gyroscope's spectrum, its three axes added up.
fn phone_rate(path: &Path) -> Result<f64, EvaluationError> {
    let text = text(path)?;
    let fail = |problem: String| EvaluationError::Content { path: path.to_owned(), problem };
    let head: Vec<&str> = text.lines().next().unwrap_or_default().split(',').map(str::trim).collect();
    let at = |name: &str| head.iter().position(|h| h.eq_ignore_ascii_case(name));
    let (Some(time), Some(x), Some(y), Some(z)) = (at("SamplingTime"), at("GyroX"), at("GyroY"), at("GyroZ"))
    else {
        return Err(fail("line 1: no columns SamplingTime, GyroX, GyroY, GyroZ".into()));
    };
    let mut samples: Vec<(f64, [f64; 3])> = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let number = |c: usize| fields.get(c).and_then(|f| f.parse::<f64>().ok()).filter(|v| v.is_finite());
        // Rows of the phone's other sensors have no gyroscope.
        if let (Some(t), Some(x), Some(y), Some(z)) = (number(time), number(x), number(y), number(z)) {
            samples.push((t, [x, y, z]));
        }
    }
    let start = samples.first().map_or(0.0, |s| s.0);
    samples.iter_mut().for_each(|s| s.0 -= start);
    if samples.last().is_none_or(|s| !(20.0..1e5).contains(&s.0)) {
        return Err(fail("less than 20 s of gyroscope".into()));
    }
    let axes: Vec<Vec<(f64, f64)>> =
        (0..3).map(|a| samples.iter().map(|s| (s.0, s.1[a])).collect()).collect();
    Ok(60.0 * spectral_peak(&axes))
}

/// Hertz of the highest point between 0.1 and 0.6 Hz of the power of several series of time and value, added up: a periodogram over their own
/// times, which need not be even.
fn spectral_peak(series: &[Vec<(f64, f64)>]) -> f64 {
    let power = |hz: f64| -> f64 {
        series
            .iter()
            .map(|s| {
                let n = s.len();
                let taper = hann(n);
                let mean = s.iter().map(|p| p.1).sum::<f64>() / n as f64;
                let (mut re, mut im) = (0.0, 0.0);
                for ((t, v), w) in s.iter().zip(&taper) {
                    let (sin, cos) = (std::f64::consts::TAU * hz * t).sin_cos();
                    re += f64::from(*w) * (v - mean) * cos;
                    im += f64::from(*w) * (v - mean) * sin;
                }
                re * re + im * im
            })
            .sum()
    };
    let grid = (100..=600).map(|k| f64::from(k) / 1000.0);
    grid.map(|hz| (power(hz), hz)).max_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |p| p.1)
}

fn strongest_subcarrier(recording: &Recording) -> f64 {
    let columns = recording.frames.first().map_or(0, |f| f.csi.len());
    let series = |c: usize| -> Vec<(f64, f64)> {
        let at = |f: &crate::csi::CsiFrame| Some((f.time_ns as f64 / 1e9, f64::from(f.csi.get(c)?.norm())));
        recording.frames.iter().filter_map(at).collect()
    };
    let spread = |s: &[(f64, f64)]| {
        let mean = s.iter().map(|p| p.1).sum::<f64>() / s.len() as f64;
        s.iter().map(|p| (p.1 - mean).powi(2)).sum::<f64>() / s.len() as f64 / (mean * mean).max(1e-9)
    };
    let all = (0..columns).map(series);
    let best = all.max_by(|a, b| spread(a).total_cmp(&spread(b)));
    best.map_or(0.0, |s| 60.0 * spectral_peak(&[s]))
}

const SETTINGS: [(&str, &str); 7] = [
    ("low_bpm", "breaths a minute"),
    ("high_bpm", "breaths a minute"),
    ("every_s", "seconds"),
    ("agree_bpm", "breaths a minute"),
    ("max_missing", "share"),
    ("max_unrest", "multiples of the median"),
    ("window_s", "seconds"),
];

/// A plot for each other setting of breathing.
///
/// # Errors
/// When there are no recordings.
pub fn sweeps(data: &Path, config: &BreathingConfig) -> Result<Vec<Plot>, EvaluationError> {
    let folder = set_folder(data, "respiration-intel");
    let mut pairs = Vec::new();
    for capture in files(&folder, "dat")? {
        if let Some(phone) = phone_of(&capture) {
            pairs.push((Recording::open(&capture)?, phone_rate(&phone)?));
        }
    }
    let others = others(data, &folder)?;
    let share = |recordings: &mut dyn Iterator<Item = &Recording>, config: &BreathingConfig| {
        let all: Vec<Option<f64>> = recordings.flat_map(|r| rates(r, config)).collect();
        all.iter().flatten().count() as f64 / all.len().max(1) as f64
    };
    let lines = [
        "time with a rate, still person",
        "time with a rate, movement and empty rooms",
        "largest error, tens of breaths a minute",
    ];
    Ok(sweep::plots(
        "presence.breathing",
        "a rate is shown",
        config,
        &sweep::around(config, &SETTINGS),
        "share of the time; tens of breaths a minute",
        &lines,
        |c| {
            let errors = pairs.iter().flat_map(|(r, truth)| {
                rates(r, c).into_iter().flatten().map(|rate| (rate - truth).abs()).collect::<Vec<_>>()
            });
            vec![
                share(&mut pairs.iter().map(|(r, _)| r), c),
                share(&mut others.iter().map(|o| &o.recording), c),
                errors.fold(0.0, f64::max) / 10.0,
            ]
        },
    ))
}

/// What is shown, each half second.
fn rates(recording: &Recording, config: &BreathingConfig) -> Vec<Option<f64>> {
    shown(recording, config).into_iter().map(|b| b.map(|b| f64::from(b.rate_bpm))).collect()
}

fn shown(recording: &Recording, config: &BreathingConfig) -> Vec<Option<crate::pose::Breathing>> {
    let assembly = AssemblyConfig { hop: Duration::from_millis(500), ..Default::default() };
    let mut monitor = BreathingMonitor::new(config.clone());
    let mut out = Vec::new();
    play(&[recording], &assembly, |_, window| out.push(monitor.run(&window)));
    out
}

/// A recording in which nobody keeps still, or nobody is.
struct Other {
    kind: &'static str,
    recording: Recording,
}

/// Recordings of the sets beside this one.
fn others(data: &Path, own: &Path) -> Result<Vec<Other>, EvaluationError> {
    let sets = if own == data { own.parent().unwrap_or(own) } else { data };
    let mut found = Vec::new();
    let espectre = sets.join("motion-espectre");
    for (label, kind) in [("movement", "moving"), ("baseline", "empty")] {
        let folder = espectre.join(label);
        for file in if folder.is_dir() { files(&folder, "npz")? } else { Vec::new() } {
            found.push(Other { kind, recording: Recording::open(&file)? });
        }
    }
    let folder = sets.join("motion-vsense");
    for file in if folder.is_dir() { files(&folder, "jsonl")? } else { Vec::new() } {
        let kind = if file_name(&file).contains("empty") { "empty" } else { "moving" };
        found.push(Other { kind, recording: vsense::read(&file)? });
    }
    for other in &mut found {
        other.recording = forth_and_back(&other.recording, 45_000_000_000);
    }
    Ok(found)
}

/// Played forward and backward until it lasts `least_ns`, so that no seam jumps.
pub(super) fn forth_and_back(recording: &Recording, least_ns: i64) -> Recording {
    let (once, step) = (recording.duration_ns(), 10_000_000);
    let mut frames = recording.frames.clone();
    let mut start = once + step;
    let mut backward = true;
    while once > 0 && start < least_ns {
        let turn = |f: &crate::csi::CsiFrame| if backward { once - f.time_ns } else { f.time_ns };
        let copy = |f: &crate::csi::CsiFrame| crate::csi::CsiFrame { time_ns: start + turn(f), ..f.clone() };
        if backward {
            frames.extend(recording.frames.iter().rev().map(copy));
        } else {
            frames.extend(recording.frames.iter().map(copy));
        }
        backward = !backward;
        start += once + step;
    }
    Recording { file: recording.file.clone(), start_ns: recording.start_ns, frames }
}

fn silence(others: &[Other]) -> Figures {
    let mut figures = Figures::new();
    for (kind, recordings, with, all) in [
        ("moving", "moving_recordings", "moving_half_seconds_with_a_rate", "moving_half_seconds"),
        ("empty", "empty_recordings", "empty_half_seconds_with_a_rate", "empty_half_seconds"),
    ] {
        let of_kind = || others.iter().filter(|o| o.kind == kind);
        let (mut spoken, mut looked) = (0, 0);
        for other in of_kind() {
            let rates = rates(&other.recording, &BreathingConfig::default());
            spoken += rates.iter().flatten().count();
            looked += rates.len();
        }
        figures.insert(recordings, of_kind().count().into());
        figures.insert(with, spoken.into());
        figures.insert(all, looked.into());
    }
    figures
}

/// Share of half seconds, after the first 30 s, in which a rate is shown, over the least quality.
fn trade_off(pairs: &[(Recording, f64)], others: &[Other]) -> Plot {
    // Two estimates in a row must be good: the lesser of their qualities decides, and one run tells for all thresholds.
    let qualities = |recording: &Recording| -> Vec<f32> {
        let open = BreathingConfig { min_quality: 0.0, ..Default::default() };
        let all = shown(recording, &open);
        let late = all.iter().skip(60);
        late.map(|b| b.map_or(0.0, |b| b.quality)).collect()
    };
    let line = |name: &str, all: Vec<f32>| {
        let share = |least: f64| {
            all.iter().filter(|q| f64::from(**q) >= least).count() as f64 / all.len().max(1) as f64
        };
        let points = (1..=40).map(|k| f64::from(k) / 50.0).map(|least| (least, share(least)));
        (name.to_owned(), points.collect())
    };
    let of_kind = |kind: &str| {
        others.iter().filter(|o| o.kind == kind).flat_map(|o| qualities(&o.recording)).collect::<Vec<_>>()
    };
    Plot {
        name: "breathing-min-quality".into(),
        title: "a rate is shown, against presence.breathing.min_quality".into(),
        x: "presence.breathing.min_quality, least quality".into(),
        y: "share of time with a rate",
        lines: vec![
            line("still person", pairs.iter().flat_map(|(r, _)| qualities(r)).collect()),
            line("movement", of_kind("moving")),
            line("empty room", of_kind("empty")),
        ],
        chosen: Some(f64::from(BreathingConfig::default().min_quality)),
    }
}
