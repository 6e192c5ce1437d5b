//! Training of the pose network on simulated scenes and on recordings with known poses.

mod cache;
mod calibrate;
mod checkpoint;
mod config;
mod course;
mod descent;
mod learner;
pub(crate) mod loss;
mod scenes;
mod study;
mod tune;
mod whitening;
mod windows;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use burn::{
    module::Module,
    tensor::{DType, Device},
};

pub use config::{DataConfig, OptimiserConfig, SceneGroup, SetGroup, TrainConfig};
pub use study::{Row, Study, Variant};
pub use tune::{Minutes, Tuned, Tuning, minutes, tune};

use crate::{
    data::{DataError, Mirror, Sequence},
    evaluate,
    input::Withheld,
    network::{PoseNetwork, Precision, Unreadable},
    predictor::{Compute, DeviceChoice, PredictError, Predictor},
    sim::Split,
    weights::{self, Calibration, LoadError, MeanPose, ModelCard, SaveError, Shape},
};
use course::Course;
use learner::Learner;
use windows::Windows;

/// Where training is; the callback returns whether to go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Scenes are being simulated.
    Data {
        /// Sequences done.
        done: usize,
        /// Sequences wanted.
        total: usize,
    },
    /// A step was made.
    Step {
        /// Steps done.
        step: u64,
        /// Steps wanted.
        total: u64,
        /// Moving average of the loss.
        loss: f32,
        /// Moving average of presence cross-entropy, root and pose error (metres, mean over coordinates).
        parts: [f32; 3],
    },
    /// The network was tried on scenes that training does not use.
    Validation {
        /// Steps done.
        step: u64,
        /// Figures by name, lengths in millimetres.
        metrics: std::collections::BTreeMap<String, f64>,
    },
    /// A checkpoint was written.
    Checkpoint(PathBuf),
}

