//! Events as GraphQL objects: those that were kept, and those that come.

use std::sync::Arc;

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use futures_util::stream::{self, Stream};
use invispose_pipeline::events::{Event as Happening, Severity as Rank};
use serde::{Deserialize, Serialize};

use super::page;
use super::scalars::Count;
use crate::event_feed::{EventFilter, Kinds, kind};
use crate::query::{QueryError, TimeRange};
use crate::store::EventQuery;
use crate::{ApiState, Time};

/// How much something matters.
#[derive(Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[graphql(remote = "Rank")]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// For the record.
    Info,
    /// Worth a look some time.
    Low,
    /// Worth a look soon.
    Medium,
    /// Somebody should look now.
    High,
    /// Somebody must come.
    Critical,
}

/// Something that happened at a site, or to the system.
pub(crate) struct Event(Arc<Happening>);

/// Something that happened at a site, or to the system.
#[Object]
impl Event {
    /// Unique everywhere, in the order of publication.
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }
    /// What happened, e.g. `person.entered_zone`.
    async fn kind(&self) -> &str {
        self.0.kind.name()
    }
    /// When.
    async fn time(&self) -> Time {
        Time::from_ns(self.0.time_ns)
    }
    /// Where; null for events of the whole system.
    async fn site_id(&self) -> Option<ID> {
        self.0.site.as_deref().map(ID::from)
    }
    /// How much it matters.
    async fn severity(&self) -> Severity {
        self.0.severity.into()
    }
    /// Whom it is about.
    async fn person_id(&self) -> Option<ID> {
        self.0.person.map(|id| id.to_string().into())
    }
    /// In which zone.
    async fn zone_id(&self) -> Option<ID> {
        self.0.place.as_ref().and_then(|p| p.zone.as_deref()).map(ID::from)
    }
    /// What it is about besides: a link, a source, a component or a rule.
    async fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }
    /// Probability that it happened, 0..1, where there is one.
    async fn confidence(&self) -> Option<f64> {
        self.0.confidence.map(crate::view::decimal)
    }
    /// The figures that it was concluded from, as JSON.
    async fn evidence(&self) -> String {
        serde_json::to_string(&self.0.evidence).unwrap_or_default()
    }
    /// Events of this kind at this site that a rate limit has held back since the last one.
    async fn suppressed(&self) -> Count {
        Count(self.0.suppressed)
    }
}

/// A page of events in the order of their publication.
#[derive(SimpleObject)]
pub(crate) struct EventConnection {
    /// Whether there is more.
    page_info: PageInfo,
    /// The events with their cursors.
    edges: Vec<EventEdge>,
}

/// An event and its place in the page.
#[derive(SimpleObject)]
pub(crate) struct EventEdge {
    /// For `after`.
    cursor: String,
    /// The event.
    node: Event,
}

/// Queries over events.
#[derive(Default)]
pub(crate) struct Kept;

