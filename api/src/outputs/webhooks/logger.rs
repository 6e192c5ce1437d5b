//! From the event bus to the on-disk row of events.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use invispose_pipeline::events::{Delivery, Event, Subscription};
use tokio::sync::watch;

use super::desk::Logged;
use super::{COMPONENT, Running, payload};
use crate::Time;
use crate::outputs::ended;

/// Events of one write.
const AT_ONCE: usize = 512;
/// Between two writes, so that many events are one.
const GATHER: Duration = Duration::from_millis(4);
/// After the disk gave nothing.
const RETRY: Duration = Duration::from_secs(1);

/// Writes the events that somebody wants.
pub(super) struct Logger {
    pub running: Arc<Running>,
    /// Until it is known who wants what, everything is written.
    pub known: watch::Receiver<bool>,
}

impl Logger {
    pub(super) async fn run(self, mut events: Subscription, mut closing: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                biased;
                first = events.next() => first,
                () = ended(&mut closing) => None,
            };
            let Some(first) = first else { return };
            let mut wanted = Vec::new();
            let mut next = Some(first);
            while let Some(delivery) = next {
                match delivery {
                    Delivery::Event(event) if self.wants(&event) => wanted.push(self.logged(&event)),
                    Delivery::Event(_) => {}
                    Delivery::Missed(count) => {
                        self.running.shared.state.outputs().webhooks.missed.fetch_add(count, Relaxed);
                        tracing::warn!("webhooks: {count} events were not queued: too many at once");
                    }
                }
                next = if wanted.len() < AT_ONCE { events.try_next().ok() } else { None };
            }
            if wanted.is_empty() {
                continue;
            }
            while let Err(error) = self.running.desk().log(wanted.clone()).await {
                self.fault(Some(error.to_string()));
                tokio::time::sleep(RETRY).await;
            }
            self.fault(None);
            let stats = &self.running.shared.state.outputs().webhooks;
            stats.queued.fetch_add(wanted.len() as u64, Relaxed);
            tokio::time::sleep(GATHER).await;
        }
    }

    fn fault(&self, fault: Option<String>) {
        let health = self.running.shared.state.health();
        if fault.is_some() || health.faults().contains_key(&COMPONENT.into()) {
            health.set_fault(COMPONENT, fault);
        }
    }

    fn wants(&self, event: &Event) -> bool {
        !*self.known.borrow()
            || self
                .running
                .registered
                .read()
                .is_ok_and(|all| all.values().any(|webhook| webhook.wants(event)))
    }

    fn logged(&self, event: &Event) -> Logged {
        Logged {
            seq: 0,
            id: event.id.to_string(),
            kind: event.kind.name().to_owned(),
            site: event.site.as_deref().unwrap_or_default().to_owned(),
            body: payload::body(event, self.running.shared.state.sites(), Time::now()),
        }
    }
}
