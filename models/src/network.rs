//! The pose network: what the links saw in, a set of persons out.
//!
//! One encoder is shared by all links and told by geometry and quiet-room channel which link it looks at; for every block of
//! time the links' codes are averaged, so any number of them in any order will do (Zaheer et al., "Deep Sets", 2017). Each span
//! of two blocks tells where the persons were at its end, which is learned too: a window teaches five positions, not one.
//! Some networks also add, over the floor, what each link says of the lengths of paths ([`multilateration`]), and some are shown what was
//! left of earlier windows of the site ([`memory`]).
//! A trunk turns the window's spans into [`SLOTS`] person slots (set prediction as in Carion et al., "End-to-End Object
//! Detection with Transformers", 2020). Everything is a matrix product, which is what burn's CPU backend does best.

mod memory;
mod multilateration;
mod on_cpu;

use burn::{
    module::Module,
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Device, Tensor, TensorData, activation::relu, module::linear},
};

pub(crate) use memory::Before;
pub(crate) use on_cpu::CpuNetwork;

use self::{
    memory::Remembering,
    multilateration::{Floors, Multilateration},
};
use crate::input::{BLOCKS, EARLIER, FEATURES, FIXED, Input, floor_centre};

/// Persons that the network can report.
pub const SLOTS: usize = 3;
/// Keypoints of a person.
pub const JOINTS: usize = 17;
/// Activities told apart.
pub const ACTIVITIES: usize = 6;
/// Numbers per slot, see [`Slot`].
pub const OUTPUTS: usize = 1 + 3 + 1 + 3 * JOINTS + JOINTS + ACTIVITIES;

/// Blocks merged into a span (400 ms).
pub(crate) const MERGE: usize = 2;
/// Spans of a window.
pub(crate) const SPANS: usize = BLOCKS / MERGE;
/// Coordinates of all slots' roots.
const ROOTS: usize = 3 * SLOTS;

/// Widths of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Code of what does not change with time.
    pub fixed: usize,
    /// First code of a link's block.
    pub encode: usize,
    /// Second code of a link's block.
    pub block: usize,
    /// Code of a span of blocks of all links.
    pub span: usize,
    /// Code of the site.
    pub trunk: usize,
    /// Whether places are told by the lengths of the paths over them too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multilateration: bool,
    /// Numbers that a window leaves for later ones; 0 for a network that sees every window alone.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(width: &usize) -> bool {
    *width == 0
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { fixed: 64, encode: 256, block: 256, span: 192, trunk: 320, multilateration: false, memory: 0 }
    }
}

impl NetworkConfig {
    /// Multiply-adds of the matrix products for one window with this many links.
    pub fn multiply_adds(&self, links: usize) -> usize {
        let per_link = FIXED * self.fixed
            + self.fixed * 2 * (self.encode + self.block)
            + BLOCKS * (FEATURES * self.encode + self.encode * self.block);
        let site = SPANS * MERGE * self.block * self.span
            + SPANS * (self.span * ROOTS + (self.span + ROOTS) * self.trunk)
            + 2 * self.trunk * self.trunk
            + self.trunk * SLOTS * OUTPUTS;
        let paths = if self.multilateration { Multilateration::multiply_adds(self.block) } else { 0 };
        let before = if self.memory > 0 { Remembering::multiply_adds(self.memory, self.trunk) } else { 0 };
        links * (per_link + paths) + site + before
    }

    /// Windows of a site that it looks at together.
    pub(crate) fn together(&self) -> usize {
        if self.memory > 0 { 1 + EARLIER } else { 1 }
    }

    /// The widths, for checks.
    pub(crate) fn widths(&self) -> [usize; 5] {
        [self.fixed, self.encode, self.block, self.span, self.trunk]
    }

    /// A freshly initialised network.
    pub fn init(&self, device: &Device) -> PoseNetwork {
        let linear = |i, o| LinearConfig::new(i, o).init(device);
        PoseNetwork {
            fixed: linear(FIXED, self.fixed),
            encode: linear(FEATURES, self.encode),
            encode_modulation: linear(self.fixed, 2 * self.encode),
            block: linear(self.encode, self.block),
            block_modulation: linear(self.fixed, 2 * self.block),
            span: linear(MERGE * self.block, self.span),
            trail: linear(self.span, ROOTS),
            trunk: linear(SPANS * (self.span + ROOTS), self.trunk),
            trunk_block: Residual::new(self.trunk, device),
            multilateration: self.multilateration.then(|| Multilateration::new(self.block, device)),
            memory: (self.memory > 0).then(|| Remembering::new(self.memory, self.trunk, device)),
            head: linear(self.trunk, SLOTS * OUTPUTS),
        }
    }
}

