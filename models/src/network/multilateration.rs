//! Where persons are, by the lengths of the paths over them.
//!
//! A path over a body is longer than the straight one between a link's ends; the places of equal excess path lie on an ellipse
//! about the two. Each link's code says how likely each excess path is; at every place of the floor the links' logarithms are
//! added, and the places' probabilities give the mean place (elliptic localisation: Rui and Ho, "Elliptic Localization:
//! Performance Study and Optimum Receiver Placement", 2014). What is learned is what a link sees of a path, not where a
//! room's radios stand: it holds in rooms never seen.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor, TensorData, activation::softmax},
};

use invispose_kernels::cpu::{Dense, Finish};

use super::{MERGE, ROOTS, SLOTS, SPANS, Slot};
use crate::input::{Ends, FIXED, LinkInput};

/// Excess paths told apart, and how far apart they are, metres.
const PATHS: usize = 24;
const PATH_M: f32 = 0.5;
/// Places along each edge of the floor.
const ALONG: usize = 10;
/// Places of the floor.
const PLACES: usize = ALONG * ALONG;
/// Height above the floor at which paths bend, metres: about that of the hips of who stands.
const HEIGHT_M: f32 = 1.0;

/// Answers of a window: each slot's place at the end of each span.
const ANSWERS: usize = SPANS * SLOTS;

/// A place's coordinates in units of the room's edges, from the middle of the floor.
fn place(index: usize) -> [f32; 2] {
    [index % ALONG, index / ALONG].map(|i| (i as f32 + 0.5) / ALONG as f32 - 0.5)
}

/// Excess path over each place, in units of [`PATH_M`], at most the longest told apart.
fn excess_paths(ends: &Ends) -> [f32; PLACES] {
    let distance = |a: [f32; 3], b: [f32; 3]| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f32>().sqrt();
    let direct = distance(ends.transmitter_m, ends.receiver_m);
    std::array::from_fn(|index| {
        let [x, y] = place(index);
        let over = [x * ends.room_m[0], y * ends.room_m[1], HEIGHT_M];
        let path = distance(ends.transmitter_m, over) + distance(over, ends.receiver_m) - direct;
        (path / PATH_M).clamp(0.0, (PATHS - 1) as f32)
    })
}

/// Where the links of several windows stand.
#[derive(Clone, Debug)]
pub(super) struct Floors {
    /// Of all windows' links in order.
    ends: Vec<Ends>,
    /// Links of each window.
    links: Vec<usize>,
}

impl Floors {
    /// From the fixed features `[link][FIXED]` of all windows' links in order, and the number of links of each window.
    pub fn new(fixed: &[f32], links: &[usize]) -> Self {
        Self { ends: fixed.chunks_exact(FIXED).map(Ends::of).collect(), links: links.to_vec() }
    }

    /// Links of each window.
    pub fn links(&self) -> &[usize] {
        &self.links
    }

    /// `[windows, links of all windows]`: averages a window's links.
    pub fn mean(&self, device: &Device) -> Tensor<2> {
        self.each(|links| 1.0 / links as f32, device)
    }

    /// `[windows, links of all windows]`: of the window's links this number, which follows from how many they are.
    fn each(&self, number: impl Fn(usize) -> f32, device: &Device) -> Tensor<2> {
        let (windows, total) = (self.links.len(), self.ends.len());
        let mut out = vec![0.0f32; windows * total];
        let mut at = 0;
        for (window, &links) in self.links.iter().enumerate() {
            out[window * total..][at..at + links].fill(number(links));
            at += links;
        }
        Tensor::from_data(TensorData::new(out, [windows, total]), device)
    }

    /// `[links of all windows, PLACES]`: their [`excess_paths`].
    fn excess(&self, device: &Device) -> Tensor<2> {
        let excess = self.ends.iter().flat_map(excess_paths).collect();
        Tensor::from_data(TensorData::new(excess, [self.ends.len(), PLACES]), device)
    }

