//! The pose network: loaded at the start, and again when its weights are others.

use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use invispose_api::ModelCard;
use invispose_models::predictor::{Compute, Predictor, Weights};
use invispose_pipeline::stages::inference::{ModelDesk, NetworkModel, Replacement};

use crate::config::ModelSection;
use crate::model_card;
use crate::places::Place;

/// A network that is ready, and what its own card says of it.
pub struct Loaded {
    /// Looks at windows.
    pub model: NetworkModel,
    /// For the API.
    pub card: ModelCard,
    /// Sites on which it was measured to beat the mean pose.
    pub calibrated: HashSet<String>,
}

/// Loads weights for the sites of this server.
#[derive(Clone)]
pub struct Network {
    compute: Compute,
    /// Sites, with the people in them where they are just the room that the program's own weights were measured in.
    sites: Vec<(String, Option<usize>)>,
    experimental: bool,
    /// Where the pipeline takes another model from.
    pub desk: ModelDesk,
}

impl Network {
    /// For these sites, computing there.
    pub fn new(places: &[Place], compute: Compute) -> Self {
        let site = |p: &Place| (p.site.id.clone(), p.evaluated_people);
        let experimental = places.iter().any(|p| p.site.experimental_poses);
        Self { compute, sites: places.iter().map(site).collect(), experimental, desk: ModelDesk::default() }
    }

    /// The network; `None` where no site may show poses by the weights that are asked for.
    pub fn load(&self, section: &ModelSection) -> anyhow::Result<Option<Loaded>> {
        let asked = section.source();
        let shipped = matches!(asked, Weights::Shipped);
        if shipped && !self.experimental && self.sites.iter().all(|(_, people)| people.is_none()) {
            tracing::info!("no site has earned poses: presence and motion only");
            return Ok(None);
        }
        // The room that they were taught is better known to its own.
        let weights = match asked {
            Weights::Shipped if self.sites.iter().all(|(_, people)| people.is_some()) => Weights::DemoRoom,
            other => other,
        };
        let named = || format!("model.weights: {}", section.weights.display());
        let loaded = Predictor::load_on(&weights, self.compute.clone());
        let predictor = if shipped { loaded? } else { loaded.with_context(named)? };
        predictor.warm_up()?;
        let about = predictor.describe();
        tracing::info!(
            model = about.model,
            device = about.device,
            parameters = about.parameters,
            "network loaded"
        );
        let mut calibrated = HashSet::new();
        for (site, people) in &self.sites {
            let card = predictor.card();
            if card.beats_mean_pose_at_site(site) || people.is_some_and(|people| card.beats_mean_pose(people))
            {
                calibrated.insert(site.clone());
            } else if people.is_some() || !shipped {
                tracing::warn!(
                    site,
                    people,
                    "the model's evaluation here does not beat the mean pose: presence only, unless experimental poses are asked for"
                );
            }
        }
        let card = model_card::of(&predictor);
        Ok(Some(Loaded { model: NetworkModel::new(predictor), card, calibrated }))
    }

    /// Gives the pipeline another network between two windows.
    pub fn replace(&self, new: Loaded) -> ModelCard {
        self.desk.replace(Replacement { model: Box::new(new.model), calibrated: new.calibrated });
        new.card
    }
}

/// By what a changed file of weights is told.
pub fn stamp(section: &ModelSection) -> Option<(SystemTime, u64)> {
    let of = |path: &Path| path.metadata().and_then(|m| Ok((m.modified()?, m.len()))).ok();
    of(&section.weights)
}
