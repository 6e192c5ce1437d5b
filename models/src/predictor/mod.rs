//! The trained network in service.

mod device;
#[cfg(feature = "gpu")]
mod on_gpu;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use burn::tensor::Device;

pub use crate::{sim::Activity, weights::LoadError};
pub use device::{Compute, DeviceChoice};
#[cfg(feature = "gpu")]
pub use on_gpu::DeviceWindow;

use crate::{
    data::Place,
    evaluate::metrics::distance,
    input::{BLOCKS, Earlier, FEATURES, FIXED, Input, LinkInput, Memory},
    network::{Batch, CpuNetwork, JOINTS, OUTPUTS, PoseNetwork, SLOTS, Slot},
    sim::Radios,
    weights::{self, DEFAULT_WEIGHTS, DEMO_ROOM_WEIGHTS, DEMO_ROOM_WIDE_WEIGHTS, ModelCard, WIDE_WEIGHTS},
};

/// A person as the network sees them at the end of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Calibrated probability that a person is there, 0..1.
    pub confidence: f32,
    /// Site coordinates in metres, COCO order.
    pub keypoints: [[f32; 3]; JOINTS],
    /// Calibrated probability that the keypoint is right within [`Predictor::within_m`], 0..1.
    pub keypoint_confidence: [f32; JOINTS],
    /// What they do.
    pub activity: Activity,
}

/// What the network says of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The likeliest first.
    pub people: Vec<Detection>,
    /// To be shown with later windows of the site ([`crate::input::History`]), by networks that leave something.
    pub memory: Option<Memory>,
}

/// Where weights come from.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Those that ship with the program, of any room.
    Shipped,
    /// Those that ship with the program, of any room with the radios of [`Radios::WIDE`].
    ShippedWide,
    /// Those that ship with the program, of the demo room alone.
    DemoRoom,
    /// Those that ship with the program, of the demo room with the radios of [`Radios::WIDE`].
    DemoRoomWide,
    /// A safetensors file.
    File(PathBuf),
    /// A safetensors file's bytes.
    Bytes(Vec<u8>),
}

impl Weights {
    /// Those that ship with the program, each with the rooms and the radios that it was taught.
    pub const SHIPPED: [(Place, Radios, Self); 4] = [
        (Place::Demo, Radios::OWN, Self::DemoRoom),
        (Place::Demo, Radios::WIDE, Self::DemoRoomWide),
        (Place::Random, Radios::OWN, Self::Shipped),
        (Place::Random, Radios::WIDE, Self::ShippedWide),
    ];

    /// Those that ship with the program for such a room with these radios.
    pub fn of(place: Place, radios: &Radios) -> Option<Self> {
        let taught = |(p, r, _): &(Place, Radios, Self)| *p == place && r == radios;
        Self::SHIPPED.into_iter().find(taught).map(|(_, _, weights)| weights)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// An input that [`Input::new`] cannot have made.
    #[error("input {0} does not have the network's shape")]
    Shape(usize),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// What health reports say about the network.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Description {
    /// Name and version of the model.
    pub model: String,
    /// The device in use.
    pub device: String,
    /// Trained numbers.
    pub parameters: usize,
    /// Multiply-adds for one window of three links.
    pub multiply_adds: usize,
    /// Persons that it can report.
    pub persons: usize,
    /// Rooms that its evaluation covers; poses elsewhere are experimental.
    pub trained_on: String,
    /// Commit that trained it.
    pub commit: String,
}

/// Bodies whose roots are nearer than this are one body.
const SAME_BODY_M: f32 = 0.35;
/// Windows computed at once.
const CHUNK: usize = 32;

/// A network with its weights on a device.
#[derive(Debug)]
pub struct Predictor {
    network: PoseNetwork,
    /// The same where it computes on the CPU.
    on_cpu: Option<CpuNetwork>,
    card: ModelCard,
    compute: Compute,
    /// Where the weights came from, to load them again on the CPU.
    weights: Option<Weights>,
    /// Made when it is first needed.
    #[cfg(feature = "gpu")]
    features: std::sync::OnceLock<crate::input::gpu::FeatureProgram>,
}

impl Predictor {
    /// Loads weights onto the device that was asked for.
    ///
    /// # Errors
    /// When the weights are damaged or of another version or shape, or the device cannot be had.
    pub fn load(weights: &Weights, choice: DeviceChoice) -> Result<Self, LoadError> {
        Self::load_on(weights, Compute::open(choice)?)
    }

