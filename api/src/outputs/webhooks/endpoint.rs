//! One endpoint: its deliveries in order, one at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::desk::{Attempt, DeadLetter, Desk, Logged, Place};
use super::http::{Delivery, Http, Outcome};
use super::payload;
use super::registration::Webhook;
use crate::outputs::backoff::jittered;
use crate::outputs::ended;
use crate::store::StoreError;
use crate::{ApiState, Time};

/// Events that are looked at at once.
const LOOK: usize = 256;
/// After the disk gave nothing.
const RETRY: Duration = Duration::from_secs(1);
/// The wait between attempts grows up to this many units.
const LONGEST: f64 = 300.0;

/// What all endpoints share.
#[derive(Clone)]
pub(super) struct Shared {
    pub desk: Arc<Desk>,
    pub http: Http,
    /// The pool of workers: requests at a time.
    pub workers: Arc<Semaphore>,
    /// Waits are counted in these.
    pub unit: Duration,
    pub state: ApiState,
    pub closing: watch::Receiver<bool>,
}

/// The wait before this attempt (the first retry is 1): `min(300, 2^attempt)` units, a quarter more or less.
pub(super) fn delay(unit: Duration, attempt: u32) -> Duration {
    jittered(unit.mul_f64(2f64.powi(attempt.min(30) as i32).min(LONGEST)))
}

/// Delivers to one endpoint until the process ends or the task is ended because the registration changed.
pub(super) struct Endpoint {
    pub id: String,
    pub webhook: Webhook,
    pub shared: Shared,
}

/// Events that are delivered together, and the number of the last one that was looked at.
struct Next {
    events: Vec<Arc<Logged>>,
    until: i64,
}

impl Endpoint {
    pub(super) async fn run(self) {
        let mut closing = self.shared.closing.clone();
        tokio::select! {
            () = self.deliver() => {}
            () = ended(&mut closing) => {}
        }
    }

    async fn deliver(&self) {
        let desk = &self.shared.desk;
        let mut place = loop {
            match desk.place(&self.id).await {
                Ok(place) => break place,
                Err(error) => self.trouble(&error).await,
            }
        };
        let mut breaker = Breaker::new(self.shared.unit);
        loop {
            let next = self.next(&mut place).await;
            let early = place.due_ns.saturating_sub(Time::now().as_ns());
            // A clock that was set back must not stop deliveries.
            let early = Duration::from_nanos(early.max(0).unsigned_abs()).min(Duration::from_secs(7200));
            tokio::time::sleep(early).await;
            if let Some(until) = breaker.open_until() {
                tokio::time::sleep_until(until).await;
            }
            self.attempt(&mut place, &mut breaker, next).await;
        }
    }

    async fn trouble(&self, error: &StoreError) {
        tracing::error!("webhook {}: {error}", self.id);
        tokio::time::sleep(RETRY).await;
    }

