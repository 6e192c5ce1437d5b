//! The messages of `/ws/v1/stream`.

use std::str::FromStr;

use invispose_pipeline::events::{Event, EventKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::notices;
use crate::view::{FrameView, PersonView, source_name};
use invispose_pipeline::pose::Activity;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    Subscribe {
        topic: String,
        #[serde(default)]
        filters: Option<Filters>,
        /// Frames after this one are sent first, as far as they are kept.
        #[serde(default)]
        last_frame_id: Option<u64>,
    },
    Unsubscribe {
        topic: String,
    },
    Ping,
    Configure {
        config: Configuration,
    },
}

impl ClientMessage {
    /// Its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Ping => "ping",
            Self::Configure { .. } => "configure",
        }
    }
}

/// What a client says first that has not said who they are.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Introduction {
    Authenticate { token: String },
}

/// What a client may configure.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    /// At most so many frames per second.
    #[serde(default)]
    pub max_fps: Option<f64>,
}

/// What a client wants of a topic. Unknown members are passed over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Filters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
}

impl Filters {
    pub(super) fn let_through(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|w| found.is_none_or(|f| f == w))
        };
        let zone = event.place.as_ref().and_then(|p| p.zone.as_deref());
        let person = event.person.map(|p| p.to_string());
        same(&self.site_id, event.site.as_deref())
            && self.zone_id.as_deref().is_none_or(|w| zone == Some(w))
            && self.person_id.as_deref().is_none_or(|w| person.as_deref() == Some(w))
            && self.min_confidence.is_none_or(|least| event.confidence.is_none_or(|c| f64::from(c) >= least))
    }
}

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Topic {
    PoseUpdates,
    SystemAlerts,
    ZoneEvents,
    PersonTracking,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|topic| topic.name() == name);
        found.ok_or_else(|| format!("topic: there is no {name:?}; known: {}", known()))
    }
}

impl Topic {
    const ALL: [Self; 4] = [Self::PoseUpdates, Self::SystemAlerts, Self::ZoneEvents, Self::PersonTracking];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PoseUpdates => "pose_updates",
            Self::SystemAlerts => "system_alerts",
            Self::ZoneEvents => "zone_events",
            Self::PersonTracking => "person_tracking",
        }
    }

    pub(super) fn wants(self, kind: EventKind) -> bool {
        match self {
            Self::ZoneEvents => kind.is_of_zones(),
            Self::SystemAlerts => {
                let name = kind.name();
                ["alert.", "system.", "router."].iter().any(|family| name.starts_with(family))
            }
            Self::PoseUpdates | Self::PersonTracking => false,
        }
    }
}

pub(super) fn pose_update(frame: &FrameView) -> Value {
    json!({
        "type": "pose_update",
        "timestamp": frame.time(),
        "frame_id": frame.frame().frame_id,
        "persons": frame.persons().map(|p| person(&p)).collect::<Vec<_>>(),
        "processing_time_ms": frame.processing_ms(),
        "metadata": metadata(frame),
    })
}

pub(super) fn person_updates(frame: &FrameView) -> Vec<Value> {
    let update = |p: PersonView| {
        json!({
            "type": "person_update",
            "timestamp": frame.time(),
            "frame_id": frame.frame().frame_id,
            "person_id": p.id(),
            "person": person(&p),
            "metadata": metadata(frame),
        })
    };
    frame.persons().map(update).collect()
}

fn metadata(frame: &FrameView) -> Value {
    let provenance = &frame.frame().provenance;
    json!({
        "site_id": frame.frame().site,
        "source": source_name(provenance.source),
        "model": provenance.model,
        "calibrated": provenance.calibrated,
        "experimental": provenance.experimental,
        "present": frame.frame().presence.map(|p| p.present),
    })
}

fn person(p: &PersonView) -> Value {
    let keypoint =
        |k: crate::view::KeypointView| json!({ "id": k.id, "x": k.x, "y": k.y, "confidence": k.confidence });
    json!({
        "id": p.id(),
        "keypoints": p.keypoints().map(keypoint).collect::<Vec<_>>(),
        "confidence": p.confidence(),
        "zone_id": p.zone().map(|z| z.id.as_str()),
        "activity": p.activity().map(Activity::name),
        "position_m": p.position_m(),
    })
}

pub(super) fn event_message(topic: Topic, event: &Event) -> Value {
    let more = match topic {
        Topic::SystemAlerts => json!({
            "type": "system_alert",
            "category": notices::category(event),
            "message": notices::words(event),
        }),
        _ => json!({ "type": "zone_event" }),
    };
    notices::with(notices::common(event), more)
}
