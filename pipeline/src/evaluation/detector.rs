//! A detector that is no network: true poses in, observations with errors of a stated size out.
//!
//! Tracking, activities and falls are measured with it, so that their figures say how they cope with errors of that
//! size, and not how good the shipped network is. Its errors: correlated and white noise of the position, of the pose and of
//! the stated uncertainty; misses in runs; two people who stand close seen as one; people that are not there, for single
//! windows and for longer.

use invispose_models::sim::Draw;
use invispose_models::skeleton::{Keypoints, root};
use serde::{Deserialize, Serialize};

use crate::pose::Keypoint;
use crate::tracking::Observation;

/// Sizes of a detector's errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorErrors {
    /// Standard deviation of the position along each axis of the floor, metres.
    pub position_m: f32,
    /// The same for the height of the whole body, metres.
    pub height_m: f32,
    /// The same for each joint relative to the body, along each axis, metres.
    pub joint_m: f32,
    /// Time over which errors stay alike, seconds: windows overlap.
    pub correlation_s: f32,
    /// Share of the variance that is alike over that time; the rest is white.
    pub correlated: f32,
    /// Share of the time in which a person is missed or hardly seen.
    pub missed: f32,
    /// Mean length of such a time, seconds.
    pub missed_s: f32,
    /// Of two people closer than this, metres, the one behind in the list is seen half of the time.
    pub resolution_m: f32,
    /// Observations of nobody that last one window, a second.
    pub clutter_hz: f32,
    /// Observations of nobody that stay, an hour…
    pub ghosts_per_hour: f32,
    /// …for this long on average, seconds.
    pub ghost_s: f32,
}

impl Default for DetectorErrors {
    fn default() -> Self {
        Self::middling()
    }
}

impl DetectorErrors {
    /// What a good network with many links might reach.
    pub const fn fine() -> Self {
        Self {
            position_m: 0.10,
            height_m: 0.04,
            joint_m: 0.05,
            correlation_s: 0.3,
            correlated: 0.5,
            missed: 0.05,
            missed_s: 0.3,
            resolution_m: 0.3,
            clutter_hz: 0.2,
            ghosts_per_hour: 30.0,
            ghost_s: 0.3,
        }
    }

    /// About the shipped network with one person in its own room: a mean root error of 250 mm is a σ of 0.20 m along each axis
    /// (the mean of a Rayleigh distribution is σ √(π/2)).
    pub const fn middling() -> Self {
        Self {
            position_m: 0.20,
            height_m: 0.08,
            joint_m: 0.09,
            correlation_s: 0.5,
            correlated: 0.6,
            missed: 0.10,
            missed_s: 0.4,
            resolution_m: 0.4,
            clutter_hz: 0.5,
            ghosts_per_hour: 90.0,
            ghost_s: 0.4,
        }
    }

    /// A network that was hardly trained: a mean root error of 455 mm, 178 false persons an hour, root-relative 190 mm.
    /// How long such errors stay alike was not measured: a second is taken, for windows of two.
    pub const fn coarse() -> Self {
        Self {
            position_m: 0.363,
            height_m: 0.10,
            joint_m: 0.12,
            correlation_s: 1.0,
            correlated: 0.7,
            missed: 0.10,
            missed_s: 0.5,
            resolution_m: 0.5,
            clutter_hz: 0.5,
            ghosts_per_hour: 178.0,
            ghost_s: 0.5,
        }
    }
}

/// Joints and the body's three coordinates.
const WALKS: usize = 18;
/// Ghosts stand as people stand: hips this high, metres.
const GHOST_HIPS_M: f32 = 0.9;

/// A person whom the detector follows with its errors.
#[derive(Clone, Debug)]
struct Errors {
    /// Correlated parts, unit variance.
    walk: [[f32; 3]; WALKS],
    missed: bool,
    missed_left_s: f32,
}

struct Ghost {
    at_m: [f32; 2],
    left_s: f32,
}

/// One site's detector. Two of the same seed and calls make the same errors.
pub struct Detector {
    errors: DetectorErrors,
    room_m: [f32; 2],
    draw: Draw,
    people: Vec<Option<Errors>>,
    ghosts: Vec<Ghost>,
}

impl Detector {
    /// For a room of this size on the floor.
    pub fn new(errors: DetectorErrors, room_m: [f32; 2], seed: u64) -> Self {
        Self { errors, room_m, draw: Draw::new(seed, 0xDE7EC7), people: Vec::new(), ghosts: Vec::new() }
    }

