//! Weights that learn a room of their own from some minutes in which somebody knows where people were.

use std::collections::BTreeMap;

use burn::tensor::Device;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    DataConfig, OptimiserConfig, SceneGroup, TrainConfig, TrainError, learner::Learner, windows::Windows,
};
use crate::{
    data::{self, Job, Place, Sequence},
    evaluate::{self, ByCount},
    input::{BLOCK, RATE_HZ, Withheld},
    network::Precision,
    predictor::{DeviceChoice, Predictor, Weights},
    sim::Split,
    weights,
};

/// How weights are fitted to a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Steps.
    pub steps: u64,
    /// Windows in a step.
    pub batch: usize,
    /// Learning rate at first; it falls linearly to nothing.
    pub learning_rate: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { steps: 200, batch: 48, learning_rate: 5e-4 }
    }
}

/// What became of weights.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The old weights on the minutes held out, by number of people.
    pub before: BTreeMap<String, ByCount>,
    /// The new ones.
    pub after: BTreeMap<String, ByCount>,
    /// The new weights, if they are better there than the old ones; the old ones stay where they are not.
    pub weights: Option<Vec<u8>>,
}

/// Goes on training weights on sequences of a room, and compares them with the old ones on others of it. The same arguments give
/// the same weights. They say of themselves only what was measured on `held_out`, as of `place`.
///
/// # Errors
/// When the weights cannot be read, or the loss is no longer a number.
pub fn tune(
    old: &[u8],
    mut learned: Vec<Sequence>,
    held_out: &[Sequence],
    place: &str,
    tuning: &Tuning,
) -> Result<Tuned, TrainError> {
    let device = Device::flex().autodiff();
    let failed = |e: weights::LoadError| TrainError::Config(e.to_string());
    let (network, mut card) = weights::from_bytes(old, &device).map_err(failed)?;
    let config = TrainConfig { network: card.network, ..config(tuning, learned.len()) };
    // This room and no other: it is not looked at in mirrors.
    learned.iter_mut().for_each(|s| s.place = Place::Demo);
    let windows = Windows::new(&config, vec![learned]);
    let whitening = windows.whitening(&device);
    let network = whitening.taken_out(network);
    let mut learner =
        Learner::new(network, whitening, config.optimiser.weight_decay, Precision::Single, device);
    for step in 0..tuning.steps {
        let rate = config.learning_rate(step, tuning.steps);
        let pictures = windows.pictures(step, &learner.device);
        (learner, _) = learner.step(pictures, rate, step)?;
    }
    card.version += "+room";
    card.steps += tuning.steps;
    let network = learner.finished();
    let new = weights::to_bytes(&network, &card)?;
    let (before, after) = (scores(old, held_out)?, scores(&new, held_out)?);
    // A pose that nobody knows cannot be compared.
    let posed = held_out.iter().flat_map(|s| s.truth.iter().flatten()).all(|p| p.pose_known);
    let error = |by: &ByCount| if posed { by.scores.mpjpe_mm } else { by.scores.root_mm };
    let mean = |scores| evaluate::over_persons(scores, error).unwrap_or(0.0);
    let better = mean(&after) < mean(&before);
    card.metrics = if posed { evaluate::metrics_of(place, &after) } else { BTreeMap::new() };
    Ok(Tuned {
        weights: if better { Some(weights::to_bytes(&network, &card)?) } else { None },
        before,
        after,
    })
}

fn scores(bytes: &[u8], held_out: &[Sequence]) -> Result<BTreeMap<String, ByCount>, TrainError> {
    let predictor = Predictor::load(&Weights::Bytes(bytes.to_vec()), DeviceChoice::Cpu)
        .map_err(|e| TrainError::Config(e.to_string()))?;
    evaluate::scores(&predictor, held_out, &Withheld::default())
        .map_err(|e| TrainError::Device(e.to_string()))
}

