//! Alerts as GraphQL objects: those there are, their changes as they come, and what operators say about them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ErrorExtensions, ID, Object, Result, SimpleObject};
use futures_util::stream::{self, Stream};
use invispose_pipeline::alerts::{Alert as Raised, Status};
use tokio::sync::broadcast::error::RecvError;

use super::events::Severity;
use super::page;
use super::scalars::Count;
use crate::alerts::{AlertError, Which};
use crate::query::QueryError;
use crate::{ApiState, Time};

/// Where an alert is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Status")]
pub(crate) enum AlertStatus {
    /// Nobody has seen it yet.
    Open,
    /// Somebody has.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// What somebody should look at, until somebody has.
#[derive(SimpleObject)]
pub(crate) struct Alert {
    /// Unique; ids sort by the time of opening.
    id: ID,
    /// The rule that raised it: the id of one of the configuration file, or `SITE/ID` of a kept one.
    rule_id: ID,
    /// Where; null for the system itself.
    site_id: Option<ID>,
    /// In which zone.
    zone_id: Option<ID>,
    /// About whom.
    person_id: Option<ID>,
    /// About which link, source or component.
    subject: Option<String>,
    /// Where it is in its life.
    status: AlertStatus,
    /// How much it matters.
    severity: Severity,
    /// When it was opened.
    opened_at: Time,
    /// When the last event joined it.
    last_event_at: Time,
    /// Events that made it and joined it.
    events: Count,
    /// How often it has escalated.
    escalations: Count,
    /// When it escalates, unless somebody acknowledges it before.
    escalates_at: Option<Time>,
    /// Who has seen it, and when.
    acknowledged: Option<Said>,
    /// When it ended, and by whom if by somebody.
    resolved: Option<Said>,
}

/// Who, and when.
#[derive(SimpleObject)]
struct Said {
    /// Null where it came about by itself.
    by: Option<String>,
    /// When.
    at: Time,
}

impl From<Raised> for Alert {
    fn from(a: Raised) -> Self {
        Self {
            id: a.id.to_string().into(),
            rule_id: a.rule.into(),
            site_id: a.about.site.map(ID::from),
            zone_id: a.about.zone.map(ID::from),
            person_id: a.about.person.map(|p| p.to_string().into()),
            subject: a.about.subject,
            status: a.status.into(),
            severity: a.severity.into(),
            opened_at: Time::from_ns(a.opened_ns),
            last_event_at: Time::from_ns(a.last_ns),
            events: Count(a.events),
            escalations: Count(a.escalations.into()),
            escalates_at: a.escalate_ns.map(Time::from_ns),
            acknowledged: a.acknowledged.map(|(by, at)| Said { by: Some(by), at: Time::from_ns(at) }),
            resolved: a.resolved.map(|(by, at)| Said { by, at: Time::from_ns(at) }),
        }
    }
}

fn failed(error: AlertError) -> async_graphql::Error {
    let code = match &error {
        AlertError::Query(error) => return error.graphql(),
        AlertError::Unknown(_) => "NOT_FOUND",
        AlertError::Over(_) => "CONFLICT",
        AlertError::By => "BAD_ARGUMENT",
    };
    async_graphql::Error::new(error.to_string()).extend_with(|_, e| e.set("code", code))
}

/// Queries over alerts.
#[derive(Default)]
pub(crate) struct Raising;

#[Object]
impl Raising {
    /// Alerts, the newest first.
    #[graphql(complexity = "1 + page(first).unwrap_or(0) * child_complexity")]
    async fn alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site; of all and the system itself where it is left out.")] site_id: Option<
            ID,
        >,
        #[graphql(desc = "In this state; open and acknowledged ones where it is left out.")] status: Option<
            AlertStatus,
        >,
        #[graphql(desc = "How many, 1..1000.", default = 100)] first: i32,
        #[graphql(desc = "How many to pass over.", default = 0)] skip: i32,
    ) -> Result<Vec<Alert>> {
        let state = ctx.data::<ApiState>()?;
        let limit = page(first).map_err(|e| e.graphql())?;
        let which = status.map_or(Which::Unresolved, |s| Which::In(s.into()));
        let site = site_id.as_ref().map(|id| id.as_str());
        let found = state.alerts(site, which, limit, usize::try_from(skip).unwrap_or(0)).await;
        Ok(found.map_err(|e| e.graphql())?.into_iter().map(Alert::from).collect())
    }

    /// One alert; null where there is none of this id.
    async fn alert(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Alert>> {
        match ctx.data::<ApiState>()?.alert(&id).await {
            Ok(alert) => Ok(Some(alert.into())),
            Err(AlertError::Unknown(_)) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }
}

/// What operators say about alerts.
#[derive(Default)]
pub(crate) struct Settle;

#[Object]
impl Settle {
    /// Somebody has seen it: it escalates no more.
    async fn acknowledge_alert(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Who says so.")] by: String,
    ) -> Result<Alert> {
        Ok(ctx.data::<ApiState>()?.acknowledge(&id, &by).await.map_err(failed)?.into())
    }

    /// Somebody says that it is over.
    async fn resolve_alert(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "Who says so.")] by: String,
    ) -> Result<Alert> {
        Ok(ctx.data::<ApiState>()?.resolve(&id, &by).await.map_err(failed)?.into())
    }
}

/// Subscriptions to alerts.
#[derive(Default)]
pub(crate) struct Changing;

#[async_graphql::Subscription]
impl Changing {
    /// Alerts at each of their changes. A client that is too slow for them gets an error that says how many it missed, and the
    /// subscription ends.
    async fn alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of this site only.")] site_id: Option<ID>,
        #[graphql(desc = "That matter at least so much.")] min_severity: Option<Severity>,
    ) -> Result<impl Stream<Item = Result<Alert>>> {
        let state = ctx.data::<ApiState>()?;
        if let Some(id) = &site_id {
            state.site(Some(id)).map_err(|e| e.graphql())?;
        }
        let none = || QueryError::Away("this server keeps no alerts".into()).graphql();
        let changes = state.alert_changes().ok_or_else(none)?;
        let least = min_severity.map(invispose_pipeline::events::Severity::from);
        let state = state.clone();
        let wanted = move |a: &Arc<Raised>| {
            state.sees(a.about.site.as_deref())
                && site_id.as_ref().is_none_or(|id| a.about.site.as_deref() == Some(id.as_str()))
                && least.is_none_or(|least| a.severity >= least)
        };
        Ok(stream::unfold(Some((changes, wanted)), async |open| {
            let (mut changes, wanted) = open?;
            loop {
                match changes.recv().await {
                    Ok(alert) if wanted(&alert) => {
                        return Some((Ok(Alert::from(Raised::clone(&alert))), Some((changes, wanted))));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => {
                        let error = async_graphql::Error::new(format!("{count} changes were missed"));
                        return Some((Err(error), None));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}
