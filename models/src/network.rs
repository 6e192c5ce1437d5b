//! The pose network: what the links saw in, a set of persons out.
//!
//! One encoder is shared by all links and told by geometry and quiet-room channel which link it looks at; the links'
//! codes are averaged, so any number of them in any order will do (Zaheer et al., "Deep Sets", 2017). A trunk turns the
//! average into [`SLOTS`] person slots (set prediction as in Carion et al., "End-to-End Object Detection with
//! Transformers", 2020). What a moving body adds to the channel turns with every wavelength of path; where it comes from is told
//! by phases between antennas and between subcarriers. So beside the packets themselves a link's encoder sees the second moments
//! of its channels over the window and over its end, in which the turning cancels. Everything is a matrix product, which is what burn's CPU backend does best.

use burn::{
    module::{Module, Param},
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    tensor::{Device, Distribution, Int, Tensor, TensorData, activation::relu},
};

use crate::input::{ANTENNAS, BINS, FEATURES, FIXED, Input, PAIRS, STEPS};

/// Persons that the network can report.
pub const SLOTS: usize = 3;
/// Keypoints of a person.
pub const JOINTS: usize = 17;
/// Activities told apart.
pub const ACTIVITIES: usize = 6;
/// Numbers per slot, see [`Slot`].
pub const OUTPUTS: usize = 1 + 3 + 1 + 3 * JOINTS + JOINTS + ACTIVITIES;

/// Steps in a patch (100 ms at 50 Hz).
const PATCH: usize = 5;
const PATCHES: usize = STEPS / PATCH;
/// Patches merged into one (400 ms).
const MERGE: usize = 4;
const SPANS: usize = PATCHES / MERGE;
/// Real columns of the antenna pairs among a step's features.
const PAIR_COLUMNS: usize = 2 * PAIRS.len() * BINS;
/// Neighbouring amplitudes averaged for the second moments.
const MEAN_OF: usize = 3;
/// Columns whose second moments are taken.
const COLUMNS: usize = PAIR_COLUMNS + ANTENNAS * BINS / MEAN_OF;
/// Second moments and log powers of those columns.
const MOMENTS: usize = COLUMNS * (COLUMNS + 1) / 2 + COLUMNS;
/// Steps at the window's end whose moments are taken apart (400 ms).
const RECENT: usize = MERGE * PATCH;

/// Widths of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Code of a patch.
    pub patch: usize,
    /// Code of a span of patches.
    pub span: usize,
    /// Code of what does not change with time.
    pub fixed: usize,
    /// Code of a link's second moments.
    pub moments: usize,
    /// Code of a link.
    pub link: usize,
    /// Code of the site.
    pub trunk: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { patch: 64, span: 96, fixed: 96, moments: 96, link: 192, trunk: 256 }
    }
}

impl NetworkConfig {
    /// Multiply-adds of the matrix products for one window with this many links.
    pub fn multiply_adds(&self, links: usize) -> usize {
        let per_link = PATCHES * PATCH * FEATURES * self.patch
            + FIXED * self.fixed
            + self.fixed * (2 * self.patch + 2 * self.moments + self.link)
            + SPANS * MERGE * self.patch * self.span
            + SPANS * self.span * self.link
            + (STEPS + RECENT) * COLUMNS * COLUMNS
            + 2 * MOMENTS * self.moments
            + self.moments * self.link
            + 2 * self.link * self.link;
        let site = self.link * self.link
            + self.link * self.trunk
            + 2 * self.trunk * self.trunk
            + self.trunk * SLOTS * OUTPUTS;
        links * per_link + site
    }