#[Object]
impl Kept {
    /// Events of `from <= time < to` in the order of their publication.
    #[graphql(complexity = "1 + page(first).unwrap_or(0) * child_complexity")]
    #[allow(clippy::too_many_arguments)]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site only.")] site_id: Option<ID>,
        #[graphql(desc = "First moment.")] from: Option<Time>,
        #[graphql(desc = "First moment that is too late.")] to: Option<Time>,
        #[graphql(name = "kind", desc = "Of this kind only, e.g. `person.detected`.")] of: Option<String>,
        #[graphql(desc = "At least so severe.")] min_severity: Option<Severity>,
        #[graphql(desc = "In this zone only.")] zone_id: Option<ID>,
        #[graphql(desc = "About this person only.")] person_id: Option<ID>,
        #[graphql(desc = "How many, 1..1000.", default = 100)] first: i32,
        #[graphql(desc = "Only events after this cursor.")] after: Option<String>,
    ) -> Result<EventConnection> {
        let state = ctx.data::<ApiState>()?;
        let limit = page(first).map_err(|e| e.graphql())?;
        TimeRange::checked(from, to).map_err(|e| e.graphql())?;
        if let Some(id) = &site_id {
            state.site(Some(id)).map_err(|e| e.graphql())?;
        }
        let filter = EventFilter {
            site: site_id.map(|id| id.0),
            kinds: kind(of).map_err(|e| e.graphql())?.map_or(Kinds::All, Kinds::One),
            severity: min_severity.map_or(Rank::Info, Rank::from),
            zone: zone_id.map(|id| id.0),
            person: person_id.map(|id| id.0),
        };
        let query = EventQuery {
            from_ns: from.map(Time::as_ns),
            to_ns: to.map(Time::as_ns),
            after: after.clone(),
            limit: limit + 1,
            ..filter.of_the_past()
        };
        let store =
            state.store().ok_or_else(|| QueryError::Away("this server keeps no events".into()).graphql())?;
        let mut found = state.kept_events(store, &query).await.map_err(|e| QueryError::from(e).graphql())?;
        let more = found.len() > limit;
        found.truncate(limit);
        let edge = |e: Happening| EventEdge { cursor: e.id.to_string(), node: Event(Arc::new(e)) };
        let edges: Vec<EventEdge> = found.into_iter().map(edge).collect();
        let page_info = PageInfo {
            has_previous_page: after.is_some(),
            has_next_page: more,
            start_cursor: edges.first().map(|e| e.cursor.clone()),
            end_cursor: edges.last().map(|e| e.cursor.clone()),
        };
        Ok(EventConnection { page_info, edges })
    }
}

/// Subscriptions to events.
#[derive(Default)]
pub(crate) struct Coming;

/// Events as they come, once it is sure that the site and the zone exist.
fn follow(ctx: &Context<'_>, filter: EventFilter) -> Result<impl Stream<Item = Result<Event>> + use<>> {
    let feed = filter.follow(ctx.data::<ApiState>()?).map_err(|e| e.graphql())?;
    Ok(stream::unfold(Some(feed), async |feed| {
        let mut feed = feed?;
        match feed.next().await? {
            Ok(event) => Some((Ok(Event(event)), Some(feed))),
            Err(missed) => Some((Err(async_graphql::Error::new(missed.to_string())), None)),
        }
    }))
}

#[async_graphql::Subscription]
impl Coming {
    /// Events as they happen. A client that is too slow for them gets an error that says how many it missed, and the subscription ends.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site only.")] site_id: Option<ID>,
        #[graphql(name = "kind", desc = "Of this kind only, e.g. `person.detected`.")] of: Option<String>,
        #[graphql(desc = "At least so severe.")] min_severity: Option<Severity>,
        #[graphql(desc = "In this zone only.")] zone_id: Option<ID>,
        #[graphql(desc = "About this person only.")] person_id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<Event>>> {
        let filter = EventFilter {
            site: site_id.map(|id| id.0),
            kinds: kind(of).map_err(|e| e.graphql())?.map_or(Kinds::All, Kinds::One),
            severity: min_severity.map_or(Rank::Info, Rank::from),
            zone: zone_id.map(|id| id.0),
            person: person_id.map(|id| id.0),
        };
        follow(ctx, filter)
    }

    /// Who comes into zones and leaves them, and where there are too many or somebody who must not be there; as `events` else.
    async fn zone_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site only.")] site_id: Option<ID>,
        #[graphql(desc = "In this zone only.")] zone_id: Option<ID>,
        #[graphql(desc = "About this person only.")] person_id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<Event>>> {
        let filter = EventFilter {
            site: site_id.map(|id| id.0),
            kinds: Kinds::OfZones,
            severity: Rank::Info,
            zone: zone_id.map(|id| id.0),
            person: person_id.map(|id| id.0),
        };
        follow(ctx, filter)
    }
}
