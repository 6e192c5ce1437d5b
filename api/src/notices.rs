//! An event in the words of the outside, for every protocol that tells of events.

use invispose_pipeline::events::{Event, Evidence};
use serde_json::{Value, json};

use crate::Time;

/// The first part of the kind's name, such as `alert` or `router`.
pub(crate) fn category(event: &Event) -> &'static str {
    event.kind.name().split('.').next().unwrap_or_default()
}

/// What every message about an event says.
pub(crate) fn common(event: &Event) -> Value {
    json!({
        "timestamp": Time::from_ns(event.time_ns),
        "severity": event.severity,
        "event_id": event.id,
        "event": event.kind,
        "site_id": event.site,
        "zone_id": event.place.as_ref().and_then(|p| p.zone.as_deref()),
        "person_id": event.person.map(|p| p.to_string()),
        "details": event.evidence,
    })
}

/// The same with members of one's own.
pub(crate) fn with(mut message: Value, more: Value) -> Value {
    if let (Value::Object(to), Value::Object(from)) = (&mut message, more) {
        to.extend(from);
    }
    message
}

/// One line for people.
pub(crate) fn words(event: &Event) -> String {
    let about = event.subject.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
    match &event.evidence {
        Evidence::Fault { message } => format!("{}{about}: {message}", event.kind.name()),
        _ => format!("{}{about}", event.kind.name()),
    }
}
