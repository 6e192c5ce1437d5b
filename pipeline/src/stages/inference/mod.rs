//! Inference: the pose network looks at windows of all sites at once.
//!
//! Takes [`ObservedWindow`]s, gives [`Detections`]. Poses are earned: the network looks at a site only when an evaluation shows that it
//! beats the mean pose there, or when the operator asked for experimental poses. Everything else passes through with presence only.

mod desk;
#[cfg(feature = "nn")]
mod network;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, after};

use super::gather::{BatchConfig, gather};
use super::presence::ObservedWindow;
use super::worker::take;
use crate::health::Health;
use crate::site::SiteConfig;
use crate::tracking::Observation;
use crate::trail::mark;

pub use desk::{ModelDesk, Replacement};
#[cfg(feature = "nn")]
pub use network::NetworkModel;

/// A window of one site, for the network.
#[derive(Clone, Copy)]
pub struct PoseInput<'a> {
    /// The window.
    pub window: &'a ObservedWindow,
    /// The site: the room and where its radios stand.
    pub site: &'a SiteConfig,
}

/// Something that sees people in windows.
pub trait PoseModel: Send {
    /// Name and version, e.g. `csi-ratio-1 0.1.0`.
    fn name(&self) -> Arc<str>;

    /// Where it computes, e.g. `cpu (flex)`.
    fn device(&self) -> String;

    /// Why it computes elsewhere than before; told once.
    fn take_moved(&mut self) -> Option<String> {
        None
    }

