//! Motion on recordings of a quiet room and of movement: suite `motion-espectre`.
//!
//! The folder holds `baseline/*.npz` (quiet) and `movement/*.npz`, named `LABEL_CHIP_…_DATE_TIME`. Recordings go through assembly,
//! cleanup and presence like a live stream, in three ways:
//!
//! * *calibrated*, as the set's authors judge their detectors: the quiet recording that was made before, then the movement, as one
//!   stream. Judged are the windows that lie wholly in the movement and, as quiet ones, those that lie wholly in the second half
//!   of the quiet recording, when its first half has been seen.
//! * *another day*: with what was learned from another quiet recording of the chip.
//! * *cold*: nothing is known.
//!
//! And as a program that was stopped and starts again, with the baseline that it kept of the quiet recording right before, or of another day: it
//! must see by itself whether that still holds. Judged are all windows from the start.
//!
//! Thresholds are tuned leaving one chip out: each chip is judged with the value that is best for the others.

use std::path::Path;

use invispose_kernels::motion::{moving_variance, turbulence};
use serde_json::json;

use super::recordings::{EvaluationError, Place, Recording, files, play, set_folder, without_arrays};
use super::report::{Answer, Plot, Report, Score};
use super::sweep;
use crate::stages::assembly::AssemblyConfig;
use crate::stages::breathing::BreathingConfig;
use crate::stages::cleanup::CleanWindow;
use crate::stages::presence::{PresenceConfig, PresenceDetector};

/// Values of [`PresenceConfig::on`] that are tried.
const LEVELS: [f32; 12] = [1.0, 1.2, 1.35, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0];
/// Values of [`PresenceConfig::moving_share`] that are tried for the cold start.
const SHARES: [f32; 9] = [0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50];

struct Labelled {
    name: String,
    chip: String,
    moving: bool,
    recording: Recording,
}

impl Labelled {
    /// Date and time, by which names end.
    fn stamp(&self) -> Option<&str> {
        self.name.splitn(3, '_').nth(2)
    }
}

/// One stream and which of its windows are judged.
struct Session {
    chip: String,
    file: String,
    moving: bool,
    windows: Vec<(bool, CleanWindow)>,
}

/// Windows that said somebody is there, and all that were judged.
type Said = (usize, usize);

/// Runs the suite.
pub fn espectre(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "motion-espectre");
    let all = load(&folder)?;
    let chips: Vec<&str> = all.iter().map(|r| r.chip.as_str()).collect();

    let calibrated: Vec<Session> = all.iter().filter_map(|r| calibrated(r, &all)).collect();
    let another: Vec<Session> = all.iter().filter_map(|r| another_day(r, &all)).collect();
    let cold: Vec<Session> = all.iter().map(|r| session(r, &[&r.recording], |_| true)).collect();
    let on = |v: f32| PresenceConfig { on: v, off: PresenceConfig::default().off.min(v), ..still() };
    let share = |v: f32| PresenceConfig { moving_share: v, ..still() };

    let (main, chosen) = left_out(&calibrated, &chips, &LEVELS, on);
    let (other, _) = left_out(&another, &chips, &LEVELS, on);
    let (without, shares) = left_out(&cold, &chips, &SHARES, share);
    let variance = variance_detector(&all);
    let by_recording = Score::over(main.iter().map(|(s, said)| (s.moving, 2 * said.0 > said.1)));
    let cold_by_recording = Score::over(without.iter().map(|(s, said)| (s.moving, said.0 > 0)));

    let mut baseline = variance.figures();
    baseline.insert("method", "moving variance of spatial turbulence over 75 packets, threshold 1.4 × the 95th percentile of the calibration".into());
    let word = |moving| if moving { "movement" } else { "quiet" };
    let answer = |(s, said): &(&Session, Said)| Answer {
        file: s.file.clone(),
        truth: word(s.moving).into(),
        answer: json!({ "says": word(2 * said.0 > said.1), "windows": said.1, "movement": said.0 }),
    };
    Ok(Report {
        suite: "motion-espectre",
        split: "leave-one-chip-out for the threshold; each chip calibrated on its quiet recording; by window".into(),
        metrics: score(&main).figures(),
        baseline,
        more: [
            ("metrics_by_recording", by_recording.figures()),
            ("calibrated_on_another_day", score(&other).figures()),
            ("restarted_with_its_baseline", restarted(&all, &still(), quiet_before).figures()),
            ("restarted_with_another_day_s", restarted(&all, &still(), another_quiet).figures()),
            ("without_calibration", score(&without).figures()),
            ("without_calibration_by_recording", cold_by_recording.figures()),
        ]
        .into(),
        per_recording: main.iter().map(answer).collect(),
        notes: vec![
            "windows of 2 s every 50 ms, those that say nothing count as quiet; overlapping windows are not independent".into(),
            format!("presence.on for each chip, from the others: {chosen}; without calibration presence.moving_share: {shares}"),
            "without calibration every recording begins with 4 s in which a new link says nothing: windows are judged from the start, so a 10 s recording cannot score more than 0.6".into(),
        ],
        plots: vec![trade_off(&calibrated, on)],
    })
}

