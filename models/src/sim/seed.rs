//! Seeds and random draws: every draw is a function of a seed and of what it is drawn for, never of what was drawn before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Which purpose a seed serves. The two highest bits of a seed name the split, so that no seed of one split is a seed
/// of another, whatever the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For fitting weights.
    Train,
    /// For choosing between models and stopping early.
    Validation,
    /// For reported figures only.
    Test,
}

impl Split {
    /// The `index`-th seed of this split. Injective in (split, index) for `index < 2^62`.
    pub fn seed(self, index: u64) -> u64 {
        let tag = match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::Test => 2u64,
        };
        (tag << 62) | (index & ((1 << 62) - 1))
    }

    /// The split that a seed belongs to; `None` for seeds outside the three (highest bits 11), which are free for
    /// demonstrations.
    pub fn of(seed: u64) -> Option<Self> {
        match seed >> 62 {
            0 => Some(Self::Train),
            1 => Some(Self::Validation),
            2 => Some(Self::Test),
            _ => None,
        }
    }
}

/// A well-mixed seed for one purpose (SplitMix64's finaliser, Steele et al. 2014).
pub(crate) fn mix(seed: u64, purpose: u64) -> u64 {
    let mut z = seed ^ purpose.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Draws for one purpose.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// Independent of every other (seed, purpose).
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(mix(seed, purpose)))
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `a..b`.
    pub fn between(&mut self, [a, b]: [f32; 2]) -> f32 {
        a + (b - a) * self.unit()
    }

    /// True with this probability.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// 0..n; 0 for n = 0.
    pub fn index(&mut self, n: usize) -> usize {
        ((self.unit() * n as f32) as usize).min(n.saturating_sub(1))
    }

    /// Two independent standard normal values (Box and Muller 1958).
    pub fn normal2(&mut self) -> [f32; 2] {
        let r = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (s, c) = super::phasor::sin_cos_turns(self.unit());
        [r * c, r * s]
    }

    /// A standard normal value.
    pub fn normal(&mut self) -> f32 {
        self.normal2()[0]
    }

    /// An index drawn with these weights; 0 where none is positive.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.unit() * weights.iter().map(|w| w.max(0.0)).sum::<f32>();
        for (i, w) in weights.iter().enumerate() {
            left -= w.max(0.0);
            if left < 0.0 {
                return i;
            }
        }
        weights.iter().position(|w| *w > 0.0).unwrap_or(0)
    }
}
