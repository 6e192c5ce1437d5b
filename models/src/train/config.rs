//! What is trained, on what, and how.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::{
    data::{Job, Place, ROOMS},
    input::{WINDOW_S, Withheld},
    network::NetworkConfig,
    sim::{Radios, Split},
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

/// Simulated scenes, of which every sequence has people of its own and every random room is drawn anew, and public sets of recordings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Packets per second and transmitter.
    pub packet_hz: f32,
    /// Probability that a window lacks one of its links.
    pub lose_link: f64,
    /// Standard deviation of noise on every number of the quiet channel, anew in every window: without it the quiet
    /// channel may tell the network which sequence it sees.
    #[serde(default)]
    pub quiet_noise: f32,
    /// Probability that a window of one person gets the persons of one or two other such windows of the same room beside (one and
    /// two of them as often), in the demo room or where a room has several sequences.
    #[serde(default)]
    pub join: f64,
    /// Probability that somebody who is beside has left before the window's end and was only seen in windows before; and that
    /// one or two were seen in the empty demo room before.
    #[serde(default)]
    pub leave: f64,
    /// Probability that a window is seen by noisier radios than the simulated ones: by up to [`Self::NOISE`]'s end.
    #[serde(default)]
    pub noise: f64,
    /// Radios other than the scenes' own.
    #[serde(default, skip_serializing_if = "Radios::are_the_scenes_own")]
    pub radios: Radios,
    /// What the network is not shown, for a study of what it is worth: such weights are good for nothing else.
    #[serde(default, skip_serializing_if = "Withheld::is_nothing")]
    pub withheld: Withheld,
    /// Scenes to train on.
    #[serde(default)]
    pub train: Vec<SceneGroup>,
    /// Scenes for validation and calibration.
    #[serde(default)]
    pub validation: Vec<SceneGroup>,
    /// Public sets to train on; a part of each is for validation and calibration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetGroup>,
}

/// The training part of a public set of recordings with poses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetGroup {
    /// Its name.
    pub set: String,
    /// Where it lies, in the layout in which it is published.
    pub folder: PathBuf,
    /// Which of its splits; what that keeps for testing is not read.
    pub split: String,
    /// How often windows are drawn from it beside the other groups; as it has sequences where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

/// Sequences of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneGroup {
    /// In which room.
    pub place: Place,
    /// How many people.
    pub people: usize,
    /// Number of the first sequence, or of the first random room; no two groups of one place share a number.
    pub first: u32,
    /// Sequences.
    pub count: u32,
    /// Sequences in each random room, of which those of one person can be joined.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub each: u32,
    /// Seconds of each.
    pub seconds: f32,
    /// Signal to noise ratios of their radios by turns, dB; those of the place where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snr_db: Vec<f32>,
    /// Each begins at another moment of so many seconds after the quiet ones.
    #[serde(default)]
    pub spread_s: f32,
    /// How often windows are drawn from it beside the other groups; as it has sequences where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

impl SceneGroup {
    /// Numbers of its rooms, or of its sequences in the demo room.
    fn rooms(&self) -> std::ops::Range<u32> {
        self.first..self.first.saturating_add(self.count.div_ceil(self.each.max(1)))
    }

    /// How often windows are drawn from it.
    pub(super) fn weight(&self) -> f32 {
        self.share.unwrap_or(self.count as f32)
    }
}

