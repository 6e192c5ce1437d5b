//! Home Assistant: sites and nodes appear as devices by MQTT discovery. An entity is announced when there is something to measure it
//! by, and taken back when there is not.

mod discovery;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use invispose_pipeline::events::{Delivery, Event, EventKind, Subscription};
use invispose_pipeline::floor::Floor;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use self::discovery::{Device, Entity};
use super::ended;
use super::mqtt::{Outbox, Topics};
use crate::feed::Feed;
use crate::query::Filter;
use crate::view::{FrameView, decimal};
use crate::{ApiState, Site};

/// Looks at a site, a second.
const LOOKS: f64 = 10.0;
/// Figures that wander are told this often.
const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// A node that was not heard for so long is gone.
const GONE: Duration = Duration::from_secs(600);

/// One site's devices.
pub(crate) struct HomeAssistant {
    pub state: ApiState,
    pub outbox: Outbox,
    pub topics: Topics,
    pub site: Site,
    /// Of this process.
    pub instance: String,
    /// Discovery topics begin with it.
    pub prefix: String,
    pub private: bool,
    /// Falls are told.
    pub falls: bool,
    /// Motion level from which on something moves.
    pub moving: f64,
    pub closing: watch::Receiver<bool>,
}

/// What was told.
struct Told {
    device: Device,
    announced: BTreeSet<String>,
    /// The zones of that time.
    floor: Arc<Floor>,
    nodes: BTreeMap<String, Node>,
    /// People who fell and are not up.
    fallen: BTreeSet<u64>,
    state: Value,
    figures: Instant,
    /// When links were looked at.
    links: Instant,
}

/// What was told about a link.
#[derive(Default)]
struct Node {
    /// `None`: it is heard.
    silent_since: Option<Instant>,
    /// Over the newest window; `None` where nothing says it.
    packets_per_s: Option<f64>,
    rssi_dbm: Option<f64>,
}

impl Node {
    fn state(&self) -> Value {
        let heard = self.silent_since.is_none();
        let figure = |value: Option<f64>| value.filter(|_| heard).map(|v| (v * 10.0).round() / 10.0);
        json!({
            "link": on(heard), "packets_per_s": figure(self.packets_per_s), "rssi_dbm": figure(self.rssi_dbm),
        })
    }
}

impl HomeAssistant {
    /// Tells until the site or the process ends.
    pub(crate) async fn run(self, mut events: Subscription) {
        let config = self.site.config();
        let filter = Filter { site: Some(config.id.clone()), ..Filter::default() };
        let feed = self.state.select(&filter).and_then(|s| Feed::new(s, Some(LOOKS)));
        let mut feed = match feed {
            Ok(feed) => feed,
            Err(error) => return tracing::error!("Home Assistant: site {}: {error}", config.id),
        };
        let device = Device {
            instance: self.instance.clone(),
            site: config.id.clone(),
            name: if config.name.is_empty() { config.id.clone() } else { config.name.clone() },
            status_topic: self.topics.system("system/status"),
            state_topic: self.topics.site(&config.id, "home_assistant/state"),
            node_topic: self.topics.site(&config.id, "home_assistant/node"),
        };
        let mut told = Told {
            device,
            announced: BTreeSet::new(),
            floor: self.site.floor(),
            nodes: BTreeMap::new(),
            fallen: BTreeSet::new(),
            state: Value::Null,
            figures: Instant::now(),
            links: Instant::now(),
        };
        self.recall(&mut told).await;
        let started = Instant::now();
        let mut closing = self.closing.clone();
        let stale_after = self.state.config().stale_after;
        let mut present = false;
        let mut swept = false;
        loop {
            let mut newest = None;
            tokio::select! {
                frame = feed.next() => match frame {
                    Some(frame) if frame.is_stale(stale_after) => continue,
                    Some(frame) => newest = Some(frame),
                    None => break,
                },
                Some(delivery) = events.next() => match delivery {
                    Delivery::Event(event) => self.event(&mut told, &event).await,
                    Delivery::Missed(_) => {}
                },
                () = tokio::time::sleep(stale_after), if present => {
                    present = false;
                    self.outbox.set(told.device.state_topic.clone(), 1, json!({ "available": "offline" }).to_string());
                    told.state = Value::Null;
                }
                () = ended(&mut closing) => break,
            }
            if let Some(frame) = newest {
                present = true;
                self.frame(&mut told, &frame).await;
            }
            if started.elapsed() > GONE {
                self.forget_nodes(&mut told, !swept).await;
                swept = true;
            }
        }
        self.outbox.set(told.device.state_topic.clone(), 1, json!({ "available": "offline" }).to_string());
    }

