//! The pose network on simulated rooms and on public sets of recordings.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use invispose_models::evaluate::{self, Networks, Scores, Suite};
use invispose_models::input::Withheld;
use invispose_models::predictor::{Compute, Predictor, Weights};
use invispose_pipeline::evaluation::sets::{self, PublicSet};
use serde::Serialize;

use super::empty_room::{self, EmptyRoom};
use super::understanding;
use crate::cli::Evaluate;
use crate::commands::plots;
use crate::output;

/// Evaluates, prints the report and, with `--plots`, writes it as Markdown with pictures.
pub fn run(suite: Suite, args: &Evaluate) -> anyhow::Result<()> {
    let device = device(args)?;
    let networks = match &args.weights {
        Some(path) => Networks::one(predictor(path, device.clone())?),
        None => Networks::shipped(suite, &device).context("shipped weights")?,
    };
    let bar = ProgressBar::new(1);
    let withheld = args.context_s.map(Withheld::all_but_last_s).unwrap_or_default();
    let report = evaluate::run(suite, &networks, &withheld, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    // What a network alone says of an empty room is shown to nobody: in the pipeline presence comes first.
    let shown = match suite {
        Suite::EmptyRoom if args.weights.is_none() && withheld.is_nothing() => empty_room::measure(&device)?,
        _ => Vec::new(),
    };
    bar.finish_and_clear();
    if let Some(folder) = &args.plots {
        let plots = plots::poses::write(&report, &args.suite, folder)?;
        let path = folder.join(format!("{}.md", args.suite));
        let mut text = markdown(&report, &plots);
        shown.iter().for_each(|room| text += &room.markdown());
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        output::note(path.display());
    }
    if args.json {
        output::line(serde_json::to_string(&WithShown { report: &report, shown })?)
    } else {
        output::write(|out| {
            print_pose(out, &report)?;
            shown.iter().try_for_each(|room| write!(out, "{room}"))
        })
    }
}

/// A report, and what the pipeline shows of the same kind of rooms.
#[derive(Serialize)]
struct WithShown<'a> {
    #[serde(flatten)]
    report: &'a evaluate::Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shown: Vec<EmptyRoom>,
}

/// Measures on the test part of a public set, and prints the report.
pub fn recorded(set: &PublicSet, data: &Path, weights: &Path, args: &Evaluate) -> anyhow::Result<()> {
    ensure!(args.plots.is_none(), "--plots: nothing is drawn of a network on {}", set.name);
    let predictor = predictor(weights, device(args)?)?;
    let bar = ProgressBar::new(1);
    let report = sets::measure(set, data, args.split.as_deref(), &predictor, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    understanding::print(&report, args.json)
}

fn device(args: &Evaluate) -> anyhow::Result<Compute> {
    let choice = args.device.parse().map_err(|e| anyhow::anyhow!("--device: {e}"))?;
    Compute::open(choice).with_context(|| format!("--device {}", args.device))
}

fn predictor(weights: &Path, device: Compute) -> anyhow::Result<Predictor> {
    let shown = || weights.display().to_string();
    Predictor::load_on(&Weights::File(weights.to_owned()), device).with_context(shown)
}

fn print_pose(out: &mut dyn Write, report: &evaluate::Report) -> io::Result<()> {
    writeln!(
        out,
        "{:?}, model {}, {} windows in {:.2} h",
        report.suite, report.model, report.frames, report.hours
    )?;
    writeln!(out, "people that are not there: {:.2} an hour", report.false_persons_per_hour)?;
    writeln!(
        out,
        "expected calibration error: people {:.3}, keypoints (within {:.2} m) {:.3}",
        report.presence_calibration_error, report.keypoint_within_m, report.keypoint_calibration_error
    )?;
    if report.persons.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<20} {:>7} {:>7} {:>10} | {:>9} {:>10} | {:>6} {:>7} {:>5}",
        "millimetres", "mpjpe", "root", "root-rel.", "mean pos.", "mean pose", "pck20", "yaw deg", "ap"
    )?;
    for (count, by) in &report.persons {
        print_scores(out, &format!("{count} in the room"), &by.scores)?;
        for (activity, scores) in &by.activities {
            print_scores(out, &format!("  {activity}"), scores)?;
        }
    }
    Ok(())
}

fn print_scores(out: &mut dyn Write, name: &str, s: &Scores) -> io::Result<()> {
    writeln!(
        out,
        "{name:<20} {:>7.0} {:>7.0} {:>10.0} | {:>9.0} {:>10.0} | {:>6.3} {:>7.0} {:>5.2}",
        s.mpjpe_mm,
        s.root_mm,
        s.root_relative_mm,
        s.mean_position_mpjpe_mm,
        s.mean_pose_root_relative_mm,
        s.pck20,
        s.yaw_deg,
        s.ap
    )
}

/// The report as Markdown, with the pictures of `plots` (what they show, and their files).
fn markdown(report: &evaluate::Report, plots: &[(&str, String)]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_markdown(&mut out, report, plots);
    out
}

fn write_markdown(out: &mut String, report: &evaluate::Report, plots: &[(&str, String)]) -> std::fmt::Result {
    writeln!(out, "# {}, model {}\n", report.suite.name(), report.model)?;
    writeln!(out, "{} windows in {:.2} simulated hours.\n", report.frames, report.hours)?;
    writeln!(out, "* People that are not there: {:.2} an hour.", report.false_persons_per_hour)?;
    writeln!(
        out,
        "* Expected calibration error: people {:.3}; keypoints (within {:.2} m) {:.3}.\n",
        report.presence_calibration_error, report.keypoint_within_m, report.keypoint_calibration_error
    )?;
    if !report.persons.is_empty() {
        writeln!(
            out,
            "Lengths in millimetres; `mean` is the mean pose, at the mean position for MPJPE and PCK, at the true one for root-relative.\n"
        )?;
        writeln!(
            out,
            "| people | activity | persons | MPJPE | mean | root | root-relative | mean | PA-MPJPE | yaw | PCK@5 | @10 | @20 | @50 | mean @20 | AP | recall |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for (count, by) in &report.persons {
            markdown_scores(out, count, "all", &by.scores)?;
            for (activity, scores) in &by.activities {
                markdown_scores(out, count, activity, scores)?;
            }
        }
        writeln!(
            out,
            "\n| people | precision of people at 0.5 | recall | off in their number by |\n|---|---|---|---|"
        )?;
        for (count, by) in &report.persons {
            let (precision, recall) = (by.detection_precision, by.scores.recall);
            writeln!(out, "| {count} | {precision:.3} | {recall:.3} | {:.2} |", by.count_error)?;
        }
    }
    for (what, file) in plots {
        writeln!(out, "\n## {what}\n\n![{what}]({file})")?;
    }
    Ok(())
}

fn markdown_scores(out: &mut String, count: &str, activity: &str, s: &Scores) -> std::fmt::Result {
    writeln!(
        out,
        "| {count} | {activity} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0}° | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
        s.persons,
        s.mpjpe_mm,
        s.mean_position_mpjpe_mm,
        s.root_mm,
        s.root_relative_mm,
        s.mean_pose_root_relative_mm,
        s.pa_mpjpe_mm,
        s.yaw_deg,
        s.pck5,
        s.pck10,
        s.pck20,
        s.pck50,
        s.mean_pose_pck20,
        s.ap,
        s.recall
    )
}
