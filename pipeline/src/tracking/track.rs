//! Tracks: birth, life and death of a person.

use crate::pose::{Activity, Keypoint, Person, PoseFrame};

use super::assignment::assign;
use super::ids::{IdError, PersonIds};
use super::kalman::Axis;

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

/// The rules of birth, life and death.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerConfig {
    /// An observation must be at least this sure to start a track…
    pub birth_confidence: f32,
    /// …and at least this sure to keep one alive.
    pub keep_confidence: f32,
    /// A track is shown once it was seen over this long…
    pub confirm_s: f64,
    /// …in at least this share of the windows.
    pub confirm_share: f64,
    /// A shown track that is not seen any more ends after this long.
    pub lose_s: f64,
    /// A track that was never shown ends after this long.
    pub lose_tentative_s: f64,
    /// Intensity of a person's acceleration, m²/s³.
    pub acceleration: f64,
    /// Square of the Mahalanobis distance beyond which an observation is somebody else: the 99 % point of χ² with
    /// 3 degrees of freedom is 11.34.
    pub gate: f64,
    /// Joints follow with this time constant, seconds.
    pub joint_s: f64,
    /// An observation that is closer than this to a track that was matched otherwise starts no track: one person is
    /// not two.
    pub separation_m: f32,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            birth_confidence: 0.6,
            keep_confidence: 0.3,
            confirm_s: 0.4,
            confirm_share: 0.6,
            lose_s: 1.5,
            lose_tentative_s: 0.3,
            acceleration: 2.0,
            gate: 11.34,
            joint_s: 0.15,
            separation_m: 0.4,
        }
    }
}

/// The people of one site.
#[derive(Debug)]
pub struct Tracker {
    config: TrackerConfig,
    tracks: Vec<Track>,
    last_ns: Option<i64>,
}

#[derive(Debug)]
struct Track {
    /// Given when it is first shown: tracks that come to nothing use up no ids.
    id: Option<u64>,
    root: [Axis; 3],
    /// Joints relative to the root.
    joints: [Keypoint; 17],
    confidence: f32,
    activity: Option<Activity>,
    born_ns: i64,
    seen_ns: i64,
    windows: u32,
    hits: u32,
}

/// Walking people reach 2 m/s; a new track knows no more of its velocity.
const VELOCITY_SIGMA: f64 = 1.0;

impl Tracker {
    /// Nobody there yet.
    pub fn new(config: TrackerConfig) -> Self {
        Self { config, tracks: Vec::new(), last_ns: None }
    }

    /// Ends all tracks: nothing connects what comes now to what was.
    pub fn clear(&mut self) {
        self.tracks.clear();
        self.last_ns = None;
    }

    /// Takes in one window of stream time `time_ns` and gives the people to show, those known longest first.
    ///
    /// `somebody` is what the signal says of presence: `Some(false)` ends every track, for an empty room shows nobody;
    /// only `Some(true)` lets tracks begin. `None`, as long as nothing is known, keeps tracks as they are.
    /// `observations` is `None` when nobody looked at this window: that is no sign of absence.
    ///
    /// # Errors
    /// When there is no id for somebody new; they are not shown, and tried again in the next window.
    pub fn update(
        &mut self,
        time_ns: i64,
        somebody: Option<bool>,
        observations: Option<&[Observation]>,
        ids: &mut PersonIds,
    ) -> Result<Vec<Person>, IdError> {
        let dt = self.last_ns.map_or(0.0, |last| time_ns.saturating_sub(last) as f64 / 1e9);
        if somebody == Some(false) || dt < 0.0 || dt > self.config.lose_s {
            self.tracks.clear();
        }
        self.last_ns = Some(time_ns);
        if somebody == Some(false) {
            return Ok(Vec::new());
        }
        for track in &mut self.tracks {
            track.root.iter_mut().for_each(|axis| axis.predict(dt.max(0.0), self.config.acceleration));
            track.windows += u32::from(observations.is_some());
        }
        let seen = observations.unwrap_or_default();
        let usable: Vec<&Observation> =
            seen.iter().filter(|o| o.usable(self.config.keep_confidence)).collect();
        let unmatched = self.match_up(&usable, time_ns);
        if somebody == Some(true) {
            for o in unmatched {
                self.bear(o, time_ns);
            }
        }
        self.end(time_ns);
        self.confirm(time_ns, ids)?;
        let mut people: Vec<Person> =
            self.tracks.iter().filter_map(|t| t.person(time_ns, self.config.lose_s)).collect();
        people.sort_by_key(|p| p.id);
        people.truncate(PoseFrame::MAX_PERSONS);
        Ok(people)
    }

    fn end(&mut self, time_ns: i64) {
        let config = &self.config;
        self.tracks.retain(|t| {
            let missing = time_ns.saturating_sub(t.seen_ns) as f64 / 1e9;
            missing <= if t.id.is_some() { config.lose_s } else { config.lose_tentative_s }
        });
    }

