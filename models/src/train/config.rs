//! What is trained, on what, and how.

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::{
    data::{Job, Place},
    network::NetworkConfig,
    sim::Split,
};

/// A training, as read from TOML.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// Seed of weights and of the order of windows.
    pub seed: u64,
    /// Widths of the layers.
    #[serde(default)]
    pub network: NetworkConfig,
    /// The scenes.
    pub data: DataConfig,
    /// How the weights are changed.
    pub optimiser: OptimiserConfig,
}

/// Simulated scenes; every sequence has people of its own, and every random room is drawn anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Sequences of the demo room.
    pub demo_sequences: usize,
    /// Seconds of each.
    pub demo_s: f32,
    /// Random rooms.
    pub random_rooms: usize,
    /// Seconds in each.
    pub random_s: f32,
    /// Share of sequences with nobody, one, two and three people.
    pub people: [f32; 4],
    /// Packets per second and transmitter.
    pub packet_hz: f32,
    /// Probability that a window lacks one of its links.
    pub lose_link: f64,
    /// Standard deviation of a gain, in dB, that each receive antenna's quiet amplitudes get anew in every window, and of noise
    /// on every number of the quiet channel: without them the quiet channel tells the network which sequence it sees.
    #[serde(default)]
    pub quiet_gain_db: f32,
    /// See `quiet_gain_db`.
    #[serde(default)]
    pub quiet_noise: f32,
    /// Sequences of the demo room, and random rooms, that are kept for validation and calibration.
    pub validation: [usize; 2],
}

/// AdamW with a linear start and a cosine end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Steps.
    pub steps: u64,
    /// Windows in a step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps until it is reached.
    pub warm_up: u64,
    /// Weight decay.
    pub weight_decay: f32,
    /// Steps between validations (and checkpoints).
    pub validate_every: u64,
}

impl TrainConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is no TOML, has unknown or missing keys, or values that make no sense.
    pub fn from_toml(text: &str) -> Result<Self, TrainError> {
        let config: Self = toml::from_str(text).map_err(|e| TrainError::Config(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    pub(super) fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let fail = |what: &str| Err(TrainError::Config(what.to_owned()));
        let (d, o, n) = (&self.data, &self.optimiser, &self.network);
        if d.demo_sequences + d.random_rooms == 0 {
            return fail("data: no sequences");
        }
        if !(5.0..=3600.0).contains(&d.demo_s) || !(5.0..=3600.0).contains(&d.random_s) {
            return fail("data.demo_s and data.random_s: 5 to 3600 seconds");
        }
        if d.people.iter().any(|p| !p.is_finite() || *p < 0.0) || d.people.iter().sum::<f32>() <= 0.0 {
            return fail("data.people: four shares, not all zero");
        }
        if !(12.5..=1000.0).contains(&d.packet_hz) || !(0.0..=1.0).contains(&d.lose_link) {
            return fail("data.packet_hz: 12.5 to 1000; data.lose_link: 0 to 1");
        }
        if !(0.0..=20.0).contains(&d.quiet_gain_db) || !(0.0..=1.0).contains(&d.quiet_noise) {
            return fail("data.quiet_gain_db: 0 to 20; data.quiet_noise: 0 to 1");
        }
        if o.steps == 0 || o.batch == 0 || o.batch > 4096 || o.validate_every == 0 {
            return fail("optimiser: steps, batch (at most 4096) and validate_every must be above 0");
        }
        if !(o.learning_rate > 0.0 && o.learning_rate < 1.0 && (0.0..1.0).contains(&o.weight_decay)) {
            return fail("optimiser.learning_rate: above 0 and below 1; weight_decay: 0 to 1");
        }
        if [n.patch, n.span, n.fixed, n.moments, n.link, n.trunk].iter().any(|w| !(1..=8192).contains(w)) {
            return fail("network: widths of 1 to 8192");
        }
        Ok(())
    }

    pub(super) fn learning_rate(&self, step: u64) -> f64 {
        let o = &self.optimiser;
        let start = ((step + 1) as f64 / o.warm_up.max(1) as f64).min(1.0);
        let share = (step as f64 / o.steps as f64).min(1.0);
        let end = 0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        o.learning_rate * start * end
    }
}

impl DataConfig {
    /// What is to be simulated for a split.
    pub fn jobs(&self, split: Split) -> Vec<Job> {
        let (demo, random) = match split {
            Split::Train => (self.demo_sequences, self.random_rooms),
            Split::Validation | Split::Test => (self.validation[0], self.validation[1]),
        };
        let one = |place, count: usize, seconds| {
            (0..count).map(move |index| Job {
                place,
                split,
                index: index as u32,
                people: self.people_of(index, count),
                seconds,
                packet_hz: self.packet_hz,
            })
        };
        one(Place::Demo, demo, self.demo_s).chain(one(Place::Random, random, self.random_s)).collect()
    }

    /// Spreads the shares evenly over the sequences.
    fn people_of(&self, index: usize, count: usize) -> usize {
        let total: f32 = self.people.iter().sum();
        let at = (index as f32 + 0.5) / count.max(1) as f32 * total;
        let mut sum = 0.0;
        self.people
            .iter()
            .position(|share| {
                sum += share;
                at < sum
            })
            .unwrap_or(1)
    }

    /// In a sentence, for the model card.
    pub fn describe(&self) -> String {
        format!(
            "simulated: {} sequences of {} s in the demo room and {} random rooms of {} s, nobody to three people",
            self.demo_sequences, self.demo_s, self.random_rooms, self.random_s
        )
    }
}