    /// Loads weights onto an open device.
    ///
    /// # Errors
    /// When the weights are damaged or of another version or shape.
    pub fn load_on(weights: &Weights, compute: Compute) -> Result<Self, LoadError> {
        let (network, card) = match weights {
            Weights::Shipped => weights::from_bytes(DEFAULT_WEIGHTS, compute.device())?,
            Weights::DemoRoom => weights::from_bytes(DEMO_ROOM_WEIGHTS, compute.device())?,
            Weights::ShippedWide => weights::from_bytes(WIDE_WEIGHTS, compute.device())?,
            Weights::DemoRoomWide => weights::from_bytes(DEMO_ROOM_WIDE_WEIGHTS, compute.device())?,
            Weights::File(path) => weights::from_file(path, compute.device())?,
            Weights::Bytes(bytes) => weights::from_bytes(bytes, compute.device())?,
        };
        Ok(Self { weights: Some(weights.clone()), ..Self::from_parts(network, card, compute) })
    }

    /// A network just trained.
    pub(crate) fn from_network(network: PoseNetwork, card: ModelCard, device: Device) -> Self {
        Self::from_parts(network, card, Compute::on(device))
    }

    fn from_parts(network: PoseNetwork, card: ModelCard, compute: Compute) -> Self {
        Self {
            on_cpu: if compute.is_gpu() { None } else { CpuNetwork::new(&network) },
            network,
            card,
            compute,
            weights: None,
            #[cfg(feature = "gpu")]
            features: std::sync::OnceLock::new(),
        }
    }

    /// The device in use.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Goes on on the CPU, with the weights read anew: those on a device that was lost are gone.
    ///
    /// # Errors
    /// When the file that they came from is no longer there or has changed.
    pub fn move_to_cpu(&mut self) -> Result<(), LoadError> {
        if let Some(weights) = self.weights.take() {
            *self = Self::load_on(&weights, Compute::cpu())?;
        }
        Ok(())
    }

    /// Name and version of the model, e.g. `pose 0.2.0`.
    pub fn model(&self) -> String {
        format!("{} {}", self.card.name, self.card.version)
    }

    /// What the weights say about themselves.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The error that [`Detection::keypoint_confidence`] speaks of, metres.
    pub fn within_m(&self) -> f32 {
        self.card.calibration.within_m
    }

    /// Whether windows leave something for later ones.
    pub fn remembers(&self) -> bool {
        self.card.network.memory > 0
    }

    /// For health reports.
    pub fn describe(&self) -> Description {
        use burn::module::Module;
        Description {
            model: self.model(),
            device: self.compute.name().to_owned(),
            parameters: self.network.num_params(),
            multiply_adds: self.card.network.multiply_adds(3),
            persons: SLOTS,
            trained_on: self.card.data.clone(),
            commit: self.card.commit.clone(),
        }
    }

    /// Computes once on empty windows, so that the first real one is not the slowest.
    ///
    /// # Errors
    /// When the device fails.
    pub fn warm_up(&self) -> Result<(), PredictError> {
        let link = LinkInput { features: vec![0.0; BLOCKS * FEATURES], fixed: vec![0.0; FIXED] };
        let earlier = Earlier::default();
        let input = Input { room_m: [5.0, 4.0, 2.5], links: vec![link; 3], coverage: 1.0, earlier };
        self.predict(&[input]).map(|_| ())
    }

    /// The persons in each window, the likeliest first. Every slot is reported with its confidence, also the unlikely
    /// ones: at 0.5 a person is as likely as not. Slots that see a likelier slot's body are left out.
    ///
    /// # Errors
    /// When an input has the wrong shape or the device fails.
    pub fn predict(&self, inputs: &[Input]) -> Result<Vec<Prediction>, PredictError> {
        let answers = self.answers(inputs)?;
        Ok(self.read(&answers, inputs.iter().map(|i| i.room_m)))
    }

