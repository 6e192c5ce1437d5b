//! A network that learns, step by step.

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer},
    tensor::{Device, Tensor},
};
use rayon::prelude::*;

use super::{TrainError, descent, loss, whitening::Whitening, windows::Picture};
use crate::{
    data::Person,
    network::{Answer, PoseNetwork, Precision},
};

pub(super) struct Learner {
    /// Sees whitened features.
    pub network: PoseNetwork,
    whitening: Whitening,
    pub optimiser: ModuleOptimizer,
    pub device: Device,
    precision: Precision,
}

impl Learner {
    /// Of a network that sees whitened features, on a device that keeps track of gradients.
    pub fn new(
        network: PoseNetwork,
        whitening: Whitening,
        weight_decay: f32,
        precision: Precision,
        device: Device,
    ) -> Self {
        let optimiser = descent::optimiser(weight_decay, &device);
        Self { network, whitening, optimiser, device, precision }
    }

    /// Makes step number `step` by the mean gradient of these windows' parts, all of the same size but perhaps the last; gives
    /// the loss before it, and presence cross-entropy, root and pose error (metres, mean over coordinates).
    pub fn step(
        mut self,
        pictures: Vec<Picture>,
        learning_rate: f64,
        step: u64,
    ) -> Result<(Self, [f32; 4]), TrainError> {
        let windows: usize = pictures.iter().map(|p| p.persons.len()).sum();
        let learned: Vec<_> = pictures
            .into_par_iter()
            .map(|picture| {
                let share = picture.persons.len() as f32 / windows as f32;
                // Parameters of their own: gradients of one graph would wait for each other.
                self.gradients(self.network.clone().fork(&self.device), picture, share)
            })
            .collect::<Result<_, _>>()?;
        let (mut sum, mut now) = (GradientsAccumulator::new(), [0.0; 4]);
        for (gradients, parts) in learned {
            sum.accumulate(&self.network, gradients);
            now.iter_mut().zip(parts).for_each(|(n, p)| *n += p);
        }
        if !now[0].is_finite() {
            return Err(TrainError::Diverged(step));
        }
        self.network = self.optimiser.step(learning_rate, self.network, sum.grads());
        Ok((self, now))
    }

    /// The gradients of a part of the windows, and its loss and errors, all times its share.
    fn gradients(
        &self,
        network: PoseNetwork,
        picture: Picture,
        share: f32,
    ) -> Result<(GradientsParams, [f32; 4]), TrainError> {
        let Picture { batch, persons, trails, rooms } = picture;
        let persons: Vec<&[Person]> = persons.iter().map(Vec::as_slice).collect();
        let mut now = [f32::NAN; 4];
        let loss = |answer: Answer| {
            let assignments = loss::assign(&numbers(answer.slots.clone())?, &persons, &rooms);
            let loss = loss::loss(answer.slots, &persons, &rooms, &assignments, &self.device);
            let trail = loss::trail(answer.trail, &trails, &rooms, &assignments, &self.device);
            let total = (loss.total + trail.mul_scalar(loss::TRAIL_WEIGHT)).mul_scalar(share);
            let parts = numbers(Tensor::cat(vec![total.clone(), loss.parts.mul_scalar(share)], 0))?;
            now.iter_mut().zip(parts).for_each(|(n, p)| *n = p);
            Ok::<_, TrainError>(total)
        };
        let whitened = |w, b| self.whitening.for_features(w, b);
        let gradients = network.gradients(batch, whitened, self.precision, loss)?;
        Ok((gradients, now))
    }

    /// What was learned, on the CPU, as a network that sees features as they are.
    pub fn finished(&self) -> PoseNetwork {
        self.whitening.taken_in(self.network.clone()).valid().to_device(&Device::flex())
    }
}

/// A tensor's numbers, without its gradients.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, TrainError> {
    let data = tensor.inner().try_into_data().map_err(|e| TrainError::Device(e.to_string()))?;
    Ok(data.iter::<f32>().collect())
}
