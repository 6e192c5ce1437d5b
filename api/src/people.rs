//! What is known of persons: from the store, and from the frames that it does not have yet.

use std::collections::HashMap;

use invispose_pipeline::PoseFrame;

use crate::query::{QueryError, Selection, TimeRange};
use crate::store::{PersonQuery, PersonRecord, Sums};
use crate::{Site, Time};

/// One person.
#[derive(Clone, Debug)]
pub struct PersonInfo {
    /// Where, when, how often, how sure.
    pub record: PersonRecord,
    /// In the newest frame, and that shows the present.
    pub tracked: bool,
}

impl Selection {
    /// The person whom the filter names; `None` where nobody of this id is known.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn known_person(&self) -> Result<Option<PersonInfo>, QueryError> {
        let Some(Some(id)) = self.person() else { return Ok(None) };
        let site = &self.site().config().id;
        // First, so that no frame falls between the two.
        let fresh = self.unstored().await?;
        let stored = match self.store() {
            Some(store) => store.person(site, id).await?,
            None => None,
        };
        Ok(fresh.merge(stored, id).map(|record| self.info(record)))
    }

    /// Persons seen in the range, those seen last first.
    ///
    /// # Errors
    /// The database has no answer.
    pub async fn known_persons(
        &self,
        range: TimeRange,
        limit: usize,
        skip: usize,
    ) -> Result<Vec<PersonInfo>, QueryError> {
        let site = &self.site().config().id;
        let fresh = self.unstored().await?;
        let query = PersonQuery {
            from_ns: range.from.map(Time::as_ns),
            to_ns: range.to.map(Time::as_ns),
            // Persons of the newest frames may be in neither, one or both.
            limit: skip.saturating_add(limit),
        };
        let stored = match self.store() {
            Some(store) => store.persons(site, &query).await?,
            None => Vec::new(),
        };
        let mut found: HashMap<u64, PersonRecord> = HashMap::new();
        for record in stored {
            let id = record.id;
            found.extend(fresh.merge(Some(record), id).map(|r| (id, r)));
        }
        for &id in fresh.0.keys() {
            if found.contains_key(&id) {
                continue;
            }
            let stored = match self.store() {
                Some(store) => store.person(site, id).await?,
                None => None,
            };
            found.extend(fresh.merge(stored, id).map(|r| (id, r)));
        }
        let overlaps = |r: &PersonRecord| {
            range.from.is_none_or(|t| r.last_seen >= t) && range.to.is_none_or(|t| r.first_seen < t)
        };
        let mut records: Vec<PersonRecord> = found.into_values().filter(overlaps).collect();
        records.sort_by_key(|r| std::cmp::Reverse((r.last_seen, r.id)));
        Ok(records.into_iter().skip(skip).take(limit).map(|r| self.info(r)).collect())
    }

    fn info(&self, record: PersonRecord) -> PersonInfo {
        let site = self.site();
        let newest = site.latest();
        let tracked = newest.is_some_and(|f| {
            f.persons.iter().any(|p| p.id == record.id)
                && site.age(f.frame_id).is_some_and(|age| age <= self.stale_after())
        });
        PersonInfo { record, tracked }
    }

    /// Persons of the frames that only the ring has.
    async fn unstored(&self) -> Result<Fresh, QueryError> {
        let site = self.site().clone();
        let stored = match self.store() {
            Some(store) => store.position(&site.config().id).await?,
            None => 0,
        };
        let read = move || Fresh::of(&site, site.ring().range_from(stored.saturating_add(1)).collect());
        tokio::task::spawn_blocking(read).await.map_err(|e| QueryError::Away(e.to_string()))
    }
}

struct Fresh(HashMap<u64, Vec<PoseFrame>>, Site);

impl Fresh {
    fn of(site: &Site, frames: Vec<PoseFrame>) -> Self {
        let mut by_person: HashMap<u64, Vec<PoseFrame>> = HashMap::new();
        for frame in frames {
            for person in &frame.persons {
                let alone = PoseFrame { persons: vec![person.clone()], ..frame.clone() };
                by_person.entry(person.id).or_default().push(alone);
            }
        }
        Self(by_person, site.clone())
    }

    /// The record with what came since; each frame counts once.
    fn merge(&self, stored: Option<PersonRecord>, id: u64) -> Option<PersonRecord> {
        let after = stored.as_ref().map_or(0, |r| r.frames.1);
        let frames = self.0.get(&id).map(Vec::as_slice).unwrap_or_default();
        let new = frames.partition_point(|f| f.frame_id <= after);
        let floor = self.1.floor();
        let sums = Sums::of(frames.get(new..).unwrap_or_default(), |z| floor.id(z).map(|id| &**id));
        let Some(seen) = sums.persons.get(&id) else { return stored };
        let (count, confidence) = (seen.frames as u64, seen.confidence);
        let activities = seen.activities.map(|n| n as u64);
        let zone = Some(seen.zone.clone()).filter(|z| !z.is_empty());
        Some(match stored {
            None => PersonRecord {
                id,
                source: seen.source.to_owned(),
                frames: (seen.first.0, seen.last.0),
                first_seen: Time::from_ns(seen.first.1),
                last_seen: Time::from_ns(seen.last.1),
                count,
                average_confidence: confidence / count.max(1) as f64,
                zone,
                activities,
            },
            Some(old) => {
                let total = old.count + count;
                let sum = old.average_confidence * old.count as f64 + confidence;
                let mut merged = old.activities;
                for (to, n) in merged.iter_mut().zip(activities) {
                    *to += n;
                }
                PersonRecord {
                    frames: (old.frames.0, seen.last.0),
                    last_seen: Time::from_ns(seen.last.1),
                    count: total,
                    average_confidence: sum / total.max(1) as f64,
                    zone,
                    activities: merged,
                    ..old
                }
            }
        })
    }
}