/// One group of windows, of which each is as likely as another.
fn config(tuning: &Tuning, sequences: usize) -> TrainConfig {
    let group = SceneGroup {
        place: Place::Demo,
        people: 1,
        first: 0,
        count: sequences as u32,
        each: 1,
        snr_db: Vec::new(),
        seconds: 2.0,
        spread_s: 0.0,
        share: None,
    };
    TrainConfig {
        name: String::new(),
        version: String::new(),
        seed: 1,
        network: Default::default(),
        data: DataConfig {
            packet_hz: RATE_HZ,
            lose_link: 0.05,
            quiet_noise: 0.02,
            join: 0.0,
            leave: 0.0,
            noise: 0.0,
            radios: Default::default(),
            withheld: Default::default(),
            train: vec![group],
            validation: Vec::new(),
            sets: Vec::new(),
        },
        optimiser: OptimiserConfig {
            steps: tuning.steps,
            batch: tuning.batch,
            learning_rate: tuning.learning_rate,
            warm_up: 10,
            cool_down: tuning.steps,
            weight_decay: 0.02,
            validate_every: tuning.steps.max(1),
            patience: None,
            mixed_precision: false,
        },
    }
}

/// What some minutes of labels buy in a room that the weights have never seen.
#[derive(Clone, Debug, Serialize)]
pub struct Minutes {
    /// Minutes learned from; 0 for the weights as they were.
    pub minutes: f64,
    /// Mean per-joint position error on other minutes of the room, millimetres, by room.
    pub mpjpe_mm: Vec<f64>,
    /// Error of the middle of the hips.
    pub root_mm: Vec<f64>,
    /// Error with both roots at the origin.
    pub root_relative_mm: Vec<f64>,
    /// That of the mean pose at the mean position of the training rooms.
    pub mean_position_mpjpe_mm: Vec<f64>,
}

/// Minutes at the end of a room's simulated recording that nothing is learned from.
const HELD_OUT_MIN: f64 = 3.0;

/// Tunes weights in simulated rooms never seen, with one person in them, by the first of so many minutes each.
/// `progress` gets tunings done and in all.
///
/// # Errors
/// When a room cannot be simulated, or as [`tune`].
pub fn minutes(
    old: &[u8],
    rooms: u32,
    minutes: &[f64],
    tuning: &Tuning,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Minutes>, TrainError> {
    let longest = minutes.iter().fold(0.0f64, |a, b| a.max(*b));
    let seconds = (60.0 * (longest + HELD_OUT_MIN)) as f32;
    let job = |index: u32| Job {
        place: Place::Random,
        split: Split::Test,
        index,
        people: 1,
        after_s: 0.0,
        seconds,
        packet_hz: RATE_HZ,
        snr_db: None,
    };
    let jobs: Vec<Job> = (300..300 + rooms).map(job).collect();
    let recordings = jobs.par_iter().map(data::simulate).collect::<Result<Vec<_>, _>>()?;
    let blocks = |minutes: f64| (minutes * 60.0 * f64::from(RATE_HZ) / BLOCK as f64) as usize;
    let row = |minutes| Minutes {
        minutes,
        mpjpe_mm: Vec::new(),
        root_mm: Vec::new(),
        root_relative_mm: Vec::new(),
        mean_position_mpjpe_mm: Vec::new(),
    };
    let mut rows: Vec<Minutes> = std::iter::once(0.0).chain(minutes.iter().copied()).map(row).collect();
    let (all, mut done) = (recordings.len() * minutes.len(), 0);
    for recording in &recordings {
        let held_out = [recording.part(blocks(longest)..recording.blocks())];
        for (row, minutes) in minutes.iter().enumerate() {
            let learned = vec![recording.part(0..blocks(*minutes))];
            let tuned = tune(old, learned, &held_out, Place::Random.name(), tuning)?;
            if row == 0 {
                rows[0].add(&tuned.before);
            }
            rows[row + 1].add(&tuned.after);
            done += 1;
            progress(done, all);
        }
    }
    Ok(rows)
}

impl Minutes {
    fn add(&mut self, scores: &BTreeMap<String, ByCount>) {
        if let Some(by) = scores.values().next() {
            self.mpjpe_mm.push(by.scores.mpjpe_mm);
            self.root_mm.push(by.scores.root_mm);
            self.root_relative_mm.push(by.scores.root_relative_mm);
            self.mean_position_mpjpe_mm.push(by.scores.mean_position_mpjpe_mm);
        }
    }
}
