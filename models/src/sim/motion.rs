//! What people do: scripts of actions, cut into chapters that each follow from the seed alone.
//!
//! A chapter begins and ends with the person standing at a place that the seed and the chapter's number determine, so any
//! moment can be computed without what came before.

use std::f32::consts::{PI, TAU};

use serde::{Deserialize, Serialize};

use super::body::Body;
use super::config::{People, Resting};
use super::gait::{self, Path};
use super::geom::{smooth, v3};
use super::posture::{Arm, Posture};
use super::room::Room;
use super::seed::{Draw, mix};

/// What a person does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Activity {
    /// On their feet and in place.
    Standing = 1,
    /// On their feet and moving, turning included.
    Walking = 2,
    /// Seated, from sitting down until up again; squatting is standing.
    Sitting = 3,
    /// On the floor, from lying down or having fallen until up again.
    Lying = 4,
    /// Standing and moving an arm.
    Waving = 5,
    /// On the way to the ground.
    Falling = 6,
}

impl Activity {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Standing, Self::Walking, Self::Sitting, Self::Lying, Self::Waving, Self::Falling];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Walking => "walking",
            Self::Sitting => "sitting",
            Self::Lying => "lying",
            Self::Waving => "waving",
            Self::Falling => "falling",
        }
    }
}

/// Shortest length of a chapter, seconds; large rooms take longer, so that every chapter has time for a way across.
const CHAPTER_S: f32 = 40.0;

/// Walked ways are at most this much longer than straight ones.
const DETOUR: f32 = 1.4;

/// How far lying bodies reach from where they stood, metres, for a stature of 1 m.
const REACH: f32 = 0.95;

/// How far hands and heads of people who sit down or squat reach, in the same unit.
const BENT: f32 = 0.44;

#[derive(Clone, Copy, Debug)]
enum Fall {
    Back,
    Front,
    Side(f32),
}

#[derive(Clone, Debug)]
enum Kind {
    Stand,
    Turn { by: f32 },
    Walk { path: Path, speed: f32, cycle: f32 },
    Gesture { arms: [Option<Arm>; 2], hz: f32, swing: f32 },
    Sit { hold: f32 },
    Squat { hold: f32 },
    Lie { hold: f32 },
    Fall { fall: Fall, hold: f32 },
}

#[derive(Clone, Debug)]
struct Action {
    start: f32,
    duration: f32,
    at: [f32; 2],
    heading: f32,
    kind: Kind,
}

/// A person's place, heading, posture and activity at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub at: [f32; 2],
    pub heading: f32,
    pub posture: Posture,
    pub activity: Activity,
}

/// Somebody at rest, who does not sway: something bears them.
pub(crate) fn rest(resting: &Resting, body: &Body) -> Moment {
    let (mut posture, activity) = match resting.lying {
        true => (Posture::supine(body), Activity::Lying),
        false => (Posture::sit(body), Activity::Sitting),
    };
    posture.settle(body);
    Moment { at: resting.at_m, heading: resting.heading_deg.to_radians(), posture, activity }
}

/// The free floor: `[x0, x1, y0, y1]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    free: [f32; 4],
    room: [f32; 2],
}

impl Floor {
    pub fn of(room: &Room) -> Self {
        let ([w, d, _], c) = (room.size_m, room.clearance_m);
        Self { free: [c[0], w - c[1], c[2], d - c[3]], room: [w, d] }
    }

    fn draw(&self, d: &mut Draw) -> [f32; 2] {
        let [x0, x1, y0, y1] = self.free;
        [d.between([x0, x1]), d.between([y0, y1])]
    }

    fn clamp(&self, p: [f32; 2]) -> [f32; 2] {
        let [x0, x1, y0, y1] = self.free;
        [p[0].clamp(x0, x1), p[1].clamp(y0, y1)]
    }

    /// Whether everything within `reach` metres of `p` is inside the room.
    fn clear(&self, p: [f32; 2], reach: f32) -> bool {
        (0..2).all(|i| p[i] >= reach && p[i] <= self.room[i] - reach)
    }
}

/// The script of one person.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    seed: u64,
    body: Body,
    floor: Floor,
    people: People,
    chapter_s: f32,
    chapter: Option<(i64, Vec<Action>)>,
}

impl Script {
    pub fn new(seed: u64, body: Body, floor: Floor, people: &People) -> Self {
        let [x0, x1, y0, y1] = floor.free;
        let across = (x1 - x0).hypot(y1 - y0) * DETOUR / people.speed_m_s[0].min(0.5);
        let chapter_s = CHAPTER_S.max(across + 24.0).ceil();
        Self { seed, body, floor, people: people.clone(), chapter_s, chapter: None }
    }

