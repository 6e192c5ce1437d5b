//! What is sent: section 5 of the API contract.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use invispose_pipeline::events::{Event, EventKind, Evidence};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::view::{decimal, source_name};
use crate::{Site, Time, notices};

/// The body of an event's delivery. The event's `id` is the delivery's, and the same at every attempt.
pub(super) fn body(event: &Event, sites: &[Site], now: Time) -> Bytes {
    let body = json!({
        "id": event.id,
        "event_type": event.kind,
        "timestamp": now,
        "data": data(event, sites),
    });
    body.to_string().into()
}

/// Several bodies in one.
pub(super) fn batch<'a>(bodies: impl Iterator<Item = &'a Bytes>, now: Time) -> Bytes {
    let mut text =
        format!("{{\"event_type\":\"batch\",\"timestamp\":\"{now}\",\"data\":{{\"events\":[").into_bytes();
    for (i, body) in bodies.enumerate() {
        if i > 0 {
            text.push(b',');
        }
        text.extend_from_slice(body);
    }
    text.extend_from_slice(b"]}}");
    text.into()
}

/// What the contract's samples say for the kinds that it has samples of, and as much for the others.
fn data(event: &Event, sites: &[Site]) -> Value {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            data.insert(name.to_owned(), value);
        }
    };
    put("timestamp", json!(Time::from_ns(event.time_ns)));
    put("site_id", json!(event.site));
    put("person_id", json!(event.person.map(|p| p.to_string())));
    put("severity", json!(event.severity));
    put("confidence", json!(event.confidence.map(decimal)));
    put("subject", json!(event.subject));
    if let Some(place) = &event.place {
        put("zone_id", json!(place.zone));
        put("location", location(event, sites));
    }
    match &event.evidence {
        Evidence::Occupancy { current, maximum, duration_s } => {
            put("current_occupancy", json!(current));
            put("max_occupancy", json!(maximum));
            put("duration_seconds", json!(duration_s));
        }
        Evidence::Activity { activity, .. } => put("activity", json!(activity.name())),
        Evidence::Threshold { metric, value, limit } => {
            put("metric", json!(metric));
            put("value", json!(value));
            put("limit", json!(limit));
        }
        _ => {}
    }
    if event.kind == EventKind::FallDetected {
        put("alert_triggered", json!(true));
    }
    put("message", json!(notices::words(event)));
    put("details", json!(event.evidence));
    put("source", json!(event.provenance.as_ref().map(|p| source_name(p.source))));
    Value::Object(data)
}

/// `x` and `y` in 0..1 as everywhere in the contract, and metres.
fn location(event: &Event, sites: &[Site]) -> Value {
    let Some(place) = &event.place else { return Value::Null };
    let site = sites.iter().find(|s| Some(s.config().id.as_str()) == event.site.as_deref());
    let projected = place.position_m.and_then(|p| site.map(|s| s.config().project(p).map(decimal)));
    let mut location = json!({ "zone_id": place.zone });
    if let (Value::Object(members), Some(position)) = (&mut location, place.position_m) {
        members.insert("position_m".into(), json!(position.map(decimal)));
        if let Some([x, y]) = projected {
            members.insert("x".into(), json!(x));
            members.insert("y".into(), json!(y));
        }
    }
    location
}

/// `sha256=` and the HMAC-SHA-256 (RFC 2104) of these bytes in hexadecimal digits.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256=");
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }
}
