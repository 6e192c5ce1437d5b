//! The MM-Fi set: suite `mmfi`.
//!
//! `E01/S01/A01/ground_truth.npy` (`[frame][17][3]`, metres) beside `wifi-csi/frame001.mat` and on (`CSIamp` and `CSIphase`, `[3][114][10]`:
//! antennas, subcarriers of 40 MHz, packets of a tenth of a second). Whatever recordings lie there are put into the published
//! protocols and splits, and the predictor that always answers the mean pose of the training part is measured on the others:
//! what a network must beat.

mod matlab;
mod protocol;

use std::path::{Path, PathBuf};

use invispose_kernels::{Complex32, Layout};

use self::protocol::{ACTIONS, ALL, SUBJECTS, environment, tested};
use super::npy;
use super::recordings::{EvaluationError, set_folder};
use super::report::{Figures, Report, figure};
use crate::csi::{CsiFrame, LinkId};

const LAYOUT: Layout = Layout::new(1, 3, 114);
/// Packets of a file, and seconds from one to the next.
const PACKETS: usize = 10;
const PACKET_NS: i64 = 10_000_000;
const JOINTS: usize = 17;

type Pose = [[f64; 3]; JOINTS];

/// The packets of one file, 10 ms apart, the first at 0. Values that are not finite, of which the set has some, are 0: not
/// received.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn packets(path: &Path) -> Result<Vec<CsiFrame>, EvaluationError> {
    let bytes =
        std::fs::read(path).map_err(|error| EvaluationError::Read { path: path.to_owned(), error })?;
    let fail = |problem: String| EvaluationError::Content { path: path.to_owned(), problem };
    let arrays = matlab::arrays(&bytes).map_err(fail)?;
    let shape = [usize::from(LAYOUT.rx), usize::from(LAYOUT.subcarriers), PACKETS];
    let named = |name: &str| {
        let found = arrays.iter().find(|a| a.name == name && a.shape == shape);
        found.ok_or_else(|| fail(format!("no array {name} of {shape:?}")))
    };
    let (amplitude, phase) = (named("CSIamp")?, named("CSIphase")?);
    let [antennas, tones, _] = shape;
    let packet = |k: usize| {
        let at = |i: usize| {
            // The first index runs fastest.
            let (antenna, tone) = (i / tones, i % tones);
            let at = antenna + antennas * (tone + tones * k);
            let v = Complex32::from_polar(amplitude.values[at] as f32, phase.values[at] as f32);
            if v.re.is_finite() && v.im.is_finite() { v } else { Complex32::default() }
        };
        let csi = (0..LAYOUT.values()).map(at).collect();
        CsiFrame { time_ns: k as i64 * PACKET_NS, ..CsiFrame::new(LinkId::new("mmfi"), LAYOUT, csi) }
    };
    Ok((0..PACKETS).map(packet).collect())
}

/// One recording.
struct Sequence {
    subject: u8,
    action: u8,
    poses: Vec<Pose>,
}

/// Runs the suite.
pub fn mmfi(data: &Path) -> Result<Report, EvaluationError> {
    let folder = set_folder(data, "mmfi");
    let mut all = Vec::new();
    let (mut values, mut damaged) = (0usize, 0usize);
    for (subject, action) in (1..=SUBJECTS).flat_map(|s| (1..=ACTIONS).map(move |a| (s, a))) {
        let own = folder.join(format!("E{:02}/S{subject:02}/A{action:02}", environment(subject)));
        let truth = own.join("ground_truth.npy");
        if !truth.is_file() {
            continue;
        }
        all.push(Sequence { subject, action, poses: poses(&truth)? });
        // All of them are 17 GB: the first of each says whether the set is whole.
        let first = packets(&own.join("wifi-csi/frame001.mat"))?;
        let csi = first.iter().flat_map(|p| &p.csi);
        values += csi.clone().count();
        damaged += csi.filter(|v| **v == Complex32::default()).count();
    }
    if all.is_empty() {
        let missing = "no recordings E01/S01/A01/ground_truth.npy with wifi-csi/frame001.mat";
        return Err(EvaluationError::Empty { folder, missing });
    }
    let metrics = Figures::from([
        ("recordings", all.len().into()),
        ("frames", all.iter().map(|s| s.poses.len()).sum::<usize>().into()),
        ("damaged_values", figure(damaged as f64 / values.max(1) as f64)),
    ]);
    Ok(Report {
        suite: "mmfi",
        split: "the published ones, P1 to P3 by random, cross-subject and cross-environment; none by frame".into(),
        metrics,
        baseline: Figures::from([("method", "the mean pose of each split's training part".into())]),
        more: ALL.into_iter().map(|(name, p, s)| (name, figures(&all, &tested(p, s)))).collect(),
        per_recording: Vec::new(),
        notes: vec![
            "no network here has learned from MM-Fi: its terms do not say that weights may be shipped, and it has no empty room and no positions of its radios, which the shipped one needs".into(),
            "damaged values are counted in the first file of each recording; they are left out".into(),
        ],
        plots: Vec::new(),
    })
}

