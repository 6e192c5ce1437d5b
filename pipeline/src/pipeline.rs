//! The whole way of a frame, wired together.
//!
//! ```text
//! sources ─► assembly ─► cleanup ─► presence ─► inference ─► tracking ─► ring
//! ```
//!
//! Each arrow is a bounded channel, each stage a thread (sources and assembly: one for each source and site). A stage ends when
//! what it takes from has ended, so stopping the sources drains everything in order.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::alerts::AlertDesk;
use crate::events::{Event, EventBus, EventKind, Monitor, MonitorConfig};
use crate::floor::{FloorError, FloorPlan};
use crate::health::{Health, Part, SourceStats};
use crate::pose::{PoseFrame, SourceKind};
use crate::radio::Radio;
use crate::ring::RingWriter;
use crate::signal::{SignalConfig, SignalModel, SignalWatch};
use crate::site::SiteConfig;
use crate::sources::{FrameSender, Source, Speed, Stop, StopHandle, WhenFull, wall_ns};
use crate::stages::assembly::{Assembler, AssemblyConfig};
use crate::stages::baseline::Baseline;
use crate::stages::calibration::Calibrations;
use crate::stages::cleanup::Cleanup;
use crate::stages::gather::BatchConfig;
use crate::stages::inference::{Inference, ModelDesk, PoseModel, SitePolicy};
use crate::stages::intake::{Input, Intake};
use crate::stages::output::Output;
use crate::stages::persons::{Persons, Rules};
use crate::stages::presence::PresenceConfig;
use crate::stages::recorder::{COMPONENT, RecordDesk, RecordSetup, Recorder};
use crate::stages::site_presence::SitePresence;
use crate::stages::{Worker, stage};
use crate::tracking::PersonIds;
use crate::trail::mark;

/// Packets that wait between a source and assembly: about a second of ten links.
const PACKETS_WAITING: usize = 1024;
/// Windows that wait between two stages. Few: a window that waits is late.
const WINDOWS_WAITING: usize = 8;
/// Frames that wait for the disk.
const RECORDS_WAITING: usize = 4096;
/// Shutdown ends within this time.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// One site and everything that belongs to it.
pub struct SiteSetup {
    /// The site.
    pub config: SiteConfig,
    /// Its sources, each with the URI under which it is shown.
    pub sources: Vec<(String, Box<dyn Source>)>,
    /// What its links are like while the room is quiet, where that is known already.
    pub baseline: Option<Baseline>,
    /// Where to keep what is learned of that; `None` = nowhere. Only what is learned from live packets is kept.
    pub baseline_file: Option<PathBuf>,
    /// An evaluation on this very site shows that the model beats the mean pose. (A simulated room counts as evaluated
    /// by the model's own evaluation in that room.)
    pub calibrated: bool,
    /// Its zones, where they change while it runs; `None`: those of `config` for good.
    pub floor: Option<FloorPlan>,
    /// Classifiers that it has taught, one a task.
    pub signal: Vec<SignalModel>,
    /// Where its frames go; `None` = nowhere, e.g. for a recording.
    pub ring: Option<RingWriter>,
}

impl SiteSetup {
    /// A site with one or more sources and nothing else.
    pub fn new(config: SiteConfig, sources: Vec<(String, Box<dyn Source>)>) -> Self {
        Self {
            config,
            sources,
            baseline: None,
            baseline_file: None,
            calibrated: false,
            floor: None,
            signal: Vec::new(),
            ring: None,
        }
    }
}

