//! Tracking's thread: what was seen at each site, to frames of people.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::inference::Detections;
use crate::events::{Event, EventBus, EventKind, Evidence, SiteWatch, WatchConfig};
use crate::floor::FloorPlan;
use crate::health::{Health, Part};
use crate::pose::{Count, PoseFrame, Provenance};
use crate::radio::Radio;
use crate::site::SiteConfig;
use crate::tracking::{PersonIds, Tracker, TrackerConfig};
use crate::trail::Trail;
use crate::understanding::{
    ActivityConfig, ActivityWatch, BreathRules, BreathWatch, CountRules, FallConfig, FallWatch, ZoneRules,
    Zones, count,
};

/// A frame that has all but its number.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The frame; `frame_id` and `processing_ns` are set by the ring.
    pub frame: PoseFrame,
    /// When the window's newest packet arrived.
    pub arrived: Option<Instant>,
    /// Its way, where it is followed.
    pub trail: Option<Box<Trail>>,
}

/// The rules by which people are followed and understood.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Who is who.
    pub tracker: TrackerConfig,
    /// What becomes an event.
    pub watch: WatchConfig,
    /// Who is where.
    pub zones: ZoneRules,
    /// Who does what.
    pub activity: ActivityConfig,
    /// Who has fallen.
    pub falls: FallConfig,
    /// How many there are.
    pub count: CountRules,
    /// Whose breath it is.
    pub breath: BreathRules,
}

/// The people of all sites.
pub struct Persons {
    sites: HashMap<Arc<str>, Place>,
    ids: PersonIds,
    events: EventBus,
    radio: Radio,
    health: Health,
}

/// One site.
struct Place {
    max_occupancy: Option<u32>,
    tracker: Tracker,
    activities: ActivityWatch,
    zones: Zones,
    watch: SiteWatch,
    /// Where falls are asked for.
    falls: Option<FallWatch>,
    breath: BreathWatch,
    count: CountRules,
}

impl Persons {
    /// Nobody yet, at these sites with their zones.
    pub fn new(
        sites: Vec<(SiteConfig, FloorPlan)>,
        rules: &Rules,
        ids: PersonIds,
        events: EventBus,
        radio: Radio,
        health: Health,
    ) -> Self {
        let place = |(site, plan): (SiteConfig, FloorPlan)| {
            let place = Place {
                max_occupancy: site.max_occupancy,
                tracker: Tracker::new(rules.tracker.clone()),
                activities: ActivityWatch::new(rules.activity.clone()),
                zones: Zones::new(&site.id, plan.clone(), rules.zones.clone()),
                watch: SiteWatch::new(&site.id, plan, rules.watch.clone()),
                falls: rules.falls.enabled.then(|| FallWatch::new(rules.falls.clone())),
                breath: BreathWatch::new(site.links.clone(), rules.breath.clone()),
                count: rules.count.clone(),
            };
            (site.id.as_str().into(), place)
        };
        Self { sites: sites.into_iter().map(place).collect(), ids, events, radio, health }
    }

    /// Takes in what was seen in one window.
    pub fn run(&mut self, detections: Detections) -> Finished {
        let Detections { window, observations, model, calibrated, experimental } = detections;
        self.radio.show(&window.clean);
        let about = &window.clean.window;
        let mut frame = PoseFrame {
            frame_id: 0,
            site: about.site.clone(),
            time_ns: about.grid.end_ns,
            processing_ns: 0,
            provenance: Provenance { source: about.source, model, calibrated, experimental },
            presence: window.presence,
            breathing: window.breathing,
            count: None,
            activity: window.signal.activity,
            persons: Vec::new(),
        };
        if let Some(place) = self.sites.get_mut(&about.site) {
            if about.reset || about.last {
                place.tracker.clear();
            }
            if !about.last {
                let somebody = window.presence.map(|p| p.present);
                let seen = observations.as_deref();
                let fault = match place.tracker.update(frame.time_ns, somebody, seen, &mut self.ids) {
                    Ok(persons) => {
                        frame.persons = persons;
                        None
                    }
                    Err(e) => Some(e.to_string()),
                };
                self.health.set_fault(Part::Site("tracking", about.site.clone()), fault);
            }
            let heard = window.clean.links.iter().map(|l| l.raw.link.as_str());
            let mut tell = |event: Event| drop(self.events.publish(event));
            place.watch.links(frame.time_ns, heard, &mut tell);
            place.breath.frame(frame.time_ns, &mut frame.persons, &window.breaths);
            frame.count = place.count(&frame, window.signal.count);
            place.understand(&mut frame, &mut tell);
        }
        Finished { frame, arrived: about.arrived, trail: window.clean.window.trail }
    }
}

impl Place {
    /// How many people are there: nobody where the signal says so, else from those who are followed where poses are earned, else what the site's
    /// own classifier says, else from those who are followed by way of experiment.
    fn count(&self, frame: &PoseFrame, signal: Option<Count>) -> Option<Count> {
        let somebody = frame.presence.map(|p| p.present);
        let followed = || {
            let looked = frame.provenance.model.is_some() && somebody.is_some();
            looked.then(|| count(&frame.persons, somebody == Some(true), &self.count))
        };
        match somebody {
            Some(false) => Some(Count::NOBODY),
            _ if frame.provenance.calibrated => followed(),
            _ => signal.or_else(followed),
        }
    }

    /// What the people of a frame do and where, and what of it is news.
    fn understand(&mut self, frame: &mut PoseFrame, tell: &mut dyn FnMut(Event)) {
        let changes = self.activities.frame(frame.time_ns, &mut frame.persons);
        let mut moved = Vec::new();
        self.zones.frame(frame, self.max_occupancy, &mut |event| moved.push(event));
        // Somebody is detected before they enter a zone, and leaves it before they are lost.
        let (left, others): (Vec<Event>, Vec<Event>) =
            moved.into_iter().partition(|e| e.kind == EventKind::PersonLeftZone);
        left.into_iter().for_each(&mut *tell);
        self.watch.frame(frame, tell);
        others.into_iter().for_each(&mut *tell);
        for (id, before, activity) in changes {
            if let Some(person) = frame.persons.iter().find(|p| p.id == id) {
                let event = self.watch.of_person(EventKind::ActivityDetected, frame, person);
                tell(event.because(Evidence::Activity { activity, before }));
            }
        }
        let watch = &self.watch;
        if let Some(falls) = &mut self.falls {
            falls.frame(frame, &|kind, person| watch.of_person(kind, frame, person), tell);
        }
    }
}
