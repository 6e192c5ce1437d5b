//! `invispose demo`, `run` and `replay`: the pipeline behind the API.

use anyhow::Context;
use invispose_pipeline::site::ZoneConfig;
use invispose_pipeline::sources::{self, ReplayOptions, SourceSpec, SpecKind};

use crate::cli::{Common, Demo, Replay, Serve};
use crate::commands::file_source;
use crate::config::Config;
use crate::places;
use crate::reload::Read;
use crate::serve::{self, Options};

/// Simulated people. They are named as what they are in every frame.
pub fn demo(args: &Demo, config: &Config, again: Read) -> anyhow::Result<()> {
    let spec: SourceSpec = format!("sim:demo?people={}&seed={}&site=demo", args.people, args.seed).parse()?;
    let SpecKind::Sim(sim) = &spec.kind else { anyhow::bail!("the demonstration is simulated") };
    let mut site = sources::sim::site(sim, "demo")?;
    site.name = "Demonstration room".into();
    let [x, y, _] = site.room_m;
    let half = |id: &str, name: &str, from: f32, to: f32| ZoneConfig {
        id: id.into(),
        name: name.into(),
        polygon_m: vec![[from, 0.0], [to, 0.0], [to, y], [from, y]],
        ..ZoneConfig::default()
    };
    site.zones = vec![half("west", "West half", 0.0, x / 2.0), half("east", "East half", x / 2.0, x)];

    let mut config = config.clone();
    // Nothing real may look simulated, nor the other way round.
    config.sources.clear();
    config.sites = vec![site];
    let mut options = options(&args.common)?;
    // Real sources stay apart from what is simulated.
    for other in &options.sources {
        let id = other.site.as_deref().unwrap_or(places::default_site(other));
        if !config.sites.iter().any(|s| s.id == id) {
            config.sites.push(places::site_of(other, id)?);
        }
    }
    for other in &mut options.sources {
        let id = other.site.take().unwrap_or_else(|| places::default_site(other).to_owned());
        other.site = Some(id);
    }
    options.sources.insert(0, spec);
    options.say_first_frame = true;
    serve::run(&config, options, again)
}

/// Real sources.
pub fn run(args: &Serve, config: &Config, again: Read) -> anyhow::Result<()> {
    serve::run(config, serve_options(args)?, again)
}

/// A file as if it happened now.
pub fn replay(args: &Replay, config: &Config, again: Read) -> anyhow::Result<()> {
    let speed = args.speed.parse().map_err(|e| anyhow::anyhow!("--speed {}: {e}", args.speed))?;
    let mut options = serve_options(&args.serve)?;
    options.sources.insert(0, file_source(&args.file, ReplayOptions { speed, ..Default::default() }));
    serve::run(config, options, again)
}

fn serve_options(args: &Serve) -> anyhow::Result<Options> {
    Ok(Options {
        baselines: args.baseline.clone(),
        experimental_poses: args.experimental_poses,
        ..options(&args.common)?
    })
}

fn options(common: &Common) -> anyhow::Result<Options> {
    let sources = common
        .source
        .iter()
        .map(|uri| uri.parse::<SourceSpec>().with_context(|| format!("--source {uri}")))
        .collect::<anyhow::Result<_>>()?;
    Ok(Options { sources, record: common.record.clone(), ..Default::default() })
}
