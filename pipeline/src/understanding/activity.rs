//! What a person does, from how they stand and move over the last moments.

use std::collections::HashMap;

use invispose_models::skeleton::{ANKLES, ELBOWS, HIPS, KNEES, SHOULDERS, WRISTS};
use serde::{Deserialize, Serialize};

use crate::pose::{Activity, Keypoint, Person};

/// The rules of activities. Heights are shares of the person's own hip height when standing, so that they hold for
/// children too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivityConfig {
    /// Mean confidence of the keypoints from which on a pose says what a person does, 0..1. Below it the network's own
    /// word is taken, if it has one.
    pub keypoint_confidence: f32,
    /// Another activity is shown once it was seen for this long, seconds: half a gait cycle.
    pub hold_s: f64,
    /// The trunk of somebody who lies is farther from upright than this, degrees…
    pub lying_deg: f32,
    /// …or their hips are lower than this share of their standing height.
    pub lying_height: f32,
    /// Hips of people who sit are lower than this share: a seat is at about half.
    pub sitting_height: f32,
    /// People walk from this speed, metres per second…
    pub walking_m_s: f32,
    /// …until they are slower than this.
    pub standing_m_s: f32,
    /// People who wave or gesture hold a wrist higher than this above its elbow, metres, on average over half a second.
    pub raised_m: f32,
    /// Hips of people who fall go down faster than this, standing heights per second: twice as fast as sitting down.
    pub falling_per_s: f32,
}

impl Default for ActivityConfig {
    fn default() -> Self {
        Self {
            keypoint_confidence: 0.4,
            hold_s: 0.4,
            lying_deg: 60.0,
            lying_height: 0.3,
            sitting_height: 0.72,
            walking_m_s: 0.3,
            standing_m_s: 0.2,
            raised_m: 0.0,
            falling_per_s: 0.9,
        }
    }
}

/// The measures of a pose that activities and falls are told from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Height of the hips above the floor, metres.
    pub hips_m: f32,
    /// Height of the hips when standing, from the lengths of the legs, metres.
    pub standing_m: f32,
    /// The trunk's angle from upright, degrees.
    pub tilt_deg: f32,
    /// How far the higher wrist is above its elbow, metres.
    pub wrist_above_elbow_m: f32,
    /// Mean confidence of the keypoints, 0..1.
    pub confidence: f32,
}

/// Height of an ankle's joint above the floor, metres.
const ANKLE_M: f32 = 0.07;

impl Shape {
    /// Of a person as tracked.
    pub fn of(person: &Person) -> Self {
        let k = &person.keypoints;
        let at = |i: usize| k[i].position_m;
        let middle =
            |[a, b]: [usize; 2]| -> [f32; 3] { std::array::from_fn(|i| 0.5 * (at(a)[i] + at(b)[i])) };
        let (hips, shoulders) = (middle(HIPS), middle(SHOULDERS));
        let trunk: [f32; 3] = std::array::from_fn(|i| shoulders[i] - hips[i]);
        let tilt = trunk[0].hypot(trunk[1]).atan2(trunk[2]);
        let leg = |side: usize| {
            distance(&k[HIPS[side]], &k[KNEES[side]]) + distance(&k[KNEES[side]], &k[ANKLES[side]])
        };
        let raised = |side: usize| at(WRISTS[side])[2] - at(ELBOWS[side])[2];
        Self {
            hips_m: person.position_m[2],
            standing_m: 0.5 * (leg(0) + leg(1)) + ANKLE_M,
            tilt_deg: tilt.to_degrees(),
            wrist_above_elbow_m: raised(0).max(raised(1)),
            confidence: k.iter().map(|k| k.confidence).sum::<f32>() / k.len() as f32,
        }
    }
}

fn distance(a: &Keypoint, b: &Keypoint) -> f32 {
    (0..3).map(|i| (a.position_m[i] - b.position_m[i]).powi(2)).sum::<f32>().sqrt()
}

/// What the people of one site do.
#[derive(Debug)]
pub struct ActivityWatch {
    config: ActivityConfig,
    people: HashMap<u64, Doing>,
}