/// The default rules without breathing, which the windows hold no arrays for.
pub(super) fn still() -> PresenceConfig {
    let breathing = BreathingConfig { enabled: false, ..Default::default() };
    PresenceConfig { breathing, ..Default::default() }
}

fn load(folder: &Path) -> Result<Vec<Labelled>, EvaluationError> {
    let mut all = Vec::new();
    for (label, moving) in [("baseline", false), ("movement", true)] {
        for file in files(&folder.join(label), "npz")? {
            let recording = Recording::open(&file)?;
            let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let Some(chip) = name.split('_').nth(1).map(str::to_owned) else { continue };
            all.push(Labelled { name, chip, moving, recording });
        }
    }
    if !all.iter().any(|r| r.moving) || all.iter().all(|r| r.moving) {
        let missing = "no recordings LABEL_CHIP_….npz of movement and of quiet";
        return Err(EvaluationError::Empty { folder: folder.to_owned(), missing });
    }
    Ok(all)
}

fn session(of: &Labelled, parts: &[&Recording], judged: impl Fn(Place) -> bool) -> Session {
    let mut windows = Vec::new();
    play(parts, &AssemblyConfig::default(), |place, window| {
        windows.push((judged(place), without_arrays(window)));
    });
    Session { chip: of.chip.clone(), file: of.name.clone(), moving: of.moving, windows }
}

/// The newest quiet recording of the chip that was made before, else its first.
fn quiet_before<'a>(of: &Labelled, all: &'a [Labelled]) -> Option<&'a Labelled> {
    let mut quiet: Vec<&Labelled> =
        all.iter().filter(|r| r.chip == of.chip && !r.moving && r.name != of.name).collect();
    quiet.sort_by_key(|r| r.stamp());
    quiet.iter().rev().find(|r| r.stamp() < of.stamp()).or(quiet.first()).copied()
}

fn calibrated(of: &Labelled, all: &[Labelled]) -> Option<Session> {
    if of.moving {
        let quiet = quiet_before(of, all)?;
        return Some(session(of, &[&quiet.recording, &of.recording], |p| p.part == 1 && p.whole));
    }
    let window_s = AssemblyConfig::default().window.as_secs_f64();
    let half_s = 0.5e-9 * of.recording.duration_ns() as f64;
    Some(session(of, &[&of.recording], |p| p.end_s - window_s >= half_s))
}

/// A quiet recording of the chip that is not the one made right before.
fn another_quiet<'a>(of: &'a Labelled, all: &'a [Labelled]) -> Option<&'a Labelled> {
    let same_day = if of.moving { quiet_before(of, all) } else { Some(of) };
    all.iter().find(|r| r.chip == of.chip && !r.moving && same_day.is_none_or(|s| s.name != r.name))
}

/// After such a recording.
fn another_day(of: &Labelled, all: &[Labelled]) -> Option<Session> {
    let quiet = another_quiet(of, all)?;
    Some(session(of, &[&quiet.recording, &of.recording], |p| p.part == 1 && p.whole))
}

