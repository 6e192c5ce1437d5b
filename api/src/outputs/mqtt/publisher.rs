//! The connection that publishes: keeps the order, sends again what was lost, and says how it is.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use invispose_pipeline::Health;
use tokio::sync::watch;
use tokio::time::Instant;

use super::COMPONENT;
use super::outbox::Outbox;
use super::wire::{self, Broken, Broker, Client, Events, Step, Unsent, WINDOW};
use crate::outputs::backoff::Backoff;
use crate::outputs::ended;
use crate::outputs::queue::{Lane, Queued};

/// Messages that are fetched from the disk at once.
const FETCH: usize = 128;
/// Messages that the broker has leave the disk after this time, or this many.
const TIDY: Duration = Duration::from_millis(100);
const TIDY_MANY: u32 = 256;
/// Reconnects wait from this time…
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// …up to this, with jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// For the last messages at the end.
const GOODBYE: Duration = Duration::from_secs(3);

pub(super) struct Publisher {
    pub broker: Broker,
    pub outbox: Outbox,
    pub health: Health,
    pub closing: watch::Receiver<bool>,
}

/// Why a session is over.
enum End {
    /// Everything that has not arrived is sent again, in its order, in a new session.
    Again,
    Closed,
}

impl Publisher {
    pub(super) async fn run(self) {
        let mut wait = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut closing = self.closing.clone();
        loop {
            // A broker that was killed may know a session again and have forgotten the middle of its exchanges, and confirm them all
            // the same. So nothing is resumed: what was not confirmed is sent again.
            let (client, events) = wire::open(&self.broker, true);
            let (up, is_up) = watch::channel(false);
            let mut way = Way::new(&self);
            let end = tokio::select! {
                end = self.drive(events, up, &mut wait) => end,
                end = self.send(client, is_up, &mut way) => end,
            };
            // What has arrived is not sent again.
            way.tidy().await;
            match end {
                End::Closed => return,
                // Until it is connected again nothing goes out and there is no goodbye to say.
                End::Again if *closing.borrow() => return,
                End::Again => {
                    tokio::select! {
                        () = tokio::time::sleep(wait.next()) => {}
                        () = ended(&mut closing) => return,
                    }
                }
            }
        }
    }

    /// Keeps one connection. `up`: it stands.
    async fn drive(&self, mut events: Events, up: watch::Sender<bool>, wait: &mut Backoff) -> End {
        loop {
            match events.poll().await {
                Ok(Step::Connected { .. }) => {
                    wait.reset();
                    self.outbox.stats().connections.fetch_add(1, Relaxed);
                    self.tell(None);
                    self.outbox.repeat().await;
                    self.outbox.forget_sent();
                    up.send_replace(true);
                }
                Ok(_) => {}
                Err(Broken::Ended) => return End::Closed,
                Err(Broken::ForeignSession) => return End::Again,
                Err(Broken::Lost(reason)) => {
                    self.tell(Some(reason));
                    return End::Again;
                }
            }
        }
    }

    fn tell(&self, fault: Option<String>) {
        let fault = fault
            .map(|reason| format!("no connection to {}:{}: {reason}", self.broker.host, self.broker.port));
        match &fault {
            Some(text) if self.health.faults().get(&COMPONENT.into()) != Some(text) => {
                tracing::warn!("MQTT: {text}")
            }
            None => tracing::info!("MQTT: connected to {}:{}", self.broker.host, self.broker.port),
            _ => {}
        }
        self.health.set_fault(COMPONENT, fault);
    }

    /// Sends what there is while the connection stands, and takes off the disk what has arrived.
    async fn send(&self, client: Client, mut up: watch::Receiver<bool>, way: &mut Way<'_>) -> End {
        let mut committed = self.outbox.committed();
        let mut leaving = false;
        loop {
            if *up.borrow_and_update() {
                way.fill(&client).await;
                self.renew(&client, way);
            }
            let idle = way.under_way.is_empty();
            if leaving && idle && way.drained() {
                way.tidy().await;
                client.disconnect(GOODBYE).await;
                // `drive` ends when it is said.
                return std::future::pending().await;
            }
            tokio::select! {
                Some((sent, result)) = way.under_way.next(), if !idle => {
                    if way.arrived(sent, result).await {
                        return End::Again;
                    }
                }
                // Nothing is committed any more: what there is, is the rest.
                changed = committed.changed(), if !leaving => {
                    leaving = changed.is_err();
                    way.more = [true; 2];
                }
                () = self.outbox.renewed() => {}
                _ = up.changed() => {}
                () = tokio::time::sleep_until(way.tidy_at), if way.unforgotten() => way.tidy().await,
            }
        }
    }

