//! Alerts, as they are since their last change, and what counts towards new ones.

use invispose_pipeline::alerts::{Alert, AlertDesk, AlertState, Counted, Status};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::writer::{RETRY, Work};
use super::{Store, StoreError, now_ns};

/// What has changed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AlertChanges {
    /// Alerts, in the order of their changes.
    pub alerts: Vec<Alert>,
    /// All that counts towards new ones.
    pub counted: Vec<Counted>,
}

/// Which alerts, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AlertQuery {
    /// Of this site only.
    pub site: Option<String>,
    /// In this state only.
    pub status: Option<Status>,
    /// How many.
    pub limit: usize,
    /// How many to pass over.
    pub skip: usize,
}

const SAVE: &str = "INSERT INTO alert (id, site, status, body, stored_ns) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body, stored_ns = excluded.stored_ns";
const COUNT: &str = "INSERT INTO alert_counts (id, body) VALUES (0, $1)
    ON CONFLICT (id) DO UPDATE SET body = excluded.body";
const COUNTED: &str = "SELECT body FROM alert_counts WHERE id = 0";
const UNRESOLVED: &str = "SELECT body FROM alert WHERE status <> 'resolved' ORDER BY id";
const ONE: &str = "SELECT body FROM alert WHERE id = $1";
const LIST: &str = "SELECT body FROM alert WHERE ($1 = '*' OR site = $1) AND ($2 = '*' OR status = $2)
    ORDER BY id DESC LIMIT $3 OFFSET $4";

impl Store {
    /// Alerts in place of what is known of them.
    pub(super) async fn save_alerts(&self, changes: &AlertChanges) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let now = now_ns();
        for alert in &changes.alerts {
            sqlx::query(SAVE)
                .bind(alert.id.to_string())
                .bind(alert.about.site.as_deref().unwrap_or_default())
                .bind(alert.status.name())
                .bind(serde_json::to_string(alert)?)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
        }
        let counted = serde_json::to_string(&changes.counted)?;
        sqlx::query(COUNT).bind(counted).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// What an alert engine goes on with.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn alert_state(&self) -> Result<AlertState, StoreError> {
        let rows = sqlx::query(UNRESOLVED).fetch_all(self.pool()?).await?;
        let alerts = rows.iter().map(read).collect::<Result<_, _>>()?;
        let counted = match sqlx::query(COUNTED).fetch_optional(self.pool()?).await? {
            Some(row) => serde_json::from_str(row.try_get(0)?)?,
            None => Vec::new(),
        };
        Ok(AlertState { alerts, counted })
    }

    /// Alerts, the newest first.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn alerts(&self, query: &AlertQuery) -> Result<Vec<Alert>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(query.site.as_deref().unwrap_or("*"))
            .bind(query.status.map_or("*", Status::name))
            .bind(query.limit as i64)
            .bind(i64::try_from(query.skip).unwrap_or(i64::MAX))
            .fetch_all(self.pool()?)
            .await?;
        rows.iter().map(read).collect()
    }

    /// One alert.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn alert(&self, id: Uuid) -> Result<Option<Alert>, StoreError> {
        let row = sqlx::query(ONE).bind(id.to_string()).fetch_optional(self.pool()?).await?;
        row.as_ref().map(read).transpose()
    }
}

/// Keeps a desk's alerts.
pub(super) struct AlertKeeper {
    store: Store,
    desk: AlertDesk,
    queue: mpsc::Sender<Work>,
    changes: mpsc::UnboundedReceiver<Alert>,
    restored: bool,
    /// As last written.
    counted: Vec<Counted>,
}

impl AlertKeeper {
    /// Hears of the desk's changes from now on, and gives it what an earlier process left open.
    pub(super) async fn new(store: Store, desk: AlertDesk, queue: mpsc::Sender<Work>) -> Self {
        let (changed, changes) = mpsc::unbounded_channel();
        desk.on_change(move |change| drop(changed.send(change.alert.clone())));
        let mut keeper = Self { store, desk, queue, changes, restored: false, counted: Vec::new() };
        keeper.restore().await;
        keeper
    }

    async fn restore(&mut self) {
        match self.store.alert_state().await {
            Ok(state) => {
                self.counted.clone_from(&state.counted);
                self.desk.restore(state);
                self.restored = true;
            }
            Err(error) => tracing::debug!("alerts of an earlier run: {error}"),
        }
    }

    /// Until `closing`.
    pub(super) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        loop {
            if !self.restored {
                self.restore().await;
            }
            let mut alerts = Vec::new();
            let ending = tokio::select! {
                alert = self.changes.recv() => { alerts.extend(alert); false }
                _ = closing.wait_for(|&c| c) => true,
                () = tokio::time::sleep(RETRY) => false,
            };
            while let Ok(alert) = self.changes.try_recv() {
                alerts.push(alert);
            }
            let counted = self.desk.state().counted;
            if !alerts.is_empty() || counted != self.counted {
                self.counted.clone_from(&counted);
                if self.queue.send(Work::Alerts(AlertChanges { alerts, counted })).await.is_err() {
                    return;
                }
            }
            if ending {
                return;
            }
        }
    }
}

fn read(row: &AnyRow) -> Result<Alert, StoreError> {
    Ok(serde_json::from_str(row.try_get(0)?)?)
}
