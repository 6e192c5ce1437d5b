//! Sums over frames.

use serde::Serialize;

use super::{
    metrics::{Pose, angle_between, distance, known, mpjpe, oks, pa_mpjpe, pck, relative, root, yaw},
    sums::SURE,
};
use crate::{
    data::Person,
    network::JOINTS,
    predictor::{Activity, Detection},
};

/// Figures over a set of true persons; lengths in millimetres.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// True persons compared.
    pub persons: usize,
    /// Mean per-joint position error.
    pub mpjpe_mm: f64,
    /// Error of the middle of the hips.
    pub root_mm: f64,
    /// Mean per-joint error with both roots at the origin.
    pub root_relative_mm: f64,
    /// Mean per-joint error after the best similarity transform.
    pub pa_mpjpe_mm: f64,
    /// Error of where the body faces, degrees.
    pub yaw_deg: f64,
    /// Share of joints within a fifth of the torso, absolute positions.
    pub pck20: f64,
    /// The same within a twentieth of the torso.
    pub pck5: f64,
    /// The same within a tenth.
    pub pck10: f64,
    /// The same within half of it.
    pub pck50: f64,
    /// The same with both roots at the origin.
    pub root_relative_pck20: f64,
    /// Average precision: mean over object keypoint similarities of 0.50, 0.55 … 0.95.
    pub ap: f64,
    /// Share of true persons with a detection of confidence 0.5 within half a metre of the root.
    pub recall: f64,
    /// Share of persons whose activity was named.
    pub activity_accuracy: f64,
    /// Error of the mean pose at the mean position.
    pub mean_position_mpjpe_mm: f64,
    /// Error of the mean pose at the true position.
    pub mean_pose_root_relative_mm: f64,
    /// Share of joints within a fifth of the torso, mean pose at the mean position.
    pub mean_pose_pck20: f64,
    /// The same at the true position.
    pub mean_pose_root_relative_pck20: f64,
}

/// Similarities at which precision is averaged.
const THRESHOLDS: [f32; 10] = [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95];
const FOUND_M: f32 = 0.5;

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    persons: usize,
    /// Persons for whom there was a slot left; two slots can see one body, then one person goes without.
    answered: usize,
    sums: [f64; 11],
    baselines: [f64; 4],
    /// Errors of each joint with both roots at the origin, metres, and of how many persons.
    joints: [(f64, usize); JOINTS],
    found: usize,
    /// Detections of confidence 0.5, those of them within reach of somebody, and by how many they are too many or too few.
    sure: usize,
    sure_right: usize,
    miscounted: usize,
    frames: usize,
    /// Confidence of each detection, and for each threshold whether it is a true one.
    detections: Vec<(f32, [bool; THRESHOLDS.len()])>,
    truths: usize,
}

