//! From frames, events and the system's state to messages.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use invispose_pipeline::events::{Delivery, Event, Subscription};
use tokio::sync::watch;

use super::outbox::Outbox;
use super::payloads;
use super::topics::Topics;
use crate::feed::Feed;
use crate::outputs::ended;
use crate::outputs::queue::Lane;
use crate::query::{Filter, Selection};
use crate::view::FrameView;
use crate::{ApiState, Site, Time};

/// What all feeders share.
#[derive(Clone)]
pub(crate) struct Feeder {
    pub state: ApiState,
    pub outbox: Outbox,
    pub topics: Topics,
    /// No poses, no person, no breathing.
    pub private: bool,
    pub max_fps: f64,
    pub status_every: Duration,
    pub closing: watch::Receiver<bool>,
}

impl Feeder {
    /// Publishes what a site's frames say, until the site or the process ends.
    pub(super) async fn site(self, site: Site) {
        let id = site.config().id.clone();
        let filter = Filter { site: Some(id.clone()), ..Filter::default() };
        let max_fps = Some(self.max_fps);
        let feed = self.state.select(&filter).and_then(|s| Ok((s.clone(), Feed::new(s, max_fps)?)));
        let (selection, mut feed) = match feed {
            Ok(feed) => feed,
            Err(error) => return tracing::error!("MQTT: site {id}: {error}"),
        };
        if self.private {
            // An earlier run may have left one with the broker.
            self.outbox.set(self.topics.site(&id, "pose/current"), 0, "");
        }
        let mut zones = Zones::default();
        let mut closing = self.closing.clone();
        let mut present = false;
        loop {
            let stale_after = self.state.config().stale_after;
            let frame = tokio::select! {
                frame = feed.next() => frame,
                () = tokio::time::sleep(stale_after), if present => {
                    present = false;
                    self.stale(&selection, &mut zones).await;
                    continue;
                }
                () = ended(&mut closing) => None,
            };
            match frame {
                // What the ring holds from an earlier run is not the present.
                Some(frame) if frame.is_stale(stale_after) => continue,
                Some(frame) => self.frame(&frame, &mut zones).await,
                None => return self.stale(&selection, &mut zones).await,
            }
            present = true;
        }
    }

    async fn frame(&self, frame: &FrameView, zones: &mut Zones) {
        let site = &frame.site().config().id;
        if !self.private {
            let current = payloads::pose_current(frame, false).to_string();
            self.outbox.set(self.topics.site(site, "pose/current"), 0, current);
            for person in frame.persons() {
                let topic = self.topics.site(site, &format!("pose/person/{}/update", person.id()));
                let update = payloads::person_update(frame, &person);
                self.outbox.keep(Lane::Samples, topic, 1, false, &update).await;
            }
        }
        self.occupancy(frame, false, zones).await;
    }

    /// The newest frame is no longer the present.
    async fn stale(&self, selection: &Selection, zones: &mut Zones) {
        let Ok(frame) = selection.current() else { return };
        if !self.private {
            let topic = self.topics.site(&frame.site().config().id, "pose/current");
            self.outbox.set(topic, 0, payloads::pose_current(&frame, true).to_string());
        }
        self.occupancy(&frame, true, zones).await;
    }

    /// Tells who is in the zones, where that has changed.
    async fn occupancy(&self, frame: &FrameView, stale: bool, zones: &mut Zones) {
        let site = frame.site().config();
        let counted = payloads::counted(frame, stale);
        let floor = frame.site().floor();
        for zone in floor.zones().iter().map(|z| &z.config) {
            let inside = counted.then(|| {
                let inside = frame.persons().filter(|p| p.zone().is_some_and(|z| z.id == zone.id));
                inside.map(|p| p.id()).collect::<Vec<_>>()
            });
            // Of zones that nobody ever looked at there is nothing to tell.
            if zones.get(&zone.id).unwrap_or(&None) == &inside {
                continue;
            }
            let time = if stale { Time::now() } else { frame.time() };
            let payload = payloads::occupancy(time, &zone.id, &site.id, inside.as_deref(), !self.private);
            let topic = self.topics.site(&site.id, &format!("pose/zone/{}/occupancy", zone.id));
            self.outbox.keep(Lane::Kept, topic, 1, true, &payload).await;
            zones.insert(zone.id.clone(), inside);
        }
    }

    /// Publishes alerts, until the bus is closed or the process ends.
    pub(super) async fn events(self, mut events: Subscription) {
        let mut closing = self.closing.clone();
        loop {
            let delivery = tokio::select! {
                biased;
                delivery = events.next() => delivery,
                () = ended(&mut closing) => None,
            };
            match delivery {
                Some(Delivery::Event(event)) => self.event(&event).await,
                Some(Delivery::Missed(count)) => {
                    self.outbox.stats().missed.fetch_add(count, Relaxed);
                    tracing::warn!("MQTT: {count} events were not published: too many at once");
                }
                None => return,
            }
        }
    }

    async fn event(&self, event: &Event) {
        let Some(category) = payloads::category(event) else { return };
        let topic = format!("system/alerts/{category}");
        let topic = match event.site.as_deref() {
            Some(site) => self.topics.site(site, &topic),
            None => self.topics.system(&topic),
        };
        let payload = payloads::alert(event, category, self.private);
        self.outbox.keep(Lane::Kept, topic, 2, false, &payload).await;
    }

    /// Publishes the system's state now and then and at the end.
    pub(super) async fn status(self) {
        let mut closing = self.closing.clone();
        let mut last = false;
        loop {
            self.tell_status(!last);
            if last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.status_every) => {}
                () = ended(&mut closing) => last = true,
            }
        }
    }

    pub(super) fn tell_status(&self, online: bool) -> serde_json::Value {
        let status = payloads::status(&self.state, online);
        self.outbox.set(self.topics.system("system/status"), 1, status.to_string());
        status
    }
}

/// Who was last told to be in each zone; `None`: nobody knew.
type Zones = HashMap<String, Option<Vec<String>>>;
