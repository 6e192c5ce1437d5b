//! Factors of symmetric positive definite matrices, row-major.

/// Lower factor `L` of `L Lᵀ = a`, `[n][n]`; the upper half is left as it was. `None` unless `a` is positive definite, by some
/// margin over rounding.
///
/// Source: Golub and Van Loan, "Matrix computations", section 4.2.
pub fn factor(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    for i in 0..n {
        for j in 0..=i {
            let sum = a[i * n + j] - dot(&a[i * n..i * n + j], &a[j * n..j * n + j]);
            if i == j {
                if !(sum > 1e-12) {
                    return None;
                }
                a[i * n + i] = sum.sqrt();
            } else {
                a[i * n + j] = sum / a[j * n + j];
            }
        }
    }
    Some(a)
}

/// Solves `L Lᵀ x = b` with a [`factor`].
pub fn solve(factor: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut x = b.to_vec();
    for i in 0..n {
        x[i] = (x[i] - dot(&factor[i * n..i * n + i], &x[..i])) / factor[i * n + i];
    }
    for i in (0..n).rev() {
        let below: f64 = (i + 1..n).map(|k| factor[k * n + i] * x[k]).sum();
        x[i] = (x[i] - below) / factor[i * n + i];
    }
    x
}

/// Σ aᵢ bᵢ.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
