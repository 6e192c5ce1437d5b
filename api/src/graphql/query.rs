//! Queries: arguments into the query layer.

use async_graphql::{Context, ID, Object, Result};

use super::select;
use super::system::System;
use super::types::{PoseFrame, PoseFrameConnection, Site, Zone};
use crate::query::{DEFAULT_PAGE, Field, Filter, MAX_PAGE, Page, QueryError, Take, TimeRange};
use crate::{ApiState, Time};

/// Queries over the present, and over frames.
#[derive(Default)]
pub(crate) struct Now;

fn cursor(text: Option<String>) -> Result<Option<u64>> {
    let parse =
        |t: String| t.parse().map_err(|_| QueryError::invalid(Field::Cursor, format!("{t:?} is no cursor")));
    text.map(parse).transpose().map_err(|e| e.graphql())
}

/// Frames that a page was asked for, for the complexity of the query.
fn page_size(first: Option<i32>, last: Option<i32>) -> usize {
    first.or(last).map_or(DEFAULT_PAGE, |n| usize::try_from(n).unwrap_or(0)).min(MAX_PAGE)
}

fn take(first: Option<i32>, last: Option<i32>, after: bool) -> Result<Take, QueryError> {
    let count = |n: i32, field| {
        let n = usize::try_from(n).unwrap_or(0);
        let ok = (1..=MAX_PAGE).contains(&n);
        if ok { Ok(n) } else { Err(QueryError::invalid(field, format!("must be between 1 and {MAX_PAGE}"))) }
    };
    match (first, last) {
        (Some(_), Some(_)) => Err(QueryError::invalid(Field::Last, "cannot be given together with first")),
        (Some(n), None) => Ok(Take::First(count(n, Field::First)?)),
        (None, Some(n)) => Ok(Take::Last(count(n, Field::Last)?)),
        (None, None) if after => Ok(Take::First(DEFAULT_PAGE)),
        (None, None) => Ok(Take::Last(DEFAULT_PAGE)),
    }
}

/// What is sensed, where, and how well the system does.
#[Object]
impl Now {
    /// The newest frame of a site; null before the first one. `stale` says whether it still shows the present.
    async fn current_frame(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "Only persons in this zone.")] zone_id: Option<ID>,
        #[graphql(desc = "Only persons of at least this confidence, 0..1.", default = 0.5)]
        min_confidence: f64,
    ) -> Result<Option<PoseFrame>> {
        let filter = Filter {
            site: site_id.map(|id| id.0),
            zone: zone_id.map(|id| id.0),
            min_confidence,
            person: None,
        };
        let selection = select(ctx, &filter)?;
        match selection.current() {
            Ok(frame) => Ok(Some(PoseFrame(frame))),
            Err(QueryError::NoData { .. }) => Ok(None),
            Err(e) => Err(e.graphql()),
        }
    }

    /// Frames of the past, oldest first: `from <= time < to`. Without `first`, `last` and `after` the newest 100.
    #[graphql(complexity = "1 + page_size(first, last) * child_complexity")]
    #[allow(clippy::too_many_arguments)]
    async fn frames(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "First moment.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late.")] to: Option<Time>,
        #[graphql(desc = "The oldest so many, 1..1000.")] first: Option<i32>,
        #[graphql(desc = "Only frames after this cursor.")] after: Option<String>,
        #[graphql(desc = "The newest so many, 1..1000.")] last: Option<i32>,
        #[graphql(desc = "Only frames before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only persons in this zone.")] zone_id: Option<ID>,
        #[graphql(desc = "Only this person, and only frames that show them.")] person_id: Option<ID>,
        #[graphql(desc = "Only persons of at least this confidence, 0..1.", default = 0.0)]
        min_confidence: f64,
    ) -> Result<PoseFrameConnection> {
        let (after, before) = (cursor(after)?, cursor(before)?);
        let take = take(first, last, after.is_some()).map_err(|e| e.graphql())?;
        let range = TimeRange::checked(from, to).map_err(|e| e.graphql())?;
        let filter = Filter {
            site: site_id.map(|id| id.0),
            zone: zone_id.map(|id| id.0),
            min_confidence,
            person: person_id.map(|id| id.0),
        };
        let selection = select(ctx, &filter)?;
        let page = Page { after, before, skip: 0, take };
        let slice = selection.history(range, page).await;
        let backwards = matches!(take, Take::Last(_));
        let bounded = if backwards { before.is_some() } else { after.is_some() };
        Ok(PoseFrameConnection { slice: slice.map_err(|e| e.graphql())?, backwards, bounded })
    }

    /// All sites.
    async fn sites(&self, ctx: &Context<'_>) -> Result<Vec<Site>> {
        Ok(ctx.data::<ApiState>()?.sites().iter().cloned().map(Site).collect())
    }

    /// One site; null where there is none of this id.
    async fn site(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Site>> {
        Ok(ctx.data::<ApiState>()?.site(Some(&id)).ok().cloned().map(Site))
    }

    /// The zones of a site in force; a person's zone is the first one that they are in.
    async fn zones(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
    ) -> Result<Vec<Zone>> {
        let site =
            ctx.data::<ApiState>()?.site(site_id.as_deref().map(String::as_str)).map_err(|e| e.graphql())?;
        Ok(Zone::all(site))
    }

    /// State of the whole.
    async fn system(&self, ctx: &Context<'_>) -> Result<System> {
        Ok(System::new(ctx.data::<ApiState>()?))
    }
}
