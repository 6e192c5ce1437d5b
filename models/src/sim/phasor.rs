//! The inner loop: sums of plane-wave phasors over subcarriers.

/// Speed of light in vacuum, m/s.
pub const SPEED_OF_LIGHT: f64 = 299_792_458.0;

/// Paths handled side by side.
pub(crate) const LANES: usize = 8;

/// sin and cos of 2πt for |t| < 2^21, absolute error below 2e-6; no branches, so that loops over it vectorise.
///
/// With x = t - round(t), Taylor series of sin(πx) and cos(πx) on |πx| ≤ π/2, then the double angle.
#[inline(always)]
pub(crate) fn sin_cos_turns(t: f32) -> (f32, f32) {
    // Adding and taking away 1.5·2^23 rounds to the nearest integer without a call.
    const ROUND: f32 = 12_582_912.0;
    let x = (t - ((t + ROUND) - ROUND)) * std::f32::consts::PI;
    let q = x * x;
    let s = x
        * (1.0
            + q * (-1.0 / 6.0
                + q * (1.0 / 120.0
                    + q * (-1.0 / 5040.0 + q * (1.0 / 362_880.0 - q * (1.0 / 39_916_800.0))))));
    let c = 1.0
        + q * (-0.5
            + q * (1.0 / 24.0
                + q * (-1.0 / 720.0
                    + q * (1.0 / 40_320.0 + q * (-1.0 / 3_628_800.0 + q * (1.0 / 479_001_600.0))))));
    (2.0 * s * c, 1.0 - 2.0 * s * s)
}

/// The sounded tones: f_k = f_c + k Δf for the subcarrier indices k.
#[derive(Clone, Debug)]
pub(crate) struct Tones {
    /// 1/λ at the first tone, per metre.
    first_per_m: f32,
    /// 1/λ differences of the distinct gaps between neighbouring tones, per metre.
    gaps_per_m: Vec<f32>,
    /// For each tone after the first, which gap precedes it.
    gap: Vec<u8>,
}

impl Tones {
    pub fn new(carrier_hz: f64, spacing_hz: f64, index: &[i16]) -> Self {
        let first = index.first().copied().unwrap_or(0);
        let mut distinct: Vec<i32> = Vec::new();
        let gap = index
            .windows(2)
            .map(|w| {
                let d = i32::from(w[1]) - i32::from(w[0]);
                let at = distinct.iter().position(|g| *g == d).unwrap_or_else(|| {
                    distinct.push(d);
                    distinct.len() - 1
                });
                at.min(u8::MAX as usize) as u8
            })
            .collect();
        Self {
            first_per_m: ((carrier_hz + spacing_hz * f64::from(first)) / SPEED_OF_LIGHT) as f32,
            gaps_per_m: distinct
                .iter()
                .map(|g| (spacing_hz * f64::from(*g) / SPEED_OF_LIGHT) as f32)
                .collect(),
            gap,
        }
    }

    pub fn len(&self) -> usize {
        self.gap.len() + 1
    }
}

/// Sums of phasors, one partial sum a lane: `re[tone][lane]`, `im[tone][lane]`.
pub(crate) struct Lanes {
    re: Vec<[f32; LANES]>,
    im: Vec<[f32; LANES]>,
    /// exp(-j 2π g d / c) for each distinct gap g: real and imaginary parts of both sets.
    powers: Vec<([[f32; LANES]; 2], [[f32; LANES]; 2])>,
}

impl Lanes {
    pub fn new(tones: &Tones) -> Self {
        Self {
            re: vec![[0.0; LANES]; tones.len()],
            im: vec![[0.0; LANES]; tones.len()],
            powers: vec![([[0.0; LANES]; 2], [[0.0; LANES]; 2]); tones.gaps_per_m.len()],
        }
    }

    pub fn clear(&mut self) {
        self.re.fill([0.0; LANES]);
        self.im.fill([0.0; LANES]);
    }

    /// Adds Σ_l a_l exp(-j 2π f_k d_l / c) over the lanes of both sets of paths to every tone k, by recurrence over the
    /// tones; two sets at once because a single recurrence waits for itself.
    #[inline(always)]
    pub fn add(&mut self, tones: &Tones, sets: [(&[f32; LANES], &[f32; LANES]); 2]) {
        let mut zr = [[0.0f32; LANES]; 2];
        let mut zi = [[0.0f32; LANES]; 2];
        for (i, (metres, amplitude)) in sets.iter().enumerate() {
            for l in 0..LANES {
                let (s, c) = sin_cos_turns(metres[l] * tones.first_per_m);
                zr[i][l] = amplitude[l] * c;
                zi[i][l] = -amplitude[l] * s;
            }
        }
        for (p, g) in self.powers.iter_mut().zip(&tones.gaps_per_m) {
            for (i, (metres, _)) in sets.iter().enumerate() {
                for l in 0..LANES {
                    let (s, c) = sin_cos_turns(metres[l] * g);
                    p.0[i][l] = c;
                    p.1[i][l] = -s;
                }
            }
        }
        let mut first = true;
        let gaps = [0].iter().chain(&tones.gap);
        for ((re, im), gap) in self.re.iter_mut().zip(&mut self.im).zip(gaps) {
            if !first {
                let Some((pr, pi)) = self.powers.get(usize::from(*gap)) else { return };
                for i in 0..2 {
                    for l in 0..LANES {
                        let (r, m) = (
                            zr[i][l] * pr[i][l] - zi[i][l] * pi[i][l],
                            zr[i][l] * pi[i][l] + zi[i][l] * pr[i][l],
                        );
                        zr[i][l] = r;
                        zi[i][l] = m;
                    }
                }
            }
            first = false;
            for l in 0..LANES {
                re[l] += zr[0][l] + zr[1][l];
                im[l] += zi[0][l] + zi[1][l];
            }
        }
    }

    /// Adds the lanes' sums to `out[tone]`.
    pub fn fold_into(&self, out: &mut [invispose_kernels::Complex32]) {
        for (o, (re, im)) in out.iter_mut().zip(self.re.iter().zip(&self.im)) {
            o.re += re.iter().sum::<f32>();
            o.im += im.iter().sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sin_cos_matches_the_library_over_many_turns() {
        for i in -40_000..40_000 {
            let t = i as f32 * 0.0123;
            let (s, c) = sin_cos_turns(t);
            let (rs, rc) = (std::f64::consts::TAU * f64::from(t)).sin_cos();
            assert!((f64::from(s) - rs).abs() < 2e-6 && (f64::from(c) - rc).abs() < 2e-6, "{t}");
        }
    }
}
