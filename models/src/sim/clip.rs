//! People who do what motion capture shows.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SimError;
use super::body::Body;
use super::bvh::Bvh;
use super::figure::{Joints, toe};
use super::geom::{Frame, Vec3, v3};
use super::motion::Activity;

/// Somebody who does what a BVH file shows, and then the same backwards, and so on: nobody jumps back to the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The file. Its skeleton is brought to the size of the person.
    pub file: PathBuf,
    /// Where on the floor the hips are at first, metres.
    pub at_m: [f32; 2],
    /// Where the hips face at first, degrees from x towards y.
    pub heading_deg: f32,
    /// What the truth calls it.
    #[serde(default = "standing")]
    pub activity: Activity,
}

fn standing() -> Activity {
    Activity::Standing
}

/// Joints that a file must have: names that they go by, of the left side where there are two.
const NEEDED: [(&str, &[&str]); 8] = [
    ("hip", &["LeftUpLeg", "LeftHip", "LeftThigh", "lThigh", "LHip"]),
    ("knee", &["LeftLeg", "LeftKnee", "LeftShin", "lShin", "LKnee"]),
    ("ankle", &["LeftFoot", "LeftAnkle", "lFoot", "LAnkle"]),
    ("shoulder", &["LeftArm", "LeftUpArm", "LeftShoulder", "lShldr", "LShoulder"]),
    ("elbow", &["LeftForeArm", "LeftLowArm", "LeftElbow", "lForeArm", "LElbow"]),
    ("wrist", &["LeftHand", "LeftWrist", "lHand", "LWrist"]),
    ("neck", &["Neck", "Neck1"]),
    ("head", &["Head"]),
];
/// How many of [`NEEDED`] there are two of.
const PAIRS: usize = 6;
const POINTS: usize = 2 * PAIRS + 2;

/// Left and right of each pair, then neck and head.
type Points = [Vec3; POINTS];

/// A clip in a room, ready to be asked for any moment.
#[derive(Clone, Debug)]
pub(crate) struct Moves {
    frames: Vec<Points>,
    frame_s: f64,
    pub activity: Activity,
}

impl Moves {
    /// Reads a clip for a body in a room of this size.
    pub fn load(clip: &Clip, body: &Body, room_m: [f32; 3]) -> Result<Self, SimError> {
        let fail = |reason: String| SimError::Clip { path: clip.file.display().to_string(), reason };
        let text = read(&clip.file).map_err(fail)?;
        let bvh: Bvh = text.parse().map_err(|e: super::BvhError| fail(e.to_string()))?;
        Self::of(&bvh, clip, body, room_m).map_err(fail)
    }

    fn of(bvh: &Bvh, clip: &Clip, body: &Body, room_m: [f32; 3]) -> Result<Self, String> {
        let which = points_of(bvh)?;
        let rest = bvh.rest();
        let rest: Points = which.map(|j| rest[j]);
        let up = upwards(&rest)?;
        // The other axes follow as they do in a right-handed system.
        let upright = |p: Vec3| v3(p.axis((up + 1) % 3), p.axis((up + 2) % 3), p.axis(up));
        let leg =
            |side: usize| (rest[side] - rest[2 + side]).norm() + (rest[2 + side] - rest[4 + side]).norm();
        let scale = (body.thigh + body.shank) / (0.5 * (leg(0) + leg(1)));
        if !scale.is_finite() || scale <= 0.0 {
            return Err("its legs have no length".into());
        }
        let mut frames: Vec<Points> = (0..bvh.frames())
            .map(|frame| {
                let places = bvh.places(frame);
                which.map(|j| upright(places[j]) * scale)
            })
            .collect();
        let Some(first) = frames.first() else { return Err("it has no frame".into()) };
        let root = first[0].lerp(first[1], 0.5);
        let across = first[0] - first[1];
        let turn = clip.heading_deg.to_radians() - (-across.x).atan2(across.y);
        let ankles = frames.iter().flat_map(|f| &f[4..6]);
        let floor = ankles.fold(f32::MAX, |low, a| low.min(a.z)) - body.ankle_height;
        let [x, y] = clip.at_m;
        for p in frames.iter_mut().flatten() {
            *p = (*p - v3(root.x, root.y, floor)).turned(turn) + v3(x, y, 0.0);
        }
        let inside = |p: &Vec3| (0..3).all(|i| p.axis(i) >= 0.0 && p.axis(i) <= room_m[i]);
        if let Some(frame) = frames.iter().position(|f| !f.iter().all(inside)) {
            return Err(format!("in frame {frame} a joint is outside of the room"));
        }
        Ok(Self { frames, frame_s: bvh.frame_s(), activity: clip.activity })
    }

