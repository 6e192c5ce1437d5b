//! Falls: somebody goes down fast and stays down.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::activity::Shape;
use super::descent::Descent;
use crate::events::{Event, EventKind, Evidence, Severity};
use crate::pose::{Person, PoseFrame};

/// The rules of falls. `invispose evaluate --suite falls-sim --plots DIR` shows the trade-off between misses and false alarms that they sit on.
/// Heights are shares of the person's own hip height when standing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FallConfig {
    /// Tell falls at all. Off unless asked for: behind a detector as good as the shipped network most that is told is false.
    pub enabled: bool,
    /// Mean confidence of the keypoints from which on a pose counts, 0..1.
    pub keypoint_confidence: f32,
    /// Hips lower than this are on the ground; on a bed or seat they are at half or more…
    pub ground: f32,
    /// …and higher than this they are up again.
    pub up: f32,
    /// A fall begins with hips at least this high…
    pub from: f32,
    /// …and its straight line to the ground takes at most this long, seconds: falls take half of one, squatting and stretching out two.
    pub within_s: f64,
    /// They stay on the ground for this long, seconds; who is up before has not fallen, or needs no help.
    pub ground_s: f64,
    /// From this time on the ground on it is severe, seconds…
    pub severe_s: f64,
    /// …and from this time critical, seconds.
    pub critical_s: f64,
    /// Somebody whose hips are lower than this when standing, metres, is no person who can fall: a pet.
    pub smallest_m: f32,
}

impl Default for FallConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            keypoint_confidence: 0.3,
            ground: 0.35,
            up: 0.5,
            from: 0.75,
            within_s: 1.0,
            ground_s: 3.0,
            severe_s: 15.0,
            critical_s: 60.0,
            smallest_m: 0.5,
        }
    }
}

/// The falls of one site.
#[derive(Debug)]
pub struct FallWatch {
    config: FallConfig,
    people: BTreeMap<u64, Height>,
}

/// What is looked at of the time before somebody reached the ground, and after, seconds.
const BEFORE_S: f64 = 2.0;
const AFTER_S: f64 = 1.0;
/// Whether somebody is on the ground is told from the mean height over this long, seconds: single heights are noisy.
const LEVEL_S: f64 = 0.5;
/// A person's standing height is known to this share of itself after this time, seconds.
const STANDING_S: f32 = 5.0;

#[derive(Debug)]
struct Height {
    /// Stream time and height of the hips, metres.
    lately: VecDeque<(i64, f32)>,
    standing_m: f32,
    ground: Option<Ground>,
}

/// Somebody on the ground.
#[derive(Clone, Copy, Debug)]
struct Ground {
    since_ns: i64,
    way: Way,
}

/// How they got there.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Not looked at before they have stayed.
    Open,
    /// They fell; told with this severity.
    Fell(Descent, Severity),
    /// Otherwise.
    Went,
}

impl FallWatch {
    /// Nobody has fallen yet.
    pub fn new(config: FallConfig) -> Self {
        Self { config, people: BTreeMap::new() }
    }

    /// Looks at the people of a frame. `of_person` makes an event of one of them.
    pub fn frame(
        &mut self,
        frame: &PoseFrame,
        of_person: &dyn Fn(EventKind, &Person) -> Event,
        tell: &mut dyn FnMut(Event),
    ) {
        self.people.retain(|id, _| frame.persons.iter().any(|p| p.id == *id));
        for person in &frame.persons {
            let shape = Shape::of(person);
            // What was not seen says nothing, neither that somebody fell nor that they are up again.
            if shape.confidence < self.config.keypoint_confidence {
                continue;
            }
            let height = self.people.entry(person.id).or_insert_with(|| Height {
                lately: VecDeque::new(),
                standing_m: shape.standing_m,
                ground: None,
            });
            height.look(&shape, frame.time_ns, &self.config);
            if let Some((kind, severity, since_ns, descent)) = height.judge(frame.time_ns, &self.config) {
                let evidence = Evidence::Fall {
                    descent_m: descent.way_m(),
                    speed_m_s: descent.speed_m_s(),
                    height_m: shape.hips_m,
                    ground_s: frame.time_ns.saturating_sub(since_ns) as f64 / 1e9,
                };
                tell(of_person(kind, person).severe(severity).because(evidence));
            }
        }
    }
}

