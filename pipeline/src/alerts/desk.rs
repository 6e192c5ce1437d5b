//! Alerts in the running process: the machine on its thread, and those who look at it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};
use uuid::Uuid;

use super::engine::{Alert, AlertEngine, AlertState, Change, NoAlert, RuleError};
use super::rule::AlertRule;
use crate::events::{Delivery, EventBus, Nothing, Subscription};
use crate::sources::wall_ns;

/// From one look at the clock to the next.
const TICK: Duration = Duration::from_millis(500);

/// Hears events, keeps alerts and publishes their changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AlertDesk {
    engine: Arc<Mutex<AlertEngine>>,
    hooks: Arc<Mutex<Hooks>>,
    events: EventBus,
}

/// Told of each change.
type Hook = Box<dyn Fn(&Change) + Send>;

#[derive(Default)]
struct Hooks(Vec<Hook>);

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AlertDesk {
    /// On this bus.
    pub fn new(engine: AlertEngine, events: EventBus) -> Self {
        Self { engine: Arc::new(Mutex::new(engine)), hooks: Arc::default(), events }
    }

    /// Tells of each change from now on, in their order. The hook must not wait, nor ask the desk.
    pub fn on_change(&self, hook: impl Fn(&Change) + Send + 'static) {
        lock(&self.hooks).0.push(Box::new(hook));
    }

    /// Open and acknowledged alerts, the oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        lock(&self.engine).alerts().to_vec()
    }

    /// What has to outlive the process.
    pub fn state(&self) -> AlertState {
        lock(&self.engine).state().clone()
    }

    /// See [`AlertEngine::restore`].
    pub fn restore(&self, state: AlertState) {
        lock(&self.engine).restore(state);
    }

    /// Puts the rules of the configuration in force in place of those that it began with.
    ///
    /// # Errors
    /// When a rule cannot be used; the rules in force stay then.
    pub fn configure(&self, rules: &[AlertRule]) -> Result<(), RuleError> {
        lock(&self.engine).configure(rules)
    }

    /// See [`AlertEngine::keep`].
    ///
    /// # Errors
    /// When a rule cannot be used; the rules in force stay then.
    pub fn keep(&self, rules: &[AlertRule]) -> Result<(), RuleError> {
        lock(&self.engine).keep(rules)
    }

    /// The rules in force.
    pub fn rules(&self) -> Vec<AlertRule> {
        lock(&self.engine).rules().cloned().collect()
    }

    /// See [`AlertEngine::acknowledge`]. The alert since.
    ///
    /// # Errors
    /// When there is no such alert that is not over.
    pub fn acknowledge(&self, id: Uuid, by: &str) -> Result<Alert, NoAlert> {
        let mut engine = lock(&self.engine);
        let change = engine.acknowledge(id, by, wall_ns())?;
        let alert = engine.alerts().iter().find(|a| a.id == id).cloned().ok_or(NoAlert(id))?;
        self.tell(engine, change);
        Ok(alert)
    }

    /// See [`AlertEngine::resolve`]. The alert at its end.
    ///
    /// # Errors
    /// When there is no such alert that is not over.
    pub fn resolve(&self, id: Uuid, by: &str) -> Result<Alert, NoAlert> {
        let mut engine = lock(&self.engine);
        let change = engine.resolve(id, by, wall_ns())?;
        let alert = change.alert.clone();
        self.tell(engine, [change]);
        Ok(alert)
    }

    /// Hears events until the bus is closed, or until nothing is left to hear and the other side of `ended` is gone.
    pub fn run(&self, mut events: Subscription, ended: &Receiver<()>) {
        loop {
            match events.next_within(TICK) {
                Ok(Delivery::Event(event)) => {
                    let mut engine = lock(&self.engine);
                    let changes = engine.event(&event, wall_ns());
                    self.tell(engine, changes);
                }
                Ok(Delivery::Missed(missed)) => tracing::warn!(missed, "alert rules missed events"),
                Err(Nothing::Yet) if ended.try_recv() == Err(TryRecvError::Disconnected) => return,
                Err(Nothing::Yet) => {}
                Err(Nothing::Closed) => return,
            }
            let mut engine = lock(&self.engine);
            let changes = engine.tick(wall_ns());
            self.tell(engine, changes);
        }
    }

    /// The hooks hear of changes in the order in which they were made: nobody changes anything meanwhile.
    fn tell(&self, engine: MutexGuard<'_, AlertEngine>, changes: impl IntoIterator<Item = Change>) {
        let changes: Vec<Change> = changes.into_iter().collect();
        let hooks = lock(&self.hooks);
        for change in &changes {
            hooks.0.iter().for_each(|hook| hook(change));
        }
        drop((hooks, engine));
        for change in changes {
            self.events.publish(change.event());
        }
    }
}
