//! The pose network: what the links saw in, a set of persons out.
//!
//! One encoder is shared by all links and told by geometry and quiet-room channel which link it looks at; for every block of
//! time the links' codes are averaged, so any number of them in any order will do (Zaheer et al., "Deep Sets", 2017). Each span
//! of two blocks tells where the persons were at its end, which is learned too: a window teaches five positions, not one.
//! Some networks also add, over the floor, what each link says of the lengths of paths ([`multilateration`]), and some are shown what was
//! left of earlier windows of the site ([`memory`]).
//! A trunk turns the window's spans into [`SLOTS`] person slots (set prediction as in Carion et al., "End-to-End Object
//! Detection with Transformers", 2020). Everything is a matrix product, which is what burn's CPU backend does best.

mod links;
mod memory;
mod multilateration;
mod on_cpu;

use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor, TensorData, activation::relu},
};

pub(crate) use links::{Precision, Unreadable};
pub(crate) use memory::Before;
pub(crate) use on_cpu::CpuNetwork;

use self::{
    links::{LinkLayers, Modulated, Said, Seen},
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
    /// Which links are whose, and where they stand.
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
        let total = links.iter().sum::<usize>();
        Self {
            features,
            floors: Floors::new(&fixed, links),
            fixed: Tensor::from_data(TensorData::new(fixed, [total, FIXED]), device),
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
        let answer = self.answer(batch, |weight, bias| (weight, bias), Precision::Single);
        let [windows, ..] = answer.slots.dims();
        let slots = answer.slots.reshape([windows, SLOTS * OUTPUTS]);
        match answer.left {
            Some(left) => Tensor::cat(vec![slots, left], 1),
            None => slots,
        }
    }

    /// What it says of windows, by a first layer of other weights, as [`Self::with_encoder`] has them.
    fn answer(
        &self,
        batch: Batch,
        encoder: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
        precision: Precision,
    ) -> Answer {
        let layers = self.link_layers(batch.fixed, encoder);
        let code = layers.block.forward(layers.encode.forward(batch.features, precision), precision);
        let [links, blocks, width] = code.dims();
        let over = self.multilateration.as_ref().map(|m| m.over(code.clone(), &batch.floors));
        let site = batch.floors.mean(&code.device()).matmul(code.reshape([links, blocks * width]));
        self.site(site, over, &batch.floors, &batch.before)
    }

    /// The gradients of a loss of what it says of windows by that first layer, on a device that keeps track of gradients. The CPU computes in
    /// single precision only.
    ///
    /// # Errors
    /// Those of the loss, and of a device that cannot be read.
    pub(crate) fn gradients<E: From<Unreadable>>(
        &self,
        batch: Batch,
        encoder: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
        precision: Precision,
        loss: impl FnOnce(Answer) -> Result<Tensor<1>, E>,
    ) -> Result<GradientsParams, E> {
        if !is_cpu(&batch.features.device()) {
            return self.gradients_of_graph(batch, encoder, precision, loss);
        }
        // The site's layers are a graph that begins with what its links say, and theirs is one that ends with their layers.
        let layers = self.link_layers(batch.fixed, encoder);
        let (seen, said) = Seen::of(layers.inner(), batch.features.inner(), &batch.floors)?;
        let site = Tensor::from_inner(said.site).require_grad();
        let over = said.over.map(|over| Tensor::from_inner(over).require_grad());
        let answer = self.site(site.clone(), over.clone(), &batch.floors, &batch.before);
        let mut gradients = loss(answer)?.backward();
        let missing = || Unreadable::of("a gradient is missing");
        let by_said = Said {
            site: site.grad_remove(&mut gradients).ok_or_else(missing)?,
            over: over.map(|over| over.grad_remove(&mut gradients).ok_or_else(missing)).transpose()?,
        };
        let by_layers = seen.gradients(by_said, &batch.floors)?;
        let mut sum = GradientsAccumulator::new();
        for gradients in [gradients, layers.times(by_layers).backward()] {
            sum.accumulate(self, GradientsParams::from_grads(gradients, self));
        }
        Ok(sum.grads())
    }

    /// As [`Self::gradients`], by the graph of all layers.
    fn gradients_of_graph<E>(
        &self,
        batch: Batch,
        encoder: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
        precision: Precision,
        loss: impl FnOnce(Answer) -> Result<Tensor<1>, E>,
    ) -> Result<GradientsParams, E> {
        let scale = precision.loss_scale();
        let loss = loss(self.answer(batch, encoder, precision))?.mul_scalar(scale);
        let gradients = GradientsParams::from_grads(loss.backward(), self);
        Ok(Scaled::by(1.0 / scale, gradients, self))
    }

    /// The layers that each link goes through, from what does not change with time, `[links of all windows, FIXED]`.
    fn link_layers(
        &self,
        fixed: Tensor<2>,
        encoder: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
    ) -> LinkLayers {
        let fixed = relu(self.fixed.forward(fixed));
        let (weight, bias) = encoder(self.encode.weight.val(), bias_of(&self.encode));
        let by = self.encode_modulation.forward(fixed.clone());
        let encode = Modulated { weight, bias, by };
        let (weight, bias) = (self.block.weight.val(), bias_of(&self.block));
        let block = Modulated { weight, bias, by: self.block_modulation.forward(fixed) };
        let paths = self.multilateration.as_ref().map(Multilateration::layer);
        LinkLayers { encode, block, paths: paths.map(|l| (l.weight.val(), bias_of(l))) }
    }

    /// The network with another first layer, made from its weights `[FEATURES, encode]` and bias.
    pub(crate) fn with_encoder(
        mut self,
        other: impl FnOnce(Tensor<2>, Tensor<1>) -> (Tensor<2>, Tensor<1>),
    ) -> Self {
        let (weight, bias) = other(self.encode.weight.val(), bias_of(&self.encode));
        self.encode.weight = self.encode.weight.map(|old| in_place_of(old, weight));
        self.encode.bias = self.encode.bias.map(|b| b.map(|old| in_place_of(old, bias)));
        self
    }

    /// From the mean of the links' codes, `[windows, BLOCKS * block]`, and what they say of places.
    fn site(&self, site: Tensor<2>, over: Option<Tensor<3>>, floors: &Floors, before: &Before) -> Answer {
        let [windows, width] = site.dims();
        let span = relu(self.span.forward(site.reshape([windows, SPANS, width / SPANS])));
        let located = over.map(|over| multilateration::located(over, floors));
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
                (site + memory.recalled(&left, before), Some(left))
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

/// Gradients while they are scaled, parameter by parameter.
struct Scaled {
    by: f32,
    gradients: GradientsParams,
}

impl Scaled {
    fn by(by: f32, gradients: GradientsParams, network: &PoseNetwork) -> GradientsParams {
        if by == 1.0 {
            return gradients;
        }
        let mut scaled = Self { by, gradients };
        network.visit(&mut scaled);
        scaled.gradients
    }
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.by));
        }
    }
}

