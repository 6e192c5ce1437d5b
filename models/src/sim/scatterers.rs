//! What bodies scatter: the paths over every ellipsoid, direct and by way of one surface.
#![allow(unsafe_code)]

use super::figure::Segment;
use super::geom::{Frame, Vec3};
use super::phasor::{LANES, Lanes, Tones};
use super::room::Room;
use super::statics::mirror;

/// An antenna and its six mirror images in the room's surfaces: lane 0 the antenna, lanes 1 to 6 the images, the last
/// lane unused.
#[derive(Clone, Debug)]
pub(crate) struct Antenna {
    pub at: [Vec3; LANES],
    gain: [f32; LANES],
}

impl Antenna {
    pub fn new(room: &Room, carrier_hz: f64, at: Vec3) -> Self {
        let mut a = Self { at: [at; LANES], gain: [0.0; LANES] };
        a.gain[0] = 1.0;
        for i in 0..6 {
            a.at[i + 1] = mirror(room, i, at);
            // The angle of a body's bounce varies from limb to limb: 45° stands for all of them.
            let g = room.surfaces[i].reflection(carrier_hz, std::f32::consts::FRAC_1_SQRT_2, i >= 4);
            a.gain[i + 1] = g.norm().copysign(g.re);
        }
        a
    }
}

/// Legs between one antenna (and its images) and one segment, in the segment's frame.
#[derive(Clone, Copy)]
pub(crate) struct Legs {
    x: [f32; LANES],
    y: [f32; LANES],
    z: [f32; LANES],
    metres: [f32; LANES],
    /// Gain over distance.
    gain: [f32; LANES],
}

impl Legs {
    const NONE: Self =
        Self { x: [0.0; LANES], y: [0.0; LANES], z: [0.0; LANES], metres: [0.0; LANES], gain: [0.0; LANES] };

    #[inline(always)]
    pub fn between(segment: &Segment, antenna: &Antenna, visible: f32) -> Self {
        let mut legs = Self::NONE;
        let Frame { x, y, z } = segment.frame;
        for l in 0..LANES {
            let way = antenna.at[l] - segment.center;
            // Nearer than this the antenna would be inside the body.
            let metres = way.norm().max(0.25);
            let inv = 1.0 / metres;
            legs.x[l] = way.dot(x) * inv;
            legs.y[l] = way.dot(y) * inv;
            legs.z[l] = way.dot(z) * inv;
            legs.metres[l] = metres;
            legs.gain[l] = antenna.gain[l] * inv;
        }
        legs.gain[0] *= visible;
        legs
    }

    /// Every lane set to lane 0.
    #[inline(always)]
    fn direct(&self) -> Self {
        Self {
            x: [self.x[0]; LANES],
            y: [self.y[0]; LANES],
            z: [self.z[0]; LANES],
            metres: [self.metres[0]; LANES],
            gain: [self.gain[0]; LANES],
        }
    }

    /// Without the direct leg.
    #[inline(always)]
    fn bounced(mut self) -> Self {
        self.gain[0] = 0.0;
        self
    }
}

/// Lengths and amplitudes of the paths over one segment; see [`super::statics::scatter`] for the formula.
#[inline(always)]
fn over(segment: &Segment, scale: f32, a: &Legs, b: &Legs) -> ([f32; LANES], [f32; LANES]) {
    let r = segment.radii;
    let (rx, ry, rz) = (r.x * r.x, r.y * r.y, r.z * r.z);
    let k = scale * segment.reflection * r.x * r.y * r.z;
    let (mut metres, mut amplitude) = ([0.0; LANES], [0.0; LANES]);
    for l in 0..LANES {
        let (x, y, z) = (a.x[l] + b.x[l], a.y[l] + b.y[l], a.z[l] + b.z[l]);
        let (x, y, z) = (x * x, y * y, z * z);
        let w = rx * x + ry * y + rz * z + 1e-9;
        metres[l] = a.metres[l] + b.metres[l] - w.sqrt();
        amplitude[l] = k * (x + y + z) / w * (a.gain[l] * b.gain[l]);
    }
    (metres, amplitude)
}

/// Adds all paths over these segments: (segment, legs to the transmitting antenna, legs to the receiving one).
/// Each path has at most one reflection at a surface.
#[inline(always)]
fn add_all<'a>(
    lanes: &mut Lanes,
    tones: &Tones,
    scale: f32,
    paths: impl Iterator<Item = (&'a Segment, &'a Legs, &'a Legs)>,
) {
    for (segment, a, b) in paths {
        let (near, near_amplitude) = over(segment, scale, &a.direct(), b);
        let (far, far_amplitude) = over(segment, scale, &a.bounced(), &b.direct());
        lanes.add(tones, [(&near, &near_amplitude), (&far, &far_amplitude)]);
    }
}

/// [`add_all`] with vectors of eight. Multiplications and additions are not fused, so the results are those of the
/// ordinary build, bit for bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_all_avx2<'a>(
    lanes: &mut Lanes,
    tones: &Tones,
    scale: f32,
    paths: impl Iterator<Item = (&'a Segment, &'a Legs, &'a Legs)>,
) {
    add_all(lanes, tones, scale, paths);
}

