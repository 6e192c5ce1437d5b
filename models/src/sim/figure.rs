//! From a body in a posture to joints and ellipsoids.

use super::body::Body;
use super::geom::{Frame, Vec3, v3};
use super::posture::Posture;
use crate::skeleton::Keypoints;

/// Ellipsoids of one body.
pub(crate) const SEGMENTS: usize = 16;

/// Index of the chest among the segments: the one that breathes.
const CHEST: usize = 1;

/// An ellipsoid that scatters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub center: Vec3,
    pub frame: Frame,
    /// Semi-axes along the frame's x, y, z; metres.
    pub radii: Vec3,
    /// Amplitude reflection coefficient.
    pub reflection: f32,
}

/// A box-like part of the body that stands in the way of waves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocker {
    pub from: Vec3,
    pub to: Vec3,
    /// Direction of the wider half-axis.
    pub wide: Vec3,
    /// Half-widths: along `wide`, and across it; metres.
    pub half: [f32; 2],
}

/// A body in a posture: what the eye and the radio see of it.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub keypoints: Keypoints,
    pub segments: [Segment; SEGMENTS],
    /// Trunk and legs.
    pub blockers: [Blocker; 2],
}

/// Where the joints of a body are, and which way its parts face.
#[derive(Clone, Debug)]
pub(crate) struct Joints {
    /// Middle of the hips.
    pub root: Vec3,
    pub pelvis: Frame,
    pub trunk: Frame,
    pub head: Frame,
    /// Middle of the head.
    pub skull: Vec3,
    /// Left and right, as all that follow.
    pub shoulder: [Vec3; 2],
    /// Elbow, wrist, end of the hand.
    pub arm: [[Vec3; 3]; 2],
    pub hip: [Vec3; 2],
    /// Knee, ankle, end of the foot.
    pub leg: [[Vec3; 3]; 2],
}

/// Where the joints and segments are: `origin` on the floor, `heading` in radians, `inhaled` from -1 to 1.
pub(crate) fn figure(body: &Body, posture: &Posture, origin: [f32; 2], heading: f32, inhaled: f32) -> Figure {
    clothed(body, &joints(body, posture, origin, heading), inhaled)
}

fn joints(body: &Body, posture: &Posture, origin: [f32; 2], heading: f32) -> Joints {
    let base = Frame::heading(heading);
    let at = |p: Vec3| v3(origin[0], origin[1], 0.0) + base.apply(p);
    let root = at(posture.pelvis);
    let pelvis = base.yaw(posture.yaw).pitch(posture.pitch).roll(posture.roll);
    let trunk = pelvis.pitch(posture.bend).yaw(posture.twist);
    let collar = root + trunk.z * body.trunk;
    let head = trunk.yaw(posture.head_yaw).pitch(posture.head_pitch);
    let scale = body.stature / 1.75;
    let skull = collar + trunk.z * body.neck + head.z * (0.105 * scale);
    let sides = [1.0f32, -1.0];
    let shoulder = sides.map(|s| collar + trunk.y * (s * body.shoulder_half));
    let hip = sides.map(|s| root + pelvis.y * (s * body.hip_half));
    let arm: [[Vec3; 3]; 2] = std::array::from_fn(|i| {
        let a = &posture.arms[i];
        let (sf, cf) = a.flex.sin_cos();
        let (sa, ca) = a.abduct.sin_cos();
        let upper = v3(sf * ca, sides[i] * sa, -cf * ca);
        let forward = v3(cf, 0.0, sf);
        let lifted = upper.cross(forward) * -sides[i];
        let (sw, cw) = a.roll.sin_cos();
        let (se, ce) = a.elbow.sin_cos();
        let lower = upper * ce + (forward * cw + lifted * sw) * se;
        let elbow = shoulder[i] + trunk.apply(upper) * body.upper_arm;
        let wrist = elbow + trunk.apply(lower) * body.forearm;
        [elbow, wrist, wrist + trunk.apply(lower) * (body.hand * 0.8)]
    });
    let leg: [[Vec3; 3]; 2] = std::array::from_fn(|i| {
        let (knee, ankle) = bend_leg(hip[i], at(posture.feet[i]), pelvis, body);
        let shank = (ankle - knee).unit_or(-Vec3::Z);
        let ahead = (pelvis.x - shank * pelvis.x.dot(shank)).unit_or(base.x);
        [knee, ankle, toe(body, ankle, ahead)]
    });
    Joints { root, pelvis, trunk, head, skull, shoulder, arm, hip, leg }
}

/// The end of the foot below an ankle.
pub(crate) fn toe(body: &Body, ankle: Vec3, ahead: Vec3) -> Vec3 {
    ankle + ahead * (0.11 * body.stature) - Vec3::Z * 0.02
}