    /// Where the joints are at `t` seconds.
    pub fn at(&self, body: &Body, t: f64) -> Joints {
        let last = (self.frames.len() - 1) as f64;
        // There and back.
        let along = (t / self.frame_s).rem_euclid((2.0 * last).max(1.0));
        let along = if along > last { 2.0 * last - along } else { along }.clamp(0.0, last);
        let (from, part) = (along as usize, along.fract() as f32);
        let next = &self.frames[(from + 1).min(self.frames.len() - 1)];
        let p: Points = std::array::from_fn(|i| self.frames[from][i].lerp(next[i], part));
        joints(body, &p)
    }
}

fn joints(body: &Body, p: &Points) -> Joints {
    let pair = |i: usize| [p[2 * i], p[2 * i + 1]];
    let (hip, knee, ankle) = (pair(0), pair(1), pair(2));
    let (shoulder, elbow, wrist) = (pair(3), pair(4), pair(5));
    let (neck, head) = (p[2 * PAIRS], p[2 * PAIRS + 1]);
    let root = hip[0].lerp(hip[1], 0.5);
    let spine = (neck - root).unit_or(Vec3::Z);
    // Ahead is left × up.
    let facing = |left: Vec3, right: Vec3| Frame::along(spine, (left - right).cross(spine));
    let (pelvis, trunk) = (facing(hip[0], hip[1]), facing(shoulder[0], shoulder[1]));
    let head_frame = Frame::along((head - neck).unit_or(spine), trunk.x);
    let skull = head + head_frame.z * (0.105 * body.stature / 1.75);
    let arm = std::array::from_fn(|i| {
        let lower = (wrist[i] - elbow[i]).unit_or(-Vec3::Z);
        [elbow[i], wrist[i], wrist[i] + lower * (body.hand * 0.8)]
    });
    let leg = std::array::from_fn(|i| {
        let shank = (ankle[i] - knee[i]).unit_or(-Vec3::Z);
        let ahead = (pelvis.x - shank * pelvis.x.dot(shank)).unit_or(pelvis.x);
        [knee[i], ankle[i], toe(body, ankle[i], ahead)]
    });
    Joints { root, pelvis, trunk, head: head_frame, skull, shoulder, arm, hip, leg }
}

/// Files that are larger hold no motion that anybody simulates.
const MOST_BYTES: u64 = 256 << 20;

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("{size} bytes, at most {MOST_BYTES} are read"));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

