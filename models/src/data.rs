//! Simulated scenes as training and test windows.

mod clock;
mod observed;

pub use clock::{ClockOffset, clock_offset};
pub use observed::{Label, ObservedLink, sequences, windows};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    evaluate::metrics::root,
    input::{
        BLOCK, BLOCKS, Binned, Earlier, FEATURES, FIXED, FeatureTrack, Input, LinkInput, RATE_HZ, Reference,
        ReferenceBuilder, Withheld,
        block::{self, Step},
        fixed_features,
    },
    network::{JOINTS, MERGE, SPANS},
    sim::{Activity, Radios, SceneConfig, SimError, Simulator, Split},
    skeleton::MIRROR,
};

/// Seconds of empty room before people come, from which the quiet reference is learned.
pub const QUIET_S: f32 = 4.0;

/// In which room a scene plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The demo room, always the same.
    Demo,
    /// A room of its own.
    Random,
}

impl Place {
    /// As model cards name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Random => "random",
        }
    }
}

/// Numbers of rooms. Scenes whose numbers differ by a multiple of it play in the same random room.
pub const ROOMS: u32 = 1 << 24;

/// A scene to be simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// In which room.
    pub place: Place,
    /// For what; no two splits share a seed.
    pub split: Split,
    /// Which scene of its split and place, see [`ROOMS`].
    pub index: u32,
    /// How many people.
    pub people: usize,
    /// Seconds after the quiet ones that are skipped: people are then in the midst of something.
    pub after_s: f32,
    /// Seconds looked at.
    pub seconds: f32,
    /// Packets per second and transmitter.
    pub packet_hz: f32,
    /// Signal to noise ratio, dB; that of the place where absent.
    pub snr_db: Option<f32>,
}

/// A true person.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Site coordinates in metres, COCO order.
    pub keypoints_m: [[f32; 3]; JOINTS],
    /// Index into [`Activity::ALL`], where it is known.
    pub activity: Option<usize>,
    /// False where only the root is known: the keypoints are then a mean pose there.
    pub pose_known: bool,
}

/// Why there are no windows.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The simulator refuses the scene.
    #[error(transparent)]
    Scene(#[from] SimError),
    /// A link was silent while its quiet reference should have been learned.
    #[error("link {0} received nothing in the quiet seconds")]
    Silent(String),
    /// A simulating thread died.
    #[error("a simulating thread panicked")]
    Panicked,
}

/// Somebody's root at the end of each span of a window, site coordinates in metres.
pub(crate) type Trail = [[f32; 3]; SPANS];

/// A reflection of the scene: the same packets would be received in the mirrored room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// x runs the other way.
    pub x: bool,
    /// y runs the other way.
    pub y: bool,
    /// x and y are exchanged (after the above).
    pub swap: bool,
}

impl Mirror {
    /// The room's size.
    pub fn room(self, room_m: [f32; 3]) -> [f32; 3] {
        let [x, y, z] = room_m;
        if self.swap { [y, x, z] } else { room_m }
    }

    fn point(self, p: [f32; 3], room_m: [f32; 3]) -> [f32; 3] {
        let x = if self.x { room_m[0] - p[0] } else { p[0] };
        let y = if self.y { room_m[1] - p[1] } else { p[1] };
        if self.swap { [y, x, p[2]] } else { [x, y, p[2]] }
    }

    /// An odd number of reflections exchanges left and right.
    fn turns_sides(self) -> bool {
        self.x ^ self.y ^ self.swap
    }
}

/// One link of a sequence.
#[derive(Clone, Debug)]
pub struct LinkTrack {
    pub(crate) steps: Vec<Step>,
    pub(crate) reference: Reference,
    pub(crate) transmitter_m: [f32; 3],
    pub(crate) receiver_m: [f32; 3],
}

/// A simulated scene as features over time, with its truth.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// In which room.
    pub place: Place,
    /// Size of the room in metres.
    pub room_m: [f32; 3],
    /// The links.
    pub links: Vec<LinkTrack>,
    /// People at the last step of each block, from the end of the quiet seconds.
    pub(crate) truth: Vec<Vec<Person>>,
}

/// The scene and seed of a job.
pub fn scene(job: &Job) -> (SceneConfig, u64) {
    scene_with(job, &Radios::default())
}