    /// What the network's plain answers say in each window's room.
    fn read(&self, answers: &[f32], rooms_m: impl Iterator<Item = [f32; 3]>) -> Vec<Prediction> {
        let of = |(answer, room_m): (&[f32], [f32; 3])| {
            let (slots, left) = answer.split_at(SLOTS * OUTPUTS);
            let memory = (!left.is_empty()).then(|| left.into());
            Prediction { people: self.detections(slots, room_m), memory }
        };
        answers.chunks_exact(self.answer()).zip(rooms_m).map(of).collect()
    }

    /// Numbers of a plain answer.
    pub(crate) fn answer(&self) -> usize {
        SLOTS * OUTPUTS + self.card.network.memory
    }

    /// The network's plain answers, `[window][SLOTS * OUTPUTS + memory]`.
    pub(crate) fn answers(&self, inputs: &[Input]) -> Result<Vec<f32>, PredictError> {
        let fits = |i: &Input| {
            !i.links.is_empty()
                && i.links.iter().all(|l| l.features.len() == BLOCKS * FEATURES && l.fixed.len() == FIXED)
        };
        if let Some(bad) = inputs.iter().position(|i| !fits(i)) {
            return Err(PredictError::Shape(bad));
        }
        if let Some(network) = &self.on_cpu {
            return Ok(network.forward(inputs));
        }
        let mut answers = Vec::with_capacity(inputs.len() * self.answer());
        for chunk in inputs.chunks(CHUNK) {
            answers.extend(self.forward(|| Ok(Batch::new(chunk, self.compute.device())))?);
        }
        Ok(answers)
    }

    /// The network's answers to one batch.
    fn forward(&self, batch: impl FnOnce() -> Result<Batch, PredictError>) -> Result<Vec<f32>, PredictError> {
        let compute = || {
            let data = self.network.forward(batch()?).try_into_data();
            data.map(|data| data.iter::<f32>().collect()).map_err(|e| PredictError::Device(e.to_string()))
        };
        // burn's runtime panics where a GPU has gone.
        catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|panic| {
            let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(PredictError::Device(what.unwrap_or_else(|| "it panicked".into())))
        })
    }

    pub(crate) fn detections(&self, slots: &[f32], room_m: [f32; 3]) -> Vec<Detection> {
        let mut found: Vec<([f32; 3], Detection)> = slots
            .chunks_exact(OUTPUTS)
            .zip(&self.card.calibration.presence)
            .map(|(slot, presence)| {
                let slot = Slot(slot);
                let root = slot.root_m(room_m);
                let c = &self.card.calibration;
                let detection = Detection {
                    confidence: presence.probability(slot.presence()),
                    keypoints: slot.pose_m().map(|p| std::array::from_fn(|i| root[i] + p[i])),
                    keypoint_confidence: std::array::from_fn(|j| c.keypoint.probability(certainty(slot, j))),
                    activity: Activity::ALL[slot.activity()],
                };
                (root, detection)
            })
            .filter(|(_, d)| d.confidence.is_finite() && d.keypoints.iter().flatten().all(|v| v.is_finite()))
            .collect();
        found.sort_by(|(_, a), (_, b)| b.confidence.total_cmp(&a.confidence));
        let mut kept: Vec<([f32; 3], Detection)> = Vec::with_capacity(found.len());
        for (root, detection) in found {
            if kept.iter().all(|(other, _)| distance(root, *other) >= SAME_BODY_M) {
                kept.push((root, detection));
            }
        }
        kept.into_iter().map(|(_, d)| d).collect()
    }
}

/// The negative logarithm of a keypoint's scale in metres, root and pose together.
pub(crate) fn certainty(slot: Slot<'_>, joint: usize) -> f32 {
    let scale = slot.root_log_scale().clamp(-4.0, 2.0).exp() + slot.log_scale(joint).clamp(-4.0, 2.0).exp();
    -scale.ln()
}