    fn renew(&self, client: &Client, way: &mut Way<'_>) {
        self.outbox.renew(|topic, value| {
            let Some(notice) = client.publish(topic, value.qos, true, value.payload.clone()) else {
                return false;
            };
            way.watch(None, notice);
            true
        });
    }
}

/// A message of the queue, on its way; `None`: a value of which the newest alone counts.
type Sent = Option<(Lane, i64)>;

/// What is under way, in the order in which it was sent.
struct Way<'a> {
    publisher: &'a Publisher,
    under_way: FuturesOrdered<BoxFuture<'static, (Sent, Result<(), Unsent>)>>,
    /// Fetched and not sent yet, by lane.
    next: [std::collections::VecDeque<Queued>; 2],
    /// Last one fetched, by lane.
    fetched: [i64; 2],
    /// The last one that arrived and is still on the disk, by lane.
    arrived: [i64; 2],
    arrivals: u32,
    /// When they leave the disk at the latest.
    tidy_at: Instant,
    /// The queue may have more, by lane.
    more: [bool; 2],
}

impl<'a> Way<'a> {
    fn new(publisher: &'a Publisher) -> Self {
        Self {
            publisher,
            under_way: FuturesOrdered::new(),
            next: Default::default(),
            fetched: [0; 2],
            arrived: [0; 2],
            arrivals: 0,
            tidy_at: Instant::now(),
            more: [true; 2],
        }
    }

    fn watch(&mut self, sent: Sent, notice: wire::Notice) {
        self.under_way.push_back(Box::pin(async move { (sent, notice.await) }));
    }

    /// Sends as much as may be under way. What is said once goes before samples.
    async fn fill(&mut self, client: &Client) {
        for lane in Lane::ALL {
            let i = lane as usize;
            while self.under_way.len() < WINDOW {
                if self.next[i].is_empty() && self.more[i] {
                    let queue = self.publisher.outbox.queue();
                    match queue.read(lane, self.fetched[i], FETCH).await {
                        Ok(found) => {
                            self.more[i] = found.len() == FETCH;
                            self.next[i].extend(found);
                        }
                        Err(error) => {
                            tracing::error!("MQTT's queue: {error}");
                            tokio::time::sleep(TIDY).await;
                        }
                    }
                }
                let Some(queued) = self.next[i].front() else { break };
                let message = &queued.message;
                let notice =
                    client.publish(&message.topic, message.qos, message.retain, message.payload.clone());
                let Some(notice) = notice else { break };
                let sent = Some((lane, queued.seq));
                self.fetched[i] = queued.seq;
                self.next[i].pop_front();
                self.watch(sent, notice);
            }
        }
    }

    fn drained(&self) -> bool {
        self.more == [false; 2] && self.next.iter().all(std::collections::VecDeque::is_empty)
    }

    /// `true` when the session's messages have to be sent again.
    async fn arrived(&mut self, sent: Sent, result: Result<(), Unsent>) -> bool {
        let stats = self.publisher.outbox.stats();
        match result {
            Ok(()) => stats.published.fetch_add(1, Relaxed),
            Err(Unsent::Refused(reason)) => {
                tracing::warn!("MQTT: the broker refused a message: {reason}");
                stats.refused.fetch_add(1, Relaxed)
            }
            Err(Unsent::Lost) => return true,
        };
        if let Some((lane, seq)) = sent {
            self.arrived[lane as usize] = seq;
            if self.arrivals == 0 {
                self.tidy_at = Instant::now() + TIDY;
            }
            self.arrivals += 1;
        }
        if self.arrivals >= TIDY_MANY {
            self.tidy().await;
        }
        false
    }

    fn unforgotten(&self) -> bool {
        self.arrivals > 0
    }

    async fn tidy(&mut self) {
        for lane in Lane::ALL {
            let last = std::mem::take(&mut self.arrived[lane as usize]);
            if last == 0 {
                continue;
            }
            if let Err(error) = self.publisher.outbox.queue().forget(lane, last).await {
                // They are sent once more after a restart.
                tracing::warn!("MQTT's queue: {error}");
            }
        }
        self.arrivals = 0;
        self.publisher.outbox.measure();
    }
}