/// Whether it is burn's flex backend, with or without gradients.
pub(crate) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// A parameter's new value, which learns if the old one did.
fn in_place_of<const D: usize>(old: Tensor<D>, new: Tensor<D>) -> Tensor<D> {
    let new = new.detach();
    if old.is_require_grad() { new.require_grad() } else { new }
}

/// A layer's bias, which all have.
fn bias_of(layer: &Linear) -> Tensor<1> {
    let width = layer.weight.dims()[1];
    layer.bias.as_ref().map_or_else(|| Tensor::zeros([width], &layer.weight.device()), |b| b.val())
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
    #![allow(clippy::unwrap_used)]
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

    /// The gradients of a loss that looks at all of an answer, by parameter, as the graph of tensors gives them, as
    /// [`PoseNetwork::gradients`] does, and as the graph gives them in half precision.
    fn gradients(config: NetworkConfig) -> [Vec<Vec<f32>>; 3] {
        let device = Device::flex().autodiff();
        device.seed(3);
        let network = config.init(&device);
        let batch = || {
            let mut inputs: Vec<Input> = (0..7).map(|i| input(1 + i % 4, i)).collect();
            inputs[0].links.reverse();
            let mut batch = Batch::new(&inputs, &device);
            batch.before =
                Before::Within((0..7).map(|i| std::array::from_fn(|e| (i > e).then(|| i - 1 - e))).collect());
            batch
        };
        let encoder = |weight: Tensor<2>, bias: Tensor<1>| (weight.mul_scalar(1.5), bias.add_scalar(0.1));
        let loss = |answer: Answer| {
            let sum = |t: Tensor<3>| (t.clone().sin() * t).sum();
            Ok::<_, Unreadable>(sum(answer.slots) + sum(answer.trail))
        };
        let graph = |precision| network.gradients_of_graph(batch(), encoder, precision, loss).unwrap();
        let ours = network.gradients(batch(), encoder, Precision::Single, loss).unwrap();
        [graph(Precision::Single), ours, graph(Precision::Half)].map(|g| numbers_of(&network, &g))
    }

    /// Each parameter's numbers.
    fn numbers_of(network: &PoseNetwork, gradients: &GradientsParams) -> Vec<Vec<f32>> {
        struct Visitor<'a>(&'a GradientsParams, Vec<Vec<f32>>);
        impl ModuleVisitor for Visitor<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = self.0.get::<D>(param.id);
                self.1.push(gradient.map_or_else(Vec::new, |g| g.into_data().iter::<f32>().collect()));
            }
        }
        let mut visitor = Visitor(gradients, Vec::new());
        network.visit(&mut visitor);
        visitor.1
    }

    /// Within so much of the largest number of a parameter.
    fn assert_alike(a: &[Vec<f32>], b: &[Vec<f32>], within: f32) {
        assert_eq!(a.len(), b.len());
        for (number, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(!a.is_empty() && a.len() == b.len(), "parameter {number}");
            let largest = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(largest > 0.0, "parameter {number}");
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < within * largest, "parameter {number}: {a} {b} of {largest}");
            }
        }
    }

    #[test]
    fn gradients_on_the_cpu_and_in_half_precision_are_those_of_the_graph() {
        let plain =
            NetworkConfig { fixed: 7, encode: 33, block: 18, span: 5, trunk: 50, ..NetworkConfig::default() };
        let located = NetworkConfig { multilateration: true, ..plain };
        for config in [plain, located, NetworkConfig { memory: 13, ..located }] {
            let [graph, ours, half] = gradients(config);
            assert_alike(&graph, &ours, 1e-4);
            assert_alike(&graph, &half, 2e-2);
            assert_ne!(graph, half);
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