fn scene_with(job: &Job, radios: &Radios) -> (SceneConfig, u64) {
    let place = match job.place {
        Place::Demo => 0u64,
        Place::Random => 1,
    };
    let seed = |number: u32| job.split.seed(place << 40 | u64::from(number));
    let room = seed(job.index % ROOMS);
    let mut config = match job.place {
        Place::Demo => radios.demo(),
        Place::Random => radios.random(room),
    };
    config.people.count = job.people;
    config.people.absent_s = vec![[0.0, f64::from(QUIET_S)]];
    config.radio.packet_hz = job.packet_hz;
    config.faults.snr_db = job.snr_db.or(config.faults.snr_db);
    if job.place == Place::Random && radios.receivers.is_none() {
        // Sites do not all have three receivers.
        let mut rng = ChaCha8Rng::seed_from_u64(room);
        config.receivers.truncate(rng.random_range(2..=3));
    }
    (config, seed(job.index))
}

/// Simulates a scene.
///
/// # Errors
/// When the simulator refuses the scene or a link receives nothing in the quiet seconds.
pub fn simulate(job: &Job) -> Result<Sequence, DataError> {
    simulate_with(job, &Radios::default())
}

/// Simulates a scene with other radios than the place's own.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_with(job: &Job, radios: &Radios) -> Result<Sequence, DataError> {
    let (config, seed) = scene_with(job, radios);
    let mut simulator = Simulator::new(&config, seed)?;
    let links = simulator.links().to_vec();
    let mut builders = vec![ReferenceBuilder::default(); links.len()];
    // The last step before people come may already hold their first packet.
    let from_s = f64::from(QUIET_S);
    for packet in simulator.packets(0.0, from_s - 0.5 / f64::from(RATE_HZ)) {
        builders[packet.link].push(links[packet.link].layout, &packet.csi);
    }
    // Packets keep their place on the grid.
    let from_s = from_s + (f64::from(job.after_s) * f64::from(RATE_HZ)).round() / f64::from(RATE_HZ);
    let steps = (job.seconds * RATE_HZ).round() as usize / BLOCK * BLOCK;
    let mut grids = vec![Grid::new(from_s, steps); links.len()];
    for packet in simulator.packets(from_s, from_s + f64::from(job.seconds)) {
        grids[packet.link].put(packet.t_s, || Binned::of(links[packet.link].layout, &packet.csi));
    }
    let tracks = links
        .iter()
        .zip(builders)
        .zip(grids)
        .map(|((link, builder), grid)| {
            let reference = builder.finish().ok_or_else(|| DataError::Silent(link.name.clone()))?;
            Ok(LinkTrack {
                steps: grid.steps(&reference),
                reference,
                transmitter_m: config.transmitters[link.transmitter].position_m,
                receiver_m: config.receivers[link.receiver].position_m,
            })
        })
        .collect::<Result<Vec<_>, DataError>>()?;
    let truth = (1..=steps / BLOCK)
        .map(|block| {
            simulator
                .people_at(from_s + (block * BLOCK - 1) as f64 / f64::from(RATE_HZ))
                .into_iter()
                .map(|p| Person {
                    keypoints_m: p.keypoints,
                    activity: Activity::ALL.iter().position(|a| *a == p.activity),
                    pose_known: true,
                })
                .collect()
        })
        .collect();
    Ok(Sequence { place: job.place, room_m: config.room.size_m, links: tracks, truth })
}

/// A link's packets on the network's grid of time.
#[derive(Clone)]
struct Grid {
    from_s: f64,
    cells: Vec<Option<(f64, Binned)>>,
}

impl Grid {
    fn new(from_s: f64, steps: usize) -> Self {
        Self { from_s, cells: vec![None; steps] }
    }

    /// A packet at a time in seconds; each step keeps the one that is nearest to it.
    fn put(&mut self, time_s: f64, packet: impl FnOnce() -> Binned) {
        let at = (time_s - self.from_s) * f64::from(RATE_HZ);
        let off = (at - at.round()).abs();
        if at.round() < 0.0 {
            return;
        }
        let Some(cell) = self.cells.get_mut(at.round() as usize) else { return };
        if cell.as_ref().is_none_or(|(before, _)| off < *before) {
            *cell = Some((off, packet()));
        }
    }

    fn steps(self, reference: &Reference) -> Vec<Step> {
        let mut track = FeatureTrack::new(reference.clone());
        for cell in self.cells {
            track.push(cell.map(|(_, packet)| packet));
        }
        track.into_steps()
    }
}

