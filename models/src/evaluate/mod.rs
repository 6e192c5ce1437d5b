//! How good the network is, beside always answering the mean pose.
//!
//! Position errors are taken over all true persons: the network's slots, the likeliest first and as many as there are
//! people, are assigned to them with the least total root distance. Whether it knew how many there are is told apart:
//! by AP, recall and false persons, all with their confidence.

pub mod metrics;
mod reliability;
mod sums;
mod tally;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use reliability::{Bin, Reliability};
pub use tally::Scores;
pub(crate) use watch::watch;

use crate::{
    data::{self, DataError, Job, Place, Sequence},
    input::Withheld,
    predictor::{Compute, Detection, LoadError, PredictError, Predictor, Weights},
    sim::{Radios, Split},
    weights::MeanPose,
};
use metrics::Pose;
use sums::Sums;

/// The scenes of an evaluation. Their seeds are fixed, and training never uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// The demo room with people and motions never seen.
    SeenRoom,
    /// The same people and motions in the same room, seen by the radios of [`Radios::WIDE`].
    SeenRoomWide,
    /// Rooms never seen.
    UnseenRoom,
    /// The same people and motions in the same rooms, with the radios of [`Radios::WIDE`].
    UnseenRoomWide,
    /// The demo room and rooms never seen, with either radios, with nobody in them and radios of signal to noise ratios from 10 to 34 dB.
    EmptyRoom,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SeenRoom, Self::SeenRoomWide, Self::UnseenRoom, Self::UnseenRoomWide, Self::EmptyRoom];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeenRoom => "seen-room",
            Self::SeenRoomWide => "seen-room-wide",
            Self::UnseenRoom => "unseen-room",
            Self::UnseenRoomWide => "unseen-room-wide",
            Self::EmptyRoom => "empty-room",
        }
    }
}

impl std::str::FromStr for Suite {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let known = Self::ALL.into_iter().find(|suite| suite.name() == s);
        known.ok_or_else(|| format!("no suite {s:?}; there are {}", names()))
    }
}

/// Windows kept to be looked at.
const EXAMPLES: usize = 6;

/// Signal to noise ratios of empty rooms' radios, dB, each as often in every kind of room.
pub const EMPTY_SNR_DB: [f32; 5] = [10.0, 16.0, 22.0, 28.0, 34.0];

/// A kind of room that scenes play in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// The demo room.
    Demo,
    /// The demo room with the radios of [`Radios::WIDE`].
    DemoWide,
    /// Rooms never seen.
    Random,
    /// Rooms never seen, with the radios of [`Radios::WIDE`].
    RandomWide,
}

impl Room {
    const ALL: [Self; 4] = [Self::Demo, Self::DemoWide, Self::Random, Self::RandomWide];

    fn place(self) -> Place {
        match self {
            Self::Demo | Self::DemoWide => Place::Demo,
            Self::Random | Self::RandomWide => Place::Random,
        }
    }

    fn radios(self) -> Radios {
        match self {
            Self::Demo | Self::Random => Radios::OWN,
            Self::DemoWide | Self::RandomWide => Radios::WIDE,
        }
    }

    /// The shipped weights that look here.
    fn weights(self) -> Option<Weights> {
        Weights::of(self.place(), &self.radios())
    }
}

/// A scene of a suite.
struct Scene {
    room: Room,
    job: Job,
}

impl Scene {
    fn new(room: Room, index: u32, people: usize, seconds: f32) -> Self {
        let job = Job {
            place: room.place(),
            split: Split::Test,
            index,
            people,
            after_s: 0.0,
            seconds,
            packet_hz: 100.0,
            snr_db: None,
        };
        Self { room, job }
    }

    fn simulate(&self) -> Result<Sequence, DataError> {
        data::simulate_with(&self.job, &self.room.radios())
    }
}

impl Suite {
    fn scenes(self) -> Vec<Scene> {
        let seen = |room| (0..30u32).map(move |i| Scene::new(room, i, 1 + i as usize % 3, 20.0));
        let unseen = |room| (100..160u32).map(move |i| Scene::new(room, i, 1 + i as usize % 3, 8.0));
        match self {
            Self::SeenRoom => seen(Room::Demo).collect(),
            Self::SeenRoomWide => seen(Room::DemoWide).collect(),
            Self::UnseenRoom => unseen(Room::Random).collect(),
            Self::UnseenRoomWide => unseen(Room::RandomWide).collect(),
            Self::EmptyRoom => (200..260u32)
                .map(|i| {
                    // Two kinds by turns, each with five levels of noise by turns; then each of the others.
                    let (room, turn) = match i - 200 {
                        n @ 0..30 if n % 2 == 0 => (Room::Demo, n / 2),
                        n @ 0..30 => (Room::Random, n / 2),
                        n @ 30..45 => (Room::DemoWide, n),
                        n => (Room::RandomWide, n),
                    };
                    let mut scene = Scene::new(room, i, 0, 120.0);
                    scene.job.packet_hz = 50.0;
                    scene.job.snr_db = Some(EMPTY_SNR_DB[turn as usize % EMPTY_SNR_DB.len()]);
                    scene
                })
                .collect(),
        }
    }
}

