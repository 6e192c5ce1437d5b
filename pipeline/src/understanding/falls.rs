//! Falls: somebody goes down fast and stays down.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::activity::Shape;
use crate::events::{Event, EventKind, Evidence, Severity};
use crate::pose::{Person, PoseFrame};

/// The rules of falls. `invispose evaluate --suite falls-sim` shows the trade-off between misses and false alarms that they sit on.
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
    /// …and takes at most this long from there to the ground, seconds: falls take a third of one, lying down about one.
    pub within_s: f64,
    /// Hips go down at least this fast at some moment, metres per second: people who sit down reach 0.7.
    pub speed_m_s: f32,
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
            within_s: 0.6,
            speed_m_s: 0.8,
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

/// Heights are remembered for this long, seconds.
const MEMORY_S: f64 = 4.0;
/// A person's standing height is known to this share of itself after this time, seconds.
const STANDING_S: f32 = 5.0;
/// Speeds are taken over this long, seconds: shorter ones are noise.
const SPEED_S: f64 = 0.25;

#[derive(Debug)]
struct Height {
    /// Stream time and height of the hips, metres.
    lately: VecDeque<(i64, f32)>,
    standing_m: f32,
    fall: Option<Fall>,
}

/// Somebody on the ground who got there fast.
#[derive(Clone, Copy, Debug)]
struct Fall {
    down_ns: i64,
    descent_m: f32,
    speed_m_s: f32,
    told: Option<Severity>,
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
                fall: None,
            });
            height.look(&shape, frame.time_ns);
            if let Some((kind, severity, fall)) = height.judge(frame.time_ns, &self.config) {
                let ground_s = frame.time_ns.saturating_sub(fall.down_ns) as f64 / 1e9;
                let evidence = Evidence::Fall {
                    descent_m: fall.descent_m,
                    speed_m_s: fall.speed_m_s,
                    height_m: shape.hips_m,
                    ground_s,
                };
                tell(of_person(kind, person).severe(severity).because(evidence));
            }
        }
    }
}

impl Height {
    fn look(&mut self, shape: &Shape, time_ns: i64) {
        if let Some(&(last_ns, _)) = self.lately.back() {
            let dt = time_ns.saturating_sub(last_ns) as f32 / 1e9;
            self.standing_m += (shape.standing_m - self.standing_m) * dt / (dt + STANDING_S);
        }
        self.lately.push_back((time_ns, shape.hips_m));
        let old = |&(t, _): &(i64, f32)| time_ns.saturating_sub(t) as f64 / 1e9 > MEMORY_S;
        while self.lately.front().is_some_and(old) {
            self.lately.pop_front();
        }
    }

    /// What is to be told, if anything: a fall, a fall that became worse, or that somebody is up again.
    fn judge(&mut self, now: i64, config: &FallConfig) -> Option<(EventKind, Severity, Fall)> {
        let &(_, hips) = self.lately.back()?;
        let share = hips / self.standing_m.max(0.1);
        let Some(fall) = &mut self.fall else {
            if share < config.ground && self.standing_m >= config.smallest_m {
                self.fall = self.descent(now, config);
            }
            return None;
        };
        if share > config.up {
            let fall = *fall;
            self.fall = None;
            // Heights from before must not make a second fall of it.
            self.lately.clear();
            return fall.told.map(|_| (EventKind::FallRecovered, Severity::Info, fall));
        }
        let ground_s = now.saturating_sub(fall.down_ns) as f64 / 1e9;
        let severity = [(config.critical_s, Severity::Critical), (config.severe_s, Severity::High)]
            .into_iter()
            .find(|(from_s, _)| ground_s >= *from_s)
            .map_or(Severity::Medium, |(_, severity)| severity);
        if ground_s < config.ground_s || fall.told >= Some(severity) {
            return None;
        }
        fall.told = Some(severity);
        Some((EventKind::FallDetected, severity, *fall))
    }

    /// Whether the way to the ground was a fall.
    fn descent(&self, now: i64, config: &FallConfig) -> Option<Fall> {
        let from_m = config.from * self.standing_m;
        let (start, &(up_ns, up_m)) =
            self.lately.iter().enumerate().rev().find(|(_, (_, m))| *m >= from_m)?;
        let took_s = now.saturating_sub(up_ns) as f64 / 1e9;
        if took_s > config.within_s {
            return None;
        }
        let way: Vec<&(i64, f32)> = self.lately.iter().skip(start.saturating_sub(3)).collect();
        let mut fastest = 0.0f32;
        for (i, (t, m)) in way.iter().enumerate() {
            let later = way[i..].iter().find(|(u, _)| u.saturating_sub(*t) as f64 / 1e9 >= SPEED_S);
            if let Some((u, n)) = later {
                fastest = fastest.max((m - n) / (u.saturating_sub(*t) as f32 / 1e9));
            }
        }
        let (_, hips) = self.lately.back()?;
        let descent_m = way.iter().map(|(_, m)| *m).fold(up_m, f32::max) - hips;
        let fell = fastest >= config.speed_m_s;
        fell.then_some(Fall { down_ns: now, descent_m, speed_m_s: fastest, told: None })
    }
}
