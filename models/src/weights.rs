//! Weights on disk: a safetensors or burnpack file in half precision with a model card and a checksum in its metadata.

mod burnpack;
mod safetensors;

use std::{collections::BTreeMap, path::Path};

use burn::{
    store::{ApplyResult, ModuleSnapshot},
    tensor::Device,
};
use serde::{Deserialize, Serialize};

use crate::{
    data::Place,
    evaluate::metrics,
    input,
    network::{ACTIVITIES, JOINTS, NetworkConfig, PoseNetwork, SLOTS},
    sim::Radios,
    skeleton::Keypoints,
};

/// The weights that ship with the program, of any room (`configs/pose.toml`).
pub const DEFAULT_WEIGHTS: &[u8] = include_bytes!("../weights/pose.safetensors");

/// The weights that ship with the program, of any room with the radios of [`Radios::WIDE`] (`configs/pose-wide.toml`).
pub const WIDE_WEIGHTS: &[u8] = include_bytes!("../weights/pose-wide.safetensors");

/// The weights that ship with the program, of the demo room alone (`configs/room.toml`).
pub const DEMO_ROOM_WEIGHTS: &[u8] = include_bytes!("../weights/demo-room.safetensors");

/// The weights that ship with the program, of the demo room with the radios of [`Radios::WIDE`] (`configs/room-wide.toml`).
pub const DEMO_ROOM_WIDE_WEIGHTS: &[u8] = include_bytes!("../weights/demo-room-wide.safetensors");

/// Version of the network's structure and of its input; weights of another version are refused.
pub const FORMAT: u32 = 3;

/// What a weights file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// [`FORMAT`] at the time of writing.
    pub format: u32,
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// Shape of the input and of the answer.
    pub shape: Shape,
    /// Widths of the layers.
    pub network: NetworkConfig,
    /// On what it was trained, in a sentence.
    pub data: String,
    /// The training configuration, as TOML.
    pub config: String,
    /// Commit of the repository that trained it, or `unknown`.
    pub commit: String,
    /// Training steps made.
    pub steps: u64,
    /// Distinct training windows.
    pub windows: u64,
    /// The mean pose that every evaluation is set beside.
    pub mean_pose: MeanPose,
    /// Turns outputs into probabilities.
    pub calibration: Calibration,
    /// Figures on the validation scenes at the end of training.
    pub metrics: BTreeMap<String, f64>,
}

impl ModelCard {
    /// The simulated radios that it was trained with: its figures speak for no others.
    pub fn radios(&self) -> Radios {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Config {
            data: Data,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            radios: Radios,
        }
        toml::from_str::<Config>(&self.config).unwrap_or_default().data.radios
    }

    /// On validation scenes there (people and motions not trained on, nor random rooms) with one to `people` persons: is position
    /// better than the mean position and pose better than the mean pose, and are three quarters of them found within half a metre, with
    /// each number of them?
    pub fn beats_mean_pose(&self, place: Place, people: usize) -> bool {
        self.beats(place.name(), people)
    }

    /// On minutes of a site's own labels that nothing was learned from, with every number of people that was seen there.
    pub fn beats_mean_pose_at_site(&self, site: &str) -> bool {
        let place = Self::site(site);
        let people =
            (1..=SLOTS).filter(|n| self.metrics.contains_key(&format!("{place}_{n}_mpjpe_mm"))).max();
        people.is_some_and(|people| self.beats(&place, people))
    }

    /// The place of [`Self::metrics`] that is a site.
    pub fn site(id: &str) -> String {
        format!("site:{id}")
    }

    /// The place of [`Self::metrics`] that is a public set.
    pub fn set(name: &str) -> String {
        format!("set:{name}")
    }

    fn beats(&self, place: &str, people: usize) -> bool {
        let less = |count: usize, what: &str, than: &str| {
            let figure = |name: &str| self.metrics.get(&format!("{place}_{count}_{name}"));
            figure(what).zip(figure(than)).is_some_and(|(a, b)| a < b)
        };
        let found = |count: usize| {
            let recall = self.metrics.get(&format!("{place}_{count}_recall"));
            recall.is_some_and(|share| *share >= FOUND)
        };
        (1..=people.max(1)).all(|count| {
            less(count, "mpjpe_mm", "mean_position_mpjpe_mm")
                && less(count, "root_relative_mm", "mean_pose_root_relative_mm")
                && found(count)
        })
    }
}

