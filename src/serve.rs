//! The composition root: configuration in, a running pipeline behind a running API out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use invispose_api::outputs::Outputs;
use invispose_api::recordings::Recordings;
use invispose_api::store::Store;
use invispose_api::telemetry::Telemetry;
use invispose_api::{ApiConfig, ApiState, Deprecation, Site};
use invispose_models::predictor::{Compute, DeviceChoice};
use invispose_pipeline::alerts::{AlertDesk, AlertEngine, AlertState};
use invispose_pipeline::evaluation::baseline_of;
use invispose_pipeline::events::{EVENTS_KEPT, EventBus};
use invispose_pipeline::floor::FloorPlan;
use invispose_pipeline::health::Part;
use invispose_pipeline::pipeline::{STOP_WITHIN, SiteSetup};
use invispose_pipeline::radio::Radio;
use invispose_pipeline::recording::{Metadata, Writer};
use invispose_pipeline::ring::{RingConfig, RingWriter};
use invispose_pipeline::sources::{self, SourceSpec};
use invispose_pipeline::stages::assembly::AssemblyConfig;
use invispose_pipeline::stages::baseline::Baseline;
use invispose_pipeline::stages::calibration::Calibrations;
use invispose_pipeline::stages::gather::BatchConfig;
use invispose_pipeline::stages::persons::Rules;
use invispose_pipeline::stages::recorder::{RecordDesk, RecordSetup};
use invispose_pipeline::tracking::PersonIds;
use invispose_pipeline::{Health, Pipeline, PipelineBuilder, SourceKind};

use crate::commands::calibrate;
use crate::config::{Config, DeprecatedSection};
use crate::data_dir::{self, DataDir};
use crate::listener;
use crate::network::Network;
use crate::output;
use crate::places::{self, Place};
use crate::reload::{Read, Reload};
use crate::service;

/// What a command asks for beside the configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// Sources beside the configured ones.
    pub sources: Vec<SourceSpec>,
    /// Captures of the quiet room.
    pub baselines: Vec<PathBuf>,
    /// Show poses that no evaluation has earned.
    pub experimental_poses: bool,
    /// Write packets and pose frames here.
    pub record: Option<PathBuf>,
    /// Say when the first frame reached a subscriber.
    pub say_first_frame: bool,
}

