//! Whose breath is shown in simulated rooms with one and two people: suite `breathing-sim`.
//!
//! People rest and breathe each at a rate of their own, or walk, in the demonstration room. A site must show no rate that nobody breathes at, and a
//! person none that is not theirs. Where people are comes from a detector with stated errors and the tracker; what is heard comes
//! from the simulated signal.

use std::collections::BTreeMap;
use std::time::Duration;

use invispose_models::sim::{
    ActivityWeights, Draw, People, Resting, SceneConfig, SimError, Simulator, Split,
};
use invispose_models::skeleton::root;
use serde_json::{Value, json};

use super::detector::{Detector, DetectorErrors};
use super::report::{Answer, Figures, Plot, Report, figure};
use super::{simulated, sweep};
use crate::csi::LinkId;
use crate::pose::{Breathing, Person};
use crate::site::LinkConfig;
use crate::sources::sim;
use crate::stages::presence::{PresenceConfig, PresenceDetector};
use crate::tracking::{PersonIds, Tracker, TrackerConfig};
use crate::understanding::{BreathRules, BreathWatch};

/// Who is in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// One person at rest.
    OneRests,
    /// Two people at rest, each at a rate of their own.
    TwoRest,
    /// One person at rest and one who walks about.
    OneRestsOneWalks,
    /// One person who walks about.
    OneWalks,
}

impl Room {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OneRests, Self::TwoRest, Self::OneRestsOneWalks, Self::OneWalks];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneRests => "one_rests",
            Self::TwoRest => "two_rest",
            Self::OneRestsOneWalks => "one_rests_one_walks",
            Self::OneWalks => "one_walks",
        }
    }

    const fn resting(self) -> usize {
        match self {
            Self::OneWalks => 0,
            Self::OneRests | Self::OneRestsOneWalks => 1,
            Self::TwoRest => 2,
        }
    }

    const fn people(self) -> usize {
        match self {
            Self::OneRests | Self::OneWalks => 1,
            Self::TwoRest | Self::OneRestsOneWalks => 2,
        }
    }
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds: [`Split::Test`] for what is reported, [`Split::Validation`] for what is tried.
    pub split: Split,
    /// Who is in the room.
    pub rooms: Vec<Room>,
    /// Scenes of each.
    pub scenes: u64,
    /// Length of each, seconds.
    pub seconds: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { split: Split::Test, rooms: Room::ALL.to_vec(), scenes: 12, seconds: 120.0 }
    }
}

/// From one window to the next.
const HOP: Duration = Duration::from_millis(200);
/// The room is empty for so long at first, seconds: its quiet level is learned.
const EMPTY_S: f64 = 8.0;
/// What is judged begins here, seconds: half a minute of stillness, and two estimates that agree.
const FROM_S: f64 = EMPTY_S + 36.0;
/// A rate is somebody's where it differs from theirs by no more than this, breaths per minute.
const SAME_BPM: f32 = 1.0;
/// Whoever is shown farther than this from everybody is nobody, metres.
const NEAR_M: f32 = 1.0;
/// People at rest are at least this far apart, metres.
const APART_M: f32 = 1.0;

/// What was heard in a scene, and what is true of it.
struct Scene {
    room: Room,
    links: Vec<LinkConfig>,
    rates_bpm: Vec<f32>,
    moments: Vec<Moment>,
}

struct Moment {
    time_ns: i64,
    /// The site's rate.
    site: Option<Breathing>,
    /// The links on which one is heard.
    breaths: Vec<(LinkId, Breathing)>,
    /// Who is shown.
    persons: Vec<Person>,
    /// Where everybody is on the floor, those at rest first.
    truth: Vec<[f32; 2]>,
}

impl Scene {
    fn new(room: Room, options: &Options, index: u64, presence: &PresenceConfig) -> Result<Self, SimError> {
        let seed = options.split.seed(0xB_0000 + 16 * index + room as u64);
        let config = config(room, seed);
        let mut simulator = Simulator::new(&config, seed)?;
        let floor_m = [config.room.size_m[0], config.room.size_m[1]];
        let mut detector = Detector::new(DetectorErrors::middling(), floor_m, seed);
        let mut tracker = Tracker::new(TrackerConfig::default());
        let mut ids = PersonIds::in_memory();
        let mut signal = PresenceDetector::new(presence.clone(), None);
        let mut moments = Vec::new();
        simulated::play(&mut simulator, options.seconds, HOP, |simulator, window| {
            let time_ns = window.window.grid.end_ns;
            let observed = signal.run(window);
            let poses: Vec<_> =
                simulator.people_at(time_ns as f64 / 1e9).into_iter().map(|p| Some(p.keypoints)).collect();
            let seen = detector.look(&poses, HOP.as_secs_f32());
            let somebody = observed.presence.map(|p| p.present);
            // Ids in memory do not run out.
            let persons = tracker.update(time_ns, somebody, Some(&seen), &mut ids).unwrap_or_default();
            let at = |pose| {
                let [x, y, _] = root(pose);
                [x, y]
            };
            moments.push(Moment {
                time_ns,
                site: observed.breathing,
                breaths: observed.breaths,
                persons,
                truth: poses.iter().flatten().map(at).collect(),
            });
        });
        let rates_bpm = config.people.resting.iter().map(|r| 60.0 * r.breathing_hz).collect();
        Ok(Self { room, links: sim::links(&config), rates_bpm, moments })
    }