    /// What was announced, also by an earlier run, and can no longer be, is taken back. Zones are announced again, for they may have
    /// another name.
    async fn recall(&self, told: &mut Told) {
        told.announced.retain(|topic| !Device::is_zone(topic));
        let floor = told.floor.clone();
        let mut possible: Vec<Entity> =
            vec![Entity::Presence, Entity::Motion, Entity::MotionLevel, Entity::Coverage, Entity::People];
        possible.extend(self.falls.then_some(Entity::Fall));
        possible.extend((!self.private).then_some(Entity::Breathing));
        for zone in floor.zones().iter().map(|z| &z.config) {
            possible.push(Entity::ZoneOccupancy(zone.id.clone(), zone.name.clone()));
            possible.push(Entity::ZonePeople(zone.id.clone(), zone.name.clone()));
        }
        let possible: BTreeSet<String> =
            possible.iter().map(|e| told.device.topic(&self.prefix, e)).collect();
        match self.outbox.queue().announced().await {
            Ok(topics) => {
                for topic in topics.into_iter().filter(|t| told.device.owns(t)) {
                    if !possible.contains(&topic) && !Device::is_node(&topic) {
                        self.take_back(&topic).await;
                    }
                }
            }
            Err(error) => tracing::warn!("Home Assistant: {error}"),
        }
    }

    async fn announce(&self, told: &mut Told, entity: &Entity) {
        if self.private && entity.is_biometric() {
            return;
        }
        let topic = told.device.topic(&self.prefix, entity);
        if !told.announced.insert(topic.clone()) {
            return;
        }
        // Before the broker can have it, so that it is never forgotten there.
        if let Err(error) = self.outbox.queue().announce(&topic, true).await {
            tracing::warn!("Home Assistant: {error}");
        }
        self.outbox.set(topic, 1, told.device.config(entity).to_string());
    }

    async fn take_back(&self, topic: &str) {
        self.outbox.set(topic.to_owned(), 1, "");
        if let Err(error) = self.outbox.queue().announce(topic, false).await {
            tracing::warn!("Home Assistant: {error}");
        }
    }

    /// Nodes that were silent for long are gone; at `first` also those that earlier runs announced and nobody heard since.
    async fn forget_nodes(&self, told: &mut Told, first: bool) {
        let silent = |node: &Node| node.silent_since.is_some_and(|since| since.elapsed() > GONE);
        let gone: Vec<String> =
            told.nodes.iter().filter(|(_, n)| silent(n)).map(|(link, _)| link.clone()).collect();
        for link in gone {
            told.nodes.remove(&link);
            for entity in
                [Entity::Node(link.clone()), Entity::NodeRate(link.clone()), Entity::NodeSignal(link)]
            {
                let topic = told.device.topic(&self.prefix, &entity);
                if told.announced.remove(&topic) {
                    self.take_back(&topic).await;
                }
            }
        }
        if first && let Ok(topics) = self.outbox.queue().announced().await {
            let unheard =
                |t: &&String| told.device.owns(t) && Device::is_node(t) && !told.announced.contains(*t);
            for topic in topics.iter().filter(unheard) {
                self.take_back(topic).await;
            }
        }
    }

    async fn event(&self, told: &mut Told, event: &Event) {
        if event.site.as_deref() != Some(self.site.config().id.as_str()) {
            return;
        }
        match (event.kind, event.person, event.subject.as_deref()) {
            (EventKind::FallDetected, Some(person), _) => {
                told.fallen.insert(person);
            }
            (EventKind::FallRecovered | EventKind::PersonLost, Some(person), _) => {
                told.fallen.remove(&person);
            }
            (EventKind::RouterConnected, _, Some(link)) => self.node(told, link, true).await,
            (EventKind::RouterDisconnected, _, Some(link)) => self.node(told, link, false).await,
            _ => {}
        }
    }

    async fn node(&self, told: &mut Told, link: &str, heard: bool) {
        let node = told.nodes.entry(link.to_owned()).or_default();
        node.silent_since = (!heard).then(Instant::now);
        self.tell_node(told, link).await;
    }