    /// What it sees `dt_s` after the last time; `truth` holds, at the place of each person, their pose while they are
    /// there. The order of what it gives says nothing.
    pub fn look(&mut self, truth: &[Option<Keypoints>], dt_s: f32) -> Vec<Observation> {
        self.people.resize(truth.len(), None);
        let mut seen = Vec::new();
        let mut roots: Vec<[f32; 3]> = Vec::new();
        for (i, pose) in truth.iter().enumerate() {
            let Some(pose) = pose else {
                self.people[i] = None;
                continue;
            };
            let at = root(pose);
            let hidden = roots.iter().any(|r| (r[0] - at[0]).hypot(r[1] - at[1]) < self.errors.resolution_m);
            roots.push(at);
            let missed = self.advance(i, dt_s);
            if (hidden && self.draw.chance(0.5)) || (missed && self.draw.chance(0.5)) {
                continue;
            }
            if let Some(observation) = self.observe(i, pose, missed) {
                seen.push(observation);
            }
        }
        self.clutter(dt_s, &mut seen);
        // Whoever comes first must not tell who it is.
        for i in (1..seen.len()).rev() {
            seen.swap(i, self.draw.index(i + 1));
        }
        seen
    }

    /// Lets a person's errors wander on; is the person hardly seen now?
    fn advance(&mut self, person: usize, dt_s: f32) -> bool {
        let e = &self.errors;
        let keep = (-dt_s / e.correlation_s.max(1e-3)).exp();
        let fresh = (1.0 - keep * keep).sqrt();
        let draw = &mut self.draw;
        match &mut self.people[person] {
            Some(state) => {
                state.walk.iter_mut().flatten().for_each(|w| *w = keep * *w + fresh * draw.normal());
                state.missed_left_s -= dt_s;
                if state.missed_left_s <= 0.0 {
                    state.missed = !state.missed && e.missed > 0.0;
                    let seen_s = e.missed_s * (1.0 - e.missed) / e.missed.max(1e-6);
                    let mean = if state.missed { e.missed_s } else { seen_s };
                    state.missed_left_s = -mean * (1.0 - draw.unit()).ln();
                }
                state.missed
            }
            empty => {
                let walk = std::array::from_fn(|_| std::array::from_fn(|_| draw.normal()));
                *empty = Some(Errors { walk, missed: true, missed_left_s: 0.0 });
                false
            }
        }
    }

    fn observe(&mut self, person: usize, pose: &Keypoints, weak: bool) -> Option<Observation> {
        let walk = self.people.get(person)?.as_ref()?.walk;
        let e = &self.errors;
        let draw = &mut self.draw;
        let (slow, fast) = (e.correlated.sqrt(), (1.0 - e.correlated).sqrt());
        let worse = if weak { 2.0 } else { 1.0 };
        let mut error = |w: [f32; 3], sigma: [f32; 3]| -> [f32; 3] {
            std::array::from_fn(|i| worse * sigma[i] * (slow * w[i] + fast * draw.normal()))
        };
        let body = error(walk[17], [e.position_m, e.position_m, e.height_m]);
        let mut positions = *pose;
        for (p, w) in positions.iter_mut().zip(walk) {
            let joint = error(w, [e.joint_m; 3]);
            *p = std::array::from_fn(|i| p[i] + body[i] + joint[i]);
        }
        // Networks are roughly, not exactly, right about how wrong they are.
        let stated = (0.2 * draw.normal()).exp();
        let confidence = if weak { draw.between([0.3, 0.6]) } else { draw.between([0.6, 0.98]) };
        Some(Observation {
            confidence,
            position_sigma_m: e.position_m * worse * stated,
            root_m: root(&positions),
            keypoints: positions.map(|position_m| Keypoint { position_m, confidence: 0.8 * confidence }),
            activity: None,
        })
    }

    fn clutter(&mut self, dt_s: f32, seen: &mut Vec<Observation>) {
        let anywhere = |draw: &mut Draw, room: [f32; 2]| {
            [draw.between([0.3, room[0] - 0.3]), draw.between([0.3, room[1] - 0.3])]
        };
        if self.draw.chance(self.errors.clutter_hz * dt_s) {
            let at = anywhere(&mut self.draw, self.room_m);
            let confidence = self.draw.between([0.3, 0.9]);
            seen.push(self.nobody(at, confidence));
        }
        if self.draw.chance(self.errors.ghosts_per_hour / 3600.0 * dt_s) {
            let at_m = anywhere(&mut self.draw, self.room_m);
            let left_s = -self.errors.ghost_s * (1.0 - self.draw.unit()).ln();
            self.ghosts.push(Ghost { at_m, left_s });
        }
        let places: Vec<[f32; 2]> = self.ghosts.iter().map(|g| g.at_m).collect();
        for at in places {
            let near = at.map(|v| v + 0.1 * self.draw.normal());
            let confidence = self.draw.between([0.5, 0.9]);
            seen.push(self.nobody(near, confidence));
        }
        for ghost in &mut self.ghosts {
            ghost.left_s -= dt_s;
        }
        self.ghosts.retain(|g| g.left_s > 0.0);
    }

    fn nobody(&self, at: [f32; 2], confidence: f32) -> Observation {
        let root_m = [at[0], at[1], GHOST_HIPS_M];
        let keypoint = Keypoint { position_m: root_m, confidence: 0.3 * confidence };
        Observation {
            confidence,
            position_sigma_m: self.errors.position_m,
            root_m,
            keypoints: [keypoint; 17],
            activity: None,
        }
    }
}
