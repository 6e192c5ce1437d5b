//! Postures: what a body does, apart from where it is and which way it faces.

use super::body::Body;
use super::geom::{Frame, Vec3, smooth, v3};

/// One arm's angles in radians, at rest hanging down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arm {
    /// Forward.
    pub flex: f32,
    /// Sideways, away from the body.
    pub abduct: f32,
    /// Bend of the elbow.
    pub elbow: f32,
    /// Turns the forearm's bending plane from forward to upward (for an arm held sideways).
    pub roll: f32,
}

/// A posture in the person's own coordinates: origin on the floor below them, x ahead, y to the left, z up; metres and
/// radians. All of it can be blended linearly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posture {
    /// Middle of the hips.
    pub pelvis: Vec3,
    pub yaw: f32,
    /// Forward lean of the pelvis.
    pub pitch: f32,
    /// Lean of the pelvis to the right.
    pub roll: f32,
    /// Forward bend of the trunk against the pelvis.
    pub bend: f32,
    /// Turn of the trunk against the pelvis.
    pub twist: f32,
    pub head_pitch: f32,
    pub head_yaw: f32,
    /// Left and right ankle.
    pub feet: [Vec3; 2],
    /// Left and right arm.
    pub arms: [Arm; 2],
}

const REST: Arm = Arm { flex: 0.05, abduct: 0.12, elbow: 0.2, roll: 0.0 };

impl Posture {
    pub fn stand(b: &Body) -> Self {
        let foot = |y: f32| v3(-0.02, y * b.hip_half * 1.1, b.ankle_height);
        Self {
            pelvis: v3(0.0, 0.0, b.standing_hip()),
            yaw: 0.0,
            pitch: 0.0,
            roll: 0.0,
            bend: 0.0,
            twist: 0.0,
            head_pitch: 0.05,
            head_yaw: 0.0,
            feet: [foot(1.0), foot(-1.0)],
            arms: [REST; 2],
        }
    }

    /// On a seat at knee height, a little behind where the feet are.
    pub fn sit(b: &Body) -> Self {
        let s = Self::stand(b);
        let arm = Arm { flex: 0.5, abduct: 0.12, elbow: 0.9, roll: 0.0 };
        Self {
            pelvis: v3(-b.thigh * 0.85, 0.0, b.shank + b.ankle_height + 0.02),
            pitch: -0.08,
            bend: 0.12,
            feet: [s.feet[0] + v3(0.06, 0.03, 0.0), s.feet[1] + v3(0.06, -0.03, 0.0)],
            arms: [arm; 2],
            ..s
        }
    }

    pub fn squat(b: &Body) -> Self {
        let s = Self::stand(b);
        let arm = Arm { flex: 1.2, abduct: 0.1, elbow: 0.4, roll: 0.0 };
        Self {
            pelvis: v3(-0.12 * b.stature, 0.0, 0.24 * b.stature),
            pitch: 0.35,
            bend: 0.25,
            arms: [arm; 2],
            head_pitch: -0.4,
            ..s
        }
    }

    /// Bent forward halfway to or from a seat.
    pub fn half_seated(b: &Body) -> Self {
        let (a, z) = (Self::stand(b), Self::sit(b));
        Self { pitch: 0.45, bend: 0.35, head_pitch: -0.2, ..a.blend(&z, 0.55) }
    }

    pub fn sit_on_floor(b: &Body) -> Self {
        let s = Self::stand(b);
        let x = -0.22 * b.stature;
        let reach = (b.thigh + b.shank) * 0.8;
        let foot = |y: f32| v3(x + reach, y * 0.12, b.ankle_height);
        let arm = Arm { flex: -0.4, abduct: 0.25, elbow: 0.3, roll: 0.0 };
        Self {
            pelvis: v3(x, 0.0, 0.12 * b.build),
            pitch: -0.25,
            bend: 0.2,
            feet: [foot(1.0), foot(-1.0)],
            arms: [arm; 2],
            ..s
        }
    }

