//! The network on the CPU without tensors: layers packed once, each with what follows it in one pass, windows side by side.

use burn::{
    nn::{LayerNormConfig, Linear},
    tensor::{Tensor, TensorData},
};
use invispose_kernels::cpu::{Dense, Finish, Level};
use rayon::prelude::*;

use super::{
    BLOCKS, MERGE, OUTPUTS, PoseNetwork, ROOTS, Residual, SLOTS, SPANS, Slot, bias_of,
    memory::RememberingOnCpu, multilateration::MultilaterationOnCpu,
};
use crate::input::{FEATURES, Input, LinkInput};

/// Most windows that one thread looks at together.
const TOGETHER: usize = 8;

/// A [`PoseNetwork`] whose weights do not change.
#[derive(Debug)]
pub(crate) struct CpuNetwork {
    fixed: Dense,
    encode: Dense,
    encode_modulation: Dense,
    block: Dense,
    block_modulation: Dense,
    span: Dense,
    trail: Dense,
    trunk: Dense,
    trunk_block: ResidualOnCpu,
    multilateration: Option<MultilaterationOnCpu>,
    memory: Option<RememberingOnCpu>,
    head: Dense,
}

/// A [`Residual`].
#[derive(Debug)]
pub(super) struct ResidualOnCpu {
    norm: Norm,
    inner: Dense,
    outer: Dense,
}