    /// The people in each window, as many answers as windows; `None` for a window that it cannot look at, because no
    /// link has both a place in the site's configuration and a known quiet room.
    fn predict(&mut self, windows: &[PoseInput<'_>]) -> Result<Vec<Option<Vec<Observation>>>, ModelError>;
}

/// The network gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pose network failed: {0}")]
pub struct ModelError(pub String);

/// What the network may do at one site.
#[derive(Clone, Debug)]
pub struct SitePolicy {
    /// The site.
    pub config: SiteConfig,
    /// An evaluation on this site shows that the model beats the mean pose.
    pub calibrated: bool,
    /// Every window must be looked at, because it is replayed and time does not press.
    pub every_window: bool,
}

/// A window and who was seen in it.
#[derive(Clone, Debug)]
pub struct Detections {
    /// The window with presence.
    pub window: ObservedWindow,
    /// Who was seen; `None` when nobody looked.
    pub observations: Option<Vec<Observation>>,
    /// The model that serves this site; `None` when none does.
    pub model: Option<Arc<str>>,
    /// See [`crate::Provenance::calibrated`].
    pub calibrated: bool,
    /// See [`crate::Provenance::experimental`].
    pub experimental: bool,
}

/// The stage.
pub struct Inference {
    sites: HashMap<Arc<str>, SitePolicy>,
    model: Option<Box<dyn PoseModel>>,
    desk: ModelDesk,
    batch: BatchConfig,
    health: Health,
}

impl Inference {
    /// For these sites; without a model all pass through.
    pub fn new(
        sites: Vec<SitePolicy>,
        model: Option<Box<dyn PoseModel>>,
        batch: BatchConfig,
        health: Health,
    ) -> Self {
        if let Some(model) = &model {
            health.set_device(model.device());
        }
        let sites = sites.into_iter().map(|s| (Arc::from(s.config.id.as_str()), s)).collect();
        Self { sites, model, desk: ModelDesk::default(), batch, health }
    }

    /// Takes other models from this desk while it runs.
    pub fn with_desk(mut self, desk: ModelDesk) -> Self {
        self.desk = desk;
        self
    }

    /// The next batch is the new model's.
    fn replace(&mut self, new: Replacement) {
        self.health.set_device(new.model.device());
        for (id, site) in &mut self.sites {
            site.calibrated = new.calibrated.contains(id.as_ref());
        }
        tracing::info!(model = %new.model.name(), "the pose network was replaced");
        self.model = Some(new.model);
    }

    /// Runs until its input ends or nobody takes its output.
    pub fn run(mut self, input: &Receiver<ObservedWindow>, output: &Sender<Detections>) {
        let stats = self.health.stage("inference");
        while let Ok(first) = input.recv() {
            take(&stats, input);
            if let Some(new) = self.desk.take() {
                self.replace(new);
            }
            // A site that no model serves does not wait for others.
            let served = |batch: &[ObservedWindow]| batch.iter().any(|w| self.serves(w).is_some());
            let batch = gather(first, input, self.batch.windows, &after(self.batch.wait), served);
            stats.taken.add(batch.len() as u64 - 1);
            let worked = Instant::now();
            let results = self.infer(batch);
            stats.busy_ns.add(worked.elapsed().as_nanos() as u64);
            for mut result in results {
                mark(&mut result.window.clean.window.trail, "inference", worked);
                if output.send(result).is_err() {
                    return;
                }
                stats.given.add(1);
            }
        }
    }

    /// The model and the policy for a window's site, where poses are allowed.
    fn serves(&self, window: &ObservedWindow) -> Option<&SitePolicy> {
        self.model.as_ref().and_then(|_| earned(&self.sites, window))
    }

    /// Looks at a batch, in its order.
    pub fn infer(&mut self, batch: Vec<ObservedWindow>) -> Vec<Detections> {
        // When time presses only the newest window of each site is looked at: a backlog would never shrink.
        let mut newest: HashMap<Arc<str>, usize> = HashMap::new();
        for (i, window) in batch.iter().enumerate() {
            newest.insert(window.clean.window.site.clone(), i);
        }
        let looked_at: Vec<usize> = (0..batch.len())
            .filter(|&i| {
                let window = &batch[i];
                let last = newest.get(&window.clean.window.site) == Some(&i);
                // Nobody is looked for where nobody can be: it saves the work and cannot show a ghost.
                let maybe = window.presence.is_some_and(|p| p.present);
                self.serves(window).is_some_and(|site| maybe && (site.every_window || last))
            })
            .collect();
        let inputs: Vec<PoseInput<'_>> = looked_at
            .iter()
            .filter_map(|&i| {
                let policy = earned(&self.sites, &batch[i])?;
                Some(PoseInput { window: &batch[i], site: &policy.config })
            })
            .collect();
        let mut answers: Vec<Option<Vec<Observation>>> = vec![None; batch.len()];
        let model = self.model.as_mut();
        if let Some(model) = model.filter(|_| !inputs.is_empty()) {
            let began = Instant::now();
            let predicted = model.predict(&inputs);
            let network = self.health.network();
            network.runs.add(1);
            network.windows.add(inputs.len() as u64);
            network.busy_ns.add(began.elapsed().as_nanos() as u64);
            match predicted {
                Ok(seen) => {
                    self.health.set_fault("inference", None);
                    if let Some(moved) = model.take_moved() {
                        tracing::error!("{moved}");
                        self.health.set_device(model.device());
                        self.health.set_fault("device", Some(moved));
                    }
                    for (&i, seen) in looked_at.iter().zip(seen) {
                        answers[i] = seen;
                    }
                }
                Err(e) => {
                    tracing::warn!("{e}");
                    self.health.set_fault("inference", Some(e.to_string()));
                }
            }
        }
        batch
            .into_iter()
            .zip(answers)
            .map(|(window, observations)| self.finish(window, observations))
            .collect()
    }

    fn finish(&self, window: ObservedWindow, observations: Option<Vec<Observation>>) -> Detections {
        let policy = self.serves(&window);
        let calibrated = policy.is_some_and(|p| p.calibrated);
        let experimental = policy.is_some_and(|p| !p.calibrated && p.config.experimental_poses);
        let model = policy.and(self.model.as_ref()).map(|m| m.name());
        Detections { window, observations, model, calibrated, experimental }
    }
}

/// The policy for a window's site, where it allows poses.
fn earned<'a>(sites: &'a HashMap<Arc<str>, SitePolicy>, window: &ObservedWindow) -> Option<&'a SitePolicy> {
    sites.get(&window.clean.window.site).filter(|s| s.calibrated || s.config.experimental_poses)
}
