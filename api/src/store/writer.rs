//! What moves frames and events into the database: a follower for each ring, one for the events, and one writer.

use std::sync::Arc;
use std::time::Duration;

use invispose_pipeline::alerts::AlertDesk;
use invispose_pipeline::events::{Delivery, Event, EventBus};
use invispose_pipeline::health::Part;
use invispose_pipeline::{Health, PoseFrame};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::alerts::{AlertChanges, AlertKeeper};
use super::spool::{Entry, Full, Spool};
use super::{BlockError, COMPONENT, HISTORY, PATIENCE, Store, StoreError, StoreStats, block};
use crate::Site;

/// Frames of the largest write. A ring of the default size holds eight times as many.
const FRAMES: usize = 512;
/// Events of one write.
const EVENTS: usize = 256;
/// Writes that wait in memory; further ones wait in the ring.
const WAITING: usize = 8;
/// Between attempts to reach a database that is away.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// For the last writes at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);

pub(super) enum Work {
    Frames(Site, Vec<PoseFrame>),
    Events(Vec<Arc<Event>>),
    Alerts(AlertChanges),
}

/// The running tasks. [`Writer::close`] ends them in order.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    closing: watch::Sender<bool>,
    queue: Option<mpsc::Sender<Work>>,
    tasks: Vec<JoinHandle<()>>,
    /// One for each ring, until it was read once.
    behind: Vec<oneshot::Receiver<()>>,
}

impl Writer {
    /// Waits until what the rings held at the start was read, so that new frames overwrite nothing; not for a database
    /// that takes nothing.
    pub async fn caught_up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for read in std::mem::take(&mut self.behind) {
            let _ = tokio::time::timeout_at(deadline, read).await;
        }
    }

    /// Gives the desk the alerts that an earlier process left open, and keeps it from now on. Where the database is away, the desk
    /// gets them once it is back.
    pub async fn keep_alerts(&mut self, desk: &AlertDesk) {
        let Some(queue) = self.queue.clone() else { return };
        let keeper = AlertKeeper::new(self.store.clone(), desk.clone(), queue).await;
        let closing = self.closing.subscribe();
        self.tasks.push(tokio::spawn(keeper.run(closing)));
    }

    /// Writes what the rings and the bus hold and ends. What cannot be written by then stays in the on-disk queue or in the ring.
    pub async fn close(mut self) {
        self.closing.send_replace(true);
        self.queue = None;
        let deadline = Instant::now() + CLOSE_WITHIN;
        for task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                tracing::warn!("the store did not finish within {} s", CLOSE_WITHIN.as_secs());
                break;
            }
        }
    }
}