/// Shape of input and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Steps of a window.
    pub steps: usize,
    /// Steps per second.
    pub rate_hz: f32,
    /// Blocks of a window.
    pub blocks: usize,
    /// Numbers per link and block.
    pub features: usize,
    /// Numbers per link that do not change with time.
    pub fixed: usize,
    /// Persons at most.
    pub slots: usize,
    /// Keypoints of a person.
    pub joints: usize,
    /// Activities told apart.
    pub activities: usize,
}

impl Shape {
    /// The shape that this program uses.
    pub const CURRENT: Self = Self {
        steps: input::STEPS,
        rate_hz: input::RATE_HZ,
        blocks: input::BLOCKS,
        features: input::FEATURES,
        fixed: input::FIXED,
        slots: SLOTS,
        joints: JOINTS,
        activities: ACTIVITIES,
    };
}

/// The predictor that always answers the same: mean position and mean pose of the training scenes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MeanPose {
    /// Mean root from the middle of the room's floor, metres.
    pub root_m: [f32; 3],
    /// Mean joints relative to the root, metres.
    pub pose_m: [[f32; 3]; JOINTS],
}

impl MeanPose {
    /// Of persons in rooms of these sizes, by the joints that are known.
    pub fn of(persons: impl Iterator<Item = ([f32; 3], Keypoints)>) -> Self {
        let mut mean = Self::default();
        let mut count = 0.0f64;
        let (mut root, mut pose) = ([0.0f64; 3], [([0.0f64; 3], 0.0f64); JOINTS]);
        for (room_m, keypoints_m) in persons {
            let r = metrics::root(&keypoints_m);
            let centre = input::floor_centre(room_m);
            count += 1.0;
            for i in 0..3 {
                root[i] += f64::from(r[i] - centre[i]);
            }
            for ((sum, count), p) in pose.iter_mut().zip(&keypoints_m).filter(|(_, p)| metrics::known(p)) {
                *count += 1.0;
                for i in 0..3 {
                    sum[i] += f64::from(p[i] - r[i]);
                }
            }
        }
        if count > 0.0 {
            mean.root_m = root.map(|v| (v / count) as f32);
            mean.pose_m = pose.map(|(p, count)| p.map(|v| (v / count.max(1.0)) as f32));
        }
        mean
    }
}

/// Probabilities fitted on validation scenes: `1 / (1 + exp(-(slope · x + offset)))`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// For presence in each slot, x is the slot's log odds. Older weights have one for all slots.
    #[serde(deserialize_with = "one_or_each")]
    pub presence: [Logistic; SLOTS],
    /// For a keypoint, x is the negative natural logarithm of its predicted scale (root and pose together) in metres; the
    /// probability is that its position is right within `within_m`.
    pub keypoint: Logistic,
    /// Metres, see `keypoint`.
    pub within_m: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            presence: [Logistic { slope: 1.0, offset: 0.0 }; SLOTS],
            keypoint: Logistic { slope: 1.0, offset: -1.0 },
            within_m: 0.3,
        }
    }
}

fn one_or_each<'de, D: serde::Deserializer<'de>>(from: D) -> Result<[Logistic; SLOTS], D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrEach {
        One(Logistic),
        Each([Logistic; SLOTS]),
    }
    Ok(match OneOrEach::deserialize(from)? {
        OneOrEach::One(curve) => [curve; SLOTS],
        OneOrEach::Each(curves) => curves,
    })
}

/// A logistic curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Steepness.
    pub slope: f32,
    /// Value at 0.
    pub offset: f32,
}

impl Logistic {
    /// The probability, 0..1.
    pub fn probability(&self, x: f32) -> f32 {
        1.0 / (1.0 + (-(self.slope * x + self.offset)).exp())
    }
}

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read weights {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are neither a safetensors nor a burnpack file.
    #[error("not a safetensors or burnpack file: {0}")]
    Malformed(String),
    /// Such a file of something else.
    #[error("the weights carry no model card of this program")]
    NoCard,
    /// Another version of the network.
    #[error("weights of format {found}, this program reads format {FORMAT}")]
    Format {
        /// The file's format.
        found: u64,
    },
    /// Another shape of input or answer.
    #[error("weights for input and answer of {found:?}, this program uses {expected:?}")]
    Shape {
        /// In the file.
        found: Box<Shape>,
        /// Here.
        expected: Box<Shape>,
    },
    /// The tensors were changed or damaged.
    #[error("the tensors' checksum is {found:08x}, the model card says {stated}")]
    Checksum {
        /// Of the tensors.
        found: u32,
        /// In the card.
        stated: String,
    },
    /// The tensors do not fit the network.
    #[error("the tensors do not fit the network: {0}")]
    Tensors(String),
    /// No usable device.
    #[error("device {asked}: {reason}")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it cannot be had.
        reason: String,
    },
}

