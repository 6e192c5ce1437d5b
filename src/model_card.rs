//! The card of the network's weights, as the API shows it.

use invispose_api::{ModelCard, ModelEvaluation};
use invispose_models::predictor::Predictor;
use invispose_models::weights;

/// Of a network that is loaded.
pub fn of(predictor: &Predictor) -> ModelCard {
    let (card, about) = (predictor.card(), predictor.describe());
    let counts = 1..=about.persons;
    let places = [("demo", true), ("random", false)];
    let all = places.into_iter().flat_map(|place| counts.clone().map(move |people| (place, people)));
    ModelCard {
        evaluations: all.filter_map(|((name, seen), people)| evaluation(card, name, seen, people)).collect(),
        name: about.model,
        trained_on: about.trained_on,
        commit: about.commit,
        windows: card.windows,
        parameters: about.parameters as u64,
        persons: about.persons as u64,
    }
}

fn evaluation(
    card: &weights::ModelCard,
    place: &str,
    seen_room: bool,
    people: usize,
) -> Option<ModelEvaluation> {
    let figure = |name: &str| card.metrics.get(&format!("{place}_{people}_{name}")).copied();
    Some(ModelEvaluation {
        seen_room,
        people: people as u64,
        mpjpe_mm: Some(figure("mpjpe_mm")?),
        mean_position_mpjpe_mm: figure("mean_position_mpjpe_mm"),
        root_relative_mm: figure("root_relative_mm"),
        mean_pose_root_relative_mm: figure("mean_pose_root_relative_mm"),
        recall: figure("recall"),
        false_persons_per_hour: card.metrics.get(&format!("{place}_false_persons_per_hour")).copied(),
    })
}
