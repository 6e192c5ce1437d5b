//! A body over time: joints without jitter, limbs of one length.

use invispose_models::skeleton::{ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS};

use super::config::TrackerConfig;
use crate::pose::Keypoint;

/// Limbs as (nearer joint, farther joint) of the left and right side, from the trunk outwards.
const LIMBS: [([usize; 2], [usize; 2]); 4] =
    [(SHOULDERS, ELBOWS), (ELBOWS, WRISTS), (HIPS, KNEES), (KNEES, ANKLES)];
/// Lengths that limbs can have, metres: of a child of two years and of a giant.
const LENGTHS_M: [f32; 2] = [0.10, 0.60];
/// The One-Euro filter looks at speeds below this frequency, hertz, as its authors advise.
const SPEED_HZ: f32 = 1.0;

/// The pose of one track, relative to its root.
#[derive(Clone, Debug)]
pub struct Body {
    joints: [Joint; 17],
    /// Of the left and right limb alike, metres; `None` until learned.
    limbs: [Option<f32>; LIMBS.len()],
}

/// A One-Euro filter of a point (Casiez, Roussel and Vogel, "1 € filter", 2012), its speed that of all three axes together.
#[derive(Clone, Copy, Debug)]
struct Joint {
    at: [f32; 3],
    measured: [f32; 3],
    velocity: [f32; 3],
    confidence: f32,
}

/// Share of a new value that a low-pass filter with this cut-off takes in after `dt` seconds.
fn share(hz: f32, dt: f32) -> f32 {
    let r = std::f32::consts::TAU * hz * dt;
    r / (r + 1.0)
}

impl Joint {
    fn follow(&mut self, new: &Keypoint, dt: f32, config: &TrackerConfig) {
        let speed_share = share(SPEED_HZ, dt);
        for i in 0..3 {
            let velocity = (new.position_m[i] - self.measured[i]) / dt;
            self.velocity[i] += speed_share * (velocity - self.velocity[i]);
        }
        let speed = self.velocity.iter().map(|v| v * v).sum::<f32>().sqrt();
        let share = share(config.joint_hz + config.joint_hz_per_m_s * speed, dt);
        for i in 0..3 {
            self.at[i] += share * (new.position_m[i] - self.at[i]);
        }
        self.measured = new.position_m;
        self.confidence += share * (new.confidence - self.confidence);
    }
}

impl Body {
    /// As first seen; positions relative to the root, metres.
    pub fn new(seen: &[Keypoint; 17]) -> Self {
        let joint = |k: &Keypoint| Joint {
            at: k.position_m,
            measured: k.position_m,
            velocity: [0.0; 3],
            confidence: k.confidence,
        };
        Self { joints: std::array::from_fn(|i| joint(&seen[i])), limbs: [None; LIMBS.len()] }
    }

    /// Seen again `dt` seconds later.
    pub fn follow(&mut self, seen: &[Keypoint; 17], dt: f32, config: &TrackerConfig) {
        if dt <= 0.0 {
            return;
        }
        for (joint, new) in self.joints.iter_mut().zip(seen) {
            joint.follow(new, dt, config);
        }
        // Learned from what is smooth already: noise makes every limb look longer.
        let learned = (dt / config.limb_s.max(dt)).min(1.0);
        for (length, (near, far)) in self.limbs.iter_mut().zip(LIMBS) {
            let of = |side: usize| distance(self.joints[near[side]].at, self.joints[far[side]].at);
            let now = (0.5 * (of(0) + of(1))).clamp(LENGTHS_M[0], LENGTHS_M[1]);
            *length = Some(length.map_or(now, |l| l + learned * (now - l)));
        }
    }

    /// The joints with all limbs of their learned lengths, at `root_m`; confidences times `fade`.
    pub fn pose(&self, root_m: [f32; 3], fade: f32) -> [Keypoint; 17] {
        let mut at = self.joints.map(|j| j.at);
        for (length, (near, far)) in self.limbs.iter().zip(LIMBS) {
            let Some(length) = *length else { continue };
            for side in 0..2 {
                let (from, to) = (at[near[side]], self.joints[far[side]].at);
                let measured = distance(from, to);
                if measured > 1e-3 {
                    at[far[side]] =
                        std::array::from_fn(|i| from[i] + (to[i] - from[i]) * (length / measured));
                }
            }
        }
        std::array::from_fn(|k| Keypoint {
            position_m: std::array::from_fn(|i| at[k][i] + root_m[i]),
            confidence: self.joints[k].confidence * fade,
        })
    }
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DT: f32 = 0.05;

    fn still() -> [Keypoint; 17] {
        std::array::from_fn(|i| Keypoint {
            position_m: [0.3 * (i % 2) as f32, 0.05 * i as f32, 0.1 * (i / 2) as f32],
            confidence: 0.7,
        })
    }

    /// A joint that moves at v lags by 1 / (2π (f + b v)), as the documentation says.
    #[test]
    fn the_delay_is_as_stated() {
        let config = TrackerConfig::default();
        for speed in [0.0f32, 0.5, 2.0] {
            let place = |k: i32| speed * k as f32 * DT;
            let pose = |k: i32| still().map(|p| Keypoint { position_m: [place(k), 0.0, 0.0], ..p });
            let mut body = Body::new(&pose(0));
            for k in 1..200 {
                body.follow(&pose(k), DT, &config);
            }
            let lag_m = place(199) - body.joints[0].at[0];
            let stated_s =
                1.0 / (std::f32::consts::TAU * (config.joint_hz + config.joint_hz_per_m_s * speed));
            assert!((lag_m - speed * stated_s).abs() < 0.02 * speed + 1e-6, "{speed} m/s: {lag_m} m");
        }
    }

    proptest! {
        /// Whatever is measured, limbs of both sides are as long as each other, and as possible.
        #[test]
        fn limbs_have_one_length(noise in prop::collection::vec(-0.3f32..0.3, 51 * 20)) {
            let config = TrackerConfig::default();
            let mut body = Body::new(&still());
            for window in noise.chunks(51) {
                let mut seen = still();
                for (k, n) in seen.iter_mut().zip(window.chunks(3)) {
                    k.position_m = std::array::from_fn(|i| k.position_m[i] + n[i]);
                }
                body.follow(&seen, DT, &config);
            }
            let pose = body.pose([1.0, 2.0, 1.0], 1.0);
            for (near, far) in LIMBS {
                let of = |side: usize| distance(pose[near[side]].position_m, pose[far[side]].position_m);
                prop_assert!((of(0) - of(1)).abs() < 1e-4);
                prop_assert!((LENGTHS_M[0] - 1e-4..LENGTHS_M[1] + 1e-4).contains(&of(0)));
            }
        }
    }
}
