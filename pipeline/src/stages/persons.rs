//! Tracking's thread: what was seen at each site, to frames of people.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::inference::Detections;
use crate::events::{Event, EventBus, SiteWatch, WatchConfig};
use crate::health::{Health, Part};
use crate::pose::{Person, PoseFrame, Provenance};
use crate::site::SiteConfig;
use crate::tracking::{PersonIds, Tracker, TrackerConfig};

/// A frame that has all but its number.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The frame; `frame_id` and `processing_ns` are set by the ring.
    pub frame: PoseFrame,
    /// When the window's newest packet arrived.
    pub arrived: Option<Instant>,
}

/// The people of all sites.
pub struct Persons {
    sites: HashMap<Arc<str>, Place>,
    ids: PersonIds,
    events: EventBus,
    health: Health,
}

/// One site.
struct Place {
    config: SiteConfig,
    tracker: Tracker,
    watch: SiteWatch,
}

impl Persons {
    /// Nobody yet.
    pub fn new(
        sites: HashMap<Arc<str>, SiteConfig>,
        config: TrackerConfig,
        watch: WatchConfig,
        ids: PersonIds,
        events: EventBus,
        health: Health,
    ) -> Self {
        let place = |site: SiteConfig| Place {
            tracker: Tracker::new(config.clone()),
            watch: SiteWatch::new(&site, watch.clone()),
            config: site,
        };
        let sites = sites.into_iter().map(|(id, site)| (id, place(site))).collect();
        Self { sites, ids, events, health }
    }

    /// Takes in what was seen in one window.
    pub fn run(&mut self, detections: Detections) -> Finished {
        let Detections { window, observations, model, calibrated, experimental } = detections;
        let about = &window.clean.window;
        let persons = match self.sites.get_mut(&about.site) {
            None => Vec::new(),
            Some(place) if about.last => {
                place.tracker.clear();
                Vec::new()
            }
            Some(Place { config, tracker, .. }) => {
                if about.reset {
                    tracker.clear();
                }
                let somebody = window.presence.map(|p| p.present);
                let (time, seen) = (about.grid.end_ns, observations.as_deref());
                let (mut persons, fault) = match tracker.update(time, somebody, seen, &mut self.ids) {
                    Ok(persons) => (persons, None),
                    Err(e) => (Vec::new(), Some(e.to_string())),
                };
                self.health.set_fault(Part::Site("tracking", about.site.clone()), fault);
                zones(&mut persons, config);
                persons
            }
        };
        let frame = PoseFrame {
            frame_id: 0,
            site: about.site.clone(),
            time_ns: about.grid.end_ns,
            processing_ns: 0,
            provenance: Provenance { source: about.source, model, calibrated, experimental },
            presence: window.presence,
            persons,
        };
        if let Some(place) = self.sites.get_mut(&about.site) {
            let mut tell = |event: Event| drop(self.events.publish(event));
            let heard = window.clean.links.iter().map(|l| l.raw.link.as_str());
            place.watch.links(frame.time_ns, heard, &mut tell);
            place.watch.frame(&frame, &mut tell);
        }
        Finished { frame, arrived: about.arrived }
    }
}

/// Says in which zone each person is: the first one that holds them.
fn zones(persons: &mut [Person], site: &SiteConfig) {
    for person in persons {
        let [x, y, _] = person.position_m;
        let zone = site.zones.iter().position(|zone| zone.contains(x, y));
        person.zone = zone.and_then(|z| u16::try_from(z).ok());
    }
}
