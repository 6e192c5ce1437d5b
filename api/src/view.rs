//! A frame in the words of the outside: zones by name, keypoints also as the contract's 0..1 projection.

use std::sync::Arc;
use std::time::Duration;

use invispose_pipeline::floor::Floor;
use invispose_pipeline::pose::{Activity, Breathing, KEYPOINT_NAMES};
use invispose_pipeline::site::ZoneConfig;
use invispose_pipeline::{Person, PoseFrame, SourceKind};

use crate::site::Published;
use crate::{Site, Time};

/// A frame and those of its persons that a filter keeps.
#[derive(Clone, Debug)]
pub struct FrameView {
    site: Site,
    /// As it was when the frame was looked at.
    floor: Arc<Floor>,
    frame: Arc<PoseFrame>,
    kept: Arc<[usize]>,
    published: Option<Published>,
}

/// A person of a frame.
#[derive(Clone, Debug)]
pub struct PersonView {
    frame: FrameView,
    index: usize,
}

/// A joint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeypointView {
    /// 0..16, COCO order.
    pub id: u8,
    /// COCO name.
    pub name: &'static str,
    /// Projection, 0..1 from the left.
    pub x: f64,
    /// Projection, 0..1 from the top.
    pub y: f64,
    /// Site coordinates in metres.
    pub position_m: [f64; 3],
    /// 0..1.
    pub confidence: f64,
}

/// A rectangle in the projection, 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxView {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Four decimals: a tenth of a millimetre is finer than any radio measures, and the shortest text that says it.
pub(crate) fn decimal(v: f32) -> f64 {
    (f64::from(v) * 1e4).round() / 1e4
}

fn decimals<const N: usize>(v: [f32; N]) -> [f64; N] {
    v.map(decimal)
}

/// `live`, `replay` or `simulated`.
pub fn source_name(source: SourceKind) -> &'static str {
    match source {
        SourceKind::Live => "live",
        SourceKind::Replay => "replay",
        SourceKind::Simulated => "simulated",
    }
}

impl FrameView {
    pub(crate) fn new(site: Site, frame: Arc<PoseFrame>, kept: Arc<[usize]>) -> Self {
        Self { floor: site.floor(), published: site.publication(frame.frame_id), site, frame, kept }
    }

    /// The same persons of the same frame, in the same zones.
    pub(crate) fn shows_the_same(&self, other: &Self) -> bool {
        self.frame.frame_id == other.frame.frame_id
            && self.site.is(&other.site)
            && Arc::ptr_eq(&self.floor, &other.floor)
            && self.kept == other.kept
    }

    /// The frame as the ring has it, with all persons.
    pub fn frame(&self) -> &PoseFrame {
        &self.frame
    }

    /// Its site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// End of the window.
    pub fn time(&self) -> Time {
        Time::from_ns(self.frame.time_ns)
    }

    /// From the arrival of the window's last packet to the finished frame, milliseconds.
    pub fn processing_ms(&self) -> f64 {
        (self.frame.processing_ns as f64 / 1e3).round() / 1e3
    }

    /// Milliseconds since this process published the frame, where it did and recently.
    pub fn age_ms(&self) -> Option<f64> {
        self.age().map(|age| (age.as_secs_f64() * 1e3).round())
    }

    fn age(&self) -> Option<Duration> {
        self.published.map(|p| p.age())
    }

    /// Published longer ago than `after`, or by an earlier run: not the present state.
    pub fn is_stale(&self, after: Duration) -> bool {
        self.age().is_none_or(|age| age > after)
    }

    /// From the end of the window to the frame's publication, milliseconds by this host's clock; live frames of this
    /// process only, because other frames carry another clock's time.
    pub fn latency_ms(&self) -> Option<f64> {
        if self.frame.provenance.source != SourceKind::Live {
            return None;
        }
        let wall = self.published?.wall.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(((wall.as_secs_f64() - self.frame.time_ns as f64 / 1e9) * 1e6).round() / 1e3)
    }

    /// Persons that the filter keeps.
    pub fn person_count(&self) -> usize {
        self.kept.len()
    }

    /// Persons that the filter keeps.
    pub fn persons(&self) -> impl Iterator<Item = PersonView> {
        self.kept.iter().map(|&index| PersonView { frame: self.clone(), index })
    }
}

impl PersonView {
    fn person(&self) -> Option<&Person> {
        self.frame.frame.persons.get(self.index)
    }

    /// Stable while tracked.
    pub fn id(&self) -> String {
        self.person().map_or_else(String::new, |p| p.id.to_string())
    }

    /// 0..1.
    pub fn confidence(&self) -> f64 {
        self.person().map_or(0.0, |p| decimal(p.confidence))
    }

    /// Middle of the hips on the floor plan and their height, metres.
    pub fn position_m(&self) -> [f64; 3] {
        self.person().map_or([0.0; 3], |p| decimals(p.position_m))
    }

    /// Metres per second.
    pub fn velocity_m_s(&self) -> [f64; 3] {
        self.person().map_or([0.0; 3], |p| decimals(p.velocity_m_s))
    }

    /// What they do, where it is known.
    pub fn activity(&self) -> Option<Activity> {
        self.person().and_then(|p| p.activity)
    }

    /// How they breathe, where that is known.
    pub fn breathing(&self) -> Option<Breathing> {
        self.person().and_then(|p| p.breathing)
    }

    /// Where they are, where that zone is still in force.
    pub fn zone(&self) -> Option<&ZoneConfig> {
        self.person().and_then(|p| p.zone).and_then(|z| self.frame.floor.zone(z))
    }

    /// The site they are in.
    pub fn site(&self) -> &Site {
        &self.frame.site
    }

    /// All 17 joints.
    pub fn keypoints(&self) -> impl Iterator<Item = KeypointView> {
        let keypoints = self.person().map(|p| &p.keypoints[..]).unwrap_or_default();
        let config = self.frame.site.config();
        keypoints.iter().zip(KEYPOINT_NAMES).zip(0..).map(|((k, name), id)| {
            let [x, y] = decimals(config.project(k.position_m));
            KeypointView {
                id,
                name,
                x,
                y,
                position_m: decimals(k.position_m),
                confidence: decimal(k.confidence),
            }
        })
    }

    /// The smallest rectangle around the joints that have any confidence; around the position alone where none has.
    pub fn bounding_box(&self) -> BoxView {
        let Some(person) = self.person() else { return BoxView { x: 0.0, y: 0.0, width: 0.0, height: 0.0 } };
        let config = self.frame.site.config();
        let joints =
            person.keypoints.iter().filter(|k| k.confidence > 0.0).map(|k| config.project(k.position_m));
        let bounds = joints.fold(None, |bounds: Option<[f32; 4]>, [x, y]| {
            let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
            Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
        });
        let [x0, y0, x1, y1] = bounds.unwrap_or_else(|| {
            let [x, y] = config.project(person.position_m);
            [x, y, x, y]
        });
        BoxView { x: decimal(x0), y: decimal(y0), width: decimal(x1 - x0), height: decimal(y1 - y0) }
    }
}
