//! The body of a pose frame.

use std::sync::Arc;

use super::{Cursor, DecodeError, EncodeError, at_most, check_flags, put_f32};
use crate::pose::{
    Activity, Breathing, Count, CountBasis, Keypoint, Person, PoseFrame, Presence, Provenance,
    SignalActivity, SourceKind,
};

const FIXED_BYTES: usize = 42;
const PERSON_BYTES: u16 = 312;
const BREATHING_BYTES: usize = 8;

const CALIBRATED: u8 = 1;
const EXPERIMENTAL: u8 = 1 << 1;
const MODEL: u8 = 1 << 2;
const PRESENCE: u8 = 1 << 3;
const PRESENT: u8 = 1 << 4;
const BREATHING: u8 = 1 << 5;
const KNOWN: u8 = (1 << 6) - 1;

/// Flags of what follows the breathing.
const COUNT: u8 = 1;
const ACTIVITY: u8 = 1 << 1;
const PERSONS_BREATHING: u8 = 1 << 2;
const MORE_KNOWN: u8 = (1 << 3) - 1;
const COUNT_BYTES: usize = 8;
const PERSON_BREATHING_BYTES: usize = 12;

const ZONE: u8 = 1;

pub(super) fn body_bytes(frame: &PoseFrame) -> Result<usize, EncodeError> {
    let model = frame.provenance.model.as_deref().unwrap_or_default().len();
    at_most("site", usize::from(u16::MAX), frame.site.len())?;
    at_most("model", usize::from(u16::MAX), model)?;
    at_most("persons", PoseFrame::MAX_PERSONS, frame.persons.len())?;
    let breathing = if frame.breathing.is_some() { BREATHING_BYTES } else { 0 };
    let count = if frame.count.is_some() { COUNT_BYTES } else { 0 };
    let activity = match &frame.activity {
        Some(activity) => {
            at_most("activity", usize::from(u16::MAX), activity.name.len())?;
            6 + activity.name.len()
        }
        None => 0,
    };
    let breathe = breathing_persons(frame).count();
    let persons = if breathe > 0 { 4 + PERSON_BREATHING_BYTES * breathe } else { 0 };
    let more = breathing + count + activity + persons;
    Ok(FIXED_BYTES + more + frame.site.len() + model + usize::from(PERSON_BYTES) * frame.persons.len())
}

/// Places and breathing of those of whom it is known.
fn breathing_persons(frame: &PoseFrame) -> impl Iterator<Item = (usize, Breathing)> {
    frame.persons.iter().enumerate().filter_map(|(at, p)| Some((at, p.breathing?)))
}

pub(super) fn write(frame: &PoseFrame, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let provenance = &frame.provenance;
    let model = provenance.model.as_deref().unwrap_or_default();
    let flags = flag(provenance.calibrated, CALIBRATED)
        | flag(provenance.experimental, EXPERIMENTAL)
        | flag(provenance.model.is_some(), MODEL)
        | flag(frame.presence.is_some(), PRESENCE)
        | flag(frame.presence.is_some_and(|p| p.present), PRESENT)
        | flag(frame.breathing.is_some(), BREATHING);
    let breathe = breathing_persons(frame).count();
    let more = flag(frame.count.is_some(), COUNT)
        | flag(frame.activity.is_some(), ACTIVITY)
        | flag(breathe > 0, PERSONS_BREATHING);
    let (motion_level, coverage) = frame.presence.map_or((0.0, 0.0), |p| (p.motion_level, p.coverage));
    out.extend(frame.frame_id.to_le_bytes());
    out.extend(frame.time_ns.to_le_bytes());
    out.extend(frame.processing_ns.to_le_bytes());
    out.extend([provenance.source.code(), flags, frame.persons.len() as u8, more]);
    put_f32(out, &[motion_level, coverage]);
    for n in [frame.site.len() as u16, model.len() as u16, PERSON_BYTES] {
        out.extend(n.to_le_bytes());
    }
    out.extend(frame.site.as_bytes());
    out.extend(model.as_bytes());
    for person in &frame.persons {
        write_person(person, out);
    }
    if let Some(breathing) = frame.breathing {
        put_f32(out, &[breathing.rate_bpm, breathing.quality]);
    }
    if let Some(count) = frame.count {
        put_f32(out, &[count.mean]);
        out.extend([count.low, count.high, count.basis as u8, 0]);
    }
    if let Some(activity) = &frame.activity {
        put_f32(out, &[activity.probability]);
        out.extend((activity.name.len() as u16).to_le_bytes());
        out.extend(activity.name.as_bytes());
    }
    if breathe > 0 {
        out.extend((breathe as u32).to_le_bytes());
        for (at, breathing) in breathing_persons(frame) {
            out.extend((at as u32).to_le_bytes());
            put_f32(out, &[breathing.rate_bpm, breathing.quality]);
        }
    }
}

