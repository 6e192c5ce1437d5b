//! What a body does to a wave that passes it: diffraction by an opaque screen.

use invispose_kernels::Complex32;

use super::figure::Blocker;
use super::geom::Vec3;

/// C(x) and S(x), Fresnel's integrals ∫cos(πt²/2), ∫sin(πt²/2); error below 2e-3 (Abramowitz and Stegun 7.3.9, 7.3.10 with
/// the auxiliary functions 7.3.32 and 7.3.33).
fn fresnel(x: f32) -> (f32, f32) {
    let a = x.abs();
    let f = (1.0 + 0.926 * a) / (2.0 + 1.792 * a + 3.104 * a * a);
    let g = 1.0 / (2.0 + 4.142 * a + 3.492 * a * a + 6.670 * a * a * a);
    let (s, c) = super::phasor::sin_cos_turns(a * a * 0.25);
    let (cx, sx) = (0.5 + f * s - g * c, 0.5 - f * c - g * s);
    (cx.copysign(x), sx.copysign(x))
}

/// (1+j)/2 ∫_a^b exp(-jπt²/2) dt: the share of a plane wavefront that passes a slit from `a` to `b`, in Fresnel
/// parameters.
fn slit(a: f32, b: f32) -> Complex32 {
    let ((ca, sa), (cb, sb)) = (fresnel(a), fresnel(b));
    Complex32::new(0.5, 0.5) * Complex32::new(cb - ca, sa - sb)
}

/// Beyond this Fresnel parameter a screen beside the path is forgotten, with a smooth end.
const REACH: f32 = 6.0;

/// What of the field from `from` to `to` is missing behind the blocker: 1 - E/E₀ (Babinet; knife-edge diffraction at the
/// four edges of the blocker's outline as seen along the path, ITU-R P.526 for each pair of edges).
pub(crate) fn blocked(from: Vec3, to: Vec3, blocker: &Blocker, wavelength: f32) -> Complex32 {
    let none = Complex32::new(0.0, 0.0);
    let way = to - from;
    let length = way.norm();
    let dir = way.unit_or(Vec3::X);
    let middle = blocker.from.lerp(blocker.to, 0.5);
    let d1 = (middle - from).dot(dir);
    let d2 = length - d1;
    if d1 < 0.05 || d2 < 0.05 {
        return none;
    }
    // The outline's axis across the path, and the direction across both.
    let axis = blocker.to - blocker.from;
    let axis_across = axis - dir * axis.dot(dir);
    let half_length = 0.5 * axis_across.norm();
    let up = axis_across.unit_or((Vec3::Z - dir * dir.z).unit_or(Vec3::Y));
    let side = dir.cross(up);
    let wide = blocker.wide.dot(side).abs().min(1.0);
    let half_width = (blocker.half[0] * wide).hypot(blocker.half[1] * (1.0 - wide * wide).sqrt());
    let scale = (2.0 * length / (wavelength * d1 * d2)).sqrt();
    let offset = middle - from;
    let (u, v) = (offset.dot(up), offset.dot(side));
    // Seen end on, the outline is as high as it is wide.
    let half_height = half_length.max(half_width * 0.8);
    let near_v = (v.abs() - half_width) * scale;
    let near_u = (u.abs() - half_height) * scale;
    let nearest = near_v.max(near_u);
    if nearest > REACH {
        return none;
    }
    let fade = super::geom::smooth((REACH - nearest) / 3.0);
    slit((v - half_width) * scale, (v + half_width) * scale)
        * slit((u - half_height) * scale, (u + half_height) * scale)
        * fade
}

/// How much of a wave's amplitude survives on the way from a scatterer at `at` to `node` when the blocker is near the line,
/// 1 to `BEHIND`. Coarser than [`blocked`]: limbs are near the body that hides them, where no screen model holds.
pub(crate) fn hidden(at: Vec3, node: Vec3, blocker: &Blocker) -> f32 {
    /// Amplitude behind a body: creeping waves leave about 12 dB less (Fort et al. 2006, around the torso).
    const BEHIND: f32 = 0.25;
    let way = node - at;
    let dir = way.unit_or(Vec3::X);
    let middle = blocker.from.lerp(blocker.to, 0.5);
    let ahead = (middle - at).dot(dir);
    if ahead <= 0.0 {
        return 1.0;
    }
    let axis = blocker.to - blocker.from;
    let half_length = 0.5 * axis.norm();
    let axis = axis.unit_or(Vec3::Z);
    let off = middle - at - dir * ahead;
    let u = off.dot(axis).abs() / half_length.max(0.05);
    let across = off - axis * off.dot(axis);
    let wide = across.dot(blocker.wide);
    let thin = (across - blocker.wide * wide).norm();
    let v = (wide / blocker.half[0]).hypot(thin / blocker.half[1]);
    // From inside or at the surface (a limb at the trunk's side) the trunk hides gradually.
    let depth = super::geom::smooth(ahead / (blocker.half[1] * 1.5));
    let cover = super::geom::smooth(1.6 - u.max(v)) * depth;
    1.0 - (1.0 - BEHIND) * cover
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::geom::v3;

    #[test]
    fn fresnel_integrals_match_their_definition() {
        let (mut c, mut s) = (0.0f64, 0.0f64);
        let step = 1e-4;
        for i in 0..60_000 {
            let t = (f64::from(i) + 0.5) * step;
            let a = std::f64::consts::FRAC_PI_2 * t * t;
            c += a.cos() * step;
            s += a.sin() * step;
            if i % 500 == 499 {
                let (gc, gs) = fresnel((f64::from(i + 1) * step) as f32);
                assert!((f64::from(gc) - c).abs() < 3e-3 && (f64::from(gs) - s).abs() < 3e-3, "{i}");
            }
        }
    }

    #[test]
    fn a_half_plane_at_the_line_of_sight_halves_the_field() {
        // A screen from the line to far on one side, endless along its axis: E/E0 = 1/2.
        let b =
            Blocker { from: v3(5.0, 50.0, -80.0), to: v3(5.0, 50.0, 80.0), wide: Vec3::Y, half: [50.0, 0.1] };
        let missing = blocked(v3(0.0, 0.0, 0.0), v3(10.0, 0.0, 0.0), &b, 0.056);
        assert!((missing - Complex32::new(0.5, 0.0)).norm() < 0.02, "{missing}");
    }

    #[test]
    fn a_body_away_from_the_path_does_nothing() {
        let b = Blocker { from: v3(5.0, 3.0, 0.0), to: v3(5.0, 3.0, 1.7), wide: Vec3::Y, half: [0.2, 0.1] };
        assert_eq!(blocked(v3(0.0, 0.0, 1.0), v3(10.0, 0.0, 1.0), &b, 0.056), Complex32::new(0.0, 0.0));
    }
}
