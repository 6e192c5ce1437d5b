//! Simulated days of one person, with and without falls.

use invispose_models::sim::{self, ActivityWeights, People, SceneConfig, SimError, Simulator, Split};
use invispose_models::skeleton::{Keypoints, root};

/// Who lives in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Adult,
    Child,
    /// An adult's motion at a third of the size.
    Pet,
}

pub(super) const FRAME_HZ: f64 = 20.0;
/// Length of one scene, hours.
pub(super) const SCENE_H: f64 = 0.5;
/// Height of a bed, metres.
const BED_M: f32 = 0.5;
/// Hips lower than this share of their first height, at which people stand, are on the ground.
const LOW: f32 = 0.35;
/// A pet's size against that of an adult.
const PET: f32 = 0.33;
/// One person's truth.
pub(super) struct Day {
    pub(super) who: Who,
    pub(super) quiet: bool,
    pub(super) room_m: [f32; 2],
    pub(super) poses: Vec<Keypoints>,
    pub(super) activities: Vec<sim::Activity>,
    pub(super) falls: Vec<TrueFall>,
}

pub(super) struct TrueFall {
    pub(super) down_s: f64,
    pub(super) ground_s: f64,
}

impl Day {
    pub(super) fn new(who: Who, quiet: bool, split: Split, index: u64) -> Result<Self, SimError> {
        let weights = ActivityWeights {
            walk: 5.0,
            stand: 3.0,
            wave: 1.0,
            sit: 4.0,
            lie: 1.0,
            fall: if quiet { 0.0 } else { 3.0 },
            squat: 2.0,
        };
        let stature_m = if who == Who::Child { [1.0, 1.3] } else { [1.5, 1.95] };
        let mut config = SceneConfig::demo();
        config.people = People { count: 1, weights, stature_m, ..People::default() };
        let room_m = [config.room.size_m[0], config.room.size_m[1]];
        let seed = split.seed(0xFA_0000 + 16 * index + 2 * who as u64 + u64::from(quiet));
        let mut simulator = Simulator::new(&config, seed)?;
        let frames = (SCENE_H * 3600.0 * FRAME_HZ) as usize;
        let mut poses = Vec::with_capacity(frames);
        let mut activities = Vec::with_capacity(frames);
        for k in 0..frames {
            let truth = simulator.people_at(k as f64 / FRAME_HZ).swap_remove(0);
            poses.push(truth.keypoints);
            activities.push(truth.activity);
        }
        let mut day = Self { who, quiet, room_m, poses, activities, falls: Vec::new() };
        // One bed in two scenes; in the others people lie down on the floor.
        day.lie(index.is_multiple_of(2));
        if who == Who::Pet {
            day.poses.iter_mut().for_each(shrink);
        }
        Ok(day)
    }

    /// Finds the falls, and puts a bed under those who lie down otherwise.
    fn lie(&mut self, bed: bool) {
        let mut start = 0;
        while start < self.activities.len() {
            let activity = self.activities[start];
            let end = start + self.activities[start..].iter().take_while(|a| **a == activity).count();
            if activity == sim::Activity::Lying {
                if start > 0 && self.activities[start - 1] == sim::Activity::Falling {
                    self.fall(start, end);
                } else if bed {
                    self.lift(start, end);
                }
            }
            start = end;
        }
    }

    fn fall(&mut self, start: usize, end: usize) {
        let standing = root(&self.poses[0])[2];
        let low = |k: &usize| root(&self.poses[*k])[2] < LOW * standing;
        let ground = (start..end).take_while(low).count();
        self.falls.push(TrueFall { down_s: start as f64 / FRAME_HZ, ground_s: ground as f64 / FRAME_HZ });
    }

    /// The same day, but that whoever falls keeps lying as they lie for so many seconds more.
    pub(super) fn staying_down(&self, seconds: f64) -> Self {
        let more = (seconds * FRAME_HZ) as usize;
        let mut day = Self {
            who: self.who,
            quiet: self.quiet,
            room_m: self.room_m,
            poses: Vec::new(),
            activities: Vec::new(),
            falls: Vec::new(),
        };
        let mut from = 0;
        for fall in &self.falls {
            let down_s = day.poses.len() as f64 / FRAME_HZ + fall.down_s - from as f64 / FRAME_HZ;
            let until = ((fall.down_s + 0.5 * fall.ground_s) * FRAME_HZ) as usize;
            day.poses.extend(&self.poses[from..until]);
            day.activities.extend(&self.activities[from..until]);
            day.poses.extend(std::iter::repeat_n(self.poses[until], more));
            day.activities.extend(std::iter::repeat_n(self.activities[until], more));
            day.falls.push(TrueFall { down_s, ground_s: fall.ground_s + seconds });
            from = until;
        }
        day.poses.extend(&self.poses[from..]);
        day.activities.extend(&self.activities[from..]);
        day
    }

    /// The simulator's people squat, sit down and stretch out on the floor: while they do it a bed rises under them.
    fn lift(&mut self, start: usize, end: usize) {
        let ramp = |frames: usize| ((frames as f64 / FRAME_HZ - 0.8) / 1.2).clamp(0.0, 1.0) as f32;
        for k in start..end {
            let up = BED_M * ramp(k - start).min(ramp(end - k));
            self.poses[k].iter_mut().for_each(|p| p[2] += up);
        }
    }
}

fn shrink(pose: &mut Keypoints) {
    let [x, y, _] = root(pose);
    for p in pose {
        *p = [x + PET * (p[0] - x), y + PET * (p[1] - y), PET * p[2]];
    }
}
