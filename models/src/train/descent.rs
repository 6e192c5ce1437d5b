//! AdamW with clipped gradients, in one pass over the numbers of each parameter.
//!
//! burn's own takes some twenty passes, each through memory: a third of a training step on a CPU. On other devices they cost less than
//! to fetch the numbers.

use burn::{
    grad_clipping::GradientClippingConfig,
    optim::{AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, ModuleOptimizer, Optimizer},
    tensor::{Device, Tensor, TensorData},
};
use rayon::prelude::*;

use crate::network::is_cpu;

/// Decay of the means of gradients and of their squares, and what is added to the latter's root.
const BETA: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-5;
/// A parameter's gradient is shortened to this length.
const LONGEST: f64 = 1.0;
/// A smaller mean of gradients is none: of weights that learn nothing it would shrink to numbers that a processor is slow with.
const LEAST: f32 = 1e-30;
/// Numbers that a thread takes at once.
const PART: usize = 1 << 14;

/// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019) for parameters on a device, with the same state on any.
pub(super) fn optimiser(weight_decay: f32, device: &Device) -> ModuleOptimizer {
    if is_cpu(device) { Descent { weight_decay }.into() } else { library(weight_decay) }
}

fn library(weight_decay: f32) -> ModuleOptimizer {
    let clipping = GradientClippingConfig::Norm(LONGEST as f32);
    let [first, second] = BETA;
    let config = AdamWConfig::new().with_beta_1(first).with_beta_2(second).with_epsilon(EPSILON);
    config.with_weight_decay(weight_decay).with_grad_clipping(Some(clipping)).init()
}

#[derive(Clone)]
struct Descent {
    weight_decay: f32,
}

impl Optimizer for Descent {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let device = tensor.device();
        let old = state.map(|s| s.momentum);
        let time = old.as_ref().map_or(0, |s| s.time) + 1;
        let nothing = || TensorData::zeros::<f32, _>(tensor.shape());
        let (mut m, mut v) = old.map_or_else(
            || (nothing(), nothing()),
            |s| (s.moment_1.into_data_as::<f32>(), s.moment_2.into_data_as::<f32>()),
        );
        let (mut w, g) = (tensor.into_data_as::<f32>(), grad.into_data_as::<f32>());
        let change = Change {
            rate: lr as f32,
            keep: 1.0 - lr as f32 * self.weight_decay,
            corrections: BETA.map(|b| 1.0 / (1.0 - b.powi(time as i32))),
        };
        change.make(numbers(&mut w), g.as_slice().unwrap_or_default(), numbers(&mut m), numbers(&mut v));
        let tensor = |data| Tensor::from_data(data, &device);
        let momentum = AdaptiveMomentumState::new(time, tensor(m), tensor(v));
        (tensor(w), Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

/// The numbers of data that holds f32.
fn numbers(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().unwrap_or_default()
}

struct Change {
    rate: f32,
    keep: f32,
    corrections: [f32; 2],
}

impl Change {
    /// Moves `w` against the gradient `g`, whose moments are `m` and `v`.
    fn make(&self, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        // Parts of one size, added up in order: the same sum on any number of cores.
        let squares: Vec<f64> =
            g.par_chunks(PART).map(|g| g.iter().map(|g| f64::from(*g).powi(2)).sum()).collect();
        let shorter = (LONGEST / (squares.iter().sum::<f64>().sqrt() + f64::MIN_POSITIVE)).min(1.0) as f32;
        let parts = w
            .par_chunks_mut(PART)
            .zip(g.par_chunks(PART))
            .zip(m.par_chunks_mut(PART).zip(v.par_chunks_mut(PART)));
        parts.for_each(|((w, g), (m, v))| {
            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                let g = g * shorter;
                let mean = *m * BETA[0] + g * (1.0 - BETA[0]);
                let square = *v * BETA[1] + g * g * (1.0 - BETA[1]);
                *m = if mean.abs() < LEAST { 0.0 } else { mean };
                *v = if square < LEAST { 0.0 } else { square };
                let [first, second] = self.corrections;
                *w = *w * self.keep - self.rate * (*m * first) / ((*v * second).sqrt() + EPSILON);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::{
        module::Module,
        nn::{Linear, LinearConfig},
        optim::GradientsParams,
    };

    use super::*;

    /// A layer after twenty steps, gradients clipped in some of them.
    fn learned(mut optimiser: ModuleOptimizer) -> Vec<f32> {
        let device = Device::flex().autodiff();
        let number = |i: usize| (i as f32 * 0.37).sin();
        let data = |n: usize, shape: [usize; 2]| TensorData::new((0..n).map(number).collect(), shape);
        let mut layer: Linear = LinearConfig::new(7, 5).init(&device);
        layer.weight = layer.weight.map(|w| Tensor::from_data(data(35, [7, 5]), &w.device()).require_grad());
        layer.bias = layer.bias.map(|b| b.map(|b| Tensor::zeros([5], &b.device()).require_grad()));
        let x = Tensor::<2>::from_data(data(21, [3, 7]), &device);
        for step in 0..20 {
            let loss = layer.forward(x.clone()).square().sum().mul_scalar(0.02 * step as f32);
            let gradients = GradientsParams::from_grads(loss.backward(), &layer);
            layer = optimiser.step(0.01, layer, gradients);
        }
        let layer = layer.valid();
        let bias = layer.bias.unwrap().val().into_data_as::<f32>().try_to_vec().unwrap();
        [layer.weight.val().into_data_as::<f32>().try_to_vec().unwrap(), bias].concat()
    }

    #[test]
    fn it_moves_as_the_library_s_does() {
        let ours = learned(optimiser(0.02, &Device::flex().autodiff()));
        let library = learned(library(0.02));
        assert!(ours.iter().zip(&library).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {library:?}");
        assert!(ours.iter().any(|w| *w != 0.0));
    }
}
