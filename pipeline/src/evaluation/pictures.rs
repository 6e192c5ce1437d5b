//! Two sets of one person in a camera's picture: WiSPPN and Wi-Pose.
//!
//! * WiSPPN: Wang et al., "Can WiFi Estimate Person Pose?", 2019, and its published preparation and training (`geekfeiw/WiSPPN` on GitHub). Files
//!   `RECORDING_FRAME.mat`: `csi_serial` of five packets, 30 subcarriers and 3 × 3 antennas, `jointsMatrix` (`[18][18][4]`, whose diagonal holds x, y
//!   and twice the confidence of AlphaPose's 18 joints).
//! * Wi-Pose: Zhou et al., "CSI-Former: Pay More Attention to Pose Estimation with WiFi", Entropy 2023, as its users' loaders read it. Files
//!   `Train/RECORDING-frameNUMBER.mat` and `Test/…`: `CSI` as above, `SkeletonPoints` (54 numbers: 18 of one axis, of the other, and confidences).
//!
//! Where the camera stood is not told, so that nobody can say where these people are in metres: the network, which tells metres, can neither
//! learn from them nor be measured on them. What is measured is the mean pose, in pixels. Wi-Pose's own parts share recordings, frame
//! by frame, and are not kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use invispose_kernels::{Complex32, Layout};

use super::matlab;
use super::recordings::{EvaluationError, file_name, files};
use super::sets::{Order, Part, PoseRecording, PublicSet, Received, Seen, SetLink, Truth, one_in_five};
use crate::csi::{CsiFrame, LinkId};

/// WiSPPN.
pub const WISPPN: PublicSet = PublicSet {
    name: "wisppn",
    splits: || vec!["recordings"],
    recordings: |folder| recordings(folder, &WISPPN_FILES),
    notes: &NOTES,
};

/// Wi-Pose.
pub const WI_POSE: PublicSet = PublicSet {
    name: "wi-pose",
    splits: || vec!["recordings"],
    recordings: |folder| recordings(folder, &WI_POSE_FILES),
    notes: &NOTES,
};

const NOTES: [&str; 2] = [
    "poses in a camera's picture: a network that tells metres is neither trained nor measured on them",
    "split `recordings` keeps a fifth of the recordings, chosen by their names",
];

/// How a set names its files and arrays.
struct Files {
    folders: &'static [&'static str],
    between: &'static str,
    csi: &'static str,
    joints: &'static str,
    /// Index of a joint's x, y or confidence in an array of this shape.
    at: fn(&[usize], usize, usize) -> Option<usize>,
    missing: &'static str,
}

const WISPPN_FILES: Files = Files {
    folders: &["."],
    between: "_",
    csi: "csi_serial",
    joints: "jointsMatrix",
    at: |shape, joint, what| {
        (shape == [JOINTS, JOINTS, 4]).then_some(joint + JOINTS * (joint + JOINTS * what))
    },
    missing: "no files RECORDING_FRAME.mat",
};

const WI_POSE_FILES: Files = Files {
    folders: &["Train", "Test"],
    between: "-frame",
    csi: "CSI",
    joints: "SkeletonPoints",
    at: |shape, joint, what| match *shape {
        [3, JOINTS] => Some(what + 3 * joint),
        _ if shape.iter().product::<usize>() == 3 * JOINTS => Some(joint + JOINTS * what),
        _ => None,
    },
    missing: "no files Train/RECORDING-frameNUMBER.mat",
};

const JOINTS: usize = 18;
const PACKETS: usize = 5;
const LAYOUT: Layout = Layout::new(3, 3, 30);
/// Both sets: 100 packets a second.
const PACKET_NS: i64 = 10_000_000;

/// OpenPose's and AlphaPose's 18 joints (Cao et al., "OpenPose", 2019): nose, neck, right and left arm, right and left leg, right and left
/// eye, right and left ear.
const ORDER: Order = Order {
    keypoints: [
        Some(0),
        Some(15),
        Some(14),
        Some(17),
        Some(16),
        Some(5),
        Some(2),
        Some(6),
        Some(3),
        Some(7),
        Some(4),
        Some(11),
        Some(8),
        Some(12),
        Some(9),
        Some(13),
        Some(10),
    ],
    head: None,
};

struct Recording {
    name: String,
    layout: &'static Files,
    /// By number of the frame.
    frames: BTreeMap<u32, PathBuf>,
}

fn recordings(folder: &Path, layout: &'static Files) -> Result<Vec<Box<dyn PoseRecording>>, EvaluationError> {
    let mut found: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
    for own in layout.folders.iter().map(|own| folder.join(own)).filter(|own| own.is_dir()) {
        for path in files(&own, "mat")? {
            let name = file_name(&path);
            let parts = name.strip_suffix(".mat").and_then(|name| name.rsplit_once(layout.between));
            let Some((recording, Ok(frame))) = parts.map(|(name, frame)| (name.to_owned(), frame.parse()))
            else {
                continue;
            };
            found.entry(recording).or_default().insert(frame, path);
        }
    }
    if found.is_empty() {
        return Err(EvaluationError::Empty { folder: folder.to_owned(), missing: layout.missing });
    }
    let recording = |(name, frames)| Box::new(Recording { name, layout, frames }) as Box<dyn PoseRecording>;
    Ok(found.into_iter().map(recording).collect())
}