    /// `[windows, 1, 3]`: the floor's edges in the units of [`Slot::ROOT`], and 0.
    fn rooms(&self, device: &Device) -> Tensor<3> {
        let mut rooms = Vec::with_capacity(3 * self.links.len());
        let mut at = 0;
        for links in &self.links {
            let [x, y, _] = self.ends.get(at).map_or([0.0; 3], |ends| ends.room_m);
            rooms.extend([x / Slot::ROOT_UNIT_M, y / Slot::ROOT_UNIT_M, 0.0]);
            at += links;
        }
        Tensor::from_data(TensorData::new(rooms, [self.links.len(), 1, 3]), device)
    }
}

/// The layer's weights.
#[derive(Module, Debug)]
pub(super) struct Multilateration {
    /// Each slot's log likelihood of each excess path during a span.
    paths: Linear,
}

impl Multilateration {
    pub fn multiply_adds(block: usize) -> usize {
        ANSWERS * (PATHS * MERGE * block + 2 * PLACES)
    }

    pub fn new(block: usize, device: &Device) -> Self {
        Self { paths: LinearConfig::new(MERGE * block, SLOTS * PATHS).init(device) }
    }

    /// The layer that each link's spans go through.
    pub fn layer(&self) -> &Linear {
        &self.paths
    }

    /// How likely each answer is at each place as far as the links tell, logarithms, `[windows, ANSWERS, PLACES]`. From the
    /// links' codes `[links, BLOCKS, block]`.
    pub fn over(&self, code: Tensor<3>, floors: &Floors) -> Tensor<3> {
        let [links, blocks, width] = code.dims();
        let device = code.device();
        let spans = code.reshape([links, blocks / MERGE, MERGE * width]);
        let likely = self.paths.forward(spans).reshape([links, ANSWERS, PATHS]);
        let path =
            Tensor::<1>::from_data(TensorData::new((0..PATHS).map(|p| p as f32).collect(), [PATHS]), &device);
        let off = floors.excess(&device).unsqueeze_dim::<3>(1) - path.reshape([1, PATHS, 1]);
        let share = off.abs().neg().add_scalar(1.0).clamp_min(0.0);
        let over = likely.matmul(share).reshape([links, ANSWERS * PLACES]);
        let sum = floors.each(|_| 1.0, &device);
        sum.matmul(over).reshape([floors.links.len(), ANSWERS, PLACES])
    }
}

/// Where each slot's root was at the end of each span, `[windows, SPANS, ROOTS]` in the units of [`Slot::ROOT`], the height 0.
/// From what [`Multilateration::over`] gives.
pub(super) fn located(over: Tensor<3>, floors: &Floors) -> Tensor<3> {
    let device = over.device();
    let places: Vec<f32> = (0..PLACES)
        .flat_map(|i| {
            let [x, y] = place(i);
            [x, y, 0.0]
        })
        .collect();
    let places = Tensor::<2>::from_data(TensorData::new(places, [PLACES, 3]), &device);
    let mean = softmax(over, 2).matmul(places.unsqueeze());
    (mean * floors.rooms(&device)).reshape([floors.links.len(), SPANS, ROOTS])
}

/// As [`Multilateration::over`], but `[windows, PLACES, ANSWERS]`, from the likelihoods `[links of all windows][ANSWERS][PATHS]`.
pub(super) fn add_over(likely: &[f32], floors: &Floors) -> TensorData {
    let mut over = vec![0.0f32; floors.links.len() * PLACES * ANSWERS];
    let mut links = likely.chunks_exact(ANSWERS * PATHS).zip(&floors.ends);
    for (over, &count) in over.chunks_exact_mut(PLACES * ANSWERS).zip(&floors.links) {
        for (likely, ends) in links.by_ref().take(count) {
            add_link(over.as_chunks_mut().0, likely, ends);
        }
    }
    TensorData::new(over, [floors.links.len(), PLACES, ANSWERS])
}