/// Runs until ctrl-c or SIGTERM; `again` reads the configuration anew on SIGHUP.
pub fn run(config: &Config, options: Options, again: Read) -> anyhow::Result<()> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("tokio")?;
    let opened = runtime.block_on(listener::open(config))?;
    let mut places = places::places(config, &options.sources, options.experimental_poses)?;
    let data = DataDir::open(&config.data_dir)?;

    let health = Health::default();
    let choice: DeviceChoice = config.device.parse().map_err(|e| anyhow::anyhow!("device: {e}"))?;
    let compute = Compute::open(choice)?;
    health.set_device(compute.name());
    let network = Network::new(&places, compute.clone());
    let loaded = network.load(&config.model)?;
    for place in &mut places {
        place.earned = loaded.as_ref().is_some_and(|l| l.calibrated.contains(&place.site.id));
    }
    let first_frame = options.say_first_frame;

    let store = runtime.block_on(Store::open(config.database.store(&config.data_dir))).context("database")?;
    let mut ids = PersonIds::open(data.path("person-ids"))?;
    ids.continue_after(runtime.block_on(store.last_person()).unwrap_or(0));

    let events = EventBus::new(&config.event_rates, EVENTS_KEPT);
    let engine = AlertEngine::new(&config.alerts, AlertState::default())?;
    let alerts = AlertDesk::new(engine, events.clone());
    let radio = Radio::default();
    let recorder = RecordDesk::default();
    let calibrations = Calibrations::default();
    let mut builder = PipelineBuilder::new(health.clone())
        .events(events.clone())
        .rules(rules(config))
        .monitor(config.monitor.clone())
        .alerts(alerts.clone())
        .radio(radio.clone())
        .recorder(recorder.clone())
        .calibrations(calibrations.clone())
        .models(network.desk.clone())
        .signal(config.signal.clone())
        .person_ids(ids)
        .assembly(AssemblyConfig {
            hop: Duration::from_millis(config.window.hop_ms.into()),
            ..Default::default()
        })
        .batch(BatchConfig {
            windows: config.batch.windows as usize,
            wait: Duration::from_millis(config.batch.wait_ms.into()),
        })
        .presence(config.presence.clone());
    let card = loaded.as_ref().map(|loaded| loaded.card.clone());
    if let Some(loaded) = loaded {
        builder = builder.model(Box::new(loaded.model));
    }
    #[cfg(feature = "gpu")]
    if let Some(gpu) = compute.gpu() {
        builder = builder.gpu(gpu.clone());
    }
    if let Some(path) = &options.record {
        builder = builder.record(record_setup(path, &places)?);
    }
    let mut sites = Vec::new();
    for place in places {
        // A new ring must not give ids a second time.
        let stored = runtime.block_on(store.position(&place.site.id)).unwrap_or(0);
        let (site, setup) = open_site(config, &data, &options, place, stored)?;
        sites.push(site);
        builder = builder.site(setup);
    }
    let limits = ApiConfig {
        allowed_hosts: config.api.allowed_hosts.clone(),
        allowed_origins: config.api.allowed_origins.clone(),
        deprecated: config.deprecated.iter().map(deprecation).collect(),
        access: config.access()?,
        ..config.limits.api()
    };
    let state = ApiState::with_store(sites.clone(), health.clone(), limits, store.clone(), events.clone())
        .with_alerts(alerts.clone())
        .with_radio(radio)
        .with_recordings(Recordings::new(recorder, data.path("recordings")))
        .with_calibrations(calibrations);
    if let Some(card) = card {
        state.set_model(card);
    }

    runtime.block_on(async move {
        let mut signals = Signals::new()?;
        let mut reload = Reload::new(again, state.clone(), opened.tls, network)?;
        // Kept zones are there before the first frame is.
        state.load().await;
        let outputs = Outputs::start(&state, &config.outputs(), &config.data_dir).await?;
        let telemetry = Telemetry::start(&state, &config.telemetry)?;
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let api = tokio::spawn(invispose_api::serve(state.clone(), opened.listeners, async {
            closed.await.ok();
        }));
        // The subscriber is there before the first frame can be.
        if first_frame {
            tokio::spawn(say_first_frame(state.clone(), started));
        }
        let mut history = store.start(&sites, &events, &health).context("store")?;
        history.caught_up().await;
        history.keep_alerts(&alerts).await;
        let pipeline = builder.start()?;
        // The service goes on when nobody reads what it prints.
        for address in &opened.addresses {
            let _ = output::line(format_args!("listening on {address}"));
        }
        if config.asks_for_credentials() {
            tracing::info!(
                "everybody needs credentials; a first token: invispose token create --scope admin:all"
            );
        }

        service::ready(&opened.addresses);
        let watchdog = tokio::spawn(service::keep_watchdog(state));

        while signals.wait().await == Signal::Reload {
            service::reloading();
            reload.reload().await;
            service::ready(&opened.addresses);
        }
        service::stopping();
        watchdog.abort();
        tracing::info!("stopping");
        close.send(()).ok();
        let health = pipeline.health().clone();
        stop(pipeline).await?;
        events.close();
        tokio::join!(outputs.close(), history.close());
        api.await.context("API")?.context("API")?;
        if let Some(telemetry) = telemetry {
            telemetry.close().await;
        }
        match health.faults().remove(&Part::Stage("recording")) {
            Some(fault) => bail!("the recording is not whole: {fault}"),
            None => Ok(()),
        }
    })
}

fn rules(config: &Config) -> Rules {
    Rules {
        tracker: config.tracking.clone(),
        watch: config.watch.clone(),
        zones: config.zones.clone(),
        activity: config.activity.clone(),
        falls: config.falls.clone(),
        count: config.count.clone(),
        breath: config.breath.clone(),
    }
}

