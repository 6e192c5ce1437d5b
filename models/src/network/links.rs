//! The layers that every link goes through, and on the CPU their gradients.
//!
//! Most of a network's arithmetic is in two layers that each block of each link goes through. A graph of tensors passes through
//! memory a dozen times for either and allocates what every pass gives, which takes longer than the products. [`Seen`]
//! leaves the products to the tensors and makes one pass after each.

use burn::tensor::{DType, Shape, Tensor, TensorData, activation::relu, module::linear};

use super::{
    BLOCKS, MERGE, SPANS,
    multilateration::{Floors, add_over, add_paths},
};

/// The numbers that go into the products of the layers that links go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// 32 bits.
    Single,
    /// 16 bits; weights, sums and everything else have 32.
    Half,
}

impl Precision {
    /// A loss is learned from times this: gradients of single windows would be too small for numbers of 16 bits (Micikevicius et al., "Mixed
    /// Precision Training", 2018). Those of weights must stay below 65,504 over it.
    pub fn loss_scale(self) -> f32 {
        match self {
            Self::Single => 1.0,
            Self::Half => 1024.0,
        }
    }

    /// `[links, BLOCKS, in]` by `[in, width]` and `[width]`.
    fn linear(self, x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
        match self {
            Self::Single => linear(x, weight, Some(bias)),
            Self::Half => {
                linear(x.cast(DType::F16), weight.cast(DType::F16), None).cast(DType::F32) + bias.unsqueeze()
            }
        }
    }
}

/// `relu((x W + b) · (1 + scale) + shift)` with scale and shift from what is fixed, after Perez et al., "FiLM", 2018.
pub(super) struct Modulated {
    /// `[in, width]`.
    pub weight: Tensor<2>,
    /// `[width]`.
    pub bias: Tensor<1>,
    /// `[links, 2 * width]`: each link's scale, then its shift.
    pub by: Tensor<2>,
}

impl Modulated {
    /// `[links, BLOCKS, in]` to `[links, BLOCKS, width]`.
    pub fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        let x = precision.linear(x, self.weight.clone(), self.bias.clone());
        let [links, _, width] = x.dims();
        let by = self.by.clone().reshape([links, 2, width]);
        let scale = by.clone().narrow(1, 0, 1).add_scalar(1.0);
        relu(x * scale + by.narrow(1, 1, 1))
    }

    fn inner(&self) -> Self {
        let Self { weight, bias, by } = self;
        Self { weight: weight.clone().inner(), bias: bias.clone().inner(), by: by.clone().inner() }
    }

    fn times(self, other: Self) -> Tensor<1> {
        times(self.weight, other.weight) + times(self.bias, other.bias) + times(self.by, other.by)
    }
}

/// The sum of the products of a tensor's numbers and a gradient's.
fn times<const D: usize>(tensor: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    (tensor * Tensor::from_inner(gradient)).sum()
}

/// What links go through, or the gradients of a loss by it.
pub(super) struct LinkLayers {
    pub encode: Modulated,
    pub block: Modulated,
    /// Weight and bias of [`super::Multilateration::layer`].
    pub paths: Option<(Tensor<2>, Tensor<1>)>,
}

impl LinkLayers {
    /// Without what keeps track of gradients.
    pub fn inner(&self) -> Self {
        let paths = self.paths.as_ref().map(|(w, b)| (w.clone().inner(), b.clone().inner()));
        Self { encode: self.encode.inner(), block: self.block.inner(), paths }
    }

    /// A number whose gradients are those of the loss that has these gradients by the layers.
    pub fn times(self, gradients: Self) -> Tensor<1> {
        let sum = self.encode.times(gradients.encode) + self.block.times(gradients.block);
        match (self.paths, gradients.paths) {
            (Some((weight, bias)), Some((by_weight, by_bias))) => {
                sum + times(weight, by_weight) + times(bias, by_bias)
            }
            _ => sum,
        }
    }
}

/// What the links of windows say of their site, or the gradients of a loss by it.
pub(super) struct Said {
    /// The mean of the links' codes, `[windows, BLOCKS * width]`.
    pub site: Tensor<2>,
    /// See [`super::Multilateration::over`].
    pub over: Option<Tensor<3>>,
}

