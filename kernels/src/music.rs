//! MUSIC: angles and delays of paths from one packet, by subspace.

use num_complex::Complex64;

use crate::Complex32;

/// A uniform linear array and the subcarriers it hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array {
    /// Antennas, in order along the array.
    pub antennas: usize,
    /// Uniformly spaced subcarriers.
    pub subcarriers: usize,
    /// Distance of neighbouring antennas in wavelengths (0.5 = half a wavelength).
    pub spacing_wavelengths: f64,
    /// Distance of neighbouring subcarriers, hertz.
    pub spacing_hz: f64,
}

/// Tables and buffers for spectra on one grid of angles and delays.
pub struct MusicPlan {
    array: Array,
    sub_antennas: usize,
    sub_subcarriers: usize,
    paths: usize,
    angle_steps: Vec<Complex64>,
    delay_steps: Vec<Complex64>,
    covariance: Vec<Complex64>,
    vectors: Vec<Complex64>,
    order: Vec<usize>,
    weights: Vec<Complex64>,
}

impl MusicPlan {
    /// Spectra over `angles_rad` (0 = broadside) × `delays_s`, with smoothing over subarrays of `sub_antennas` ×
    /// `sub_subcarriers` and a signal subspace of `paths`. Sizes are cut to what the array has; SpotFi uses 2 × 15 of
    /// 3 × 30.
    pub fn new(
        array: Array,
        sub_antennas: usize,
        sub_subcarriers: usize,
        paths: usize,
        angles_rad: &[f64],
        delays_s: &[f64],
    ) -> Self {
        let sub_antennas = sub_antennas.clamp(1, array.antennas.max(1));
        let sub_subcarriers = sub_subcarriers.clamp(1, array.subcarriers.max(1));
        let n = sub_antennas * sub_subcarriers;
        let turn = |turns: f64| Complex64::from_polar(1.0, -std::f64::consts::TAU * turns);
        Self {
            array,
            sub_antennas,
            sub_subcarriers,
            paths: paths.min(n.saturating_sub(1)),
            angle_steps: angles_rad.iter().map(|a| turn(array.spacing_wavelengths * a.sin())).collect(),
            delay_steps: delays_s.iter().map(|d| turn(array.spacing_hz * d)).collect(),
            covariance: vec![Complex64::ZERO; n * n],
            vectors: vec![Complex64::ZERO; n * n],
            order: (0..n).collect(),
            weights: vec![Complex64::ZERO; n],
        }
    }

    /// Pseudo-spectrum `1 / Σ_noise |e^H a(θ, τ)|²` of `csi`, `[antennas][subcarriers]`, into `spectrum`,
    /// `[angles][delays]`; the steering vector has elements `exp(−2πi (m d sin θ + k f_δ τ))`. Returns false if `csi`
    /// or `spectrum` has another shape. Costs `O(n³)` for `n` = size of the subarray.
    ///
    /// Source: Schmidt, "Multiple emitter location and signal parameter estimation", 1986; two-dimensional smoothing:
    /// Kotaru et al., SpotFi, SIGCOMM 2015, section 3.2.
    pub fn run(&mut self, csi: &[Complex32], spectrum: &mut [f32]) -> bool {
        let (m, k) = (self.array.antennas, self.array.subcarriers);
        if csi.len() != m * k
            || spectrum.len() != self.angle_steps.len() * self.delay_steps.len()
            || csi.is_empty()
        {
            return false;
        }
        self.smooth(csi);
        let n = self.sub_antennas * self.sub_subcarriers;
        eigen(&mut self.covariance, &mut self.vectors, n);
        let covariance = &self.covariance;
        self.order.sort_unstable_by(|&a, &b| covariance[b * n + b].re.total_cmp(&covariance[a * n + a].re));
        let mut out = spectrum.iter_mut();
        for &angle in &self.angle_steps {
            for &delay in &self.delay_steps {
                let mut element = Complex64::ONE;
                for row in self.weights.chunks_exact_mut(self.sub_subcarriers) {
                    let mut value = element;
                    for w in row {
                        *w = value;
                        value *= delay;
                    }
                    element *= angle;
                }
                // |a|² less the signal subspace's share is the noise subspace's, and the signal subspace is smaller.
                let mut noise = n as f64;
                for &v in &self.order[..self.paths] {
                    let along: Complex64 = self
                        .vectors
                        .chunks_exact(n)
                        .zip(&self.weights)
                        .map(|(row, w)| row[v].conj() * w)
                        .sum();
                    noise -= along.norm_sqr();
                }
                if let Some(o) = out.next() {
                    *o = (1.0 / noise.max(1e-9 * n as f64)) as f32;
                }
            }
        }
        true
    }

    /// Covariance averaged over all shifts of the subarray.
    fn smooth(&mut self, csi: &[Complex32]) {
        let (m, k) = (self.array.antennas, self.array.subcarriers);
        let (sm, sk) = (self.sub_antennas, self.sub_subcarriers);
        let n = sm * sk;
        let shifts = ((m - sm + 1) * (k - sk + 1)) as f64;
        self.covariance.fill(Complex64::ZERO);
        for a in 0..=m - sm {
            for b in 0..=k - sk {
                for (i, w) in self.weights.iter_mut().enumerate() {
                    let h = csi[(a + i / sk) * k + b + i % sk];
                    *w = Complex64::new(f64::from(h.re), f64::from(h.im)) / shifts.sqrt();
                }
                for (row, &x) in self.covariance.chunks_exact_mut(n).zip(&self.weights) {
                    for (c, y) in row.iter_mut().zip(&self.weights) {
                        *c += x * y.conj();
                    }
                }
            }
        }
    }
}

/// Eigen-decomposition of a Hermitian `n × n` matrix by cyclic Jacobi rotations: `a` becomes diagonal (the values),
/// the columns of `v` the vectors. Source: Golub and Van Loan, "Matrix computations", section 8.5.
pub fn eigen(a: &mut [Complex64], v: &mut [Complex64], n: usize) {
    v.fill(Complex64::ZERO);
    for i in 0..n {
        v[i * n + i] = Complex64::ONE;
    }
    let total: f64 = a.iter().map(|x| x.norm_sqr()).sum();
    for _ in 0..60 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                let size = apq.norm();
                off += size * size;
                if size * size <= 1e-30 * total {
                    continue;
                }
                let phase = apq / size;
                let theta = 0.5 * (2.0 * size).atan2(a[p * n + p].re - a[q * n + q].re);
                let (sin, cos) = theta.sin_cos();
                // Columns p and q times [[cos, -sin·phase], [sin·conj(phase), cos]], then rows by its adjoint.
                for row in 0..n {
                    let (x, y) = (a[row * n + p], a[row * n + q]);
                    a[row * n + p] = x * cos + y * phase.conj() * sin;
                    a[row * n + q] = y * cos - x * phase * sin;
                    let (x, y) = (v[row * n + p], v[row * n + q]);
                    v[row * n + p] = x * cos + y * phase.conj() * sin;
                    v[row * n + q] = y * cos - x * phase * sin;
                }
                for col in 0..n {
                    let (x, y) = (a[p * n + col], a[q * n + col]);
                    a[p * n + col] = x * cos + y * phase * sin;
                    a[q * n + col] = y * cos - x * phase.conj() * sin;
                }
            }
        }
        if off <= 1e-26 * total {
            break;
        }
    }
}
