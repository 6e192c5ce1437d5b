//! Frames, persons, sites and zones as GraphQL objects over the views.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use invispose_pipeline::SourceKind;
use invispose_pipeline::pose::{self, Activity as PoseActivity};
use invispose_pipeline::site::ZoneConfig;
use serde::{Deserialize, Serialize};

use crate::query::{Filter, Slice};
use crate::view::{FrameView, KeypointView, PersonView, decimal};
use crate::{ApiState, Site as PoseSite, Time};

/// Where the packets behind a frame came from.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Source {
    /// Received from the air while it happened.
    Live,
    /// Read from a capture or recording.
    Replay,
    /// Made by the simulator, which somebody asked for by name.
    Simulated,
}

impl From<SourceKind> for Source {
    fn from(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Live => Self::Live,
            SourceKind::Replay => Self::Replay,
            SourceKind::Simulated => Self::Simulated,
        }
    }
}

/// What a person does.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Activity {
    /// On their feet and in place.
    Standing,
    /// On their feet and moving.
    Walking,
    /// Seated.
    Sitting,
    /// Lying.
    Lying,
    /// Moving an arm.
    Waving,
    /// On the way to the ground.
    Falling,
}

fn activity(activity: PoseActivity) -> Option<Activity> {
    match activity {
        PoseActivity::Standing => Some(Activity::Standing),
        PoseActivity::Walking => Some(Activity::Walking),
        PoseActivity::Sitting => Some(Activity::Sitting),
        PoseActivity::Lying => Some(Activity::Lying),
        PoseActivity::Waving => Some(Activity::Waving),
        PoseActivity::Falling => Some(Activity::Falling),
        _ => None,
    }
}

/// Three coordinates in the site's frame: x and y on the floor, z up. Metres, or metres per second.
#[derive(Clone, Copy, SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "Vector3Input")]
#[serde(from = "[f64; 3]", into = "[f64; 3]")]
pub(crate) struct Vector3 {
    /// Along the room's x axis.
    x: f64,
    /// Along the room's y axis.
    y: f64,
    /// Up.
    z: f64,
}

impl From<[f64; 3]> for Vector3 {
    fn from([x, y, z]: [f64; 3]) -> Self {
        Self { x, y, z }
    }
}

/// A point on the floor, metres.
#[derive(Clone, Copy, SimpleObject, InputObject, Serialize, Deserialize)]
#[graphql(input_name = "Vector2Input")]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub(crate) struct Vector2 {
    /// Along the room's x axis.
    x: f64,
    /// Along the room's y axis.
    y: f64,
}

impl From<Vector3> for [f64; 3] {
    fn from(Vector3 { x, y, z }: Vector3) -> Self {
        [x, y, z]
    }
}

impl From<[f64; 2]> for Vector2 {
    fn from([x, y]: [f64; 2]) -> Self {
        Self { x, y }
    }
}

impl From<Vector2> for [f64; 2] {
    fn from(Vector2 { x, y }: Vector2) -> Self {
        [x, y]
    }
}

/// A rectangle in the site's view, 0..1, y downwards.
#[derive(SimpleObject)]
pub(crate) struct BoundingBox {
    /// Left edge.
    x: f64,
    /// Upper edge.
    y: f64,
    /// Width.
    width: f64,
    /// Height.
    height: f64,
}

/// On what a frame rests.
#[derive(SimpleObject)]
pub(crate) struct Provenance {
    /// Where the packets came from.
    source: Source,
    /// Name and version of the pose network; null when none looked at this frame, so that there can be no persons.
    model: Option<String>,
    /// An evaluation on this very site showed that the model beats the mean pose.
    calibrated: bool,
    /// Poses without such an evaluation, because the operator asked for them.
    experimental: bool,
}

/// Presence and motion, measured from the signal against the site's own quiet baseline.
#[derive(SimpleObject)]
pub(crate) struct Presence {
    /// Somebody is there.
    present: bool,
    /// Motion over the quiet baseline; 1 is the upper quantile of the quiet room.
    motion_level: f64,
    /// Share of the site's links whose packets arrived in the window, 0..1.
    coverage: f64,
}

