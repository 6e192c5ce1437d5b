//! `invispose train`.

use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use invispose_models::data::Sequence;
use invispose_models::train::{self, Progress, SetGroup, SetWindows, TrainConfig};
use invispose_pipeline::evaluation::sets;

use crate::cli::Train;
use crate::output;

/// Trains, or goes on with, what the configuration file describes.
pub fn run(args: &Train) -> anyhow::Result<()> {
    let shown = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe).with_context(|| shown.to_string())?;
    let config = TrainConfig::from_toml(&text).with_context(|| shown.to_string())?;
    let bar = ProgressBar::new(1);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} (ends in {eta})")?);
    bar.enable_steady_tick(Duration::from_secs(1));
    let show = |progress| {
        match progress {
            Progress::Data { done, total } => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message("scenes simulated");
            }
            Progress::Step { step, total, loss, parts: [presence, root, pose] } => {
                bar.set_length(total);
                bar.set_position(step);
                bar.set_message(format!(
                    "loss {loss:.4} (presence {presence:.3}, root {root:.3}, pose {pose:.3})"
                ));
            }
            Progress::Validation { step, metrics } => {
                let figures: Vec<_> =
                    metrics.iter().map(|(name, value)| format!("{name} {value:.0}")).collect();
                bar.println(format!("step {step}: {}", figures.join(", ")));
            }
            Progress::Checkpoint(path) => tracing::debug!("checkpoint {}", path.display()),
            _ => {}
        }
        true
    };
    let trained = match &args.measure {
        Some(path) => {
            let weights = std::fs::read(path).with_context(|| path.display().to_string())?;
            train::measure_again(&config, &weights, &args.out, show)?
        }
        None => {
            let read = |group| read(group, &bar);
            let windows = config.data.sets.iter().map(read).collect::<anyhow::Result<_>>()?;
            train::run_with_sets(&config, windows, &args.out, &commit(), args.device, show)?
        }
    };
    bar.finish_and_clear();
    let weights = args.out.join("weights.safetensors");
    output::line(format_args!("{} {} in {}", trained.card.name, trained.card.version, weights.display()))
}

/// The windows of the training part of a public set.
fn read(group: &SetGroup, bar: &ProgressBar) -> anyhow::Result<SetWindows> {
    bar.set_message(format!("recordings of {} read", group.set));
    let windows = sets::teach(group, &|done, total, left_out| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        left_out.iter().for_each(|problem| bar.println(format!("left out: {problem}")));
    })?;
    let ends = |sequences: &[Sequence]| sequences.iter().map(|s| s.ends().len()).sum::<usize>();
    let (learn, judge) = (ends(&windows.training), ends(&windows.validation));
    bar.println(format!(
        "{}, {}: {learn} windows to learn from, {judge} to judge by",
        group.set, group.split
    ));
    Ok(windows)
}

/// The commit that this training runs from, for the model card.
pub fn commit() -> String {
    let git = |args: &[&str]| {
        let out =
            std::process::Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"])) {
        (Some(head), Some(changes)) if changes.is_empty() => head,
        (Some(head), _) => format!("{head} with uncommitted changes"),
        _ => "unknown".into(),
    }
}
