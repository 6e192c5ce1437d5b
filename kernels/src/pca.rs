//! Principal components over subcarriers.

/// Buffers for the first components of blocks of one shape.
pub struct PcaPlan {
    steps: usize,
    streams: usize,
    components: usize,
    centred: Vec<f32>,
    basis: Vec<f32>,
    next: Vec<f32>,
    scores: Vec<f32>,
    variances: Vec<f32>,
}

impl PcaPlan {
    /// For blocks `[steps][streams]` and the first `components` components (at most `min(steps, streams)`).
    pub fn new(steps: usize, streams: usize, components: usize) -> Self {
        let components = components.min(steps).min(streams);
        Self {
            steps,
            streams,
            components,
            centred: vec![0.0; steps * streams],
            basis: vec![0.0; components * streams],
            next: vec![0.0; components * streams],
            scores: vec![0.0; components * steps],
            variances: vec![0.0; components],
        }
    }

    /// Computes the components of `x`, `[steps][streams]`. Columns are centred; the covariance is `Xᵀ X / (steps − 1)`. At most
    /// `iterations` rounds of block power iteration (20 is plenty for features; nearly equal variances
    /// need more to be told apart), each `basis ← orth(Xᵀ (X basis))`, then one Rayleigh–Ritz step.
    ///
    /// Sign: the loading of greatest magnitude in each component is positive. Returns false, and leaves the results
    /// as they were, if `x` has another shape.
    ///
    /// Source: Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithm 4.4.
    pub fn run(&mut self, x: &[f32], iterations: usize) -> bool {
        let (t, s, k) = (self.steps, self.streams, self.components);
        if x.len() != t * s {
            return false;
        }
        if k == 0 {
            return true;
        }
        self.centre(x);
        self.start();
        orthonormalise(&mut self.basis, s);
        for _ in 0..iterations.max(1) {
            self.project();
            self.back_project();
            std::mem::swap(&mut self.basis, &mut self.next);
            orthonormalise(&mut self.basis, s);
        }
        self.project();
        self.rotate();
        self.project();
        for (variance, score) in self.variances.iter_mut().zip(self.scores.chunks_exact(t)) {
            let energy: f64 = score.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            *variance = (energy / (t.max(2) - 1) as f64) as f32;
        }
        for (axis, score) in self.basis.chunks_exact_mut(s).zip(self.scores.chunks_exact_mut(t)) {
            let peak = axis.iter().copied().fold(0.0f32, |m, v| if v.abs() > m.abs() { v } else { m });
            if peak < 0.0 {
                axis.iter_mut().chain(score).for_each(|v| *v = -*v);
            }
        }
        true
    }

    /// `[components][streams]`, unit rows, by falling variance.
    pub fn components(&self) -> &[f32] {
        &self.basis
    }

    /// `[components][steps]`: the centred block in those coordinates.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Variance along each component, in the square of the input's unit.
    pub fn variances(&self) -> &[f32] {
        &self.variances
    }

    fn centre(&mut self, x: &[f32]) {
        for c in 0..self.streams {
            let mean = (x.iter().skip(c).step_by(self.streams).map(|&v| f64::from(v)).sum::<f64>()
                / self.steps.max(1) as f64) as f32;
            for (to, from) in self.centred.iter_mut().zip(x).skip(c).step_by(self.streams) {
                *to = from - mean;
            }
        }
    }

    /// A fixed start without structure: the same input gives the same components, on every machine.
    fn start(&mut self) {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for v in &mut self.basis {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *v = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        }
    }

    /// `scores[k][t] = Σ_s centred[t][s] basis[k][s]`.
    fn project(&mut self) {
        for (axis, score) in
            self.basis.chunks_exact(self.streams).zip(self.scores.chunks_exact_mut(self.steps))
        {
            for (out, row) in score.iter_mut().zip(self.centred.chunks_exact(self.streams)) {
                *out = dot(row, axis);
            }
        }
    }

    /// `next[k][s] = Σ_t centred[t][s] scores[k][t]`.
    fn back_project(&mut self) {
        self.next.fill(0.0);
        for (axis, score) in
            self.next.chunks_exact_mut(self.streams).zip(self.scores.chunks_exact(self.steps))
        {
            for (&weight, row) in score.iter().zip(self.centred.chunks_exact(self.streams)) {
                for (a, &v) in axis.iter_mut().zip(row) {
                    *a += weight * v;
                }
            }
        }
    }

    /// Turns the basis so that the scores are uncorrelated (Jacobi rotations of pairs), then sorts by variance.
    fn rotate(&mut self) {
        let (s, t, k) = (self.streams, self.steps, self.components);
        for _ in 0..30 {
            let mut off = 0.0f64;
            for i in 0..k {
                for j in i + 1..k {
                    let (a, b) = two_rows(&mut self.scores, i, j, t);
                    let (aa, bb, ab) = (dot64(a, a), dot64(b, b), dot64(a, b));
                    if ab.abs() <= 1e-9 * (aa * bb).sqrt() {
                        continue;
                    }
                    off = off.max(ab.abs() / (aa * bb).sqrt());
                    let theta = 0.5 * (2.0 * ab).atan2(aa - bb);
                    let (sin, cos) = (theta.sin() as f32, theta.cos() as f32);
                    turn(a, b, cos, sin);
                    let (a, b) = two_rows(&mut self.basis, i, j, s);
                    turn(a, b, cos, sin);
                }
            }
            if off < 1e-7 {
                break;
            }
        }
        for i in 0..k {
            let energy = |row: usize| dot64(&self.scores[row * t..][..t], &self.scores[row * t..][..t]);
            let Some(best) = (i..k).max_by(|&x, &y| energy(x).total_cmp(&energy(y))) else { break };
            if best != i {
                let (a, b) = two_rows(&mut self.scores, i, best, t);
                a.swap_with_slice(b);
                let (a, b) = two_rows(&mut self.basis, i, best, s);
                a.swap_with_slice(b);
            }
        }
    }
}

fn turn(a: &mut [f32], b: &mut [f32], cos: f32, sin: f32) {
    for (x, y) in a.iter_mut().zip(b) {
        (*x, *y) = (cos * *x + sin * *y, cos * *y - sin * *x);
    }
}

/// Rows `i < j` of a row-major array.
fn two_rows(x: &mut [f32], i: usize, j: usize, len: usize) -> (&mut [f32], &mut [f32]) {
    let (head, tail) = x.split_at_mut(j * len);
    (&mut head[i * len..][..len], &mut tail[..len])
}

/// Gram–Schmidt over rows, twice for stability; a row that vanishes becomes zeros.
fn orthonormalise(rows: &mut [f32], len: usize) {
    for i in 0..rows.len() / len.max(1) {
        let (done, rest) = rows.split_at_mut(i * len);
        let row = &mut rest[..len];
        let before = dot64(row, row).sqrt();
        for _ in 0..2 {
            for axis in done.chunks_exact(len) {
                let along = dot64(row, axis) as f32;
                row.iter_mut().zip(axis).for_each(|(r, a)| *r -= along * a);
            }
        }
        let norm = dot64(row, row).sqrt();
        let scale = if norm > 1e-6 * before && norm > 0.0 { 1.0 / norm } else { 0.0 };
        row.iter_mut().for_each(|r| *r = (f64::from(*r) * scale) as f32);
    }
}

/// Eight partial sums, so that the compiler can use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

fn dot64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}
