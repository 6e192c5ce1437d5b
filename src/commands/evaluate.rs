//! `invispose evaluate`: accuracy against ground truth, simulated or recorded.

mod understanding;

use std::io::{self, Write};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use invispose_models::evaluate::{self, Suite};
use invispose_models::predictor::{Predictor, Weights};
use invispose_pipeline::evaluation;

use crate::cli::Evaluate;
use crate::config::Config;
use crate::output;

/// Prints the report as text or as one JSON object.
pub fn run(config: &Config, args: &Evaluate) -> anyhow::Result<()> {
    let real: Vec<&str> = evaluation::SUITES.iter().map(|(name, _)| *name).collect();
    match args.suite.as_str() {
        "tracking" => understanding::tracking(config, args.plots.as_deref(), args.json),
        "presence-sim" => understanding::presence(config, args.plots.as_deref(), args.json),
        "falls-sim" => understanding::falls(config, args.plots.as_deref(), args.json),
        name if real.contains(&name) => recorded(config, name, args),
        name => match name.parse::<Suite>() {
            Ok(suite) => pose(suite, args),
            Err(_) => bail!(
                "no suite {name:?}; there are seen-room, unseen-room, empty-room, presence-sim, tracking, falls-sim (simulated) and, with \
                 --data DIR, {}",
                real.join(", ")
            ),
        },
    }
}

fn pose(suite: Suite, args: &Evaluate) -> anyhow::Result<()> {
    let weights = args.weights.clone().map_or(Weights::Shipped, Weights::File);
    let device = args.device.parse().map_err(|e| anyhow::anyhow!("--device: {e}"))?;
    let shown = args.weights.as_ref().map_or("shipped weights".into(), |path| path.display().to_string());
    let predictor = Predictor::load(&weights, device).context(shown)?;
    let bar = ProgressBar::new(1);
    let report = evaluate::run(suite, &predictor, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if args.json {
        output::line(serde_json::to_string(&report)?)
    } else {
        output::write(|out| print_pose(out, &report))
    }
}

fn print_pose(out: &mut dyn Write, report: &evaluate::Report) -> io::Result<()> {
    writeln!(
        out,
        "{:?}, model {}, {} windows in {:.2} h",
        report.suite, report.model, report.frames, report.hours
    )?;
    writeln!(out, "people that are not there: {:.2} an hour", report.false_persons_per_hour)?;
    writeln!(out, "expected calibration error of presence: {:.3}", report.presence_calibration_error)?;
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

fn print_scores(out: &mut dyn Write, name: &str, s: &evaluate::Scores) -> io::Result<()> {
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

fn recorded(config: &Config, suite: &str, args: &Evaluate) -> anyhow::Result<()> {
    let data = args.data.as_deref().with_context(|| format!("--suite {suite} needs --data DIR"))?;
    let report = evaluation::run(suite, data).context("no such suite")??;
    if let Some(folder) = &args.plots {
        super::plots::write(&report.plots, folder)?;
        super::plots::write(&evaluation::sweeps(suite, data, &config.presence)?, folder)?;
    }
    if args.json {
        output::line(serde_json::to_string(&report)?)
    } else {
        output::write(|out| write!(out, "{report}"))
    }
}
