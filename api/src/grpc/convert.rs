//! Between the query layer's words and the messages.

use std::time::Duration;

use invispose_pipeline::events::Severity;
use invispose_pipeline::{SourceKind, pose};
use prost_types::Timestamp;

use super::proto;
use crate::Time;
use crate::query::{Field, Filter, QueryError};
use crate::view::{FrameView, PersonView, decimal};

pub(super) fn timestamp(time: Time) -> Timestamp {
    let ns = time.as_ns();
    Timestamp { seconds: ns.div_euclid(1_000_000_000), nanos: ns.rem_euclid(1_000_000_000) as i32 }
}

/// A moment that a client named.
pub(super) fn time(stamp: Option<Timestamp>, field: Field) -> Result<Option<Time>, QueryError> {
    let ns = |t: Timestamp| {
        let nanos = (0..1_000_000_000).contains(&t.nanos).then_some(i64::from(t.nanos))?;
        t.seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    };
    stamp
        .map(|t| {
            ns(t).map(Time::from_ns).ok_or_else(|| QueryError::invalid(field, "is no time of 1678 to 2262"))
        })
        .transpose()
}

/// `min_confidence` where the client does not say.
pub(super) fn filter(filter: Option<proto::Filter>, min_confidence: f64) -> Filter {
    let proto::Filter { site_id, zone_id, person_id, min_confidence: asked } = filter.unwrap_or_default();
    Filter {
        site: site_id,
        zone: zone_id,
        person: person_id,
        min_confidence: asked.unwrap_or(min_confidence),
    }
}

fn vector([x, y, z]: [f64; 3]) -> proto::Vector {
    proto::Vector { x, y, z }
}

pub(super) fn source(kind: SourceKind) -> proto::Source {
    match kind {
        SourceKind::Live => proto::Source::Live,
        SourceKind::Replay => proto::Source::Replay,
        SourceKind::Simulated => proto::Source::Simulated,
    }
}

/// Of the names that the store gives them.
pub(super) fn sources<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<i32> {
    let all = [proto::Source::Live, proto::Source::Replay, proto::Source::Simulated];
    let named = |name: &String| {
        all.into_iter().find(|s| s.as_str_name().to_lowercase().strip_prefix("source_") == Some(name))
    };
    names.into_iter().filter_map(named).map(i32::from).collect()
}

pub(super) fn activity(activity: pose::Activity) -> proto::Activity {
    match activity {
        pose::Activity::Standing => proto::Activity::Standing,
        pose::Activity::Walking => proto::Activity::Walking,
        pose::Activity::Sitting => proto::Activity::Sitting,
        pose::Activity::Lying => proto::Activity::Lying,
        pose::Activity::Waving => proto::Activity::Waving,
        pose::Activity::Falling => proto::Activity::Falling,
        _ => proto::Activity::Unspecified,
    }
}

pub(super) fn severity(severity: Severity) -> proto::Severity {
    match severity {
        Severity::Info => proto::Severity::Info,
        Severity::Low => proto::Severity::Low,
        Severity::Medium => proto::Severity::Medium,
        Severity::High => proto::Severity::High,
        Severity::Critical => proto::Severity::Critical,
    }
}

pub(super) fn rank(severity: proto::Severity) -> Severity {
    match severity {
        proto::Severity::Unspecified | proto::Severity::Info => Severity::Info,
        proto::Severity::Low => Severity::Low,
        proto::Severity::Medium => Severity::Medium,
        proto::Severity::High => Severity::High,
        proto::Severity::Critical => Severity::Critical,
    }
}

pub(super) fn frame(view: &FrameView, stale_after: Duration) -> proto::PoseFrame {
    let frame = view.frame();
    let provenance = &frame.provenance;
    proto::PoseFrame {
        frame_id: frame.frame_id,
        time: Some(timestamp(view.time())),
        site_id: view.site().config().id.clone(),
        persons: view.persons().map(|p| person(&p)).collect(),
        provenance: Some(proto::Provenance {
            source: source(provenance.source).into(),
            model: provenance.model.as_deref().map(str::to_owned),
            calibrated: provenance.calibrated,
            experimental: provenance.experimental,
        }),
        presence: frame.presence.map(|p| proto::Presence {
            present: p.present,
            motion_level: decimal(p.motion_level),
            coverage: decimal(p.coverage),
        }),
        breathing: frame.breathing.map(breathing),
        count: frame.count.map(|c| proto::Count {
            mean: decimal(c.mean),
            low: c.low.into(),
            high: c.high.into(),
            basis: match c.basis {
                pose::CountBasis::Presence => proto::CountBasis::Presence,
                pose::CountBasis::Tracks => proto::CountBasis::Tracks,
                pose::CountBasis::Signal => proto::CountBasis::Signal,
            }
            .into(),
        }),
        activity: frame.activity.as_ref().map(|a| proto::SignalActivity {
            name: a.name.as_ref().to_owned(),
            probability: decimal(a.probability),
        }),
        processing_ms: view.processing_ms(),
        stale: view.is_stale(stale_after),
        age_ms: view.age_ms(),
        latency_ms: view.latency_ms(),
    }
}

fn breathing(b: pose::Breathing) -> proto::Breathing {
    proto::Breathing { rate_bpm: decimal(b.rate_bpm), quality: decimal(b.quality) }
}

fn person(person: &PersonView) -> proto::Person {
    let keypoint = |k: crate::view::KeypointView| proto::Keypoint {
        name: k.name.to_owned(),
        position_m: Some(vector(k.position_m)),
        x: k.x,
        y: k.y,
        confidence: k.confidence,
    };
    let around = person.bounding_box();
    proto::Person {
        id: person.id(),
        confidence: person.confidence(),
        position_m: Some(vector(person.position_m())),
        velocity_m_s: Some(vector(person.velocity_m_s())),
        keypoints: person.keypoints().map(keypoint).collect(),
        bounding_box: Some(proto::Box {
            x: around.x,
            y: around.y,
            width: around.width,
            height: around.height,
        }),
        activity: person.activity().map(|a| activity(a).into()),
        zone_id: person.zone().map(|z| z.id.clone()),
        breathing: person.breathing().map(breathing),
    }
}