impl Recording {
    /// Nobody where too little of the trunk was seen.
    fn seen(&self, number: u32, path: &Path) -> Result<Option<Seen<2>>, EvaluationError> {
        let (arrays, fail) = matlab::read(path)?;
        let name = self.layout.joints;
        let joints = arrays.iter().find(|a| a.name == name && (self.layout.at)(&a.shape, 0, 0).is_some());
        let joints = joints.ok_or_else(|| fail(format!("no array {name} of {JOINTS} joints")))?;
        let joint = |j: usize| {
            let [x, y, confidence] = [0, 1, 2]
                .map(|what| (self.layout.at)(&joints.shape, j, what).and_then(|at| joints.values.get(at)));
            (*confidence? > 0.0).then_some([*x? as f32, *y? as f32])
        };
        let time_s = ((i64::from(number) + 1) * PACKETS as i64 - 1) as f64 * PACKET_NS as f64 / 1e9;
        Ok(ORDER.body(joint).map(|body| Seen { time_s, persons: vec![body] }))
    }

    fn packets(&self, number: u32, path: &Path) -> Result<Vec<CsiFrame>, EvaluationError> {
        let (arrays, fail) = matlab::read(path)?;
        let name = self.layout.csi;
        let csi = arrays.iter().find(|a| a.name == name).ok_or_else(|| fail(format!("no array {name}")))?;
        let strides = strides(&csi.shape).ok_or_else(|| {
            fail(format!(
                "{name} of {:?}, not of {PACKETS} packets, 30 subcarriers and 3 × 3 antennas",
                csi.shape
            ))
        })?;
        let [packet, tone, transmit, receive] = strides;
        let tones = usize::from(LAYOUT.subcarriers);
        let frame = |k: usize| {
            let at = |i: usize| {
                let at = k * packet + i % tones * tone + i / tones % 3 * receive + i / tones / 3 * transmit;
                let imaginary = csi.imaginary.as_ref().map_or(0.0, |all| all[at]);
                let v = Complex32::new(csi.values[at] as f32, imaginary as f32);
                if v.re.is_finite() && v.im.is_finite() { v } else { Complex32::default() }
            };
            let time_ns = (i64::from(number) * PACKETS as i64 + k as i64) * PACKET_NS;
            let csi = (0..LAYOUT.values()).map(at).collect();
            CsiFrame { time_ns, ..CsiFrame::new(LinkId::new(self.layout.csi), LAYOUT, csi) }
        };
        Ok((0..PACKETS).map(frame).collect())
    }
}

/// How far apart neighbours along packets, subcarriers, transmit and receive antennas are: the axes of 5 and of 30, and the two of 3 in
/// their order.
fn strides(shape: &[usize]) -> Option<[usize; 4]> {
    let step = |axis: usize| shape[..axis].iter().product::<usize>();
    let of = |length: usize| {
        let mut axes = (0..shape.len()).filter(move |a| shape[*a] == length);
        (axes.next(), axes.next(), axes.next())
    };
    match (shape.len(), of(PACKETS), of(usize::from(LAYOUT.subcarriers)), of(3)) {
        (4, (Some(packet), None, _), (Some(tone), None, _), (Some(a), Some(b), None)) => {
            Some([step(packet), step(tone), step(a), step(b)])
        }
        _ => None,
    }
}

impl PoseRecording for Recording {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn group(&self) -> String {
        self.name.clone()
    }

    fn room(&self) -> Option<&'static str> {
        None
    }

    fn part(&self, split: &str) -> Option<Part> {
        let test = || if one_in_five(&self.name) { Part::Test } else { Part::Train };
        (split == "recordings").then(test)
    }

    fn truth(&self) -> Result<Truth, EvaluationError> {
        let seen = self.frames.iter().map(|(number, path)| self.seen(*number, path));
        let seen = seen.collect::<Result<Vec<_>, _>>()?;
        Ok(Truth::Pixels(seen.into_iter().flatten().collect()))
    }

    /// Both sets hold one link, whose ends stand nobody knows where.
    fn received(&self) -> Result<Received, EvaluationError> {
        let (mut packets, mut left_out) = (Vec::new(), Vec::new());
        for (number, path) in &self.frames {
            match self.packets(*number, path) {
                Ok(own) => packets.extend(own),
                Err(problem) => left_out.push(problem.to_string()),
            }
        }
        let link = SetLink { transmitter_m: [0.0; 3], receiver_m: [0.0; 3], packets };
        Ok(Received { links: vec![link], left_out })
    }
}