/// Layer normalisation (Ba et al., 2016).
#[derive(Debug)]
struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl CpuNetwork {
    /// With a network's weights; `None` where its device does not give them.
    pub fn new(network: &PoseNetwork) -> Option<Self> {
        let level = Level::detect();
        let dense = |layer: &Linear| {
            Some(Dense::new(level, &numbers(layer.weight.val())?, &numbers(bias_of(layer))?))
        };
        let residual = |layers: &Residual| {
            let gamma = numbers(layers.norm.gamma.val())?;
            let none = || Some(vec![0.0; gamma.len()]);
            let beta = layers.norm.beta.as_ref().map_or_else(none, |b| numbers(b.val()))?;
            let norm = Norm { gamma, beta, epsilon: LayerNormConfig::new(1).epsilon as f32 };
            Some(ResidualOnCpu { norm, inner: dense(&layers.inner)?, outer: dense(&layers.outer)? })
        };
        let memory = match &network.memory {
            Some(layers) => {
                let (keep, recall) = layers.layers();
                Some(RememberingOnCpu { keep: dense(keep)?, recall: dense(recall)? })
            }
            None => None,
        };
        let multilateration = match &network.multilateration {
            Some(layer) => Some(MultilaterationOnCpu { paths: dense(layer.layer())? }),
            None => None,
        };
        Some(Self {
            multilateration,
            fixed: dense(&network.fixed)?,
            encode: dense(&network.encode)?,
            encode_modulation: dense(&network.encode_modulation)?,
            block: dense(&network.block)?,
            block_modulation: dense(&network.block_modulation)?,
            span: dense(&network.span)?,
            trail: dense(&network.trail)?,
            trunk: dense(&network.trunk)?,
            trunk_block: residual(&network.trunk_block)?,
            memory,
            head: dense(&network.head)?,
        })
    }

    /// `[windows][SLOTS * OUTPUTS + memory]`, as [`PoseNetwork::forward`]. A window's answer does not depend on its company.
    pub fn forward(&self, inputs: &[Input]) -> Vec<f32> {
        let row = SLOTS * OUTPUTS + self.memory.as_ref().map_or(0, RememberingOnCpu::width);
        let mut out = vec![0.0; inputs.len() * row];
        if inputs.len() == 1 {
            // Another thread would have to be woken for a few dozen microseconds of work.
            self.windows(inputs, &mut out);
            return out;
        }
        let together = inputs.len().div_ceil(rayon::current_num_threads()).clamp(1, TOGETHER);
        out.par_chunks_mut(together * row)
            .zip(inputs.par_chunks(together))
            .for_each(|(out, inputs)| self.windows(inputs, out));
        out
    }

    fn windows(&self, inputs: &[Input], out: &mut [f32]) {
        let (block, span, trunk) = (self.block.outputs(), self.span.outputs(), self.trunk.outputs());
        // The codes of all links, `[links of all windows][BLOCKS * block]`, then their mean in each window.
        let links: Vec<&LinkInput> = inputs.iter().flat_map(|input| &input.links).collect();
        let codes = self.codes(&links);
        let located = self.multilateration.as_ref().map(|layer| {
            let windows: Vec<&[LinkInput]> = inputs.iter().map(|input| input.links.as_slice()).collect();
            layer.forward(&codes, &windows)
        });
        let mut codes = codes.chunks_exact(BLOCKS * block);
        let mut site = vec![0.0; inputs.len() * BLOCKS * block];
        for (input, site) in inputs.iter().zip(site.chunks_exact_mut(BLOCKS * block)) {
            let share = 1.0 / input.links.len() as f32;
            for code in codes.by_ref().take(input.links.len()) {
                site.iter_mut().zip(code).for_each(|(s, c)| *s += share * c);
            }
        }
        let spans = inputs.len() * SPANS;
        let mut code = vec![0.0; spans * span];
        self.span.apply(&rows(&site, MERGE * block), Finish::Relu, &mut code);
        let mut trail = vec![0.0; spans * ROOTS];
        self.trail.apply(&rows(&code, span), Finish::Plain, &mut trail);
        if let Some(located) = &located {
            trail.iter_mut().zip(located).for_each(|(t, l)| *t += l);
        }
        let both = code.chunks_exact(span).zip(trail.chunks_exact(ROOTS));
        let both: Vec<f32> = both.flat_map(|(code, trail)| code.iter().chain(trail).copied()).collect();
        let mut site = vec![0.0; inputs.len() * trunk];
        self.trunk.apply(&rows(&both, SPANS * (span + ROOTS)), Finish::Plain, &mut site);
        let left = self.memory.as_ref().map(|memory| {
            let mut alone = site.clone();
            self.trunk_block.apply(&mut alone);
            memory.recall(&mut site, inputs.iter().map(|input| &input.earlier));
            memory.left(&alone)
        });
        self.trunk_block.apply(&mut site);
        site.iter_mut().for_each(|v| *v = relu(*v));
        let mut slots = vec![0.0; inputs.len() * SLOTS * OUTPUTS];
        self.head.apply(&rows(&site, trunk), Finish::Plain, &mut slots);
        for (slots, located) in slots
            .chunks_exact_mut(SLOTS * OUTPUTS)
            .zip(located.iter().flat_map(|l| l.chunks_exact(SPANS * ROOTS)))
        {
            let last = located[(SPANS - 1) * ROOTS..].chunks_exact(3);
            for (slot, last) in slots.chunks_exact_mut(OUTPUTS).zip(last) {
                slot[Slot::ROOT..].iter_mut().zip(last).for_each(|(root, l)| *root += l);
            }
        }
        let row = out.len() / inputs.len();
        for (i, out) in out.chunks_exact_mut(row).enumerate() {
            let (to, rest) = out.split_at_mut(SLOTS * OUTPUTS);
            to.copy_from_slice(&slots[i * to.len()..][..to.len()]);
            if let Some(left) = &left {
                rest.copy_from_slice(&left[i * rest.len()..][..rest.len()]);
            }
        }
    }

    /// Each link's code, `[links][BLOCKS][block]`.
    fn codes(&self, links: &[&LinkInput]) -> Vec<f32> {
        let fixed: Vec<&[f32]> = links.iter().map(|link| link.fixed.as_slice()).collect();
        let mut known = vec![0.0; links.len() * self.fixed.outputs()];
        self.fixed.apply(&fixed, Finish::Relu, &mut known);
        let known = rows(&known, self.fixed.outputs());
        let modulated = |layer: &Dense, modulation: &Dense, x: &[&[f32]]| {
            let mut by = vec![0.0; links.len() * modulation.outputs()];
            modulation.apply(&known, Finish::Plain, &mut by);
            let mut out = vec![0.0; x.len() * layer.outputs()];
            layer.apply(x, Finish::Modulated { by: &by, every: BLOCKS }, &mut out);
            out
        };
        let features: Vec<&[f32]> =
            links.iter().flat_map(|link| link.features.chunks_exact(FEATURES)).collect();
        let code = modulated(&self.encode, &self.encode_modulation, &features);
        modulated(&self.block, &self.block_modulation, &rows(&code, self.encode.outputs()))
    }
}

