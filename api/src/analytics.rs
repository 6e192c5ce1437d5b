//! Sums in the words of the outside: shares and means.

use std::collections::{BTreeMap, BTreeSet};

use crate::Time;
use crate::query::{Field, QueryError, Selection};

/// Stretches of one answer.
pub const MAX_STRETCHES: i64 = 10_000;

/// What was seen in one stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Its start.
    pub start: Time,
    /// The zone; `None` for the whole site.
    pub zone: Option<String>,
    /// Where the packets came from: `live`, `replay`, `simulated`.
    pub sources: BTreeSet<String>,
    /// Frames of the site.
    pub frames: u64,
    /// Persons in the mean frame.
    pub mean: f64,
    /// Persons in the fullest frame.
    pub maximum: u64,
    /// Share of the frames in which somebody was there, 0..1.
    pub occupied: f64,
    /// Share of the frames in which the signal says that somebody is present, of those that know; the whole site only.
    pub present: Option<f64>,
    /// Mean motion level of those that know; the whole site only.
    pub motion: Option<f64>,
    /// Shares of the persons whose activity is known, in the order standing, walking, sitting, lying, waving, falling.
    pub activities: Option<[f64; 6]>,
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { round(part as f64 / of as f64) }
}

fn round(v: f64) -> f64 {
    (v * 1e4).round() / 1e4
}

impl Selection {
    /// What was seen in stretches of `width_ns`, a whole number of minutes, of the site and its zones; of one zone alone where the filter names it.
    /// Stretches without a frame are left out.
    ///
    /// # Errors
    /// There would be more than [`MAX_STRETCHES`], there is no database, or it has no answer.
    pub async fn stretches(&self, from: Time, to: Time, width_ns: i64) -> Result<Vec<Stretch>, QueryError> {
        let count = to.as_ns().saturating_sub(from.as_ns()) / width_ns.max(1);
        if count > MAX_STRETCHES {
            let reason = format!("makes {count} stretches of time, of at most {MAX_STRETCHES}");
            return Err(QueryError::invalid(Field::Interval, reason));
        }
        let buckets = self.buckets(from, to, width_ns).await?;
        let whole: BTreeMap<i64, u64> =
            buckets.iter().filter(|b| b.zone.is_none()).map(|b| (b.start.as_ns(), b.frames)).collect();
        let zone = self.zone_id();
        let mut found = Vec::new();
        for bucket in buckets {
            if zone.is_some() && bucket.zone.as_deref() != zone.as_deref() {
                continue;
            }
            // A zone's row counts the frames in which somebody was in it.
            let frames = whole.get(&bucket.start.as_ns()).copied().unwrap_or(bucket.frames);
            let told: u64 = bucket.activities.iter().sum();
            found.push(Stretch {
                start: bucket.start,
                sources: bucket.sources,
                frames,
                mean: share(bucket.persons, frames),
                maximum: bucket.most,
                occupied: share(bucket.occupied, frames),
                present: (bucket.known > 0).then(|| share(bucket.present, bucket.known)),
                motion: bucket.motion.map(round),
                activities: (told > 0).then(|| bucket.activities.map(|n| share(n, told))),
                zone: bucket.zone,
            });
        }
        if let Some(zone) = &zone {
            // Frames that showed nobody there.
            for (&start, &frames) in &whole {
                if !found.iter().any(|s| s.start.as_ns() == start) {
                    found.push(Stretch::empty(start, zone, frames));
                }
            }
            found.sort_by_key(|s| s.start);
        }
        Ok(found)
    }
}

impl Stretch {
    fn empty(start: i64, zone: &str, frames: u64) -> Self {
        Self {
            start: Time::from_ns(start),
            zone: Some(zone.to_owned()),
            sources: BTreeSet::new(),
            frames,
            mean: 0.0,
            maximum: 0,
            occupied: 0.0,
            present: None,
            motion: None,
            activities: None,
        }
    }
}