    /// Where the person stands when chapter `n` begins.
    fn home(&self, n: i64) -> ([f32; 2], f32) {
        let mut d = Draw::new(self.seed, mix(n as u64, 1));
        (self.floor.draw(&mut d), d.between([-PI, PI]))
    }

    /// What the person does at `t` seconds.
    pub fn at(&mut self, t: f64) -> Moment {
        let length = f64::from(self.chapter_s);
        let n = (t / length).floor() as i64;
        if self.chapter.as_ref().is_none_or(|(have, _)| *have != n) {
            self.chapter = Some((n, self.write(n)));
        }
        let local = (t - n as f64 * length) as f32;
        let actions = self.chapter.as_ref().map_or(&[][..], |(_, a)| a);
        let i = actions.partition_point(|a| a.start <= local).saturating_sub(1);
        let mut moment = match actions.get(i) {
            Some(a) => a.at((local - a.start).clamp(0.0, a.duration), &self.body),
            None => {
                let (at, heading) = self.home(n);
                Moment { at, heading, posture: Posture::stand(&self.body), activity: Activity::Standing }
            }
        };
        self.sway(t, &mut moment.posture);
        moment.posture.settle(&self.body);
        moment
    }

    /// Nobody stands still: sums of slow oscillations of the body over its feet (postural sway, centimetres at 0.1 to
    /// 0.9 Hz), head and arms.
    fn sway(&self, t: f64, p: &mut Posture) {
        let mut d = Draw::new(self.seed, 2);
        let mut wave = |size: f32, lo: f32, hi: f32| {
            let (hz, phase) = (d.between([lo, hi]), d.unit());
            let turns = (t * f64::from(hz) + f64::from(phase)).rem_euclid(1.0) as f32;
            size * (TAU * turns).sin()
        };
        // Only as far as the legs are free to follow.
        p.pelvis +=
            v3(wave(0.006, 0.1, 0.4), wave(0.006, 0.1, 0.4), 0.0) + v3(wave(0.002, 0.4, 0.9), 0.0, 0.0);
        p.bend += wave(0.015, 0.1, 0.5);
        p.twist += wave(0.03, 0.05, 0.3);
        p.head_yaw += wave(0.25, 0.05, 0.2) + wave(0.08, 0.2, 0.6);
        p.head_pitch += wave(0.06, 0.1, 0.4);
        for arm in &mut p.arms {
            arm.flex += wave(0.04, 0.1, 0.5);
            arm.elbow += 0.05 + wave(0.05, 0.1, 0.5);
        }
    }

    fn write(&self, n: i64) -> Vec<Action> {
        let mut d = Draw::new(self.seed, mix(n as u64, 3));
        let (at, heading) = self.home(n);
        let (goal, goal_heading) = self.home(n + 1);
        let mut w = Writer { script: self, actions: Vec::new(), now: 0.0, at, heading };
        let end = self.chapter_s;
        let weights = &self.people.weights;
        let choices = [
            weights.walk,
            weights.stand,
            weights.wave,
            weights.sit,
            weights.lie,
            weights.fall,
            weights.squat,
        ];
        // What leaves no time for the way home at the slowest pace is not begun.
        let slowest = self.people.speed_m_s[0].min(0.5);
        let takes = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) * DETOUR / slowest + 5.5;
        for _ in 0..64 {
            let left = end - w.now - takes(w.at, goal) - 2.5;
            if left < 3.0 {
                break;
            }
            let reach = REACH * self.body.stature;
            match d.weighted(&choices) {
                0 => {
                    let to = self.floor.draw(&mut d);
                    let time = takes(w.at, to) + takes(to, goal) + 2.5;
                    if w.far(to) > 0.5 && w.now + time < end {
                        w.walk(to, &mut d);
                    }
                }
                2 if self.floor.clear(w.at, 0.62 * self.body.stature) => w.gesture(&mut d, left.min(8.0)),
                3 if left > 6.0 && self.floor.clear(w.at, BENT * self.body.stature) => {
                    let hold = d.between([2.0, (left - 3.0).min(12.0)]);
                    w.push(1.3 + hold + 1.4, Kind::Sit { hold });
                }
                4 if left > 11.0 && self.floor.clear(w.at, reach) => {
                    let hold = d.between([2.0, (left - 8.0).min(10.0)]);
                    w.push(LIE_DOWN_S + hold + GET_UP_S, Kind::Lie { hold });
                }
                5 if left > 9.0 && self.floor.clear(w.at, reach) => {
                    let hold = d.between([1.5, (left - 6.0).min(8.0)]);
                    let fall = match d.index(4) {
                        0 => Fall::Back,
                        1 => Fall::Front,
                        2 => Fall::Side(1.0),
                        _ => Fall::Side(-1.0),
                    };
                    w.push(FALL_S + hold + GET_UP_S, Kind::Fall { fall, hold });
                }
                6 if left > 4.0 && self.floor.clear(w.at, BENT * self.body.stature) => {
                    let hold = d.between([0.3, 1.5]);
                    w.push(0.9 + hold + 1.0, Kind::Squat { hold });
                }
                _ => w.push(d.between([1.0, left.min(4.0)]), Kind::Stand),
            }
        }
        // Home at whatever pace the time that is left asks for.
        if w.far(goal) > 0.05 {
            w.walk(goal, &mut d);
        }
        w.turn_to(goal_heading);
        w.push((end - w.now).max(0.0), Kind::Stand);
        w.actions
    }
}

