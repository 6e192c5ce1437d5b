//! One track: where a person is and how they stand, while it lasts.

use super::body::Body;
use super::config::TrackerConfig;
use super::kalman::{Axis, Motion};
use crate::pose::{Activity, Keypoint, Person};

/// One person as the network sees them in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Probability that this person is there, 0..1.
    pub confidence: f32,
    /// Standard deviation of the position on the floor, metres.
    pub position_sigma_m: f32,
    /// Middle of the hips, site coordinates in metres.
    pub root_m: [f32; 3],
    /// 17 joints, COCO order, site coordinates in metres.
    pub keypoints: [Keypoint; 17],
    /// What they do, where it is known.
    pub activity: Option<Activity>,
}

impl Observation {
    /// Numbers that can be worked with, and at least so sure.
    pub(super) fn usable(&self, confidence: f32) -> bool {
        let finite = self.root_m.iter().all(|v| v.is_finite())
            && self.keypoints.iter().all(|k| k.position_m.iter().all(|v| v.is_finite()));
        finite && self.confidence >= confidence
    }

    fn sigma(&self) -> f64 {
        f64::from(self.position_sigma_m).clamp(0.02, 5.0)
    }

    fn relative(&self) -> [Keypoint; 17] {
        self.keypoints.map(|k| Keypoint {
            position_m: std::array::from_fn(|i| k.position_m[i] - self.root_m[i]),
            confidence: k.confidence,
        })
    }
}

/// The life of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Seen, but not yet believed.
    Tentative,
    /// Shown, also while it is missed for a short time.
    Shown,
    /// Missed for too long to be shown; whoever appears near soon is the same person.
    Lost,
}

#[derive(Debug)]
pub(super) struct Track {
    /// Given when it is first shown: tracks that come to nothing use up no ids.
    pub id: Option<u64>,
    pub stage: Stage,
    root: [Axis; 3],
    body: Body,
    confidence: f32,
    /// Probability that they are there, over the last windows that were looked at.
    existence: f64,
    /// Weight of the newest of these.
    newest: f64,
    looked_ns: i64,
    activity: Option<Activity>,
    pub born_ns: i64,
    pub seen_ns: i64,
    windows: u32,
    hits: u32,
}

/// Hips go up and down by this much, as a standard deviation in metres per second, and for so long, seconds: sitting down takes about
/// a second and a fall half of one.
const HEIGHT_SPEED: f64 = 1.0;
const HEIGHT_KEEPS_S: f64 = 0.3;
/// Standard deviation of the height over that of the position on the floor, where a height is taken in: people's hips are at most a metre
/// above the floor, their places are anywhere in the room.
const HEIGHT_SIGMA: f64 = 0.4;

/// What one step of time does to every track.
pub(super) struct Step {
    floor: Motion,
    height: Motion,
}

impl Step {
    pub fn new(dt: f64, config: &TrackerConfig) -> Self {
        Self {
            floor: Motion::new(dt, config.speed, config.keeps_velocity_s),
            height: Motion::new(dt, HEIGHT_SPEED, HEIGHT_KEEPS_S),
        }
    }
}

impl Track {
    pub fn new(o: &Observation, time_ns: i64, config: &TrackerConfig) -> Self {
        let sigma = o.sigma();
        let axis = |i: usize| {
            let speed = if i == 2 { HEIGHT_SPEED } else { config.speed };
            Axis::new(f64::from(o.root_m[i]), sigma, speed)
        };
        Self {
            id: None,
            stage: Stage::Tentative,
            root: std::array::from_fn(axis),
            body: Body::new(&o.relative()),
            confidence: o.confidence,
            existence: f64::from(o.confidence),
            newest: 0.0,
            looked_ns: time_ns,
            activity: o.activity,
            born_ns: time_ns,
            seen_ns: time_ns,
            windows: 1,
            hits: 1,
        }
    }

    /// Time passes.
    pub fn predict(&mut self, step: &Step) {
        for (i, axis) in self.root.iter_mut().enumerate() {
            axis.predict(if i == 2 { &step.height } else { &step.floor });
        }
    }

    /// Somebody looks for people; whoever is not [taken](Self::take) in this window is not seen in it.
    pub fn look(&mut self, time_ns: i64, config: &TrackerConfig) {
        let dt = time_ns.saturating_sub(self.looked_ns) as f64 / 1e9;
        self.newest = 1.0 - (-dt / self.trusted_s(config.existence_s, config).max(1e-6)).exp();
        self.existence -= self.newest * self.existence;
        self.looked_ns = time_ns;
        self.windows += 1;
    }

