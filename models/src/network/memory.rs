//! What is left of a window for later windows of the same site, and what the network makes of it: who sat down ten seconds
//! ago still faces the way they did.
//!
//! A window leaves a few numbers that follow from it alone, so a window's answer depends on nothing that is older than the
//! last of its [`EARLIER`] windows.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor, TensorData, activation::relu},
};
use invispose_kernels::cpu::{Dense, Finish};

use super::on_cpu::{relu as relu_of, rows};
use crate::input::{EARLIER, Earlier};

/// The layers.
#[derive(Module, Debug)]
pub(super) struct Remembering {
    keep: Linear,
    recall: Linear,
}

/// Where the windows before those of a batch are.
#[derive(Clone, Debug)]
pub(crate) enum Before {
    /// Looked at before: what was left of them.
    Left(Vec<Earlier>),
    /// In the batch: their numbers.
    Within(Vec<[Option<usize>; EARLIER]>),
}

/// Numbers of an earlier window: what is left of it, and whether there is one.
const fn each(width: usize) -> usize {
    width + 1
}

impl Remembering {
    /// With the trunk's block, which looks at the window alone first.
    pub fn multiply_adds(width: usize, trunk: usize) -> usize {
        2 * trunk * trunk + trunk * width + EARLIER * each(width) * trunk
    }

    pub fn new(width: usize, trunk: usize, device: &Device) -> Self {
        Self {
            keep: LinearConfig::new(trunk, width).init(device),
            recall: LinearConfig::new(EARLIER * each(width), trunk).init(device),
        }
    }

    /// The layers that make what is left and take in what was left.
    pub fn layers(&self) -> (&Linear, &Linear) {
        (&self.keep, &self.recall)
    }

    /// What is left of windows by their codes alone, `[windows, trunk]` to `[windows, width]`.
    pub fn left(&self, alone: Tensor<2>) -> Tensor<2> {
        relu(self.keep.forward(relu(alone)))
    }

    /// What was left of the windows before, for codes `[windows, trunk]` to be added to; `left` is of the batch's windows.
    pub fn recalled(&self, left: &Tensor<2>, before: &Before) -> Tensor<2> {
        let ([windows, width], device) = (left.dims(), left.device());
        let earlier = match before {
            Before::Left(earlier) => {
                let rows: Vec<f32> = earlier.iter().flat_map(|e| row(e, width)).collect();
                Tensor::from_data(TensorData::new(rows, [windows, EARLIER * each(width)]), &device)
            }
            Before::Within(before) => {
                let known = Tensor::cat(vec![left.clone(), Tensor::ones([windows, 1], &device)], 1);
                let of = |i: usize| {
                    let mut which = vec![0.0f32; windows * windows];
                    for (window, before) in before.iter().enumerate() {
                        if let Some(earlier) = before[i] {
                            which[window * windows + earlier] = 1.0;
                        }
                    }
                    let which = TensorData::new(which, [windows, windows]);
                    Tensor::<2>::from_data(which, &device).matmul(known.clone())
                };
                Tensor::cat((0..EARLIER).map(of).collect(), 1)
            }
        };
        self.recall.forward(earlier)
    }
}

/// What was left of earlier windows, `[EARLIER][each]`; 0 of those that are missing or are another network's.
fn row(earlier: &Earlier, width: usize) -> Vec<f32> {
    let mut out = vec![0.0; EARLIER * each(width)];
    for (out, memory) in out.chunks_exact_mut(each(width)).zip(earlier) {
        if let Some(memory) = memory.as_ref().filter(|m| m.len() == width) {
            out[..width].copy_from_slice(memory);
            out[width] = 1.0;
        }
    }
    out
}

/// The same without tensors.
#[derive(Debug)]
pub(super) struct RememberingOnCpu {
    pub keep: Dense,
    pub recall: Dense,
}

impl RememberingOnCpu {
    /// Numbers that are left of a window.
    pub fn width(&self) -> usize {
        self.keep.outputs()
    }

    /// As [`Remembering::left`].
    pub fn left(&self, alone: &[f32]) -> Vec<f32> {
        let trunk = self.recall.outputs();
        let known: Vec<f32> = alone.iter().map(|v| relu_of(*v)).collect();
        let mut left = vec![0.0; alone.len() / trunk * self.width()];
        self.keep.apply(&rows(&known, trunk), Finish::Relu, &mut left);
        left
    }

    /// Adds what was left of the windows before to codes `[windows][trunk]`.
    pub fn recall<'a>(&self, site: &mut [f32], earlier: impl Iterator<Item = &'a Earlier>) {
        let earlier: Vec<f32> = earlier.flat_map(|e| row(e, self.width())).collect();
        self.recall.apply(&rows(&earlier, EARLIER * each(self.width())), Finish::Added, site);
    }
}
