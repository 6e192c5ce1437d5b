//! The one place where events of the process meet those who want them.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::event::Event;
use super::gate::{Gate, RateRule};

/// Events that a subscriber may be behind before it misses some: an hour of a busy site.
pub const EVENTS_KEPT: usize = 4096;

/// Publishes events to any number of subscribers. Cheap to clone.
///
/// The newest [`EVENTS_KEPT`] events are held once for all; each subscription is a place in that row. Publishing never
/// waits: a subscriber that falls further behind is told how many it missed and goes on with the oldest that is left.
#[derive(Clone, Debug)]
pub struct EventBus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    events: VecDeque<Arc<Event>>,
    /// Number of the next event; the oldest held is `next - events.len()`.
    next: u64,
    closed: bool,
    wakers: HashMap<u64, Waker>,
    subscribers: u64,
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The next event.
    Event(Arc<Event>),
    /// So many were given up because the subscriber was too slow.
    Missed(u64),
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// Not yet.
    #[error("no event yet")]
    Yet,
    /// Nor will there be: the bus is closed, and all of it was read.
    #[error("the event bus is closed")]
    Closed,
}

impl Default for EventBus {
    fn default() -> Self {
        Self::new(&[], EVENTS_KEPT)
    }
}

impl EventBus {
    /// A bus with these rules in place of [`RateRule::of`], that holds the newest `capacity` events.
    pub fn new(rules: &[RateRule], capacity: usize) -> Self {
        let state = State {
            gate: Gate::new(rules),
            events: VecDeque::new(),
            next: 0,
            closed: false,
            wakers: HashMap::new(),
            subscribers: 0,
        };
        let inner = Inner { state: Mutex::new(state), changed: Condvar::new(), capacity: capacity.max(1) };
        Self { inner: Arc::new(inner) }
    }

    /// Gives an event to all subscribers, unless its rule holds it back or the bus is closed; `None` then.
    pub fn publish(&self, mut event: Event) -> Option<Arc<Event>> {
        let mut state = self.inner.lock();
        if state.closed || !state.gate.admit(&mut event) {
            return None;
        }
        let event = Arc::new(event);
        if state.events.len() == self.inner.capacity {
            state.events.pop_front();
        }
        state.events.push_back(event.clone());
        state.next += 1;
        self.inner.wake(state);
        Some(event)
    }

    /// A place behind the newest event: it gets what is published from now on.
    pub fn subscribe(&self) -> Subscription {
        let mut state = self.inner.lock();
        state.subscribers += 1;
        Subscription { inner: self.inner.clone(), id: state.subscribers, at: state.next }
    }

    /// Nothing more is published. Subscribers end when they have read what is there.
    pub fn close(&self) {
        let mut state = self.inner.lock();
        state.closed = true;
        self.inner.wake(state);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits, without making them wait for the lock.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }
}

/// One reader of an [`EventBus`].
#[derive(Debug)]
pub struct Subscription {
    inner: Arc<Inner>,
    id: u64,
    at: u64,
}

impl Subscription {
    /// What is there already.
    ///
    /// # Errors
    /// When nothing is.
    pub fn try_next(&mut self) -> Result<Delivery, Nothing> {
        let inner = self.inner.clone();
        self.take(&inner.lock())
    }

    /// Waits for at most `within`.
    ///
    /// # Errors
    /// When nothing came.
    pub fn next_within(&mut self, within: Duration) -> Result<Delivery, Nothing> {
        let deadline = Instant::now() + within;
        let inner = self.inner.clone();
        let mut state = inner.lock();
        loop {
            match self.take(&state) {
                Err(Nothing::Yet) => {}
                done => return done,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Nothing::Yet);
            }
            state = inner.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits, under any executor; `None` when the bus is closed. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| {
            let inner = self.inner.clone();
            let mut state = inner.lock();
            match self.take(&state) {
                Ok(delivery) => Poll::Ready(Some(delivery)),
                Err(Nothing::Closed) => Poll::Ready(None),
                Err(Nothing::Yet) => {
                    state.wakers.insert(self.id, context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn take(&mut self, state: &State) -> Result<Delivery, Nothing> {
        let oldest = state.next - state.events.len() as u64;
        if self.at < oldest {
            let missed = oldest - self.at;
            self.at = oldest;
            return Ok(Delivery::Missed(missed));
        }
        match state.events.get((self.at - oldest) as usize) {
            Some(event) => {
                self.at += 1;
                Ok(Delivery::Event(event.clone()))
            }
            None if state.closed => Err(Nothing::Closed),
            None => Err(Nothing::Yet),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inner.lock().wakers.remove(&self.id);
    }
}
