//! Power over delay: inverse transform over subcarriers.

use std::sync::Arc;

use rustfft::{Fft, FftPlanner};

use crate::Complex32;

/// Tables and buffers for delay profiles of one set of subcarriers.
pub struct DelayPlan {
    fft: Arc<dyn Fft<f32>>,
    bins: Vec<u32>,
    line: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl DelayPlan {
    /// Transform over the columns as they stand, `subcarriers` long (any length).
    pub fn contiguous(subcarriers: usize) -> Self {
        Self::new(subcarriers, (0..subcarriers as u32).collect())
    }

    /// Transform of length `fft_len` with each column at its subcarrier index (0 = DC, negative ones from the end),
    /// zeros elsewhere. Delay bin `d` is `d / (fft_len · spacing)` seconds. Columns outside ±`fft_len / 2` are
    /// folded.
    pub fn indexed(fft_len: usize, index: &[i16]) -> Self {
        let n = fft_len.max(1) as i64;
        Self::new(fft_len, index.iter().map(|&i| i64::from(i).rem_euclid(n) as u32).collect())
    }

    fn new(fft_len: usize, bins: Vec<u32>) -> Self {
        let fft = FftPlanner::new().plan_fft_inverse(fft_len.max(1));
        let scratch = vec![Complex32::ZERO; fft.get_inplace_scratch_len()];
        Self { line: vec![Complex32::ZERO; fft.len()], fft, bins, scratch }
    }

    /// Bins of the profile.
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Never: a profile has at least one bin.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Power delay profile `|1/N Σ_k h(k) exp(+2πi k d / N)|²` of one pair's subcarriers into `power`, `len()` long.
    ///
    /// Source: Goldsmith, "Wireless communications", section 3.3.
    pub fn run(&mut self, csi: &[Complex32], power: &mut [f32]) {
        self.line.fill(Complex32::ZERO);
        for (&bin, &h) in self.bins.iter().zip(csi) {
            self.line[bin as usize] = h;
        }
        self.fft.process_with_scratch(&mut self.line, &mut self.scratch);
        let scale = 1.0 / self.line.len() as f32;
        for (p, h) in power.iter_mut().zip(&self.line) {
            *p = (h * scale).norm_sqr();
        }
    }
}
