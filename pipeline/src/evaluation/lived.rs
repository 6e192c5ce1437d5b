//! A simulated room that is lived in: suite `presence-sim`.
//!
//! Somebody walks, stands, sits, lies and waves for a quarter of an hour, leaves for some minutes and comes back, in the demonstration room and by test
//! seeds. What is learned of the quiet room must not be the person who keeps still in it.

use std::collections::BTreeMap;
use std::time::Duration;

use invispose_models::sim::{SceneConfig, SimError, Simulator, Split};
use serde_json::{Value, json};

use super::report::{Answer, Figures, Plot, Report, Score, figure};
use super::{motion, simulated, sweep};
use crate::stages::cleanup::CleanWindow;
use crate::stages::presence::{PresenceConfig, PresenceDetector};

/// How long, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Scenes, each with somebody else.
    pub scenes: u32,
    /// Seconds in which the room is empty, from and to; the scene ends with the last of them.
    pub empty_s: Vec<[f64; 2]>,
    /// From one window to the next.
    pub hop: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let empty_s = vec![[0.0, 20.0], [900.0, 1080.0], [1500.0, 1620.0]];
        Self { scenes: 2, empty_s, hop: Duration::from_millis(200) }
    }
}

/// For so long after somebody left they may still be told of, seconds: `presence.off_s` and the window.
const GONE_S: f64 = 6.0;

/// What is true of a window.
struct Truth {
    /// What they do; `None`: nobody is there.
    activity: Option<&'static str>,
    /// Seconds since they came or left.
    since_s: f64,
}

/// What one detector made of the scenes.
#[derive(Clone, Debug, Default)]
struct Seen {
    score: Score,
    /// Windows in which they were seen, and all, by activity.
    activities: BTreeMap<&'static str, [usize; 2]>,
    /// The longest time for which somebody who was there was not seen, seconds.
    longest_s: f64,
    unseen_s: f64,
}

impl Seen {
    fn add(&mut self, truth: &Truth, said: bool, hop_s: f64) {
        match truth.activity {
            Some(activity) => {
                let [seen, all] = self.activities.entry(activity).or_default();
                *seen += usize::from(said);
                *all += 1;
                self.unseen_s = if said { 0.0 } else { self.unseen_s + hop_s };
                self.longest_s = self.longest_s.max(self.unseen_s);
            }
            None if truth.since_s < GONE_S => return,
            None => self.unseen_s = 0.0,
        }
        self.score.add(truth.activity.is_some(), said);
    }

    fn merge(&mut self, other: &Self) {
        self.score.true_positive += other.score.true_positive;
        self.score.false_positive += other.score.false_positive;
        self.score.false_negative += other.score.false_negative;
        self.score.true_negative += other.score.true_negative;
        for (activity, [seen, all]) in &other.activities {
            let sum = self.activities.entry(activity).or_default();
            *sum = [sum[0] + seen, sum[1] + all];
        }
        self.longest_s = self.longest_s.max(other.longest_s);
    }

    fn figures(&self) -> Figures {
        let Score { true_positive, false_positive, false_negative, true_negative } = self.score;
        let windows = true_positive + false_positive + false_negative + true_negative;
        let mut figures = Figures::from([
            ("windows", windows.into()),
            ("recall", figure(self.score.recall())),
            ("specificity", figure(self.score.specificity())),
            ("longest_unseen_s", figure(self.longest_s)),
        ]);
        for (activity, [seen, all]) in &self.activities {
            figures.insert(activity, figure(*seen as f64 / (*all).max(1) as f64));
        }
        figures
    }
}

