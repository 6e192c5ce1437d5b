//! The past in sums: persons, occupancy and activities over time, heat maps.

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::{page, select};
use crate::people::PersonInfo;
use crate::query::{Field, Filter, QueryError, TimeRange};
use crate::{Time, analytics, movements, store};
use invispose_pipeline::pose::Activity;

/// Queries over what is kept.
#[derive(Default)]
pub(crate) struct Past;

#[Object]
impl Past {
    /// A person by id; null where nobody of this id is known.
    async fn person(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
    ) -> Result<Option<KnownPerson>> {
        let filter = Filter { site: site_id.map(|id| id.0), person: Some(id.0), ..Filter::default() };
        let selection = select(ctx, &filter)?;
        Ok(selection.known_person().await.map_err(|e| e.graphql())?.map(KnownPerson::from))
    }

    /// Persons seen at `from <= time < to`, those seen last first.
    #[graphql(complexity = "1 + page(first).unwrap_or(0) * child_complexity")]
    async fn persons(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "First moment.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late.")] to: Option<Time>,
        #[graphql(desc = "How many, 1..1000.", default = 100)] first: i32,
        #[graphql(desc = "How many to pass over.", default = 0)] skip: i32,
    ) -> Result<Vec<KnownPerson>> {
        let limit = page(first).map_err(|e| e.graphql())?;
        let range = TimeRange::checked(from, to).map_err(|e| e.graphql())?;
        let filter = Filter { site: site_id.map(|id| id.0), ..Filter::default() };
        let selection = select(ctx, &filter)?;
        let skip = usize::try_from(skip).unwrap_or(0);
        let found = selection.known_persons(range, limit, skip).await.map_err(|e| e.graphql())?;
        Ok(found.into_iter().map(KnownPerson::from).collect())
    }

    /// What was seen in stretches of time, of the site (`zoneId` null) and of its zones; the last day where nothing is said.
    /// Stretches without a frame are left out.
    #[graphql(complexity = "1 + 24 * child_complexity")]
    #[allow(clippy::too_many_arguments)]
    async fn activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "This zone only.")] zone_id: Option<ID>,
        #[graphql(desc = "First moment, taken down to the minute.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late, taken up to the minute.")] to: Option<Time>,
        #[graphql(desc = "Length of a stretch in minutes, 1..527040.", default = 60)] interval_minutes: i32,
    ) -> Result<Vec<Stretch>> {
        let (from, to) = TimeRange::or_last_day(from, to).map_err(|e| e.graphql())?;
        if !(1..=527_040).contains(&interval_minutes) {
            let error = QueryError::invalid(Field::Interval, "must be between 1 and 527040");
            return Err(error.graphql());
        }
        let filter =
            Filter { site: site_id.map(|id| id.0), zone: zone_id.map(|id| id.0), ..Filter::default() };
        let selection = select(ctx, &filter)?;
        let width = i64::from(interval_minutes) * 60_000_000_000;
        let stretches = selection.stretches(from, to, width).await.map_err(|e| e.graphql())?;
        Ok(stretches.into_iter().map(Stretch::from).collect())
    }

    /// How long people stayed in zones, by zone, of stays that ended at `from <= time < to`; the last day where nothing is said.
    #[graphql(complexity = "1 + 16 * child_complexity")]
    async fn dwell(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "In this zone only.")] zone_id: Option<ID>,
        #[graphql(desc = "This person's only.")] person_id: Option<ID>,
        #[graphql(desc = "First moment.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late.")] to: Option<Time>,
    ) -> Result<Vec<Dwell>> {
        let (from, to) = TimeRange::or_last_day(from, to).map_err(|e| e.graphql())?;
        let filter = Filter {
            site: site_id.map(|id| id.0),
            zone: zone_id.map(|id| id.0),
            person: person_id.map(|id| id.0),
            ..Filter::default()
        };
        let found = select(ctx, &filter)?.dwell(from, to).await.map_err(|e| e.graphql())?;
        Ok(found.into_iter().map(Dwell::from).collect())
    }

    /// How often people who came into one zone came into another next, at `from <= time < to`; the last day where nothing is said.
    #[graphql(complexity = "1 + 64 * child_complexity")]
    async fn transitions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "This person's only.")] person_id: Option<ID>,
        #[graphql(desc = "First moment.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late.")] to: Option<Time>,
    ) -> Result<Vec<Transition>> {
        let (from, to) = TimeRange::or_last_day(from, to).map_err(|e| e.graphql())?;
        let filter =
            Filter { site: site_id.map(|id| id.0), person: person_id.map(|id| id.0), ..Filter::default() };
        let found = select(ctx, &filter)?.transitions(from, to).await.map_err(|e| e.graphql())?;
        let one = |t: movements::Transition| Transition {
            from_zone_id: t.from.into(),
            to_zone_id: t.to.into(),
            count: super::scalars::Count(t.count),
        };
        Ok(found.into_iter().map(one).collect())
    }

    /// Where on the floor people were; the last day where nothing is said.
    async fn heat_map(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "First moment, taken down to the minute.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late, taken up to the minute.")] to: Option<Time>,
    ) -> Result<HeatMap> {
        let (from, to) = TimeRange::or_last_day(from, to).map_err(|e| e.graphql())?;
        let filter = Filter { site: site_id.map(|id| id.0), ..Filter::default() };
        let selection = select(ctx, &filter)?;
        Ok(selection.heat(from, to).await.map_err(|e| e.graphql())?.into())
    }
}

