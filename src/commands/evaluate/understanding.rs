//! The suites on simulated truth, seen by a detector with stated errors or heard by simulated radios.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use invispose_pipeline::evaluation::{Report, breaths, falls, faults, lived, tracking};
use serde_json::json;

use crate::config::Config;
use crate::output;

/// A report as text or as one JSON object.
pub fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        output::line(serde_json::to_string(report)?)
    } else {
        output::write(|out| write!(out, "{report}"))
    }
}

/// `--suite presence-sim`
pub fn presence(config: &Config, plots: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let report = lived::run(&lived::Options::default(), &config.presence, plots.is_some())
        .context("simulated scenes")?;
    if let Some(folder) = plots {
        crate::commands::plots::write(&report.plots, folder)?;
    }
    print(&report, json)
}

/// `--suite breathing-sim`
pub fn breathing(config: &Config, plots: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let report = breaths::run(&breaths::Options::default(), &config.presence, &config.breath)
        .context("simulated scenes")?;
    if let Some(folder) = plots {
        let sweeps = breaths::sweeps(&config.presence, &config.breath).context("simulated scenes")?;
        crate::commands::plots::write(&sweeps, folder)?;
    }
    print(&report, json)
}

/// `--suite faults-sim`
pub fn faults(config: &Config, plots: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let report = faults::run(&config.watch, &config.monitor);
    if let Some(folder) = plots {
        crate::commands::plots::write(&faults::sweeps(&config.watch, &config.monitor), folder)?;
    }
    print(&report, json)
}

/// `--suite tracking`
pub fn tracking(config: &Config, plots: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let report = tracking::run(tracking::Options::default(), &config.tracking, &config.count)
        .context("simulated scenes")?;
    if let Some(folder) = plots {
        let sweeps =
            tracking::sweeps(&config.tracking, &config.zones, &config.count).context("simulated scenes")?;
        crate::commands::plots::write(&sweeps, folder)?;
    }
    if !json {
        return output::write(|out| write!(out, "{report}"));
    }
    let of = |tracker: &str| -> serde_json::Map<String, serde_json::Value> {
        let by_detector = report.detectors.iter();
        by_detector.map(|(name, d)| ((*name).to_owned(), json!(d.trackers.get(tracker)))).collect()
    };
    let object = json!({
        "suite": "tracking",
        "split": report.split,
        "scenes": report.scenes,
        "seconds": report.seconds,
        "metrics": of("invispose"),
        "baseline": {
            "sort": of("sort"),
            "sort_patient": of("sort_patient"),
            "nearest": of("nearest"),
        },
        "detectors": report.detectors.iter().map(|(name, d)| (*name, json!(d.errors))).collect::<BTreeMap<_, _>>(),
        "counts": report.detectors.iter().map(|(name, d)| (*name, json!(d.counts))).collect::<BTreeMap<_, _>>(),
        "poses": report.detectors.iter().map(|(name, d)| (*name, json!(d.poses))).collect::<BTreeMap<_, _>>(),
    });
    output::line(object)
}

/// `--suite falls-sim`
pub fn falls(config: &Config, plots: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let report = falls::run(falls::Options::default(), &config.tracking, &config.activity, &config.falls)
        .context("simulated days")?;
    if let Some(folder) = plots {
        let mut all = report.plots();
        all.extend(
            falls::sweeps(&config.tracking, &config.activity, &config.falls).context("simulated days")?,
        );
        crate::commands::plots::write(&all, folder)?;
    }
    if !json {
        return output::write(|out| write!(out, "{report}"));
    }
    let of = |rules: &str| -> serde_json::Map<String, serde_json::Value> {
        let by_detector = report.detectors.iter();
        by_detector.map(|(name, d)| ((*name).to_owned(), json!(d.falls.get(rules)))).collect()
    };
    let object = json!({
        "suite": "falls-sim",
        "split": report.split,
        "quiet_hours": report.quiet_hours,
        "fall_hours": report.fall_hours,
        "metrics": of("configured"),
        "baseline": { "height_alone": of("height alone") },
        "detectors": report.detectors,
    });
    output::line(object)
}
