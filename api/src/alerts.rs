//! Alerts for every protocol: those that are not over from the desk, the others from the store.

use std::sync::Arc;

use invispose_pipeline::alerts::{Alert, AlertDesk, NoAlert, Status};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::ApiState;
use crate::query::{Field, MAX_PAGE, QueryError};
use crate::store::AlertQuery;

/// Changes that somebody who listens may be behind.
const BEHIND: usize = 1024;

/// The desk, and its changes as they come.
#[derive(Clone, Debug)]
pub(crate) struct Alerts {
    desk: AlertDesk,
    changes: broadcast::Sender<Arc<Alert>>,
}

impl Alerts {
    pub(crate) fn new(desk: AlertDesk) -> Self {
        let (changes, _) = broadcast::channel(BEHIND);
        let sender = changes.clone();
        desk.on_change(move |change| drop(sender.send(Arc::new(change.alert.clone()))));
        Self { desk, changes }
    }

    pub(crate) fn desk(&self) -> &AlertDesk {
        &self.desk
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.changes.subscribe()
    }
}

/// Which alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Which {
    /// Open and acknowledged ones.
    #[default]
    Unresolved,
    /// Those in one state.
    In(Status),
    /// All that are kept.
    All,
}

/// Why an alert cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    /// There is none of this id.
    #[error("there is no alert {0:?}")]
    Unknown(String),
    /// It is over.
    #[error("{0}")]
    Over(NoAlert),
    /// Who says so is missing, or is no name.
    #[error("by: 1 to 200 characters are needed")]
    By,
    /// The database has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl ApiState {
    fn desk(&self) -> Result<&AlertDesk, QueryError> {
        self.alert_desk().ok_or_else(|| QueryError::Away("this server keeps no alerts".into()))
    }

    /// Alerts, the newest first.
    pub(crate) async fn alerts(
        &self,
        site: Option<&str>,
        which: Which,
        limit: usize,
        skip: usize,
    ) -> Result<Vec<Alert>, QueryError> {
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(QueryError::invalid(Field::Limit, format!("must be between 1 and {MAX_PAGE}")));
        }
        let site = site.map(|id| self.site(Some(id)).map(|s| s.config().id.clone())).transpose()?;
        let here = |a: &Alert| self.sees(a.about.site.as_deref()) && (site.is_none() || a.about.site == site);
        let live = match which {
            Which::In(Status::Resolved) => Vec::new(),
            Which::In(status) => self.desk()?.alerts().into_iter().filter(|a| a.status == status).collect(),
            Which::Unresolved | Which::All => self.desk()?.alerts(),
        };
        let mut found: Vec<Alert> = live.into_iter().filter(here).collect();
        found.sort_by_key(|a| std::cmp::Reverse(a.id));
        if matches!(which, Which::All | Which::In(Status::Resolved)) {
            let store =
                self.store().ok_or_else(|| QueryError::Away("this server keeps no history".into()))?;
            // Unresolved ones are older or newer than all of these.
            let limit = skip.saturating_add(limit).min(i64::MAX as usize);
            let of = |site| AlertQuery { site, status: Some(Status::Resolved), limit, skip: 0 };
            for site in self.one_or_each(site) {
                found.extend(store.alerts(&of(site)).await?);
            }
            found.sort_by_key(|a| std::cmp::Reverse(a.id));
            found.dedup_by_key(|a| a.id);
        }
        Ok(found.into_iter().skip(skip).take(limit).collect())
    }

    /// One alert.
    pub(crate) async fn alert(&self, id: &str) -> Result<Alert, AlertError> {
        let unknown = || AlertError::Unknown(id.to_owned());
        let uuid: Uuid = id.parse().map_err(|_| unknown())?;
        let found = match (self.desk()?.alerts().into_iter().find(|a| a.id == uuid), self.store()) {
            (None, Some(store)) => store.alert(uuid).await.map_err(QueryError::from)?,
            (found, _) => found,
        };
        found.filter(|alert| self.sees(alert.about.site.as_deref())).ok_or_else(unknown)
    }

    /// Somebody has seen it.
    pub(crate) async fn acknowledge(&self, id: &str, by: &str) -> Result<Alert, AlertError> {
        self.settle(id, by, AlertDesk::acknowledge).await
    }

    /// Somebody says that it is over.
    pub(crate) async fn resolve(&self, id: &str, by: &str) -> Result<Alert, AlertError> {
        self.settle(id, by, AlertDesk::resolve).await
    }

    async fn settle(
        &self,
        id: &str,
        by: &str,
        act: fn(&AlertDesk, Uuid, &str) -> Result<Alert, NoAlert>,
    ) -> Result<Alert, AlertError> {
        if !(1..=200).contains(&by.chars().count()) {
            return Err(AlertError::By);
        }
        let unknown = || AlertError::Unknown(id.to_owned());
        let uuid: Uuid = id.parse().map_err(|_| unknown())?;
        if !self.sees(None) {
            self.alert(id).await?;
        }
        match act(self.desk()?, uuid, by) {
            Ok(alert) => Ok(alert),
            // Unknown, or over.
            Err(over) => Err(self.alert(id).await.map(|_| AlertError::Over(over))?),
        }
    }
}