/// Which of the file's joints are ours.
fn points_of(bvh: &Bvh) -> Result<[usize; POINTS], String> {
    let mut which = [0; POINTS];
    let mut found = which.iter_mut();
    for (i, (what, names)) in NEEDED.iter().enumerate() {
        let sides = if i < PAIRS { ["Left", "Right"].as_slice() } else { &["Left"] };
        for side in sides {
            let names: Vec<String> = names.iter().map(|n| on_side(n, side)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let joint = bvh
                .joint(&names)
                .ok_or_else(|| format!("no {what} joint: none is called {}", names.join(", ")))?;
            if let Some(slot) = found.next() {
                *slot = joint;
            }
        }
    }
    Ok(which)
}

/// The name of the joint on the other side: `LeftHip`, `lThigh` and `LHip` have right ones.
fn on_side(name: &str, side: &str) -> String {
    match name.strip_prefix("Left") {
        Some(rest) => format!("{side}{rest}"),
        None if side == "Left" => name.to_owned(),
        None => format!("R{}", &name[1..]),
    }
}

/// The axis that points upwards: from the ankles to the head of the skeleton at rest.
fn upwards(rest: &Points) -> Result<usize, String> {
    let body = rest[2 * PAIRS + 1] - rest[4].lerp(rest[5], 0.5);
    let axis = (0..3).max_by(|&a, &b| body.axis(a).abs().total_cmp(&body.axis(b).abs())).unwrap_or(1);
    if body.axis(axis) > 0.0 { Ok(axis) } else { Err("its skeleton does not stand upright at rest".into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sim::{SceneConfig, Simulator, seed::Draw};
    use crate::skeleton::{bone_lengths, heading, root};

    /// A man of 17 units with Y up, who faces Z, walks 10 units ahead and raises his left arm (the thumb's side first).
    fn man(rig: [&str; 4]) -> String {
        let [up_leg, leg, foot, arm] = rig;
        let end = "End Site\n{\nOFFSET 0 -1 0\n}\n";
        let three = "CHANNELS 3 Zrotation Xrotation Yrotation\n";
        let limb = |x: f32, side: &str| {
            format!(
                "JOINT {side}{up_leg}\n{{\nOFFSET {x} 0 0\n{three}JOINT {side}{leg}\n{{\nOFFSET 0 -4 0\n{three}\
                 JOINT {side}{foot}\n{{\nOFFSET 0 -4 0\n{three}{end}}}\n}}\n}}\n"
            )
        };
        let reach = |x: f32, side: &str| {
            let y = x.signum();
            format!(
                "JOINT {side}{arm}\n{{\nOFFSET {x} -1 0\n{three}JOINT {side}ForeArm\n{{\nOFFSET {} 0 0\n{three}\
                 JOINT {side}Hand\n{{\nOFFSET {} 0 0\n{three}{end}}}\n}}\n}}\n",
                3.0 * y,
                2.5 * y
            )
        };
        let head =
            format!("JOINT Neck\n{{\nOFFSET 0 5 0\n{three}JOINT Head\n{{\nOFFSET 0 1 0\n{three}{end}}}\n");
        let text = format!(
            "HIERARCHY\nROOT Hips\n{{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n\
             {}{}{head}{}{}}}\n}}\nMOTION\nFrames: 3\nFrame Time: 0.5\n",
            limb(1.0, "Left"),
            limb(-1.0, "Right"),
            reach(2.0, "Left"),
            reach(-2.0, "Right"),
        );
        // Root, left leg, right leg, neck, head, left arm, right arm.
        let frame = |z: f32, raised: f32| {
            format!("0 8 {z} 0 0 0 {} {raised} 0 0 {}\n", "0 0 0 ".repeat(8), "0 0 0 ".repeat(5))
        };
        text + &frame(0.0, 0.0) + &frame(5.0, 45.0) + &frame(10.0, 90.0)
    }

    fn simulator(text: &str, change: impl Fn(&mut Clip)) -> Result<Simulator, SimError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("man.bvh");
        std::fs::write(&file, text).unwrap();
        let mut scene = SceneConfig::demo();
        scene.people.count = 1;
        let mut clip = Clip { file, at_m: [2.0, 1.5], heading_deg: 90.0, activity: Activity::Waving };
        change(&mut clip);
        scene.people.clips = vec![clip];
        Simulator::new(&scene, 3)
    }

    const RIG: [&str; 4] = ["UpLeg", "Leg", "Foot", "Arm"];

    #[test]
    fn a_clip_moves_a_body_of_the_persons_size_from_where_it_was_put() {
        let mut sim = simulator(&man(RIG), |_| ()).unwrap();
        let mut at = |t: f64| sim.people_at(t).remove(0);
        let (first, last) = (at(0.0), at(1.0));
        assert_eq!(first.activity, Activity::Waving);
        let (a, b) = (root(&first.keypoints), root(&last.keypoints));
        assert!((a[0] - 2.0).abs() < 1e-4 && (a[1] - 1.5).abs() < 1e-4, "{a:?}");
        // Along y, where they face, and the more the taller they are: 10 units of 8 to the leg.
        let leg = bone_lengths(&first.keypoints)[10] + bone_lengths(&first.keypoints)[11];
        assert!((b[1] - a[1] - 1.25 * leg).abs() < 1e-3 && (b[0] - a[0]).abs() < 1e-4, "{b:?}");
        assert!((heading(&first.keypoints) - std::f32::consts::FRAC_PI_2).abs() < 1e-3);
        // The left wrist goes up; left is towards -x when facing y.
        let wrist = |p: &crate::sim::PersonTruth| p.keypoints[9];
        assert!(wrist(&first)[0] < a[0] - 0.5 && wrist(&last)[2] > wrist(&first)[2] + 0.4);
        // Bones keep their lengths between the frames' poses to within what a straight line between them cuts off.
        for (bone, length) in bone_lengths(&at(0.25).keypoints).iter().zip(bone_lengths(&first.keypoints)) {
            assert!((bone / length - 1.0).abs() < 0.09, "{bone} {length}");
        }
        // There and back again.
        assert_eq!(at(1.5).keypoints, at(0.5).keypoints);
        assert_eq!(at(2.0).keypoints, first.keypoints);
        // And the radio sees it.
        assert_ne!(sim.ideal(0, 0.0), sim.ideal(0, 1.0));
    }

    #[test]
    fn rigs_by_other_names_move_alike_and_what_is_missing_is_named() {
        let mut one = simulator(&man(RIG), |_| ()).unwrap();
        let mut other = simulator(&man(["Hip", "Knee", "Ankle", "Shoulder"]), |_| ()).unwrap();
        assert_eq!(one.people_at(0.7), other.people_at(0.7));
        let refused = |text: &str, change: &dyn Fn(&mut Clip), wanted: &str| {
            let error = simulator(text, change).err().unwrap().to_string();
            assert!(error.contains("man.bvh") && error.contains(wanted), "{error}");
        };
        refused(&man(RIG).replace("RightLeg", "Peg"), &|_: &mut Clip| (), "no knee joint");
        refused(&man(RIG), &|clip: &mut Clip| clip.at_m = [2.0, 4.8], "frame 1");
        refused("HIERARCHY\nROOT", &|_: &mut Clip| (), "line 2");
        let nowhere = simulator("", |clip| clip.file = "no/such.bvh".into()).err().unwrap();
        assert!(nowhere.to_string().contains("no/such.bvh"), "{nowhere}");
    }

    /// Files of the field, where they are at hand.
    #[test]
    fn clips_of_motion_capture_are_people() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/motion/bvh");
        let Ok(files) = std::fs::read_dir(&folder) else {
            println!("skipped: no {}", folder.display());
            return;
        };
        let body = Body::random(&mut Draw::new(1, 1), [1.75, 1.75], [1.0, 1.0]);
        for file in files.map(|f| f.unwrap().path()).filter(|f| f.extension().is_some_and(|e| e == "bvh")) {
            let clip = Clip { file, at_m: [10.0, 10.0], heading_deg: 0.0, activity: Activity::Standing };
            let moves = Moves::load(&clip, &body, [20.0, 20.0, 4.0]).unwrap();
            let mut highest: f32 = 0.0;
            for step in 0..100 {
                let figure =
                    super::super::figure::clothed(&body, &moves.at(&body, f64::from(step) * 0.1), 0.0);
                let k = &figure.keypoints;
                highest = highest.max(k[0][2]);
                assert!(k.iter().flatten().all(|v| v.is_finite()));
                // On the feet, or above them in a jump: the head stays on top of the hips.
                assert!(k[0][2] > root(k)[2] && k[0][2] < 2.8, "{} {k:?}", clip.file.display());
            }
            assert!((1.3..2.8).contains(&highest), "{}: {highest}", clip.file.display());
        }
    }
}
