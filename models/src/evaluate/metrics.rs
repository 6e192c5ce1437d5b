//! Distances between poses, over the joints that are known: a joint that a set of recordings does not tell has coordinates that are
//! no numbers ([`UNKNOWN`]).

use crate::network::JOINTS;

/// Keypoints in metres, COCO order.
pub type Pose = [[f32; 3]; JOINTS];

const LEFT_SHOULDER: usize = 5;
const RIGHT_SHOULDER: usize = 6;
const LEFT_HIP: usize = 11;
const RIGHT_HIP: usize = 12;

/// COCO's per-keypoint constants, twice the standard deviations of <https://cocodataset.org/#keypoints-eval>.
const OKS_K: [f32; JOINTS] = [
    0.052, 0.050, 0.050, 0.070, 0.070, 0.158, 0.158, 0.144, 0.144, 0.124, 0.124, 0.214, 0.214, 0.174, 0.174,
    0.178, 0.178,
];

/// A joint of which nobody knows where it is.
pub const UNKNOWN: [f32; 3] = [f32::NAN; 3];

/// Whether somebody knows where it is.
pub fn known(joint: &[f32; 3]) -> bool {
    joint.iter().all(|v| v.is_finite())
}

/// Each joint's two places, of the joints that are known in both poses, with its index.
fn pairs<'a>(a: &'a Pose, b: &'a Pose) -> impl Iterator<Item = (usize, [f32; 3], [f32; 3])> {
    let all = a.iter().zip(b).enumerate();
    all.filter(|(_, (a, b))| known(a) && known(b)).map(|(j, (a, b))| (j, *a, *b))
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0.0f32, 0usize), |(sum, count), v| (sum + v, count + 1));
    sum / count.max(1) as f32
}

/// Euclidean distance in metres.
pub fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f32>().sqrt()
}

/// The root: the middle of the hips.
pub fn root(pose: &Pose) -> [f32; 3] {
    std::array::from_fn(|i| 0.5 * (pose[LEFT_HIP][i] + pose[RIGHT_HIP][i]))
}

/// The pose shifted so that its root is the origin.
pub fn relative(pose: &Pose) -> Pose {
    let r = root(pose);
    pose.map(|p| std::array::from_fn(|i| p[i] - r[i]))
}

/// Mean per-joint position error in metres.
pub fn mpjpe(a: &Pose, b: &Pose) -> f32 {
    mean(pairs(a, b).map(|(_, a, b)| distance(a, b)))
}

/// Share of joints nearer to the truth than `share` of the torso (right shoulder to left hip of the truth).
pub fn pck(predicted: &Pose, truth: &Pose, share: f32) -> f32 {
    let limit = share * distance(truth[RIGHT_SHOULDER], truth[LEFT_HIP]);
    mean(pairs(predicted, truth).map(|(_, p, t)| f32::from(u8::from(distance(p, t) <= limit))))
}

/// Where the body faces: the horizontal normal of the line through hips and shoulders, radians.
pub fn yaw(pose: &Pose) -> f32 {
    let right =
        |i: usize| pose[RIGHT_HIP][i] + pose[RIGHT_SHOULDER][i] - pose[LEFT_HIP][i] - pose[LEFT_SHOULDER][i];
    // Facing is up × right.
    right(0).atan2(-right(1))
}

/// Absolute difference of two angles, radians, 0..π.
pub fn angle_between(a: f32, b: f32) -> f32 {
    let d = (a - b).rem_euclid(std::f32::consts::TAU);
    d.min(std::f32::consts::TAU - d)
}

/// Object keypoint similarity, 0..1, of COCO's definition with distances in metres; the object's area is the person's
/// height times their wider horizontal extent, at least a quarter of a square metre.
pub fn oks(predicted: &Pose, truth: &Pose) -> f32 {
    let extent = |i: usize| {
        let (low, high) = truth.iter().fold((f32::MAX, f32::MIN), |(l, h), p| (l.min(p[i]), h.max(p[i])));
        high - low
    };
    let area = (extent(2) * extent(0).max(extent(1))).max(0.25);
    let likeness = |j: usize, d: f32| (-d.powi(2) / (2.0 * area * OKS_K[j] * OKS_K[j])).exp();
    mean(pairs(predicted, truth).map(|(j, p, t)| likeness(j, distance(p, t))))
}