const LIE_DOWN_S: f32 = 4.0;
const GET_UP_S: f32 = 3.6;
const FALL_S: f32 = 0.9;

struct Writer<'a> {
    script: &'a Script,
    actions: Vec<Action>,
    now: f32,
    at: [f32; 2],
    heading: f32,
}

impl Writer<'_> {
    fn far(&self, to: [f32; 2]) -> f32 {
        (to[0] - self.at[0]).hypot(to[1] - self.at[1])
    }

    fn push(&mut self, duration: f32, kind: Kind) {
        if duration <= 0.0 {
            return;
        }
        self.actions.push(Action { start: self.now, duration, at: self.at, heading: self.heading, kind });
        self.now += duration;
    }

    fn turn_to(&mut self, heading: f32) {
        let by = wrap(heading - self.heading);
        if by.abs() > 0.02 {
            self.push(0.35 + by.abs() / 1.9, Kind::Turn { by });
            self.heading = wrap(self.heading + by);
        }
    }

    /// Along a curve that leaves in the present heading; turns first where the goal is behind.
    fn walk(&mut self, to: [f32; 2], d: &mut Draw) {
        let distance = self.far(to).max(0.01);
        let toward = (to[1] - self.at[1]).atan2(to[0] - self.at[0]);
        let off = wrap(toward - self.heading);
        let keep = d.between([0.2, 1.0]);
        if off.abs() > keep || distance < 1.0 {
            self.turn_to(if distance < 1.0 { toward } else { toward - keep * off.signum() });
        }
        let arm = (0.35 * distance).min(0.9);
        let floor = &self.script.floor;
        let ahead = [self.at[0] + arm * self.heading.cos(), self.at[1] + arm * self.heading.sin()];
        let behind = [to[0] - arm * toward.cos(), to[1] - arm * toward.sin()];
        // A clamped control point keeps the curve on the free floor (it lies in the hull of the points), but must not
        // bend the start away from the heading: then the way is straight.
        let mut points = [self.at, ahead, behind, to];
        if floor.clamp(ahead) != ahead || floor.clamp(behind) != behind {
            self.turn_to(toward);
            let third =
                |k: f32| [self.at[0] + k * (to[0] - self.at[0]), self.at[1] + k * (to[1] - self.at[1])];
            points = [self.at, third(1.0 / 3.0), third(2.0 / 3.0), to];
        }
        let path = Path::new(points);
        let length = path.length();
        let speed = d.between(self.script.people.speed_m_s).min(0.5 + 0.5 * length);
        let cycle = gait::cycle_length(&self.script.body, speed);
        self.push(length / speed + RAMP_S, Kind::Walk { path: path.clone(), speed, cycle });
        self.at = to;
        self.heading = path.at(length).1;
    }

    fn gesture(&mut self, d: &mut Draw, at_most: f32) {
        let arm = |d: &mut Draw| match d.index(4) {
            // Waving beside the head, pointing ahead, raised overhead, in front of the chest.
            0 => Arm { flex: 0.2, abduct: 1.1, elbow: 1.6, roll: 1.6 },
            1 => Arm { flex: 1.5, abduct: 0.1, elbow: 0.2, roll: 0.0 },
            2 => Arm { flex: 2.7, abduct: 0.25, elbow: 0.3, roll: 0.0 },
            _ => Arm { flex: 0.6, abduct: 0.2, elbow: 1.7, roll: 0.1 },
        };
        let which = d.index(3);
        let arms = [(which != 1).then(|| arm(d)), (which != 0).then(|| arm(d))];
        let (hz, swing) = (d.between([0.5, 1.8]), d.between([0.2, 0.55]));
        let duration = d.between([2.5, at_most.max(2.6)]);
        self.push(duration, Kind::Gesture { arms, hz, swing });
    }
}

