//! Linear discriminant analysis: classes that are Gaussian with one covariance.
//!
//! For small training sets with features that hang together: it has no step size, no seed and one parameter.

use serde::{Deserialize, Serialize};

use crate::cholesky::{self, dot};

/// A trained classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discriminant {
    features: usize,
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// `[class][feature]`, then one constant a class.
    weights: Vec<f64>,
    constant: Vec<f64>,
}

impl Discriminant {
    /// Learns from rows `x`, `[sample][features]`, of the classes `y`, each below `classes`. Features are scaled to unit
    /// deviation; the covariance within classes is drawn to the identity by `shrinkage` (0..=1). All classes count as
    /// equally likely. `None` with another size, a value that is not finite, a class without a sample, or a covariance that
    /// is not positive definite (possible without shrinkage).
    ///
    /// Source: Hastie, Tibshirani and Friedman, "The elements of statistical learning", section 4.3; the shrinkage of Friedman,
    /// "Regularized discriminant analysis", JASA 1989.
    pub fn train(x: &[f64], y: &[usize], features: usize, classes: usize, shrinkage: f64) -> Option<Self> {
        let rows = || x.chunks_exact(features.max(1)).zip(y);
        let fits = features > 0 && x.len() == y.len() * features && y.iter().all(|&c| c < classes);
        if !fits || x.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let n = y.len() as f64;
        let mut mean = vec![0.0; features];
        rows().for_each(|(row, _)| add(&mut mean, row, 1.0 / n));
        let mut scale = vec![0.0; features];
        for (row, _) in rows() {
            scale.iter_mut().zip(row.iter().zip(&mean)).for_each(|(s, (v, m))| *s += (v - m).powi(2) / n);
        }
        scale.iter_mut().for_each(|s| *s = if *s > 1e-24 { 1.0 / s.sqrt() } else { 0.0 });
        let scaled = |row: &[f64]| -> Vec<f64> {
            row.iter().zip(mean.iter().zip(&scale)).map(|(v, (m, s))| (v - m) * s).collect()
        };

        let mut counts = vec![0.0; classes];
        let mut centres = vec![0.0; classes * features];
        for (row, &class) in rows() {
            counts[class] += 1.0;
            add(&mut centres[class * features..(class + 1) * features], &scaled(row), 1.0);
        }
        if counts.contains(&0.0) {
            return None;
        }
        for (centre, count) in centres.chunks_exact_mut(features).zip(&counts) {
            centre.iter_mut().for_each(|v| *v /= count);
        }
        let mut covariance = vec![0.0; features * features];
        for (row, &class) in rows() {
            let centre = &centres[class * features..(class + 1) * features];
            let from: Vec<f64> = scaled(row).iter().zip(centre).map(|(v, c)| v - c).collect();
            for (i, line) in covariance.chunks_exact_mut(features).enumerate() {
                add(line, &from, from[i] / n);
            }
        }
        for i in 0..features {
            for j in 0..features {
                covariance[i * features + j] *= 1.0 - shrinkage;
            }
            covariance[i * features + i] += shrinkage;
        }
        let factor = cholesky::factor(covariance, features)?;
        let (mut weights, mut constant) = (Vec::new(), Vec::new());
        for centre in centres.chunks_exact(features) {
            let weight = cholesky::solve(&factor, centre);
            constant.push(-0.5 * dot(&weight, centre));
            weights.extend(weight);
        }
        Some(Self { features, mean, scale, weights, constant })
    }

    /// Whether all arrays have the sizes that the number of features and classes asks for, and hold numbers: one that was read from a file
    /// may not.
    pub fn is_whole(&self) -> bool {
        let all = [&self.mean, &self.scale, &self.weights, &self.constant];
        self.features > 0
            && self.mean.len() == self.features
            && self.scale.len() == self.features
            && self.weights.len() == self.features * self.constant.len()
            && all.iter().all(|values| values.iter().all(|v| v.is_finite()))
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.constant.len()
    }

    /// How far a row is from what was learned: the mean square of its features in standard deviations from their means, 1 on average
    /// over the training rows.
    pub fn strangeness(&self, row: &[f64]) -> f64 {
        let square = |(v, (m, s)): (&f64, (&f64, &f64))| ((v - m) * s).powi(2);
        row.iter().zip(self.mean.iter().zip(&self.scale)).map(square).sum::<f64>() / self.features as f64
    }

    /// One score a class for a row of features: the logarithm of the class's likelihood, up to a common constant.
    pub fn scores(&self, row: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> =
            row.iter().zip(self.mean.iter().zip(&self.scale)).map(|(v, (m, s))| (v - m) * s).collect();
        self.weights
            .chunks_exact(self.features)
            .zip(&self.constant)
            .map(|(weight, constant)| dot(weight, &scaled) + constant)
            .collect()
    }

    /// The likeliest class.
    pub fn classify(&self, row: &[f64]) -> usize {
        let scores = self.scores(row);
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
    }
}

fn add(to: &mut [f64], row: &[f64], factor: f64) {
    to.iter_mut().zip(row).for_each(|(a, b)| *a += factor * b);
}