    /// On the back, head behind.
    pub fn supine(b: &Body) -> Self {
        let s = Self::sit_on_floor(b);
        let reach = (b.thigh + b.shank) * 0.97;
        let foot = |y: f32| v3(s.pelvis.x + reach, y * 0.11, 0.09);
        let arm = Arm { flex: 0.1, abduct: 0.35, elbow: 0.25, roll: 0.0 };
        Self {
            pelvis: v3(s.pelvis.x, 0.0, 0.13 * b.build),
            pitch: -std::f32::consts::FRAC_PI_2,
            bend: 0.0,
            head_pitch: 0.1,
            feet: [foot(1.0), foot(-1.0)],
            arms: [arm; 2],
            ..s
        }
    }

    /// On the belly, head ahead.
    pub fn prone(b: &Body) -> Self {
        let s = Self::stand(b);
        let x = 0.25 * b.stature;
        let reach = (b.thigh + b.shank) * 0.97;
        let foot = |y: f32| v3(x - reach, y * 0.13, 0.10);
        let arm = Arm { flex: 1.9, abduct: 0.5, elbow: 0.9, roll: 0.6 };
        Self {
            pelvis: v3(x, 0.0, 0.14 * b.build),
            pitch: std::f32::consts::FRAC_PI_2,
            head_pitch: -0.25,
            feet: [foot(1.0), foot(-1.0)],
            arms: [arm; 2],
            ..s
        }
    }

    /// On the side: `side` 1 falls to the left, -1 to the right.
    pub fn on_side(b: &Body, side: f32) -> Self {
        let s = Self::stand(b);
        let y = side * 0.28 * b.stature;
        let reach = (b.thigh + b.shank) * 0.85;
        let (low, high) = (b.hip_half, b.hip_half * 1.6);
        // The lower foot is the one on the side fallen to.
        let foot = |is_low: bool| v3(0.12, y - side * reach, if is_low { low } else { high });
        let arm =
            |is_low: bool| Arm { flex: if is_low { 1.2 } else { 0.6 }, abduct: 0.1, elbow: 0.7, roll: 0.0 };
        Self {
            pelvis: v3(0.0, y, b.hip_half + 0.09 * b.build),
            roll: -side * 1.45,
            bend: 0.15,
            feet: [foot(side > 0.0), foot(side < 0.0)],
            arms: [arm(side > 0.0), arm(side < 0.0)],
            ..s
        }
    }

    /// On one knee with the hands ahead: between the floor and the feet.
    pub fn kneel(b: &Body) -> Self {
        let s = Self::squat(b);
        Self { pelvis: v3(-0.08 * b.stature, 0.0, 0.27 * b.stature), pitch: 0.7, bend: 0.3, ..s }
    }

    /// Lowers the hips of somebody on their feet until both legs reach their ankles: feet stay where they are put.
    pub fn settle(&mut self, b: &Body) {
        let reach = (b.thigh + b.shank) * 0.999;
        let upright = smooth((self.pelvis.z / b.standing_hip() - 0.6) / 0.2);
        let pelvis = Frame::heading(self.yaw).pitch(self.pitch).roll(self.roll);
        let mut lower: f32 = 0.0;
        for (foot, side) in self.feet.iter().zip([1.0, -1.0]) {
            let hip = self.pelvis + pelvis.y * (side * b.hip_half);
            let across = (foot.x - hip.x).hypot(foot.y - hip.y);
            let highest = foot.z + (reach * reach - across * across).max(0.04).sqrt();
            lower = lower.max(hip.z - highest);
        }
        self.pelvis.z -= upright * lower;
    }

    /// Linear blend from `self` (0) to `o` (1).
    pub fn blend(&self, o: &Self, t: f32) -> Self {
        let f = |a: f32, b: f32| a + (b - a) * t;
        let arm = |a: Arm, b: Arm| Arm {
            flex: f(a.flex, b.flex),
            abduct: f(a.abduct, b.abduct),
            elbow: f(a.elbow, b.elbow),
            roll: f(a.roll, b.roll),
        };
        Self {
            pelvis: self.pelvis.lerp(o.pelvis, t),
            yaw: f(self.yaw, o.yaw),
            pitch: f(self.pitch, o.pitch),
            roll: f(self.roll, o.roll),
            bend: f(self.bend, o.bend),
            twist: f(self.twist, o.twist),
            head_pitch: f(self.head_pitch, o.head_pitch),
            head_yaw: f(self.head_yaw, o.head_yaw),
            feet: std::array::from_fn(|i| self.feet[i].lerp(o.feet[i], t)),
            arms: std::array::from_fn(|i| arm(self.arms[i], o.arms[i])),
        }
    }
}
