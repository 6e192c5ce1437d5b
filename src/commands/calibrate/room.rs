//! `invispose calibrate camera` and `walk`: the pose network learns a site's room.

use anyhow::{Context, bail, ensure};
use invispose_models::data::{self, ClockOffset, Label};
use invispose_models::input::WINDOW_S;
use invispose_models::train::{self, Tuned, Tuning};
use invispose_models::weights::{self, ModelCard};
use invispose_pipeline::evaluation::labels;
use invispose_pipeline::evaluation::recordings::Recording;
use invispose_pipeline::files;
use invispose_pipeline::stages::baseline::Baseline;
use serde_json::json;

use super::chosen;
use crate::cli::{CalibrateCamera, CalibrateRoom, CalibrateWalk};
use crate::config::Config;
use crate::data_dir;
use crate::output;

/// The camera's clock is looked for so far away, seconds.
const REACH_S: f64 = 10.0;
/// Fewer windows teach or tell nothing: 20 and 5 s of five labels a second.
const LEAST_LEARNED: usize = 100;
const LEAST_HELD_OUT: usize = 25;

/// By a camera's keypoints.
pub fn camera(args: &CalibrateCamera, config: &Config) -> anyhow::Result<()> {
    let given = labels::keypoints(&args.labels)?;
    teach(&args.room, config, given, args.clock_offset)
}

/// By a walk along a known path.
pub fn walk(args: &CalibrateWalk, config: &Config) -> anyhow::Result<()> {
    let card = weights::read_card(&old_weights(config)?)?;
    let given = labels::walk(&args.path, &card.mean_pose)?;
    teach(&args.room, config, given, Some(args.clock_offset))
}

fn teach(
    args: &CalibrateRoom,
    config: &Config,
    given: Vec<Label>,
    clock_offset: Option<f64>,
) -> anyhow::Result<()> {
    ensure!((0.05..=0.8).contains(&args.held_out), "--held-out {}: from 0.05 to 0.8", args.held_out);
    let site = chosen(args.site.as_deref(), config)?
        .context("no site is configured: the network must know the room's size and where the radios stand")?;
    let old = old_weights(config)?;
    let recording = Recording::open(&args.recording)?;
    let baseline = Baseline::load(&config.data_dir.join(data_dir::baseline_of(&site.id)))?;
    let links = labels::links(&recording, site, baseline.as_ref())?;
    let given = labels::on_clock_of(&recording, given);
    let (offset_s, found) = match clock_offset {
        Some(seconds) => (seconds, None),
        None => {
            let found = clock(data::clock_offset(&links, &given, REACH_S))?;
            (found.seconds, Some(found))
        }
    };
    let moved = given.into_iter().map(|l| Label { time_s: l.time_s + offset_s, ..l }).collect();
    let (learned, held_out) = split(labels::thinned(moved), args.held_out);
    let windows = |labels: &[Label]| data::windows(site.room_m, &links, labels);
    let (learned, held_out) = (windows(&learned), windows(&held_out));
    if learned.len() < LEAST_LEARNED || held_out.len() < LEAST_HELD_OUT {
        bail!(
            "{} windows to learn from and {} to compare on, of which at least {LEAST_LEARNED} and {LEAST_HELD_OUT} are needed: do the labels' times \
             fall into the recording ({:.1} s long)?",
            learned.len(),
            held_out.len(),
            recording.duration_ns() as f64 / 1e9
        );
    }
    let counts = (learned.len(), held_out.len());
    let tuning = Tuning { steps: args.steps, ..Tuning::default() };
    let tuned = train::tune(&old, learned, &held_out, &ModelCard::site(&site.id), &tuning)?;
    if let Some(new) = &tuned.weights {
        files::replace(&args.out, new).with_context(|| format!("cannot write {}", args.out.display()))?;
    }
    tell(args, &site.id, offset_s, found, counts, &tuned)
}

/// The weights that the server uses.
fn old_weights(config: &Config) -> anyhow::Result<Vec<u8>> {
    let path = &config.model.weights;
    if path.as_os_str().is_empty() {
        return Ok(weights::DEFAULT_WEIGHTS.to_vec());
    }
    std::fs::read(path).with_context(|| format!("model.weights: cannot read {}", path.display()))
}

fn clock(found: Option<ClockOffset>) -> anyhow::Result<ClockOffset> {
    let found = found.context(
        "the recording and the labels have less than ten seconds in common in which people and packets move: give --clock-offset S",
    )?;
    ensure!(
        found.is_clear(),
        "the labels' clock is not clear: at {:+.2} s people's speed and the channel's change correlate by {:.2}, elsewhere by up to {:.2}; \
         give --clock-offset S, or labels in which people stop and go",
        found.seconds,
        found.correlation,
        found.elsewhere
    );
    Ok(found)
}

/// What is learned from, and what comes after it and shares no packet with it.
fn split(mut labels: Vec<Label>, held_out: f64) -> (Vec<Label>, Vec<Label>) {
    let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return Default::default() };
    let border_s = last.time_s - held_out * (last.time_s - first.time_s);
    let later = labels.split_off(labels.partition_point(|l| l.time_s < border_s));
    labels.retain(|l| l.time_s < border_s - f64::from(WINDOW_S));
    (labels, later)
}

fn tell(
    args: &CalibrateRoom,
    site: &str,
    offset_s: f64,
    found: Option<ClockOffset>,
    (learned, held_out): (usize, usize),
    tuned: &Tuned,
) -> anyhow::Result<()> {
    let better = tuned.weights.is_some();
    if args.json {
        return output::line(json!({
            "site": site, "clock_offset_s": offset_s, "clock_correlation": found.map(|f| f.correlation),
            "windows_learned": learned, "windows_held_out": held_out,
            "before": tuned.before, "after": tuned.after, "better": better, "file": better.then_some(&args.out),
        }));
    }
    output::write(|out| {
        if let Some(found) = found {
            writeln!(
                out,
                "the labels' clock is {offset_s:+.2} s off (correlation {:.2}, elsewhere at most {:.2})",
                found.correlation, found.elsewhere
            )?;
        }
        writeln!(out, "{learned} windows learned from; on {held_out} later ones:")?;
        for (people, after) in &tuned.after {
            // The same windows, so the same numbers of people.
            let Some(before) = tuned.before.get(people).map(|by| &by.scores) else { continue };
            let after = &after.scores;
            writeln!(
                out,
                "  {people} people: root {:.0} to {:.0} mm, MPJPE {:.0} to {:.0} mm (mean pose at the mean position {:.0})",
                before.root_mm, after.root_mm, before.mpjpe_mm, after.mpjpe_mm, after.mean_position_mpjpe_mm
            )?;
        }
        if better {
            writeln!(
                out,
                "the new weights are better and are in {}; to use them, set model.weights and send the server SIGHUP",
                args.out.display()
            )
        } else {
            writeln!(out, "the new weights are not better and were not written; the old ones stay")
        }
    })
}
