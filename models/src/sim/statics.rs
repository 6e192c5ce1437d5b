//! The empty room: image sources to second order and furniture.

use invispose_kernels::Complex32;

use super::geom::{Vec3, v3};
use super::room::{Material, Room};

/// What a static path meets on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Via {
    Nothing,
    Surface(usize),
    Surfaces(usize, usize),
    Furniture(usize),
}

/// A static path from one node to another.
#[derive(Clone, Debug)]
pub(crate) struct StaticPath {
    pub via: Via,
    /// Length, metres.
    pub metres: f32,
    /// Complex amplitude at distance: reflections times λ / (4πd).
    pub amplitude: Complex32,
    /// The corners on the way, the two ends included (3 of them filled for one bounce).
    pub points: [Vec3; 4],
    /// How many of `points` are used.
    pub used: usize,
}

/// Mirror image of `p` in surface `i` of the room.
pub(crate) fn mirror(room: &Room, i: usize, p: Vec3) -> Vec3 {
    let axis = i / 2;
    let plane = if i.is_multiple_of(2) { 0.0 } else { room.size_m[axis] };
    p.with_axis(axis, 2.0 * plane - p.axis(axis))
}

/// Free-space amplitude λ / (4πd) (Friis 1946).
pub(crate) fn friis(wavelength: f32, metres: f32) -> f32 {
    wavelength / (4.0 * std::f32::consts::PI * metres.max(0.01))
}

fn bounce(room: &Room, carrier_hz: f64, i: usize, direction: Vec3) -> Complex32 {
    let cos = direction.unit_or(Vec3::Z).axis(i / 2).abs();
    room.surfaces[i].reflection(carrier_hz, cos, i >= 4)
}

/// Where the line from `from` to `to` crosses surface `i`.
fn crossing(room: &Room, i: usize, from: Vec3, to: Vec3) -> Option<Vec3> {
    let axis = i / 2;
    let plane = if i.is_multiple_of(2) { 0.0 } else { room.size_m[axis] };
    let (a, b) = (from.axis(axis), to.axis(axis));
    let t = (plane - a) / (b - a);
    let p = from.lerp(to, t);
    let inside = (0..3).all(|k| k == axis || (-1e-4..=room.size_m[k] + 1e-4).contains(&p.axis(k)));
    (t.is_finite() && (0.0..=1.0).contains(&t) && inside).then_some(p)
}

/// All paths from `tx` to `rx` in the empty room: line of sight, one and two reflections, furniture.
/// Image method for a box: Allen and Berkley 1979; Fresnel coefficients at each bounce's own angle.
pub(crate) fn static_paths(
    room: &Room,
    carrier_hz: f64,
    wavelength: f32,
    tx: Vec3,
    rx: Vec3,
) -> Vec<StaticPath> {
    let mut paths = Vec::with_capacity(25 + room.furniture.len());
    let path = |via: Via, points: [Vec3; 4], used: usize, gain: Complex32, metres: f32| StaticPath {
        via,
        metres,
        amplitude: gain * friis(wavelength, metres),
        points,
        used,
    };
    paths.push(path(Via::Nothing, [tx, rx, rx, rx], 2, Complex32::new(1.0, 0.0), (rx - tx).norm()));
    for i in 0..6 {
        let image = mirror(room, i, tx);
        if room.surfaces[i] == Material::Absorber {
            continue;
        }
        if let Some(p) = crossing(room, i, image, rx) {
            let gain = bounce(room, carrier_hz, i, rx - image);
            paths.push(path(Via::Surface(i), [tx, p, rx, rx], 3, gain, (rx - image).norm()));
        }
        for j in 0..6 {
            if i == j || room.surfaces[j] == Material::Absorber {
                continue;
            }
            let second = mirror(room, j, image);
            let Some(q) = crossing(room, j, second, rx) else { continue };
            let Some(p) = crossing(room, i, image, q) else { continue };
            let gain = bounce(room, carrier_hz, i, q - image) * bounce(room, carrier_hz, j, rx - second);
            paths.push(path(Via::Surfaces(i, j), [tx, p, q, rx], 4, gain, (rx - second).norm()));
        }
    }
    for (k, f) in room.furniture.iter().enumerate() {
        let center = Vec3::from(f.center_m);
        let [a, b, c] = f.size_m.map(|s| s / 2.0);
        let (to_tx, to_rx) = (tx - center, rx - center);
        let (d1, d2) = (to_tx.norm().max(0.1), to_rx.norm().max(0.1));
        let (shorter, root_rcs) = scatter(v3(a, b, c), to_tx * (1.0 / d1) + to_rx * (1.0 / d2));
        let gain = f.material.reflection(carrier_hz, 1.0, false);
        // Inside its near field a large piece cannot scatter more than a mirror of its size would.
        let amplitude = (friis(wavelength, d1) * root_rcs / ((4.0 * std::f32::consts::PI).sqrt() * d2))
            .min(friis(wavelength, d1 + d2));
        paths.push(StaticPath {
            via: Via::Furniture(k),
            metres: (d1 + d2 - shorter).max(0.01),
            amplitude: gain * amplitude,
            points: [tx, center, rx, rx],
            used: 3,
        });
    }
    paths
}

impl StaticPath {
    /// Length of the same path between two antennas of the two nodes, metres; `reference` are the nodes' middles.
    pub fn between(&self, room: &Room, tx: Vec3, rx: Vec3, reference: (Vec3, Vec3)) -> f32 {
        match self.via {
            Via::Nothing => (rx - tx).norm(),
            Via::Surface(i) => (rx - mirror(room, i, tx)).norm(),
            Via::Surfaces(i, j) => (rx - mirror(room, j, mirror(room, i, tx))).norm(),
            Via::Furniture(_) => {
                let center = self.points[1];
                self.metres + (center - tx).norm() - (center - reference.0).norm() + (rx - center).norm()
                    - (reference.1 - center).norm()
            }
        }
    }
}

/// What a conducting ellipsoid does to a path over its centre, by geometric optics: how much shorter the way over the
/// specular point is, in metres, and the square root of the bistatic radar cross-section, in metres.
///
/// `s` is the sum of the unit vectors from the centre to both ends, along the ellipsoid's axes. The specular point's
/// normal is s/|s|; the support function there is h = √(a²nx² + b²ny² + c²nz²), the way is shorter by h |s|, and σ = π R1 R2
/// = π (abc)² / h⁴ (Crispin and Siegel 1968; Trott 2007). Valid off the forward direction, where `s` vanishes.
#[inline(always)]
pub(crate) fn scatter(radii: Vec3, s: Vec3) -> (f32, f32) {
    let w =
        radii.x * radii.x * s.x * s.x + radii.y * radii.y * s.y * s.y + radii.z * radii.z * s.z * s.z + 1e-9;
    let volume = radii.x * radii.y * radii.z;
    (w.sqrt(), std::f32::consts::PI.sqrt() * volume * s.dot(s) / w)
}
