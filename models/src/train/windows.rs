//! Which windows a training step sees, and how they are varied.

use burn::tensor::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::{SceneGroup, TrainConfig, whitening::Whitening};
use crate::{
    data::{Mirror, Person, Place, Sequence, Trail},
    input::{BINS, BLOCKS, CHANNELS, EARLIER, block},
    network::{Batch, Before, is_cpu},
};

/// Windows whose features say what whitens them.
const WHITENED_BY: usize = 2048;
/// Most windows of a [`Picture`].
const TOGETHER: usize = 64;

/// The training scenes and recordings, and how often each is looked at.
pub(super) struct Windows<'a> {
    config: &'a TrainConfig,
    sequences: Vec<Sequence>,
    /// Of each group: its sequences, what they show, and its weight.
    groups: Vec<(std::ops::Range<usize>, Kind, f32)>,
}

/// What the sequences of a group show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The demo room with nobody in it.
    Nobody,
    /// One person in the demo room.
    Alone,
    /// One person in a room that has so many such sequences, one after the other.
    InRoom(usize),
    /// Something else.
    Other,
}

impl Kind {
    fn of(group: &SceneGroup) -> Self {
        match (group.place, group.people) {
            (Place::Demo, 0) => Self::Nobody,
            (Place::Demo, 1) => Self::Alone,
            (Place::Random, 1) if group.each > 1 => Self::InRoom(group.each as usize),
            _ => Self::Other,
        }
    }
}

/// Windows of one site, one after the other, with the persons of others and as seen by radios like this.
struct Drawn {
    sequence: usize,
    /// Where the windows end, each a window's length after the one before.
    ends: Vec<usize>,
    mirror: Mirror,
    lost: u8,
    noise: f32,
    others: Vec<Other>,
}

/// Whose persons are beside.
struct Other {
    sequence: usize,
    /// Where their window beside the last one ends.
    end: usize,
    /// In so many of the last windows they are not there any more.
    left: usize,
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
    /// Windows of the same site directly before it.
    before: usize,
}