fn write_person(person: &Person, out: &mut Vec<u8>) {
    out.extend(person.id.to_le_bytes());
    put_f32(out, &[person.confidence]);
    put_f32(out, &person.position_m);
    put_f32(out, &person.velocity_m_s);
    let zone_flag = if person.zone.is_some() { ZONE } else { 0 };
    out.extend([person.activity.map_or(0, |a| a as u8), zone_flag]);
    out.extend(person.zone.unwrap_or_default().to_le_bytes());
    for k in &person.keypoints {
        put_f32(out, &k.position_m);
        put_f32(out, &[k.confidence]);
    }
}

pub(super) fn read(at: &mut Cursor<'_>, newer: bool) -> Result<PoseFrame, DecodeError> {
    let frame_id = at.u64()?;
    let time_ns = at.i64()?;
    let processing_ns = at.u64()?;
    let offset = at.offset();
    let (source, flags, persons, more) = (at.u8()?, at.u8()?, at.u8()?, at.u8()?);
    let source = SourceKind::from_code(source).ok_or(DecodeError::Value {
        offset,
        field: "source",
        value: u64::from(source),
    })?;
    check_flags(offset + 1, u16::from(flags), u16::from(KNOWN), newer)?;
    check_flags(offset + 3, u16::from(more), u16::from(MORE_KNOWN), newer)?;
    if usize::from(persons) > PoseFrame::MAX_PERSONS {
        return Err(DecodeError::Value { offset: offset + 2, field: "persons", value: u64::from(persons) });
    }
    let (motion_level, coverage) = (at.f32()?, at.f32()?);
    let lengths_at = at.offset();
    let (site_bytes, model_bytes, person_bytes) = (at.u16()?, at.u16()?, at.u16()?);
    if person_bytes < PERSON_BYTES || (!newer && person_bytes != PERSON_BYTES) {
        let value = u64::from(person_bytes);
        return Err(DecodeError::Value { offset: lengths_at + 4, field: "person_bytes", value });
    }
    let site = Arc::from(at.text("site", site_bytes)?);
    let model = at.text("model", model_bytes)?;
    let has = |bit: u8| flags & bit != 0;
    let mut people = Vec::with_capacity(usize::from(persons));
    for _ in 0..persons {
        people.push(read_person(at, newer)?);
        at.take(u64::from(person_bytes - PERSON_BYTES))?;
    }
    let breathing = match has(BREATHING) {
        true => Some(Breathing { rate_bpm: at.f32()?, quality: at.f32()? }),
        false => None,
    };
    let count = if more & COUNT != 0 { Some(read_count(at)?) } else { None };
    let activity = if more & ACTIVITY != 0 {
        let (probability, length) = (at.f32()?, at.u16()?);
        Some(SignalActivity { name: Arc::from(at.text("activity", length)?), probability })
    } else {
        None
    };
    if more & PERSONS_BREATHING != 0 {
        for _ in 0..at.u32()? {
            let offset = at.offset();
            let place = at.u32()?;
            let breathing = Breathing { rate_bpm: at.f32()?, quality: at.f32()? };
            let person = people.get_mut(place as usize);
            let value = u64::from(place);
            person.ok_or(DecodeError::Value { offset, field: "breathing person", value })?.breathing =
                Some(breathing);
        }
    }
    Ok(PoseFrame {
        frame_id,
        site,
        time_ns,
        processing_ns,
        provenance: Provenance {
            source,
            model: has(MODEL).then(|| Arc::from(model)),
            calibrated: has(CALIBRATED),
            experimental: has(EXPERIMENTAL),
        },
        presence: has(PRESENCE).then_some(Presence { present: has(PRESENT), motion_level, coverage }),
        breathing,
        count,
        activity,
        persons: people,
    })
}

fn read_count(at: &mut Cursor<'_>) -> Result<Count, DecodeError> {
    let mean = at.f32()?;
    let (low, high) = (at.u8()?, at.u8()?);
    let offset = at.offset();
    let (code, _) = (at.u8()?, at.u8()?);
    let unknown = DecodeError::Value { offset, field: "count basis", value: u64::from(code) };
    Ok(Count { mean, low, high, basis: CountBasis::from_code(code).ok_or(unknown)? })
}

fn read_person(at: &mut Cursor<'_>, newer: bool) -> Result<Person, DecodeError> {
    let id = at.u64()?;
    let confidence = at.f32()?;
    let position_m = at.point()?;
    let velocity_m_s = at.point()?;
    let offset = at.offset();
    let code = at.u8()?;
    let activity = Activity::from_code(code);
    // An activity that this version has no name for is one that it does not know.
    if activity.is_none() && code != 0 && !newer {
        return Err(DecodeError::Value { offset, field: "activity", value: u64::from(code) });
    }
    let flags = at.u8()?;
    check_flags(offset + 1, u16::from(flags), u16::from(ZONE), newer)?;
    let zone = at.u16()?;
    let mut keypoints = [Keypoint::default(); 17];
    for k in &mut keypoints {
        *k = Keypoint { position_m: at.point()?, confidence: at.f32()? };
    }
    let zone = (flags & ZONE != 0).then_some(zone);
    Ok(Person { id, confidence, position_m, velocity_m_s, keypoints, activity, zone, breathing: None })
}