/// Mean per-joint error in metres after the similarity transform that fits best (Umeyama 1991, with the rotation by
/// Horn's unit quaternions, 1987).
pub fn pa_mpjpe(predicted: &Pose, truth: &Pose) -> f32 {
    let (p, t): (Vec<[f32; 3]>, Vec<[f32; 3]>) = pairs(predicted, truth).map(|(_, p, t)| (p, t)).unzip();
    let joints = p.len().max(1) as f64;
    let centred = |points: &[[f32; 3]]| -> Vec<[f64; 3]> {
        let mean: [f64; 3] =
            std::array::from_fn(|i| points.iter().map(|v| f64::from(v[i])).sum::<f64>() / joints);
        points.iter().map(|v| std::array::from_fn(|i| f64::from(v[i]) - mean[i])).collect()
    };
    let (p, t) = (centred(&p), centred(&t));
    let mut s = [[0.0f64; 3]; 3];
    for (p, t) in p.iter().zip(&t) {
        for (row, p) in s.iter_mut().zip(p) {
            for (cell, t) in row.iter_mut().zip(t) {
                *cell += p * t;
            }
        }
    }
    let [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = s;
    let n = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
    ];
    let [w, x, y, z] = dominant(n);
    let r = [
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ];
    let turned: Vec<[f64; 3]> =
        p.iter().map(|p| std::array::from_fn(|i| (0..3).map(|j| r[i][j] * p[j]).sum())).collect();
    let dot = |a: &[[f64; 3]], b: &[[f64; 3]]| -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| a * b).sum()
    };
    let size = dot(&p, &p);
    let scale = if size > 1e-12 { dot(&turned, &t) / size } else { 0.0 };
    let error =
        |(a, b): (&[f64; 3], &[f64; 3])| (0..3).map(|i| (scale * a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
    (turned.iter().zip(&t).map(error).sum::<f64>() / joints) as f32
}

/// Unit eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi rotations.
fn dominant(mut a: [[f64; 4]; 4]) -> [f64; 4] {
    let mut v = [[0.0; 4]; 4];
    for (i, row) in v.iter_mut().enumerate() {
        row[i] = 1.0;
    }
    for _ in 0..24 {
        for p in 0..3 {
            for q in p + 1..4 {
                if a[p][q].abs() < 1e-15 {
                    continue;
                }
                let theta = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = theta.sin_cos();
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (c * x - s * y, s * x + c * y);
                }
                let (x, y) = (a[p], a[q]);
                for k in 0..4 {
                    (a[p][k], a[q][k]) = (c * x[k] - s * y[k], s * x[k] + c * y[k]);
                }
                for row in &mut v {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let best = (0..4).max_by(|&i, &j| a[i][i].total_cmp(&a[j][j])).unwrap_or(0);
    v.map(|row| row[best])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pose() -> Pose {
        std::array::from_fn(|j| {
            let t = j as f32;
            [(t * 1.3).sin() * 0.4, (t * 0.7).cos() * 0.2 + 0.05 * t, 1.7 - 0.1 * t]
        })
    }

    fn turned(p: &Pose, angle: f32, scale: f32, shift: [f32; 3]) -> Pose {
        let (s, c) = angle.sin_cos();
        p.map(|[x, y, z]| {
            [scale * (c * x - s * y) + shift[0], scale * (s * x + c * y) + shift[1], scale * z + shift[2]]
        })
    }

    #[test]
    fn similarity_transforms_cost_nothing_after_alignment() {
        let p = pose();
        for angle in [0.0, 0.3, 1.7, 3.1, -2.2] {
            let q = turned(&p, angle, 1.4, [2.0, -1.0, 0.3]);
            assert!(pa_mpjpe(&p, &q) < 1e-5, "{angle}: {}", pa_mpjpe(&p, &q));
            assert!(mpjpe(&p, &q) > 0.3);
        }
    }

    #[test]
    fn alignment_never_makes_worse_and_a_mirror_is_no_rotation() {
        let p = pose();
        let mirrored = p.map(|[x, y, z]| [-x, y, z]);
        assert!(pa_mpjpe(&p, &mirrored) > 0.02);
        assert!(pa_mpjpe(&p, &mirrored) <= mpjpe(&relative(&p), &relative(&mirrored)) + 0.05);
    }

    #[test]
    fn a_joint_that_nobody_knows_counts_for_nothing() {
        let truth = pose();
        let mut partly = truth;
        (partly[0], partly[9]) = (UNKNOWN, UNKNOWN);
        let mut found = turned(&truth, 0.0, 1.0, [0.3, 0.0, 0.0]);
        // However wrong it is where nobody knows better.
        (found[0], found[9]) = ([50.0; 3], [-50.0; 3]);
        assert!((mpjpe(&found, &partly) - 0.3).abs() < 1e-5, "{}", mpjpe(&found, &partly));
        assert!(pa_mpjpe(&found, &partly) < 1e-5 && pa_mpjpe(&found, &truth) > 0.05);
        assert!(
            (oks(&found, &partly) - oks(&turned(&truth, 0.0, 1.0, [0.3, 0.0, 0.0]), &partly)).abs() < 1e-6
        );
        assert_eq!(pck(&truth, &partly, 0.2), 1.0);
    }

    #[test]
    fn yaw_follows_a_turn_and_points_where_the_left_side_is_on_the_left() {
        let mut p = pose();
        // Facing +x: the left side lies at +y.
        (p[LEFT_HIP], p[RIGHT_HIP]) = ([0.0, 0.1, 0.9], [0.0, -0.1, 0.9]);
        (p[LEFT_SHOULDER], p[RIGHT_SHOULDER]) = ([0.0, 0.2, 1.4], [0.0, -0.2, 1.4]);
        assert!(angle_between(yaw(&p), 0.0) < 1e-6);
        let q = turned(&p, 2.5, 1.0, [0.0; 3]);
        assert!((angle_between(yaw(&p), yaw(&q)) - 2.5).abs() < 1e-5);
    }

    #[test]
    fn a_perfect_answer_is_perfect() {
        let p = pose();
        assert_eq!((mpjpe(&p, &p), pck(&p, &p, 0.2), oks(&p, &p)), (0.0, 1.0, 1.0));
        assert!(
            oks(&turned(&p, 0.0, 1.0, [0.1, 0.0, 0.0]), &p)
                < oks(&turned(&p, 0.0, 1.0, [0.05, 0.0, 0.0]), &p)
        );
    }
}