/// Time to reach walking speed, and again to stop, seconds.
const RAMP_S: f32 = 0.7;

/// Way after `t` of `total` seconds with linear ramps of speed at both ends.
fn way(t: f32, total: f32, speed: f32) -> f32 {
    let ramp = RAMP_S.min(total / 2.0);
    let up = |t: f32| speed * t * t / (2.0 * ramp);
    if t < ramp {
        up(t)
    } else if t <= total - ramp {
        speed * (t - ramp / 2.0)
    } else {
        speed * (total - ramp) - up(total - t)
    }
}

fn wrap(a: f32) -> f32 {
    (a + PI).rem_euclid(TAU) - PI
}

/// Poses to pass through, each with the time it takes to get there and whether gravity does it.
fn through(start: Posture, keys: &[(f32, Posture, bool)], mut t: f32) -> Posture {
    let mut from = start;
    for (duration, to, falls) in keys {
        if t < *duration {
            let x = (t / duration).clamp(0.0, 1.0);
            return from.blend(to, if *falls { x * x * (1.6 - 0.6 * x) } else { smooth(x) });
        }
        t -= duration;
        from = *to;
    }
    from
}

impl Action {
    fn at(&self, t: f32, body: &Body) -> Moment {
        let stand = Posture::stand(body);
        let here = |posture, activity| Moment { at: self.at, heading: self.heading, posture, activity };
        match &self.kind {
            Kind::Stand => here(stand, Activity::Standing),
            Kind::Turn { by } => {
                let turned = by * smooth(t / self.duration);
                Moment {
                    at: self.at,
                    heading: self.heading + turned,
                    posture: gait::turn(body, turned, *by),
                    activity: Activity::Walking,
                }
            }
            Kind::Walk { path, speed, cycle } => {
                let s = way(t, self.duration, *speed).clamp(0.0, path.length());
                let (at, heading) = path.at(s);
                Moment {
                    at,
                    heading,
                    posture: gait::walk(body, path, s, *cycle),
                    activity: Activity::Walking,
                }
            }
            Kind::Gesture { arms, hz, swing } => {
                let raised = smooth(t / 0.7).min(smooth((self.duration - t) / 0.7));
                let beat = swing * (TAU * hz * t).sin();
                let mut p = stand;
                for (own, arm) in p.arms.iter_mut().zip(arms) {
                    if let Some(a) = arm {
                        let mut q = stand;
                        q.arms[0] = Arm {
                            flex: a.flex + 0.4 * beat,
                            abduct: a.abduct,
                            elbow: a.elbow + beat,
                            roll: a.roll,
                        };
                        let mut r = stand;
                        r.arms[0] = *own;
                        *own = r.blend(&q, raised).arms[0];
                    }
                }
                here(p, Activity::Waving)
            }
            Kind::Sit { hold } => {
                let (half, sit) = (Posture::half_seated(body), Posture::sit(body));
                let keys = [
                    (0.7, half, false),
                    (0.6, sit, false),
                    (*hold, sit, false),
                    (0.6, half, false),
                    (0.8, stand, false),
                ];
                here(through(stand, &keys, t), Activity::Sitting)
            }
            Kind::Squat { hold } => {
                let low = Posture::squat(body);
                let keys = [(0.9, low, false), (*hold, low, false), (1.0, stand, false)];
                here(through(stand, &keys, t), Activity::Standing)
            }
            Kind::Lie { hold } => {
                let (squat, seat, lie) =
                    (Posture::squat(body), Posture::sit_on_floor(body), Posture::supine(body));
                let keys = [
                    (1.2, squat, false),
                    (1.3, seat, false),
                    (LIE_DOWN_S - 2.5, lie, false),
                    (*hold, lie, false),
                    (1.2, seat, false),
                    (1.2, squat, false),
                    (GET_UP_S - 2.4, stand, false),
                ];
                here(through(stand, &keys, t), Activity::Lying)
            }
            Kind::Fall { fall, hold } => {
                let squat = Posture::squat(body);
                let (down, up) = match fall {
                    Fall::Back => (Posture::supine(body), Posture::sit_on_floor(body)),
                    Fall::Front => (Posture::prone(body), Posture::kneel(body)),
                    Fall::Side(side) => (Posture::on_side(body, *side), Posture::kneel(body)),
                };
                let keys = [
                    (FALL_S, down, true),
                    (*hold, down, false),
                    (1.3, up, false),
                    (1.1, squat, false),
                    (GET_UP_S - 2.4, stand, false),
                ];
                let activity = if t < FALL_S { Activity::Falling } else { Activity::Lying };
                here(through(stand, &keys, t), activity)
            }
        }
    }
}
