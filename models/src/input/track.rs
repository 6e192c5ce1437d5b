//! A link's features over time.

use super::{FEATURES, Moments, Reference, STEPS};

/// Turns one link's packets, step by step at [`super::RATE_HZ`], into the network's features. A step without a packet
/// repeats the last one and says so in the mask.
#[derive(Clone, Debug)]
pub struct FeatureTrack {
    reference: Reference,
    /// `[step][FEATURES]`.
    features: Vec<f32>,
}

impl FeatureTrack {
    /// An empty track of a link with this quiet-room reference.
    pub fn new(reference: Reference) -> Self {
        Self { reference, features: Vec::new() }
    }

    /// Adds the next step.
    pub fn push(&mut self, packet: Option<Moments>) {
        let at = self.features.len();
        self.features.resize(at + FEATURES, 0.0);
        let (before, now) = self.features.split_at_mut(at);
        match packet {
            Some(moments) => {
                moments.write_deviation(&self.reference.moments, &mut now[..FEATURES - 1]);
                now[FEATURES - 1] = 1.0;
            }
            None if at > 0 => now[..FEATURES - 1].copy_from_slice(&before[at - FEATURES..at - 1]),
            None => {}
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.features.len() / FEATURES
    }

    /// The window of [`STEPS`] steps that ends before step `end`, all of it within the track, `[STEPS][FEATURES]`.
    pub fn slice(&self, end: usize) -> &[f32] {
        &self.features[(end - STEPS) * FEATURES..end * FEATURES]
    }

    /// The window of [`STEPS`] steps that ends before step `end`, `[STEPS][FEATURES]`; steps before the track's start
    /// are zero (not received).
    pub fn window(&self, end: usize) -> Vec<f32> {
        let mut out = vec![0.0; STEPS * FEATURES];
        let end = end.min(self.steps());
        let from = end.saturating_sub(STEPS);
        out[(STEPS - (end - from)) * FEATURES..]
            .copy_from_slice(&self.features[from * FEATURES..end * FEATURES]);
        out
    }
}