impl Sequence {
    /// Where windows can end: after block `end - 1`, with all their blocks within the sequence.
    pub fn ends(&self) -> std::ops::Range<usize> {
        BLOCKS..self.truth.len() + 1
    }

    /// Blocks of time.
    pub fn blocks(&self) -> usize {
        self.truth.len()
    }

    /// What happened in these blocks.
    pub fn part(&self, blocks: std::ops::Range<usize>) -> Self {
        let steps = blocks.start * BLOCK..blocks.end * BLOCK;
        let link = |l: &LinkTrack| LinkTrack { steps: l.steps[steps.clone()].to_vec(), ..l.clone() };
        Self {
            place: self.place,
            room_m: self.room_m,
            links: self.links.iter().map(link).collect(),
            truth: self.truth[blocks.clone()].to_vec(),
        }
    }

    /// Appends a link's features, `[BLOCKS][FEATURES]`.
    pub fn features(&self, link: usize, end: usize, out: &mut Vec<f32>) {
        out.extend(block::blocks(self.window(link, end)));
    }

    fn window(&self, link: usize, end: usize) -> &[Step] {
        debug_assert!(end >= BLOCKS);
        &self.links[link].steps[(end - BLOCKS) * BLOCK..end * BLOCK]
    }

    /// As [`Self::features`], with what the people of other windows (sequence and end) of the same room add to its quiet
    /// channel: what bodies scatter adds up, only the shadows that they cast on each other are missing. `vary` may change
    /// each step.
    pub(crate) fn features_joined(
        &self,
        link: usize,
        end: usize,
        others: &[(&Self, usize)],
        vary: impl FnMut(&mut Step),
        out: &mut Vec<f32>,
    ) {
        let mut steps = self.window(link, end).to_vec();
        for (other, end) in others {
            for (sum, step) in steps.iter_mut().zip(other.window(link, *end)) {
                block::add(sum, step);
            }
        }
        steps.iter_mut().for_each(vary);
        out.extend(block::blocks(&steps));
    }

    /// A link's fixed features as seen in a mirror, `[FIXED]`.
    pub fn fixed(&self, link: usize, mirror: Mirror) -> Vec<f32> {
        let l = &self.links[link];
        let [tx, rx] = [l.transmitter_m, l.receiver_m].map(|p| mirror.point(p, self.room_m));
        let out = fixed_features(&l.reference, mirror.room(self.room_m), tx, rx);
        debug_assert_eq!(out.len(), FIXED);
        out
    }

    /// The people at the end of a window as seen in a mirror.
    pub fn persons(&self, end: usize, mirror: Mirror) -> Vec<Person> {
        self.truth[end - 1]
            .iter()
            .map(|p| {
                let source = |j: usize| if mirror.turns_sides() { MIRROR[j] } else { j };
                Person {
                    keypoints_m: std::array::from_fn(|j| mirror.point(p.keypoints_m[source(j)], self.room_m)),
                    activity: p.activity,
                    pose_known: p.pose_known,
                }
            })
            .collect()
    }

    /// Where the roots of the people at the end of a window were at the end of each of its spans.
    pub(crate) fn trails(&self, end: usize, mirror: Mirror) -> Vec<Trail> {
        let spans: [Vec<Person>; SPANS] =
            std::array::from_fn(|span| self.persons(end - (SPANS - 1 - span) * MERGE, mirror));
        let now = &spans[SPANS - 1];
        // Who was not there yet is where they came to be.
        let place = |person: usize, span: usize| spans[span].get(person).unwrap_or(&now[person]);
        (0..now.len()).map(|p| std::array::from_fn(|span| root(&place(p, span).keypoints_m))).collect()
    }

    /// The window as the network takes it in service.
    pub fn input(&self, end: usize) -> Input {
        self.input_without(end, &Withheld::default())
    }

