//! Motion capture in Biovision's BVH format: a hierarchy of joints, and their angles frame by frame.
//!
//! After Meredith and Maddock, "Motion Capture File Formats Explained", University of Sheffield, 2001: a joint's place is its
//! parent's, plus its offset (and its position channels) turned by its parent's rotation; its rotation is its parent's
//! times its own, the channels' turns one after the other in the order in which they are listed.

use std::str::FromStr;

use super::geom::{Frame, Vec3, v3};

/// A recording of a moving skeleton.
#[derive(Clone, Debug, PartialEq)]
pub struct Bvh {
    joints: Vec<Joint>,
    frame_s: f64,
    /// `[frame][channel]`.
    values: Vec<f32>,
    channels: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Joint {
    /// Empty for the end of a limb.
    name: String,
    parent: Option<usize>,
    offset: Vec3,
    channels: Vec<Channel>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Channel {
    Position(usize),
    Rotation(usize),
}

/// Why a text is no motion: what is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("BVH, line {line}: {what}")]
pub struct BvhError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// More joints than this have no use.
const MOST_JOINTS: usize = 512;
/// More numbers than this are not read.
const MOST_VALUES: usize = 1 << 26;

/// Words with the lines that they are in.
struct Words<'a> {
    words: Box<dyn Iterator<Item = (usize, &'a str)> + 'a>,
    line: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let lines = text.lines().enumerate();
        let words = lines.flat_map(|(i, line)| line.split_whitespace().map(move |word| (i + 1, word)));
        Self { words: Box::new(words), line: 1 }
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T, BvhError> {
        Err(BvhError { line: self.line, what: what.into() })
    }

    fn next(&mut self) -> Result<&'a str, BvhError> {
        match self.words.next() {
            Some((line, word)) => {
                self.line = line;
                Ok(word)
            }
            None => self.fail("the file ends here"),
        }
    }

    fn expect(&mut self, wanted: &str) -> Result<(), BvhError> {
        match self.next()? {
            word if word.eq_ignore_ascii_case(wanted) => Ok(()),
            word => self.fail(format!("{wanted} expected, not {word:?}")),
        }
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T, BvhError> {
        let word = self.next()?;
        word.parse().or_else(|_| self.fail(format!("{what} expected, not {word:?}")))
    }

    fn finite(&mut self, what: &str) -> Result<f32, BvhError> {
        let number: f32 = self.number(what)?;
        if number.is_finite() { Ok(number) } else { self.fail(format!("{what} is not finite")) }
    }
}

impl FromStr for Bvh {
    type Err = BvhError;

    fn from_str(text: &str) -> Result<Self, BvhError> {
        let mut words = Words::of(text);
        words.expect("HIERARCHY")?;
        words.expect("ROOT")?;
        let joints = hierarchy(&mut words)?;
        let channels = joints.iter().map(|j| j.channels.len()).sum();
        words.expect("MOTION")?;
        words.expect("Frames:")?;
        let frames: usize = words.number("the number of frames")?;
        words.expect("Frame")?;
        words.expect("Time:")?;
        let frame_s: f64 = words.number("the time of a frame")?;
        if !(1e-5..=10.0).contains(&frame_s) {
            return words.fail(format!("a frame of {frame_s} seconds"));
        }
        let count = match frames.checked_mul(channels) {
            Some(n) if n > 0 && n <= MOST_VALUES => n,
            _ => return words.fail(format!("{frames} frames of {channels} channels")),
        };
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(words.finite("an angle or a length")?);
        }
        match words.words.next() {
            None => Ok(Self { joints, frame_s, values, channels }),
            Some((line, _)) => Err(BvhError { line, what: format!("more than {frames} frames") }),
        }
    }
}

/// The joints from the root's name on, parents before their children.
fn hierarchy(words: &mut Words<'_>) -> Result<Vec<Joint>, BvhError> {
    let joint = |name: &str, parent| Joint {
        name: name.to_owned(),
        parent,
        offset: Vec3::default(),
        channels: Vec::new(),
    };
    let mut joints = vec![joint(words.next()?, None)];
    words.expect("{")?;
    let mut open = vec![0];
    while let Some(&now) = open.last() {
        let word = words.next()?;
        match word.to_ascii_uppercase().as_str() {
            "OFFSET" => {
                let mut length = || words.finite("a length");
                joints[now].offset = v3(length()?, length()?, length()?);
            }
            "CHANNELS" => {
                let count: usize = words.number("the number of channels")?;
                if count > 6 || !joints[now].channels.is_empty() {
                    return words.fail("a joint has at most 6 channels");
                }
                for _ in 0..count {
                    let channel = channel(words)?;
                    joints[now].channels.push(channel);
                }
            }
            kind @ ("JOINT" | "END") => {
                let name = words.next()?;
                words.expect("{")?;
                if joints.len() == MOST_JOINTS {
                    return words.fail(format!("more than {MOST_JOINTS} joints"));
                }
                open.push(joints.len());
                joints.push(joint(if kind == "END" { "" } else { name }, Some(now)));
            }
            "}" => {
                open.pop();
            }
            _ => return words.fail(format!("OFFSET, CHANNELS, JOINT, End or }} expected, not {word:?}")),
        }
    }
    Ok(joints)
}

fn channel(words: &mut Words<'_>) -> Result<Channel, BvhError> {
    let word = words.next()?;
    let axis = |c: u8| (b'x'..=b'z').position(|axis| axis == c.to_ascii_lowercase());
    let kind = |rest: &str| match rest.to_ascii_lowercase().as_str() {
        "position" => Some(Channel::Position as fn(usize) -> Channel),
        "rotation" => Some(Channel::Rotation as fn(usize) -> Channel),
        _ => None,
    };
    let parsed = word.split_at_checked(1).and_then(|(a, rest)| Some(kind(rest)?(axis(a.as_bytes()[0])?)));
    match parsed {
        Some(channel) => Ok(channel),
        None => words.fail(format!("a channel such as Xposition or Zrotation expected, not {word:?}")),
    }
}

impl Bvh {
    /// Frames.
    pub fn frames(&self) -> usize {
        self.values.len() / self.channels
    }