/// `x + W₂ relu(W₁ norm(x))`.
#[derive(Module, Debug)]
struct Residual {
    norm: LayerNorm,
    inner: Linear,
    outer: Linear,
}

impl Residual {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            norm: LayerNormConfig::new(width).init(device),
            inner: LinearConfig::new(width, width).init(device),
            outer: LinearConfig::new(width, width).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let inner = relu(self.inner.forward(self.norm.forward(x.clone())));
        x + self.outer.forward(inner)
    }
}

/// The network's weights.
#[derive(Module, Debug)]
pub struct PoseNetwork {
    fixed: Linear,
    encode: Linear,
    encode_modulation: Linear,
    block: Linear,
    block_modulation: Linear,
    span: Linear,
    trail: Linear,
    trunk: Linear,
    trunk_block: Residual,
    multilateration: Option<Multilateration>,
    memory: Option<Remembering>,
    head: Linear,
}

/// Windows of several sites as tensors. The links of all windows lie one after the other.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[links of all windows, BLOCKS, FEATURES]`.
    features: Tensor<3>,
    /// `[links of all windows, FIXED]`.
    fixed: Tensor<2>,
    /// `[windows, links of all windows]`: averages a window's links.
    gather: Tensor<2>,
    floors: Floors,
    before: Before,
}

impl Batch {
    /// Collects inputs.
    pub fn new(inputs: &[Input], device: &Device) -> Self {
        let links = inputs.iter().map(|i| i.links.len());
        let features =
            inputs.iter().flat_map(|i| &i.links).flat_map(|l| l.features.iter().copied()).collect();
        let fixed = inputs.iter().flat_map(|i| &i.links).flat_map(|l| l.fixed.iter().copied()).collect();
        let before = Before::Left(inputs.iter().map(|i| i.earlier.clone()).collect());
        Self::from_parts(features, fixed, &links.collect::<Vec<_>>(), before, device)
    }

    /// From the features `[link][BLOCKS][FEATURES]` and fixed features `[link][FIXED]` of all windows' links in order, the
    /// number of links of each window, and the windows before.
    pub(crate) fn from_parts(
        features: Vec<f32>,
        fixed: Vec<f32>,
        links: &[usize],
        before: Before,
        device: &Device,
    ) -> Self {
        let shape = Self::features_shape(links.iter().sum());
        let features = Tensor::from_data(TensorData::new(features, shape), device);
        Self::with_features(features, fixed, links, before, device)
    }

    /// Shape of the features of so many links.
    pub(crate) fn features_shape(links: usize) -> [usize; 3] {
        [links, BLOCKS, FEATURES]
    }

    /// As [`Self::from_parts`], from features that are a tensor of [`Self::features_shape`].
    pub(crate) fn with_features(
        features: Tensor<3>,
        fixed: Vec<f32>,
        links: &[usize],
        before: Before,
        device: &Device,
    ) -> Self {
        let (windows, total) = (links.len(), links.iter().sum::<usize>());
        let mut gather = vec![0.0f32; windows * total];
        let mut at = 0;
        for (window, &n) in links.iter().enumerate() {
            for link in at..at + n {
                gather[window * total + link] = 1.0 / n as f32;
            }
            at += n;
        }
        Self {
            features,
            floors: Floors::new(&fixed, links),
            fixed: Tensor::from_data(TensorData::new(fixed, [total, FIXED]), device),
            gather: Tensor::from_data(TensorData::new(gather, [windows, total]), device),
            before,
        }
    }
}

/// What the network says of windows.
pub(crate) struct Answer {
    /// `[windows, SLOTS, OUTPUTS]`, see [`Slot`].
    pub slots: Tensor<3>,
    /// Where each slot's root was at the end of each span as far as the span alone tells, `[windows, SPANS, SLOTS * 3]` in the
    /// units of [`Slot::ROOT`].
    pub trail: Tensor<3>,
    /// What is left of them for later windows, `[windows, memory]`.
    left: Option<Tensor<2>>,
}

