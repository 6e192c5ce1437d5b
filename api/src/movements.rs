//! How long people stay in zones and where they go from there, from the events that were kept.

use std::collections::{BTreeMap, HashMap};

use invispose_pipeline::events::{Event, EventKind, Evidence};

use crate::Time;
use crate::query::{Field, MAX_PAGE, QueryError, Selection};
use crate::store::EventQuery;

/// Events of one answer.
const MOST: usize = 50_000;

/// Stays in one zone that ended within a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Dwell {
    /// The zone.
    pub zone: String,
    /// How many.
    pub stays: u64,
    /// Seconds: mean, 50th, 90th and 99th percentile (nearest rank), longest.
    pub seconds: [f64; 5],
    /// Further ones that a rate limit held back: they are not counted.
    pub suppressed: u64,
}

/// People who were in one zone and then in another.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Where they were.
    pub from: String,
    /// Where they were next.
    pub to: String,
    /// How often.
    pub count: u64,
}

impl Selection {
    /// Stays that ended at `from <= time < to`, by zone; those of one zone or person where the filter names them.
    ///
    /// # Errors
    /// There are too many, there is no database, or it has no answer.
    pub async fn dwell(&self, from: Time, to: Time) -> Result<Vec<Dwell>, QueryError> {
        let mut zones: BTreeMap<String, (Vec<f64>, u64)> = BTreeMap::new();
        for event in self.happened(EventKind::PersonLeftZone, from, to).await? {
            let (Some(zone), Evidence::Stay { dwell_s }) = (zone(&event), &event.evidence) else { continue };
            let (stays, suppressed) = zones.entry(zone.to_owned()).or_default();
            stays.push(*dwell_s);
            *suppressed += event.suppressed;
        }
        let dwell = |(zone, (mut stays, suppressed)): (String, (Vec<f64>, u64))| {
            stays.sort_by(f64::total_cmp);
            let rank = |share: f64| {
                let rank = (share * stays.len() as f64).ceil().max(1.0) as usize;
                stays.get(rank - 1).copied().unwrap_or_default()
            };
            let mean = stays.iter().sum::<f64>() / stays.len().max(1) as f64;
            let seconds =
                [mean, rank(0.5), rank(0.9), rank(0.99), rank(1.0)].map(|s| (s * 1e3).round() / 1e3);
            Dwell { zone, stays: stays.len() as u64, seconds, suppressed }
        };
        Ok(zones.into_iter().map(dwell).collect())
    }

    /// How often people who came into one zone at `from <= time < to` came into another next.
    ///
    /// # Errors
    /// There are too many, there is no database, or it has no answer.
    pub async fn transitions(&self, from: Time, to: Time) -> Result<Vec<Transition>, QueryError> {
        let mut last: HashMap<u64, String> = HashMap::new();
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut events = self.happened(EventKind::PersonEnteredZone, from, to).await?;
        events.sort_by_key(|e| e.time_ns);
        for event in events {
            let (Some(person), Some(zone)) = (event.person, zone(&event)) else { continue };
            if let Some(before) = last.insert(person, zone.to_owned()).filter(|before| before != zone) {
                *counts.entry((before, zone.to_owned())).or_default() += 1;
            }
        }
        Ok(counts.into_iter().map(|((from, to), count)| Transition { from, to, count }).collect())
    }

    async fn happened(&self, kind: EventKind, from: Time, to: Time) -> Result<Vec<Event>, QueryError> {
        let mut query = EventQuery {
            site: Some(self.site().config().id.clone()),
            from_ns: Some(from.as_ns()),
            to_ns: Some(to.as_ns()),
            kind: Some(kind),
            zone: self.zone_id().map(|id| id.to_string()),
            // An id that this program never gives is nobody's.
            person: self.person().map(|id| id.unwrap_or(i64::MAX as u64)),
            limit: MAX_PAGE,
            ..EventQuery::default()
        };
        let mut found: Vec<Event> = Vec::new();
        loop {
            let mut page = self.kept()?.events(&query).await?;
            let whole = page.len() == MAX_PAGE;
            query.after = page.last().map(|e| e.id.to_string());
            found.append(&mut page);
            if !whole {
                return Ok(found);
            }
            if found.len() >= MOST {
                let reason = format!("at least {MOST} events lie in this time: ask for a shorter one");
                return Err(QueryError::invalid(Field::To, reason));
            }
        }
    }
}

fn zone(event: &Event) -> Option<&str> {
    event.place.as_ref()?.zone.as_deref()
}