fn poses(path: &Path) -> Result<Vec<Pose>, EvaluationError> {
    let (shape, values) = npy::numbers(path)?;
    let fail = |problem: String| EvaluationError::Content { path: PathBuf::from(path), problem };
    if shape.len() != 3 || shape[1..] != [JOINTS, 3] {
        return Err(fail(format!("shape {shape:?}, not frames of {JOINTS} joints of 3")));
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(fail(format!("frame {} holds what is no number", at / (3 * JOINTS))));
    }
    let pose = |v: &[f64]| std::array::from_fn(|j| std::array::from_fn(|i| v[3 * j + i]));
    Ok(values.chunks_exact(3 * JOINTS).map(pose).collect())
}

/// How far the mean pose of the training part is from the test part's poses.
fn figures(all: &[Sequence], tested: &[Vec<Option<bool>>]) -> Figures {
    let part = |test: bool| {
        let of = move |s: &&Sequence| tested[usize::from(s.action)][usize::from(s.subject)] == Some(test);
        all.iter().filter(of)
    };
    let poses = |test: bool| part(test).flat_map(|s| &s.poses);
    let learned = poses(false).count();
    let mut mean: Pose = [[0.0; 3]; JOINTS];
    for pose in poses(false) {
        for (m, p) in mean.iter_mut().flatten().zip(pose.iter().flatten()) {
            *m += p / learned as f64;
        }
    }
    let error = |a: &Pose, b: &Pose| {
        let distance =
            |(a, b): (&[f64; 3], &[f64; 3])| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
        a.iter().zip(b).map(distance).sum::<f64>() / JOINTS as f64
    };
    // The first joint of the set's skeleton is the middle of the hips.
    let relative = |p: &Pose| p.map(|j| -> [f64; 3] { std::array::from_fn(|i| j[i] - p[0][i]) });
    let judged = poses(true).count();
    let over = |one: &dyn Fn(&Pose) -> f64| {
        let none = learned == 0 || judged == 0;
        figure(if none { f64::NAN } else { 1000.0 * poses(true).map(one).sum::<f64>() / judged as f64 })
    };
    let centred = relative(&mean);
    Figures::from([
        ("train_recordings", part(false).count().into()),
        ("test_recordings", part(true).count().into()),
        ("mean_position_mpjpe_mm", over(&|p| error(&mean, p))),
        ("mean_pose_root_relative_mm", over(&|p| error(&centred, &relative(p)))),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Frames of the set, where they are at hand.
    #[test]
    fn real_frames_are_packets_of_finite_numbers() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/labelled/mmfi-frames");
        let Ok(files) = std::fs::read_dir(&folder) else {
            println!("skipped: no {}", folder.display());
            return;
        };
        for file in files.map(|f| f.unwrap().path()).filter(|f| f.extension().is_some_and(|e| e == "mat")) {
            let packets = packets(&file).unwrap();
            assert_eq!(packets.len(), 10);
            for packet in &packets {
                assert_eq!(packet.csi.len(), 342);
                assert!(packet.csi.iter().all(|v| v.re.is_finite() && v.im.is_finite()));
                let heard = packet.csi.iter().filter(|v| v.norm() > 0.0).count();
                assert!(heard > 300, "{}: {heard}", file.display());
            }
        }
    }

    #[test]
    fn the_mean_pose_is_measured_on_subjects_that_it_was_not_taken_from() {
        // Everybody lies flat and is as far along x as their number says; S05 and S10 are tested.
        let pose = |x: f64| -> Pose { std::array::from_fn(|j| [x, j as f64, 0.0]) };
        let all: Vec<Sequence> = (1..=10)
            .map(|s| Sequence { subject: s, action: 2, poses: vec![pose(f64::from(s)); 3] })
            .collect();
        let table = tested(protocol::Protocol::Daily, protocol::Split::CrossSubject);
        let found = figures(&all, &table);
        assert_eq!((&found["train_recordings"], &found["test_recordings"]), (&8.into(), &2.into()));
        // The others' mean is 5: S05 is there, S10 5 m away.
        assert_eq!(found["mean_position_mpjpe_mm"], figure(2500.0));
        assert_eq!(found["mean_pose_root_relative_mm"], figure(0.0));
        let others = tested(protocol::Protocol::Rehabilitation, protocol::Split::CrossSubject);
        assert_eq!(figures(&all, &others)["mean_position_mpjpe_mm"], serde_json::Value::Null);
    }
}
