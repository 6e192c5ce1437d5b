//! Walking along a curve, with feet that stay where they are put.

use std::f32::consts::TAU;

use super::body::Body;
use super::geom::{Vec3, smooth, v3};
use super::posture::Posture;

/// Share of the cycle that a foot stands (Boulic et al. 1990, for ordinary speeds).
const STANCE: f32 = 0.6;

/// A planar cubic Bézier curve, walked by arc length.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    points: [[f32; 2]; 4],
    /// Arc length at parameter i / (len - 1).
    lengths: [f32; 33],
}

impl Path {
    pub fn new(points: [[f32; 2]; 4]) -> Self {
        let mut path = Self { points, lengths: [0.0; 33] };
        let mut before = path.at_parameter(0.0).0;
        for i in 1..path.lengths.len() {
            let p = path.at_parameter(i as f32 / 32.0).0;
            path.lengths[i] = path.lengths[i - 1] + (p[0] - before[0]).hypot(p[1] - before[1]);
            before = p;
        }
        path
    }

    /// Arc length, metres.
    pub fn length(&self) -> f32 {
        self.lengths[self.lengths.len() - 1]
    }

    /// Position and tangent (not normalised).
    fn at_parameter(&self, t: f32) -> ([f32; 2], [f32; 2]) {
        let u = 1.0 - t;
        let p = self.points;
        let f = |i: usize| {
            (
                u * u * u * p[0][i]
                    + 3.0 * u * u * t * p[1][i]
                    + 3.0 * u * t * t * p[2][i]
                    + t * t * t * p[3][i],
                u * u * (p[1][i] - p[0][i]) + 2.0 * u * t * (p[2][i] - p[1][i]) + t * t * (p[3][i] - p[2][i]),
            )
        };
        let ((x, dx), (y, dy)) = (f(0), f(1));
        ([x, y], [dx, dy])
    }

    /// Position and heading after `s` metres; beyond the ends the path goes straight on.
    pub fn at(&self, s: f32) -> ([f32; 2], f32) {
        let inside = s.clamp(0.0, self.length());
        let i = self.lengths.partition_point(|l| *l < inside).clamp(1, self.lengths.len() - 1);
        let (a, b) = (self.lengths[i - 1], self.lengths[i]);
        let share = if b > a { (inside - a) / (b - a) } else { 0.0 };
        let t = ((i - 1) as f32 + share) / (self.lengths.len() - 1) as f32;
        let (p, d) = self.at_parameter(t.clamp(0.001, 0.999));
        let p = if inside > 0.0 && inside < self.length() { p } else { self.at_parameter(t).0 };
        let heading = d[1].atan2(d[0]);
        let beyond = s - inside;
        ([p[0] + beyond * heading.cos(), p[1] + beyond * heading.sin()], heading)
    }
}

/// Length of a cycle (two steps), metres: 1.346 √(v / h) h with the hip height h (Boulic, Magnenat-Thalmann and
/// Thalmann, "A global human walking model with real-time kinematic personification", 1990).
pub(crate) fn cycle_length(body: &Body, speed: f32) -> f32 {
    let h = body.standing_hip();
    1.346 * (speed / h).sqrt() * h
}

/// How far ahead of the hips an ankle lands, as a share of the cycle length. Less than half of what it passes while it
/// stands: the foot rolls from heel to toe, so its ankle stays on the ground longer behind the body than before it.
const LANDING: f32 = 0.25;

/// One foot at a moment of the cycle.
struct Foot {
    /// Ahead of the body, as a share of the cycle length.
    ahead: f32,
    /// How far it has swung, 0 while it stands.
    swing: f32,
    /// How far its heel has come off the ground, 0 to 1, while it rolls over the toes and after.
    heel: f32,
}

/// The foot that passes under the hips at phase 0.
fn foot(phase: f32) -> Foot {
    let f = (phase + LANDING).rem_euclid(1.0);
    let swing = ((f - STANCE) / (1.0 - STANCE)).max(0.0);
    // Heel off at 30 % of the cycle (Perry, Gait Analysis, 1992).
    let rolled = ((f - 0.3) / (STANCE - 0.3)).clamp(0.0, 1.0);
    Foot { ahead: LANDING - f + smooth(swing), swing, heel: rolled * rolled * (1.0 - smooth(swing)) }
}

/// The posture after `s` of `path`'s metres at a pace of `cycle` metres, in the coordinates of the place and heading that
/// [`Path::at`] gives there.
pub(crate) fn walk(body: &Body, path: &Path, s: f32, cycle: f32) -> Posture {
    let stand = Posture::stand(body);
    let total = path.length();
    // Feet come together at both ends of the way.
    let strength = smooth(s.min(total - s) / (0.5 * cycle).min(0.5 * total).max(0.05));
    let phase = s / cycle;
    let (here, heading) = path.at(s);
    let mut feet = stand.feet;
    for (i, foot_at) in feet.iter_mut().enumerate() {
        let Foot { ahead, swing, heel } = foot(phase + 0.5 * i as f32);
        let rolled = heel * 0.03 * body.stature * strength;
        let (p, h) = path.at(s + ahead * cycle * strength + rolled);
        let side = stand.feet[i];
        let placed = v3(p[0], p[1], 0.0) + v3(side.x, side.y, 0.0).turned(h);
        let local = (placed - v3(here[0], here[1], 0.0)).turned(-heading);
        let lift = 0.055 * body.stature * (std::f32::consts::PI * swing).sin() * strength;
        *foot_at = v3(local.x, local.y, body.ankle_height + lift + 1.6 * rolled);
    }
    let (swing, double) = ((TAU * (phase + LANDING)).cos(), (2.0 * TAU * phase).cos());
    // Highest over the standing foot.
    let height = body.standing_hip() - strength * 0.015 * (1.0 - double);
    let pelvis_y = 0.02 * strength * (TAU * phase).cos();
    let mut p = Posture { pelvis: v3(0.0, pelvis_y, height), feet, ..stand };
    p.bend = 0.05 * strength;
    p.yaw = -0.08 * strength * swing;
    p.twist = 0.16 * strength * swing;
    for (i, arm) in p.arms.iter_mut().enumerate() {
        let forth = if i == 0 { -swing } else { swing };
        let size = 0.42 * body.swing[i] * strength * (cycle / 1.4);
        arm.flex += size * forth;
        arm.elbow += 0.25 * strength * (1.0 + 0.6 * forth);
    }
    p
}

/// The posture of somebody who turns on the spot: `turned` of `by` radians so far, in the coordinates of the present heading.
pub(crate) fn turn(body: &Body, turned: f32, by: f32) -> Posture {
    let mut p = Posture::stand(body);
    let steps = (by.abs() / 0.7).ceil().max(1.0);
    let progress = if by.abs() > 1e-3 { turned / by * steps } else { steps };
    for (i, foot) in p.feet.iter_mut().enumerate() {
        // Each step one foot goes ahead of the body's turn and the other follows.
        let own = progress + if i == 0 { 0.25 } else { -0.25 };
        let own = own.clamp(0.0, steps);
        let part = own - own.floor();
        let placed = own.floor() + smooth(part * 2.0 - 0.5);
        let angle = by * placed / steps - turned;
        *foot = foot.turned(angle) + Vec3::Z * (0.05 * smooth(1.0 - (part * 4.0 - 2.0).abs()));
    }
    p
}
