//! Features brought to a common scale and freed of their correlations, for learning only.
//!
//! A few directions hold most of the variance of the features, and a gradient hardly moves the others. A network is therefore
//! learned as a function of z = (x − μ) L⁻ᵀ with C + εI = L Lᵀ, where μ and C are mean and covariance of the features (Cholesky
//! whitening, in Kessy et al., "Optimal Whitening and Decorrelation", 2018). z is linear in x: the first layer takes it in, and a
//! network that is done looks at x as any other does.

use burn::tensor::{Device, Tensor, TensorData};
use invispose_kernels::cholesky;
use ndarray::{Array1, Array2, ArrayView2, Axis, linalg::general_mat_mul};

use crate::{input::FEATURES, network::PoseNetwork};

/// Added to every variance (ε): directions with less of it are noise, and stay small.
const LEAST_VARIANCE: f64 = 0.02;

/// What takes the features' scale and correlations out, `[FEATURES]` to `[FEATURES]`.
pub(super) struct Whitening {
    /// μ, `[1, FEATURES]`.
    mean: Tensor<2>,
    /// L⁻ᵀ.
    whitens: Tensor<2>,
    /// Lᵀ.
    colours: Tensor<2>,
}

impl Whitening {
    /// Of these features, `[row][FEATURES]`.
    pub fn of(features: &[f32], device: &Device) -> Self {
        let (mean, covariance) = moments(features);
        let lower = lower(covariance);
        let square = |values: &Array2<f64>| {
            let values = values.iter().map(|v| *v as f32).collect();
            Tensor::from_data(TensorData::new(values, [FEATURES, FEATURES]), device)
        };
        Self {
            mean: Tensor::from_data(
                TensorData::new(mean.iter().map(|v| *v as f32).collect(), [1, FEATURES]),
                device,
            ),
            whitens: square(&inverse(&lower)).transpose(),
            colours: square(&lower).transpose(),
        }
    }

    /// Weights `[FEATURES, out]` and bias `[out]` that give for x what these give for z.
    pub fn for_features(&self, weight: Tensor<2>, bias: Tensor<1>) -> (Tensor<2>, Tensor<1>) {
        let weight = self.whitens.clone().matmul(weight);
        let shift = self.mean.clone().matmul(weight.clone()).squeeze_dim(0);
        (weight, bias - shift)
    }

    /// The opposite of [`Self::for_features`].
    fn for_whitened(&self, weight: Tensor<2>, bias: Tensor<1>) -> (Tensor<2>, Tensor<1>) {
        let shift = self.mean.clone().matmul(weight.clone()).squeeze_dim(0);
        (self.colours.clone().matmul(weight), bias + shift)
    }

    /// The network that sees x and answers as this one does, which sees z.
    pub fn taken_in(&self, network: PoseNetwork) -> PoseNetwork {
        network.with_encoder(|weight, bias| self.for_features(weight, bias))
    }

    /// The opposite of [`Self::taken_in`].
    pub fn taken_out(&self, network: PoseNetwork) -> PoseNetwork {
        network.with_encoder(|weight, bias| self.for_whitened(weight, bias))
    }
}

/// Mean and covariance of the rows.
fn moments(features: &[f32]) -> (Array1<f64>, Array2<f64>) {
    let rows = features.len() / FEATURES;
    let all = ArrayView2::from_shape((rows, FEATURES), &features[..rows * FEATURES]);
    let (mut mean, mut covariance) = (Array1::zeros(FEATURES), Array2::zeros((FEATURES, FEATURES)));
    let Ok(all) = all else { return (mean, covariance) };
    let scale = 1.0 / rows.max(1) as f64;
    for part in all.axis_chunks_iter(Axis(0), 4096) {
        let part = part.mapv(f64::from);
        mean.scaled_add(scale, &part.sum_axis(Axis(0)));
        general_mat_mul(scale, &part.t(), &part, 1.0, &mut covariance);
    }
    for ((i, j), c) in covariance.indexed_iter_mut() {
        *c -= mean[i] * mean[j];
    }
    (mean, covariance)
}