/// How fast somebody who keeps still breathes, measured from the signal.
#[derive(SimpleObject)]
pub(crate) struct Breathing {
    /// Breaths per minute over the last half minute.
    rate_bpm: f64,
    /// How regular and how alone in the signal the breath is, 0..1.
    quality: f64,
}

impl From<pose::Breathing> for Breathing {
    fn from(b: pose::Breathing) -> Self {
        Self { rate_bpm: decimal(b.rate_bpm), quality: decimal(b.quality) }
    }
}

/// How many people are there, and how far that is known.
#[derive(SimpleObject)]
pub(crate) struct PersonEstimate {
    /// Expected number of people.
    mean: f64,
    /// With a probability of at least 0.9 there are at least so many people…
    low: i32,
    /// …and at most so many.
    high: i32,
    /// What this was concluded from.
    basis: CountBasis,
}

/// What a number of people was concluded from.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum CountBasis {
    /// The signal shows that nobody is there.
    Presence,
    /// The people who are followed, how sure they are, and how many are missed at a time.
    Tracks,
    /// A classifier that this site taught with recordings of its own.
    Signal,
}

impl From<pose::Count> for PersonEstimate {
    fn from(count: pose::Count) -> Self {
        let basis = match count.basis {
            pose::CountBasis::Presence => CountBasis::Presence,
            pose::CountBasis::Tracks => CountBasis::Tracks,
            pose::CountBasis::Signal => CountBasis::Signal,
        };
        Self { mean: decimal(count.mean), low: count.low.into(), high: count.high.into(), basis }
    }
}

/// What somebody at the site does, by the signal alone: a classifier that this site taught with recordings of its own.
#[derive(SimpleObject)]
pub(crate) struct SignalActivity {
    /// As the site calls it.
    name: String,
    /// 0..1.
    probability: f64,
}

/// A joint, in COCO order.
pub(crate) struct Keypoint(KeypointView);

/// A joint, in COCO order.
#[Object]
impl Keypoint {
    /// 0 (nose) to 16 (right ankle).
    async fn id(&self) -> i32 {
        i32::from(self.0.id)
    }
    /// COCO name, e.g. `left_shoulder`.
    async fn name(&self) -> &str {
        self.0.name
    }
    /// In the site's view, 0..1 from the left.
    async fn x(&self) -> f64 {
        self.0.x
    }
    /// In the site's view, 0..1 from the top.
    async fn y(&self) -> f64 {
        self.0.y
    }
    /// Site coordinates, metres.
    async fn position_m(&self) -> Vector3 {
        self.0.position_m.into()
    }
    /// Probability that the position is within the model's stated error, 0..1.
    async fn confidence(&self) -> f64 {
        self.0.confidence
    }
}

/// A tracked human.
pub(crate) struct Person(pub(crate) PersonView);

/// A tracked human.
#[Object]
impl Person {
    /// Stable while the person is tracked; never given again in the life of a data directory.
    async fn id(&self) -> ID {
        self.0.id().into()
    }
    /// Probability that this person is there, 0..1.
    async fn confidence(&self) -> f64 {
        self.0.confidence()
    }
    /// Middle of the hips on the floor plan and their height, metres.
    async fn position_m(&self) -> Vector3 {
        self.0.position_m().into()
    }
    /// Velocity of that point, metres per second.
    #[graphql(name = "velocityMS")]
    async fn velocity_m_s(&self) -> Vector3 {
        self.0.velocity_m_s().into()
    }
    /// All 17 joints.
    #[graphql(complexity = "1 + 17 * child_complexity")]
    async fn keypoints(&self) -> Vec<Keypoint> {
        self.0.keypoints().map(Keypoint).collect()
    }
    /// Around the joints.
    async fn bounding_box(&self) -> BoundingBox {
        let b = self.0.bounding_box();
        BoundingBox { x: b.x, y: b.y, width: b.width, height: b.height }
    }
    /// What they do, where it is known.
    async fn activity(&self) -> Option<Activity> {
        self.0.activity().and_then(activity)
    }
    /// Their breathing; null unless it is reliable and the places of links and people say that it is theirs.
    async fn breathing(&self) -> Option<Breathing> {
        self.0.breathing().map(Breathing::from)
    }
    /// The zone they are in.
    async fn zone(&self) -> Option<Zone> {
        self.0.zone().cloned().map(|config| Zone { site: self.0.site().clone(), config })
    }
}

