//! Events as they come, for every protocol that lets clients follow them.

use std::sync::Arc;

use invispose_pipeline::events::{Delivery, Event, EventKind, Severity, Subscription};
use thiserror::Error;

use crate::ApiState;
use crate::query::{Field, Filter, QueryError};
use crate::store::EventQuery;

/// What a client wants to hear of.
#[derive(Debug)]
pub(crate) struct EventFilter {
    pub site: Option<String>,
    pub kinds: Kinds,
    /// At least so severe.
    pub severity: Severity,
    pub zone: Option<String>,
    pub person: Option<String>,
}

/// Kinds of events.
#[derive(Debug)]
pub(crate) enum Kinds {
    All,
    One(EventKind),
    /// Who comes into zones and leaves them, and what is wrong there.
    OfZones,
}

/// The kind of this name.
pub(crate) fn kind(name: Option<String>) -> Result<Option<EventKind>, QueryError> {
    name.map(|n| n.parse().map_err(|_| QueryError::invalid(Field::Kind, format!("no event is called {n:?}"))))
        .transpose()
}

impl EventFilter {
    fn lets(&self, event: &Event) -> bool {
        let zone = event.place.as_ref().and_then(|p| p.zone.as_deref());
        let kind = match self.kinds {
            Kinds::All => true,
            Kinds::One(kind) => event.kind == kind,
            Kinds::OfZones => event.kind.is_of_zones(),
        };
        kind && self.site.as_deref().is_none_or(|w| event.site.as_deref() == Some(w))
            && event.severity >= self.severity
            && self.zone.as_deref().is_none_or(|w| zone == Some(w))
            && self.person.as_deref().is_none_or(|w| event.person.is_some_and(|p| p.to_string() == w))
    }

    /// The same of those that are kept; the page is for the caller to say.
    pub(crate) fn of_the_past(&self) -> EventQuery {
        EventQuery {
            site: self.site.clone(),
            severity: Some(self.severity),
            kind: match self.kinds {
                Kinds::One(kind) => Some(kind),
                Kinds::All | Kinds::OfZones => None,
            },
            zone: self.zone.clone(),
            // An id that this program never gives is nobody's.
            person: self.person.as_ref().map(|id| id.parse().unwrap_or(i64::MAX as u64)),
            from_ns: None,
            to_ns: None,
            after: None,
            limit: 0,
            skip: 0,
        }
    }

    /// Events from now on, once it is sure that the site and the zone exist.
    pub(crate) fn follow(self, state: &ApiState) -> Result<EventFeed, QueryError> {
        state.select(&Filter { site: self.site.clone(), zone: self.zone.clone(), ..Filter::default() })?;
        Ok(EventFeed { events: state.events().subscribe(), filter: self, state: state.clone() })
    }
}

/// Events of a filter as they come.
pub(crate) struct EventFeed {
    events: Subscription,
    filter: EventFilter,
    /// As the client may see it.
    state: ApiState,
}

/// The client was too slow for so many events.
#[derive(Clone, Copy, Debug, Error)]
#[error("{0} events were missed")]
pub(crate) struct Missed(u64);

impl EventFeed {
    /// The next one; `None` when there will be no more.
    pub(crate) async fn next(&mut self) -> Option<Result<Arc<Event>, Missed>> {
        loop {
            match self.events.next().await? {
                Delivery::Event(event)
                    if self.filter.lets(&event) && self.state.sees(event.site.as_deref()) =>
                {
                    return Some(Ok(event));
                }
                Delivery::Event(_) => {}
                Delivery::Missed(count) => return Some(Err(Missed(count))),
            }
        }
    }
}
