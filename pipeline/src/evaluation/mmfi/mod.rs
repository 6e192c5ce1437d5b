//! The MM-Fi set: Yang et al., "MM-Fi: Multi-Modal Non-Intrusive 4D Human Dataset for Versatile Wireless Sensing", NeurIPS 2023, and
//! its published loader (`ybhbingo/MMFi_dataset` on GitHub).
//!
//! `E01/S01/A01/ground_truth.npy` (`[frame][17][3]`, metres in the camera's coordinates) beside `wifi-csi/frame001.mat` and on (`CSIamp` and
//! `CSIphase`, `[3][114][10]`: antennas, subcarriers of 40 MHz, packets of a tenth of a second). A frame whose packets are missing, empty or
//! damaged is left out, as the published loader leaves out the empty ones. Where the radios and the camera stood is not published:
//! here they stand where nobody measured them, always the same, so that a network can learn nothing from it.

mod protocol;

use std::path::{Path, PathBuf};

use invispose_kernels::{Complex32, Layout};

use self::protocol::{ACTIONS, ALL, SUBJECTS, environment, tested};
use super::recordings::EvaluationError;
use super::sets::{Camera, Order, Part, PoseRecording, PublicSet, Received, Seen, SetLink, Truth};
use super::{matlab, npy};
use crate::csi::{CsiFrame, LinkId};

/// The set.
pub const SET: PublicSet = PublicSet {
    name: "mmfi",
    splits: || ALL.map(|(name, ..)| name).to_vec(),
    recordings,
    notes: &[
        "where the radios stood is not published: they stand where nobody measured them",
        "its terms do not say that weights may be shipped: the program's own have not learned from it",
    ],
};

const LAYOUT: Layout = Layout::new(1, 3, 114);
/// Packets of a file, and seconds from one to the next.
const PACKETS: usize = 10;
const PACKET_NS: i64 = 10_000_000;
const JOINTS: usize = 17;
/// No recording has so many frames; the set's have 297.
const MOST_FRAMES: usize = 100_000;

/// The 17 joints of Human3.6M (Ionescu et al., 2014) as reduced by Martinez et al., "A Simple Yet Effective Baseline for 3D Human Pose
/// Estimation", 2017, whose format the set's poses have: middle of the hips; right hip, knee, foot; left hip, knee, foot; spine,
/// thorax, neck, head; left shoulder, elbow, wrist; right shoulder, elbow, wrist.
const ORDER: Order = Order::limbs([11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3], 10);

/// A room that holds what the set shows, and where its camera and radios stand in it: not measured by anybody.
const ROOM_M: [f32; 3] = [6.0, 6.0, 3.0];
const CAMERA: Camera = Camera([3.0, 0.5, 1.2]);
const TRANSMITTER_M: [f32; 3] = [1.0, 3.0, 1.2];
const RECEIVER_M: [f32; 3] = [5.0, 3.0, 1.2];

/// The packets of one file, 10 ms apart, the first at 0. Values that are not finite, of which the set has some, are 0: not
/// received.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn packets(path: &Path) -> Result<Vec<CsiFrame>, EvaluationError> {
    let (arrays, fail) = matlab::read(path)?;
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

struct Recording {
    folder: PathBuf,
    subject: u8,
    action: u8,
}

fn recordings(folder: &Path) -> Result<Vec<Box<dyn PoseRecording>>, EvaluationError> {
    let all = (1..=SUBJECTS).flat_map(|s| (1..=ACTIONS).map(move |a| (s, a)));
    let own = |(subject, action)| {
        let path = format!("E{:02}/S{subject:02}/A{action:02}", environment(subject));
        Recording { folder: folder.join(path), subject, action }
    };
    let there = all.map(own).filter(|r| r.folder.join(TRUTH).is_file());
    let found: Vec<Box<dyn PoseRecording>> = there.map(|r| Box::new(r) as Box<dyn PoseRecording>).collect();
    if found.is_empty() {
        let missing = "no recordings E01/S01/A01/ground_truth.npy with wifi-csi/frame001.mat";
        return Err(EvaluationError::Empty { folder: folder.to_owned(), missing });
    }
    Ok(found)
}

const TRUTH: &str = "ground_truth.npy";

impl Recording {
    /// Of each frame the 17 joints in the camera's coordinates, metres.
    fn poses(&self) -> Result<Vec<[[f32; 3]; JOINTS]>, EvaluationError> {
        let path = self.folder.join(TRUTH);
        let (shape, values) = npy::numbers(&path)?;
        let fail = |problem: String| EvaluationError::Content { path: path.clone(), problem };
        if shape.len() != 3 || shape[1..] != [JOINTS, 3] || shape[0] > MOST_FRAMES {
            return Err(fail(format!("shape {shape:?}, not frames of {JOINTS} joints of 3")));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(fail(format!("frame {} holds what is no number", at / (3 * JOINTS))));
        }
        let pose = |v: &[f64]| std::array::from_fn(|j| std::array::from_fn(|i| v[3 * j + i] as f32));
        Ok(values.chunks_exact(3 * JOINTS).map(pose).collect())
    }
}

impl PoseRecording for Recording {
    fn name(&self) -> String {
        format!("E{:02}/S{:02}/A{:02}", environment(self.subject), self.subject, self.action)
    }

    fn group(&self) -> String {
        format!("S{:02}", self.subject)
    }

    fn room(&self) -> Option<&'static str> {
        ["E01", "E02", "E03", "E04"].get(usize::from(environment(self.subject)) - 1).copied()
    }

    fn part(&self, split: &str) -> Option<Part> {
        let (_, protocol, split) = ALL.into_iter().find(|(name, ..)| *name == split)?;
        let test = tested(protocol, split)[usize::from(self.action)][usize::from(self.subject)]?;
        Some(if test { Part::Test } else { Part::Train })
    }

    /// A frame's pose is that at its last packet.
    fn truth(&self) -> Result<Truth, EvaluationError> {
        let time_s = |frame: usize| ((frame + 1) * PACKETS - 1) as f64 * PACKET_NS as f64 / 1e9;
        let seen = |(frame, pose): (usize, [[f32; 3]; JOINTS])| {
            let body = ORDER.body(|j| pose.get(j).copied())?;
            Some(Seen { time_s: time_s(frame), persons: vec![body] })
        };
        let seen = self.poses()?.into_iter().enumerate().filter_map(seen).collect();
        Ok(Truth::Metres { room_m: ROOM_M, seen: CAMERA.to_site(seen) })
    }

    fn received(&self) -> Result<Received, EvaluationError> {
        let (mut all, mut left_out) = (Vec::new(), Vec::new());
        for frame in 0..self.poses()?.len() {
            let file = format!("wifi-csi/frame{:03}.mat", frame + 1);
            match packets(&self.folder.join(file)) {
                Ok(packets) => all.extend(
                    packets
                        .into_iter()
                        .map(|p| CsiFrame { time_ns: p.time_ns + (frame * PACKETS) as i64 * PACKET_NS, ..p }),
                ),
                Err(problem) => left_out.push(problem.to_string()),
            }
        }
        let link = SetLink { transmitter_m: TRANSMITTER_M, receiver_m: RECEIVER_M, packets: all };
        Ok(Received { links: vec![link], left_out })
    }
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
}
