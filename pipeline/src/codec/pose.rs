//! The body of a pose frame.

use std::sync::Arc;

use super::{Cursor, DecodeError, EncodeError, at_most, check_flags, put_f32};
use crate::pose::{Activity, Breathing, Keypoint, Person, PoseFrame, Presence, Provenance, SourceKind};

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

const ZONE: u8 = 1;

pub(super) fn body_bytes(frame: &PoseFrame) -> Result<usize, EncodeError> {
    let model = frame.provenance.model.as_deref().unwrap_or_default().len();
    at_most("site", usize::from(u16::MAX), frame.site.len())?;
    at_most("model", usize::from(u16::MAX), model)?;
    at_most("persons", PoseFrame::MAX_PERSONS, frame.persons.len())?;
    let breathing = if frame.breathing.is_some() { BREATHING_BYTES } else { 0 };
    Ok(FIXED_BYTES + breathing + frame.site.len() + model + usize::from(PERSON_BYTES) * frame.persons.len())
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
    let (motion_level, coverage) = frame.presence.map_or((0.0, 0.0), |p| (p.motion_level, p.coverage));
    out.extend(frame.frame_id.to_le_bytes());
    out.extend(frame.time_ns.to_le_bytes());
    out.extend(frame.processing_ns.to_le_bytes());
    out.extend([provenance.source.code(), flags, frame.persons.len() as u8, 0]);
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
    let (source, flags, persons, _) = (at.u8()?, at.u8()?, at.u8()?, at.u8()?);
    let source = SourceKind::from_code(source).ok_or(DecodeError::Value {
        offset,
        field: "source",
        value: u64::from(source),
    })?;
    check_flags(offset + 1, u16::from(flags), u16::from(KNOWN), newer)?;
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
        persons: people,
    })
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
    Ok(Person { id, confidence, position_m, velocity_m_s, keypoints, activity, zone })
}