/// L with C + εI = L Lᵀ. The identity for features that are no numbers: the first step's loss says so.
fn lower(mut c: Array2<f64>) -> Array2<f64> {
    let n = c.nrows();
    c.diag_mut().mapv_inplace(|v| v + LEAST_VARIANCE);
    let factor = cholesky::factor(c.into_iter().collect(), n);
    let of = |l: Vec<f64>| Array2::from_shape_fn((n, n), |(i, j)| if j <= i { l[i * n + j] } else { 0.0 });
    factor.map_or_else(|| Array2::eye(n), of)
}

/// The inverse of a lower triangular matrix.
fn inverse(lower: &Array2<f64>) -> Array2<f64> {
    let n = lower.nrows();
    let mut out = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        let above = lower.slice(ndarray::s![i, ..i]).dot(&out.slice(ndarray::s![..i, ..]));
        let mut row = out.row_mut(i);
        row.scaled_add(-1.0 / lower[[i, i]], &above);
        row[i] += 1.0 / lower[[i, i]];
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Rows of which each is a mixture of a few others.
    fn rows(count: usize) -> Vec<f32> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mixture: Vec<f32> = (0..5 * FEATURES).map(|_| rng.random_range(-2.0..2.0)).collect();
        (0..count)
            .flat_map(|_| {
                let of: [f32; 5] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
                let row: Vec<f32> = (0..FEATURES)
                    .map(|f| {
                        3.0 + of.iter().enumerate().map(|(k, o)| o * mixture[k * FEATURES + f]).sum::<f32>()
                    })
                    .collect();
                row
            })
            .collect()
    }

    #[test]
    fn whitened_features_have_no_mean_no_correlation_and_at_most_their_variance() {
        let (features, device) = (rows(500), Device::flex());
        let w = Whitening::of(&features, &device);
        let x = Tensor::<2>::from_data(TensorData::new(features, [500, FEATURES]), &device);
        let z: Vec<f32> = (x - w.mean).matmul(w.whitens).into_data_as::<f32>().try_to_vec().unwrap();
        let (mean, covariance) = moments(&z);
        assert!(mean.iter().all(|m| m.abs() < 1e-2));
        let trace: f64 = covariance.diag().sum();
        // Five directions with variance 1, the others with none.
        assert!((trace - 5.0).abs() < 0.1, "{trace}");
        let squares: f64 = covariance.iter().map(|c| c * c).sum();
        assert!((squares - 5.0).abs() < 0.2, "{squares}");
    }

    #[test]
    fn a_network_answers_the_same_with_the_whitening_taken_in() {
        let device = Device::flex();
        let w = Whitening::of(&rows(100), &device);
        let number = |i: usize| (i as f32 * 0.37).sin();
        let weight = Tensor::<2>::from_data(
            TensorData::new((0..FEATURES * 4).map(number).collect(), [FEATURES, 4]),
            &device,
        );
        let bias = Tensor::<1>::from_data(TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0], [4]), &device);
        let x = Tensor::<2>::from_data(TensorData::new(rows(3), [3, FEATURES]), &device);
        let whitened = (x.clone() - w.mean.clone()).matmul(w.whitens.clone()).matmul(weight.clone());
        let (folded, shift) = w.for_features(weight.clone(), bias.clone());
        let direct = x.matmul(folded.clone()) + shift.clone().unsqueeze();
        let off = (whitened + bias.clone().unsqueeze() - direct).abs().max().into_scalar::<f32>();
        assert!(off < 1e-2, "{off}");
        let (back, bias_back) = w.for_whitened(folded, shift);
        assert!((back - weight).abs().max().into_scalar::<f32>() < 1e-3);
        assert!((bias_back - bias).abs().max().into_scalar::<f32>() < 1e-2);
    }
}
