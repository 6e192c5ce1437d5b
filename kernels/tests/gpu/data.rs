//! Inputs.

use invispose_kernels::{
    Complex32, Layout,
    cleanup::{CleanupSpec, Iq},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Packed samples that own their memory.
pub enum Samples {
    I8(Vec<[i8; 2]>),
    I8ImaginaryFirst(Vec<[i8; 2]>),
    I16(Vec<[i16; 2]>),
    F32(Vec<Complex32>),
}

impl Samples {
    pub fn iq(&self) -> Iq<'_> {
        match self {
            Samples::I8(x) => Iq::I8(x),
            Samples::I8ImaginaryFirst(x) => Iq::I8ImaginaryFirst(x),
            Samples::I16(x) => Iq::I16(x),
            Samples::F32(x) => Iq::F32(x),
        }
    }
}

/// Indices of `n` subcarriers: Intel's grouping for 30, else symmetric about DC.
pub fn index(n: usize) -> Vec<i16> {
    if n == 30 {
        return (-28..-1).step_by(2).chain([-1]).chain((1..28).step_by(2)).chain([28]).collect();
    }
    let half = (n / 2) as i16;
    if n % 2 == 1 { (-half..=half).collect() } else { (-half..=half).filter(|&k| k != 0).collect() }
}

/// Layouts and formats that occur.
pub fn layouts() -> [(Layout, fn(Vec<Complex32>) -> Samples); 5] {
    [
        (Layout::new(1, 3, 30), |x| Samples::I8(bytes(&x))),
        (Layout::new(1, 4, 64), |x| {
            Samples::I8ImaginaryFirst(bytes(&x).into_iter().map(|[a, b]| [b, a]).collect())
        }),
        (Layout::new(1, 3, 114), |x| Samples::I16(words(&x))),
        (Layout::new(1, 1, 256), |x| Samples::I16(words(&x))),
        (Layout::new(2, 2, 996), |x| Samples::I16(words(&x))),
    ]
}

/// Packets of `layout` with every seventh column left out.
pub fn spec(layout: Layout, steps: usize, windows: usize) -> CleanupSpec {
    let columns = (0..layout.subcarriers).filter(|c| c % 7 != 3).collect();
    CleanupSpec {
        steps,
        ..CleanupSpec::packets(layout, index(layout.subcarriers as usize), columns, windows)
    }
}

pub fn bytes(x: &[Complex32]) -> Vec<[i8; 2]> {
    x.iter().map(|h| [h.re.round() as i8, h.im.round() as i8]).collect()
}

pub fn words(x: &[Complex32]) -> Vec<[i16; 2]> {
    x.iter().map(|h| [(h.re * 100.0).round() as i16, (h.im * 100.0).round() as i16]).collect()
}

/// A room: each pair a few paths, one of which moves from packet to packet, each packet its own slope and gain.
pub fn room(seed: u64, packets: usize, pairs: usize, index: &[i16]) -> Vec<Complex32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let widest = index.iter().map(|k| k.unsigned_abs()).max().unwrap_or(1).max(28);
    let mut path = || (rng.random_range(0.1..0.3f32), rng.random_range(0.0..9.0 / f32::from(widest)));
    let paths: Vec<[(f32, f32); 3]> = (0..pairs).map(|_| [path(), path(), path()]).collect();
    let mut out = Vec::new();
    for t in 0..packets {
        let slope = rng.random_range(-0.3..0.3f32);
        let gain = rng.random_range(25.0..60.0f32);
        for (p, paths) in paths.iter().enumerate() {
            let offset = p as f32 + rng.random_range(-0.1..0.1f32);
            for &k in index {
                let k = f32::from(k);
                let mut h = Complex32::from_polar(1.0, slope * k + offset);
                for (i, (share, delay)) in paths.iter().enumerate() {
                    let moving = 0.4 * (i * t) as f32;
                    h += Complex32::from_polar(*share, (slope - delay) * k + offset + moving);
                }
                let noise = Complex32::new(rng.random_range(-0.01..0.01), rng.random_range(-0.01..0.01));
                out.push((h + noise) * gain);
            }
        }
    }
    out
}

/// Every value on its own: phases jump as they like.
pub fn noise(seed: u64, values: usize) -> Vec<Complex32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..values)
        .map(|_| Complex32::new(rng.random_range(-127.0..127.0), rng.random_range(-127.0..127.0)))
        .collect()
}