/// Adds what a link says of each path, `[ANSWERS][PATHS]`, at the places over which they lead.
fn add_link(over: &mut [[f32; ANSWERS]], likely: &[f32], ends: &Ends) {
    // All answers' likelihoods of a path side by side.
    let at: [[f32; ANSWERS]; PATHS] =
        std::array::from_fn(|path| std::array::from_fn(|answer| likely[answer * PATHS + path]));
    for (over, path) in over.iter_mut().zip(excess_paths(ends)) {
        let ([near, far], share) = beside(path);
        for ((sum, near), far) in over.iter_mut().zip(&at[near]).zip(&at[far]) {
            *sum += near * (1.0 - share) + far * share;
        }
    }
}

/// The paths below and above this one, and the share of the latter. What is no number is beside the first path, and stays none.
fn beside(path: f32) -> ([usize; 2], f32) {
    let below = path as usize;
    ([below, (below + 1).min(PATHS - 1)], path.fract())
}

/// The gradients of a loss by what links say, `[links of all windows * SPANS, SLOTS * PATHS]`, from those by what [`add_over`]
/// gives.
pub(super) fn add_paths(over: &[f32], floors: &Floors) -> TensorData {
    let mut likely = vec![0.0f32; floors.ends.len() * ANSWERS * PATHS];
    let mut links = likely.chunks_exact_mut(ANSWERS * PATHS).zip(&floors.ends);
    for (over, &count) in over.chunks_exact(PLACES * ANSWERS).zip(&floors.links) {
        for (likely, ends) in links.by_ref().take(count) {
            let mut at = [[0.0f32; ANSWERS]; PATHS];
            for (over, path) in over.as_chunks::<ANSWERS>().0.iter().zip(excess_paths(ends)) {
                let (paths, share) = beside(path);
                for (path, share) in paths.into_iter().zip([1.0 - share, share]) {
                    at[path].iter_mut().zip(over).for_each(|(sum, v)| *sum += share * v);
                }
            }
            for (answer, likely) in likely.chunks_exact_mut(PATHS).enumerate() {
                likely.iter_mut().zip(&at).for_each(|(likely, at)| *likely = at[answer]);
            }
        }
    }
    TensorData::new(likely, [floors.ends.len() * SPANS, SLOTS * PATHS])
}

/// The same without tensors.
#[derive(Debug)]
pub(super) struct MultilaterationOnCpu {
    /// As [`Multilateration::layer`].
    pub paths: Dense,
}

impl MultilaterationOnCpu {
    /// As [`Multilateration::forward`], from the links' codes `[links of all windows][BLOCKS * block]` and the links of each
    /// window.
    pub fn forward(&self, codes: &[f32], windows: &[&[LinkInput]]) -> Vec<f32> {
        let links: usize = windows.iter().map(|links| links.len()).sum();
        let spans: Vec<&[f32]> = codes.chunks_exact(codes.len() / (links * SPANS).max(1)).collect();
        let mut likely = vec![0.0; links * ANSWERS * PATHS];
        self.paths.apply(&spans, Finish::Plain, &mut likely);
        let mut likely = likely.chunks_exact(ANSWERS * PATHS);
        windows.iter().flat_map(|links| located_by(links, likely.by_ref().take(links.len()))).collect()
    }
}

