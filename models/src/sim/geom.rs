//! Vectors and rotations in three dimensions.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point or direction in metres: x and y on the floor, z up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vec3 {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

pub(crate) const fn v3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub const X: Self = v3(1.0, 0.0, 0.0);
    pub const Y: Self = v3(0.0, 1.0, 0.0);
    pub const Z: Self = v3(0.0, 0.0, 1.0);

    pub fn dot(self, o: Self) -> f32 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }

    pub fn cross(self, o: Self) -> Self {
        v3(self.y * o.z - self.z * o.y, self.z * o.x - self.x * o.z, self.x * o.y - self.y * o.x)
    }

    pub fn norm(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Unit vector, or `fallback` where the length is too small to have a direction.
    pub fn unit_or(self, fallback: Self) -> Self {
        let n = self.norm();
        if n > 1e-6 { self * (1.0 / n) } else { fallback }
    }

    pub fn lerp(self, o: Self, t: f32) -> Self {
        self + (o - self) * t
    }

    pub fn axis(self, i: usize) -> f32 {
        match i {
            0 => self.x,
            1 => self.y,
            _ => self.z,
        }
    }

    pub fn with_axis(mut self, i: usize, v: f32) -> Self {
        match i {
            0 => self.x = v,
            1 => self.y = v,
            _ => self.z = v,
        }
        self
    }

    /// The vector turned about the vertical.
    pub fn turned(self, angle: f32) -> Self {
        let (s, c) = angle.sin_cos();
        v3(c * self.x - s * self.y, s * self.x + c * self.y, self.z)
    }
}

impl From<[f32; 3]> for Vec3 {
    fn from([x, y, z]: [f32; 3]) -> Self {
        v3(x, y, z)
    }
}

impl From<Vec3> for [f32; 3] {
    fn from(v: Vec3) -> Self {
        [v.x, v.y, v.z]
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        v3(self.x + o.x, self.y + o.y, self.z + o.z)
    }
}

impl AddAssign for Vec3 {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        v3(self.x - o.x, self.y - o.y, self.z - o.z)
    }
}

impl Neg for Vec3 {
    type Output = Self;
    fn neg(self) -> Self {
        self * -1.0
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, k: f32) -> Self {
        v3(self.x * k, self.y * k, self.z * k)
    }
}

/// An orthonormal frame: where the local axes x (forward), y (left) and z (up) point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub x: Vec3,
    pub y: Vec3,
    pub z: Vec3,
}

impl Frame {
    /// Turned about the vertical.
    pub fn heading(angle: f32) -> Self {
        Self { x: Vec3::X.turned(angle), y: Vec3::Y.turned(angle), z: Vec3::Z }
    }

    /// Turned about its own z.
    pub fn yaw(self, a: f32) -> Self {
        let (s, c) = a.sin_cos();
        Self { x: self.x * c + self.y * s, y: self.y * c - self.x * s, z: self.z }
    }

    /// Tilted about its own y; positive leans z towards x.
    pub fn pitch(self, a: f32) -> Self {
        let (s, c) = a.sin_cos();
        Self { x: self.x * c - self.z * s, y: self.y, z: self.z * c + self.x * s }
    }

    /// Tilted about its own x; positive leans z towards -y.
    pub fn roll(self, a: f32) -> Self {
        let (s, c) = a.sin_cos();
        Self { x: self.x, y: self.y * c + self.z * s, z: self.z * c - self.y * s }
    }

    /// A frame whose z is the unit vector `z` and whose x is as near `x` as can be.
    pub fn along(z: Vec3, x: Vec3) -> Self {
        let helper = if z.x.abs() < 0.9 { Vec3::X } else { Vec3::Y };
        let x = (x - z * x.dot(z)).unit_or((helper - z * helper.dot(z)).unit_or(Vec3::X));
        Self { x, y: z.cross(x), z }
    }

    /// Local coordinates to the frame's parent's.
    pub fn apply(&self, v: Vec3) -> Vec3 {
        self.x * v.x + self.y * v.y + self.z * v.z
    }
}

/// 3t² - 2t³ between 0 and 1.
pub(crate) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
