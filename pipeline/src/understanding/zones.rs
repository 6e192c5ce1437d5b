//! Who is in which zone, for how long, and whether they may.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::events::{Event, EventKind, Evidence, Place, Severity};
use crate::floor::{Floor, FloorPlan, Zone};
use crate::pose::{Person, PoseFrame};

/// The rules of all zones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZoneRules {
    /// Somebody is in a zone once they are inside it for this long, seconds: positions jump for shorter times.
    pub enter_s: f64,
    /// They have left it once they are farther from it than this, metres: about the error of a position…
    pub exit_margin_m: f32,
    /// …for this long, seconds.
    pub exit_s: f64,
    /// There are too many people, or somebody is where they must not be, once it lasts this long, seconds.
    pub breach_s: f64,
}

impl Default for ZoneRules {
    fn default() -> Self {
        Self { enter_s: 0.3, exit_margin_m: 0.25, exit_s: 0.7, breach_s: 2.0 }
    }
}

/// The zones of one site and who is in them.
#[derive(Debug)]
pub struct Zones {
    rules: ZoneRules,
    site: Arc<str>,
    plan: FloorPlan,
    /// What `areas` were made from.
    floor: Arc<Floor>,
    areas: Vec<Area>,
    /// The whole site, for its own limit of people.
    crowd: Crowd,
}

#[derive(Debug)]
struct Area {
    id: Arc<str>,
    zone: Zone,
    people: BTreeMap<u64, Stay>,
    crowd: Crowd,
}

/// One person in or near one zone.
#[derive(Debug)]
struct Stay {
    /// Since when they are in; `None` while they have not been inside for long enough.
    entered_ns: Option<i64>,
    /// Since when the evidence has been for the other side.
    turning_ns: Option<i64>,
    /// Since when they have been where they must not be.
    forbidden_ns: Option<i64>,
    told_forbidden: bool,
    told_dwell: bool,
    last: Person,
}

/// Too many people.
#[derive(Debug, Default)]
struct Crowd {
    since_ns: Option<i64>,
    told: bool,
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

impl Area {
    fn new(zone: &Zone) -> Self {
        let id = zone.config.id.as_str().into();
        Self { id, zone: zone.clone(), people: BTreeMap::new(), crowd: Crowd::default() }
    }
}

impl Zones {
    /// Nobody is anywhere yet.
    pub fn new(site: &str, plan: FloorPlan, rules: ZoneRules) -> Self {
        let floor = plan.now();
        let areas = floor.zones().iter().map(Area::new).collect();
        Self { rules, site: site.into(), plan, floor, areas, crowd: Crowd::default() }
    }

    /// Zones may have changed since the last frame. Who is in one that stays, stays; one that is no more is left by all.
    fn refresh(&mut self, frame: &PoseFrame, tell: &mut dyn FnMut(Event)) {
        let floor = self.plan.now();
        if Arc::ptr_eq(&floor, &self.floor) {
            return;
        }
        let mut old = std::mem::take(&mut self.areas);
        for zone in floor.zones() {
            let same = old.iter().position(|a| a.zone.number == zone.number);
            self.areas.push(match same {
                Some(place) => Area { zone: zone.clone(), ..old.swap_remove(place) },
                None => Area::new(zone),
            });
        }
        for area in &old {
            for stay in area.people.values() {
                stay.leave(&area.id, &self.site, frame, tell);
            }
        }
        self.floor = floor;
    }

    /// Says in each person's `zone` the first zone that they are in, and tells what has changed. People who are gone have left
    /// their zones.
    pub fn frame(&mut self, frame: &mut PoseFrame, maximum: Option<u32>, tell: &mut dyn FnMut(Event)) {
        self.refresh(frame, tell);
        for person in &mut frame.persons {
            person.zone = None;
        }
        for index in 0..self.areas.len() {
            self.area(index, frame, tell);
        }
        let of_site = |kind| Event {
            provenance: Some(frame.provenance.clone()),
            ..Event::new(kind, frame.time_ns).at(&self.site)
        };
        self.crowd.judge(frame.persons.len(), maximum, frame.time_ns, self.rules.breach_s, &of_site, tell);
    }

