//! What a site knows of its quiet room, and learning it on demand, as GraphQL objects.

use async_graphql::{Context, Enum, ErrorExtensions, ID, Object, Result, SimpleObject};
use invispose_pipeline::stages::calibration::{CalibrationError, LinkKnowledge, Progress, SiteCalibration};

use crate::view::decimal;
use crate::{ApiState, Time};

/// What a site knows of its quiet room.
#[derive(SimpleObject)]
struct Calibration {
    /// The site.
    site_id: ID,
    /// How far the last calibration that was asked for is.
    state: CalibrationState,
    /// It listens for so long, seconds of the packets' time; only while it does.
    seconds: Option<f64>,
    /// So much of that is over, seconds.
    passed_s: Option<f64>,
    /// When it ended.
    ended_at: Option<Time>,
    /// Why nothing was learned.
    reason: Option<String>,
    /// Links by name and layout.
    links: Vec<LinkBaseline>,
}

/// How far a calibration is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum CalibrationState {
    /// None was asked for since the start.
    Never,
    /// It listens.
    Listening,
    /// What was learned is in force.
    Done,
    /// Nothing was learned; what was known before is in force.
    Refused,
}

/// What one link knows of the quiet room.
#[derive(SimpleObject)]
struct LinkBaseline {
    /// The link's name as its source gives it.
    link_id: ID,
    /// Transmit antennas, receive antennas and subcarriers.
    layout: Vec<i32>,
    /// Variation of the quiet room relative to the amplitude; null until it is learned.
    quiet_level: Option<f64>,
    /// When that was last brought up to date.
    learned_at: Option<Time>,
    /// It was heard since the start, and what is known of it holds.
    holds: bool,
    /// Why what was known before was given up.
    dropped: Option<String>,
}

impl From<LinkKnowledge> for LinkBaseline {
    fn from(k: LinkKnowledge) -> Self {
        Self {
            link_id: k.link.as_str().into(),
            layout: [k.layout.tx, k.layout.rx, k.layout.subcarriers].map(i32::from).to_vec(),
            quiet_level: k.quiet_level.map(decimal),
            learned_at: k.time_ns.map(Time::from_ns),
            holds: k.holds,
            dropped: k.dropped,
        }
    }
}

impl Calibration {
    fn new(site: &str, calibration: SiteCalibration) -> Self {
        let (mut seconds, mut passed_s, mut ended, mut reason) = (None, None, None, None);
        let state = match calibration.progress {
            Progress::Never => CalibrationState::Never,
            Progress::Listening { seconds: all, passed_s: passed } => {
                (seconds, passed_s) = (Some(all), Some(passed));
                CalibrationState::Listening
            }
            Progress::Done { time_ns, .. } => {
                ended = Some(time_ns);
                CalibrationState::Done
            }
            Progress::Refused { time_ns, reason: why } => {
                (ended, reason) = (Some(time_ns), Some(why));
                CalibrationState::Refused
            }
        };
        Self {
            site_id: site.into(),
            state,
            seconds,
            passed_s,
            ended_at: ended.map(Time::from_ns),
            reason,
            links: calibration.links.into_iter().map(LinkBaseline::from).collect(),
        }
    }
}

fn site<'a>(ctx: &Context<'a>, id: Option<&ID>) -> Result<(&'a ApiState, &'a str)> {
    let state = ctx.data::<ApiState>()?;
    let site = state.site(id.map(|id| id.as_str())).map_err(|e| e.graphql())?;
    Ok((state, &site.config().id))
}

/// What sites know of their quiet rooms.
#[derive(Default)]
pub(crate) struct Known;

/// What sites know of their quiet rooms.
#[Object]
impl Known {
    /// What a site knows of its quiet room, and how far its calibration is.
    async fn calibration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
    ) -> Result<Calibration> {
        let (state, site) = site(ctx, site_id.as_ref())?;
        Ok(Calibration::new(site, state.calibrations().of(site).unwrap_or_default()))
    }
}

/// Calibrating.
#[derive(Default)]
pub(crate) struct Calibrate;

/// Calibrating.
#[Object]
impl Calibrate {
    /// Listens to a site's room, which must be quiet and without people, and then knows its baseline.
    async fn calibrate_baseline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "Seconds of the packets' time, 10 to 900.", default = 30.0)] seconds: f64,
    ) -> Result<Calibration> {
        let (state, site) = site(ctx, site_id.as_ref())?;
        let begun = state.calibrations().begin(site, seconds).map_err(|e| {
            let (message, code) = match &e {
                CalibrationError::Seconds => (format!("seconds: {e}"), "BAD_ARGUMENT"),
                CalibrationError::Busy | CalibrationError::NoSource(_) => (e.to_string(), "CONFLICT"),
            };
            async_graphql::Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
        })?;
        Ok(Calibration::new(site, begun))
    }
}
