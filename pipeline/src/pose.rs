//! What the pipeline gives: who is where, when, and on what evidence.

use std::sync::Arc;

pub use invispose_models::skeleton::NAMES as KEYPOINT_NAMES;
use serde::{Deserialize, Serialize};

/// Where the packets behind a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Received from the air while it happened.
    Live,
    /// Read from a capture or recording.
    Replay,
    /// Made by the simulator, which somebody asked for by name.
    Simulated,
}

impl SourceKind {
    /// What stored bytes know it by.
    pub const fn code(self) -> u8 {
        match self {
            Self::Live => 1,
            Self::Replay => 2,
            Self::Simulated => 3,
        }
    }

    /// The one with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Live, Self::Replay, Self::Simulated].into_iter().find(|kind| kind.code() == code)
    }
}

/// On what a frame rests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Where the packets came from.
    pub source: SourceKind,
    /// Name and version of the pose network that looked at this frame, e.g. `csi-ratio-1 0.1.0`; `None` when none
    /// did, because the site's links were never evaluated and experimental poses were not asked for.
    pub model: Option<Arc<str>>,
    /// An evaluation on this very site showed that the model beats the mean pose.
    pub calibrated: bool,
    /// The operator asked for poses without such an evaluation.
    pub experimental: bool,
}

/// Presence and motion, measured from the signal against the site's own quiet baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Somebody is there.
    pub present: bool,
    /// Motion statistic over its quiet baseline; 1 = the level of the quiet room's own upper quantile.
    pub motion_level: f32,
    /// Share of the site's links whose packets arrived in the window, 0..1.
    pub coverage: f32,
}

/// How fast somebody who keeps still breathes, measured from the signal. There only where it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breathing {
    /// Breaths per minute over the last half minute.
    pub rate_bpm: f32,
    /// How regular and how alone in the signal the breath is, 0..1 ([`invispose_kernels::breathing::Breath::quality`]).
    pub quality: f32,
}

/// How many people are there, and how far that is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Expected number of people.
    pub mean: f32,
    /// With a probability of at least nine in ten they are at least so many…
    pub low: u8,
    /// …and at most so many.
    pub high: u8,
    /// What this was concluded from.
    pub basis: CountBasis,
}

/// What a [`Count`] was concluded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum CountBasis {
    /// The signal shows that nobody is there.
    Presence = 1,
    /// The people who are followed, how sure they are, and how many are missed at a time.
    Tracks = 2,
    /// A classifier that this site taught with recordings of its own.
    Signal = 3,
}

impl CountBasis {
    /// The one that stored bytes know by this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Presence, Self::Tracks, Self::Signal].into_iter().find(|basis| *basis as u8 == code)
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Tracks => "tracks",
            Self::Signal => "signal",
        }
    }
}

impl Count {
    /// Of a distribution: the probability of each number of people, from 0 on, which add up to 1. The interval leaves out at most one
    /// in twenty on either side.
    pub fn of(probabilities: &[f64], basis: CountBasis) -> Self {
        let mean = probabilities.iter().zip(0u32..).map(|(p, n)| p * f64::from(n)).sum::<f64>();
        let below = |share: f64| {
            let mut sum = 0.0;
            let at = probabilities.iter().position(|p| {
                sum += p;
                sum > share
            });
            at.unwrap_or(probabilities.len().saturating_sub(1)).min(255) as u8
        };
        Self { mean: mean as f32, low: below(0.05), high: below(0.95 - 1e-9), basis }
    }

    /// Nobody, by the signal.
    pub const NOBODY: Self = Self { mean: 0.0, low: 0, high: 0, basis: CountBasis::Presence };
}

/// What somebody at the site does, by the signal alone: a classifier that this site taught with recordings of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalActivity {
    /// As the site calls it.
    pub name: Arc<str>,
    /// 0..1.
    pub probability: f32,
}

/// One joint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Keypoint {
    /// Site coordinates in metres: x, y on the floor, z up.
    pub position_m: [f32; 3],
    /// Calibrated probability that the position is within the model's stated error, 0..1.
    pub confidence: f32,
}

/// What a person does, as the pose network or the classifier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
#[repr(u8)]
pub enum Activity {
    /// On their feet and in place.
    Standing = 1,
    /// On their feet and moving.
    Walking = 2,
    /// Seated.
    Sitting = 3,
    /// Lying.
    Lying = 4,
    /// Moving an arm.
    Waving = 5,
    /// On the way to the ground.
    Falling = 6,
}

impl Activity {
    /// All of them, by code.
    pub const ALL: [Self; 6] =
        [Self::Standing, Self::Walking, Self::Sitting, Self::Lying, Self::Waving, Self::Falling];

    /// The one that stored bytes know by this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|activity| *activity as u8 == code)
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Walking => "walking",
            Self::Sitting => "sitting",
            Self::Lying => "lying",
            Self::Waving => "waving",
            Self::Falling => "falling",
        }
    }
}

/// A tracked human.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Stable while the person is tracked; never used again in the life of a data directory.
    pub id: u64,
    /// Probability that this person is there, 0..1.
    pub confidence: f32,
    /// Middle of the hips on the floor plan and their height, metres.
    pub position_m: [f32; 3],
    /// Velocity of that point, metres per second.
    pub velocity_m_s: [f32; 3],
    /// 17 joints, COCO order.
    pub keypoints: [Keypoint; 17],
    /// What they do, where it is known.
    pub activity: Option<Activity>,
    /// Which of the site's zones they are in: its number on the site's floor, see [`crate::floor::FloorPlan`].
    pub zone: Option<u16>,
    /// How they breathe; `None` unless it is reliable and the geometry says that it is they.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breathing: Option<Breathing>,
}

/// What tracking gives for one window of one site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoseFrame {
    /// Counts up from 1 within a data directory, without gaps as written.
    pub frame_id: u64,
    /// The site.
    pub site: Arc<str>,
    /// End of the window, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// From the arrival of the window's last packet to the finished frame, nanoseconds.
    pub processing_ns: u64,
    /// On what this rests.
    pub provenance: Provenance,
    /// Presence from the signal; `None` until the quiet baseline is learned, or while no packets arrive.
    pub presence: Option<Presence>,
    /// Breathing; `None` unless it is reliable. With several people it is one of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breathing: Option<Breathing>,
    /// How many people are there; `None` where nothing says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
    /// What somebody does, by the signal alone; `None` where no classifier was taught, and where it cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<SignalActivity>,
    /// People, at most [`PoseFrame::MAX_PERSONS`].
    pub persons: Vec<Person>,
}

impl PoseFrame {
    /// People that one frame can hold.
    pub const MAX_PERSONS: usize = 16;
}