/// Numbers cannot be read from their device.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl Unreadable {
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

fn data<const D: usize>(tensor: Tensor<D>) -> Result<TensorData, Unreadable> {
    tensor.try_into_data_as::<f32>().map_err(Unreadable::of)
}

fn numbers(data: &TensorData) -> Result<&[f32], Unreadable> {
    data.as_slice().map_err(Unreadable::of)
}

fn numbers_mut(data: &mut TensorData) -> Result<&mut [f32], Unreadable> {
    data.as_mut_slice().map_err(Unreadable::of)
}

/// The library's are pushed one by one.
fn zeros(shape: &Shape) -> TensorData {
    TensorData::new(vec![0.0f32; shape.num_elements()], shape.clone())
}

/// A [`Modulated`] layer and what it has seen.
struct Layer {
    weight: Tensor<2>,
    by: TensorData,
    /// `[rows, in]`.
    x: Tensor<2>,
    /// `x W + b`, `[rows, width]`.
    plain: TensorData,
    width: usize,
}

impl Layer {
    /// Also gives what comes out, `[rows, width]`.
    fn of(layer: Modulated, x: Tensor<2>) -> Result<(Self, Tensor<2>), Unreadable> {
        let Modulated { weight, bias, by } = layer;
        let (device, width) = (weight.device(), weight.dims()[1]);
        let (bias, by) = (data(bias)?, data(by)?);
        let mut plain = data(x.clone().matmul(weight.clone()))?;
        let mut out = zeros(plain.shape());
        {
            let bias = numbers(&bias)?;
            let links = numbers_mut(&mut plain)?.chunks_exact_mut(BLOCKS * width);
            let out = numbers_mut(&mut out)?.chunks_exact_mut(BLOCKS * width);
            for ((plain, out), by) in links.zip(out).zip(numbers(&by)?.chunks_exact(2 * width)) {
                let (scale, shift) = by.split_at(width);
                for (plain, out) in plain.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)) {
                    let parts = plain.iter_mut().zip(out).zip(bias).zip(scale.iter().zip(shift));
                    for (((plain, out), bias), (scale, shift)) in parts {
                        *plain += bias;
                        *out = (*plain * (1.0 + scale) + shift).max(0.0);
                    }
                }
            }
        }
        let out = Tensor::from_data(out, &device);
        Ok((Self { weight, by, x, plain, width }, out))
    }

    /// From the gradient by what comes out, as many numbers: those by the layer and by the plain product, `[rows, width]`.
    fn gradients(&self, mut by_out: TensorData) -> Result<(Modulated, Tensor<2>), Unreadable> {
        let (device, width) = (self.weight.device(), self.width);
        let mut bias = vec![0.0f32; width];
        let mut by = zeros(self.by.shape());
        {
            let links = numbers_mut(&mut by_out)?.chunks_exact_mut(BLOCKS * width);
            let links = links.zip(numbers(&self.plain)?.chunks_exact(BLOCKS * width));
            let by = numbers_mut(&mut by)?.chunks_exact_mut(2 * width);
            for (((d, plain), layer), by) in links.zip(numbers(&self.by)?.chunks_exact(2 * width)).zip(by) {
                let (scale, shift) = layer.split_at(width);
                let (by_scale, by_shift) = by.split_at_mut(width);
                for (d, plain) in d.chunks_exact_mut(width).zip(plain.chunks_exact(width)) {
                    let sums = by_scale.iter_mut().zip(by_shift.iter_mut());
                    let parts = d.iter_mut().zip(plain).zip(scale.iter().zip(shift)).zip(sums);
                    for (((d, plain), (scale, shift)), (by_scale, by_shift)) in parts {
                        let factor = 1.0 + scale;
                        let through = if plain * factor + shift > 0.0 { *d } else { 0.0 };
                        *by_scale += through * plain;
                        *by_shift += through;
                        *d = through * factor;
                    }
                }
                for ((bias, scale), by_shift) in bias.iter_mut().zip(scale).zip(by_shift) {
                    *bias += *by_shift * (1.0 + scale);
                }
            }
        }
        let by_plain = Tensor::<2>::from_data(by_out, &device).reshape(self.plain.shape().clone());
        let layer = Modulated {
            weight: self.x.clone().transpose().matmul(by_plain.clone()),
            bias: Tensor::from_data(TensorData::new(bias, [width]), &device),
            by: Tensor::from_data(by, &device),
        };
        Ok((layer, by_plain))
    }
}