pub(super) fn rows(x: &[f32], width: usize) -> Vec<&[f32]> {
    x.chunks_exact(width).collect()
}

/// What is no number stays none.
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

impl ResidualOnCpu {
    /// Of each row.
    pub fn apply(&self, x: &mut [f32]) {
        let mut inner = vec![0.0; x.len()];
        let width = self.inner.outputs();
        self.inner.apply(&rows(&self.norm.of(x), width), Finish::Relu, &mut inner);
        self.outer.apply(&rows(&inner, width), Finish::Added, x);
    }
}

impl Norm {
    /// Of each row.
    fn of(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.gamma.len();
        let mut out = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            let parts = row.iter().zip(&self.gamma).zip(&self.beta);
            out.extend(parts.map(|((v, gamma), beta)| (v - mean) * scale * gamma + beta));
        }
        out
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Option<Vec<f32>> {
    let data: TensorData = tensor.try_into_data().ok()?;
    Some(data.iter::<f32>().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::Device;

    use super::*;
    use crate::network::{Batch, NetworkConfig, tests::input};

    #[test]
    fn answers_are_those_of_the_tensors_and_the_same_bits_in_any_company() {
        let device = Device::flex();
        device.seed(1);
        // Widths that fill no vector, and those that are shipped.
        let odd = NetworkConfig {
            fixed: 7,
            encode: 33,
            block: 17,
            span: 5,
            trunk: 50,
            multilateration: false,
            memory: 0,
        };
        let located = NetworkConfig { multilateration: true, ..odd };
        let remembering = NetworkConfig { memory: 13, ..located };
        for config in [odd, located, remembering, NetworkConfig::default()] {
            let network = config.init(&device);
            let on_cpu = CpuNetwork::new(&network).unwrap();
            let row = SLOTS * OUTPUTS + config.memory;
            let mut windows: Vec<Input> = (0..11).map(|i| input(1 + i % 4, i)).collect();
            for (i, window) in windows.iter_mut().enumerate() {
                let number = |n: usize| ((n * 7919 + i * 104_729) % 100) as f32 / 50.0;
                let left = |e: usize| (0..config.memory).map(|n| number(n + 31 * e)).collect();
                window.earlier = std::array::from_fn(|e| (i >> e & 1 == 1).then(|| left(e)));
            }
            let want = numbers(network.forward(Batch::new(&windows, &device))).unwrap();
            let got = on_cpu.forward(&windows);
            assert_eq!(got.len(), want.len());
            assert!(want.iter().any(|v| v.abs() > 0.01));
            for (g, w) in got.iter().zip(&want) {
                assert!((g - w).abs() < 1e-4, "{g} {w}");
            }
            for (window, together) in windows.iter().zip(got.chunks_exact(row)) {
                assert_eq!(on_cpu.forward(std::slice::from_ref(window)), together);
            }
        }
    }

    #[test]
    fn what_is_no_number_does_not_become_one() {
        let network = NetworkConfig::default().init(&Device::flex());
        let mut window = input(2, 1);
        window.links[1].features[5] = f32::NAN;
        assert!(CpuNetwork::new(&network).unwrap().forward(&[window]).iter().all(|v| v.is_nan()));
    }
}
