//! `EventService`: what happens, and what happened.

use std::vec;

use futures_util::stream;
use invispose_pipeline::events::Event;
use tonic::{Request, Response, Status};

use super::proto::event_service_server::EventService;
use super::{Answers, Service, convert, proto};
use crate::event_feed::{EventFilter, Kinds, kind};
use crate::query::{DEFAULT_PAGE, Field, Filter, QueryError, TimeRange};
use crate::store::{EventQuery, Store};
use crate::view::decimal;
use crate::{ApiState, Time};

/// Events of the past, read page by page as the client takes them.
struct Reading {
    state: ApiState,
    store: Store,
    query: EventQuery,
    /// How many are still wanted.
    left: u64,
    page: vec::IntoIter<Event>,
    more: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Event, QueryError>> {
        if self.left == 0 {
            return None;
        }
        if self.page.len() == 0 && self.more {
            match self.state.kept_events(&self.store, &self.query).await {
                Ok(events) => {
                    self.more = events.len() == self.query.limit;
                    self.page = events.into_iter();
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error.into()));
                }
            }
        }
        let event = self.page.next()?;
        self.query.after = Some(event.id.to_string());
        self.left -= 1;
        Some(Ok(event))
    }
}

fn filter(filter: Option<proto::EventFilter>) -> Result<EventFilter, QueryError> {
    let filter = filter.unwrap_or_default();
    Ok(EventFilter {
        severity: convert::rank(filter.min_severity()),
        kinds: kind(filter.kind)?.map_or(Kinds::All, Kinds::One),
        site: filter.site_id,
        zone: filter.zone_id,
        person: filter.person_id,
    })
}

#[tonic::async_trait]
impl EventService for Service {
    type ListEventsStream = Answers<proto::Event>;

    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<Self::ListEventsStream>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let (from, to) = (convert::time(request.from, Field::From)?, convert::time(request.to, Field::To)?);
        TimeRange::checked(from, to)?;
        let wanted = filter(request.filter)?;
        let place = Filter { site: wanted.site.clone(), zone: wanted.zone.clone(), ..Filter::default() };
        state.select(&place)?;
        let store = state.store().cloned();
        let reading = Reading {
            state: state.clone(),
            store: store.ok_or_else(|| QueryError::Away("this server keeps no events".into()))?,
            query: EventQuery {
                from_ns: from.map(Time::as_ns),
                to_ns: to.map(Time::as_ns),
                after: Some(request.after_event_id).filter(|id| !id.is_empty()),
                limit: DEFAULT_PAGE,
                skip: 0,
                ..wanted.of_the_past()
            },
            left: if request.limit == 0 { u64::MAX } else { request.limit },
            page: vec::IntoIter::default(),
            more: true,
        };
        let events = stream::unfold(reading, |mut reading| async move {
            let event = reading.next().await?;
            Some((event.map(|e| message(&e)).map_err(Status::from), reading))
        });
        Ok(Response::new(self.stream(&state, events)))
    }

    type WatchEventsStream = Answers<proto::Event>;

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let feed = filter(request.filter)?.follow(&state)?;
        let events = stream::unfold(Some(feed), |feed| async move {
            let mut feed = feed?;
            match feed.next().await? {
                Ok(event) => Some((Ok(message(&event)), Some(feed))),
                Err(missed) => Some((Err(Status::data_loss(missed.to_string())), None)),
            }
        });
        Ok(Response::new(self.stream(&state, events)))
    }
}

fn message(event: &Event) -> proto::Event {
    proto::Event {
        id: event.id.to_string(),
        kind: event.kind.name().to_owned(),
        time: Some(convert::timestamp(Time::from_ns(event.time_ns))),
        site_id: event.site.as_deref().map(str::to_owned),
        severity: convert::severity(event.severity).into(),
        person_id: event.person.map(|p| p.to_string()),
        zone_id: event.place.as_ref().and_then(|p| p.zone.as_deref()).map(str::to_owned),
        subject: event.subject.as_deref().map(str::to_owned),
        confidence: event.confidence.map(decimal),
        evidence_json: serde_json::to_string(&event.evidence).unwrap_or_default(),
        suppressed: event.suppressed,
    }
}
