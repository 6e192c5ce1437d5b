//! A network that learns, step by step.

use burn::{
    grad_clipping::GradientClippingConfig,
    module::Module,
    optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    tensor::{Device, Tensor},
};

use super::{TrainError, loss, whitening::Whitening, windows::Picture};
use crate::{data::Person, network::PoseNetwork};

pub(super) struct Learner {
    /// Sees whitened features.
    pub network: PoseNetwork,
    whitening: Whitening,
    pub optimiser: ModuleOptimizer,
    pub device: Device,
}

impl Learner {
    /// Of a network that sees whitened features, on a device that keeps track of gradients.
    pub fn new(network: PoseNetwork, whitening: Whitening, weight_decay: f32, device: Device) -> Self {
        let optimiser = AdamWConfig::new()
            .with_weight_decay(weight_decay)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        Self { network, whitening, optimiser, device }
    }

    /// Makes step number `step`; gives the loss before it, and presence cross-entropy, root and pose error (metres, mean over
    /// coordinates).
    pub fn step(
        mut self,
        picture: Picture,
        learning_rate: f64,
        step: u64,
    ) -> Result<(Self, [f32; 4]), TrainError> {
        let persons: Vec<&[Person]> = picture.persons.iter().map(Vec::as_slice).collect();
        let (outputs, trail) =
            self.network.forward_with_encoder(picture.batch, |w, b| self.whitening.for_features(w, b));
        let plain: Vec<f32> = outputs
            .clone()
            .inner()
            .try_into_data()
            .map_err(|e| TrainError::Device(e.to_string()))?
            .iter::<f32>()
            .collect();
        let assignments = loss::assign(&plain, &persons, &picture.rooms);
        let mut loss = loss::loss(outputs, &persons, &picture.rooms, &assignments, &self.device);
        loss.total = loss.total
            + loss::trail(trail, &picture.trails, &picture.rooms, &assignments, &self.device)
                .mul_scalar(loss::TRAIL_WEIGHT);
        let read = |t: Tensor<1>| -> Result<Vec<f32>, TrainError> {
            Ok(t.inner()
                .try_into_data()
                .map_err(|e| TrainError::Device(e.to_string()))?
                .iter::<f32>()
                .collect())
        };
        let now: Vec<f32> = read(loss.total.clone())?.into_iter().chain(read(loss.parts)?).collect();
        let &[total, presence, root, pose] = now.as_slice() else { return Err(TrainError::Diverged(step)) };
        if !total.is_finite() {
            return Err(TrainError::Diverged(step));
        }
        let gradients = GradientsParams::from_grads(loss.total.backward(), &self.network);
        self.network = self.optimiser.step(learning_rate, self.network, gradients);
        Ok((self, [total, presence, root, pose]))
    }

    /// What was learned, as a network that sees features as they are.
    pub fn finished(&self) -> PoseNetwork {
        self.whitening.taken_in(self.network.clone()).valid()
    }
}
