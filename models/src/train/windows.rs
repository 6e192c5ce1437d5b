//! Which windows a training step sees, and how they are varied.

use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::{TrainConfig, whitening::Whitening};
use crate::{
    data::{Mirror, Person, Place, Sequence, Trail},
    input::{BINS, CHANNELS, block},
    network::Batch,
};

/// Windows whose features say what whitens them.
const WHITENED_BY: u64 = 2048;
/// Most windows of a [`Picture`].
const TOGETHER: usize = 64;

/// The training scenes and recordings, and how often each is looked at.
pub(super) struct Windows<'a> {
    config: &'a TrainConfig,
    sequences: Vec<Sequence>,
    /// Of each group: its sequences, whether they show one person in the demo room, and its weight.
    groups: Vec<(std::ops::Range<usize>, bool, f32)>,
}

/// One window: which sequence, which end, seen in which mirror, without which links, with how much noise, with the persons of which others.
struct Drawn {
    sequence: usize,
    end: usize,
    mirror: Mirror,
    lost: u8,
    noise: f32,
    joined: Vec<(usize, usize)>,
}

/// Windows of a step.
pub(super) struct Picture {
    pub batch: Batch,
    pub persons: Vec<Vec<Person>>,
    pub trails: Vec<Vec<Trail>>,
    pub rooms: Vec<[f32; 3]>,
}

/// A window as the network takes it.
struct Window {
    features: Vec<f32>,
    fixed: Vec<f32>,
    links: usize,
    persons: Vec<Person>,
    trails: Vec<Trail>,
    room: [f32; 3],
}

impl Picture {
    fn of(windows: impl Iterator<Item = Window>, device: &Device) -> Self {
        let (mut features, mut fixed, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let (mut persons, mut trails, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        for window in windows {
            features.extend(window.features);
            fixed.extend(window.fixed);
            links.push(window.links);
            persons.push(window.persons);
            trails.push(window.trails);
            rooms.push(window.room);
        }
        Self { batch: Batch::from_parts(features, fixed, &links, device), persons, trails, rooms }
    }
}

impl<'a> Windows<'a> {
    /// Of the sequences of each training group, then of each set.
    pub fn new(config: &'a TrainConfig, sequences: Vec<Vec<Sequence>>) -> Self {
        let mut at = 0;
        let scenes =
            config.data.train.iter().map(|g| (g.place == Place::Demo && g.people == 1, Some(g.weight())));
        let sets = config.data.sets.iter().map(|s| (false, s.share));
        let group = |(sequences, (alone, weight)): (&Vec<Sequence>, (bool, Option<f32>))| {
            let range = at..at + sequences.len();
            at = range.end;
            (range, alone, weight.unwrap_or(sequences.len() as f32))
        };
        let groups = sequences.iter().zip(scenes.chain(sets)).map(group).collect();
        Self { config, groups, sequences: sequences.into_iter().flatten().collect() }
    }

    /// All scenes.
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// The windows of a step, in parts that are learned from side by side; the same step of the same configuration sees the
    /// same.
    pub fn pictures(&self, step: u64, device: &Device) -> Vec<Picture> {
        let windows: Vec<Window> =
            (0..self.config.optimiser.batch).into_par_iter().map(|i| self.window(step, i as u64)).collect();
        let mut windows = windows.into_iter().peekable();
        std::iter::from_fn(|| {
            windows.peek()?;
            Some(Picture::of(windows.by_ref().take(TOGETHER), device))
        })
        .collect()
    }

    /// What whitens the features of windows that are drawn as for a step.
    pub fn whitening(&self, device: &Device) -> Whitening {
        let windows: Vec<Window> =
            (0..WHITENED_BY).into_par_iter().map(|i| self.window(u64::MAX, i)).collect();
        let features: Vec<f32> = windows.into_iter().flat_map(|w| w.features).collect();
        Whitening::of(&features, device)
    }

    fn window(&self, step: u64, number: u64) -> Window {
        let config = self.config;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        rng.set_stream(number);
        let drawn = self.draw(&mut rng);
        let sequence = &self.sequences[drawn.sequence];
        let others: Vec<_> = drawn.joined.iter().map(|&(s, end)| (&self.sequences[s], end)).collect();
        let (mut features, mut fixed, mut links) = (Vec::new(), Vec::new(), 0);
        for link in (0..sequence.links.len()).filter(|l| drawn.lost >> l & 1 == 0) {
            let vary = |step: &mut block::Step| {
                if drawn.noise > 0.0 {
                    block::blur(step, drawn.noise, || rng.sample::<f32, _>(StandardNormal));
                }
            };
            let from = features.len();
            sequence.features_joined(link, drawn.end, &others, vary, &mut features);
            config.data.withheld.hide(&mut features[from..]);
            let mut quiet = sequence.fixed(link, drawn.mirror);
            for v in &mut quiet[..CHANNELS * BINS] {
                *v += config.data.quiet_noise * rng.sample::<f32, _>(StandardNormal);
            }
            config.data.withheld.hide_fixed(&mut quiet);
            fixed.extend(quiet);
            links += 1;
        }
        let mut persons = sequence.persons(drawn.end, drawn.mirror);
        persons.extend(others.iter().flat_map(|(s, end)| s.persons(*end, drawn.mirror)));
        let mut trails = sequence.trails(drawn.end, drawn.mirror);
        trails.extend(others.iter().flat_map(|(s, end)| s.trails(*end, drawn.mirror)));
        Window { features, fixed, links, persons, trails, room: drawn.mirror.room(sequence.room_m) }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Drawn {
        let sequence = self.sequence(rng, |_| true);
        let (index, end, alone) = sequence;
        let sequence = &self.sequences[index];
        // A mirrored room is another room that is just as possible; the demo room is only what it is.
        let mirror = if sequence.place == Place::Random {
            Mirror { x: rng.random_bool(0.5), y: rng.random_bool(0.5), swap: rng.random_bool(0.5) }
        } else {
            Mirror::default()
        };
        let links = sequence.links.len();
        let lost = if links > 1 && rng.random_bool(self.config.data.lose_link) {
            1 << rng.random_range(0..links)
        } else {
            0u8
        };
        let joined = if alone && rng.random_bool(self.config.data.join) {
            let others = rng.random_range(1..=2);
            (0..others).map(|_| self.sequence(rng, |alone| alone)).map(|(s, end, _)| (s, end)).collect()
        } else {
            Vec::new()
        };
        let noise = if rng.random_bool(self.config.data.noise) {
            let [from, to] = super::DataConfig::NOISE.map(f32::ln);
            rng.random_range(from..to).exp()
        } else {
            0.0
        };
        Drawn { sequence: index, end, mirror, lost, noise, joined }
    }

    /// A sequence and an end of a window in it, of the groups that are asked for, and whether it shows one person in the
    /// demo room.
    fn sequence(&self, rng: &mut ChaCha8Rng, wanted: impl Fn(bool) -> bool) -> (usize, usize, bool) {
        let groups = || self.groups.iter().filter(|(_, alone, _)| wanted(*alone));
        let mut left = rng.random::<f32>() * groups().map(|(_, _, weight)| weight).sum::<f32>();
        let mut found = groups().next_back();
        for group in groups() {
            left -= group.2;
            if left < 0.0 {
                found = Some(group);
                break;
            }
        }
        let (range, alone, _) = found.unwrap_or(&self.groups[0]);
        let index = rng.random_range(range.clone());
        (index, rng.random_range(self.sequences[index].ends()), *alone)
    }
}