/// What was sensed in one window of one site.
pub(crate) struct PoseFrame(pub(crate) FrameView);

/// What was sensed in one window of one site.
#[Object]
impl PoseFrame {
    /// Counts up within a data directory, per site.
    async fn id(&self) -> ID {
        self.0.frame().frame_id.to_string().into()
    }
    /// The site.
    async fn site(&self) -> Site {
        Site(self.0.site().clone())
    }
    /// End of the window. For a replay, as captured.
    async fn time(&self) -> Time {
        self.0.time()
    }
    /// From the arrival of the window's last packet to the finished frame, milliseconds.
    async fn processing_time_ms(&self) -> f64 {
        self.0.processing_ms()
    }
    /// From the end of the window to the frame's publication, milliseconds; live frames of this run only.
    async fn latency_ms(&self) -> Option<f64> {
        self.0.latency_ms()
    }
    /// From the frame's publication to this answer, milliseconds; null for frames of an earlier run and for old ones.
    async fn age_ms(&self) -> Option<f64> {
        self.0.age_ms()
    }
    /// Not the present state: published more than some seconds ago, or by an earlier run.
    async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.0.is_stale(ctx.data::<ApiState>()?.config().stale_after))
    }
    /// On what this rests.
    async fn provenance(&self) -> Provenance {
        let p = &self.0.frame().provenance;
        Provenance {
            source: p.source.into(),
            model: p.model.as_deref().map(str::to_owned),
            calibrated: p.calibrated,
            experimental: p.experimental,
        }
    }
    /// Presence from the signal; null until the quiet baseline is learned, or while no packets arrive.
    async fn presence(&self) -> Option<Presence> {
        self.0.frame().presence.map(|p| Presence {
            present: p.present,
            motion_level: decimal(p.motion_level),
            coverage: decimal(p.coverage),
        })
    }
    /// Breathing; null unless it is reliable. With several people it is one of theirs.
    async fn breathing(&self) -> Option<Breathing> {
        self.0.frame().breathing.map(Breathing::from)
    }
    /// How many people are there, whatever the filter; null where nothing says so.
    async fn count(&self) -> Option<PersonEstimate> {
        self.0.frame().count.map(PersonEstimate::from)
    }
    /// What somebody does, by the signal alone; null where no classifier was taught on this site, and where it cannot tell.
    async fn activity(&self) -> Option<SignalActivity> {
        let activity = self.0.frame().activity.as_ref()?;
        Some(SignalActivity {
            name: activity.name.as_ref().to_owned(),
            probability: decimal(activity.probability),
        })
    }
    /// How many persons the filter keeps.
    async fn person_count(&self) -> i32 {
        i32::try_from(self.0.person_count()).unwrap_or(i32::MAX)
    }
    /// Persons that the filter keeps.
    #[graphql(complexity = "1 + 4 * child_complexity")]
    async fn persons(&self) -> Vec<Person> {
        self.0.persons().map(Person).collect()
    }
}

/// A frame and its place in the page.
pub(crate) struct PoseFrameEdge(FrameView);

/// A frame and its place in the page.
#[Object]
impl PoseFrameEdge {
    /// For `after` and `before`.
    async fn cursor(&self) -> String {
        self.0.frame().frame_id.to_string()
    }
    /// The frame.
    async fn node(&self) -> PoseFrame {
        PoseFrame(self.0.clone())
    }
}

/// A page of frames, oldest first.
pub(crate) struct PoseFrameConnection {
    pub(crate) slice: Slice,
    pub(crate) backwards: bool,
    /// Paging goes on in the other direction when a cursor bounded that end.
    pub(crate) bounded: bool,
}

