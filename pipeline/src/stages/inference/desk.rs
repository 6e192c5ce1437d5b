//! Another network for a pipeline that runs.

use std::collections::HashSet;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::PoseModel;

/// A model that takes the place of the one in use.
pub struct Replacement {
    /// Ready to look at windows.
    pub model: Box<dyn PoseModel>,
    /// Identifiers of the sites on which an evaluation shows that it beats the mean pose.
    pub calibrated: HashSet<String>,
}

/// Where a [`Replacement`] waits for the inference stage, which takes it between two batches: no window is lost.
#[derive(Clone)]
pub struct ModelDesk {
    give: Sender<Replacement>,
    take: Receiver<Replacement>,
}

impl Default for ModelDesk {
    fn default() -> Self {
        let (give, take) = bounded(1);
        Self { give, take }
    }
}

impl ModelDesk {
    /// Puts a model there; one that still waits is thrown away.
    pub fn replace(&self, mut new: Replacement) {
        while let Err(full) = self.give.try_send(new) {
            new = full.into_inner();
            self.take();
        }
    }

    pub(super) fn take(&self) -> Option<Replacement> {
        self.take.try_recv().ok()
    }
}