    /// The window without what a network is not shown, and with nothing of the windows before.
    pub(crate) fn input_without(&self, end: usize, withheld: &Withheld) -> Input {
        let links: Vec<LinkInput> = (0..self.links.len())
            .map(|l| {
                let mut features = Vec::with_capacity(BLOCKS * FEATURES);
                self.features(l, end, &mut features);
                withheld.hide(&mut features);
                let mut fixed = self.fixed(l, Mirror::default());
                withheld.hide_fixed(&mut fixed);
                LinkInput { features, fixed }
            })
            .collect();
        // A block's last number is its share of steps with a packet.
        let received: f32 =
            links.iter().flat_map(|l| l.features.chunks_exact(FEATURES)).map(|f| f[FEATURES - 1]).sum();
        let coverage = received / (links.len() * BLOCKS).max(1) as f32;
        Input { room_m: self.room_m, links, coverage, earlier: Earlier::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        evaluate::metrics::{angle_between, root, yaw},
        input::{LinkWindow, STEPS},
    };
    use invispose_kernels::Complex32;

    fn job(place: Place) -> Job {
        Job {
            place,
            split: Split::Validation,
            index: 9,
            people: 1,
            after_s: 0.0,
            seconds: 3.0,
            packet_hz: 50.0,
            snr_db: None,
        }
    }

    #[test]
    fn windows_of_training_are_those_of_service() {
        let job = job(Place::Demo);
        let sequence = simulate(&job).unwrap();
        let (config, seed) = scene(&job);
        let mut simulator = Simulator::new(&config, seed).unwrap();
        let links = simulator.links().to_vec();
        let mut builders = vec![ReferenceBuilder::default(); links.len()];
        for p in simulator.packets(0.0, f64::from(QUIET_S) - 0.01) {
            builders[p.link].push(links[p.link].layout, &p.csi);
        }
        let references: Vec<_> = builders.iter().map(|b| b.finish().unwrap()).collect();
        let mut csi: Vec<Vec<Complex32>> =
            links.iter().map(|l| vec![Complex32::default(); STEPS * l.layout.values()]).collect();
        let mut received = vec![vec![false; STEPS]; links.len()];
        for p in simulator.packets(4.0, 7.0) {
            let step = ((p.t_s - 4.0) * 50.0).round() as usize;
            if step < STEPS {
                let n = links[p.link].layout.values();
                csi[p.link][step * n..(step + 1) * n].copy_from_slice(&p.csi);
                received[p.link][step] = true;
            }
        }
        let windows: Vec<_> = (0..links.len())
            .map(|l| LinkWindow {
                csi: &csi[l],
                received: &received[l],
                layout: links[l].layout,
                rate_hz: RATE_HZ,
                transmitter_m: config.transmitters[links[l].transmitter].position_m,
                receiver_m: config.receivers[links[l].receiver].position_m,
                reference: &references[l],
            })
            .collect();
        let served = Input::new(config.room.size_m, &windows).unwrap();
        let trained = sequence.input(BLOCKS);
        assert_eq!(served.room_m, trained.room_m);
        for (a, b) in served.links.iter().zip(&trained.links) {
            assert_eq!(a.fixed, b.fixed);
            assert_eq!(a.features, b.features);
        }
    }

    #[test]
    fn a_mirrored_person_faces_the_mirrored_way() {
        let sequence = simulate(&job(Place::Random)).unwrap();
        let end = sequence.ends().end - 1;
        let before = &sequence.persons(end, Mirror::default())[0].keypoints_m;
        let after = &sequence.persons(end, Mirror { x: true, ..Mirror::default() })[0].keypoints_m;
        assert!((root(before)[0] + root(after)[0] - sequence.room_m[0]).abs() < 1e-4);
        assert!(angle_between(yaw(after), std::f32::consts::PI - yaw(before)) < 1e-3);
    }

    #[test]
    fn scenes_of_a_room_differ_by_who_is_in_it() {
        let first = job(Place::Random);
        let second = Job { index: first.index + ROOMS, ..first.clone() };
        let ((a, a_seed), (b, b_seed)) = (scene(&first), scene(&second));
        assert_eq!((&a.room, &a.receivers), (&b.room, &b.receivers));
        assert_ne!(a_seed, b_seed);
        let (a, b) = (simulate(&first).unwrap(), simulate(&second).unwrap());
        assert_eq!(a.room_m, b.room_m);
        // The quiet channels are alike, but for noise and what receive chains add; what people do is not.
        for link in 0..a.links.len() {
            let (x, y) = (a.fixed(link, Mirror::default()), b.fixed(link, Mirror::default()));
            let off = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(off < 0.2, "link {link}: {off}");
        }
        assert_ne!(a.truth, b.truth);
    }

    #[test]
    fn splits_do_not_share_scenes_and_the_same_job_gives_the_same() {
        let a = job(Place::Random);
        let b = Job { split: Split::Test, ..a.clone() };
        assert_ne!(scene(&a).1, scene(&b).1);
        let (x, y) = (simulate(&a).unwrap(), simulate(&a).unwrap());
        assert_eq!(x.input(BLOCKS), y.input(BLOCKS));
    }
}
