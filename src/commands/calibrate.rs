//! `invispose calibrate`: a site learns its own room.

mod room;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use invispose_pipeline::evaluation::quiet_room;
use invispose_pipeline::evaluation::recordings::Recording;
use invispose_pipeline::pipeline::{STOP_WITHIN, SiteSetup};
use invispose_pipeline::signal::{self, SignalModel, Task};
use invispose_pipeline::site::SiteConfig;
use invispose_pipeline::sources::{SpecKind, wall_ns};
use invispose_pipeline::stages::baseline::Baseline;
use invispose_pipeline::stages::calibration::{Calibrations, Progress};
use invispose_pipeline::{Health, PipelineBuilder};
use serde_json::json;

use crate::cli::{Calibrate, CalibrateBaseline, CalibrateSignal};
use crate::config::{Config, check_site_id};
use crate::data_dir::{self, DataDir};
use crate::output;
use crate::places::{self, Place};

/// From one look at how far a calibration is to the next.
const LOOK: Duration = Duration::from_millis(100);

/// Teaches, and says what was learned.
pub fn run(args: &Calibrate, config: &Config) -> anyhow::Result<()> {
    match args {
        Calibrate::Baseline(args) => baseline(args, config),
        Calibrate::Activity(args) => taught(Task::Activity, args, config),
        Calibrate::Count(args) => taught(Task::Count, args, config),
        Calibrate::Camera(args) => room::camera(args, config),
        Calibrate::Walk(args) => room::walk(args, config),
    }
}

fn open(config: &Config) -> anyhow::Result<DataDir> {
    DataDir::open(&config.data_dir).context(
        "a running server calibrates its sites itself: POST /api/v1/sites/ID/calibration/baseline, or the mutation calibrateBaseline",
    )
}

fn baseline(args: &CalibrateBaseline, config: &Config) -> anyhow::Result<()> {
    let mut specs = Vec::new();
    for uri in &args.source {
        specs.push(uri.parse().with_context(|| format!("--source {uri}"))?);
    }
    let configured =
        if specs.is_empty() { config.clone() } else { Config { sources: Vec::new(), ..config.clone() } };
    let places = places::places(&configured, &specs, false)?;
    let data = open(config)?;
    let mut answers = Vec::new();
    for place in places.into_iter().filter(|p| !p.sources.is_empty()) {
        let id = place.site.id.clone();
        let file = data.path(&data_dir::baseline_of(&id));
        let before = Baseline::load(&file)?;
        if place.simulated() {
            bail!("site {id}: a simulated room is quiet at first and learns its baseline at every start");
        }
        let learned = if place.live() {
            listen(&place, config, before.clone(), file.clone(), args.seconds)
        } else {
            recorded(&place, config)
        };
        let learned = learned.with_context(|| format!("site {id}"))?;
        let mut all = before.unwrap_or_default();
        all.merge(learned.clone());
        all.save(&file)?;
        answers.push((id, file, learned));
    }
    if args.json {
        let link = |l: &invispose_pipeline::stages::baseline::LinkBaseline| {
            let layout = [l.layout.tx, l.layout.rx, l.layout.subcarriers];
            json!({ "link": l.link, "layout": layout, "windows": l.quiet.len(), "quiet_level": level(&l.quiet, config) })
        };
        let site = |(id, file, learned): &(String, PathBuf, Baseline)| json!({ "site": id, "file": file, "links": learned.links.iter().map(link).collect::<Vec<_>>() });
        return output::line(json!({ "sites": answers.iter().map(site).collect::<Vec<_>>() }));
    }
    output::write(|out| {
        for (id, file, learned) in &answers {
            writeln!(
                out,
                "site {id}: the baseline of {} links is in {}",
                learned.links.len(),
                file.display()
            )?;
            for l in &learned.links {
                let level = 100.0 * level(&l.quiet, config);
                writeln!(
                    out,
                    "  {} {}: varies by {level:.2} % of the amplitude while quiet",
                    l.link, l.layout
                )?;
            }
        }
        Ok(())
    })
}