impl Drop for Writer {
    /// Ends at once, as the death of the process does: what is not written is in the ring and in the on-disk queue.
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Store {
    /// Keeps everything that the sites publish from now on, and what their rings still hold.
    ///
    /// # Errors
    /// The on-disk queue cannot be opened.
    pub fn start(&self, sites: &[Site], events: &EventBus, health: &Health) -> Result<Writer, StoreError> {
        let spool = Spool::open(self.clone())?;
        let (closing, closed) = watch::channel(false);
        let (queue, work) = mpsc::channel(WAITING);
        let (mut tasks, mut behind) = (Vec::new(), Vec::new());
        for site in sites {
            let (read, reading) = oneshot::channel();
            behind.push(reading);
            let follower = Follower {
                store: self.clone(),
                site: site.clone(),
                queue: queue.clone(),
                health: health.clone(),
                write: (u64::from(site.ring().slots()) / 4).clamp(1, FRAMES as u64),
                next: 0,
                missing: false,
            };
            tasks.push(tokio::spawn(follower.run(read, closed.clone())));
        }
        tasks.push(tokio::spawn(listen(self.clone(), events.subscribe(), queue.clone(), closed.clone())));
        let writing = Writing {
            store: self.clone(),
            sites: sites.to_vec(),
            spool,
            health: health.clone(),
            problem: None,
        };
        tasks.push(tokio::spawn(writing.run(work)));
        tasks.push(tokio::spawn(super::keep::run(self.clone(), closed)));
        Ok(Writer { store: self.clone(), closing, queue: Some(queue), tasks, behind })
    }
}

/// Reads one ring.
struct Follower {
    store: Store,
    site: Site,
    queue: mpsc::Sender<Work>,
    health: Health,
    /// So many waiting frames are a write.
    write: u64,
    next: u64,
    /// The last look found frames overwritten.
    missing: bool,
}

impl Follower {
    async fn run(mut self, read: oneshot::Sender<()>, mut closing: watch::Receiver<bool>) {
        let mut head = self.site.head();
        let ring = self.site.ring();
        let stored = self.store.position(&self.site.config().id).await.unwrap_or(0);
        if stored > ring.head() {
            let message = format!(
                "site {}: the database holds frames up to {stored}, but this data directory counts from {}: nothing is stored until it has caught up",
                self.site.config().id,
                ring.head()
            );
            tracing::error!("{message}");
            self.health.set_fault(self.part(), Some(message));
        }
        self.next = ring.oldest().max(stored.min(ring.head()) + 1);
        if self.hand_over(false).await.is_err() {
            return;
        }
        let _ = read.send(());
        let every = self.store.config().write_every;
        let mut due = Instant::now() + every;
        loop {
            let ending = *closing.borrow();
            if ending || Instant::now() >= due || self.waiting() >= self.write {
                due = Instant::now() + every;
                if self.hand_over(ending).await.is_err() {
                    return;
                }
            }
            if ending {
                return;
            }
            head.borrow_and_update();
            if self.waiting() < self.write {
                let wait = async {
                    if head.changed().await.is_err() {
                        // The site's writer is gone: what is there is all there will be.
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    _ = closing.wait_for(|&c| c) => {}
                    () = tokio::time::sleep_until(due) => {}
                    () = wait => {}
                }
            }
        }
    }

    fn part(&self) -> Part {
        Part::Site(HISTORY, self.site.config().id.as_str().into())
    }

    fn waiting(&self) -> u64 {
        (self.site.ring().head() + 1).saturating_sub(self.next)
    }

    /// Reads whole writes, and at its time or at the end the rest. An error: the writer is gone.
    async fn hand_over(&mut self, ending: bool) -> Result<(), ()> {
        loop {
            let mut frames = self.site.ring().range_from(self.next);
            let read: Vec<PoseFrame> = frames.by_ref().take(FRAMES).collect();
            let missed = frames.missed();
            self.next = frames.next_id();
            if missed > 0 {
                StoreStats::add(&self.store.stats().missed, missed);
                let message = format!("{missed} frames were overwritten before they could be written");
                tracing::warn!(site = self.site.config().id, "{message}");
                self.health.set_fault(self.part(), Some(message));
                self.missing = true;
            } else if std::mem::take(&mut self.missing) {
                self.health.set_fault(self.part(), None);
            }
            let whole = read.len() == FRAMES;
            if !read.is_empty() {
                self.queue.send(Work::Frames(self.site.clone(), read)).await.map_err(|_| ())?;
            }
            if !whole && (!ending || self.waiting() == 0) {
                return Ok(());
            }
        }
    }
}

/// Gathers events.
async fn listen(
    store: Store,
    mut events: invispose_pipeline::events::Subscription,
    queue: mpsc::Sender<Work>,
    mut closing: watch::Receiver<bool>,
) {
    let mut open = true;
    while open {
        let first = tokio::select! {
            delivery = events.next() => delivery,
            _ = closing.wait_for(|&c| c) => { open = false; None }
        };
        let mut gathered = Vec::new();
        let mut missed = 0;
        let mut take = |delivery| match delivery {
            Delivery::Event(event) => gathered.push(event),
            Delivery::Missed(n) => missed += n,
        };
        match first {
            Some(delivery) => take(delivery),
            None => open = false,
        }
        for _ in 0..EVENTS {
            let Ok(delivery) = events.try_next() else { break };
            take(delivery);
        }
        if missed > 0 {
            StoreStats::add(&store.stats().missed_events, missed);
            tracing::warn!("{missed} events were not written: the store was too slow");
        }
        if !gathered.is_empty() && queue.send(Work::Events(gathered)).await.is_err() {
            return;
        }
    }
}

/// Writes into the database, and on the disk while it is away.
struct Writing {
    store: Store,
    sites: Vec<Site>,
    spool: Spool,
    health: Health,
    problem: Option<String>,
}

impl Writing {
    async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let stats = self.health.stage(COMPONENT);
        let mut retry = Instant::now();
        loop {
            if !self.spool.is_empty() && Instant::now() >= retry && !self.drain().await {
                retry = Instant::now() + RETRY;
            }
            let work = tokio::select! {
                work = queue.recv() => work,
                () = tokio::time::sleep_until(retry.max(Instant::now())), if !self.spool.is_empty() => continue,
            };
            let Some(work) = work else { break };
            let started = Instant::now();
            stats.taken.add(1);
            if self.accept(&work).await {
                stats.given.add(1);
            }
            if !self.spool.is_empty() && retry <= started {
                retry = Instant::now() + RETRY;
            }
            stats.queued.set(queue.len() as u64);
            stats.busy_ns.add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        if !self.spool.is_empty() {
            self.drain().await;
        }
    }

