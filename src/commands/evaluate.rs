//! `invispose evaluate`: accuracy against ground truth, simulated or recorded.

mod empty_room;
mod minutes;
mod pose;
mod understanding;

use anyhow::{Context, bail};
use invispose_models::evaluate::Suite;
use invispose_pipeline::evaluation::{self, sets};

use crate::cli::Evaluate;
use crate::config::Config;

/// Prints the report as text or as one JSON object.
pub fn run(config: &Config, args: &Evaluate) -> anyhow::Result<()> {
    let real: Vec<&str> = evaluation::SUITES.iter().map(|(name, _)| *name).collect();
    match args.suite.as_str() {
        "minutes" => minutes::run(args),
        "tracking" => understanding::tracking(config, args.plots.as_deref(), args.json),
        "breathing-sim" => understanding::breathing(config, args.plots.as_deref(), args.json),
        "faults-sim" => understanding::faults(config, args.plots.as_deref(), args.json),
        "presence-sim" => understanding::presence(config, args.plots.as_deref(), args.json),
        "falls-sim" => understanding::falls(config, args.plots.as_deref(), args.json),
        name if real.contains(&name) => recorded(config, name, args),
        name => match name.parse::<Suite>() {
            Ok(suite) => pose::run(suite, args),
            Err(e) => bail!(
                "{e}, minutes, presence-sim, breathing-sim, tracking, falls-sim, faults-sim (simulated) and, with --data DIR, {}",
                real.join(", ")
            ),
        },
    }
}

fn recorded(config: &Config, suite: &str, args: &Evaluate) -> anyhow::Result<()> {
    let data = args.data.as_deref().with_context(|| format!("--suite {suite} needs --data DIR"))?;
    if let Some(weights) = &args.weights {
        return pose::recorded(sets::named(suite)?, data, weights, args);
    }
    let report = evaluation::run(suite, data).context("no such suite")??;
    if let Some(folder) = &args.plots {
        super::plots::write(&report.plots, folder)?;
        super::plots::write(&evaluation::sweeps(suite, data, &config.presence, &config.signal)?, folder)?;
    }
    understanding::print(&report, args.json)
}