    /// A freshly initialised network.
    pub fn init(&self, device: &Device) -> PoseNetwork {
        let linear = |i, o| LinearConfig::new(i, o).init(device);
        PoseNetwork {
            patch: linear(PATCH * FEATURES, self.patch),
            place: Param::from_tensor(Tensor::random(
                [PATCHES, self.patch],
                Distribution::Normal(0.0, 0.02),
                device,
            )),
            fixed: linear(FIXED, self.fixed),
            modulation: linear(self.fixed, 2 * self.patch),
            span: linear(MERGE * self.patch, self.span),
            moments: linear(2 * MOMENTS, self.moments),
            moments_modulation: linear(self.fixed, 2 * self.moments),
            link: linear(SPANS * self.span, self.link),
            link_moments: linear(self.moments, self.link),
            link_fixed: linear(self.fixed, self.link),
            link_block: Residual::new(self.link, device),
            link_site: linear(self.link, self.link),
            trunk: linear(self.link, self.trunk),
            trunk_block: Residual::new(self.trunk, device),
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
    patch: Linear,
    place: Param<Tensor<2>>,
    fixed: Linear,
    modulation: Linear,
    span: Linear,
    moments: Linear,
    moments_modulation: Linear,
    link: Linear,
    link_moments: Linear,
    link_fixed: Linear,
    link_block: Residual,
    link_site: Linear,
    trunk: Linear,
    trunk_block: Residual,
    head: Linear,
}

/// Windows of several sites as tensors. The links of all windows lie one after the other.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[links of all windows, patches, steps of a patch × FEATURES]`.
    features: Tensor<3>,
    /// `[links of all windows, FIXED]`.
    fixed: Tensor<2>,
    /// `[windows, links of all windows]`: averages a window's links.
    gather: Tensor<2>,
    /// `[links of all windows, windows]`: hands a window's code to its links.
    spread: Tensor<2>,
}

impl Batch {
    /// Collects inputs.
    pub fn new(inputs: &[Input], device: &Device) -> Self {
        let links = inputs.iter().map(|i| i.links.len());
        let features =
            inputs.iter().flat_map(|i| &i.links).flat_map(|l| l.features.iter().copied()).collect();
        let fixed = inputs.iter().flat_map(|i| &i.links).flat_map(|l| l.fixed.iter().copied()).collect();
        Self::from_parts(features, fixed, &links.collect::<Vec<_>>(), device)
    }

    /// From the features `[link][STEPS][FEATURES]` and fixed features `[link][FIXED]` of all windows' links in order, and
    /// the number of links of each window.
    pub fn from_parts(features: Vec<f32>, fixed: Vec<f32>, links: &[usize], device: &Device) -> Self {
        let shape = Self::features_shape(links.iter().sum());
        let features = Tensor::from_data(TensorData::new(features, shape), device);
        Self::with_features(features, fixed, links, device)
    }

    /// Shape of the features of so many links.
    pub(crate) fn features_shape(links: usize) -> [usize; 3] {
        [links, PATCHES, PATCH * FEATURES]
    }

