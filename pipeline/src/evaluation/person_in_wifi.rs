//! The set of Person-in-WiFi 3D: Yan et al., "Person-in-WiFi 3D: End-to-End Multi-Person 3D Pose Estimation with Wi-Fi", CVPR 2024, and its
//! published loader (`aiotgroup/Person-in-WiFi-3D-repo` on GitHub, `opera/datasets/wifi_pose.py`).
//!
//! `train_data/train_data_list.txt` and `test_data/test_data_list.txt` name frames, one a line: `RECORDING_NUMBER_FRAME`, of which the first two
//! are a recording of 40 s at 15 frames a second. Of each frame `csi/NAME.mat` (`csi_out`, complex, `[3][3][30][20]`: receivers, antennas,
//! subcarriers, packets) and `keypoint/NAME.npy` (`[person][14][3]`, metres in the camera's coordinates: to its right, up or down, ahead).
//! The transmitter and the receivers stand at the corners of 4 m × 3.5 m; which at which, and how high, is not published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use invispose_kernels::{Complex32, Layout};

use super::recordings::{EvaluationError, text};
use super::sets::{Camera, Order, Part, PoseRecording, PublicSet, Received, Seen, SetLink, Truth};
use super::{matlab, npy};
use crate::csi::{CsiFrame, LinkId};

/// The set.
pub const SET: PublicSet = PublicSet {
    name: "person-in-wifi-3d",
    splits: || SPLITS.to_vec(),
    recordings,
    notes: &[
        "which of the radios stood at which corner is not published: they stand where nobody measured them",
        "split `published` keeps the last frames of every recording: the same people and minutes are on both sides, but no packet",
        "split `recordings` keeps a fifth of the recordings, chosen by their names",
    ],
};

/// The published one, and whole recordings.
const SPLITS: [&str; 2] = ["published", "recordings"];

const RECEIVERS: usize = 3;
const LAYOUT: Layout = Layout::new(1, 3, 30);
/// Packets of a frame, and how many there are a second.
const PACKETS: usize = 20;
const PACKET_HZ: f64 = 300.0;
const JOINTS: usize = 14;
/// No recording has frames of higher numbers; the set's have 600.
const MOST_FRAMES: u32 = 100_000;
/// Nobody looks at more people.
const MOST_PEOPLE: usize = 16;

/// The paper's table 2: neck, head, shoulders, left elbow and hip, right elbow and hip, left hand and knee, right hand and knee, ankles. The
/// loader takes the middle of joints 5 and 7 for the root. Hands stand for wrists.
const ORDER: Order = Order::limbs([2, 3, 4, 6, 8, 10, 5, 7, 9, 11, 12, 13], 1);

const ROOM_M: [f32; 3] = [4.0, 3.5, 3.0];
const CAMERA: Camera = Camera([2.0, 0.0, 1.0]);
const TRANSMITTER_M: [f32; 3] = [0.0, 0.0, 1.0];
const RECEIVERS_M: [[f32; 3]; RECEIVERS] = [[4.0, 0.0, 1.0], [0.0, 3.5, 1.0], [4.0, 3.5, 1.0]];

/// The frames of a recording that are in one of the two parts.
struct Recording {
    /// `train_data` or `test_data`.
    folder: PathBuf,
    kept_for_testing: bool,
    name: String,
    /// Number and name of each, in order.
    frames: BTreeMap<u32, String>,
}

fn recordings(folder: &Path) -> Result<Vec<Box<dyn PoseRecording>>, EvaluationError> {
    let mut all: Vec<Box<dyn PoseRecording>> = Vec::new();
    for (part, kept_for_testing) in [("train_data", false), ("test_data", true)] {
        let own = folder.join(part);
        let list = own.join(format!("{part}_list.txt"));
        if !list.is_file() {
            continue;
        }
        let mut found: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
        for (number, line) in text(&list)?.lines().enumerate() {
            let Some(name) = line.split_whitespace().next() else { continue };
            let problem = || EvaluationError::Content {
                path: list.clone(),
                problem: format!("line {}: {name:?} is not RECORDING_NUMBER_FRAME", number + 1),
            };
            let (recording, frame) = recording_and_frame(name).ok_or_else(problem)?;
            found.entry(recording.to_owned()).or_default().insert(frame, name.to_owned());
        }
        all.extend(found.into_iter().map(|(name, frames)| {
            Box::new(Recording { folder: own.clone(), kept_for_testing, name, frames })
                as Box<dyn PoseRecording>
        }));
    }
    if all.is_empty() {
        let missing = "no train_data/train_data_list.txt that names frames";
        return Err(EvaluationError::Empty { folder: folder.to_owned(), missing });
    }
    Ok(all)
}