/// The body around its joints; `inhaled` from -1 to 1.
pub(crate) fn clothed(body: &Body, joints: &Joints, inhaled: f32) -> Figure {
    let &Joints { root, pelvis, trunk, head, skull, shoulder, arm, hip, leg } = joints;
    let scale = body.stature / 1.75;
    let sides = [1.0f32, -1.0];
    let face = |x: f32, y: f32, z: f32| skull + head.apply(v3(x, y, z) * scale);
    let girth = body.build * scale;
    let limb = |from: Vec3, to: Vec3, front: Vec3, radius: f32, side: usize| {
        let along = to - from;
        let length = along.norm();
        Segment {
            center: from.lerp(to, 0.5),
            frame: Frame::along(along.unit_or(Vec3::Z), front),
            radii: v3(radius * girth * body.side[side], radius * girth * body.side[side], length * 0.5),
            reflection: body.reflection,
        }
    };
    let nose = face(0.105, 0.0, -0.01);
    let mut keypoints: Keypoints = [[0.0; 3]; 17];
    keypoints[0] = nose.into();
    for i in 0..2 {
        keypoints[1 + i] = face(0.085, sides[i] * 0.033, 0.025).into();
        keypoints[3 + i] = face(-0.005, sides[i] * 0.075, 0.0).into();
        keypoints[5 + i] = shoulder[i].into();
        keypoints[7 + i] = arm[i][0].into();
        keypoints[9 + i] = arm[i][1].into();
        keypoints[11 + i] = hip[i].into();
        keypoints[13 + i] = leg[i][0].into();
        keypoints[15 + i] = leg[i][1].into();
    }

    let block = |center: Vec3, frame: Frame, radii: Vec3| Segment {
        center,
        frame,
        radii,
        reflection: body.reflection,
    };
    let breath = body.breathing_m * 0.5 * inhaled;
    let chest_radii = v3(0.115 * girth, 0.165 * girth, body.trunk * 0.36);
    let hair = 0.8;
    let mut segments = [block(skull, head, v3(0.098, 0.078, 0.12) * scale); SEGMENTS];
    segments[0].reflection *= hair;
    // The chest lies ahead of the spine and the seat behind it: the back is not the front. Breathing moves the
    // chest's front and leaves its back where it is.
    segments[CHEST] = block(
        root + trunk.z * (body.trunk * 0.68) + trunk.x * (0.02 * girth + breath * 0.5),
        trunk,
        chest_radii + v3(breath * 0.5, 0.0, 0.0),
    );
    segments[2] = block(
        root + trunk.z * (body.trunk * 0.22) + trunk.x * (0.015 * girth),
        trunk,
        v3(0.105, 0.145, 0.14) * girth,
    );
    segments[3] = block(root - pelvis.x * (0.025 * girth), pelvis, v3(0.12, 0.17, 0.12) * girth);
    for i in 0..2 {
        let s = 4 + i * 6;
        segments[s] = limb(shoulder[i], arm[i][0], trunk.x, 0.048, i);
        segments[s + 1] = limb(arm[i][0], arm[i][1], trunk.x, 0.038, i);
        segments[s + 2] = limb(arm[i][1], arm[i][2], trunk.x, 0.032, i);
        segments[s + 3] = limb(hip[i], leg[i][0], pelvis.x, 0.078, i);
        segments[s + 4] = limb(leg[i][0], leg[i][1], pelvis.x, 0.052, i);
        segments[s + 5] = limb(leg[i][1] - (leg[i][2] - leg[i][1]) * 0.3, leg[i][2], Vec3::Z, 0.038, i);
    }
    let blockers = [
        Blocker {
            from: root,
            to: skull + head.z * (0.11 * scale),
            wide: trunk.y,
            half: [0.17 * girth, 0.115 * girth],
        },
        Blocker {
            from: leg[0][1].lerp(leg[1][1], 0.5),
            to: root,
            wide: (hip[0] - hip[1]).unit_or(pelvis.y),
            half: [0.13 * girth, 0.09 * girth],
        },
    ];
    let mut figure = Figure { keypoints, segments, blockers };
    let lowest = figure.keypoints.iter().fold(f32::MAX, |m, k| m.min(k[2]));
    if lowest < FLOOR_GAP_M {
        figure.lift(FLOOR_GAP_M - lowest);
    }
    figure
}

/// No joint comes nearer to the floor, metres.
const FLOOR_GAP_M: f32 = 0.03;

impl Figure {
    fn lift(&mut self, by: f32) {
        let up = Vec3::Z * by;
        self.keypoints.iter_mut().for_each(|k| k[2] += by);
        self.segments.iter_mut().for_each(|s| s.center += up);
        for b in &mut self.blockers {
            b.from += up;
            b.to += up;
        }
    }
}

/// Knee and ankle of a leg whose ankle should be at `target`: the knee bends towards the pelvis' front, and a target
/// out of reach is approached along the straight line, so that bone lengths hold.
fn bend_leg(hip: Vec3, target: Vec3, pelvis: Frame, body: &Body) -> (Vec3, Vec3) {
    let (a, b) = (body.thigh, body.shank);
    let along = target - hip;
    let dir = along.unit_or(-pelvis.z);
    let d = along.norm().clamp((a - b).abs() + 0.05, (a + b) * 0.9995);
    let u = (a * a - b * b + d * d) / (2.0 * d);
    let h = (a * a - u * u).max(0.0).sqrt();
    let pole = pelvis.x + pelvis.z * 0.15;
    let side = (pole - dir * pole.dot(dir)).unit_or(pelvis.z);
    (hip + dir * u + side * h, hip + dir * d)
}