/// Why training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration cannot be read or makes no sense.
    #[error("training configuration: {0}")]
    Config(String),
    /// A scene cannot be simulated.
    #[error("simulating the training scenes")]
    Data(#[from] DataError),
    /// A file cannot be written or read.
    #[error("{path}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint does not fit.
    #[error("checkpoint {path}: {reason}")]
    Checkpoint {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The weights cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The weights cannot be read back.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The network's answers cannot be read.
    #[error("the device failed: {0}")]
    Device(String),
    /// The loss is no longer a number.
    #[error("the loss is not finite at step {0}")]
    Diverged(u64),
    /// The callback asked to stop; a checkpoint was written.
    #[error("stopped at step {0}")]
    Stopped(u64),
}

impl From<Unreadable> for TrainError {
    fn from(error: Unreadable) -> Self {
        Self::Device(error.to_string())
    }
}

/// What a finished training gives.
#[derive(Debug)]
pub struct Trained {
    /// The weights file's bytes.
    pub weights: Vec<u8>,
    /// What they say about themselves.
    pub card: ModelCard,
}

/// Windows of one [`SetGroup`], from whoever knows the set's files.
#[derive(Debug, Default)]
pub struct SetWindows {
    /// To learn from.
    pub training: Vec<Sequence>,
    /// Of people or recordings of the training part that nothing is learned from.
    pub validation: Vec<Sequence>,
}

/// Trains as `config` says. Loss curve (`loss.csv`), checkpoints and the finished `weights.safetensors` and `weights.bpk` go to `folder`; if it
/// holds a checkpoint of the same configuration, training goes on from there, to the same result as without the
/// interruption. `commit` goes into the model card. Steps are made on `device`; on the CPU the same seed gives the same weights, bit
/// for bit. What is finished is measured on the CPU.
///
/// # Errors
/// When there is no such device, scenes cannot be simulated, files cannot be written, or the callback asks to stop.
pub fn run(
    config: &TrainConfig,
    folder: &Path,
    commit: &str,
    device: DeviceChoice,
    progress: impl FnMut(Progress) -> bool + Send,
) -> Result<Trained, TrainError> {
    run_with_sets(config, Vec::new(), folder, commit, device, progress)
}

/// As [`run`], also on the windows of each of the configuration's sets, in their order.
///
/// # Errors
/// As [`run`].
pub fn run_with_sets(
    config: &TrainConfig,
    sets: Vec<SetWindows>,
    folder: &Path,
    commit: &str,
    device: DeviceChoice,
    mut progress: impl FnMut(Progress) -> bool + Send,
) -> Result<Trained, TrainError> {
    run_with_scenes(config, sets, folder, &folder.join("scenes"), commit, device, &mut progress)
}

/// As [`run`], with the simulated scenes in a folder of their own, which several trainings may share.
fn run_with_scenes(
    config: &TrainConfig,
    sets: Vec<SetWindows>,
    folder: &Path,
    scenes: &Path,
    commit: &str,
    device: DeviceChoice,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Trained, TrainError> {
    config.check()?;
    let compute = Compute::open(device)?;
    let precision = precision(&config.optimiser, &compute)?;
    let (in_sets, known) = held(config, sets)?;
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let mut make = |groups: &[SceneGroup], split| {
        scenes::make(&config.data, groups, split, scenes, progress)?.ok_or(TrainError::Stopped(0))
    };
    let mut training = make(&config.data.train, Split::Train)?;
    let scenes = make(&config.data.validation, Split::Validation)?;
    training.extend(in_sets);
    let training = Windows::new(config, training);
    let validation = Validation { scenes: scenes.into_iter().flatten().collect(), sets: known };

    let o = &config.optimiser;
    let device = compute.device().clone().autodiff();
    let whitening = training.whitening(&device);
    let mut learner = Learner::new(start(config, &device), whitening, o.weight_decay, precision, device);
    let (mut step, mut course) = (0, Course::default());
    let config_text = config.to_toml();
    if let Some(found) = checkpoint::read(folder, config)? {
        (step, course) = found;
        (learner.network, learner.optimiser) = checkpoint::load(folder, learner.network, learner.optimiser)?;
    }
    let mut curve = Curve::open(folder, step)?;
    let mut average: Option<[f32; 4]> = None;

    let device = learner.device.clone();
    let mut next = training.pictures(step, &device);
    while step < course.end(o) {
        let pictures = next;
        let rate = config.learning_rate(step, course.end(o));
        // The next step's windows are drawn while this one is learned from.
        let learned;
        (learned, next) =
            rayon::join(|| learner.step(pictures, rate, step), || training.pictures(step + 1, &device));
        let now;
        (learner, now) = learned?;
        step += 1;

        let mean = match average {
            None => now,
            Some(a) => std::array::from_fn(|i| a[i] + 0.02 * (now[i] - a[i])),
        };
        average = Some(mean);
        let end = course.end(o);
        if step % 20 == 0 || step == end {
            curve.line(step, "train", &mean)?;
            let [loss, a, b, c] = mean;
            if !progress(Progress::Step { step, total: end, loss, parts: [a, b, c] }) {
                checkpoint::write(folder, &config_text, step, &course, &learner.network, &learner.optimiser)?;
                return Err(TrainError::Stopped(step));
            }
        }
        if step % o.validate_every == 0 && step < end {
            let card = card(config, &config_text, commit, step, training.sequences());
            let predictor = Predictor::from_network(learner.finished(), card, Device::flex());
            let metrics = validation
                .figures(&predictor, &config.data.withheld)
                .map_err(|e| TrainError::Device(e.to_string()))?;
            curve.metrics(step, &metrics)?;
            course.judge(step, &metrics, o);
            let go_on = progress(Progress::Validation { step, metrics });
            checkpoint::write(folder, &config_text, step, &course, &learner.network, &learner.optimiser)?;
            if !progress(Progress::Checkpoint(folder.to_path_buf())) || !go_on {
                return Err(TrainError::Stopped(step));
            }
        }
    }
    finish(
        config,
        &config_text,
        commit,
        step,
        learner.finished(),
        training.sequences(),
        &validation,
        folder,
        progress,
    )
}

fn precision(optimiser: &OptimiserConfig, compute: &Compute) -> Result<Precision, TrainError> {
    match optimiser.mixed_precision {
        false => Ok(Precision::Single),
        true if compute.is_gpu() && compute.device().supports_dtype(DType::F16) => Ok(Precision::Half),
        true => Err(TrainError::Config(format!(
            "optimiser.mixed_precision: needs a GPU that computes with numbers of 16 bits, not {}",
            compute.name()
        ))),
    }
}

/// The network before its first step, the same on every device.
fn start(config: &TrainConfig, device: &Device) -> PoseNetwork {
    let cpu = Device::flex().autodiff();
    cpu.seed(config.seed);
    let network = config.network.init(&cpu);
    // What has a clone is made where it is, and then moved.
    network.clone().fork(device)
}

/// The training windows of each set, and its others by the name that their figures have.
fn held(
    config: &TrainConfig,
    sets: Vec<SetWindows>,
) -> Result<(Vec<Vec<Sequence>>, Vec<(String, Vec<Sequence>)>), TrainError> {
    let groups = &config.data.sets;
    if sets.len() != groups.len() {
        let problem = format!("data.sets: windows of {} sets for {} groups", sets.len(), groups.len());
        return Err(TrainError::Config(problem));
    }
    for (set, SetGroup { set: name, split, .. }) in sets.iter().zip(groups) {
        if set.training.is_empty() || set.validation.is_empty() {
            let (learn, judge) = (set.training.len(), set.validation.len());
            return Err(TrainError::Config(format!(
                "data.sets: {name}, {split}: {learn} sequences to learn from and {judge} to judge by, of which at least one is needed"
            )));
        }
    }
    let named =
        |(set, group): (SetWindows, &SetGroup)| (set.training, (ModelCard::set(&group.set), set.validation));
    Ok(sets.into_iter().zip(groups).map(named).unzip())
}

/// What a network in training is judged by.
struct Validation {
    /// Simulated.
    scenes: Vec<Sequence>,
    /// Recorded, of each set.
    sets: Vec<(String, Vec<Sequence>)>,
}

impl Validation {
    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.scenes.iter().chain(self.sets.iter().flat_map(|(_, sequences)| sequences))
    }

    /// Figures by name, lengths in millimetres.
    fn figures(
        &self,
        predictor: &Predictor,
        withheld: &Withheld,
    ) -> Result<std::collections::BTreeMap<String, f64>, PredictError> {
        let mut out = evaluate::summary(predictor, &self.scenes, withheld)?;
        for (place, sequences) in &self.sets {
            out.extend(evaluate::metrics_of(place, &evaluate::scores(predictor, sequences, withheld)?));
        }
        Ok(out)
    }
}

/// Calibrates, measures and writes the finished network.
#[expect(clippy::too_many_arguments, reason = "the tail of `run`, called once")]
fn finish(
    config: &TrainConfig,
    config_text: &str,
    commit: &str,
    step: u64,
    network: PoseNetwork,
    training: &[Sequence],
    validation: &Validation,
    folder: &Path,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Trained, TrainError> {
    let card = card(config, config_text, commit, step, training);
    // What is measured is what the file will hold, in its precision.
    let (network, _) = weights::from_bytes(&weights::to_bytes(&network, &card)?, &Device::flex())?;
    measured(network, card, validation, &config.data.withheld, folder, progress)
}

/// Fits confidences and takes figures by the validation scenes, and writes the weights.
fn measured(
    network: PoseNetwork,
    mut card: ModelCard,
    validation: &Validation,
    withheld: &Withheld,
    folder: &Path,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Trained, TrainError> {
    let device = Device::flex();
    let predictor = Predictor::from_network(network.clone(), card.clone(), device.clone());
    let failed = |e: PredictError| TrainError::Device(e.to_string());
    card.calibration = calibrate::fit(&predictor, validation.sequences(), withheld).map_err(failed)?;
    let predictor = Predictor::from_network(network.clone(), card.clone(), device);
    card.metrics = validation.figures(&predictor, withheld).map_err(failed)?;
    progress(Progress::Validation { step: card.steps, metrics: card.metrics.clone() });
    let bytes = weights::to_bytes(&network, &card)?;
    for (name, bytes) in
        [("weights.safetensors", &bytes), ("weights.bpk", &weights::to_burnpack(&network, &card)?)]
    {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| io(&path, e))?;
    }
    Ok(Trained { weights: bytes, card })
}

/// Fits the confidences of finished weights and takes their figures anew, by the validation scenes of the configuration that trained them.
/// The weights with a new card go to `folder`, to `weights.safetensors` and `weights.bpk`.
///
/// # Errors
/// When more than the validation scenes differs from the training that the weights' card tells, or as [`run`].
pub fn measure_again(
    config: &TrainConfig,
    weights: &[u8],
    folder: &Path,
    mut progress: impl FnMut(Progress) -> bool,
) -> Result<Trained, TrainError> {
    config.check()?;
    let (network, mut card) = weights::from_bytes(weights, &Device::flex())?;
    let mut trained = TrainConfig::from_toml(&card.config)?;
    trained.data.validation.clone_from(&config.data.validation);
    if trained != *config || !config.data.sets.is_empty() {
        let problem =
            format!("{} {} was trained by another configuration, or on public sets", card.name, card.version);
        return Err(TrainError::Config(problem));
    }
    card.config = config.to_toml();
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let (data, scenes) = (&config.data, folder.join("scenes"));
    let scenes = scenes::make(data, &data.validation, Split::Validation, &scenes, &mut progress)?;
    let scenes = scenes.ok_or(TrainError::Stopped(0))?.into_iter().flatten().collect();
    let validation = Validation { scenes, sets: Vec::new() };
    measured(network, card, &validation, &data.withheld, folder, &mut progress)
}

fn card(
    config: &TrainConfig,
    config_text: &str,
    commit: &str,
    steps: u64,
    training: &[Sequence],
) -> ModelCard {
    ModelCard {
        format: weights::FORMAT,
        name: config.name.clone(),
        version: config.version.clone(),
        shape: Shape::CURRENT,
        network: config.network,
        data: config.data.describe(),
        config: config_text.to_owned(),
        commit: commit.to_owned(),
        steps,
        windows: training.iter().map(|s| s.ends().len() as u64).sum(),
        mean_pose: mean_pose(training),
        calibration: Calibration::default(),
        metrics: Default::default(),
    }
}

/// Mean position and mean pose over the training windows.
fn mean_pose(training: &[Sequence]) -> MeanPose {
    let ends = training.iter().flat_map(|s| s.ends().map(move |end| (s, end)));
    let persons =
        ends.flat_map(|(s, end)| s.persons(end, Mirror::default()).into_iter().map(|p| (s.room_m, p)));
    MeanPose::of(persons.map(|(room_m, p)| (room_m, p.keypoints_m)))
}

/// The loss curve: `step,kind,name,value` lines.
struct Curve {
    file: std::fs::File,
    path: PathBuf,
}

impl Curve {
    fn open(folder: &Path, step: u64) -> Result<Self, TrainError> {
        let path = folder.join("loss.csv");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(step > 0)
            .truncate(step == 0)
            .write(true)
            .open(&path)
            .map_err(|e| io(&path, e))?;
        let mut curve = Self { file, path };
        if step == 0 {
            curve.write("step,kind,name,value\n")?;
        }
        Ok(curve)
    }

    fn line(&mut self, step: u64, kind: &str, values: &[f32; 4]) -> Result<(), TrainError> {
        let names = ["loss", "presence", "root_m", "pose_m"];
        let text: String =
            names.iter().zip(values).map(|(n, v)| format!("{step},{kind},{n},{v:.5}\n")).collect();
        self.write(&text)
    }

    fn metrics(
        &mut self,
        step: u64,
        metrics: &std::collections::BTreeMap<String, f64>,
    ) -> Result<(), TrainError> {
        let text: String = metrics.iter().map(|(n, v)| format!("{step},validation,{n},{v:.3}\n")).collect();
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<(), TrainError> {
        self.file.write_all(text.as_bytes()).map_err(|e| io(&self.path, e))
    }
}

fn io(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Io { path: path.display().to_string(), source }
}