    /// Square of the Mahalanobis distance, and the logarithm of the covariance's determinant: together twice the negative
    /// log-likelihood of the observation, but for a constant.
    pub fn distance(&self, o: &Observation) -> (f64, f64) {
        let sigma = o.sigma();
        self.root.iter().zip(&o.root_m).fold((0.0, 0.0), |(d, spread), (axis, &v)| {
            let variance = axis.innovation_variance(sigma);
            (d + (f64::from(v) - axis.position).powi(2) / variance, spread + variance.ln())
        })
    }

    /// Metres on the floor.
    pub fn floor_distance(&self, at_m: [f64; 2]) -> f64 {
        (self.root[0].position - at_m[0]).hypot(self.root[1].position - at_m[1])
    }

    /// Where they are on the floor, metres.
    pub fn floor(&self) -> [f64; 2] {
        [self.root[0].position, self.root[1].position]
    }

    pub fn take(&mut self, o: &Observation, time_ns: i64, config: &TrackerConfig) {
        let floor_sigma = o.sigma() / config.independence.clamp(1e-3, 1.0).sqrt();
        let dt = time_ns.saturating_sub(self.seen_ns) as f64 / 1e9;
        for (i, axis) in self.root.iter_mut().enumerate() {
            let sigma = if i == 2 { HEIGHT_SIGMA * o.sigma() } else { floor_sigma };
            axis.update(f64::from(o.root_m[i]), sigma);
        }
        self.body.follow(&o.relative(), dt as f32, config);
        let share = (dt / (dt + CONFIDENCE_S)) as f32;
        self.confidence += share * (o.confidence - self.confidence);
        self.existence += self.newest * f64::from(o.confidence);
        self.activity = o.activity;
        self.seen_ns = time_ns;
        self.hits += 1;
    }

    /// Seconds since it was last seen.
    pub fn missing_s(&self, time_ns: i64) -> f64 {
        time_ns.saturating_sub(self.seen_ns) as f64 / 1e9
    }

    /// How long what it was is trusted over what is seen, seconds: at most so long, and less if it came late.
    fn trusted_s(&self, most_s: f64, config: &TrackerConfig) -> f64 {
        let followed = self.seen_ns.saturating_sub(self.born_ns) as f64 / 1e9;
        most_s.min(config.lose_share * followed).max(config.lose_tentative_s)
    }

    /// How long it may be missing and still be shown, seconds.
    fn patience_s(&self, config: &TrackerConfig) -> f64 {
        self.trusted_s(config.lose_s, config)
    }

    /// Missing for too long to be shown, or more likely gone than there?
    pub fn is_lost(&self, time_ns: i64, config: &TrackerConfig) -> bool {
        self.missing_s(time_ns) > self.patience_s(config) || self.existence < config.keep_existence
    }

    /// Seen for long and often enough, and likely enough there, to be believed?
    pub fn is_sure(&self, time_ns: i64, config: &TrackerConfig) -> bool {
        let age = time_ns.saturating_sub(self.born_ns) as f64 / 1e9;
        let share = f64::from(self.hits) / f64::from(self.windows.max(1));
        let often = share >= config.confirm_share && self.hits >= config.confirm_looks;
        age >= config.confirm_s && often && self.existence >= config.keep_existence
    }

    /// Goes on where another track of the same person ended.
    pub fn continue_from(&mut self, before: &Self) {
        self.id = before.id;
        self.born_ns = before.born_ns;
    }

    /// What to show.
    pub fn person(&self, time_ns: i64, config: &TrackerConfig) -> Option<Person> {
        let id = self.id.filter(|_| self.stage == Stage::Shown)?;
        let position_m = self.root.map(|a| a.position as f32);
        // Nobody measured where they are since: trust fades until the track ends.
        let missing = self.missing_s(time_ns);
        let fade = (1.0 - missing / self.patience_s(config).max(1e-6)).clamp(0.0, 1.0) as f32;
        Some(Person {
            id,
            confidence: self.confidence * fade,
            position_m,
            velocity_m_s: self.root.map(|a| a.velocity as f32),
            keypoints: self.body.pose(position_m, fade),
            // What they do is not known while nobody sees them.
            activity: self.activity.filter(|_| missing <= 0.0),
            zone: None,
            breathing: None,
        })
    }
}

/// Confidence follows with this time constant, seconds.
const CONFIDENCE_S: f64 = 0.15;