fn level(quiet: &[f32], config: &Config) -> f32 {
    let mut sorted = quiet.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = (config.presence.quantile * sorted.len().saturating_sub(1) as f32).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// From recordings of the site.
fn recorded(place: &Place, config: &Config) -> anyhow::Result<Baseline> {
    let path = |s: &invispose_pipeline::sources::SourceSpec| match &s.kind {
        SpecKind::File(path, _) | SpecKind::Recording(path, _) => Ok(path.clone()),
        _ => bail!("live sources and recordings in one calibration; give one or the other"),
    };
    let paths = place.sources.iter().map(path).collect::<anyhow::Result<Vec<_>>>()?;
    quiet_room(&paths, &config.presence)?.map_err(anyhow::Error::msg)
}

/// From what arrives.
fn listen(
    place: &Place,
    config: &Config,
    before: Option<Baseline>,
    file: PathBuf,
    seconds: f64,
) -> anyhow::Result<Baseline> {
    let mut sources = Vec::new();
    for spec in &place.sources {
        sources.push((spec.uri.clone(), spec.open()?));
    }
    let id = place.site.id.clone();
    let calibrations = Calibrations::default();
    let setup = SiteSetup {
        baseline: before,
        baseline_file: Some(file.clone()),
        ..SiteSetup::new(place.site.clone(), sources)
    };
    let health = Health::default();
    let pipeline = PipelineBuilder::new(health.clone())
        .presence(config.presence.clone())
        .calibrations(calibrations.clone())
        .site(setup)
        .start()?;
    calibrations.begin(&id, seconds)?;
    let bar = ProgressBar::new(seconds as u64).with_message("seconds");
    let ended = loop {
        match calibrations.of(&id).map(|c| c.progress) {
            Some(Progress::Listening { passed_s, .. }) => bar.set_position(passed_s as u64),
            Some(Progress::Done { time_ns, .. }) => break Ok(time_ns),
            Some(Progress::Refused { reason, .. }) => break Err(reason),
            Some(Progress::Never) | None => {}
        }
        if let Some((part, fault)) = health.faults().into_iter().next() {
            break Err(format!("{part}: {fault}"));
        }
        std::thread::sleep(LOOK);
    };
    bar.finish_and_clear();
    pipeline.stop(STOP_WITHIN)?;
    let time_ns = ended.map_err(anyhow::Error::msg)?;
    // The pipeline has kept it, among what was known before and what came in the last moments.
    let kept = Baseline::load(&file)?.unwrap_or_default();
    let links = kept.links.into_iter().filter(|l| l.time_ns >= time_ns).collect();
    Ok(Baseline { links, ..kept })
}

/// The configured site that is meant; `None` where none is configured.
fn chosen<'a>(id: Option<&str>, config: &'a Config) -> anyhow::Result<Option<&'a SiteConfig>> {
    match (id, config.sites.as_slice()) {
        (_, []) => Ok(None),
        (Some(id), sites) => {
            let found = sites.iter().find(|s| s.id == id);
            found
                .map(Some)
                .with_context(|| format!("--site {id}: there is no such site in the configuration"))
        }
        (None, [only]) => Ok(Some(only)),
        (None, _) => bail!("several sites are configured: say which with --site"),
    }
}

/// From labelled recordings.
fn taught(task: Task, args: &CalibrateSignal, config: &Config) -> anyhow::Result<()> {
    let id = match (chosen(args.site.as_deref(), config)?, &args.site) {
        (Some(site), _) => site.id.clone(),
        (None, Some(id)) => id.clone(),
        (None, None) => "default".into(),
    };
    check_site_id(&id)?;
    let data = open(config)?;
    let baseline = Baseline::load(&data.path(&data_dir::baseline_of(&id)))?;
    let mut recordings = Vec::new();
    for (label, file) in &args.recording {
        recordings.push((label.clone(), Recording::open(file)?));
    }
    let (looks, labelled) = signal::looks_of(&recordings, baseline.as_ref())?;
    let model = signal::learn(task, &labelled, &looks, wall_ns(), &config.signal)?;
    let file = data.path(&file_of(&id, task));
    model.save(&file)?;
    let measured = &model.measured;
    if args.json {
        return output::line(json!({
            "site": id, "task": task.name(), "file": file, "labels": model.labels, "links": model.links.iter().map(|l| &l.0).collect::<Vec<_>>(),
            "channel_shift": !model.profiles.is_empty(), "measured": measured,
        }));
    }
    output::write(|out| {
        writeln!(out, "site {id}: {} recordings, each left out in turn:", measured.recordings)?;
        for (label, share) in &measured.by_label {
            writeln!(out, "  {label}: {:.0} % of the time told right", 100.0 * share)?;
        }
        writeln!(
            out,
            "balanced accuracy {:.3} over {} quarter seconds",
            measured.balanced_accuracy, measured.looks
        )?;
        writeln!(
            out,
            "an answer is shown in {:.0} % of the time, and right in {:.0} % of that",
            100.0 * measured.shown,
            100.0 * measured.shown_right
        )?;
        if let (Some(mae), Some(covered)) = (measured.mae, measured.covered) {
            writeln!(
                out,
                "off by {mae:.2} people; within the interval in {:.0} % of the time",
                100.0 * covered
            )?;
        }
        if model.profiles.is_empty() {
            writeln!(
                out,
                "the quiet room is not known: calibrate its baseline first, and this again, so that it counts who only sits"
            )?;
        }
        writeln!(out, "kept in {}", file.display())
    })
}

fn file_of(site: &str, task: Task) -> String {
    format!("{site}.{}.json", task.name())
}

/// The classifiers that a site has taught.
pub fn load(data: &DataDir, site: &str) -> anyhow::Result<Vec<SignalModel>> {
    let mut models = Vec::new();
    for task in [Task::Activity, Task::Count] {
        models.extend(SignalModel::load(&data.path(&file_of(site, task)), task)?);
    }
    Ok(models)
}