    fn area(&mut self, index: usize, frame: &mut PoseFrame, tell: &mut dyn FnMut(Event)) {
        let now = frame.time_ns;
        let (site, rules) = (self.site.clone(), &self.rules);
        let area = &mut self.areas[index];
        let provenance = frame.provenance.clone();
        let zone = area.id.clone();
        let event = |kind: EventKind, person: Option<&Person>| Event {
            person: person.map(|p| p.id),
            place: Some(Place { zone: Some(zone.clone()), position_m: person.map(|p| p.position_m) }),
            confidence: person.map(|p| p.confidence),
            provenance: Some(provenance.clone()),
            ..Event::new(kind, now).at(&site)
        };
        let forbidden = area.zone.restricted.iter().any(|clock| clock.holds(now));
        for person in &mut frame.persons {
            let [x, y, _] = person.position_m;
            let outside_m = area.zone.config.outside_m(x, y);
            let stay = match area.people.entry(person.id) {
                Entry::Vacant(_) if outside_m > 0.0 => continue,
                entry => entry.or_insert_with(|| Stay::new(person.clone())),
            };
            stay.last = person.clone();
            match stay.entered_ns {
                None if outside_m > 0.0 => {
                    area.people.remove(&person.id);
                    continue;
                }
                None => {
                    let since = *stay.turning_ns.get_or_insert(now);
                    if seconds(since, now) < rules.enter_s {
                        continue;
                    }
                    stay.entered_ns = Some(since);
                    stay.turning_ns = None;
                    tell(event(EventKind::PersonEnteredZone, Some(person)));
                }
                Some(entered) if outside_m > rules.exit_margin_m => {
                    let since = *stay.turning_ns.get_or_insert(now);
                    if seconds(since, now) >= rules.exit_s {
                        area.people.remove(&person.id);
                        let dwell_s = seconds(entered, since);
                        let left = event(EventKind::PersonLeftZone, Some(person));
                        tell(left.because(Evidence::Stay { dwell_s }));
                        continue;
                    }
                }
                Some(_) => stay.turning_ns = None,
            }
            person.zone = person.zone.or(Some(area.zone.number));
            stay.judge(person, now, forbidden, rules, area.zone.config.max_dwell_s, &event, tell);
        }
        let gone: Vec<u64> =
            area.people.keys().filter(|id| !frame.persons.iter().any(|p| p.id == **id)).copied().collect();
        for stay in gone.iter().filter_map(|id| area.people.remove(id)) {
            stay.leave(&zone, &site, frame, tell);
        }
        let inside = area.people.values().filter(|s| s.entered_ns.is_some()).count();
        let of_zone = |kind| event(kind, None);
        area.crowd.judge(inside, area.zone.config.max_occupancy, now, rules.breach_s, &of_zone, tell);
    }

    /// How many people are in each zone, in the order of the floor.
    pub fn occupancy(&self) -> Vec<u32> {
        let inside = |a: &Area| a.people.values().filter(|s| s.entered_ns.is_some()).count() as u32;
        self.areas.iter().map(inside).collect()
    }
}

impl Stay {
    fn new(person: Person) -> Self {
        Self {
            entered_ns: None,
            turning_ns: None,
            forbidden_ns: None,
            told_forbidden: false,
            told_dwell: false,
            last: person,
        }
    }

    /// Tells that somebody who is no longer looked at here has left, where they had come.
    fn leave(&self, zone: &Arc<str>, site: &Arc<str>, frame: &PoseFrame, tell: &mut dyn FnMut(Event)) {
        let Some(entered) = self.entered_ns else { return };
        let left = Event {
            person: Some(self.last.id),
            place: Some(Place { zone: Some(zone.clone()), position_m: Some(self.last.position_m) }),
            confidence: Some(self.last.confidence),
            provenance: Some(frame.provenance.clone()),
            ..Event::new(EventKind::PersonLeftZone, frame.time_ns).at(site)
        };
        tell(left.because(Evidence::Stay { dwell_s: seconds(entered, frame.time_ns) }));
    }

    /// Is somebody in the zone at a forbidden time, or for too long? Each is told once a stay, the first once a schedule's span.
    #[allow(clippy::too_many_arguments)]
    fn judge(
        &mut self,
        person: &Person,
        now: i64,
        forbidden: bool,
        rules: &ZoneRules,
        max_dwell_s: Option<f64>,
        event: &dyn Fn(EventKind, Option<&Person>) -> Event,
        tell: &mut dyn FnMut(Event),
    ) {
        let Some(entered) = self.entered_ns else { return };
        let dwell_s = seconds(entered, now);
        if forbidden {
            let since = *self.forbidden_ns.get_or_insert(now);
            if seconds(since, now) >= rules.breach_s && !std::mem::replace(&mut self.told_forbidden, true) {
                let breach = event(EventKind::RestrictedZoneBreach, Some(person));
                tell(breach.severe(Severity::High).because(Evidence::Stay { dwell_s }));
            }
        } else {
            (self.forbidden_ns, self.told_forbidden) = (None, false);
        }
        if let Some(limit) = max_dwell_s
            && dwell_s > limit
            && !std::mem::replace(&mut self.told_dwell, true)
        {
            let evidence = Evidence::Threshold { metric: "dwell_s".into(), value: dwell_s, limit };
            let long = event(EventKind::ThresholdExceeded, Some(person));
            tell(long.severe(Severity::Low).because(evidence));
        }
    }
}

impl Crowd {
    fn judge(
        &mut self,
        current: usize,
        maximum: Option<u32>,
        now: i64,
        breach_s: f64,
        event: &dyn Fn(EventKind) -> Event,
        tell: &mut dyn FnMut(Event),
    ) {
        let current = u32::try_from(current).unwrap_or(u32::MAX);
        let Some(maximum) = maximum.filter(|m| current > *m) else {
            *self = Self::default();
            return;
        };
        let duration_s = seconds(*self.since_ns.get_or_insert(now), now);
        if duration_s >= breach_s && !std::mem::replace(&mut self.told, true) {
            let evidence = Evidence::Occupancy { current, maximum, duration_s };
            tell(event(EventKind::HighOccupancy).severe(Severity::Medium).because(evidence));
        }
    }
}