fn recording_and_frame(name: &str) -> Option<(&str, u32)> {
    // It becomes part of a path.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let (recording, frame) = name.rsplit_once('_').filter(|_| plain)?;
    recording.split_once('_')?;
    Some((recording, frame.parse().ok().filter(|frame| *frame <= MOST_FRAMES)?))
}

impl Recording {
    fn people(&self, frame: &str) -> Result<Vec<[[f32; 3]; JOINTS]>, EvaluationError> {
        let path = self.folder.join(format!("keypoint/{frame}.npy"));
        let (shape, values) = npy::numbers(&path)?;
        let fits = matches!(shape[..], [people, JOINTS, 3] if people <= MOST_PEOPLE);
        if !fits || values.iter().any(|v| !v.is_finite()) {
            let problem = format!("shape {shape:?}, not people of {JOINTS} joints of 3 finite numbers");
            return Err(EvaluationError::Content { path, problem });
        }
        let pose = |v: &[f64]| std::array::from_fn(|j| std::array::from_fn(|i| v[3 * j + i] as f32));
        Ok(values.chunks_exact(3 * JOINTS).map(pose).collect())
    }

    /// The packets of a frame, by receiver.
    fn packets(&self, number: u32, frame: &str) -> Result<[Vec<CsiFrame>; RECEIVERS], EvaluationError> {
        let path = self.folder.join(format!("csi/{frame}.mat"));
        let (arrays, fail) = matlab::read(&path)?;
        let [antennas, tones] = [usize::from(LAYOUT.rx), usize::from(LAYOUT.subcarriers)];
        let shape = [RECEIVERS, antennas, tones, PACKETS];
        let csi = arrays.iter().find(|a| a.name == "csi_out" && a.shape == shape);
        let csi = csi.ok_or_else(|| fail(format!("no array csi_out of {shape:?}")))?;
        let imaginary = csi.imaginary.as_ref().ok_or_else(|| fail("csi_out is not complex".into()))?;
        Ok(std::array::from_fn(|receiver| {
            let packet = |k: usize| {
                let at = |i: usize| {
                    // The first index runs fastest.
                    let (antenna, tone) = (i / tones, i % tones);
                    let at = receiver + RECEIVERS * (antenna + antennas * (tone + tones * k));
                    Complex32::new(csi.values[at] as f32, imaginary[at] as f32)
                };
                let id = LinkId::new(format!("receiver-{}", receiver + 1));
                let frame = CsiFrame::new(id, LAYOUT, (0..LAYOUT.values()).map(at).collect());
                CsiFrame { time_ns: (time_s(number, k) * 1e9).round() as i64, ..frame }
            };
            (0..PACKETS).map(packet).collect()
        }))
    }
}

/// When a packet of a frame came, seconds from the recording's start.
fn time_s(frame: u32, packet: usize) -> f64 {
    (f64::from(frame) * PACKETS as f64 + packet as f64) / PACKET_HZ
}

impl PoseRecording for Recording {
    fn name(&self) -> String {
        let part = if self.kept_for_testing { "test_data" } else { "train_data" };
        format!("{part}/{}", self.name)
    }

    fn group(&self) -> String {
        self.name.clone()
    }

    fn room(&self) -> Option<&'static str> {
        None
    }

    fn part(&self, split: &str) -> Option<Part> {
        let test = match split {
            "published" => self.kept_for_testing,
            "recordings" => super::sets::one_in_five(&self.name),
            _ => return None,
        };
        Some(if test { Part::Test } else { Part::Train })
    }

    /// A frame's poses are those at its last packet.
    fn truth(&self) -> Result<Truth, EvaluationError> {
        let seen = |(number, frame): (&u32, &String)| {
            let bodies = self.people(frame)?;
            let persons = bodies.iter().filter_map(|pose| ORDER.body(|j| pose.get(j).copied())).collect();
            Ok(Seen { time_s: time_s(*number, PACKETS - 1), persons })
        };
        let seen = self.frames.iter().map(seen).collect::<Result<_, EvaluationError>>()?;
        Ok(Truth::Metres { room_m: ROOM_M, seen: CAMERA.to_site(seen) })
    }

    fn received(&self) -> Result<Received, EvaluationError> {
        let link = |receiver_m| SetLink { transmitter_m: TRANSMITTER_M, receiver_m, packets: Vec::new() };
        let mut received = Received { links: RECEIVERS_M.map(link).to_vec(), left_out: Vec::new() };
        for (number, frame) in &self.frames {
            match self.packets(*number, frame) {
                Ok(all) => {
                    received.links.iter_mut().zip(all).for_each(|(link, own)| link.packets.extend(own))
                }
                Err(problem) => received.left_out.push(problem.to_string()),
            }
        }
        Ok(received)
    }
}