impl Height {
    fn look(&mut self, shape: &Shape, time_ns: i64, config: &FallConfig) {
        if let Some(&(last_ns, _)) = self.lately.back() {
            let dt = time_ns.saturating_sub(last_ns) as f32 / 1e9;
            self.standing_m += (shape.standing_m - self.standing_m) * dt / (dt + STANDING_S);
        }
        self.lately.push_back((time_ns, shape.hips_m));
        let memory_s = BEFORE_S + config.ground_s.max(AFTER_S) + 1.0;
        let old = |&(t, _): &(i64, f32)| time_ns.saturating_sub(t) as f64 / 1e9 > memory_s;
        while self.lately.front().is_some_and(old) {
            self.lately.pop_front();
        }
    }

    /// Mean height over the last moments, metres.
    fn level_m(&self, now: i64) -> Option<f32> {
        let young = |&&(t, _): &&(i64, f32)| now.saturating_sub(t) as f64 / 1e9 <= LEVEL_S;
        let (n, sum) =
            self.lately.iter().rev().take_while(young).fold((0, 0.0), |(n, sum), (_, m)| (n + 1, sum + m));
        (n > 0).then(|| sum / n as f32)
    }

    /// What is to be told, if anything: a fall, a fall that became worse, or that somebody is up again; since when they are on the
    /// ground, and how they got there.
    fn judge(&mut self, now: i64, config: &FallConfig) -> Option<(EventKind, Severity, i64, Descent)> {
        let share = self.level_m(now)? / self.standing_m.max(0.1);
        let Some(ground) = self.ground else {
            if share < config.ground && self.standing_m >= config.smallest_m {
                self.ground = Some(Ground { since_ns: now, way: Way::Open });
            }
            return None;
        };
        if share > config.up {
            self.ground = None;
            // Heights from before must not make a second fall of it.
            self.lately.clear();
            return match ground.way {
                Way::Fell(descent, _) => {
                    Some((EventKind::FallRecovered, Severity::Info, ground.since_ns, descent))
                }
                Way::Open | Way::Went => None,
            };
        }
        let ground_s = now.saturating_sub(ground.since_ns) as f64 / 1e9;
        if ground_s < config.ground_s {
            return None;
        }
        let severity = [(config.critical_s, Severity::Critical), (config.severe_s, Severity::High)]
            .into_iter()
            .find(|(from_s, _)| ground_s >= *from_s)
            .map_or(Severity::Medium, |(_, severity)| severity);
        let descent = match ground.way {
            Way::Fell(descent, told) if told < severity => Some(descent),
            Way::Open => self.fall(ground.since_ns, config),
            Way::Fell(..) | Way::Went => return None,
        };
        let way = descent.map_or(Way::Went, |descent| Way::Fell(descent, severity));
        self.ground = Some(Ground { way, ..ground });
        Some((EventKind::FallDetected, severity, ground.since_ns, descent?))
    }

    /// The way to the ground, if it was a fall.
    fn fall(&self, since_ns: i64, config: &FallConfig) -> Option<Descent> {
        let heights: Vec<(f64, f64)> = self
            .lately
            .iter()
            .map(|&(t, m)| (t.saturating_sub(since_ns) as f64 / 1e9, f64::from(m)))
            .filter(|(t, _)| (-BEFORE_S..=AFTER_S).contains(t))
            .collect();
        let descent = Descent::fit(&heights)?;
        let high = descent.from_m >= config.from * self.standing_m;
        (high && descent.takes_s <= config.within_s).then_some(descent)
    }
}