fn judge(session: &Session, config: PresenceConfig) -> Said {
    let mut detector = PresenceDetector::new(config, None);
    let (mut present, mut judged) = (0, 0);
    for (is_judged, window) in &session.windows {
        let said = detector.run(window.clone()).presence.is_some_and(|p| p.present);
        judged += usize::from(*is_judged);
        present += usize::from(*is_judged && said);
    }
    (present, judged)
}

/// Each session with the value that is best for the other chips: of several that are equally good, the middle one.
fn left_out<'a>(
    sessions: &'a [Session],
    chips: &[&str],
    values: &[f32],
    config: impl Fn(f32) -> PresenceConfig,
) -> (Vec<(&'a Session, Said)>, String) {
    let said: Vec<Vec<Said>> =
        values.iter().map(|&v| sessions.iter().map(|s| judge(s, config(v))).collect()).collect();
    let mut chips = chips.to_vec();
    chips.sort_unstable();
    chips.dedup();
    let (mut out, mut chosen) = (Vec::new(), Vec::new());
    for chip in chips {
        let others = |row: &Vec<Said>| {
            let pairs = sessions.iter().zip(row.iter().copied()).filter(|(s, _)| s.chip != chip);
            score(&pairs.collect::<Vec<_>>()).f1()
        };
        let scores: Vec<f64> = said.iter().map(others).collect();
        let most = scores.iter().copied().fold(0.0, f64::max);
        let equal: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] >= most - 1e-9).collect();
        let best = equal[equal.len() / 2];
        chosen.push(format!("{chip} {}", values[best]));
        let row = &said[best];
        out.extend(sessions.iter().zip(row.iter().copied()).filter(|(s, _)| s.chip == chip));
    }
    (out, chosen.join(", "))
}

fn score(judged: &[(&Session, Said)]) -> Score {
    let mut sum = Score::default();
    for (session, (present, all)) in judged {
        let (yes, no) = if session.moving {
            (&mut sum.true_positive, &mut sum.false_negative)
        } else {
            (&mut sum.false_positive, &mut sum.true_negative)
        };
        *yes += present;
        *no += all - present;
    }
    sum
}

/// The detector of the set's authors in kind: the variance over 75 packets of each packet's spread over subcarriers, against what
/// the first half of the chip's quiet recording shows, at the ends of the same windows.
fn variance_detector(all: &[Labelled]) -> Score {
    const PACKETS: usize = 75;
    let statistic = |r: &Recording| -> Vec<f32> {
        let spread: Vec<f32> = r
            .frames
            .iter()
            .map(|f| {
                let amplitude: Vec<f32> = f.csi.iter().map(|h| h.norm()).filter(|a| *a > 0.0).collect();
                turbulence(&amplitude)
            })
            .collect();
        let mut out = vec![0.0; spread.len()];
        moving_variance(&spread, &vec![true; spread.len()], PACKETS, &mut out);
        out
    };
    let threshold = |r: &Recording| {
        let values = statistic(r);
        let mut first: Vec<f32> = values[..values.len() / 2].iter().skip(PACKETS).copied().collect();
        first.sort_unstable_by(f32::total_cmp);
        first.get(first.len() * 95 / 100).map_or(f32::INFINITY, |v| 1.4 * v)
    };
    let mut sum = Score::default();
    for r in all {
        let calibration = if r.moving { quiet_before(r, all) } else { Some(r) };
        let Some(limit) = calibration.map(|q| threshold(&q.recording)) else { continue };
        let from = if r.moving { 0 } else { r.recording.duration_ns() / 2 } + 2_000_000_000;
        for (frame, value) in r.recording.frames.iter().zip(statistic(&r.recording)) {
            if frame.time_ns >= from {
                sum.add(r.moving, value > limit);
            }
        }
    }
    sum
}

/// Settings of presence, and sessions that they matter in: those that know the quiet room, or those that know nothing.
const KNOWN: [(&str, &str); 6] = [
    ("off", "multiples of the quiet level"),
    ("on_s", "seconds"),
    ("off_s", "seconds"),
    ("noise_sigmas", "standard deviations"),
    ("quantile", "share"),
    ("learn_s", "seconds"),
];
const UNKNOWN: [(&str, &str); 2] = [("moving_share", "share"), ("settle_s", "seconds")];