/// What the links' layers have seen of windows, all that their gradients need.
pub(super) struct Seen {
    encode: Layer,
    block: Layer,
    paths: Option<Paths>,
}

/// What the layer of paths has seen.
struct Paths {
    weight: Tensor<2>,
    /// `[links * SPANS, MERGE * width]`.
    spans: Tensor<2>,
}

impl Seen {
    /// Of `[links of all windows, BLOCKS, FEATURES]`; also gives what they say. None of it keeps track of gradients.
    pub fn of(layers: LinkLayers, features: Tensor<3>, floors: &Floors) -> Result<(Self, Said), Unreadable> {
        let device = features.device();
        let [links, blocks, width] = features.dims();
        let (encode, code) = Layer::of(layers.encode, features.reshape([links * blocks, width]))?;
        let (block, code) = Layer::of(layers.block, code)?;
        let width = block.width;
        let spans = code.clone().reshape([links * SPANS, MERGE * width]);
        let (paths, over) = match layers.paths {
            Some((weight, bias)) => {
                let likely = spans.clone().matmul(weight.clone()) + bias.unsqueeze();
                let over = add_over(numbers(&data(likely)?)?, floors);
                let over = Tensor::<3>::from_data(over, &device).swap_dims(1, 2);
                (Some(Paths { weight, spans }), Some(over))
            }
            None => {
                drop(spans);
                (None, None)
            }
        };
        let code = data(code)?;
        let mut codes = numbers(&code)?.chunks_exact(BLOCKS * width);
        let mut site = zeros(&[floors.links().len(), BLOCKS * width].into());
        for (site, &links) in numbers_mut(&mut site)?.chunks_exact_mut(BLOCKS * width).zip(floors.links()) {
            let share = 1.0 / links as f32;
            for code in codes.by_ref().take(links) {
                site.iter_mut().zip(code).for_each(|(s, c)| *s += share * c);
            }
        }
        let said = Said { site: Tensor::from_data(site, &device), over };
        Ok((Self { encode, block, paths }, said))
    }

    /// The gradients by the layers, from those by what was said.
    pub fn gradients(&self, said: Said, floors: &Floors) -> Result<LinkLayers, Unreadable> {
        let device = said.site.device();
        let width = self.block.width;
        let (paths, mut by_code) = match (&self.paths, said.over) {
            (Some(paths), Some(over)) => {
                let by_likely = add_paths(numbers(&data(over.swap_dims(1, 2))?)?, floors);
                let by_likely = Tensor::<2>::from_data(by_likely, &device);
                let layer = (
                    paths.spans.clone().transpose().matmul(by_likely.clone()),
                    by_likely.clone().sum_dim(0).squeeze_dim(0),
                );
                (Some(layer), data(by_likely.matmul(paths.weight.clone().transpose()))?)
            }
            _ => (None, zeros(self.block.plain.shape())),
        };
        {
            let site = data(said.site)?;
            let mut codes = numbers_mut(&mut by_code)?.chunks_exact_mut(BLOCKS * width);
            for (site, &links) in numbers(&site)?.chunks_exact(BLOCKS * width).zip(floors.links()) {
                let share = 1.0 / links as f32;
                for code in codes.by_ref().take(links) {
                    code.iter_mut().zip(site).for_each(|(c, s)| *c += share * s);
                }
            }
        }
        let (block, by_plain) = self.block.gradients(by_code)?;
        let by_code = by_plain.matmul(self.block.weight.clone().transpose());
        let (encode, _) = self.encode.gradients(data(by_code)?)?;
        Ok(LinkLayers { encode, block, paths })
    }
}
