//! JSON of the REST contract, version 1. Members beyond the contract are additions that its clients pass over.

use serde::Serialize;

use crate::Time;
use crate::view::{BoxView, FrameView, KeypointView, PersonView, activity_name, decimal, source_name};

/// `PoseFrame`.
#[derive(Debug, Serialize)]
pub struct PoseFrame {
    timestamp: Time,
    frame_id: u64,
    persons: Vec<Person>,
    processing_time_ms: f64,
    metadata: Metadata,
}

#[derive(Debug, Serialize)]
struct Metadata {
    site_id: String,
    source: &'static str,
    model: Option<String>,
    calibrated: bool,
    experimental: bool,
    presence: Option<Presence>,
    /// Missing unless it is reliable.
    #[serde(skip_serializing_if = "Option::is_none")]
    breathing: Option<Breathing>,
    /// Published more than `stale_after` ago or in an earlier run: not the present state.
    stale: bool,
    age_ms: Option<f64>,
    latency_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Presence {
    present: bool,
    motion_level: f64,
    coverage: f64,
}

#[derive(Debug, Serialize)]
struct Breathing {
    rate_bpm: f64,
    quality: f64,
}

#[derive(Debug, Serialize)]
struct Person {
    id: String,
    keypoints: Vec<Keypoint>,
    confidence: f64,
    bounding_box: BoundingBox,
    activity: Option<&'static str>,
    zone_id: Option<String>,
    position_m: [f64; 3],
    velocity_m_s: [f64; 3],
}

#[derive(Debug, Serialize)]
struct Keypoint {
    id: u8,
    x: f64,
    y: f64,
    confidence: f64,
    name: &'static str,
    position_m: [f64; 3],
}

#[derive(Debug, Serialize)]
struct BoundingBox {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl PoseFrame {
    /// The frame as the contract writes it.
    pub fn new(view: &FrameView, stale_after: std::time::Duration) -> Self {
        let frame = view.frame();
        let provenance = &frame.provenance;
        Self {
            timestamp: view.time(),
            frame_id: frame.frame_id,
            persons: view.persons().map(|p| Person::from(&p)).collect(),
            processing_time_ms: view.processing_ms(),
            metadata: Metadata {
                site_id: view.site().config().id.clone(),
                source: source_name(provenance.source),
                model: provenance.model.as_deref().map(str::to_owned),
                calibrated: provenance.calibrated,
                experimental: provenance.experimental,
                presence: frame.presence.map(|p| Presence {
                    present: p.present,
                    motion_level: decimal(p.motion_level),
                    coverage: decimal(p.coverage),
                }),
                breathing: frame
                    .breathing
                    .map(|b| Breathing { rate_bpm: decimal(b.rate_bpm), quality: decimal(b.quality) }),
                stale: view.is_stale(stale_after),
                age_ms: view.age_ms(),
                latency_ms: view.latency_ms(),
            },
        }
    }
}

impl From<&PersonView> for Person {
    fn from(person: &PersonView) -> Self {
        Self {
            id: person.id(),
            keypoints: person.keypoints().map(Keypoint::from).collect(),
            confidence: person.confidence(),
            bounding_box: person.bounding_box().into(),
            activity: person.activity().and_then(activity_name),
            zone_id: person.zone().map(|z| z.id.clone()),
            position_m: person.position_m(),
            velocity_m_s: person.velocity_m_s(),
        }
    }
}

impl From<KeypointView> for Keypoint {
    fn from(k: KeypointView) -> Self {
        Self { id: k.id, x: k.x, y: k.y, confidence: k.confidence, name: k.name, position_m: k.position_m }
    }
}

impl From<BoxView> for BoundingBox {
    fn from(b: BoxView) -> Self {
        Self { x: b.x, y: b.y, width: b.width, height: b.height }
    }
}