/// A plot for each setting of presence that the recordings tell something of.
///
/// # Errors
/// When there are no recordings.
pub fn sweeps(data: &Path, presence: &PresenceConfig) -> Result<Vec<Plot>, EvaluationError> {
    let all = load(&set_folder(data, "motion-espectre"))?;
    let calibrated: Vec<Session> = all.iter().filter_map(|r| calibrated(r, &all)).collect();
    let cold: Vec<Session> = all.iter().map(|r| session(r, &[&r.recording], |_| true)).collect();
    let config = PresenceConfig { breathing: still().breathing, ..presence.clone() };
    let lines = ["movement missed", "quiet taken for movement"];
    let of = |sessions: &[Session], config: &PresenceConfig| {
        let judged: Vec<(&Session, Said)> = sessions.iter().map(|s| (s, judge(s, config.clone()))).collect();
        let score = score(&judged);
        vec![1.0 - score.recall(), 1.0 - score.specificity()]
    };
    let y = "share of windows";
    let mut plots = sweep::plots(
        "presence",
        "motion-espectre, calibrated",
        &config,
        &sweep::around(&config, &KNOWN),
        y,
        &lines,
        |c| of(&calibrated, c),
    );
    let settings = sweep::around(&config, &UNKNOWN);
    plots.extend(sweep::plots(
        "presence",
        "motion-espectre, from nothing",
        &config,
        &settings,
        y,
        &lines,
        |c| of(&cold, c),
    ));
    let fit =
        sweep::Setting { key: "fit", unit: "correlation", values: vec![0.3, 0.6, 0.8, 0.9, 0.95, 0.98] };
    let lines = [
        "movement missed, baseline of the same minutes",
        "quiet taken for movement, baseline of another day",
        "movement missed, baseline of another day",
    ];
    plots.extend(sweep::plots(
        "presence",
        "motion-espectre, restarted with a kept baseline",
        &config,
        &[fit],
        y,
        &lines,
        |c| {
            let same = restarted(&all, c, quiet_before);
            let other = restarted(&all, c, another_quiet);
            vec![1.0 - same.recall(), 1.0 - other.specificity(), 1.0 - other.recall()]
        },
    ));
    Ok(plots)
}

/// Every recording, from its first window on, after a start with what was kept of a quiet recording.
fn restarted<'a>(
    all: &'a [Labelled],
    config: &PresenceConfig,
    quiet: impl Fn(&'a Labelled, &'a [Labelled]) -> Option<&'a Labelled>,
) -> Score {
    let mut sum = Score::default();
    for of in all {
        let Some(quiet) = quiet(of, all) else { continue };
        let mut before = PresenceDetector::new(config.clone(), None);
        play(&[&quiet.recording], &AssemblyConfig::default(), |_, window| drop(before.run(window)));
        let mut detector = PresenceDetector::new(config.clone(), Some(&before.baseline()));
        play(&[&of.recording], &AssemblyConfig::default(), |_, window| {
            sum.add(of.moving, detector.run(window).presence.is_some_and(|p| p.present));
        });
    }
    sum
}

fn trade_off(sessions: &[Session], config: impl Fn(f32) -> PresenceConfig) -> Plot {
    let (mut missed, mut false_alarms) = (Vec::new(), Vec::new());
    for step in 0..=24 {
        let on = 1.15f32.powi(step);
        let judged: Vec<(&Session, Said)> = sessions.iter().map(|s| (s, judge(s, config(on)))).collect();
        let s = score(&judged);
        missed.push((f64::from(on), 1.0 - s.recall()));
        false_alarms.push((f64::from(on), 1.0 - s.specificity()));
    }
    Plot {
        name: "presence-on".into(),
        title: "motion-espectre, calibrated: windows against presence.on".into(),
        x: "presence.on, multiples of the quiet level".into(),
        y: "share of windows",
        lines: vec![("movement missed".into(), missed), ("quiet taken for movement".into(), false_alarms)],
        chosen: Some(f64::from(PresenceConfig::default().on)),
    }
}

impl Score {
    pub(super) fn over(pairs: impl Iterator<Item = (bool, bool)>) -> Self {
        let mut sum = Self::default();
        pairs.for_each(|(truth, said)| sum.add(truth, said));
        sum
    }
}