/// What an evaluation says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Which scenes.
    pub suite: Suite,
    /// Name and version of the model, or of all of them where rooms have each their own.
    pub model: String,
    /// Windows looked at.
    pub frames: usize,
    /// By number of people in the room.
    pub persons: BTreeMap<String, ByCount>,
    /// How often in an hour a person appeared at confidence 0.5 who is not there: runs of such frames are counted once.
    pub false_persons_per_hour: f64,
    /// Hours simulated.
    pub hours: f64,
    /// Expected calibration error of confidences, ten bins.
    pub presence_calibration_error: f64,
    /// The same of the keypoints of people at confidence 0.5 and more: right is who is there, and within `keypoint_within_m`.
    pub keypoint_calibration_error: f64,
    /// Metres, see [`Predictor::within_m`].
    pub keypoint_within_m: f32,
    /// Confidences of people, and how often there were as many.
    #[serde(skip)]
    pub presence: Reliability,
    /// Confidences of keypoints, and how often they were right.
    #[serde(skip)]
    pub keypoints: Reliability,
    /// Some windows, to be looked at.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

/// A window with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Size of the room in metres.
    pub room_m: [f32; 3],
    /// Who is there.
    pub truth: Vec<Pose>,
    /// Who is reported, at confidence 0.5 and more.
    pub found: Vec<Detection>,
}

