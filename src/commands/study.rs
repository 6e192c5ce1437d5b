//! `invispose study`: what hardware, and what part of the input, is worth.

use std::io::{self, Write};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use invispose_models::train::{Progress, Row, Study};
use invispose_pipeline::evaluation::report::Plot;

use crate::cli;
use crate::commands::{plots, train};
use crate::output;

/// Trains one network after the other, or those of them that are missing, and prints what they reach.
pub fn run(args: &cli::Study) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| shown.to_string())?;
    let study = Study::from_toml(&text).with_context(|| shown.to_string())?;
    let commit = train::commit();
    let mut rows: Vec<Row> = Vec::new();
    let chosen = |name: &String| args.only.is_empty() || args.only.contains(name);
    for variant in study.variants.iter().filter(|v| chosen(&v.name)) {
        let bar = ProgressBar::new(1);
        bar.set_style(ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} (ends in {eta})")?);
        bar.set_prefix(variant.name.clone());
        let row = study.run(variant, &args.out, &commit, |progress| {
            match progress {
                Progress::Data { done, total } => {
                    bar.set_length(total as u64);
                    bar.set_position(done as u64);
                    bar.set_message("scenes");
                }
                Progress::Step { step, total, loss, .. } => {
                    bar.set_length(total);
                    bar.set_position(step);
                    bar.set_message(format!("loss {loss:.4}"));
                }
                _ => {}
            }
            true
        })?;
        bar.finish_and_clear();
        if !args.json {
            output::write(|out| {
                if rows.is_empty() {
                    head(out)?;
                }
                line(out, &row)
            })?;
        }
        rows.push(row);
    }
    plots::panels("study", &curves(&rows), &args.out)?;
    if args.json { output::line(serde_json::to_string(&rows)?) } else { Ok(()) }
}

fn head(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "| network | people | MPJPE | mean | root | root, walking | root-relative | mean | yaw | recall |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")
}

fn line(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    for (count, by) in &row.persons {
        let s = &by.scores;
        let walking = by.activities.get("walking").map_or(String::new(), |w| format!("{:.0}", w.root_mm));
        writeln!(
            out,
            "| {} | {count} | {:.0} | {:.0} | {:.0} | {walking} | {:.0} | {:.0} | {:.0}° | {:.2} |",
            row.variant.name,
            s.mpjpe_mm,
            s.mean_position_mpjpe_mm,
            s.root_mm,
            s.root_relative_mm,
            s.mean_pose_root_relative_mm,
            s.yaw_deg,
            s.recall
        )?;
    }
    Ok(())
}

/// One curve for everything that was varied, of the fewest people.
fn curves(rows: &[Row]) -> Vec<Plot> {
    let mut axes: Vec<&String> = rows.iter().flat_map(|r| r.variant.at.keys()).collect();
    axes.sort();
    axes.dedup();
    let curve = |axis: &String| {
        let of = |value: fn(&invispose_models::evaluate::Scores) -> f64| {
            let mut points: Vec<(f64, f64)> = rows
                .iter()
                .filter_map(|r| {
                    Some((*r.variant.at.get(axis)?, value(&r.persons.values().next()?.scores) / 1000.0))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        Plot {
            name: axis.clone(),
            title: format!("error by {axis}"),
            x: axis.clone(),
            y: "metres",
            lines: vec![
                ("MPJPE".into(), of(|s| s.mpjpe_mm)),
                ("root".into(), of(|s| s.root_mm)),
                ("root-relative".into(), of(|s| s.root_relative_mm)),
            ],
            chosen: None,
        }
    };
    axes.into_iter().map(curve).filter(|p| p.lines.iter().all(|(_, points)| points.len() > 1)).collect()
}