#[derive(Debug)]
struct Doing {
    shown: Option<Activity>,
    told: Option<Activity>,
    other: Option<(Activity, i64)>,
    last_ns: i64,
    /// Mean height of the higher wrist above its elbow, metres.
    raised_m: f32,
    /// Height of the hips, and how fast they go down.
    hips_m: f32,
    sinking_m_s: f32,
}

/// Heights of wrists are averaged over this long, seconds, and the speed of the hips over this long.
const ARMS_S: f32 = 0.5;
const HIPS_S: f32 = 0.15;
/// Somebody who was not seen for this long begins anew, seconds.
const GAP_S: f64 = 1.0;

impl ActivityWatch {
    /// Nobody does anything yet.
    pub fn new(config: ActivityConfig) -> Self {
        Self { config, people: HashMap::new() }
    }

    /// Says in each person's `activity` what they do, where their pose is sure enough. A pose that was not seen in this
    /// window, whose confidence has faded, says nothing. Gives whose activity has changed, from what and to what.
    pub fn frame(&mut self, time_ns: i64, persons: &mut [Person]) -> Vec<(u64, Option<Activity>, Activity)> {
        let mut changes = Vec::new();
        self.people.retain(|id, _| persons.iter().any(|p| p.id == *id));
        for person in persons {
            let shape = Shape::of(person);
            let doing = self.people.entry(person.id).or_insert_with(|| Doing::new(person, time_ns));
            doing.look(person, &shape, time_ns);
            if shape.confidence >= self.config.keypoint_confidence {
                let speed = person.velocity_m_s[0].hypot(person.velocity_m_s[1]);
                let now = doing.guess(&shape, speed, &self.config);
                person.activity = doing.settle(now, time_ns, &self.config);
            }
            if let Some(activity) = person.activity
                && doing.told != Some(activity)
            {
                changes.push((person.id, doing.told.replace(activity), activity));
            }
        }
        changes
    }
}

impl Doing {
    fn new(person: &Person, time_ns: i64) -> Self {
        Self {
            shown: None,
            told: None,
            other: None,
            last_ns: time_ns,
            raised_m: Shape::of(person).wrist_above_elbow_m,
            hips_m: person.position_m[2],
            sinking_m_s: 0.0,
        }
    }

    fn look(&mut self, person: &Person, shape: &Shape, time_ns: i64) {
        let dt = time_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        if dt > GAP_S {
            *self = Self::new(person, time_ns);
        } else if dt > 0.0 {
            let dt = dt as f32;
            self.raised_m += (shape.wrist_above_elbow_m - self.raised_m) * dt / (dt + ARMS_S);
            let sinking = (self.hips_m - shape.hips_m) / dt;
            self.sinking_m_s += (sinking - self.sinking_m_s) * dt / (dt + HIPS_S);
            (self.hips_m, self.last_ns) = (shape.hips_m, time_ns);
        }
    }

    fn guess(&self, shape: &Shape, speed: f32, config: &ActivityConfig) -> Activity {
        let height = shape.hips_m / shape.standing_m.max(0.1);
        let walks_from =
            if self.shown == Some(Activity::Walking) { config.standing_m_s } else { config.walking_m_s };
        if self.sinking_m_s > config.falling_per_s * shape.standing_m {
            Activity::Falling
        } else if shape.tilt_deg > config.lying_deg || height < config.lying_height {
            Activity::Lying
        } else if height < config.sitting_height {
            Activity::Sitting
        } else if speed > walks_from {
            Activity::Walking
        } else if self.raised_m > config.raised_m {
            Activity::Waving
        } else {
            Activity::Standing
        }
    }

    /// A change is believed once it has lasted; a fall does not wait.
    fn settle(&mut self, now: Activity, time_ns: i64, config: &ActivityConfig) -> Option<Activity> {
        if self.shown == Some(now) {
            self.other = None;
            return self.shown;
        }
        let since = match self.other {
            Some((other, since)) if other == now => since,
            _ => time_ns,
        };
        self.other = Some((now, since));
        let lasted_s = time_ns.saturating_sub(since) as f64 / 1e9;
        if now == Activity::Falling || lasted_s >= config.hold_s {
            self.shown = Some(now);
            self.other = None;
        }
        self.shown
    }
}
