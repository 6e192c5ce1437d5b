//! Many frames of one site in few bytes.
//!
//! Numbers are whole tenths of a millimetre (and ten-thousandths of a probability), which is what every API shows, written as the
//! difference to the same person's frame before, seven bits a byte; DEFLATE (RFC 1951) then takes out what repeats. A block stands alone.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use invispose_pipeline::pose::{Activity, Breathing, Count, CountBasis, Keypoint, Presence, SignalActivity};
use invispose_pipeline::{Person, PoseFrame, Provenance, SourceKind};
use thiserror::Error;

const VERSION: u8 = 2;
/// Blocks of this version hold no breathing, counts and activities of the signal.
const FIRST_VERSION: u8 = 1;
/// Frames of the largest block.
pub(crate) const MAX_FRAMES: usize = 4096;
/// Uncompressed bytes of the largest block: [`MAX_FRAMES`] frames full of people.
const MAX_BYTES: u64 = 64 << 20;
/// Confidence, position, velocity, and 17 joints of position and confidence.
const VALUES: usize = 1 + 3 + 3 + 17 * 4;
/// Steps in one unit.
const STEPS: f64 = 1e4;

const SAME_PROVENANCE: u8 = 1;
const PRESENCE: u8 = 1 << 1;
const PRESENT: u8 = 1 << 2;
const BREATHING: u8 = 1 << 3;
const COUNT: u8 = 1 << 4;
const ACTIVITY: u8 = 1 << 5;
const PERSONS_BREATHING: u8 = 1 << 6;
const CALIBRATED: u8 = 1;
const EXPERIMENTAL: u8 = 1 << 1;
const MODEL: u8 = 1 << 2;

/// The bytes are no block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no block of frames: {0}")]
pub struct BlockError(&'static str);

impl BlockError {
    /// It belongs to a site that is no more.
    pub(super) const NO_SITE: Self = Self("of a site that is not configured");
}

/// The frames as bytes. `zone` gives the identifier of a zone's index. The site's name is not part of it.
///
/// # Errors
/// More than [`MAX_FRAMES`] frames.
pub(crate) fn encode<'z>(
    frames: &[PoseFrame],
    zone: impl Fn(u16) -> Option<&'z str>,
) -> Result<Vec<u8>, BlockError> {
    if frames.len() > MAX_FRAMES {
        return Err(BlockError("too many frames"));
    }
    let mut names = Names::default();
    let mut body = Vec::with_capacity(frames.len() * 128);
    let mut before = HashMap::new();
    let (mut id, mut time) = (0u64, 0i64);
    let mut provenance: Option<&Provenance> = None;
    for frame in frames {
        let same = provenance == Some(&frame.provenance);
        provenance = Some(&frame.provenance);
        let presence = frame.presence;
        let persons_breathe = frame.persons.iter().any(|p| p.breathing.is_some());
        body.push(
            flag(same, SAME_PROVENANCE)
                | flag(presence.is_some(), PRESENCE)
                | flag(presence.is_some_and(|p| p.present), PRESENT)
                | flag(frame.breathing.is_some(), BREATHING)
                | flag(frame.count.is_some(), COUNT)
                | flag(frame.activity.is_some(), ACTIVITY)
                | flag(persons_breathe, PERSONS_BREATHING),
        );
        if !same {
            let p = &frame.provenance;
            body.push(p.source.code());
            body.push(
                flag(p.calibrated, CALIBRATED)
                    | flag(p.experimental, EXPERIMENTAL)
                    | flag(p.model.is_some(), MODEL),
            );
            if let Some(model) = &p.model {
                put(&mut body, names.index(model));
            }
        }
        put_signed(&mut body, frame.frame_id.wrapping_sub(id) as i64);
        put_signed(&mut body, frame.time_ns.wrapping_sub(time));
        (id, time) = (frame.frame_id, frame.time_ns);
        put(&mut body, frame.processing_ns);
        if let Some(p) = presence {
            put_signed(&mut body, steps(p.motion_level));
            put_signed(&mut body, steps(p.coverage));
        }
        if let Some(breathing) = frame.breathing {
            put_breathing(&mut body, breathing);
        }
        if let Some(count) = frame.count {
            put_signed(&mut body, steps(count.mean));
            body.extend([count.low, count.high, count.basis as u8]);
        }
        if let Some(activity) = &frame.activity {
            put(&mut body, names.index(&activity.name));
            put_signed(&mut body, steps(activity.probability));
        }
        put(&mut body, frame.persons.len() as u64);
        for person in &frame.persons {
            put(&mut body, person.id);
            body.push(person.activity.map_or(0, |a| a as u8));
            let zone = person.zone.and_then(&zone);
            put(&mut body, zone.map_or(0, |z| names.index(z) + 1));
            let values = values(person);
            let old = before.insert(person.id, values).unwrap_or([0; VALUES]);
            for (new, old) in values.iter().zip(old) {
                put_signed(&mut body, new.wrapping_sub(old));
            }
            if persons_breathe {
                body.push(flag(person.breathing.is_some(), 1));
                person.breathing.into_iter().for_each(|b| put_breathing(&mut body, b));
            }
        }
    }
    let mut head = Vec::new();
    put(&mut head, frames.len() as u64);
    put(&mut head, names.list.len() as u64);
    for name in &names.list {
        put(&mut head, name.len() as u64);
        head.extend(name.as_bytes());
    }
    // Writing to memory does not fail.
    let failed = |_| BlockError("deflate");
    let mut packed = DeflateEncoder::new(vec![VERSION], Compression::fast());
    packed.write_all(&head).map_err(failed)?;
    packed.write_all(&body).map_err(failed)?;
    packed.finish().map_err(failed)
}