    async fn tell_node(&self, told: &mut Told, link: &str) {
        let Some(node) = told.nodes.get(link) else { return };
        let mut entities = vec![Entity::Node(link.to_owned())];
        entities.extend(node.packets_per_s.map(|_| Entity::NodeRate(link.to_owned())));
        entities.extend(node.rssi_dbm.map(|_| Entity::NodeSignal(link.to_owned())));
        let state = node.state();
        for entity in &entities {
            self.announce(told, entity).await;
        }
        self.outbox.set(told.device.node_state_topic(link), 1, state.to_string());
    }

    /// How well the links are heard, over the newest window.
    async fn links(&self, told: &mut Told) {
        let Some(glance) = self.state.radio().newest(&self.site.config().id) else { return };
        let mut links = BTreeMap::<&str, (f64, Option<f32>)>::new();
        for heard in &glance.links {
            // A link may send several layouts.
            let link = links.entry(heard.link.as_str()).or_default();
            link.0 += heard.packets_per_s;
            link.1 = link.1.or(heard.rssi_dbm);
        }
        for (link, (packets_per_s, rssi_dbm)) in links {
            let node = told.nodes.entry(link.to_owned()).or_default();
            let before = node.state();
            node.packets_per_s = Some(packets_per_s);
            node.rssi_dbm = rssi_dbm.map(f64::from);
            if node.state() != before {
                self.tell_node(told, link).await;
            }
        }
    }

    async fn frame(&self, told: &mut Told, view: &FrameView) {
        let frame = view.frame();
        let floor = self.site.floor();
        if !Arc::ptr_eq(&floor, &told.floor) {
            told.floor = floor.clone();
            self.recall(told).await;
        }
        if told.links.elapsed() >= FIGURES_EVERY {
            told.links = Instant::now();
            self.links(told).await;
        }
        let mut entities = Vec::new();
        if frame.presence.is_some() {
            entities.extend([Entity::Presence, Entity::Motion, Entity::MotionLevel, Entity::Coverage]);
        }
        entities.extend(frame.breathing.map(|_| Entity::Breathing));
        let counted = frame.provenance.model.is_some();
        if counted {
            entities.push(Entity::People);
            entities.extend(self.falls.then_some(Entity::Fall));
            for zone in floor.zones().iter().map(|z| &z.config) {
                entities.push(Entity::ZoneOccupancy(zone.id.clone(), zone.name.clone()));
                entities.push(Entity::ZonePeople(zone.id.clone(), zone.name.clone()));
            }
        }
        for entity in &entities {
            self.announce(told, entity).await;
        }
        let state = self.values(told, view, counted);
        // What happens is told at once; figures that wander are told now and then.
        let jumps = |state: &Value| {
            ["presence", "motion", "people", "fall", "zones", "available"].map(|m| state.get(m).cloned())
        };
        if state != told.state
            && (jumps(&state) != jumps(&told.state) || told.figures.elapsed() >= FIGURES_EVERY)
        {
            self.outbox.set(told.device.state_topic.clone(), 1, state.to_string());
            told.state = state;
            told.figures = Instant::now();
        }
    }

    fn values(&self, told: &Told, view: &FrameView, counted: bool) -> Value {
        let frame = view.frame();
        let level = frame.presence.map(|p| decimal(p.motion_level));
        let inside = |zone: &str| view.persons().filter(|p| p.zone().is_some_and(|z| z.id == zone)).count();
        let zones: Map<String, Value> = told
            .floor
            .zones()
            .iter()
            .map(|z| &z.config)
            .map(|zone| {
                let people = counted.then(|| inside(&zone.id));
                let values = json!({ "occupancy": people.map(|n| on(n > 0)), "people": people });
                (zone.id.clone(), values)
            })
            .collect();
        json!({
            "available": "online",
            "presence": frame.presence.map(|p| on(p.present)),
            "motion": level.map(|level| on(level >= self.moving)),
            "motion_level": level.map(|level| (level * 10.0).round() / 10.0),
            "links_heard": frame.presence.map(|p| (f64::from(p.coverage) * 100.0).round()),
            "people": counted.then(|| view.person_count()),
            "fall": (counted && self.falls).then(|| on(!told.fallen.is_empty())),
            "breathing": frame.breathing.filter(|_| !self.private).map(|b| (f64::from(b.rate_bpm) * 10.0).round() / 10.0),
            "zones": zones,
        })
    }
}

/// As binary sensors say it.
fn on(yes: bool) -> &'static str {
    if yes { "ON" } else { "OFF" }
}