impl Tally {
    /// Adds a true person and the detection that stands for them.
    pub fn person(
        &mut self,
        found: Option<&Detection>,
        truth: &Person,
        mean: &Pose,
        activity: Option<Activity>,
    ) {
        self.persons += 1;
        let t = &truth.keypoints_m;
        let t_relative = relative(t);
        let mean_relative = relative(mean);
        let baseline = [
            mpjpe(mean, t),
            mpjpe(&mean_relative, &t_relative),
            pck(mean, t, 0.2),
            pck(&mean_relative, &t_relative, 0.2),
        ];
        for (sum, value) in self.baselines.iter_mut().zip(baseline) {
            *sum += f64::from(value);
        }
        let Some(d) = found else { return };
        self.answered += 1;
        let p = &d.keypoints;
        let r = distance(root(p), root(t));
        self.found += usize::from(d.confidence >= SURE && r <= FOUND_M);
        let values = [
            mpjpe(p, t),
            r,
            mpjpe(&relative(p), &t_relative),
            pa_mpjpe(p, t),
            angle_between(yaw(p), yaw(t)).to_degrees(),
            pck(p, t, 0.2),
            pck(&relative(p), &t_relative, 0.2),
            f32::from(u8::from(activity == Some(d.activity))),
            pck(p, t, 0.05),
            pck(p, t, 0.1),
            pck(p, t, 0.5),
        ];
        for (((sum, count), p), t) in self.joints.iter_mut().zip(&relative(p)).zip(&t_relative) {
            if known(t) {
                *sum += f64::from(distance(*p, *t));
                *count += 1;
            }
        }
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += f64::from(value);
        }
    }

    /// Adds a frame's detections, for the average precision. The likelier choose first, each the truth most like it.
    pub fn frame(&mut self, detections: &[Detection], truths: &[Pose]) {
        self.truths += truths.len();
        self.frames += 1;
        let sure = detections.iter().filter(|d| d.confidence >= SURE);
        let mut free: Vec<[f32; 3]> = truths.iter().map(root).collect();
        for d in sure.clone() {
            let at = root(&d.keypoints);
            let near = |i: &usize| distance(free[*i], at);
            if let Some(i) = (0..free.len()).min_by(|a, b| near(a).total_cmp(&near(b)))
                && near(&i) <= FOUND_M
            {
                free.swap_remove(i);
                self.sure_right += 1;
            }
        }
        self.sure += sure.clone().count();
        self.miscounted += sure.count().abs_diff(truths.len());
        let mut taken = vec![[false; THRESHOLDS.len()]; truths.len()];
        for d in detections {
            let likeness: Vec<f32> = truths.iter().map(|t| oks(&d.keypoints, t)).collect();
            let hits = std::array::from_fn(|k| {
                let best = (0..truths.len())
                    .filter(|&t| !taken[t][k] && likeness[t] >= THRESHOLDS[k])
                    .max_by(|&a, &b| likeness[a].total_cmp(&likeness[b]));
                if let Some(t) = best {
                    taken[t][k] = true;
                }
                best.is_some()
            });
            self.detections.push((d.confidence, hits));
        }
    }

    pub fn scores(&self) -> Scores {
        let all = self.persons.max(1) as f64;
        let of = |i: usize| self.sums[i] / self.answered.max(1) as f64;
        let base = |i: usize| self.baselines[i] / all;
        Scores {
            persons: self.persons,
            mpjpe_mm: 1000.0 * of(0),
            root_mm: 1000.0 * of(1),
            root_relative_mm: 1000.0 * of(2),
            pa_mpjpe_mm: 1000.0 * of(3),
            yaw_deg: of(4),
            pck20: of(5),
            pck5: of(8),
            pck10: of(9),
            pck50: of(10),
            root_relative_pck20: of(6),
            ap: self.average_precision(),
            recall: self.found as f64 / all,
            activity_accuracy: of(7),
            mean_position_mpjpe_mm: 1000.0 * base(0),
            mean_pose_root_relative_mm: 1000.0 * base(1),
            mean_pose_pck20: base(2),
            mean_pose_root_relative_pck20: base(3),
        }
    }

    /// Share of reported people who are near somebody; 1 where nobody is reported.
    pub fn precision(&self) -> f64 {
        if self.sure == 0 { 1.0 } else { self.sure_right as f64 / self.sure as f64 }
    }

    /// By how many the number of reported people is off, on average.
    pub fn count_error(&self) -> f64 {
        self.miscounted as f64 / self.frames.max(1) as f64
    }

    /// Mean error of each joint with both roots at the origin, millimetres; no number where nobody knows it.
    pub fn joints_mm(&self) -> Vec<f64> {
        self.joints.iter().map(|(sum, count)| 1000.0 * sum / *count as f64).collect()
    }

    /// Area under the precision-recall curve with precision made non-increasing, mean over the thresholds.
    fn average_precision(&self) -> f64 {
        if self.truths == 0 {
            return 0.0;
        }
        let mut sorted = self.detections.clone();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let one = |k: usize| {
            let mut hits = 0usize;
            let mut points: Vec<(f64, f64)> = sorted
                .iter()
                .enumerate()
                .map(|(i, (_, hit))| {
                    hits += usize::from(hit[k]);
                    (hits as f64 / self.truths as f64, hits as f64 / (i + 1) as f64)
                })
                .collect();
            for i in (1..points.len()).rev() {
                points[i - 1].1 = points[i - 1].1.max(points[i].1);
            }
            let mut before = 0.0;
            points
                .iter()
                .map(|(recall, precision)| {
                    let area = (recall - before) * precision;
                    before = *recall;
                    area
                })
                .sum::<f64>()
        };
        (0..THRESHOLDS.len()).map(one).sum::<f64>() / THRESHOLDS.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pose(x: f32) -> Pose {
        std::array::from_fn(|j| [x + 0.02 * j as f32, 0.01 * (j % 2) as f32, 1.7 - 0.1 * j as f32])
    }

    fn detection(x: f32, confidence: f32) -> Detection {
        Detection {
            confidence,
            keypoints: pose(x),
            keypoint_confidence: [0.5; 17],
            activity: Activity::Standing,
        }
    }

    #[test]
    fn average_precision_is_that_of_the_textbook() {
        let mut t = Tally::default();
        // Two truths: the likeliest detection is right, the next wrong, the last right: 1/2·1 + 1/2·2/3.
        t.frame(&[detection(0.0, 0.9), detection(30.0, 0.8), detection(5.0, 0.7)], &[pose(0.0), pose(5.0)]);
        assert!((t.scores().ap - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-9, "{}", t.scores().ap);
        // One of the three is nobody, and they are one too many.
        assert!((t.precision() - 2.0 / 3.0).abs() < 1e-9 && t.count_error() == 1.0);
    }

    #[test]
    fn a_perfect_answer_has_no_error_and_the_mean_has() {
        let mut t = Tally::default();
        let truth = Person { keypoints_m: pose(1.0), activity: Some(0), pose_known: true };
        t.person(Some(&detection(1.0, 0.9)), &truth, &pose(3.0), Some(Activity::Standing));
        let s = t.scores();
        assert_eq!(
            (s.mpjpe_mm, s.root_mm, s.pck20, s.recall, s.activity_accuracy),
            (0.0, 0.0, 1.0, 1.0, 1.0)
        );
        assert!((s.mean_position_mpjpe_mm - 2000.0).abs() < 1.0 && s.mean_pose_root_relative_mm < 1.0);
    }
}
