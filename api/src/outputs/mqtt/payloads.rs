//! What the messages say: section 4 of the API contract, with the provenance that every frame carries.

use invispose_pipeline::events::{Event, EventKind};
use invispose_pipeline::pose::Activity;
use serde_json::{Value, json};

use crate::view::{FrameView, KeypointView, PersonView, source_name};
use crate::{ApiState, Time, notices, system};

/// Keypoints of at least this confidence count as detected.
const DETECTED: f64 = 0.5;

fn round3(v: f64) -> f64 {
    (v * 1e3).round() / 1e3
}

/// `pose/current`. A frame that is no longer the present says so and shows nobody.
pub(super) fn pose_current(frame: &FrameView, stale: bool) -> Value {
    let person = |p: PersonView| {
        let detected = p.keypoints().filter(|k| k.confidence > DETECTED).count();
        json!({
            "id": p.id(),
            "confidence": p.confidence(),
            "zone_id": p.zone().map(|z| z.id.as_str()),
            "activity": p.activity().map(Activity::name),
            "keypoint_summary": { "detected": detected, "total": p.keypoints().count() },
        })
    };
    let persons: Vec<Value> = if stale { Vec::new() } else { frame.persons().map(person).collect() };
    json!({
        "timestamp": frame.time(),
        "frame_id": frame.frame().frame_id,
        "person_count": counted(frame, stale).then_some(persons.len()),
        "persons": persons,
        "metadata": metadata(frame, stale),
    })
}

/// Did a network look for people in this frame, and is it the present?
pub(super) fn counted(frame: &FrameView, stale: bool) -> bool {
    !stale && frame.frame().provenance.model.is_some()
}

fn metadata(frame: &FrameView, stale: bool) -> Value {
    let provenance = &frame.frame().provenance;
    json!({
        "site_id": frame.frame().site,
        "source": source_name(provenance.source),
        "model": provenance.model,
        "calibrated": provenance.calibrated,
        "experimental": provenance.experimental,
        "present": frame.frame().presence.filter(|_| !stale).map(|p| p.present),
        "stale": stale,
    })
}

/// `pose/person/{id}/update`.
pub(super) fn person_update(frame: &FrameView, p: &PersonView) -> Value {
    let keypoint = |k: KeypointView| json!({ "id": k.id, "name": k.name, "x": round3(k.x), "y": round3(k.y), "confidence": round3(k.confidence) });
    let b = p.bounding_box();
    json!({
        "timestamp": frame.time(),
        "person_id": p.id(),
        "keypoints": p.keypoints().map(keypoint).collect::<Vec<_>>(),
        "bounding_box": { "x": b.x, "y": b.y, "width": b.width, "height": b.height },
        "confidence": p.confidence(),
        "zone_id": p.zone().map(|z| z.id.as_str()),
        "activity": p.activity().map(Activity::name),
        "position_m": p.position_m(),
        "metadata": metadata(frame, false),
    })
}

/// `pose/zone/{id}/occupancy`; `None`: nobody looks, so nobody knows.
pub(super) fn occupancy(
    time: Time,
    zone: &str,
    site: &str,
    persons: Option<&[String]>,
    show_ids: bool,
) -> Value {
    json!({
        "timestamp": time,
        "zone_id": zone,
        "occupancy_count": persons.map(<[String]>::len),
        "person_ids": persons.filter(|_| show_ids).unwrap_or_default(),
        "site_id": site,
    })
}

/// `system/status`. What is not measured is null.
pub(super) fn status(state: &ApiState, online: bool) -> Value {
    let status = system::status(state);
    json!({
        "timestamp": Time::now(),
        "status": if online { status.status } else { OFFLINE },
        "uptime_seconds": status.uptime_seconds,
        "performance": {
            "fps": status.current_fps,
            "latency_ms": status.average_latency_ms,
            "cpu_usage": null,
            "memory_usage_mb": status.memory_usage_mb,
            "gpu_usage": status.gpu_usage_percent,
        },
        "routers": { "active": status.active_routers, "total": state.health().sources().len() },
    })
}

/// What `system/status` says once there is nobody to say more.
const OFFLINE: &str = "offline";

/// The last will: the broker says it when the connection dies.
pub(super) fn will() -> Value {
    json!({ "status": OFFLINE })
}

/// Under which `system/alerts/…` the event is told; `None`: it is no alert.
pub(super) fn category(event: &Event) -> Option<&'static str> {
    match event.kind {
        EventKind::FallDetected | EventKind::FallRecovered => Some("fall"),
        _ => Some(notices::category(event)).filter(|c| ["alert", "system", "router"].contains(c)),
    }
}

/// `system/alerts/{category}`. Without biometrics it does not say who.
pub(super) fn alert(event: &Event, category: &str, private: bool) -> Value {
    let more = json!({ "category": category, "message": notices::words(event) });
    let mut message = notices::with(notices::common(event), more);
    if private && let Value::Object(members) = &mut message {
        members.insert("person_id".into(), Value::Null);
        members.remove("details");
    }
    message
}
