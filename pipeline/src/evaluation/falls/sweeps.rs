//! What the other settings of falls and those of activities are worth, on days that nothing is reported from, behind the fine detector.

use invispose_models::sim::{SimError, Split};

use super::super::detector::DetectorErrors;
use super::super::report::Plot;
use super::super::sweep::{self, Setting};
use super::day::{Day, SCENE_H, Who};
use super::{Candidate, Judge};
use crate::tracking::TrackerConfig;
use crate::understanding::{ActivityConfig, FallConfig};

const FALLS: [(&str, &str); 5] = [
    ("keypoint_confidence", "share"),
    ("ground", "share of the standing height"),
    ("up", "share of the standing height"),
    ("from", "share of the standing height"),
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
    let mut settings = sweep::around(activity, &ACTIVITIES);
    settings.push(Setting { key: "raised_m", unit: "metres", values: RAISED_M.to_vec() });
    let names = ["standing", "walking", "sitting", "lying", "waving"];
    let lines: Vec<String> = names.iter().map(|n| format!("{n} shown as something else")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    plots.extend(sweep::plots(
        "activity",
        "validation days, fine detector",
        activity,
        &settings,
        "share of the time",
        &lines,
        |changed| {
            let report = live(changed, &[]);
            names.iter().map(|n| 1.0 - report.activities.get(n).copied().unwrap_or_default()).collect()
        },
    ));
    Ok(plots)
}