fn deprecation(section: &DeprecatedSection) -> Deprecation {
    let DeprecatedSection { version, sunset, guide } = section.clone();
    Deprecation { version, sunset, guide }
}

fn open_site(
    config: &Config,
    data: &DataDir,
    options: &Options,
    place: Place,
    stored: u64,
) -> anyhow::Result<(Site, SiteSetup)> {
    let id = place.site.id.clone();
    let path = data.path(&format!("{id}.ring"));
    let mut ring = RingWriter::open(&path, RingConfig { slots: config.ring.slots, ..Default::default() })?;
    ring.continue_after(stored)?;
    let floor = FloorPlan::open(data.path(&format!("{id}.zones")), &place.site.zones)?;
    let (site, wake) = Site::new(place.site.clone(), floor.clone(), ring.reader());
    ring.on_publish(Box::new(move |frame_id| wake.published(frame_id)));

    let baseline_file = data.path(&data_dir::baseline_of(&id));
    // Captures of other rooms share link names with this site's live links.
    let mut baseline = if place.live() { Baseline::load(&baseline_file)? } else { None };
    for capture in &options.baselines {
        let learned = baseline_of(capture, &config.presence)
            .with_context(|| format!("baseline from {}", capture.display()))?;
        if learned.links.is_empty() {
            bail!("{}: too short, or never quiet: no baseline can be learned from it", capture.display());
        }
        baseline.get_or_insert_default().merge(learned);
    }

    // What a site was taught holds for its own links: those on the air, and recordings that the operator says are of it.
    let configured = config.sites.iter().any(|s| s.id == id);
    let own = place.live() || configured && !place.simulated();
    let signal = if own { calibrate::load(data, &id)? } else { Vec::new() };

    let mut opened = Vec::new();
    for spec in &place.sources {
        opened.push((spec.uri.clone(), spec.open()?));
    }
    let setup = SiteSetup {
        baseline,
        // What a replay or a simulation teaches is not this site's present.
        baseline_file: place.live().then_some(baseline_file),
        calibrated: place.earned,
        floor: Some(floor),
        signal,
        ring: Some(ring),
        ..SiteSetup::new(place.site, opened)
    };
    Ok((site, setup))
}

fn record_setup(path: &Path, places: &[Place]) -> anyhow::Result<RecordSetup> {
    let source = if places.iter().any(Place::simulated) {
        SourceKind::Simulated
    } else if places.iter().all(Place::live) {
        SourceKind::Live
    } else {
        SourceKind::Replay
    };
    let site = match places {
        [only] => Some(only.site.clone()),
        _ => None,
    };
    let metadata = Metadata { source, site, created_ns: sources::wall_ns(), note: String::new() };
    Ok(RecordSetup {
        writer: Writer::create(path, &metadata)?,
        site: None,
        csi: true,
        poses: true,
        limit: None,
    })
}

async fn stop(pipeline: Pipeline) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || pipeline.stop(STOP_WITHIN - Duration::from_secs(1)))
        .await
        .context("stopping")?
        .context("stopping")
}

/// Subscribes as any client would and says when the first frame came.
async fn say_first_frame(state: ApiState, started: Instant) {
    let schema = invispose_api::graphql::schema(state);
    let mut frames = std::pin::pin!(schema.execute_stream("subscription { poseFrames { stale } }"));
    while let Some(answer) = frames.next().await {
        // The ring may still hold frames of an earlier run.
        if answer.data.into_json().is_ok_and(|data| data["poseFrames"]["stale"] == false) {
            let after = started.elapsed().as_secs_f64();
            let _ =
                output::line(format_args!("first pose frame reached a subscriber {after:.1} s after start"));
            return;
        }
    }
}

/// Ctrl-c, SIGTERM and SIGHUP.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[derive(PartialEq, Eq)]
enum Signal {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = |kind| signal(kind).context("signals");
        Ok(Self { terminate: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? })
    }

    async fn wait(&mut self) -> Signal {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
