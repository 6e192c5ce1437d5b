//! `EventService`: what happens, and what happened.

use futures_util::{TryStreamExt, stream};
use invispose_pipeline::events::Event;
use tonic::{Request, Response, Status};

use super::paged::paged;
use super::proto::event_service_server::EventService;
use super::{Answers, Service, convert, proto};
use crate::Time;
use crate::event_feed::{EventFilter, Kinds, kind};
use crate::query::{DEFAULT_PAGE, Field, Filter, QueryError, TimeRange};
use crate::store::EventQuery;
use crate::view::decimal;

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
        let store = store.ok_or_else(|| QueryError::Away("this server keeps no events".into()))?;
        let all = EventQuery {
            from_ns: from.map(Time::as_ns),
            to_ns: to.map(Time::as_ns),
            after: None,
            limit: DEFAULT_PAGE,
            skip: 0,
            ..wanted.of_the_past()
        };
        let seen = state.clone();
        let read = move |after: String, limit| {
            let after = Some(after).filter(|id| !id.is_empty());
            let (state, store, query) =
                (seen.clone(), store.clone(), EventQuery { after, limit, ..all.clone() });
            async move {
                let events = state.kept_events(&store, &query).await?;
                let last = events.last().filter(|_| events.len() == limit).map(|e| e.id.to_string());
                Ok::<_, QueryError>((events, last))
            }
        };
        let events = paged(request.after_event_id, request.limit, read)
            .map_ok(|event| message(&event))
            .map_err(Status::from);
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