/// The frames of a block of `site`. `zone` gives the index of a zone's identifier; a zone that is no more is left out.
///
/// # Errors
/// The bytes are no block of this version.
pub(crate) fn decode(
    bytes: &[u8],
    site: &Arc<str>,
    mut zone: impl FnMut(&str) -> Option<u16>,
) -> Result<Vec<PoseFrame>, BlockError> {
    let Some((FIRST_VERSION..=VERSION, packed)) = bytes.split_first() else {
        return Err(BlockError("another version"));
    };
    let mut plain = Vec::new();
    DeflateDecoder::new(packed).take(MAX_BYTES).read_to_end(&mut plain).map_err(|_| BlockError("damaged"))?;
    let mut at = Input(&plain);
    let count = at.count(MAX_FRAMES)?;
    let names = at.count(usize::MAX)?;
    let mut texts: Vec<&str> = Vec::new();
    for _ in 0..names {
        let length = at.count(usize::MAX)?;
        texts.push(std::str::from_utf8(at.take(length)?).map_err(|_| BlockError("a name is no text"))?);
    }
    let text = |i: u64| {
        usize::try_from(i).ok().and_then(|i| texts.get(i)).copied().ok_or(BlockError("unknown name"))
    };
    let mut models: HashMap<u64, Arc<str>> = HashMap::new();
    let mut activities: HashMap<&str, Arc<str>> = HashMap::new();
    let mut before: HashMap<u64, [i64; VALUES]> = HashMap::new();
    let (mut id, mut time) = (0u64, 0i64);
    let mut provenance: Option<Provenance> = None;
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let flags = at.byte()?;
        if flags & SAME_PROVENANCE == 0 {
            let source = SourceKind::from_code(at.byte()?).ok_or(BlockError("unknown source"))?;
            let marks = at.byte()?;
            let model = if marks & MODEL != 0 {
                let index = at.number()?;
                let name = text(index)?;
                Some(models.entry(index).or_insert_with(|| name.into()).clone())
            } else {
                None
            };
            provenance = Some(Provenance {
                source,
                model,
                calibrated: marks & CALIBRATED != 0,
                experimental: marks & EXPERIMENTAL != 0,
            });
        }
        id = id.wrapping_add(at.signed()? as u64);
        time = time.wrapping_add(at.signed()?);
        let processing_ns = at.number()?;
        let presence = if flags & PRESENCE != 0 {
            let (motion, coverage) = (at.signed()?, at.signed()?);
            Some(Presence {
                present: flags & PRESENT != 0,
                motion_level: value(motion),
                coverage: value(coverage),
            })
        } else {
            None
        };
        let breathing = if flags & BREATHING != 0 { Some(at.breathing()?) } else { None };
        let count = if flags & COUNT != 0 { Some(at.people()?) } else { None };
        let activity = if flags & ACTIVITY != 0 {
            let name = at.number()?;
            let name = text(name)?;
            let name = activities.entry(name).or_insert_with(|| name.into()).clone();
            Some(SignalActivity { name, probability: value(at.signed()?) })
        } else {
            None
        };
        let people = at.count(PoseFrame::MAX_PERSONS)?;
        let mut persons = Vec::with_capacity(people);
        for _ in 0..people {
            let person = at.number()?;
            let activity = Activity::from_code(at.byte()?);
            let zone_index = at.number()?;
            let zone = match zone_index.checked_sub(1) {
                Some(index) => zone(text(index)?),
                None => None,
            };
            let values = before.entry(person).or_insert([0; VALUES]);
            for v in values.iter_mut() {
                *v = v.wrapping_add(at.signed()?);
            }
            let mut person = person_of(person, values, activity, zone);
            if flags & PERSONS_BREATHING != 0 && at.byte()? != 0 {
                person.breathing = Some(at.breathing()?);
            }
            persons.push(person);
        }
        frames.push(PoseFrame {
            frame_id: id,
            site: site.clone(),
            time_ns: time,
            processing_ns,
            provenance: provenance.clone().ok_or(BlockError("no provenance"))?,
            presence,
            breathing,
            count,
            activity,
            persons,
        });
    }
    Ok(frames)
}

