//! From the frames of one site to its events: who came and went, presence, links.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, Evidence, Place, Severity};
use crate::floor::FloorPlan;
use crate::pose::{Person, PoseFrame};

/// The rules of [`SiteWatch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchConfig {
    /// A link without packets for this long is disconnected, seconds. Nodes that reboot are back within about five.
    pub link_lost_s: f64,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self { link_lost_s: 10.0 }
    }
}

/// What was last told about one site.
#[derive(Debug)]
pub struct SiteWatch {
    config: WatchConfig,
    site: Arc<str>,
    plan: FloorPlan,
    people: BTreeMap<u64, Seen>,
    present: Option<bool>,
    links: BTreeMap<Arc<str>, Heard>,
}

#[derive(Debug)]
struct Seen {
    since_ns: i64,
    last: Person,
}

#[derive(Debug)]
struct Heard {
    last_ns: i64,
    connected: bool,
}

/// Links that are remembered; more come only from forged packets.
const MAX_LINKS: usize = 8192;

impl SiteWatch {
    /// Nothing told yet.
    pub fn new(site: &str, plan: FloorPlan, config: WatchConfig) -> Self {
        Self {
            config,
            site: site.into(),
            plan,
            people: BTreeMap::new(),
            present: None,
            links: BTreeMap::new(),
        }
    }

    /// Where a person is, for their events.
    pub fn place(&self, person: &Person) -> Place {
        let zone = person.zone.and_then(|z| self.plan.now().id(z).cloned());
        Place { zone, position_m: Some(person.position_m) }
    }

    /// An event of a person in a frame.
    pub fn of_person(&self, kind: EventKind, frame: &PoseFrame, person: &Person) -> Event {
        Event {
            person: Some(person.id),
            place: Some(self.place(person)),
            confidence: Some(person.confidence),
            provenance: Some(frame.provenance.clone()),
            ..Event::new(kind, frame.time_ns).at(&self.site)
        }
    }

    /// Compares a frame with the one before. `person.lost` carries the last that was known of them.
    pub fn frame(&mut self, frame: &PoseFrame, tell: &mut dyn FnMut(Event)) {
        self.presence(frame, tell);
        for person in &frame.persons {
            if let Some(seen) = self.people.get_mut(&person.id) {
                seen.last = person.clone();
            } else {
                let seen = Seen { since_ns: frame.time_ns, last: person.clone() };
                self.people.insert(person.id, seen);
                tell(self.of_person(EventKind::PersonDetected, frame, person));
            }
        }
        let gone: Vec<u64> =
            self.people.keys().filter(|id| !frame.persons.iter().any(|p| p.id == **id)).copied().collect();
        for id in gone {
            if let Some(seen) = self.people.remove(&id) {
                let seen_s = frame.time_ns.saturating_sub(seen.since_ns).max(0) as f64 / 1e9;
                let event = self.of_person(EventKind::PersonLost, frame, &seen.last);
                tell(event.because(Evidence::Track { seen_s }));
            }
        }
    }

    fn presence(&mut self, frame: &PoseFrame, tell: &mut dyn FnMut(Event)) {
        let Some(presence) = frame.presence else { return };
        let before = self.present.replace(presence.present);
        // That nobody is there at the start is no news.
        if before.unwrap_or(false) == presence.present {
            return;
        }
        let kind = if presence.present { EventKind::PresenceStarted } else { EventKind::PresenceEnded };
        let evidence =
            Evidence::Presence { motion_level: presence.motion_level, coverage: presence.coverage };
        let event = Event::new(kind, frame.time_ns).at(&self.site).because(evidence);
        tell(Event { provenance: Some(frame.provenance.clone()), ..event });
    }

    /// Says which links were heard in the window that ends at `time_ns`.
    pub fn links<'a>(
        &mut self,
        time_ns: i64,
        heard: impl Iterator<Item = &'a str>,
        tell: &mut dyn FnMut(Event),
    ) {
        for link in heard {
            if let Some(known) = self.links.get_mut(link) {
                known.last_ns = time_ns;
                if !std::mem::replace(&mut known.connected, true) {
                    tell(self.of_link(EventKind::RouterConnected, time_ns, link));
                }
            } else if self.links.len() < MAX_LINKS {
                self.links.insert(link.into(), Heard { last_ns: time_ns, connected: true });
                tell(self.of_link(EventKind::RouterConnected, time_ns, link));
            }
        }
        let limit_s = self.config.link_lost_s;
        let mut silent = Vec::new();
        for (link, known) in self.links.iter_mut().filter(|(_, known)| known.connected) {
            if time_ns.saturating_sub(known.last_ns) as f64 / 1e9 > limit_s {
                known.connected = false;
                silent.push((link.clone(), known.last_ns));
            }
        }
        for (link, last_ns) in silent {
            let value = time_ns.saturating_sub(last_ns) as f64 / 1e9;
            let evidence = Evidence::Threshold { metric: "silent_s".into(), value, limit: limit_s };
            let event = self.of_link(EventKind::RouterDisconnected, time_ns, &link);
            tell(event.severe(Severity::Medium).because(evidence));
        }
    }

    fn of_link(&self, kind: EventKind, time_ns: i64, link: &str) -> Event {
        Event::new(kind, time_ns).at(&self.site).about(link)
    }
}