    fn confirm(&mut self, time_ns: i64, ids: &mut PersonIds) -> Result<(), IdError> {
        for track in self.tracks.iter_mut().filter(|t| t.id.is_none()) {
            let age = time_ns.saturating_sub(track.born_ns) as f64 / 1e9;
            let share = f64::from(track.hits) / f64::from(track.windows.max(1));
            if age >= self.config.confirm_s && share >= self.config.confirm_share {
                track.id = Some(ids.fresh()?);
            }
        }
        Ok(())
    }

    /// Gives observations to tracks; those that are left over may be somebody new.
    fn match_up<'a>(&mut self, seen: &[&'a Observation], time_ns: i64) -> Vec<&'a Observation> {
        const NEVER: f64 = 1e6;
        // Those who are shown choose first, so that a newcomer never takes an old one's place.
        let mut taken = vec![false; seen.len()];
        for shown in [true, false] {
            let rows: Vec<usize> =
                (0..self.tracks.len()).filter(|&t| self.tracks[t].id.is_some() == shown).collect();
            let columns: Vec<usize> = (0..seen.len()).filter(|&o| !taken[o]).collect();
            let cost: Vec<Vec<f64>> = rows
                .iter()
                .map(|&t| {
                    let distance = |&o: &usize| self.tracks[t].distance(seen[o]);
                    columns
                        .iter()
                        .map(distance)
                        .map(|d| if d <= self.config.gate { d } else { NEVER })
                        .collect()
                })
                .collect();
            for (row, column) in assign(&cost).into_iter().enumerate() {
                if let Some(column) = column
                    && cost[row][column] < NEVER
                {
                    taken[columns[column]] = true;
                    self.tracks[rows[row]].take(seen[columns[column]], time_ns, self.config.joint_s);
                }
            }
        }
        let near = |o: &Observation| {
            self.tracks.iter().any(|t| {
                let dx = t.root[0].position - f64::from(o.root_m[0]);
                let dy = t.root[1].position - f64::from(o.root_m[1]);
                dx.hypot(dy) < f64::from(self.config.separation_m)
            })
        };
        let left = seen.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(o, _)| *o);
        left.filter(|o| o.confidence >= self.config.birth_confidence && !near(o)).collect()
    }

    fn bear(&mut self, o: &Observation, time_ns: i64) {
        if self.tracks.len() >= 4 * PoseFrame::MAX_PERSONS {
            return;
        }
        let sigma = o.sigma();
        self.tracks.push(Track {
            id: None,
            root: o.root_m.map(|v| Axis::new(f64::from(v), sigma, VELOCITY_SIGMA)),
            joints: o.relative(),
            confidence: o.confidence,
            activity: o.activity,
            born_ns: time_ns,
            seen_ns: time_ns,
            windows: 1,
            hits: 1,
        });
    }
}