/// AdamW. The learning rate rises linearly, stays, and falls linearly at the end (Hägele et al., "Scaling Laws and
/// Compute-Optimal Training Beyond Fixed Training Durations", 2024), so that until it falls the number of steps is open.
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
    /// Steps at the end over which it falls to a fiftieth.
    pub cool_down: u64,
    /// Weight decay.
    pub weight_decay: f32,
    /// Steps between validations (and checkpoints).
    pub validate_every: u64,
    /// After so many validations in a row none of which was the best so far, the learning rate begins to fall; never
    /// before its time where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Whether the two products that every block of every link goes through, most of the arithmetic, take numbers of 16 bits: on a GPU that
    /// computes with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_precision: bool,
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
        let (d, o) = (&self.data, &self.optimiser);
        if d.train.is_empty() != d.validation.is_empty() || (d.train.is_empty() && d.sets.is_empty()) {
            return fail("data.train and data.validation: no scenes");
        }
        if d.sets.iter().any(|s| !(s.share.unwrap_or(1.0) >= 0.0))
            || (d.train.is_empty() && d.sets.iter().all(|s| s.share == Some(0.0)))
        {
            return fail("data.sets: shares of 0 and more, not all 0");
        }
        for groups in [&d.train, &d.validation].into_iter().filter(|groups| !groups.is_empty()) {
            if groups
                .iter()
                .any(|g| !(WINDOW_S..=3600.0).contains(&g.seconds) || g.people > 8 || g.count == 0)
            {
                return fail("data: groups of at least one sequence, 2 to 3600 seconds, at most 8 people");
            }
            if groups.iter().any(|g| !(0.0..=3600.0).contains(&g.spread_s) || !(g.weight() >= 0.0))
                || !(groups.iter().map(SceneGroup::weight).sum::<f32>() > 0.0)
            {
                return fail(
                    "data: a group's spread_s of 0 to 3600 seconds, shares of 0 and more, not all 0",
                );
            }
            if groups.iter().flat_map(|g| &g.snr_db).any(|snr| !(-20.0..=80.0).contains(snr)) {
                return fail("data: a group's snr_db of -20 to 80");
            }
            let whole = |g: &SceneGroup| {
                (1..=64).contains(&g.each)
                    && g.count.is_multiple_of(g.each)
                    && (g.each == 1 || g.place == Place::Random)
            };
            if !groups.iter().all(|g| whole(g) && g.rooms().end < ROOMS) {
                return fail(
                    "data: 1 to 64 sequences in each room, all rooms with as many, only random rooms with more than one",
                );
            }
            let shared = |a: &SceneGroup, b: &SceneGroup| {
                let (x, y) = (a.rooms(), b.rooms());
                a.place == b.place && x.start < y.end && y.start < x.end
            };
            if groups.iter().enumerate().any(|(i, a)| groups[i + 1..].iter().any(|b| shared(a, b))) {
                return fail("data: two groups of one place share numbers");
            }
        }
        if !(12.5..=1000.0).contains(&d.packet_hz) || !(0.0..=1.0).contains(&d.lose_link) {
            return fail("data.packet_hz: 12.5 to 1000; data.lose_link: 0 to 1");
        }
        if !(0.0..=1.0).contains(&d.quiet_noise)
            || !(0.0..=1.0).contains(&d.join)
            || !(0.0..=1.0).contains(&d.leave)
            || !(0.0..=1.0).contains(&d.noise)
        {
            return fail("data.quiet_noise, data.join, data.leave, data.noise: 0 to 1");
        }
        d.radios
            .check()
            .and_then(|()| d.withheld.check())
            .map_err(|e| TrainError::Config(format!("data.{e}")))?;
        if o.steps == 0 || o.batch == 0 || o.batch > 4096 || o.validate_every == 0 {
            return fail("optimiser: steps, batch (at most 4096) and validate_every must be above 0");
        }
        if !(o.learning_rate > 0.0 && o.learning_rate < 1.0 && (0.0..1.0).contains(&o.weight_decay)) {
            return fail("optimiser.learning_rate: above 0 and below 1; weight_decay: 0 to 1");
        }
        if self.network.widths().iter().any(|w| !(1..=8192).contains(w)) {
            return fail("network: widths of 1 to 8192");
        }
        if self.network.memory > 8192 {
            return fail("network.memory: at most 8192");
        }
        Ok(())
    }

    /// The learning rate of a step of a training that ends after `end` steps.
    pub(super) fn learning_rate(&self, step: u64, end: u64) -> f64 {
        let o = &self.optimiser;
        let start = ((step + 1) as f64 / o.warm_up.max(1) as f64).min(1.0);
        let left = end.saturating_sub(step) as f64 / o.cool_down.max(1) as f64;
        o.learning_rate * start * left.clamp(0.02, 1.0)
    }

    /// Whether a training with `other` was the same until `step`: only the number of steps differs, and the learning rate
    /// has not fallen yet, which it did from `falls_at` on if it did early.
    pub(super) fn same_until(&self, other: &Self, step: u64, falls_at: Option<u64>) -> bool {
        let mut prolonged = other.clone();
        prolonged.optimiser.steps = self.optimiser.steps;
        let shorter = self.optimiser.steps.min(other.optimiser.steps);
        let falls_at = falls_at.unwrap_or(shorter.saturating_sub(self.optimiser.cool_down));
        self == other || (*self == prolonged && step <= falls_at)
    }
}

impl DataConfig {
    /// From and to: standard deviation of the noise that is added, in units of the quiet channel's root mean square. At 28 dB a
    /// bin of 30 subcarriers has 0.018 in each part.
    pub(super) const NOISE: [f32; 2] = [0.01, 0.25];

    /// What is to be simulated for a group of a split.
    pub(super) fn jobs(&self, split: Split, group: &SceneGroup) -> Vec<Job> {
        let job = |n: u32| {
            // All of a room one after the other.
            let index = group.first + n / group.each + n % group.each * ROOMS;
            let turns = group.snr_db.len().max(1);
            Job {
                place: group.place,
                split,
                index,
                people: group.people,
                // Evenly, whatever the number of sequences (Weyl, 1916).
                after_s: (f64::from(index) * 0.618_033_988_75).fract() as f32 * group.spread_s,
                seconds: group.seconds,
                packet_hz: self.packet_hz,
                snr_db: group.snr_db.get(n as usize % turns).copied(),
            }
        };
        (0..group.count).map(job).collect()
    }

    /// In a sentence, for the model card.
    pub fn describe(&self) -> String {
        let of = |place: Place| {
            let groups = self.train.iter().filter(move |g| g.place == place);
            groups.fold((0, 0.0), |(n, h), g| (n + g.rooms().len(), h + g.count as f32 * g.seconds / 3600.0))
        };
        let ((demo, demo_h), (random, random_h)) = (of(Place::Demo), of(Place::Random));
        let most = self.train.iter().map(|g| g.people).max().unwrap_or(0);
        let radios = if self.radios.are_the_scenes_own() {
            String::new()
        } else {
            format!(", seen by other radios: {}", self.radios)
        };
        let simulated = format!(
            "simulated: {demo_h:.1} h in {demo} sequences in the demo room and {random_h:.1} h in {random} random rooms, nobody to {most} people{radios}"
        );
        let sets = self.sets.iter().map(|s| format!("the training part of {}, {}", s.set, s.split));
        let scenes = (!self.train.is_empty()).then_some(simulated);
        scenes.into_iter().chain(sets).collect::<Vec<_>>().join("; ")
    }
}
