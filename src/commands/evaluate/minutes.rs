//! What minutes of labels in a room are worth, in simulated rooms that the weights have never seen.

use anyhow::Context;
use indicatif::ProgressBar;
use invispose_models::train::{Minutes, Tuning, minutes};
use invispose_models::weights::DEFAULT_WEIGHTS;
use invispose_pipeline::evaluation::report::Plot;

use crate::cli::Evaluate;
use crate::commands::plots;
use crate::output;

const ROOMS: u32 = 3;
const MINUTES: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// Tunes the weights in each room by ever more minutes, and prints the errors on others of its minutes.
pub fn run(args: &Evaluate) -> anyhow::Result<()> {
    let weights = match &args.weights {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => DEFAULT_WEIGHTS.to_vec(),
    };
    let bar = ProgressBar::new(1);
    let rows = minutes(&weights, ROOMS, &MINUTES, &Tuning::default(), |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if let Some(folder) = &args.plots {
        plots::panels("minutes", &[curve(&rows)], folder)?;
    }
    if args.json {
        return output::line(serde_json::to_string(&rows)?);
    }
    output::write(|out| {
        writeln!(
            out,
            "| minutes | MPJPE | mean | root | root-relative | MPJPE room by room |\n|---|---|---|---|---|---|"
        )?;
        for row in &rows {
            let each: Vec<String> = row.mpjpe_mm.iter().map(|v| format!("{v:.0}")).collect();
            writeln!(
                out,
                "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
                row.minutes,
                mean(&row.mpjpe_mm),
                mean(&row.mean_position_mpjpe_mm),
                mean(&row.root_mm),
                mean(&row.root_relative_mm),
                each.join(", ")
            )?;
        }
        Ok(())
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn curve(rows: &[Minutes]) -> Plot {
    let of = |value: fn(&Minutes) -> &Vec<f64>| {
        rows.iter().map(|r| (r.minutes, mean(value(r)) / 1000.0)).collect::<Vec<_>>()
    };
    Plot {
        name: "minutes".into(),
        title: "error in a room never seen, by minutes of labels".into(),
        x: "minutes learned from".into(),
        y: "metres",
        lines: vec![
            ("MPJPE".into(), of(|r| &r.mpjpe_mm)),
            ("root".into(), of(|r| &r.root_mm)),
            ("root-relative".into(), of(|r| &r.root_relative_mm)),
        ],
        chosen: None,
    }
}
