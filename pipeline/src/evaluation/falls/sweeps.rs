//! What the other settings of falls and those of activities are worth, on days that nothing is reported from, behind the fine detector.

use invispose_models::sim::{SimError, Split};

use super::super::detector::DetectorErrors;
use super::super::report::Plot;
use super::super::sweep::{self, Setting};
use super::day::{Day, SCENE_H, Who};
use super::{Candidate, Judge};
use crate::events::Severity;
use crate::tracking::TrackerConfig;
use crate::understanding::{ActivityConfig, FallConfig};

const FALLS: [(&str, &str); 6] = [
    ("keypoint_confidence", "share"),
    ("ground", "share of the standing height"),
    ("up", "share of the standing height"),
    ("from", "share of the standing height"),
    ("ground_s", "seconds"),
    ("smallest_m", "metres"),
];
const ACTIVITIES: [(&str, &str); 7] = [
    ("keypoint_confidence", "share"),
    ("hold_s", "seconds"),
    ("lying_deg", "degrees"),
    ("lying_height", "share of the standing height"),
    ("sitting_height", "share of the standing height"),
    ("walking_m_s", "metres per second"),
    ("falling_per_s", "standing heights a second"),
];
/// How far a wrist is raised may be less than nothing.
const RAISED_M: [f64; 6] = [-0.2, -0.1, 0.0, 0.05, 0.1, 0.2];
/// Up to the speed from which on people walk.
const STANDING_M_S: [f64; 6] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3];
const SEVERE_S: [f64; 6] = [4.0, 7.0, 10.0, 15.0, 20.0, 30.0];
const CRITICAL_S: [f64; 6] = [15.0, 30.0, 45.0, 60.0, 90.0, 120.0];
/// Somebody who cannot get up lies for so long, seconds.
const HELPLESS_S: f64 = 150.0;

/// Adults, children and pets who never fall, and adults and children who do: half an hour each.
fn days() -> Result<Vec<Day>, SimError> {
    let all =
        [(Who::Adult, true), (Who::Child, true), (Who::Pet, true), (Who::Adult, false), (Who::Child, false)];
    all.into_iter().map(|(who, quiet)| Day::new(who, quiet, Split::Validation, 0)).collect()
}

/// A plot for each setting.
///
/// # Errors
/// Where the simulator refuses a day.
pub fn sweeps(
    tracker: &TrackerConfig,
    activity: &ActivityConfig,
    falls: &FallConfig,
) -> Result<Vec<Plot>, SimError> {
    let days = days()?;
    let errors = DetectorErrors::fine();
    let live = |activity: &ActivityConfig, candidates: &[Candidate]| {
        let mut judge = Judge::new(candidates.len());
        for (day, seed) in days.iter().zip(0..) {
            judge.live(day, &errors, seed, tracker, activity, candidates);
        }
        judge.report(errors.clone(), candidates, SCENE_H)
    };
    let mut plots = sweep::plots(
        "falls",
        "validation days, fine detector",
        falls,
        &sweep::around(falls, &FALLS),
        "share missed; hundreds of false alarms a day",
        &["share of falls missed", "hundreds of false alarms a day"],
        |changed| {
            let report = live(activity, &[Candidate { name: "changed".into(), config: changed.clone() }]);
            report
                .falls
                .get("changed")
                .map_or(Vec::new(), |s| vec![1.0 - s.recall, s.false_alarms_per_day / 100.0])
        },
    );
    plots.extend(severities(&days, tracker, activity, falls));
    let mut settings = sweep::around(activity, &ACTIVITIES);
    settings.push(Setting { key: "raised_m", unit: "metres", values: RAISED_M.to_vec() });
    let unit = "metres per second";
    settings.push(Setting { key: "standing_m_s", unit, values: STANDING_M_S.to_vec() });
    let names = ["standing", "walking", "sitting", "lying", "waving"];
    let mut lines: Vec<String> = names.iter().map(|n| format!("{n} shown as something else")).collect();
    lines.push("hundreds of changes a minute".into());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    plots.extend(sweep::plots(
        "activity",
        "validation days, fine detector",
        activity,
        &settings,
        "share of the time; hundreds of changes a minute",
        &lines,
        |changed| {
            let report = live(changed, &[]);
            let wrong = |n| 1.0 - report.activities.get(n).copied().unwrap_or_default();
            names.iter().map(wrong).chain([report.changes_per_minute / 100.0]).collect()
        },
    ));
    Ok(plots)
}

/// Plots of the times from which on a fall is severe and critical: those who get up by themselves need no help, those who stay down do.
fn severities(
    days: &[Day],
    tracker: &TrackerConfig,
    activity: &ActivityConfig,
    falls: &FallConfig,
) -> Vec<Plot> {
    let errors = DetectorErrors::fine();
    let helpless: Vec<Day> = days.iter().filter(|d| !d.quiet).map(|d| d.staying_down(HELPLESS_S)).collect();
    // Falls told with this severity, all falls, and those told that were none.
    let told = |days: &[Day], config: &FallConfig, least: Severity| {
        let mut sums = [0u32; 3];
        for (day, seed) in days.iter().zip(0..) {
            let candidate = Candidate { name: "changed".into(), config: config.clone() };
            let told = Judge::new(1).live(day, &errors, seed, tracker, activity, &[candidate]);
            let bad: Vec<_> = told.into_iter().flatten().filter(|t| t.severity >= least).collect();
            let found = day.falls.iter().filter(|fall| bad.iter().any(|t| t.is(fall)));
            sums[0] += found.count() as u32;
            sums[1] += day.falls.len() as u32;
            sums[2] += bad.iter().filter(|t| day.quiet && !day.falls.iter().any(|f| t.is(f))).count() as u32;
        }
        sums.map(f64::from)
    };
    let plot = |key, values: &[f64], word: &str, least| {
        let lines = [
            format!("falls of people who get up by themselves, told as {word}"),
            format!("falls of people who stay down for {HELPLESS_S} s, not told as {word}"),
            format!("hundreds of false {word} ones a day"),
        ];
        let setting = Setting { key, unit: "seconds", values: values.to_vec() };
        sweep::plots(
            "falls",
            "validation days, fine detector",
            falls,
            &[setting],
            "share of falls; hundreds a day",
            &lines.each_ref().map(String::as_str),
            |changed| {
                let [up, of_up, wrong] = told(days, changed, least);
                let [down, of_down, _] = told(&helpless, changed, least);
                let days = days.iter().filter(|d| d.quiet).count() as f64 * SCENE_H / 24.0;
                vec![up / of_up.max(1.0), 1.0 - down / of_down.max(1.0), wrong / days / 100.0]
            },
        )
    };
    let mut plots = plot("severe_s", &SEVERE_S, "severe", Severity::High);
    plots.extend(plot("critical_s", &CRITICAL_S, "critical", Severity::Critical));
    plots
}