    /// Into the database, or behind what waits on the disk already. `false`: it will never be written.
    async fn accept(&mut self, work: &Work) -> bool {
        loop {
            if self.spool.is_empty() {
                match self.insert(work).await {
                    Ok(()) => {
                        self.settle(None);
                        self.count(work);
                        return true;
                    }
                    Err(e) if e.is_refusal() => {
                        tracing::error!("not stored: {e}");
                        StoreStats::add(&self.store.stats().refused, 1);
                        return false;
                    }
                    Err(e) => self.settle(Some(e.to_string())),
                }
            }
            match self.entry(work).map(|entry| self.spool.push(&entry)) {
                Ok(Ok(())) => {
                    self.count(work);
                    return true;
                }
                // Nothing takes it now: the ring holds what comes next.
                Ok(Err(full)) => {
                    let also = self.problem.clone().unwrap_or_default();
                    self.settle(Some(match full {
                        Full::Limit(_) | Full::Disk(_) if also.contains(&full.to_string()) => also,
                        full => format!("{also}; {full}"),
                    }));
                    tokio::time::sleep(RETRY).await;
                    if !self.spool.is_empty() {
                        self.drain().await;
                    }
                }
                Err(e) => {
                    tracing::error!("not stored: {e}");
                    StoreStats::add(&self.store.stats().refused, 1);
                    return false;
                }
            }
        }
    }

    fn count(&self, work: &Work) {
        let stats = self.store.stats();
        match work {
            Work::Frames(_, frames) => StoreStats::add(&stats.frames, frames.len() as u64),
            Work::Events(events) => StoreStats::add(&stats.events, events.len() as u64),
            Work::Alerts(_) => {}
        }
    }

    async fn insert(&self, work: &Work) -> Result<(), StoreError> {
        let insert = async {
            self.store.prepare().await?;
            match work {
                Work::Frames(site, frames) => self.store.insert_frames(site, frames).await,
                Work::Events(events) => self.store.insert_events(events).await,
                Work::Alerts(changes) => self.store.save_alerts(changes).await,
            }
        };
        match tokio::time::timeout(PATIENCE * 2, insert).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Away("it takes too long to write".into())),
        }
    }

    fn entry(&self, work: &Work) -> Result<Entry, StoreError> {
        match work {
            Work::Frames(site, frames) => {
                let floor = site.floor();
                let zone = |number| floor.id(number).map(|id| &**id);
                Ok(Entry::Frames(site.config().id.as_str().into(), block::encode(frames, zone)?))
            }
            Work::Events(events) => Ok(Entry::Events(serde_json::to_vec(events)?)),
            Work::Alerts(changes) => Ok(Entry::Alerts(serde_json::to_vec(changes)?)),
        }
    }

    fn work(&self, entry: Entry) -> Result<Work, StoreError> {
        match entry {
            Entry::Frames(id, body) => {
                let site = self.sites.iter().find(|s| s.config().id == *id);
                let site = site.ok_or(StoreError::Block(BlockError::NO_SITE))?;
                let floor = site.floor();
                let frames = block::decode(&body, &id, |zone| floor.number_of(zone))?;
                Ok(Work::Frames(site.clone(), frames))
            }
            Entry::Events(body) => Ok(Work::Events(serde_json::from_slice(&body)?)),
            Entry::Alerts(body) => Ok(Work::Alerts(serde_json::from_slice(&body)?)),
        }
    }

    /// Writes what waits on the disk; `false` when the database is still away.
    async fn drain(&mut self) -> bool {
        loop {
            let entry = match self.spool.front() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(e) => {
                    self.settle(Some(e.to_string()));
                    return false;
                }
            };
            let written = match self.work(entry) {
                Ok(work) => self.insert(&work).await,
                Err(e) => Err(e),
            };
            match written {
                Ok(()) => self.spool.pop(),
                Err(e) if e.is_refusal() => self.spool.refuse(&e.to_string()),
                Err(e) => {
                    self.settle(Some(e.to_string()));
                    return false;
                }
            }
        }
        self.settle(None);
        true
    }

    /// Raises or clears the fault, and says so once.
    fn settle(&mut self, problem: Option<String>) {
        if self.problem == problem {
            return;
        }
        match &problem {
            Some(p) => tracing::warn!("{p}; writes wait on the disk"),
            None => tracing::info!("the database takes writes again"),
        }
        self.health.set_fault(COMPONENT, problem.clone());
        self.problem = problem;
    }
}