    /// What is shown by these rules.
    fn judge(&self, rules: &BreathRules) -> Tally {
        let mut watch = BreathWatch::new(self.links.clone(), rules.clone());
        let mut tally = Tally::default();
        for moment in &self.moments {
            let mut persons = moment.persons.clone();
            watch.frame(moment.time_ns, &mut persons, &moment.breaths);
            if moment.time_ns as f64 / 1e9 >= FROM_S {
                tally.site(moment.site, &self.rates_bpm);
                tally.persons(&persons, &moment.truth, &self.rates_bpm);
            }
        }
        tally
    }
}

/// The demonstration room with people drawn from `seed`, empty at first.
fn config(room: Room, seed: u64) -> SceneConfig {
    let mut draw = Draw::new(seed, 0xB4EA);
    let mut config = SceneConfig::demo();
    let ([width, depth, _], [left, right, front, back]) = (config.room.size_m, config.room.clearance_m);
    let place = |draw: &mut Draw| [draw.between([left, width - right]), draw.between([front, depth - back])];
    let mut resting: Vec<Resting> = Vec::new();
    // The rates of two people differ by 3 breaths a minute at least.
    let mut rates = [draw.between([0.17, 0.25]), draw.between([0.30, 0.40])];
    if draw.chance(0.5) {
        rates.reverse();
    }
    for breathing_hz in rates.into_iter().take(room.resting()) {
        let far =
            |at: &[f32; 2]| resting.iter().all(|r| (r.at_m[0] - at[0]).hypot(r.at_m[1] - at[1]) >= APART_M);
        let mut at_m = place(&mut draw);
        while !far(&at_m) {
            at_m = place(&mut draw);
        }
        let heading_deg = draw.between([-180.0, 180.0]);
        resting.push(Resting { at_m, heading_deg, lying: draw.chance(0.5), breathing_hz });
    }
    let weights =
        ActivityWeights { walk: 6.0, stand: 1.0, wave: 0.5, sit: 0.0, lie: 0.0, fall: 0.0, squat: 0.2 };
    let absent_s = vec![[0.0, EMPTY_S]];
    config.people = People { count: room.people(), weights, absent_s, resting, ..People::default() };
    config
}

/// What was shown, in windows.
#[derive(Clone, Debug, Default)]
struct Tally {
    windows: usize,
    site: Rates,
    /// Of people at rest.
    resting: usize,
    persons: Rates,
    /// Rates of persons that are those of somebody else at rest.
    of_another: usize,
    /// Of people who walk.
    walking: usize,
    /// Rates shown of those, or of nobody.
    of_nobody: usize,
}

/// Rates shown.
#[derive(Clone, Debug, Default)]
struct Rates {
    shown: usize,
    right: usize,
    worst_bpm: f32,
}

impl Rates {
    fn add(&mut self, off_bpm: f32) {
        self.shown += 1;
        self.right += usize::from(off_bpm <= SAME_BPM);
        self.worst_bpm = self.worst_bpm.max(off_bpm);
    }

    fn join(&mut self, other: &Self) {
        self.shown += other.shown;
        self.right += other.right;
        self.worst_bpm = self.worst_bpm.max(other.worst_bpm);
    }
}

impl Tally {
    fn site(&mut self, said: Option<Breathing>, rates_bpm: &[f32]) {
        self.windows += 1;
        if let Some(said) = said {
            // Where nobody rests, no rate is right.
            let off = rates_bpm.iter().map(|r| (r - said.rate_bpm).abs()).fold(f32::INFINITY, f32::min);
            self.site.add(off);
        }
    }

