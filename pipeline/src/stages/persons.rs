//! Tracking's thread: what was seen at each site, to frames of people.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::inference::Detections;
use crate::health::Health;
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
    sites: HashMap<Arc<str>, (SiteConfig, Tracker)>,
    ids: PersonIds,
    health: Health,
}

impl Persons {
    /// Nobody yet.
    pub fn new(
        sites: HashMap<Arc<str>, SiteConfig>,
        config: TrackerConfig,
        ids: PersonIds,
        health: Health,
    ) -> Self {
        let sites = sites.into_iter().map(|(id, site)| (id, (site, Tracker::new(config.clone())))).collect();
        Self { sites, ids, health }
    }

    /// Takes in what was seen in one window.
    pub fn run(&mut self, detections: Detections) -> Finished {
        let Detections { window, observations, model, calibrated, experimental } = detections;
        let about = &window.clean.window;
        let persons = match self.sites.get_mut(&about.site) {
            None => Vec::new(),
            Some((_, tracker)) if about.last => {
                tracker.clear();
                Vec::new()
            }
            Some((site, tracker)) => {
                if about.reset {
                    tracker.clear();
                }
                let somebody = window.presence.map(|p| p.present);
                let (time, seen) = (about.grid.end_ns, observations.as_deref());
                match tracker.update(time, somebody, seen, &mut self.ids) {
                    Ok(mut persons) => {
                        self.health.set_fault("tracking", None);
                        place(&mut persons, site);
                        persons
                    }
                    Err(e) => {
                        self.health.set_fault("tracking", Some(e.to_string()));
                        Vec::new()
                    }
                }
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
        Finished { frame, arrived: about.arrived }
    }
}

/// Says in which zone each person is: the first one that holds them.
fn place(persons: &mut [Person], site: &SiteConfig) {
    for person in persons {
        let [x, y, _] = person.position_m;
        let zone = site.zones.iter().position(|zone| zone.contains(x, y));
        person.zone = zone.and_then(|z| u16::try_from(z).ok());
    }
}