impl PoseNetwork {
    /// `[windows, SLOTS * OUTPUTS + memory]`: all slots ([`Slot`]), and what is left of the window.
    pub fn forward(&self, batch: Batch) -> Tensor<2> {
        let answer = self.forward_encoded(batch, |features| self.encode.forward(features));
        let [windows, ..] = answer.slots.dims();
        let slots = answer.slots.reshape([windows, SLOTS * OUTPUTS]);
        match answer.left {
            Some(left) => Tensor::cat(vec![slots, left], 1),
            None => slots,
        }
    }

    /// As [`Self::forward_encoded`], by a first layer of other weights, as [`Self::with_encoder`] has them.
    pub(crate) fn forward_with_encoder(
        &self,
        batch: Batch,
        other: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
    ) -> Answer {
        let (weight, bias) = other(self.encode.weight.val(), bias(&self.encode));
        self.forward_encoded(batch, |features| linear(features, weight, Some(bias)))
    }

    /// The network with another first layer, made from its weights `[FEATURES, encode]` and bias.
    pub(crate) fn with_encoder(
        mut self,
        other: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
    ) -> Self {
        let (weight, bias) = other(self.encode.weight.val(), bias(&self.encode));
        self.encode.weight = self.encode.weight.map(|old| in_place_of(old, weight));
        self.encode.bias = self.encode.bias.map(|b| b.map(|old| in_place_of(old, bias)));
        self
    }

    /// By this first layer.
    fn forward_encoded(&self, batch: Batch, encode: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Answer {
        let fixed = relu(self.fixed.forward(batch.fixed));
        let code = modulated(encode(batch.features), &self.encode_modulation, &fixed);
        let code = modulated(self.block.forward(code), &self.block_modulation, &fixed);
        let [links, blocks, width] = code.dims();
        let located = self.multilateration.as_ref().map(|m| m.forward(code.clone(), &batch.floors));
        let site = batch.gather.matmul(code.reshape([links, blocks * width]));
        let windows = site.dims()[0];
        let span = relu(self.span.forward(site.reshape([windows, blocks / MERGE, MERGE * width])));
        let trail = self.trail.forward(span.clone());
        let trail = match &located {
            Some(located) => trail + located.clone(),
            None => trail,
        };
        let span = Tensor::cat(vec![span, trail.clone()], 2);
        let [_, spans, width] = span.dims();
        let site = self.trunk.forward(span.reshape([windows, spans * width]));
        let (site, left) = match &self.memory {
            Some(memory) => {
                let left = memory.left(self.trunk_block.forward(site.clone()));
                (site + memory.recalled(&left, &batch.before), Some(left))
            }
            None => (site, None),
        };
        let site = self.trunk_block.forward(site);
        let mut out = self.head.forward(relu(site)).reshape([windows, SLOTS, OUTPUTS]);
        if let Some(located) = located {
            let last = located.narrow(1, SPANS - 1, 1).reshape([windows, SLOTS, 3]);
            let root = out.clone().narrow(2, Slot::ROOT, 3) + last;
            out = out.slice_assign([0..windows, 0..SLOTS, Slot::ROOT..Slot::ROOT + 3], root);
        }
        Answer { slots: out, trail, left }
    }
}

/// A parameter's new value, which learns if the old one did.
fn in_place_of<const D: usize>(old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
    let new = new.detach();
    if old.is_require_grad() { new.require_grad() } else { new }
}

/// A layer's bias, which all have.
fn bias(layer: &Linear) -> Tensor<1> {
    let width = layer.weight.dims()[1];
    layer.bias.as_ref().map_or_else(|| Tensor::zeros([width], &layer.weight.device()), |b| b.val())
}

/// `relu(x · (1 + scale) + shift)` with scale and shift from what is fixed, after Perez et al., "FiLM", 2018.
fn modulated(x: Tensor<3>, modulation: &Linear, fixed: &Tensor<2>) -> Tensor<3> {
    let [links, _, width] = x.dims();
    let modulation = modulation.forward(fixed.clone()).reshape([links, 2, width]);
    let scale = modulation.clone().narrow(1, 0, 1).add_scalar(1.0);
    relu(x * scale + modulation.narrow(1, 1, 1))
}

/// One slot of the network's answer for one window, in the order of the output tensor.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a>(pub &'a [f32]);

impl Slot<'_> {
    /// Where the root starts.
    pub const ROOT: usize = 1;
    /// Where the root's log scale is.
    pub const ROOT_SCALE: usize = 4;
    /// Where the joints start.
    pub const POSE: usize = 5;
    /// Where the joints' log scales start.
    pub const SCALE: usize = Self::POSE + 3 * JOINTS;
    /// Where the activities start.
    pub const ACTIVITY: usize = Self::SCALE + JOINTS;
    /// The root is told in units of this many metres, from the middle of the room's floor.
    pub const ROOT_UNIT_M: f32 = 1.5;
    /// Joints are told in units of this many metres, from the root.
    pub const POSE_UNIT_M: f32 = 0.5;