/// Adds all paths over these segments with the widest vectors the processor has.
pub(crate) fn add_scattered<'a>(
    lanes: &mut Lanes,
    tones: &Tones,
    scale: f32,
    paths: impl Iterator<Item = (&'a Segment, &'a Legs, &'a Legs)>,
) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the function's only requirement is AVX2, and the processor has just been asked for it.
        unsafe { add_all_avx2(lanes, tones, scale, paths) };
        return;
    }
    add_all(lanes, tones, scale, paths);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::geom::v3;
    use crate::sim::statics::scatter;
    use invispose_kernels::Complex32;

    #[test]
    fn the_vectorised_scatterer_is_the_plain_formula() {
        let room = Room::plain([50.0; 3], crate::sim::room::Material::Absorber);
        let frame = Frame::heading(0.7).pitch(0.3);
        let segment =
            Segment { center: v3(20.0, 21.0, 1.3), frame, radii: v3(0.1, 0.2, 0.3), reflection: 0.7 };
        let (tx, rx) = (v3(17.0, 20.0, 1.0), v3(22.0, 25.0, 2.0));
        let [a, b] = [tx, rx].map(|p| Legs::between(&segment, &Antenna::new(&room, 5.32e9, p), 1.0));
        let (metres, amplitude) = over(&segment, 1.0, &a.direct(), &b);
        let [u, v] = [tx, rx].map(|p| p - segment.center);
        let s = u * (1.0 / u.norm()) + v * (1.0 / v.norm());
        let s = v3(s.dot(frame.x), s.dot(frame.y), s.dot(frame.z));
        let (shorter, root_rcs) = scatter(segment.radii, s);
        assert!((metres[0] - (u.norm() + v.norm() - shorter)).abs() < 1e-5);
        let expected = 0.7 * root_rcs / std::f32::consts::PI.sqrt() / (u.norm() * v.norm());
        assert!((amplitude[0] - expected).abs() < 1e-5 * expected);
        assert!(amplitude[1..].iter().all(|a| *a == 0.0));
    }

    #[test]
    fn wide_vectors_give_the_same_bits() {
        let room = Room::plain([6.0, 5.0, 3.0], crate::sim::room::Material::Concrete);
        let index: Vec<i16> = (-28..28).collect();
        let tones = Tones::new(5.32e9, 312_500.0, &index);
        let at = |i: usize| v3(2.0 + 0.1 * i as f32, 3.0 - 0.07 * i as f32, 1.0);
        let segments: Vec<Segment> = (0..9)
            .map(|i| Segment {
                center: at(i),
                frame: Frame::heading(i as f32),
                radii: v3(0.1, 0.2, 0.05 * (i + 1) as f32),
                reflection: 0.7,
            })
            .collect();
        let [tx, rx] = [v3(0.3, 0.4, 1.0), v3(5.0, 4.0, 2.0)].map(|p| Antenna::new(&room, 5.32e9, p));
        let legs: Vec<_> =
            segments.iter().map(|s| (Legs::between(s, &tx, 1.0), Legs::between(s, &rx, 0.9))).collect();
        let paths = || segments.iter().zip(&legs).map(|(s, (a, b))| (s, a, b));
        let (mut plain, mut wide) = (Lanes::new(&tones), Lanes::new(&tones));
        add_all(&mut plain, &tones, 0.01, paths());
        add_scattered(&mut wide, &tones, 0.01, paths());
        let [mut a, mut b] = [(); 2].map(|()| vec![Complex32::default(); index.len()]);
        plain.fold_into(&mut a);
        wide.fold_into(&mut b);
        assert_eq!(a, b);
        assert!(a.iter().all(|v| v.norm() > 0.0));
    }

    /// The phase of a small sphere's echo turns by the change of its path: Doppler shift (v·u_tx + v·u_rx) / λ.
    #[test]
    fn a_moving_point_scatterer_has_its_doppler_shift() {
        let room = Room::plain([50.0; 3], crate::sim::room::Material::Absorber);
        let tones = Tones::new(5.32e9, 312_500.0, &[0]);
        let wavelength = (crate::sim::phasor::SPEED_OF_LIGHT / 5.32e9) as f32;
        let [tx, rx] = [v3(1.0, 2.0, 1.0), v3(9.0, 3.0, 1.5)];
        let velocity = v3(1.0, -0.7, 0.2);
        let echo = |t: f32| {
            let s = Segment {
                center: v3(4.0, 9.0, 1.0) + velocity * t,
                frame: Frame::heading(0.0),
                radii: v3(0.01, 0.01, 0.01),
                reflection: 1.0,
            };
            let [a, b] = [tx, rx].map(|p| Legs::between(&s, &Antenna::new(&room, 5.32e9, p), 1.0));
            let mut lanes = Lanes::new(&tones);
            add_scattered(&mut lanes, &tones, 1.0, [(&s, &a, &b)].into_iter());
            let mut out = [Complex32::default()];
            lanes.fold_into(&mut out);
            out[0]
        };
        let dt = 0.001;
        let turned = (echo(dt) / echo(-dt)).arg() / std::f32::consts::TAU / (2.0 * dt);
        let at = v3(4.0, 9.0, 1.0);
        let [u, w] = [tx, rx].map(|p| (p - at) * (1.0 / (p - at).norm()));
        let expected = (velocity.dot(u) + velocity.dot(w)) / wavelength;
        assert!((turned - expected).abs() < 0.5, "{turned} Hz, {expected} Hz");
    }
}
