//! From registrations to running endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::endpoint::Endpoint;
use super::registration::Webhook;
use super::{MOST, Running, registered};
use crate::outputs::ended;
use crate::store::{Kind, StoreError};

/// Places and attempts are written this often.
const WRITE_EVERY: Duration = Duration::from_millis(200);
/// What all have been told leaves the disk with every so many writes.
const TIDY_EVERY: u32 = 50;
/// After the database gave nothing.
const RETRY: Duration = Duration::from_secs(1);

/// Starts and ends endpoints as registrations come, change and go.
pub(super) struct Manager {
    pub running: Arc<Running>,
    pub known: watch::Sender<bool>,
    pub endpoints: BTreeMap<String, (Webhook, JoinHandle<()>)>,
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.endpoints.values().for_each(|(_, task)| task.abort());
    }
}

impl Manager {
    pub(super) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let mut turn = 0;
        let mut changes = self.running.changes.subscribe();
        loop {
            if !*self.known.borrow()
                && let Err(error) = self.load().await
            {
                tracing::debug!("webhooks: {error}");
            }
            let wait = if *self.known.borrow() { WRITE_EVERY } else { RETRY };
            tokio::select! {
                _ = changes.changed() => {
                    let change = *changes.borrow_and_update();
                    match self.load().await {
                        Ok(()) => {
                            self.running.known_changes.send_replace(change);
                        }
                        Err(error) => {
                            tracing::warn!("webhooks: {error}");
                            // Tried again with the next turn.
                            self.known.send_replace(false);
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = ended(&mut closing) => break,
            }
            turn += 1;
            let written = if turn % TIDY_EVERY == 0 && *self.known.borrow() {
                let all =
                    self.endpoints.iter().map(|(id, (webhook, _))| (id.clone(), webhook.active)).collect();
                self.running.desk().tidy(&all).await
            } else {
                self.running.desk().write().await.map(|()| 0)
            };
            match written {
                Ok(0) => {}
                Ok(given_up) => {
                    self.running.shared.state.outputs().webhooks.given_up.fetch_add(given_up, Relaxed);
                    tracing::warn!(
                        "webhooks: {given_up} events were given up: an endpoint is too far behind"
                    );
                }
                Err(error) => tracing::warn!("webhooks: {error}"),
            }
        }
        for (_, (_, task)) in std::mem::take(&mut self.endpoints) {
            let _ = task.await;
        }
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let state = &self.running.shared.state;
        let Some(store) = state.store() else { return Ok(()) };
        let mut wanted = BTreeMap::new();
        for resource in store.resources(Kind::Webhook, "", MOST, 0).await? {
            match registered(&resource) {
                Ok(webhook) => {
                    wanted.insert(resource.id, webhook);
                }
                Err(error) => tracing::error!("webhook {}: {error}", resource.id),
            }
        }
        let gone: Vec<String> = self
            .endpoints
            .iter()
            .filter(|(id, (old, _))| wanted.get(*id) != Some(old))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            if let Some((old, task)) = self.endpoints.remove(&id) {
                // A delivery that is under way is made again.
                task.abort();
                let _ = task.await;
                if !wanted.get(&id).is_some_and(|new| new.active && old.active) {
                    // One that comes back is told what happens from then on.
                    self.running.desk().leave(&id).await?;
                }
            }
        }
        for (id, webhook) in &wanted {
            if self.endpoints.contains_key(id) {
                continue;
            }
            let endpoint =
                Endpoint { id: id.clone(), webhook: webhook.clone(), shared: self.running.shared.clone() };
            let task = match webhook.active {
                true => tokio::spawn(endpoint.run()),
                false => tokio::spawn(async {}),
            };
            self.endpoints.insert(id.clone(), (webhook.clone(), task));
        }
        if let Ok(mut registered) = self.running.registered.write() {
            *registered = wanted;
        }
        self.known.send_replace(true);
        Ok(())
    }
}