/// How long people stayed in a zone.
#[derive(SimpleObject)]
struct Dwell {
    /// The zone.
    zone_id: ID,
    /// Stays that ended.
    stays: super::scalars::Count,
    /// Mean, seconds.
    mean_s: f64,
    /// Half of them were no longer than this, seconds.
    p50_s: f64,
    /// Nine in ten were no longer, seconds.
    p90_s: f64,
    /// 99 in a hundred were no longer, seconds.
    p99_s: f64,
    /// The longest, seconds.
    max_s: f64,
    /// Further ones that a rate limit on events held back: they are not counted.
    suppressed: super::scalars::Count,
}

impl From<movements::Dwell> for Dwell {
    fn from(d: movements::Dwell) -> Self {
        let [mean_s, p50_s, p90_s, p99_s, max_s] = d.seconds;
        Self {
            zone_id: d.zone.into(),
            stays: super::scalars::Count(d.stays),
            mean_s,
            p50_s,
            p90_s,
            p99_s,
            max_s,
            suppressed: super::scalars::Count(d.suppressed),
        }
    }
}

/// People who were in one zone and then in another.
#[derive(SimpleObject)]
struct Transition {
    /// Where they were.
    from_zone_id: ID,
    /// Where they were next.
    to_zone_id: ID,
    /// How often.
    count: super::scalars::Count,
}

/// What is known of a person.
#[derive(SimpleObject)]
struct KnownPerson {
    /// Stable while tracked, and never given again.
    id: ID,
    /// In the first frame that shows them.
    first_seen: Time,
    /// In the last one.
    last_seen: Time,
    /// In the newest frame, which shows the present.
    tracked: bool,
    /// The zone they were in last.
    last_zone_id: Option<ID>,
    /// Mean over all frames that show them, 0..1.
    average_confidence: f64,
    /// Frames that show them.
    frames: super::scalars::Count,
    /// `live`, `replay` or `simulated`.
    source: String,
    /// Frames by activity.
    activities: Vec<ActivityCount>,
}

/// Frames of one activity.
#[derive(SimpleObject)]
struct ActivityCount {
    /// E.g. `walking`.
    activity: &'static str,
    /// How many.
    frames: super::scalars::Count,
}

impl From<PersonInfo> for KnownPerson {
    fn from(info: PersonInfo) -> Self {
        let r = info.record;
        let counts = Activity::ALL.map(Activity::name).into_iter().zip(r.activities).filter(|(_, n)| *n > 0);
        Self {
            id: r.id.to_string().into(),
            first_seen: r.first_seen,
            last_seen: r.last_seen,
            tracked: info.tracked,
            last_zone_id: r.zone.map(ID::from),
            average_confidence: (r.average_confidence * 1e4).round() / 1e4,
            frames: super::scalars::Count(r.count),
            source: r.source,
            activities: counts
                .map(|(activity, n)| ActivityCount { activity, frames: super::scalars::Count(n) })
                .collect(),
        }
    }
}

/// What was seen in one stretch of time.
#[derive(SimpleObject)]
struct Stretch {
    /// Its start.
    start: Time,
    /// The zone; null for the whole site.
    zone_id: Option<ID>,
    /// Where the packets came from: `live`, `replay`, `simulated`.
    sources: Vec<String>,
    /// Frames of the site.
    frames: super::scalars::Count,
    /// Persons in the mean frame.
    mean_occupancy: f64,
    /// Persons in the fullest frame.
    max_occupancy: super::scalars::Count,
    /// Share of the frames in which somebody was seen there, 0..1.
    occupied: f64,
    /// Share of the frames in which the signal says that somebody is present, 0..1; null where it does not say.
    present: Option<f64>,
    /// Mean motion level over the quiet baseline; null where it is not known.
    motion_level: Option<f64>,
    /// Shares of the persons whose activity is known, 0..1; empty where none is.
    activities: Vec<ActivityShare>,
}

/// One activity's share.
#[derive(SimpleObject)]
struct ActivityShare {
    /// E.g. `walking`.
    activity: &'static str,
    /// 0..1.
    share: f64,
}

impl From<analytics::Stretch> for Stretch {
    fn from(s: analytics::Stretch) -> Self {
        let shares = s
            .activities
            .into_iter()
            .flat_map(|shares| Activity::ALL.map(Activity::name).into_iter().zip(shares));
        Self {
            start: s.start,
            zone_id: s.zone.map(ID::from),
            sources: s.sources.into_iter().collect(),
            frames: super::scalars::Count(s.frames),
            mean_occupancy: s.mean,
            max_occupancy: super::scalars::Count(s.maximum),
            occupied: s.occupied,
            present: s.present,
            motion_level: s.motion,
            activities: shares.map(|(activity, share)| ActivityShare { activity, share }).collect(),
        }
    }
}

/// Where on the floor people were.
#[derive(SimpleObject)]
struct HeatMap {
    /// Edge of a cell, metres.
    cell_m: f32,
    /// Where the packets came from: `live`, `replay`, `simulated`.
    sources: Vec<String>,
    /// Cells that anybody was in.
    cells: Vec<HeatCell>,
}

/// A cell of the floor.
#[derive(SimpleObject)]
struct HeatCell {
    /// Lower corner along the room's x axis, metres.
    x_m: f32,
    /// Lower corner along the room's y axis, metres.
    y_m: f32,
    /// Frames that showed somebody there, one for each person.
    count: super::scalars::Count,
}

impl From<store::HeatMap> for HeatMap {
    fn from(heat: store::HeatMap) -> Self {
        let cell = |c: store::HeatCell| HeatCell {
            x_m: c.corner_m[0],
            y_m: c.corner_m[1],
            count: super::scalars::Count(c.count),
        };
        Self {
            cell_m: heat.cell_m,
            sources: heat.sources.into_iter().collect(),
            cells: heat.cells.into_iter().map(cell).collect(),
        }
    }
}
