//! Scenes to track: simulated people who cross, stop, leave and come back.

use invispose_models::sim::{ActivityWeights, Draw, People, SceneConfig, SimError, Simulator, Split};
use invispose_models::skeleton::{Keypoints, root};

use super::metrics::Point;

/// Frames per second, as the pipeline makes them.
pub const FRAME_HZ: f64 = 20.0;
/// Somebody who is away for longer than this comes back as somebody else: nothing tells a WiFi signal's people apart but
/// where they are.
const SAME_PERSON_S: f64 = 3.0;

/// The truth of one scene.
pub struct Scene {
    /// Size of the room's floor, metres.
    pub room_m: [f32; 2],
    /// People that may be there.
    pub people: usize,
    /// For each frame, at the place of each person: who they are and their pose, while they are there.
    pub frames: Vec<Vec<Option<(u64, Keypoints)>>>,
}

impl Scene {
    /// Simulates `seconds` of `people` people in the demonstration room.
    ///
    /// They walk, mostly, and stand, gesture and sit in between; they know nothing of each other and walk through one another.
    /// Each stays for 15 to 60 s and then is away, one time in two for less than 2.5 s, else for 4 to 20 s, walking on unseen.
    ///
    /// # Errors
    /// Where the simulator refuses the scene.
    pub fn new(people: usize, seconds: f64, split: Split, index: u64) -> Result<Self, SimError> {
        let seed = split.seed(0x7_0000 + 64 * index + people as u64);
        let weights =
            ActivityWeights { walk: 6.0, stand: 1.5, wave: 0.5, sit: 0.7, lie: 0.0, fall: 0.0, squat: 0.2 };
        let mut config = SceneConfig::demo();
        config.people = People { count: people, weights, ..People::default() };
        let room_m = [config.room.size_m[0], config.room.size_m[1]];
        let mut simulator = Simulator::new(&config, seed)?;
        let mut presence: Vec<Presence> =
            (0..people).map(|i| Presence::new(Draw::new(seed, 0x57A7 + i as u64), i as u64)).collect();
        let frames = (0..(seconds * FRAME_HZ) as usize)
            .map(|k| {
                let t = k as f64 / FRAME_HZ;
                let truth = simulator.people_at(t);
                presence.iter_mut().zip(truth).map(|(p, truth)| Some((p.at(t)?, truth.keypoints))).collect()
            })
            .collect();
        Ok(Self { room_m, people, frames })
    }

    /// The poses of a frame, at the place of each person, while they are there.
    pub fn poses(frame: &[Option<(u64, Keypoints)>]) -> Vec<Option<Keypoints>> {
        frame.iter().map(|person| person.map(|(_, pose)| pose)).collect()
    }

    /// Who is where on the floor in a frame.
    pub fn points(&self, frame: usize) -> Vec<Point> {
        let people = self.frames.get(frame).into_iter().flatten().flatten();
        people
            .map(|(id, pose)| {
                let [x, y, _] = root(pose);
                Point { id: *id, at_m: [f64::from(x), f64::from(y)] }
            })
            .collect()
    }
}

/// When one person is there, and under which identity.
struct Presence {
    draw: Draw,
    person: u64,
    visit: u64,
    there: bool,
    until_s: f64,
}

impl Presence {
    fn new(mut draw: Draw, person: u64) -> Self {
        let until_s = f64::from(draw.between([5.0, 60.0]));
        Self { draw, person, visit: 0, there: true, until_s }
    }

    fn at(&mut self, t: f64) -> Option<u64> {
        while t >= self.until_s {
            let span = match (self.there, self.draw.chance(0.5)) {
                (false, _) => [15.0, 60.0],
                (true, true) => [0.5, 2.5],
                (true, false) => [4.0, 20.0],
            };
            let span = f64::from(self.draw.between(span));
            if self.there && span > SAME_PERSON_S {
                self.visit += 1;
            }
            self.there = !self.there;
            self.until_s += span;
        }
        self.there.then_some(self.visit << 8 | self.person)
    }
}