#[derive(Default)]
struct Names {
    list: Vec<String>,
    places: HashMap<String, u64>,
}

impl Names {
    fn index(&mut self, name: &str) -> u64 {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.list.len() as u64;
        self.list.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// Whole steps; what is no number becomes 0.
fn steps(v: f32) -> i64 {
    (f64::from(v) * STEPS).round() as i64
}

fn value(steps: i64) -> f32 {
    (steps as f64 / STEPS) as f32
}

fn values(person: &Person) -> [i64; VALUES] {
    let joints = person.keypoints.iter().flat_map(|k| k.position_m.into_iter().chain([k.confidence]));
    let all =
        [person.confidence].into_iter().chain(person.position_m).chain(person.velocity_m_s).chain(joints);
    let mut out = [0; VALUES];
    for (to, v) in out.iter_mut().zip(all) {
        *to = steps(v);
    }
    out
}

fn person_of(id: u64, values: &[i64; VALUES], activity: Option<Activity>, zone: Option<u16>) -> Person {
    let at = |i: usize| values.get(i).copied().map_or(0.0, value);
    let point = |i: usize| [at(i), at(i + 1), at(i + 2)];
    let mut keypoints = [Keypoint::default(); 17];
    for (n, k) in keypoints.iter_mut().enumerate() {
        let i = 7 + 4 * n;
        *k = Keypoint { position_m: point(i), confidence: at(i + 3) };
    }
    let breathing = None;
    Person {
        id,
        confidence: at(0),
        position_m: point(1),
        velocity_m_s: point(4),
        keypoints,
        activity,
        zone,
        breathing,
    }
}

fn put_breathing(out: &mut Vec<u8>, breathing: Breathing) {
    put_signed(out, steps(breathing.rate_bpm));
    put_signed(out, steps(breathing.quality));
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
pub(super) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small magnitudes of either sign become small numbers.
fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Length-checked reading.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, BlockError> {
        let (&first, rest) = self.0.split_first().ok_or(BlockError("too short"))?;
        self.0 = rest;
        Ok(first)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], BlockError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(BlockError("too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn number(&mut self) -> Result<u64, BlockError> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(BlockError("a number is too long"))
    }

    fn signed(&mut self) -> Result<i64, BlockError> {
        let n = self.number()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn breathing(&mut self) -> Result<Breathing, BlockError> {
        Ok(Breathing { rate_bpm: value(self.signed()?), quality: value(self.signed()?) })
    }

    fn people(&mut self) -> Result<Count, BlockError> {
        let mean = value(self.signed()?);
        let (low, high) = (self.byte()?, self.byte()?);
        let basis = CountBasis::from_code(self.byte()?).ok_or(BlockError("unknown basis of a count"))?;
        Ok(Count { mean, low, high, basis })
    }

    fn count(&mut self, most: usize) -> Result<usize, BlockError> {
        let n = usize::try_from(self.number()?).map_err(|_| BlockError("absurd count"))?;
        if n > most { Err(BlockError("absurd count")) } else { Ok(n) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::view::decimal;

    const ZONES: [&str; 3] = ["west", "east", "fern"];

    prop_compose! {
        fn breathing()(rate_bpm in 6.0f32..40.0, quality in 0.0f32..1.0) -> Breathing {
            Breathing { rate_bpm, quality }
        }
    }

    prop_compose! {
        fn people()(
            id in 0u64..5, numbers in prop::array::uniform32(-50.0f32..50.0), activity in 0u8..8, zone in prop::option::of(0u16..3),
            breathing in prop::option::of(breathing()),
        ) -> Person {
            let at = |i: usize| numbers[i % 32] * (1.0 + (i / 32) as f32);
            let mut keypoints = [Keypoint::default(); 17];
            for (n, k) in keypoints.iter_mut().enumerate() {
                *k = Keypoint { position_m: [at(n), at(n + 1), at(n + 40)], confidence: at(n).abs() / 100.0 };
            }
            Person {
                id, confidence: at(3).abs() / 100.0, position_m: [at(4), at(5), at(6)], velocity_m_s: [at(7), at(8), at(9)],
                keypoints, activity: Activity::from_code(activity), zone, breathing,
            }
        }
    }

    prop_compose! {
        fn frame()(
            frame_id in any::<u64>(), time_ns in any::<i64>(), processing_ns in any::<u64>(), source in 1u8..4,
            model in prop::option::of("[a-z]{0,8}"), calibrated: bool, experimental: bool,
            presence in prop::option::of((any::<bool>(), 0.0f32..1e4, 0.0f32..1.0)), persons in prop::collection::vec(people(), 0..4),
            breathing in prop::option::of(breathing()), count in prop::option::of((0.0f32..9.0, any::<u8>(), any::<u8>(), 1u8..4)),
            activity in prop::option::of(("[a-z]{1,8}", 0.0f32..1.0)),
        ) -> PoseFrame {
            PoseFrame {
                frame_id, site: "lab".into(), time_ns, processing_ns,
                provenance: Provenance { source: SourceKind::from_code(source).unwrap(), model: model.map(Into::into), calibrated, experimental },
                presence: presence.map(|(present, motion_level, coverage)| Presence { present, motion_level, coverage }),
                breathing,
                count: count.map(|(mean, low, high, basis)| Count { mean, low, high, basis: CountBasis::from_code(basis).unwrap() }),
                activity: activity.map(|(name, probability)| SignalActivity { name: name.into(), probability }),
                persons,
            }
        }
    }

    /// What an API shows of a person.
    fn shown(p: &Person) -> (u64, Option<Activity>, Option<u16>, Vec<f64>, Option<(f64, f64)>) {
        let joints = p.keypoints.iter().flat_map(|k| k.position_m.into_iter().chain([k.confidence]));
        let all = [p.confidence].into_iter().chain(p.position_m).chain(p.velocity_m_s).chain(joints);
        (p.id, p.activity, p.zone, all.map(decimal).collect(), p.breathing.map(breath))
    }

    fn breath(b: Breathing) -> (f64, f64) {
        (decimal(b.rate_bpm), decimal(b.quality))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_comes_back_is_what_an_api_shows(frames in prop::collection::vec(frame(), 0..12)) {
            let bytes = encode(&frames, |i| ZONES.get(usize::from(i)).copied()).unwrap();
            let index = |z: &str| ZONES.iter().position(|k| *k == z).map(|i| i as u16);
            let back = decode(&bytes, &"lab".into(), index).unwrap();
            prop_assert_eq!(back.len(), frames.len());
            for (a, b) in frames.iter().zip(&back) {
                prop_assert_eq!((a.frame_id, a.time_ns, a.processing_ns), (b.frame_id, b.time_ns, b.processing_ns));
                prop_assert_eq!(&a.provenance, &b.provenance);
                let presence = |f: &PoseFrame| f.presence.map(|p| (p.present, decimal(p.motion_level), decimal(p.coverage)));
                prop_assert_eq!(presence(a), presence(b));
                prop_assert_eq!(a.breathing.map(breath), b.breathing.map(breath));
                let count = |f: &PoseFrame| f.count.map(|c| (decimal(c.mean), c.low, c.high, c.basis));
                prop_assert_eq!(count(a), count(b));
                let activity = |f: &PoseFrame| f.activity.clone().map(|a| (a.name, decimal(a.probability)));
                prop_assert_eq!(activity(a), activity(b));
                let persons = |f: &PoseFrame| f.persons.iter().map(shown).collect::<Vec<_>>();
                prop_assert_eq!(persons(a), persons(b));
            }
        }

        #[test]
        fn damage_is_an_error_or_other_frames_and_never_a_panic(
            frames in prop::collection::vec(frame(), 1..4), cut in 0.0f64..1.0, place in 0.0f64..1.0, with: u8,
        ) {
            let mut bytes = encode(&frames, |_| None).unwrap();
            let cut = (bytes.len() as f64 * cut) as usize;
            prop_assert!(decode(&bytes[..cut], &"lab".into(), |_| None).is_err());
            let place = (bytes.len() as f64 * place) as usize;
            bytes[place] = with;
            let _ = decode(&bytes, &"lab".into(), |_| None);
        }
    }
}