/// A page of frames, oldest first.
#[Object]
impl PoseFrameConnection {
    /// Where the page begins and ends, and whether there is more.
    async fn page_info(&self) -> PageInfo {
        let cursor = |f: &FrameView| f.frame().frame_id.to_string();
        PageInfo {
            has_previous_page: if self.backwards { self.slice.more } else { self.bounded },
            has_next_page: if self.backwards { self.bounded } else { self.slice.more },
            start_cursor: self.slice.frames.first().map(cursor),
            end_cursor: self.slice.frames.last().map(cursor),
        }
    }
    /// The frames with their cursors.
    async fn edges(&self) -> Vec<PoseFrameEdge> {
        self.slice.frames.iter().cloned().map(PoseFrameEdge).collect()
    }
    /// The frames.
    async fn nodes(&self) -> Vec<PoseFrame> {
        self.slice.frames.iter().cloned().map(PoseFrame).collect()
    }
}

/// An area of a site's floor.
pub(crate) struct Zone {
    pub(crate) site: PoseSite,
    pub(crate) config: ZoneConfig,
}

impl Zone {
    /// Those in force, in the order in which they are looked at.
    pub(crate) fn all(site: &PoseSite) -> Vec<Self> {
        let floor = site.floor();
        floor.zones().iter().map(|z| Self { site: site.clone(), config: z.config.clone() }).collect()
    }
}

/// An area of a site's floor.
#[Object]
impl Zone {
    /// Identifier within the site.
    async fn id(&self) -> ID {
        self.config.id.clone().into()
    }
    /// For people.
    async fn name(&self) -> &str {
        if self.config.name.is_empty() { &self.config.id } else { &self.config.name }
    }
    /// Corners in order, site coordinates in metres.
    async fn polygon_m(&self) -> Vec<Vector2> {
        self.config.polygon_m.iter().map(|&[x, y]| Vector2 { x: decimal(x), y: decimal(y) }).collect()
    }
    /// Persons in the zone in the newest frame; null when there is no frame that shows the present.
    async fn occupancy(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Least confidence of a person, 0..1.", default = 0.5)] min_confidence: f64,
    ) -> Result<Option<i32>> {
        let state = ctx.data::<ApiState>()?;
        let filter = Filter {
            site: Some(self.site.config().id.clone()),
            zone: Some(self.config.id.clone()),
            min_confidence,
            person: None,
        };
        let selection = state.select(&filter).map_err(|e| e.graphql())?;
        let present = selection.current().ok().filter(|f| !f.is_stale(state.config().stale_after));
        Ok(present.map(|f| i32::try_from(f.person_count()).unwrap_or(i32::MAX)))
    }
}

/// A place: one set of links, zones and persons.
pub(crate) struct Site(pub(crate) PoseSite);

/// A place: one set of links, zones and persons.
#[Object]
impl Site {
    /// Identifier in every API.
    async fn id(&self) -> ID {
        self.0.config().id.clone().into()
    }
    /// For people.
    async fn name(&self) -> &str {
        let config = self.0.config();
        if config.name.is_empty() { &config.id } else { &config.name }
    }
    /// Size of the room in metres, z height.
    async fn room_m(&self) -> Vector3 {
        self.0.config().room_m.map(decimal).into()
    }
    /// Areas of the floor.
    async fn zones(&self) -> Vec<Zone> {
        Zone::all(&self.0)
    }
    /// Transmitter-receiver pairs whose places are known.
    async fn links(&self) -> Vec<Link> {
        let links = self.0.config().links.iter();
        let place = |p: [f32; 3]| Vector3::from(p.map(decimal));
        links
            .map(|l| Link {
                id: l.id.clone().into(),
                transmitter_m: place(l.transmitter_m),
                receiver_m: place(l.receiver_m),
            })
            .collect()
    }
}

/// A transmitter-receiver pair.
#[derive(SimpleObject)]
pub(crate) struct Link {
    /// The link's name as its source gives it.
    id: ID,
    /// Where the transmitter stands, metres.
    transmitter_m: Vector3,
    /// Where the receiver's antennas stand, metres.
    receiver_m: Vector3,
}
