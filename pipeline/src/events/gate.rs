//! Which events are worth publishing: duplicates and floods are held back, each kind by its own rule.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind};

/// How often one kind of event may be published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// The kind.
    pub kind: EventKind,
    /// Events of one kind about the same site, person, zone and subject are one within so many seconds.
    #[serde(default)]
    pub repeat_s: f64,
    /// Events of one kind at one site, a minute on average, with as many at once; more are held back and counted in
    /// [`Event::suppressed`] of the next.
    pub per_minute: f64,
}

impl RateRule {
    /// The rule where nobody set one.
    pub const fn of(kind: EventKind) -> Self {
        use EventKind as K;
        let (repeat_s, per_minute) = match kind {
            // A fall that goes unreported is worse than one reported twice; a person falls at most this often.
            K::FallDetected | K::FallRecovered => (10.0, 60.0),
            // What an alert says is limited by its own rule, and no change of its state may be lost.
            K::AlertOpened | K::AlertAcknowledged | K::AlertEscalated | K::AlertResolved => (0.0, 600.0),
            K::HighOccupancy | K::RestrictedZoneBreach | K::ThresholdExceeded => (30.0, 60.0),
            // A fault that comes and goes is one fault.
            K::SystemError | K::SystemRecovered | K::PerformanceDegraded => (30.0, 20.0),
            K::RouterConnected | K::RouterDisconnected => (5.0, 120.0),
            K::PersonEnteredZone | K::PersonLeftZone | K::ActivityDetected => (1.0, 120.0),
            _ => (0.0, 120.0),
        };
        Self { kind, repeat_s, per_minute }
    }
}

/// Events that are remembered to recognise their duplicates; when more would be, the oldest knowledge goes.
const REMEMBERED: usize = 16_384;

type Key = (EventKind, Option<Arc<str>>, Option<u64>, Option<Arc<str>>, Option<Arc<str>>);

/// Decides what is published.
#[derive(Debug, Default)]
pub(super) struct Gate {
    rules: HashMap<EventKind, RateRule>,
    seen: HashMap<Key, i64>,
    buckets: HashMap<(EventKind, Option<Arc<str>>), Bucket>,
}

/// Tokens of one kind at one site.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_ns: i64,
    suppressed: u64,
}

impl Gate {
    /// Later rules of a kind replace earlier ones.
    pub fn new(rules: &[RateRule]) -> Self {
        Self { rules: rules.iter().map(|r| (r.kind, *r)).collect(), ..Self::default() }
    }

    /// May it be published? If so it is told how many were held back before.
    pub fn admit(&mut self, event: &mut Event) -> bool {
        let rule = self.rules.get(&event.kind).copied().unwrap_or(RateRule::of(event.kind));
        if rule.repeat_s > 0.0 && self.repeats(event, rule.repeat_s) {
            return false;
        }
        let bucket = self.buckets.entry((event.kind, event.site.clone())).or_insert(Bucket {
            tokens: rule.per_minute,
            filled_ns: event.time_ns,
            suppressed: 0,
        });
        // A replay may start again: time that runs backwards fills nothing.
        let passed_s = event.time_ns.saturating_sub(bucket.filled_ns).max(0) as f64 / 1e9;
        bucket.tokens = (bucket.tokens + passed_s * rule.per_minute / 60.0).min(rule.per_minute.max(1.0));
        bucket.filled_ns = event.time_ns;
        if bucket.tokens < 1.0 {
            bucket.suppressed += 1;
            return false;
        }
        bucket.tokens -= 1.0;
        event.suppressed = std::mem::take(&mut bucket.suppressed);
        true
    }

    /// Was the same published so recently? Only what is published counts, so that a lasting state is told again.
    fn repeats(&mut self, event: &Event, repeat_s: f64) -> bool {
        let zone = event.place.as_ref().and_then(|p| p.zone.clone());
        let key = (event.kind, event.site.clone(), event.person, zone, event.subject.clone());
        let within = |then: i64| {
            let since_s = event.time_ns.saturating_sub(then) as f64 / 1e9;
            (0.0..repeat_s).contains(&since_s)
        };
        if self.seen.get(&key).is_some_and(|&then| within(then)) {
            return true;
        }
        if self.seen.len() >= REMEMBERED {
            let oldest_half = {
                let mut times: Vec<i64> = self.seen.values().copied().collect();
                times.sort_unstable();
                times[times.len() / 2]
            };
            self.seen.retain(|_, then| *then > oldest_half);
        }
        self.seen.insert(key, event.time_ns);
        false
    }
}