/// The pipeline cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// There is nothing to run.
    #[error("no site with a source is configured")]
    NoSource,
    /// Two sites have one identifier.
    #[error("two sites are called `{0}`")]
    SameSite(String),
    /// A site's zones cannot be used.
    #[error(transparent)]
    Zones(#[from] FloorError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

/// Everything that a [`Pipeline`] is made from.
pub struct PipelineBuilder {
    health: Health,
    sites: Vec<SiteSetup>,
    model: Option<Box<dyn PoseModel>>,
    models: ModelDesk,
    ids: PersonIds,
    recorder: RecordDesk,
    record: Option<RecordSetup>,
    frames_to: Option<Sender<PoseFrame>>,
    assembly: AssemblyConfig,
    presence: PresenceConfig,
    batch: BatchConfig,
    rules: Rules,
    monitor: MonitorConfig,
    events: EventBus,
    alerts: Option<AlertDesk>,
    radio: Radio,
    calibrations: Calibrations,
    signal: SignalConfig,
    #[cfg(feature = "gpu")]
    gpu: Option<invispose_kernels::gpu::GpuContext>,
}

impl PipelineBuilder {
    /// An empty pipeline that reports to `health`.
    pub fn new(health: Health) -> Self {
        Self {
            health,
            sites: Vec::new(),
            model: None,
            models: ModelDesk::default(),
            ids: PersonIds::in_memory(),
            recorder: RecordDesk::default(),
            record: None,
            frames_to: None,
            assembly: AssemblyConfig::default(),
            presence: PresenceConfig::default(),
            batch: BatchConfig::default(),
            rules: Rules::default(),
            monitor: MonitorConfig::default(),
            events: EventBus::default(),
            alerts: None,
            radio: Radio::default(),
            calibrations: Calibrations::default(),
            signal: SignalConfig::default(),
            #[cfg(feature = "gpu")]
            gpu: None,
        }
    }

    /// Adds a site.
    pub fn site(mut self, site: SiteSetup) -> Self {
        self.sites.push(site);
        self
    }

    /// The network that looks for people. Without one there is presence only.
    pub fn model(mut self, model: Box<dyn PoseModel>) -> Self {
        self.model = Some(model);
        self
    }

    /// Where other networks come from while it runs.
    pub fn models(mut self, desk: ModelDesk) -> Self {
        self.models = desk;
        self
    }

    /// Where person ids come from; by default they are kept nowhere.
    pub fn person_ids(mut self, ids: PersonIds) -> Self {
        self.ids = ids;
        self
    }

    /// Where recordings are begun and ended while it runs.
    pub fn recorder(mut self, desk: RecordDesk) -> Self {
        self.recorder = desk;
        self
    }

    /// Writes a recording from the start.
    pub fn record(mut self, record: RecordSetup) -> Self {
        self.record = Some(record);
        self
    }

    /// Sends every finished frame here too. The pipeline waits for this receiver: it is for tests and for tools that
    /// need every frame.
    pub fn frames_to(mut self, frames: Sender<PoseFrame>) -> Self {
        self.frames_to = Some(frames);
        self
    }

    /// Windows and hops.
    pub fn assembly(mut self, config: AssemblyConfig) -> Self {
        self.assembly = config;
        self
    }

    /// The rules of presence.
    pub fn presence(mut self, config: PresenceConfig) -> Self {
        self.presence = config;
        self
    }

    /// Cleans on this GPU, for as long as it lasts. To share it with the network, both take it from one
    /// [`Compute`](invispose_models::predictor::Compute).
    #[cfg(feature = "gpu")]
    pub fn gpu(mut self, context: invispose_kernels::gpu::GpuContext) -> Self {
        self.gpu = Some(context);
        self
    }

    /// How windows are gathered for a GPU and for the network.
    pub fn batch(mut self, config: BatchConfig) -> Self {
        self.batch = config;
        self
    }

    /// The rules by which people are followed and understood.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Where events are published. By default on a bus that nobody hears.
    pub fn events(mut self, events: EventBus) -> Self {
        self.events = events;
        self
    }

    /// When the pipeline's own troubles become events.
    pub fn monitor(mut self, monitor: MonitorConfig) -> Self {
        self.monitor = monitor;
        self
    }

    /// Who makes alerts of the events, on the same bus.
    pub fn alerts(mut self, desk: AlertDesk) -> Self {
        self.alerts = Some(desk);
        self
    }

    /// Where the signal can be looked at.
    pub fn radio(mut self, radio: Radio) -> Self {
        self.radio = radio;
        self
    }

    /// Where calibrations of the quiet room are asked for.
    pub fn calibrations(mut self, calibrations: Calibrations) -> Self {
        self.calibrations = calibrations;
        self
    }

    /// The rules of the sites' own classifiers.
    pub fn signal(mut self, config: SignalConfig) -> Self {
        self.signal = config;
        self
    }

    /// Starts all threads.
    pub fn start(self) -> Result<Pipeline, PipelineError> {
        self.check()?;
        let Self {
            health,
            sites,
            model,
            ids,
            recorder: desk,
            record,
            frames_to,
            assembly,
            presence,
            batch,
            ..
        } = self;
        let events = self.events;
        #[cfg(feature = "gpu")]
        let gpu = self.gpu;
        let (stop_handle, stop) = Stop::new();
        let mut sources = Vec::new();
        let mut workers = Vec::new();

        let (to_recording, from_stages) = bounded(RECORDS_WAITING);
        let tap = |s: &SiteSetup| {
            let id: Arc<str> = s.config.id.as_str().into();
            (id.clone(), desk.tap(&id))
        };
        let taps: HashMap<_, _> = sites.iter().map(tap).collect();
        // Before the first packet, so that a recording from the start has them all.
        let recorder = Recorder::new(desk.clone(), record, health.clone());

        let (windows, from_assembly) = bounded(WINDOWS_WAITING);
        let mut detectors = HashMap::new();
        let mut policies = Vec::new();
        let mut rings = HashMap::new();
        let mut places = Vec::new();
        for setup in sites {
            let id: Arc<str> = setup.config.id.as_str().into();
            let kind = kind_of(&setup.sources);
            let every_window = setup.sources.iter().all(|(_, s)| s.speed() == Speed::Max);

            let mut inputs = Vec::new();
            for (uri, source) in setup.sources {
                let (worker, input) = start_source(uri, source, &id, &health, &stop)?;
                sources.push(worker);
                inputs.push(input);
            }
            if !inputs.is_empty() {
                self.calibrations.open(id.clone());
            }
            let intake = Intake::new(
                inputs,
                Assembler::new(id.clone(), kind, assembly.clone()),
                assembly.hop,
                (desk.tap(&id), to_recording.clone()),
                health.clone(),
            );
            let windows = windows.clone();
            let part = Part::Site("assembly", id.clone());
            workers.push(Worker::spawn(format!("assembly-{id}"), part, health.clone(), move || {
                intake.run(&windows);
            })?);

            // Captures of other rooms carry the same names of links.
            let keep = setup.baseline_file.filter(|_| kind == SourceKind::Live);
            let signal = SignalWatch::new(self.signal.clone(), setup.signal);
            let (baseline, calibrations) = (setup.baseline.as_ref(), self.calibrations.clone());
            let site = SitePresence::new(presence.clone(), baseline, keep, calibrations, signal);
            detectors.insert(id.clone(), site);
            let floor = setup.floor.map_or_else(|| FloorPlan::new(&setup.config.zones), Ok)?;
            places.push((setup.config.clone(), floor));
            policies.push(SitePolicy { config: setup.config, calibrated: setup.calibrated, every_window });
            if let Some(ring) = setup.ring {
                rings.insert(id, ring);
            }
        }
        drop(windows);

        let (clean, from_cleanup) = bounded(WINDOWS_WAITING);
        let cleanup = Cleanup::new();
        let state = health.clone();
        workers.push(Worker::spawn("cleanup", "cleanup", health.clone(), move || {
            #[cfg(feature = "gpu")]
            if let Some(gpu) = gpu {
                return cleanup.serve_on(&gpu, batch, &state, &from_assembly, &clean);
            }
            cleanup.serve(&state, &from_assembly, &clean);
        })?);

        let (observed, from_presence) = bounded(WINDOWS_WAITING);
        let faults = health.clone();
        workers.push(stage("presence", &health, from_cleanup, observed, move |window| {
            let begun = Instant::now();
            let mut window = SitePresence::run(&mut detectors, window, &faults);
            mark(&mut window.clean.window.trail, "presence", begun);
            window
        })?);

        let (detections, from_inference) = bounded(WINDOWS_WAITING);
        let inference = Inference::new(policies, model, batch, health.clone()).with_desk(self.models);
        workers.push(Worker::spawn("inference", "inference", health.clone(), move || {
            inference.run(&from_presence, &detections);
        })?);

        let (frames, from_tracking) = bounded(WINDOWS_WAITING);
        let mut persons = Persons::new(places, &self.rules, ids, events.clone(), self.radio, health.clone());
        workers.push(stage("tracking", &health, from_inference, frames, move |window| {
            let begun = Instant::now();
            let mut finished = persons.run(window);
            mark(&mut finished.trail, "tracking", begun);
            finished
        })?);

        let output = Output::new(rings, frames_to, (taps, to_recording), health.clone());
        let (running, ended) = bounded::<()>(0);
        workers.push(Worker::spawn("ring", "ring", health.clone(), move || {
            output.run(&from_tracking);
            drop(running);
        })?);
        if let Some(desk) = self.alerts {
            let (heard, ended) = (events.subscribe(), ended.clone());
            workers.push(Worker::spawn("alerts", "alerts", health.clone(), move || {
                desk.run(heard, &ended);
            })?);
        }
        let monitor = Monitor::new(health.clone(), self.monitor);
        workers.push(Worker::spawn("monitor", "monitor", health.clone(), move || {
            watch_over(monitor, &events, &ended);
        })?);

        // It ends when the last stage that records has ended.
        if let Some(recorder) = recorder {
            workers.push(Worker::spawn("recording", COMPONENT, health.clone(), move || {
                recorder.run(&from_stages);
            })?);
        }
        Ok(Pipeline { health, stop: Some(stop_handle), sources, workers })
    }

    fn check(&self) -> Result<(), PipelineError> {
        if self.sites.iter().all(|s| s.sources.is_empty()) {
            return Err(PipelineError::NoSource);
        }
        let mut seen = std::collections::HashSet::new();
        match self.sites.iter().find(|s| !seen.insert(s.config.id.as_str())) {
            Some(site) => Err(PipelineError::SameSite(site.config.id.clone())),
            None => Ok(()),
        }
    }
}

/// What a site's frames are, when its sources differ: simulated as soon as one is, and live only if all are.
fn kind_of(sources: &[(String, Box<dyn Source>)]) -> SourceKind {
    let has = |kind| sources.iter().any(|(_, s)| s.kind() == kind);
    if has(SourceKind::Simulated) {
        SourceKind::Simulated
    } else if has(SourceKind::Replay) {
        SourceKind::Replay
    } else {
        SourceKind::Live
    }
}

/// Looks at the pipeline's health until its last stage has ended.
fn watch_over(mut monitor: Monitor, events: &EventBus, ended: &Receiver<()>) {
    let mut tell = |event| drop(events.publish(event));
    tell(Event::new(EventKind::SystemStarted, wall_ns()));
    loop {
        let waited = ended.recv_timeout(monitor.period());
        monitor.look(wall_ns(), &mut tell);
        if waited == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    tell(Event::new(EventKind::SystemStopped, wall_ns()));
}

fn start_source(
    uri: String,
    source: Box<dyn Source>,
    site: &Arc<str>,
    health: &Health,
    stop: &Stop,
) -> io::Result<(Worker, Input)> {
    let (kind, speed) = (source.kind(), source.speed());
    let account = Arc::new(SourceStats::new(uri.clone(), kind).of_site(site.clone()));
    health.add_source(account.clone());
    let when_full = if kind == SourceKind::Live { WhenFull::DropOldest } else { WhenFull::Block };
    let (sender, receiver) = FrameSender::new(account.clone(), when_full, PACKETS_WAITING);
    let (stop, faults) = (stop.clone(), health.clone());
    account.running.set(1);
    let part = Part::Source(uri.as_str().into());
    let worker = Worker::spawn(format!("source {uri}"), part.clone(), health.clone(), move || {
        // Also when the source panics.
        let _running = Running(account);
        match source.run(&sender, &stop) {
            Ok(()) => tracing::info!(uri, "source has ended"),
            Err(e) => {
                tracing::error!(uri, "{e}");
                faults.set_fault(part, Some(e.to_string()));
            }
        }
    })?;
    Ok((worker, Input { receiver, speed, live: kind == SourceKind::Live }))
}

struct Running(Arc<SourceStats>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(0);
    }
}

/// A running pipeline. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Pipeline {
    health: Health,
    stop: Option<StopHandle>,
    sources: Vec<Worker>,
    workers: Vec<Worker>,
}

/// Threads that did not end in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running after {after:?}: {}", names.join(", "))]
pub struct Stragglers {
    /// How long they were waited for.
    pub after: Duration,
    /// Their names.
    pub names: Vec<String>,
}

impl Pipeline {
    /// What it knows of itself.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// All sources have ended and everything that they sent has come out.
    pub fn finished(&self) -> bool {
        self.sources.iter().chain(&self.workers).all(Worker::is_finished)
    }

    /// Waits until all sources have ended by themselves and everything has come out.
    pub fn join(mut self) {
        for worker in self.sources.drain(..).chain(self.workers.drain(..)) {
            worker.join();
        }
    }

    /// Stops the sources, lets everything that they sent come out, and waits for the end for at most `within`.
    pub fn stop(mut self, within: Duration) -> Result<(), Stragglers> {
        self.stop = None;
        let deadline = Instant::now() + within;
        while !self.finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let names: Vec<String> = self
            .sources
            .iter()
            .chain(&self.workers)
            .filter(|w| !w.is_finished())
            .map(|w| w.name().to_owned())
            .collect();
        if names.is_empty() {
            self.join();
            Ok(())
        } else {
            Err(Stragglers { after: within, names })
        }
    }
}