    /// Log odds that the slot holds a person, before calibration.
    pub fn presence(&self) -> f32 {
        self.0[0]
    }

    /// The root (middle of the hips), site coordinates in metres.
    pub fn root_m(&self, room_m: [f32; 3]) -> [f32; 3] {
        let centre = floor_centre(room_m);
        std::array::from_fn(|i| centre[i] + Self::ROOT_UNIT_M * self.0[Self::ROOT + i])
    }

    /// The joints relative to the root, in metres.
    pub fn pose_m(&self) -> [[f32; 3]; JOINTS] {
        std::array::from_fn(|j| std::array::from_fn(|i| Self::POSE_UNIT_M * self.0[Self::POSE + 3 * j + i]))
    }

    /// Natural logarithm of the Laplace scale in metres of a joint's coordinates relative to the root.
    pub fn log_scale(&self, joint: usize) -> f32 {
        self.0[Self::SCALE + joint]
    }

    /// Natural logarithm of the Laplace scale in metres of the root's coordinates.
    pub fn root_log_scale(&self) -> f32 {
        self.0[Self::ROOT_SCALE]
    }

    /// The likeliest activity, an index.
    pub fn activity(&self) -> usize {
        let logits = &self.0[Self::ACTIVITY..Self::ACTIVITY + ACTIVITIES];
        (0..ACTIVITIES).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Earlier;

    pub(super) fn input(links: usize, seed: usize) -> Input {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0;
        Input {
            room_m: [5.0, 4.0, 2.5],
            links: (0..links)
                .map(|l| crate::input::LinkInput {
                    features: (0..BLOCKS * FEATURES).map(|i| number(i + 31 * l)).collect(),
                    fixed: (0..FIXED).map(|i| number(i * 3 + 17 * l)).collect(),
                })
                .collect(),
            coverage: 1.0,
            earlier: Earlier::default(),
        }
    }

    fn outputs(network: &PoseNetwork, inputs: &[Input]) -> Vec<f32> {
        network
            .forward(Batch::new(inputs, &Device::flex()))
            .into_data_as::<f32>()
            .try_to_vec()
            .unwrap_or_default()
    }

    #[test]
    fn the_order_of_links_and_the_company_in_a_batch_do_not_matter() {
        let device = Device::flex();
        device.seed(1);
        let network = NetworkConfig::default().init(&device);
        let (a, b) = (input(4, 1), input(2, 2));
        let mut turned = a.clone();
        turned.links.reverse();
        let alone = outputs(&network, std::slice::from_ref(&a));
        let together = outputs(&network, &[b, turned]);
        assert_eq!(alone.len(), SLOTS * OUTPUTS);
        for (x, y) in alone.iter().zip(&together[SLOTS * OUTPUTS..]) {
            assert!((x - y).abs() < 1e-4, "{x} {y}");
        }
    }

    #[test]
    fn the_parameters_are_as_many_as_the_layers_say() {
        let c = NetworkConfig::default();
        let network = c.init(&Device::flex());
        let biases =
            c.fixed + 3 * (c.encode + c.block) + c.span + ROOTS + c.trunk + 2 * c.trunk + SLOTS * OUTPUTS;
        let norms = 2 * c.trunk;
        let shared_in_time = (BLOCKS - 1) * (FEATURES * c.encode + c.encode * c.block)
            + (SPANS - 1) * (MERGE * c.block + ROOTS) * c.span;
        assert_eq!(network.num_params(), c.multiply_adds(1) - shared_in_time + biases + norms);
    }
}
