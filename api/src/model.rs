//! What the weights of the network say about themselves.

/// A network's card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCard {
    /// Name and version, as in the provenance of frames.
    pub name: String,
    /// On what it was trained, in a sentence.
    pub trained_on: String,
    /// Commit of the repository that trained it, or `unknown`.
    pub commit: String,
    /// Distinct windows that it was trained on.
    pub windows: u64,
    /// Trained numbers.
    pub parameters: u64,
    /// Persons that it tells apart, at most.
    pub persons: u64,
    /// How well it did on scenes that it was not trained on.
    pub evaluations: Vec<ModelEvaluation>,
}

/// How well a network did on validation scenes with so many people, beside answers that are always the same. What was not measured is
/// `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelEvaluation {
    /// In rooms that it was trained in, with other people and motions; else in rooms that it was not trained in.
    pub seen_room: bool,
    /// People in the room.
    pub people: u64,
    /// Mean distance of joints from the truth, millimetres.
    pub mpjpe_mm: Option<f64>,
    /// The same of the training scenes' mean position and mean pose.
    pub mean_position_mpjpe_mm: Option<f64>,
    /// Mean distance of joints from the truth with both put at the same root, millimetres.
    pub root_relative_mm: Option<f64>,
    /// The same of the training scenes' mean pose.
    pub mean_pose_root_relative_mm: Option<f64>,
    /// Share of the people who are found, 0..1.
    pub recall: Option<f64>,
    /// Persons an hour who are not there, over all numbers of people.
    pub false_persons_per_hour: Option<f64>,
}

impl ModelEvaluation {
    /// Better than answering the same all the time: where people are, and how they hold themselves.
    pub fn beats_mean(&self) -> bool {
        let less = |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| a < b);
        less(self.mpjpe_mm, self.mean_position_mpjpe_mm)
            && less(self.root_relative_mm, self.mean_pose_root_relative_mm)
    }
}