impl Observation {
    fn usable(&self, confidence: f32) -> bool {
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

impl Track {
    /// Square of the Mahalanobis distance.
    fn distance(&self, o: &Observation) -> f64 {
        let sigma = o.sigma();
        let axis = |(axis, &v): (&Axis, &f32)| {
            (f64::from(v) - axis.position).powi(2) / axis.innovation_variance(sigma)
        };
        self.root.iter().zip(&o.root_m).map(axis).sum()
    }

    fn take(&mut self, o: &Observation, time_ns: i64, joint_s: f64) {
        let sigma = o.sigma();
        let dt = time_ns.saturating_sub(self.seen_ns) as f64 / 1e9;
        for (axis, &v) in self.root.iter_mut().zip(&o.root_m) {
            axis.update(f64::from(v), sigma);
        }
        let share = (1.0 - (-dt / joint_s.max(1e-6)).exp()) as f32;
        for (held, new) in self.joints.iter_mut().zip(o.relative()) {
            for (h, n) in held.position_m.iter_mut().zip(new.position_m) {
                *h += share * (n - *h);
            }
            held.confidence += share * (new.confidence - held.confidence);
        }
        self.confidence += share * (o.confidence - self.confidence);
        self.activity = o.activity;
        self.seen_ns = time_ns;
        self.hits += 1;
    }

    fn person(&self, time_ns: i64, lose_s: f64) -> Option<Person> {
        let id = self.id?;
        let position_m = self.root.map(|a| a.position as f32);
        // Nobody measured where they are since: trust fades until the track ends.
        let missing = time_ns.saturating_sub(self.seen_ns) as f64 / 1e9;
        let fade = (1.0 - missing / lose_s.max(1e-6)).clamp(0.0, 1.0) as f32;
        Some(Person {
            id,
            confidence: self.confidence * fade,
            position_m,
            velocity_m_s: self.root.map(|a| a.velocity as f32),
            keypoints: self.joints.map(|k| Keypoint {
                position_m: std::array::from_fn(|i| k.position_m[i] + position_m[i]),
                confidence: k.confidence * fade,
            }),
            activity: self.activity,
            zone: None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HOP_NS: i64 = 50_000_000;

    fn at(x: f32, y: f32) -> Observation {
        Observation {
            confidence: 0.9,
            position_sigma_m: 0.2,
            root_m: [x, y, 0.95],
            keypoints: [Keypoint { position_m: [x, y, 1.5], confidence: 0.8 }; 17],
            activity: None,
        }
    }

    struct Run {
        tracker: Tracker,
        ids: PersonIds,
        time: i64,
    }

    impl Run {
        fn new() -> Self {
            Self { tracker: Tracker::new(TrackerConfig::default()), ids: PersonIds::in_memory(), time: 0 }
        }

        fn step(&mut self, somebody: Option<bool>, seen: &[Observation]) -> Vec<Person> {
            self.time += HOP_NS;
            self.tracker.update(self.time, somebody, Some(seen), &mut self.ids).unwrap()
        }
    }

    #[test]
    fn a_person_is_confirmed_and_keeps_the_id() {
        let mut run = Run::new();
        assert!(run.step(Some(true), &[at(1.0, 1.0)]).is_empty(), "shown at first sight");
        let mut last = Vec::new();
        for k in 0..200 {
            last = run.step(Some(true), &[at(1.0 + 0.05 * k as f32, 1.0)]);
        }
        assert_eq!(last.iter().map(|p| p.id).collect::<Vec<_>>(), [1]);
        assert!((last[0].velocity_m_s[0] - 1.0).abs() < 0.05, "{:?}", last[0].velocity_m_s);
        assert!((last[0].keypoints[3].position_m[2] - 1.5).abs() < 1e-3);
    }

    #[test]
    fn two_people_who_cross_keep_their_ids() {
        let mut run = Run::new();
        let mut seen = Vec::new();
        for k in 0..120 {
            let s = 0.05 * k as f32;
            // Whoever comes first in the list changes from window to window.
            let mut both = vec![at(s, 1.0 + 0.1 * s), at(6.0 - s, 1.9)];
            if k % 2 == 0 {
                both.reverse();
            }
            seen = run.step(Some(true), &both);
        }
        let places: Vec<(u64, bool)> = seen.iter().map(|p| (p.id, p.position_m[0] > 3.0)).collect();
        assert_eq!(places.len(), 2);
        // The first id went to one of them; it must still be that one: compare with the start.
        let mut again = Run::new();
        let mut early = Vec::new();
        for k in 0..20 {
            let s = 0.05 * k as f32;
            let mut both = vec![at(s, 1.0 + 0.1 * s), at(6.0 - s, 1.9)];
            if k % 2 == 0 {
                both.reverse();
            }
            early = again.step(Some(true), &both);
        }
        for (id, right) in places {
            let started_right = early.iter().find(|p| p.id == id).unwrap().position_m[0] > 3.0;
            assert_ne!(started_right, right, "person {id} turned round");
        }
    }

    #[test]
    fn an_empty_room_shows_nobody_whatever_the_network_says() {
        let mut run = Run::new();
        for k in 0..1000 {
            assert!(run.step(Some(false), &[at(1.0, 1.0)]).is_empty(), "window {k}");
        }
        for k in 0..1000 {
            assert!(run.step(None, &[at(1.0, 1.0)]).is_empty(), "window {k}");
        }
    }

    #[test]
    fn absence_ends_tracks_and_a_return_is_somebody_new() {
        let mut run = Run::new();
        for _ in 0..20 {
            run.step(Some(true), &[at(1.0, 1.0)]);
        }
        assert!(run.step(Some(false), &[at(1.0, 1.0)]).is_empty());
        let mut back = Vec::new();
        for _ in 0..20 {
            back = run.step(Some(true), &[at(1.0, 1.0)]);
        }
        assert_eq!(back[0].id, 2);
    }

    #[test]
    fn a_short_gap_is_bridged_and_a_long_one_is_not() {
        let mut run = Run::new();
        for _ in 0..20 {
            run.step(Some(true), &[at(1.0, 1.0)]);
        }
        let mut shown = Vec::new();
        for _ in 0..10 {
            shown = run.step(Some(true), &[]);
        }
        assert_eq!(shown[0].id, 1);
        assert!(shown[0].confidence < 0.7, "trust does not fade");
        for _ in 0..30 {
            shown = run.step(Some(true), &[]);
        }
        assert!(shown.is_empty());
    }

    #[test]
    fn a_flicker_shows_nobody_and_uses_no_id() {
        let mut run = Run::new();
        for k in 0..100 {
            let seen = if k % 10 == 0 { vec![at(1.0, 1.0)] } else { vec![] };
            assert!(run.step(Some(true), &seen).is_empty());
        }
        assert_eq!(run.ids.fresh().unwrap(), 1);
    }

    #[test]
    fn values_that_are_no_numbers_are_ignored() {
        let mut run = Run::new();
        for _ in 0..50 {
            assert!(run.step(Some(true), &[at(f32::NAN, 1.0), at(f32::INFINITY, 0.0)]).is_empty());
        }
    }
}
