//! Networks, what their weights say about themselves, and where they look, as GraphQL objects.

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::scalars::Count;
use super::types::Source;
use crate::view::decimal;
use crate::{ApiState, ModelCard, ModelEvaluation};

/// A network, and where it looked at the newest frame.
#[derive(SimpleObject)]
struct Model {
    /// Name and version.
    name: String,
    /// Sites whose newest frame it looked at.
    sites: Vec<ModelSite>,
    /// What its weights say about themselves; null where it ran elsewhere, as for a recording's poses.
    card: Option<Card>,
}

/// A site, as far as a network is concerned.
#[derive(SimpleObject)]
struct ModelSite {
    /// The site.
    site_id: ID,
    /// Where the packets came from.
    source: Source,
    /// An evaluation on this very site showed that the model beats the mean pose.
    calibrated: bool,
    /// Poses are shown without such an evaluation, because the operator asked for them.
    experimental: bool,
}

/// What the weights of a network say about themselves.
#[derive(SimpleObject)]
#[graphql(name = "ModelCard")]
struct Card {
    /// On what it was trained, in a sentence.
    trained_on: String,
    /// Commit of the repository that trained it, or `unknown`.
    commit: String,
    /// Distinct windows that it was trained on.
    windows: Count,
    /// Trained numbers.
    parameters: Count,
    /// Persons that it tells apart, at most.
    persons: Count,
    /// How well it did on scenes that it was not trained on.
    evaluations: Vec<Evaluation>,
}

impl From<&ModelCard> for Card {
    fn from(card: &ModelCard) -> Self {
        Self {
            trained_on: card.trained_on.clone(),
            commit: card.commit.clone(),
            windows: Count(card.windows),
            parameters: Count(card.parameters),
            persons: Count(card.persons),
            evaluations: card.evaluations.iter().map(Evaluation::from).collect(),
        }
    }
}

/// How well a network did on validation scenes with so many people, beside answers that are always the same. What was not measured is null.
#[derive(SimpleObject)]
#[graphql(name = "ModelEvaluation")]
struct Evaluation {
    /// In rooms that it was trained in, with other people and motions; else in rooms that it was not trained in.
    seen_room: bool,
    /// People in the room.
    people: Count,
    /// Mean distance of joints from the truth, millimetres.
    mpjpe_mm: Option<f64>,
    /// The same of the training scenes' mean position and mean pose.
    mean_position_mpjpe_mm: Option<f64>,
    /// Mean distance of joints from the truth with both put at the same root, millimetres.
    root_relative_mm: Option<f64>,
    /// The same of the training scenes' mean pose.
    mean_pose_root_relative_mm: Option<f64>,
    /// Share of the people who are found, 0..1.
    recall: Option<f64>,
    /// Persons an hour who are not there, over all numbers of people.
    false_persons_per_hour: Option<f64>,
    /// Better than answering the same all the time: where people are, and how they hold themselves.
    beats_mean: bool,
}

impl From<&ModelEvaluation> for Evaluation {
    fn from(e: &ModelEvaluation) -> Self {
        let rounded = |figure: Option<f64>| figure.map(|f| decimal(f as f32));
        Self {
            seen_room: e.seen_room,
            people: Count(e.people),
            mpjpe_mm: rounded(e.mpjpe_mm),
            mean_position_mpjpe_mm: rounded(e.mean_position_mpjpe_mm),
            root_relative_mm: rounded(e.root_relative_mm),
            mean_pose_root_relative_mm: rounded(e.mean_pose_root_relative_mm),
            recall: rounded(e.recall),
            false_persons_per_hour: rounded(e.false_persons_per_hour),
            beats_mean: e.beats_mean(),
        }
    }
}

/// Queries over networks.
#[derive(Default)]
pub(crate) struct Models;

#[Object]
impl Models {
    /// The networks that looked at the newest frames.
    async fn models(&self, ctx: &Context<'_>) -> Result<Vec<Model>> {
        let state = ctx.data::<ApiState>()?;
        let mut models: Vec<Model> = Vec::new();
        for site in state.sites() {
            let Some(frame) = site.latest() else { continue };
            let provenance = &frame.provenance;
            let Some(name) = provenance.model.as_deref() else { continue };
            let of = ModelSite {
                site_id: site.config().id.clone().into(),
                source: provenance.source.into(),
                calibrated: provenance.calibrated,
                experimental: provenance.experimental,
            };
            match models.iter_mut().find(|m| m.name == name) {
                Some(model) => model.sites.push(of),
                None => {
                    let card = state.model().filter(|card| card.name == name).map(|card| Card::from(&*card));
                    models.push(Model { name: name.to_owned(), sites: vec![of], card });
                }
            }
        }
        Ok(models)
    }
}