/// Where the slots' roots were, `[SPANS][ROOTS]`, by each link's `[ANSWERS][PATHS]`.
fn located_by<'a>(links: &[LinkInput], likely: impl Iterator<Item = &'a [f32]>) -> [f32; SPANS * ROOTS] {
    let mut over = [[0.0f32; ANSWERS]; PLACES];
    let room_m = links.first().map_or([0.0; 3], |link| Ends::of(&link.fixed).room_m);
    for (link, likely) in links.iter().zip(likely) {
        add_link(&mut over, likely, &Ends::of(&link.fixed));
    }
    let mut most = [f32::NEG_INFINITY; ANSWERS];
    over.iter().for_each(|row| most.iter_mut().zip(row).for_each(|(m, v)| *m = m.max(*v)));
    let (mut sum, mut mean) = ([0.0f32; ANSWERS], [[0.0f32; 2]; ANSWERS]);
    for (index, row) in over.iter().enumerate() {
        let [x, y] = place(index);
        for (((v, most), sum), mean) in row.iter().zip(&most).zip(&mut sum).zip(&mut mean) {
            let likely = (v - most).exp();
            *sum += likely;
            mean[0] += likely * x;
            mean[1] += likely * y;
        }
    }
    let mut out = [0.0; SPANS * ROOTS];
    for ((out, sum), mean) in out.chunks_exact_mut(3).zip(sum).zip(mean) {
        for i in 0..2 {
            out[i] = mean[i] / sum * room_m[i] / Slot::ROOT_UNIT_M;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::input::{ReferenceBuilder, fixed_features};
    use invispose_kernels::{Complex32, Layout};

    const ROOM_M: [f32; 3] = [6.0, 5.0, 2.7];

    fn link(transmitter_m: [f32; 3], receiver_m: [f32; 3]) -> LinkInput {
        let mut quiet = ReferenceBuilder::default();
        quiet.push(Layout::new(1, 1, 1), &[Complex32::new(1.0, 0.0)]);
        let fixed = fixed_features(&quiet.finish().unwrap(), ROOM_M, transmitter_m, receiver_m);
        LinkInput { features: Vec::new(), fixed }
    }

    fn on_the_wall(turn: f32) -> [f32; 3] {
        let (s, c) = turn.sin_cos();
        let reach = (2.9 / c.abs().max(1e-3)).min(2.4 / s.abs().max(1e-3));
        [3.0 + reach * c, 2.5 + reach * s, 1.2]
    }

    proptest! {
        /// Links all around that each know the length of the path over somebody, and nothing else, tell where they are.
        #[test]
        fn lengths_of_paths_tell_the_place(x in 0.8f32..5.2, y in 0.8f32..4.2, turn in 0.0..std::f32::consts::TAU) {
            let transmitter = on_the_wall(turn);
            let length = |a: [f32; 3], b: [f32; 3]| (a[0] - b[0]).hypot(a[1] - b[1]).hypot(a[2] - b[2]);
            let body = [x, y, HEIGHT_M];
            let (mut links, mut likely) = (Vec::new(), Vec::new());
            for i in 1..6 {
                let receiver = on_the_wall(turn + i as f32 * std::f32::consts::TAU / 6.0);
                let excess = length(transmitter, body) + length(body, receiver) - length(transmitter, receiver);
                let at = |path: usize| -0.5 * (path as f32 - excess / PATH_M).powi(2);
                links.push(link(transmitter, receiver));
                likely.push((0..ANSWERS * PATHS).map(|n| at(n % PATHS)).collect::<Vec<f32>>());
            }
            let out = located_by(&links, likely.iter().map(Vec::as_slice));
            for root in out.chunks_exact(3) {
                let found = [0, 1].map(|i| ROOM_M[i] / 2.0 + root[i] * Slot::ROOT_UNIT_M);
                let off = (found[0] - x).hypot(found[1] - y);
                prop_assert!(off < 0.5, "{found:?} instead of {x}, {y}");
                prop_assert_eq!(root[2], 0.0);
            }
        }
    }

    #[test]
    fn links_that_know_nothing_say_the_middle_of_the_room() {
        let links = [link([0.3, 0.3, 1.0], [5.0, 4.0, 1.0])];
        let out = located_by(&links, [vec![0.0; ANSWERS * PATHS]].iter().map(Vec::as_slice));
        assert!(out.iter().all(|v| v.abs() < 1e-5), "{out:?}");
    }
}