impl Picture {
    fn of(windows: impl Iterator<Item = Window>, device: &Device) -> Self {
        let (mut features, mut fixed, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let (mut persons, mut trails, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = Vec::new();
        for (number, window) in windows.enumerate() {
            before.push(std::array::from_fn(|i| (i < window.before).then(|| number - 1 - i)));
            features.extend(window.features);
            fixed.extend(window.fixed);
            links.push(window.links);
            persons.push(window.persons);
            trails.push(window.trails);
            rooms.push(window.room);
        }
        let batch = Batch::from_parts(features, fixed, &links, Before::Within(before), device);
        Self { batch, persons, trails, rooms }
    }
}

impl<'a> Windows<'a> {
    /// Of the sequences of each training group, then of each set.
    pub fn new(config: &'a TrainConfig, sequences: Vec<Vec<Sequence>>) -> Self {
        let mut at = 0;
        let scenes = config.data.train.iter().map(|g| (Kind::of(g), Some(g.weight())));
        let sets = config.data.sets.iter().map(|s| (Kind::Other, s.share));
        let together = config.network.together();
        let group = |(sequences, (kind, weight)): (&Vec<Sequence>, (Kind, Option<f32>))| {
            let range = at..at + sequences.len();
            at = range.end;
            // Of longer sequences several windows are looked at at once.
            let windows = sequences.first().map_or(1, |s| (s.blocks() / BLOCKS).clamp(1, together));
            (range, kind, weight.unwrap_or(sequences.len() as f32) / windows as f32)
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
        let batch = self.config.optimiser.batch;
        // A GPU has cores of its own for each number of a batch.
        let together = if is_cpu(device) { TOGETHER } else { batch };
        let mut windows = self.windows(step, batch, together).into_iter().peekable();
        std::iter::from_fn(|| {
            windows.peek()?;
            Some(Picture::of(windows.by_ref().take(together), device))
        })
        .collect()
    }

    /// What whitens the features of windows that are drawn as for a step.
    pub fn whitening(&self, device: &Device) -> Whitening {
        let windows = self.windows(u64::MAX, WHITENED_BY, WHITENED_BY);
        let features: Vec<f32> = windows.into_iter().flat_map(|w| w.features).collect();
        Whitening::of(&features, device)
    }

    /// So many windows, of which those of one site are never in two parts of this size.
    fn windows(&self, step: u64, count: usize, part: usize) -> Vec<Window> {
        let (mut drawn, mut windows) = (Vec::new(), 0);
        while windows < count {
            let mut rng =
                ChaCha8Rng::seed_from_u64(self.config.seed ^ step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            rng.set_stream(drawn.len() as u64);
            let mut next = self.draw(&mut rng);
            let room = (part - windows % part).min(count - windows);
            next.ends.drain(..next.ends.len().saturating_sub(room));
            windows += next.ends.len();
            drawn.push((next, rng));
        }
        drawn.into_par_iter().flat_map_iter(|(drawn, mut rng)| self.of_site(&drawn, &mut rng)).collect()
    }

    fn of_site(&self, drawn: &Drawn, rng: &mut ChaCha8Rng) -> Vec<Window> {
        let shown = self.config.data.withheld.earlier();
        let last = drawn.ends.len().saturating_sub(1);
        (0..drawn.ends.len())
            .map(|number| Window {
                before: number.min(shown),
                ..self.window(drawn, drawn.ends[number], last - number, rng)
            })
            .collect()
    }

    /// The window that ends there, with so many behind it.
    fn window(&self, drawn: &Drawn, end: usize, behind: usize, rng: &mut ChaCha8Rng) -> Window {
        let config = self.config;
        let sequence = &self.sequences[drawn.sequence];
        let beside = |other: &Other| {
            let end = other.end.checked_sub(behind * BLOCKS).filter(|&end| end >= BLOCKS)?;
            (behind >= other.left).then(|| (&self.sequences[other.sequence], end))
        };
        let others: Vec<_> = drawn.others.iter().filter_map(beside).collect();
        let (mut features, mut fixed, mut links) = (Vec::new(), Vec::new(), 0);
        for link in (0..sequence.links.len()).filter(|l| drawn.lost >> l & 1 == 0) {
            let vary = |step: &mut block::Step| {
                if drawn.noise > 0.0 {
                    block::blur(step, drawn.noise, || rng.sample::<f32, _>(StandardNormal));
                }
            };
            let from = features.len();
            sequence.features_joined(link, end, &others, vary, &mut features);
            config.data.withheld.hide(&mut features[from..]);
            let mut quiet = sequence.fixed(link, drawn.mirror);
            for v in &mut quiet[..CHANNELS * BINS] {
                *v += config.data.quiet_noise * rng.sample::<f32, _>(StandardNormal);
            }
            config.data.withheld.hide_fixed(&mut quiet);
            fixed.extend(quiet);
            links += 1;
        }
        let mut persons = sequence.persons(end, drawn.mirror);
        persons.extend(others.iter().flat_map(|(s, end)| s.persons(*end, drawn.mirror)));
        let mut trails = sequence.trails(end, drawn.mirror);
        trails.extend(others.iter().flat_map(|(s, end)| s.trails(*end, drawn.mirror)));
        let room = drawn.mirror.room(sequence.room_m);
        Window { features, fixed, links, persons, trails, room, before: 0 }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Drawn {
        let (index, end, kind) = self.any(rng, |_| true);
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
        let noise = if rng.random_bool(self.config.data.noise) {
            let [from, to] = super::DataConfig::NOISE.map(f32::ln);
            rng.random_range(from..to).exp()
        } else {
            0.0
        };
        let (others, ends) = (self.others(index, kind, rng), self.ends(sequence, end));
        Drawn { sequence: index, ends, mirror, lost, noise, others }
    }

    /// The ends of a site's windows up to this one: as many as a network looks at together.
    fn ends(&self, sequence: &Sequence, end: usize) -> Vec<usize> {
        let mut ends: Vec<usize> = (0..self.config.network.together())
            .map_while(|i| end.checked_sub(i * BLOCKS))
            .filter(|end| sequence.ends().contains(end))
            .collect();
        ends.reverse();
        ends
    }

    /// Who else is there, or was.
    fn others(&self, index: usize, kind: Kind, rng: &mut ChaCha8Rng) -> Vec<Other> {
        let data = &self.config.data;
        let empty = match kind {
            Kind::Alone | Kind::InRoom(_) => !rng.random_bool(data.join),
            Kind::Nobody => !rng.random_bool(data.leave) || !self.groups.iter().any(|g| g.1 == Kind::Alone),
            Kind::Other => true,
        };
        if empty {
            return Vec::new();
        }
        let count = rng.random_range(1..=2);
        (0..count)
            .map(|_| {
                let (sequence, end) = match kind {
                    Kind::InRoom(each) => self.beside(index, each, rng),
                    _ => {
                        let (sequence, end, _) = self.any(rng, |kind| kind == Kind::Alone);
                        (sequence, end)
                    }
                };
                let leaves = kind == Kind::Nobody || rng.random_bool(data.leave);
                let left = if leaves { rng.random_range(1..=EARLIER) } else { 0 };
                Other { sequence, end, left }
            })
            .collect()
    }

    /// A sequence and the end of the last window that is looked at in it, of the groups that are asked for, and its kind.
    fn any(&self, rng: &mut ChaCha8Rng, wanted: impl Fn(Kind) -> bool) -> (usize, usize, Kind) {
        let groups = || self.groups.iter().filter(|(_, kind, _)| wanted(*kind));
        let mut left = rng.random::<f32>() * groups().map(|(_, _, weight)| weight).sum::<f32>();
        let mut found = groups().next_back();
        for group in groups() {
            left -= group.2;
            if left < 0.0 {
                found = Some(group);
                break;
            }
        }
        let (range, kind, _) = found.unwrap_or(&self.groups[0]);
        let index = rng.random_range(range.clone());
        (index, self.end(index, rng), *kind)
    }

    /// Another sequence of the room that has so many, and the end of the last window that is looked at in it.
    fn beside(&self, index: usize, each: usize, rng: &mut ChaCha8Rng) -> (usize, usize) {
        let first = self.groups.iter().find(|g| g.0.contains(&index)).map_or(0, |g| g.0.start);
        let (room, own) = ((index - first) / each, (index - first) % each);
        let other = first + room * each + (own + rng.random_range(1..each.max(2))) % each;
        (other, self.end(other, rng))
    }

    /// The end of the last window that is looked at in a sequence, with as many before it as there are.
    fn end(&self, index: usize, rng: &mut ChaCha8Rng) -> usize {
        let ends = self.sequences[index].ends();
        let first = if self.config.network.memory > 0 { ends.end.saturating_sub(BLOCKS) } else { 0 };
        rng.random_range(ends.start.max(first)..ends.end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        data,
        evaluate::metrics::{distance, root},
        sim::Split,
    };

    const CONFIG: &str = r#"
        name = "small"
        version = "0"
        seed = 3
        [network]
        memory = 4
        [data]
        packet_hz = 50.0
        lose_link = 0.2
        join = 0.3
        leave = 0.5
        train = [
            { place = "demo", people = 0, first = 0, count = 1, seconds = 6.0, share = 0.3 },
            { place = "demo", people = 1, first = 1, count = 3, seconds = 10.6, spread_s = 20.0 },
            { place = "demo", people = 1, first = 7, count = 3, seconds = 2.6 },
            { place = "random", people = 1, first = 1, count = 4, each = 2, seconds = 4.6, spread_s = 20.0 },
        ]
        validation = [{ place = "demo", people = 1, first = 0, count = 1, seconds = 2.0 }]
        [optimiser]
        steps = 1
        batch = 100
        learning_rate = 1e-2
        warm_up = 1
        cool_down = 1
        weight_decay = 0.0
        validate_every = 1
    "#;

    #[test]
    fn windows_of_a_site_follow_each_other_in_one_part() {
        let config = TrainConfig::from_toml(CONFIG).unwrap();
        let of = |group| {
            config.data.jobs(Split::Train, group).iter().map(|job| data::simulate(job).unwrap()).collect()
        };
        let windows = Windows::new(&config, config.data.train.iter().map(of).collect());
        let inside = |p: &Person, room: [f32; 3]| {
            root(&p.keypoints_m).iter().zip(room).all(|(at, size)| (-0.2..size + 0.2).contains(at))
        };
        let (mut most, mut came, mut left) = (0, 0, 0);
        for step in 0..20 {
            let drawn = windows.windows(step, 100, 64);
            assert_eq!(drawn.len(), 100);
            for part in drawn.chunks(64) {
                assert_eq!(part[0].before, 0);
                for pair in part.windows(2).filter(|pair| pair[1].before > 0) {
                    let [earlier, later] = pair else { unreachable!() };
                    assert_eq!(later.before, earlier.before + 1);
                    assert_eq!((later.links, later.room), (earlier.links, earlier.room));
                    came += usize::from(later.persons.len() > earlier.persons.len());
                    left += usize::from(later.persons.len() < earlier.persons.len());
                    assert!(later.persons.iter().all(|p| inside(p, later.room)));
                    // Whose sequence it is goes on from where they were.
                    if let (Some(was), Some(is)) = (earlier.trails.first(), later.trails.first())
                        && later.persons.len() == earlier.persons.len()
                    {
                        let (was, is) = (was[was.len() - 1], is[0]);
                        assert!(distance(was, is) < 1.0, "{was:?} {is:?}");
                    }
                    most = most.max(later.before);
                }
            }
            let again = windows.windows(step, 100, 64);
            assert!(drawn.iter().zip(&again).all(|(a, b)| a.features == b.features && a.before == b.before));
        }
        assert_eq!(most, EARLIER);
        assert!(came > 0 && left > 0, "{came} came, {left} left");
    }
}