/// Runs the suite with the rules of `presence`; with `sweeps` also what the settings of learning are worth, one after the other.
///
/// # Errors
/// The simulator refuses the scene.
pub fn run(options: &Options, presence: &PresenceConfig, sweeps: bool) -> Result<Report, SimError> {
    let once = PresenceConfig { hold_s: f64::MAX, ..presence.clone() };
    let at_once = PresenceConfig { hold_s: 0.0, rise_per_h: f32::MAX, ..presence.clone() };
    let mut configs = vec![presence.clone(), once, at_once];
    // Breathing shows some of those who keep still whatever was learned.
    let still = PresenceConfig { breathing: motion::still().breathing, ..presence.clone() };
    let settings = if sweeps { settings() } else { Vec::new() };
    for setting in &settings {
        configs.extend(setting.values.iter().filter_map(|v| sweep::with(&still, setting.key, *v)));
    }
    let mut sums = vec![Seen::default(); configs.len()];
    let mut per_recording = Vec::new();
    for scene in 0..options.scenes {
        let seen = live(options, scene, &configs)?;
        sums.iter_mut().zip(&seen).for_each(|(sum, seen)| sum.merge(seen));
        per_recording.push(Answer {
            file: format!("scene {scene}"),
            truth: json!("one person, who leaves and comes back"),
            answer: Value::Object(
                seen[0].figures().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ),
        });
    }
    let mut baseline = sums[1].figures();
    baseline.insert("method", "the quiet level of the first learning, for good".into());
    let mut at_once = sums[2].figures();
    at_once.insert("method", "every window below the threshold is learned from at once".into());
    let mut measured = sums[3..].iter();
    let plots = settings.iter().map(|setting| plot(setting, &still, &mut measured)).collect();
    Ok(Report {
        suite: "presence-sim",
        split: "test seeds of the simulator, on which nothing was chosen".into(),
        metrics: sums[0].figures(),
        baseline,
        more: BTreeMap::from([("learned_at_once", at_once)]),
        per_recording,
        notes: vec![
            "simulated: a person who keeps still breathes and sways as the simulator has it".into(),
            format!(
                "windows within {GONE_S} s after somebody left are not judged: they are told of a little longer"
            ),
        ],
        plots,
    })
}

fn settings() -> Vec<sweep::Setting> {
    let setting = |key, unit, values: &[f64]| sweep::Setting { key, unit, values: values.to_vec() };
    vec![
        setting("hold_s", "seconds", &[0.0, 5.0, 15.0, 30.0, 60.0, 120.0]),
        setting("rise_per_h", "share of the level", &[0.0, 0.1, 0.25, 1.0, 4.0, 1000.0]),
        setting("refresh_s", "seconds", &[0.5, 1.0, 2.0, 4.0, 8.0]),
        setting("samples", "windows", &[16.0, 64.0, 256.0, 1024.0]),
    ]
}

fn plot<'a>(
    setting: &sweep::Setting,
    shipped: &PresenceConfig,
    measured: &mut impl Iterator<Item = &'a Seen>,
) -> Plot {
    let lines = ["somebody there is missed", "an empty room has somebody"];
    let of = |_: &PresenceConfig| {
        measured
            .next()
            .map_or_else(Vec::new, |seen| vec![1.0 - seen.score.recall(), 1.0 - seen.score.specificity()])
    };
    let about = "presence-sim, without breathing";
    let mut plots = sweep::plots(
        "presence",
        about,
        shipped,
        std::slice::from_ref(setting),
        "share of windows",
        &lines,
        of,
    );
    plots.remove(0)
}

/// One scene as each of the detectors sees it.
fn live(options: &Options, scene: u32, configs: &[PresenceConfig]) -> Result<Vec<Seen>, SimError> {
    let mut config = SceneConfig::demo();
    config.people.count = 1;
    config.people.absent_s.clone_from(&options.empty_s);
    let mut simulator = Simulator::new(&config, Split::Test.seed(0x8_0000 + u64::from(scene)))?;
    let end_s = options.empty_s.iter().map(|[_, to]| *to).fold(0.0, f64::max);
    let mut detectors: Vec<PresenceDetector> =
        configs.iter().map(|c| PresenceDetector::new(c.clone(), None)).collect();
    let mut seen = vec![Seen::default(); configs.len()];
    simulated::play(&mut simulator, end_s, options.hop, |simulator, window| {
        judge(simulator, options, window, &mut detectors, &mut seen);
    });
    Ok(seen)
}

fn judge(
    simulator: &mut Simulator,
    options: &Options,
    window: CleanWindow,
    detectors: &mut [PresenceDetector],
    seen: &mut [Seen],
) {
    let t_s = window.window.grid.end_ns as f64 / 1e9;
    let edges = options.empty_s.iter().flatten().copied();
    let since_s = edges.map(|edge| t_s - edge).filter(|since| *since >= 0.0).fold(f64::INFINITY, f64::min);
    let activity = simulator.people_at(t_s).first().map(|p| p.activity.name());
    let truth = Truth { activity, since_s };
    // Before anything can have been learned nothing is judged.
    let judged = options.empty_s.first().is_none_or(|[_, first]| t_s >= *first);
    for (detector, seen) in detectors.iter_mut().zip(seen) {
        let said = detector.run(window.clone()).presence.is_some_and(|p| p.present);
        if judged {
            seen.add(&truth, said, options.hop.as_secs_f64());
        }
    }
}