    /// The next events for this endpoint.
    async fn next(&self, place: &mut Place) -> Next {
        let desk = &self.shared.desk;
        let mut newest = desk.newest();
        let most = self.webhook.batch.as_ref().map_or(1, |b| b.max_events);
        let mut events = Vec::new();
        let mut until = place.seq;
        let mut deadline: Option<Instant> = None;
        loop {
            newest.borrow_and_update();
            match desk.after(until, LOOK).await {
                Ok(found) => {
                    let looked_at_all = found.len() < LOOK;
                    for event in found {
                        until = event.seq;
                        if self.webhook.wants_kind(&event.kind) && self.webhook.wants_site(&event.site) {
                            events.push(event);
                        }
                        if events.len() == most {
                            return Next { events, until };
                        }
                    }
                    if events.is_empty() && until != place.seq {
                        // Nothing there was for this endpoint.
                        place.seq = until;
                        desk.put(&self.id, *place);
                    }
                    if !looked_at_all {
                        continue;
                    }
                }
                Err(error) => {
                    self.trouble(&error).await;
                    continue;
                }
            }
            let wait = self.webhook.batch.as_ref().map_or(0, |b| b.max_wait_ms);
            if !events.is_empty() && deadline.is_none() {
                deadline = Some(Instant::now() + Duration::from_millis(wait.into()));
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { std::future::pending::<()>().await },
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Next { events, until };
                }
            }
        }
    }

    async fn attempt(&self, place: &mut Place, breaker: &mut Breaker, next: Next) {
        let Some(first) = next.events.first() else { return };
        let now = Time::now();
        let (kind, body) = match (&self.webhook.batch, &next.events[..]) {
            (Some(_), many) => ("batch", payload::batch(many.iter().map(|e| &e.body), now)),
            _ => (first.kind.as_str(), first.body.clone()),
        };
        let delivery = Delivery { id: &first.id, kind, timestamp: now.to_string(), body };
        let (outcome, attempt) = {
            // Never closed.
            let _worker = self.shared.workers.acquire().await;
            self.send(&delivery, place.attempt + 1).await
        };
        self.shared.desk.tried(&self.id, attempt);
        let stats = &self.shared.state.outputs().webhooks;
        let done = match outcome {
            Outcome::Taken(_) => {
                stats.delivered.fetch_add(next.events.len() as u64, Relaxed);
                breaker.succeeded();
                true
            }
            Outcome::Failed { error, retry_after, again, .. } => {
                stats.failed.fetch_add(1, Relaxed);
                breaker.failed();
                place.attempt += 1;
                if again && place.attempt <= self.webhook.retry_policy.max_attempts {
                    let wait = delay(self.shared.unit, place.attempt).max(retry_after.unwrap_or_default());
                    place.due_ns = Time::now().as_ns().saturating_add(wait.as_nanos() as i64);
                    false
                } else {
                    self.bury(&next.events, place.attempt, &error).await;
                    true
                }
            }
        };
        if done {
            *place = Place { seq: next.until, ..Place::default() };
        }
        self.shared.desk.put(&self.id, *place);
    }

    async fn send(&self, delivery: &Delivery<'_>, number: u32) -> (Outcome, Attempt) {
        let (started_at, start) = (Time::now(), Instant::now());
        let outcome = self.shared.http.send(&self.webhook, delivery).await;
        let (status, error) = match &outcome {
            Outcome::Taken(status) => (Some(*status), None),
            Outcome::Failed { status, error, .. } => (*status, Some(error.clone())),
        };
        let attempt = Attempt {
            delivery_id: delivery.id.to_owned(),
            event_type: delivery.kind.to_owned(),
            attempt: number,
            started_at,
            took_ms: (start.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            status,
            error,
            bytes: delivery.body.len(),
        };
        (outcome, attempt)
    }

    async fn bury(&self, events: &[Arc<Logged>], attempts: u32, reason: &str) {
        tracing::warn!("webhook {}: given up after {attempts} attempts: {reason}", self.id);
        for event in events {
            let letter = DeadLetter {
                number: 0,
                delivery_id: event.id.clone(),
                event_type: event.kind.clone(),
                attempts,
                reason: reason.to_owned(),
                died_at: Time::now(),
                body: event.body.clone(),
            };
            while let Err(error) = self.shared.desk.bury(&self.id, &letter).await {
                self.trouble(&error).await;
            }
            self.shared.state.outputs().webhooks.dead.fetch_add(1, Relaxed);
        }
    }

    /// Sends a dead letter once more, beside what is delivered in order.
    pub(super) async fn redeliver(&self, letter: &DeadLetter) -> Attempt {
        let timestamp = Time::now().to_string();
        let (id, kind) = (letter.delivery_id.as_str(), letter.event_type.as_str());
        let delivery = Delivery { id, kind, timestamp, body: letter.body.clone() };
        let _worker = self.shared.workers.acquire().await;
        let (_, attempt) = self.send(&delivery, letter.attempts + 1).await;
        self.shared.desk.tried(&self.id, attempt.clone());
        attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_with_jitter() {
        for (attempt, expected) in [(1, 2.0), (2, 4.0), (8, 256.0), (9, 300.0), (20, 300.0)] {
            let waits: Vec<f64> =
                (0..200).map(|_| delay(Duration::from_secs(1), attempt).as_secs_f64()).collect();
            assert!(
                waits.iter().all(|w| (expected * 0.75..=expected * 1.25).contains(w)),
                "{attempt}: {waits:?}"
            );
            assert!(waits.iter().any(|w| *w < expected * 0.9) && waits.iter().any(|w| *w > expected * 1.1));
        }
    }
}
