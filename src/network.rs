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
use crate::places::{Evaluated, Place};

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
    /// Sites, and what is simulated where they are just a room that the program's own weights were measured in.
    sites: Vec<(String, Option<Evaluated>)>,
    experimental: bool,
    /// Where the pipeline takes another model from.
    pub desk: ModelDesk,
}

impl Network {
    /// For these sites, computing there.
    pub fn new(places: &[Place], compute: Compute) -> Self {
        let site = |p: &Place| (p.site.id.clone(), p.evaluated.clone());
        let experimental = places.iter().any(|p| p.site.experimental_poses);
        Self { compute, sites: places.iter().map(site).collect(), experimental, desk: ModelDesk::default() }
    }

    /// The network; `None` where no site may show poses by the weights that are asked for.
    pub fn load(&self, section: &ModelSection) -> anyhow::Result<Option<Loaded>> {
        let asked = section.source();
        let shipped = matches!(asked, Weights::Shipped);
        if shipped && !self.experimental && self.sites.iter().all(|(_, evaluated)| evaluated.is_none()) {
            tracing::info!("no site has earned poses: presence and motion only");
            return Ok(None);
        }
        // A kind of room is better known to its own.
        let weights = if shipped { of_their_room(&self.sites).unwrap_or(asked) } else { asked };
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
        let card = predictor.card();
        let radios = card.radios();
        for (site, evaluated) in &self.sites {
            let known = evaluated.as_ref().filter(|e| e.radios == radios);
            if card.beats_mean_pose_at_site(site)
                || known.is_some_and(|e| card.beats_mean_pose(e.place, e.people))
            {
                calibrated.insert(site.clone());
            } else if evaluated.is_some() || !shipped {
                tracing::warn!(
                    site,
                    people = known.map(|e| e.people),
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

/// The weights of the kind of room that all these sites are.
fn of_their_room(sites: &[(String, Option<Evaluated>)]) -> Option<Weights> {
    let (_, first) = sites.first()?;
    let Evaluated { place, radios, .. } = first.as_ref()?;
    let is_such = |e: &Evaluated| e.place == *place && e.radios == *radios;
    let alike = sites.iter().all(|(_, site)| site.as_ref().is_some_and(is_such));
    if alike { Weights::of(*place, radios) } else { None }
}

/// By what a changed file of weights is told.
pub fn stamp(section: &ModelSection) -> Option<(SystemTime, u64)> {
    let of = |path: &Path| path.metadata().and_then(|m| Ok((m.modified()?, m.len()))).ok();
    of(&section.weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use invispose_models::{data, sim::Radios};

    #[test]
    fn sites_that_are_all_one_kind_of_known_room_get_its_weights() {
        let site = |place, radios: Radios| ("a".to_owned(), Some(Evaluated { place, people: 1, radios }));
        let (own, wide) = (site(data::Place::Demo, Radios::OWN), site(data::Place::Demo, Radios::WIDE));
        let elsewhere = site(data::Place::Random, Radios::WIDE);
        assert!(matches!(of_their_room(&[own.clone(), own.clone()]), Some(Weights::DemoRoom)));
        assert!(matches!(of_their_room(std::slice::from_ref(&wide)), Some(Weights::DemoRoomWide)));
        assert!(matches!(of_their_room(std::slice::from_ref(&elsewhere)), Some(Weights::ShippedWide)));
        assert!(of_their_room(&[wide.clone(), elsewhere]).is_none());
        assert!(of_their_room(&[own.clone(), wide]).is_none());
        assert!(of_their_room(&[own, ("b".to_owned(), None)]).is_none());
        assert!(of_their_room(&[]).is_none());
    }
}
