//! Inputs.

use invispose_kernels::Complex32;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Subcarrier counts that occur.
pub const SIZES: [usize; 11] = [30, 52, 56, 57, 64, 114, 234, 242, 256, 484, 996];

/// Indices for `n` subcarriers: Intel's grouping for 30, else symmetric about DC, which is left out where it can be.
pub fn index(n: usize) -> Vec<i16> {
    if n == 30 {
        return (-28..-1).step_by(2).chain([-1]).chain((1..28).step_by(2)).chain([28]).collect();
    }
    let half = (n / 2) as i16;
    if n % 2 == 1 { (-half..=half).collect() } else { (-half..=half).filter(|&k| k != 0).collect() }
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Packets of a room with a few paths and noise, `[packets][pairs][index.len()]`; delays are such that no neighbours
/// are near half a turn apart.
pub fn packets(seed: u64, packets: usize, pairs: usize, index: &[i16]) -> Vec<Complex32> {
    let mut rng = rng(seed);
    let widest = index.iter().map(|k| k.unsigned_abs()).max().unwrap_or(1).max(28);
    let mut out = Vec::new();
    for _ in 0..packets {
        let slope = rng.random_range(-0.35..0.35f32);
        for _ in 0..pairs {
            let offset = rng.random_range(-3.0..3.0f32);
            let gain = rng.random_range(20.0..60.0f32);
            let echoes: Vec<(f32, f32, f32)> = (0..3)
                .map(|_| {
                    let delay = rng.random_range(0.0..9.0 / f32::from(widest));
                    (rng.random_range(0.05..0.25f32), delay, rng.random_range(-3.0..3.0f32))
                })
                .collect();
            for &k in index {
                let k = f32::from(k);
                let mut h = Complex32::from_polar(gain, slope * k + offset);
                for (share, delay, phase) in &echoes {
                    h += Complex32::from_polar(gain * share, (slope - delay) * k + offset + phase);
                }
                h += Complex32::new(rng.random_range(-0.3..0.3), rng.random_range(-0.3..0.3));
                out.push(h);
            }
        }
    }
    out
}

/// The same as signed bytes.
pub fn bytes(x: &[Complex32]) -> Vec<[i8; 2]> {
    x.iter()
        .map(|h| [h.re.round().clamp(-127.0, 127.0) as i8, h.im.round().clamp(-127.0, 127.0) as i8])
        .collect()
}

/// Largest difference, over the largest magnitude of the reference (or 1e-12).
pub fn relative(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-12f64, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0f64, |m, (&g, &w)| m.max((f64::from(g) - w).abs())) / scale
}

#[track_caller]
pub fn assert_close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let error = relative(got, want);
    assert!(error <= tolerance, "{name}: relative error {error:e} above {tolerance:e}");
}