    /// As [`Self::from_parts`], from features that are a tensor of [`Self::features_shape`].
    pub(crate) fn with_features(
        features: Tensor<3>,
        fixed: Vec<f32>,
        links: &[usize],
        device: &Device,
    ) -> Self {
        let (windows, total) = (links.len(), links.iter().sum::<usize>());
        let mut gather = vec![0.0f32; windows * total];
        let mut spread = vec![0.0f32; windows * total];
        let mut at = 0;
        for (window, &n) in links.iter().enumerate() {
            for link in at..at + n {
                gather[window * total + link] = 1.0 / n as f32;
                spread[link * windows + window] = 1.0;
            }
            at += n;
        }
        Self {
            features,
            fixed: Tensor::from_data(TensorData::new(fixed, [total, FIXED]), device),
            gather: Tensor::from_data(TensorData::new(gather, [windows, total]), device),
            spread: Tensor::from_data(TensorData::new(spread, [total, windows]), device),
        }
    }
}

impl PoseNetwork {
    /// `[windows, SLOTS, OUTPUTS]`, see [`Slot`].
    pub fn forward(&self, batch: Batch) -> Tensor<3> {
        let [links, patches, columns] = batch.features.dims();
        let steps = batch.features.clone().reshape([links, patches * PATCH, columns / PATCH]);
        let fixed = relu(self.fixed.forward(batch.fixed));

        let patch = self.patch.forward(batch.features);
        let width = patch.dims()[2];
        let modulation = self.modulation.forward(fixed.clone()).reshape([links, 2, width]);
        let scale = modulation.clone().narrow(1, 0, 1).add_scalar(1.0);
        let shift = modulation.narrow(1, 1, 1) + self.place.val().unsqueeze_dim::<3>(0);
        let patch = relu(patch * scale + shift);
        let span = relu(self.span.forward(patch.reshape([links, patches / MERGE, MERGE * width])));
        let [_, spans, width] = span.dims();

        let moments = self.moments.forward(second_moments(steps));
        let width_m = moments.dims()[1];
        let modulation = self.moments_modulation.forward(fixed.clone());
        let scale = modulation.clone().narrow(1, 0, width_m).add_scalar(1.0);
        let moments = relu(moments * scale + modulation.narrow(1, width_m, width_m));

        let link = self.link.forward(span.reshape([links, spans * width]))
            + self.link_moments.forward(moments)
            + self.link_fixed.forward(fixed);
        let link = self.link_block.forward(link);
        // What the other links saw changes what this one's code says.
        let site = self.link_site.forward(batch.gather.clone().matmul(link.clone()));
        let link = relu(link + batch.spread.matmul(site));
        let site = self.trunk.forward(batch.gather.matmul(link));
        let site = relu(self.trunk_block.forward(site));
        let windows = site.dims()[0];
        self.head.forward(site).reshape([windows, SLOTS, OUTPUTS])
    }
}

/// `[links, 2 × MOMENTS]` from `[links, STEPS, FEATURES]`: over the whole window and over its end, the upper triangle of
/// `XᵀX` over its mean diagonal, and the logarithms of its diagonal.
fn second_moments(steps: Tensor<3>) -> Tensor<2> {
    let [links, count, _] = steps.dims();
    let pairs = steps.clone().narrow(2, 0, PAIR_COLUMNS);
    let amplitudes = steps
        .narrow(2, PAIR_COLUMNS, ANTENNAS * BINS)
        .reshape([links, count, ANTENNAS * BINS / MEAN_OF, MEAN_OF])
        .mean_dim(3)
        .reshape([links, count, ANTENNAS * BINS / MEAN_OF]);
    let columns = Tensor::cat(vec![pairs, amplitudes], 2);
    let device = columns.device();
    let index = |keep: &dyn Fn(usize, usize) -> bool| {
        let all = (0..COLUMNS).flat_map(|i| (i..COLUMNS).map(move |j| (i, j)));
        let kept: Vec<i32> =
            all.filter(|&(i, j)| keep(i, j)).map(|(i, j)| (i * COLUMNS + j) as i32).collect();
        Tensor::<1, Int>::from_data(TensorData::from(kept.as_slice()), &device)
    };
    let (triangle, diagonal) = (index(&|_, _| true), index(&|i, j| i == j));
    let of = |x: Tensor<3>| {
        let n = x.dims()[1] as f32;
        let product =
            x.clone().swap_dims(1, 2).matmul(x).mul_scalar(1.0 / n).reshape([links, COLUMNS * COLUMNS]);
        let power = product.clone().select(1, diagonal.clone());
        let scale = power.clone().mean_dim(1).add_scalar(LEAST_POWER);
        let shape = product.select(1, triangle.clone()) / scale;
        let power = (power + LEAST_POWER).log().add_scalar(3.0).mul_scalar(0.5);
        Tensor::cat(vec![shape, power], 1)
    };
    Tensor::cat(vec![of(columns.clone()), of(columns.narrow(1, count - RECENT, RECENT))], 1)
}

/// About the power that noise gives a compressed deviation.
const LEAST_POWER: f32 = 0.02;

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
        let centre = [0.5 * room_m[0], 0.5 * room_m[1], 0.0];
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

    fn input(links: usize, seed: usize) -> Input {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0;
        Input {
            room_m: [5.0, 4.0, 2.5],
            links: (0..links)
                .map(|l| crate::input::LinkInput {
                    features: (0..STEPS * FEATURES).map(|i| number(i + 31 * l)).collect(),
                    fixed: (0..FIXED).map(|i| number(i * 3 + 17 * l)).collect(),
                })
                .collect(),
            coverage: 1.0,
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
        let biases = c.patch
            + 2 * c.patch
            + c.fixed
            + c.span
            + c.moments
            + 2 * c.moments
            + 3 * c.link
            + 2 * c.link
            + c.link
            + c.trunk
            + 2 * c.trunk
            + SLOTS * OUTPUTS;
        let norms_and_places = 2 * c.link + 2 * c.trunk + PATCHES * c.patch;
        let no_weights = (STEPS + RECENT) * COLUMNS * COLUMNS;
        let shared_in_time =
            (PATCHES - 1) * PATCH * FEATURES * c.patch + (SPANS - 1) * MERGE * c.patch * c.span;
        assert_eq!(
            network.num_params(),
            c.multiply_adds(1) - no_weights - shared_in_time + biases + norms_and_places
        );
    }
}