/// Why weights cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the weights: {0}")]
pub struct SaveError(pub(crate) String);

impl SaveError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Share of the people that must be found within half a metre where poses are shown: else many skeletons stand where nobody does.
const FOUND: f64 = 0.75;

const CARD: &str = "invispose_card";
const CHECKSUM: &str = "invispose_crc32";
/// Networks wider than this are not believed.
const MAX_WIDTH: usize = 1 << 13;

/// What a file says of itself.
struct Stated {
    /// JSON.
    card: String,
    /// Checksum of the tensors as the file says, in hexadecimal digits.
    stated: String,
    /// That which they have.
    found: u32,
}

/// The weights as a safetensors file; every number is rounded to half precision (IEEE 754 binary16).
///
/// # Errors
/// When a tensor cannot be read back from its device.
pub fn to_bytes(network: &PoseNetwork, card: &ModelCard) -> Result<Vec<u8>, SaveError> {
    safetensors::write(network, &serde_json::to_string(card).map_err(SaveError::of)?)
}

/// The same as a burnpack file.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_burnpack(network: &PoseNetwork, card: &ModelCard) -> Result<Vec<u8>, SaveError> {
    burnpack::write(network, &serde_json::to_string(card).map_err(SaveError::of)?)
}

/// The network and its card from the bytes of a safetensors or burnpack file; tensors of any float precision are read.
///
/// # Errors
/// When the bytes are damaged, or of another program, version or shape.
pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<(PoseNetwork, ModelCard), LoadError> {
    let card = read_card(bytes)?;
    if card.network.widths().iter().any(|&w| w == 0 || w > MAX_WIDTH) || card.network.memory > MAX_WIDTH {
        return Err(LoadError::Tensors(format!("widths {:?}", card.network)));
    }
    let mut network = card.network.init(device);
    let unfit = |e: &dyn std::fmt::Display| LoadError::Tensors(e.to_string());
    let report: ApplyResult = if burnpack::is(bytes) {
        network.load_from(&mut burnpack::store(bytes)).map_err(|e| unfit(&e))?
    } else {
        network.load_from(&mut safetensors::store(bytes)).map_err(|e| unfit(&e))?
    };
    if !report.errors.is_empty() || !report.missing.is_empty() || !report.unused.is_empty() {
        return Err(LoadError::Tensors(format!(
            "errors {:?}, missing {:?}, unknown {:?}",
            report.errors, report.missing, report.unused
        )));
    }
    Ok((network, card))
}

/// The network and its card from a file.
///
/// # Errors
/// As [`from_bytes`], or when the file cannot be read.
pub fn from_file(path: &Path, device: &Device) -> Result<(PoseNetwork, ModelCard), LoadError> {
    from_bytes(&read_file(path)?, device)
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Read { path: path.display().to_string(), source })
}

/// The card of such a file, after its checksum, version and shape were found right.
///
/// # Errors
/// As [`from_bytes`], short of looking at the tensors.
pub fn read_card(bytes: &[u8]) -> Result<ModelCard, LoadError> {
    let Stated { card, stated, found } =
        if burnpack::is(bytes) { burnpack::stated(bytes)? } else { safetensors::stated(bytes)? };
    if format!("{found:08x}") != stated {
        return Err(LoadError::Checksum { found, stated });
    }
    let value: serde_json::Value =
        serde_json::from_str(&card).map_err(|e| LoadError::Malformed(e.to_string()))?;
    // The version decides whether the rest of the card can be understood at all.
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(f) if f == u64::from(FORMAT) => {}
        Some(found) => return Err(LoadError::Format { found }),
        None => return Err(LoadError::NoCard),
    }
    let card: ModelCard = serde_json::from_value(value).map_err(|e| LoadError::Malformed(e.to_string()))?;
    if card.shape != Shape::CURRENT {
        return Err(LoadError::Shape { found: Box::new(card.shape), expected: Box::new(Shape::CURRENT) });
    }
    Ok(card)
}
