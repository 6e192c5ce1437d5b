//! A link's features over time.

use super::{Binned, Reference, STEPS, block};

/// Turns one link's packets, step by step at [`super::RATE_HZ`], into the network's features.
#[derive(Clone, Debug)]
pub struct FeatureTrack {
    reference: Reference,
    steps: Vec<block::Step>,
}

impl FeatureTrack {
    /// An empty track of a link with this quiet-room reference.
    pub fn new(reference: Reference) -> Self {
        Self { reference, steps: Vec::new() }
    }

    /// Adds the next step. A packet that has nothing in common with the quiet room counts as not received.
    pub fn push(&mut self, packet: Option<Binned>) {
        let mut deviation = [0.0; block::VALUES];
        let heard = packet.is_some_and(|p| self.reference.write_deviation(&p, &mut deviation));
        self.steps.push(block::step(heard.then_some(&deviation)));
    }

    /// All whole blocks from the first step on, `[block][FEATURES]`.
    pub fn blocks(&self) -> Vec<f32> {
        block::blocks(&self.steps)
    }

    /// The steps so far.
    #[cfg(feature = "nn")]
    pub(crate) fn into_steps(mut self) -> Vec<block::Step> {
        // Trainings hold hours of them.
        self.steps.shrink_to_fit();
        self.steps
    }

    /// Steps among the last [`STEPS`] that hold a packet.
    pub fn received(&self) -> usize {
        let last = &self.steps[self.steps.len().saturating_sub(STEPS)..];
        last.iter().filter(|s| block::received(s)).count()
    }
}