    /// Seconds from one frame to the next.
    pub fn frame_s(&self) -> f64 {
        self.frame_s
    }

    /// The first joint that has one of these names, in the order of the names; case, and what stands before a colon, does not
    /// matter.
    pub(super) fn joint(&self, names: &[&str]) -> Option<usize> {
        let plain = |name: &str| name.rsplit(':').next().unwrap_or(name).to_ascii_lowercase();
        names.iter().find_map(|wanted| {
            self.joints
                .iter()
                .position(|j| !j.name.is_empty() && plain(&j.name) == wanted.to_ascii_lowercase())
        })
    }

    /// Where the joints are when nothing is turned, in the file's units and axes.
    pub(super) fn rest(&self) -> Vec<Vec3> {
        let mut at: Vec<Vec3> = Vec::with_capacity(self.joints.len());
        for joint in &self.joints {
            at.push(joint.parent.map_or(joint.offset, |p| at[p] + joint.offset));
        }
        at
    }

    /// Where the joints are in a frame, in the file's units and axes; the last frame for one beyond.
    pub(super) fn places(&self, frame: usize) -> Vec<Vec3> {
        let frame = frame.min(self.frames() - 1);
        let mut values = self.values[frame * self.channels..].iter();
        let mut at: Vec<(Vec3, Frame)> = Vec::with_capacity(self.joints.len());
        for joint in &self.joints {
            let (origin, parent) = joint.parent.map_or((Vec3::default(), Frame::heading(0.0)), |p| at[p]);
            let (mut offset, mut turned) = (joint.offset, parent);
            for (channel, value) in joint.channels.iter().zip(&mut values) {
                match channel {
                    Channel::Position(axis) => {
                        offset = offset.with_axis(*axis, offset.axis(*axis) + value);
                    }
                    Channel::Rotation(axis) => turned = turn(turned, *axis, value.to_radians()),
                }
            }
            at.push((origin + parent.apply(offset), turned));
        }
        at.into_iter().map(|(place, _)| place).collect()
    }
}

/// A frame turned about one of its own axes, right-handed.
fn turn(frame: Frame, axis: usize, angle: f32) -> Frame {
    match axis {
        0 => frame.roll(angle),
        1 => frame.pitch(angle),
        _ => frame.yaw(angle),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const ARM: &str = "HIERARCHY\nROOT hip\n{\n OFFSET 0 0 0\n CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n \
        JOINT rig:Elbow\n {\n  OFFSET 0 2 0\n  CHANNELS 3 Zrotation Xrotation Yrotation\n  End Site\n  {\n   OFFSET 0 1 0\n  }\n }\n}\n\
        MOTION\nFrames: 2\nFrame Time: 0.04\n1 2 3 0 0 0 0 0 0\n0 0 0 90 0 0 0 90 0\n";

    #[test]
    fn joints_are_where_pencil_and_paper_put_them() {
        let arm: Bvh = ARM.parse().unwrap();
        assert_eq!((arm.frames(), arm.frame_s(), arm.joint(&["hand", "elbow"])), (2, 0.04, Some(1)));
        assert_eq!(arm.places(0), [v3(1.0, 2.0, 3.0), v3(1.0, 4.0, 3.0), v3(1.0, 5.0, 3.0)]);
        // A quarter turn about z takes y to -x; then one about the turned x takes y to z.
        let near = |a: Vec3, b: Vec3| (a - b).norm() < 1e-5;
        let places = arm.places(1);
        assert!(near(places[1], v3(-2.0, 0.0, 0.0)) && near(places[2], v3(-2.0, 0.0, 1.0)), "{places:?}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, line) in [
            ("HIERARCHY", "HIERARCH", 1),
            ("OFFSET 0 2 0", "OFFSET 0 2 no", 8),
            ("CHANNELS 3", "CHANNELS 9", 9),
            ("Zrotation Xrotation Yrotation\n  End", "Wrotation Xrotation Yrotation\n  End", 9),
            ("Frames: 2", "Frames: 3", 20),
            ("Frames: 2", "Frames: 1", 20),
            ("Frames: 2", "Frames: 99999999999999", 18),
            ("0.04", "0", 18),
            ("90 0 0 0 90", "90 0 0 NaN 90", 20),
        ] {
            assert!(ARM.contains(from), "{from}");
            let error = ARM.replacen(from, to, 1).parse::<Bvh>().unwrap_err();
            assert_eq!(error.line, line, "{to}: {error}");
        }
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(at in 0usize..420, with in "[ -~\n]{0,3}", cut in 0usize..420) {
            let mut text = ARM.to_owned();
            let at = at.min(text.len());
            text.replace_range(at..(at + with.len()).min(text.len()), &with);
            text.truncate(text.len().max(cut) - cut / 8);
            if let Ok(bvh) = text.parse::<Bvh>() {
                prop_assert_eq!(bvh.places(0).len(), bvh.rest().len());
            }
        }
    }
}
