//! Alerts in the running process: the machine on its thread, and those who look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};
use uuid::Uuid;

use super::engine::{Alert, AlertEngine, AlertState, Change, NoAlert};
use crate::events::{Delivery, EventBus, Nothing, Subscription};
use crate::sources::wall_ns;

/// From one look at the clock to the next.
const TICK: Duration = Duration::from_millis(500);

/// Hears events, keeps alerts and publishes their changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AlertDesk {
    engine: Arc<Mutex<AlertEngine>>,
    events: EventBus,
}

impl AlertDesk {
    /// On this bus.
    pub fn new(engine: AlertEngine, events: EventBus) -> Self {
        Self { engine: Arc::new(Mutex::new(engine)), events }
    }

    fn engine(&self) -> MutexGuard<'_, AlertEngine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Open and acknowledged alerts, the oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.engine().alerts().to_vec()
    }

    /// What has to outlive the process.
    pub fn state(&self) -> AlertState {
        self.engine().state().clone()
    }

    /// See [`AlertEngine::acknowledge`].
    ///
    /// # Errors
    /// When there is no such alert that is not over.
    pub fn acknowledge(&self, id: Uuid, by: &str) -> Result<(), NoAlert> {
        let change = self.engine().acknowledge(id, by, wall_ns())?;
        self.tell(change);
        Ok(())
    }

    /// See [`AlertEngine::resolve`].
    ///
    /// # Errors
    /// When there is no such alert that is not over.
    pub fn resolve(&self, id: Uuid, by: &str) -> Result<(), NoAlert> {
        let change = self.engine().resolve(id, by, wall_ns())?;
        self.tell([change]);
        Ok(())
    }

    /// Hears events until the bus is closed, or until nothing is left to hear and the other side of `ended` is gone.
    pub fn run(&self, mut events: Subscription, ended: &Receiver<()>) {
        loop {
            match events.next_within(TICK) {
                Ok(Delivery::Event(event)) => {
                    let changes = self.engine().event(&event, wall_ns());
                    self.tell(changes);
                }
                Ok(Delivery::Missed(missed)) => tracing::warn!(missed, "alert rules missed events"),
                Err(Nothing::Yet) if ended.try_recv() == Err(TryRecvError::Disconnected) => return,
                Err(Nothing::Yet) => {}
                Err(Nothing::Closed) => return,
            }
            let changes = self.engine().tick(wall_ns());
            self.tell(changes);
        }
    }

    fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.events.publish(change.event());
        }
    }
}
