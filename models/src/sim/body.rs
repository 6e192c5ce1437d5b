//! The measures of a body.

use super::seed::Draw;

/// The measures of one person; lengths in metres, as shares of the stature after Drillis and Contini (1966, in Winter,
/// Biomechanics and Motor Control of Human Movement).
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub stature: f32,
    pub thigh: f32,
    pub shank: f32,
    pub ankle_height: f32,
    pub hip_half: f32,
    pub shoulder_half: f32,
    pub trunk: f32,
    pub neck: f32,
    pub upper_arm: f32,
    pub forearm: f32,
    pub hand: f32,
    /// Girth over the average.
    pub build: f32,
    /// Limb girth of the left and right side over their mean: nobody is symmetric.
    pub side: [f32; 2],
    /// Amplitude reflection coefficient of skin and clothes.
    pub reflection: f32,
    /// Breaths per second.
    pub breathing_hz: f32,
    /// How far the chest's front moves, metres.
    pub breathing_m: f32,
    pub breathing_phase: f32,
    /// Arm swing of the left and right side over the average.
    pub swing: [f32; 2],
}

impl Body {
    pub fn random(d: &mut Draw, stature: [f32; 2], build: [f32; 2]) -> Self {
        let h = d.between(stature);
        let mut near = |share: f32| h * share * d.between([0.97, 1.03]);
        let (thigh, shank, upper_arm, forearm) = (near(0.245), near(0.246), near(0.186), near(0.146));
        let (hip_half, shoulder_half, trunk) = (near(0.055), near(0.115), near(0.288));
        let lateral = d.between([-0.06, 0.06]);
        Self {
            stature: h,
            thigh,
            shank,
            ankle_height: 0.039 * h,
            hip_half,
            shoulder_half,
            trunk,
            neck: 0.052 * h,
            upper_arm,
            forearm,
            hand: 0.108 * h,
            build: d.between(build),
            side: [1.0 + lateral, 1.0 - lateral],
            reflection: d.between([0.55, 0.8]),
            breathing_hz: d.between([0.2, 0.33]),
            breathing_m: d.between([0.004, 0.009]),
            breathing_phase: d.unit(),
            swing: [d.between([0.7, 1.2]), d.between([0.7, 1.2])],
        }
    }

    /// Hip height when standing, metres.
    pub fn standing_hip(&self) -> f32 {
        (self.thigh + self.shank) * 0.992 + self.ankle_height
    }
}