/// Scores of scenes with the same number of people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByCount {
    /// All of them.
    #[serde(flatten)]
    pub scores: Scores,
    /// Share of reported people who are within half a metre of somebody.
    pub detection_precision: f64,
    /// Mean difference of the number of people reported and there.
    pub count_error: f64,
    /// Mean error of each keypoint with both roots at the origin, in the order of [`crate::skeleton::NAMES`].
    pub joints_mm: Vec<f64>,
    /// By what the person does.
    pub activities: BTreeMap<String, Scores>,
}

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A scene cannot be simulated.
    #[error("simulating the test scenes")]
    Data(#[from] DataError),
    /// The network gives no answer.
    #[error("running the network")]
    Predict(#[from] PredictError),
    /// No network knows the radios of the suite's scenes.
    #[error("the network was taught with radios that no scene of this suite has")]
    Radios,
}

/// What is evaluated: which network looks at which rooms.
pub struct Networks(BTreeMap<Room, Arc<Predictor>>);

impl Networks {
    /// The shipped ones that look at the rooms of a suite.
    ///
    /// # Errors
    /// When they cannot be loaded onto the device.
    pub fn shipped(suite: Suite, compute: &Compute) -> Result<Self, LoadError> {
        let rooms: BTreeSet<Room> = suite.scenes().iter().map(|scene| scene.room).collect();
        let load = |(room, weights): (Room, Weights)| {
            let predictor = Predictor::load_on(&weights, compute.clone())?;
            Ok((room, Arc::new(predictor)))
        };
        let known = rooms.into_iter().filter_map(|room| Some((room, room.weights()?)));
        known.map(load).collect::<Result<_, _>>().map(Self)
    }

    /// One network, in all rooms with the radios that it was taught with.
    pub fn one(predictor: Predictor) -> Self {
        let predictor = Arc::new(predictor);
        let radios = predictor.card().radios();
        let rooms = Room::ALL.into_iter().filter(|room| room.radios() == radios);
        Self(rooms.map(|room| (room, predictor.clone())).collect())
    }
}

/// Evaluates on those scenes of a suite that a network looks at, without what it is not shown. `progress` gets scenes done and in all.
///
/// # Errors
/// When there are none, a scene cannot be simulated or the device fails.
pub fn run(
    suite: Suite,
    networks: &Networks,
    withheld: &Withheld,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, EvaluateError> {
    let known = |scene: Scene| networks.0.get(&scene.room).map(|predictor| (scene, predictor));
    let scenes: Vec<(Scene, &Arc<Predictor>)> = suite.scenes().into_iter().filter_map(known).collect();
    let (_, first) = scenes.first().ok_or(EvaluateError::Radios)?;
    let mut sums = Sums::without(withheld);
    // A few at a time: a sequence holds its features in memory.
    for (done, chunk) in scenes.chunks(8).enumerate() {
        let sequences = chunk.par_iter().map(|(s, _)| s.simulate()).collect::<Result<Vec<_>, _>>()?;
        for (i, ((_, predictor), sequence)) in chunk.iter().zip(&sequences).enumerate() {
            if (done * 8 + i) % (scenes.len() / EXAMPLES).max(1) == 0 {
                sums.add_and_keep(predictor, sequence)?;
            } else {
                sums.add(predictor, sequence)?;
            }
        }
        progress((done * 8 + chunk.len()).min(scenes.len()), scenes.len());
    }
    let names: BTreeSet<String> = scenes.iter().map(|(_, predictor)| predictor.model()).collect();
    let model = names.into_iter().collect::<Vec<_>>().join(", ");
    Ok(Report { model, ..sums.report(suite, first) })
}

/// Scores by number of people, over sequences of which the network is not shown everything.
pub(crate) fn scores(
    predictor: &Predictor,
    sequences: &[Sequence],
    withheld: &Withheld,
) -> Result<BTreeMap<String, ByCount>, PredictError> {
    let mut sums = Sums::without(withheld);
    sequences.iter().try_for_each(|s| sums.add(predictor, s))?;
    Ok(sums.report(Suite::SeenRoom, predictor).persons)
}

/// Scores on recordings with known poses, sequence by sequence, beside a mean pose that is not the network's own.
pub struct Recorded(Sums);

impl Recorded {
    /// Nothing yet.
    pub fn beside(mean: MeanPose) -> Self {
        Self(Sums::beside(mean))
    }

    /// Adds all windows of a sequence.
    ///
    /// # Errors
    /// When the device fails.
    pub fn add(&mut self, predictor: &Predictor, sequence: &Sequence) -> Result<(), PredictError> {
        self.0.add(predictor, sequence)
    }

    /// Windows looked at, and the scores by number of people.
    pub fn finish(self, predictor: &Predictor) -> (usize, BTreeMap<String, ByCount>) {
        let report = self.0.report(Suite::SeenRoom, predictor);
        (report.frames, report.persons)
    }
}

/// The mean of a figure over all persons, whatever their number; `None` without any.
pub fn over_persons(persons: &BTreeMap<String, ByCount>, of: impl Fn(&ByCount) -> f64) -> Option<f64> {
    let count: usize = persons.values().map(|by| by.scores.persons).sum();
    let sum: f64 = persons.values().map(|by| of(by) * by.scores.persons as f64).sum();
    (count > 0).then(|| sum / count as f64)
}

/// What a model card says of a place, by number of people: `PLACE_PEOPLE_FIGURE`.
pub(crate) fn metrics_of(place: &str, persons: &BTreeMap<String, ByCount>) -> BTreeMap<String, f64> {
    let of = |(count, by): (&String, &ByCount)| {
        let s = &by.scores;
        [
            ("mpjpe_mm", s.mpjpe_mm),
            ("root_mm", s.root_mm),
            ("root_relative_mm", s.root_relative_mm),
            ("mean_position_mpjpe_mm", s.mean_position_mpjpe_mm),
            ("mean_pose_root_relative_mm", s.mean_pose_root_relative_mm),
            ("recall", s.recall),
        ]
        .map(|(what, value)| (format!("{place}_{count}_{what}"), value))
    };
    persons.iter().flat_map(of).collect()
}

/// Figures for the training log, by name: position errors of one person, by place, in millimetres.
pub(crate) fn summary(
    predictor: &Predictor,
    sequences: &[Sequence],
    withheld: &Withheld,
) -> Result<BTreeMap<String, f64>, PredictError> {
    let mut out = BTreeMap::new();
    for place in [Place::Demo, Place::Random] {
        let name = place.name();
        let mut sums = Sums::without(withheld);
        for sequence in sequences.iter().filter(|s| s.place == place) {
            sums.add(predictor, sequence)?;
        }
        let report = sums.report(Suite::SeenRoom, predictor);
        if report.frames > 0 {
            out.insert(format!("{name}_false_persons_per_hour"), report.false_persons_per_hour);
            out.insert(format!("{name}_presence_calibration_error"), report.presence_calibration_error);
            out.insert(format!("{name}_keypoint_calibration_error"), report.keypoint_calibration_error);
        }
        out.extend(metrics_of(name, &report.persons));
    }
    Ok(out)
}