    fn persons(&mut self, persons: &[Person], truth: &[[f32; 2]], rates_bpm: &[f32]) {
        self.resting += rates_bpm.len();
        self.walking += truth.len().saturating_sub(rates_bpm.len());
        for person in persons {
            let Some(said) = person.breathing else { continue };
            let off = |place: usize| (rates_bpm[place] - said.rate_bpm).abs();
            match nearest(person, truth).filter(|place| *place < rates_bpm.len()) {
                Some(place) => {
                    self.persons.add(off(place));
                    let others = (0..rates_bpm.len()).filter(|other| *other != place);
                    let of_another = off(place) > SAME_BPM && others.into_iter().any(|o| off(o) <= SAME_BPM);
                    self.of_another += usize::from(of_another);
                }
                None => self.of_nobody += 1,
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.windows += other.windows;
        self.site.join(&other.site);
        self.resting += other.resting;
        self.persons.join(&other.persons);
        self.of_another += other.of_another;
        self.walking += other.walking;
        self.of_nobody += other.of_nobody;
    }

    /// Rates shown of persons that are not theirs, and all.
    fn wrong(&self) -> (usize, usize) {
        (self.persons.shown - self.persons.right + self.of_nobody, self.persons.shown + self.of_nobody)
    }

    fn figures(&self) -> Figures {
        let share = |part: usize, all: usize| {
            if all == 0 { Value::Null } else { figure(part as f64 / all as f64) }
        };
        let worst =
            |rates: &Rates| if rates.shown == 0 { Value::Null } else { figure(rates.worst_bpm.into()) };
        Figures::from([
            ("windows", self.windows.into()),
            ("site_shown", share(self.site.shown, self.windows)),
            ("site_right", share(self.site.right, self.site.shown)),
            ("site_max_abs_error_bpm", worst(&self.site)),
            ("persons_shown", share(self.persons.shown, self.resting)),
            ("persons_right", share(self.persons.right, self.persons.shown)),
            ("persons_max_abs_error_bpm", worst(&self.persons)),
            ("persons_of_another", share(self.of_another, self.persons.shown)),
            ("walkers_shown", share(self.of_nobody, self.walking)),
        ])
    }
}

/// Who is meant by a person who is shown, by their place in the truth.
fn nearest(person: &Person, truth: &[[f32; 2]]) -> Option<usize> {
    let far = |at: &[f32; 2]| (person.position_m[0] - at[0]).hypot(person.position_m[1] - at[1]);
    let (place, at) = truth.iter().enumerate().min_by(|a, b| far(a.1).total_cmp(&far(b.1)))?;
    (far(at) <= NEAR_M).then_some(place)
}

fn scenes(options: &Options, presence: &PresenceConfig) -> Result<Vec<Scene>, SimError> {
    let mut scenes = Vec::new();
    for &room in &options.rooms {
        for index in 0..options.scenes {
            scenes.push(Scene::new(room, options, index, presence)?);
        }
    }
    Ok(scenes)
}

fn judge<'a>(scenes: impl Iterator<Item = &'a Scene>, rules: &BreathRules) -> Tally {
    let mut sum = Tally::default();
    scenes.for_each(|scene| sum.join(&scene.judge(rules)));
    sum
}

/// A link's breath is that of whoever is loudest in it, wherever they are.
fn without_geometry() -> BreathRules {
    BreathRules { still_s: 0.0, still_m: f32::MAX, detour_m: f32::MAX, alone: 0.0 }
}

/// Runs the suite.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn run(options: &Options, presence: &PresenceConfig, rules: &BreathRules) -> Result<Report, SimError> {
    let scenes = scenes(options, presence)?;
    let two = || scenes.iter().filter(|s| s.room.people() == 2);
    let mut baseline = judge(two(), &without_geometry()).figures();
    baseline
        .insert("method", "a link's breath is that of whoever is loudest in it, wherever they are".into());
    let mut more = BTreeMap::new();
    for &room in &options.rooms {
        more.insert(room.name(), judge(scenes.iter().filter(|s| s.room == room), rules).figures());
    }
    let per_recording = scenes.iter().zip(0..).map(|(scene, index)| {
        let figures = scene.judge(rules).figures();
        Answer {
            file: format!("{} {}", scene.room.name(), index % options.scenes),
            truth: json!(scene.rates_bpm.iter().map(|r| figure((*r).into())).collect::<Vec<_>>()),
            answer: Value::Object(
                figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ),
        }
    });
    Ok(Report {
        suite: "breathing-sim",
        split: format!(
            "{:?} seeds of the simulator; by window, from {FROM_S} s on, the rooms with two people together",
            options.split
        ),
        metrics: judge(two(), rules).figures(),
        baseline,
        more,
        per_recording: per_recording.collect(),
        notes: vec![
            format!("a rate is right within {SAME_BPM} breath a minute; where nobody rests none is"),
            "who is where comes from a detector with errors of 0.2 m along each axis and the tracker".into(),
            "simulated people at rest move as they breathe and not otherwise".into(),
        ],
        plots: Vec::new(),
    })
}

const SETTINGS: [(&str, &str); 4] = [
    ("still_s", "seconds"),
    ("still_m", "metres"),
    ("detour_m", "metres"),
    ("alone", "ratio of the echoes' amplitudes"),
];

/// A plot for each setting of whose breath it is.
///
/// # Errors
/// Where the simulator refuses a scene.
pub fn sweeps(presence: &PresenceConfig, rules: &BreathRules) -> Result<Vec<Plot>, SimError> {
    let options = Options { split: Split::Validation, ..Options::default() };
    let scenes = scenes(&options, presence)?;
    let lines = ["time at rest without a rate of one's own", "rates shown that are not the person's"];
    let settings = sweep::around(rules, &SETTINGS);
    Ok(sweep::plots("breath", "breathing-sim, all rooms", rules, &settings, "share", &lines, |rules| {
        let tally = judge(scenes.iter(), rules);
        let (wrong, all) = tally.wrong();
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        vec![1.0 - share(tally.persons.right, tally.resting), share(wrong, all)]
    }))
}
