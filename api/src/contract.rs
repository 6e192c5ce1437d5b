//! JSON of the REST contract, version 1. Members beyond the contract are additions that its clients pass over.

use serde::Serialize;
use utoipa::ToSchema;

use crate::Time;
use crate::view::{BoxView, FrameView, KeypointView, PersonView, decimal, source_name};
use invispose_pipeline::pose::{self, Activity};

/// What was sensed in one window of one site.
#[derive(Debug, Serialize, ToSchema)]
pub struct PoseFrame {
    /// End of the window.
    timestamp: Time,
    /// Counts up, per site.
    frame_id: u64,
    /// Persons that the filter keeps.
    persons: Vec<Person>,
    /// From the window's last packet to the frame, milliseconds.
    processing_time_ms: f64,
    metadata: Metadata,
}

/// On what the frame rests.
#[derive(Debug, Serialize, ToSchema)]
struct Metadata {
    /// The site.
    site_id: String,
    /// `live`, `replay` or `simulated`.
    source: &'static str,
    /// The pose network; null when none looked at this frame.
    model: Option<String>,
    /// An evaluation on this site showed that its poses beat the mean pose.
    calibrated: bool,
    /// Poses without such an evaluation.
    experimental: bool,
    /// Null until the quiet baseline is learned.
    presence: Option<Presence>,
    /// Missing unless it is reliable.
    #[serde(skip_serializing_if = "Option::is_none")]
    breathing: Option<Breathing>,
    /// How many people are there; missing where nothing says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<Count>,
    /// What somebody does, by the signal alone; missing where no classifier was taught on this site, and where it cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<SignalActivity>,
    /// Published more than `stale_after` ago or in an earlier run: not the present state.
    stale: bool,
    /// Since its publication.
    age_ms: Option<f64>,
    /// From the end of the window to its publication; live frames only.
    latency_ms: Option<f64>,
}

/// Presence and motion, from the signal alone.
#[derive(Debug, Serialize, ToSchema)]
struct Presence {
    /// Somebody is there.
    present: bool,
    /// Motion over the quiet baseline.
    motion_level: f64,
    /// Share of the links that were heard.
    coverage: f64,
}

/// Somebody who keeps still breathes.
#[derive(Debug, Serialize, ToSchema)]
struct Breathing {
    /// Breaths a minute.
    rate_bpm: f64,
    /// Share of the slow variation that repeats with each breath, 0..1.
    quality: f64,
}

/// How many people are there, and how far that is known.
#[derive(Debug, Serialize, ToSchema)]
struct Count {
    /// Expected number of people.
    mean: f64,
    /// With a probability of at least 0.9 there are at least so many people…
    low: u8,
    /// …and at most so many.
    high: u8,
    /// `presence` (the signal shows that nobody is there), `tracks` (the people who are followed) or `signal` (a classifier that the site
    /// taught).
    basis: &'static str,
}

/// What somebody does, by the signal alone.
#[derive(Debug, Serialize, ToSchema)]
struct SignalActivity {
    /// As the site calls it.
    name: String,
    /// 0..1.
    probability: f64,
}

/// A detected person.
#[derive(Debug, Serialize, ToSchema)]
struct Person {
    /// Stable while tracked.
    id: String,
    /// 17, in COCO order.
    keypoints: Vec<Keypoint>,
    /// That the person is there, 0..1.
    confidence: f64,
    /// Around the keypoints.
    bounding_box: BoundingBox,
    /// What they do, where it is known.
    activity: Option<&'static str>,
    /// Where they are.
    zone_id: Option<String>,
    /// Site coordinates, metres.
    position_m: [f64; 3],
    /// Metres per second.
    velocity_m_s: [f64; 3],
    /// Missing unless it is reliable and the places of links and people say that it is theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    breathing: Option<Breathing>,
}

/// One of the 17 COCO keypoints.
#[derive(Debug, Serialize, ToSchema)]
struct Keypoint {
    id: u8,
    x: f64,
    y: f64,
    confidence: f64,
    name: &'static str,
    position_m: [f64; 3],
}

/// Around the keypoints, 0..1.
#[derive(Debug, Serialize, ToSchema)]
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
                breathing: frame.breathing.map(Breathing::from),
                count: frame.count.map(|c| Count {
                    mean: decimal(c.mean),
                    low: c.low,
                    high: c.high,
                    basis: c.basis.name(),
                }),
                activity: frame.activity.as_ref().map(|a| SignalActivity {
                    name: a.name.as_ref().to_owned(),
                    probability: decimal(a.probability),
                }),
                stale: view.is_stale(stale_after),
                age_ms: view.age_ms(),
                latency_ms: view.latency_ms(),
            },
        }
    }
}

impl From<pose::Breathing> for Breathing {
    fn from(b: pose::Breathing) -> Self {
        Self { rate_bpm: decimal(b.rate_bpm), quality: decimal(b.quality) }
    }
}

impl From<&PersonView> for Person {
    fn from(person: &PersonView) -> Self {
        Self {
            id: person.id(),
            keypoints: person.keypoints().map(Keypoint::from).collect(),
            confidence: person.confidence(),
            bounding_box: person.bounding_box().into(),
            activity: person.activity().map(Activity::name),
            zone_id: person.zone().map(|z| z.id.clone()),
            position_m: person.position_m(),
            velocity_m_s: person.velocity_m_s(),
            breathing: person.breathing().map(Breathing::from),
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
