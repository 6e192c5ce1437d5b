//! From the pipeline's account of itself to events of the system.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind, Evidence, Severity};
use crate::health::{Health, Part};

/// The rules of [`Monitor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitorConfig {
    /// From one look at the health to the next, seconds. A fault that is over sooner may go untold; it is logged.
    pub every_s: f64,
    /// Losses are judged over this long, seconds: over less, one burst of a fifth of a second is too many.
    pub losses_over_s: f64,
    /// The pipeline does not keep up when it gives up more than this share of a source's packets: windows are made on a
    /// grid of half the usual packet rate, and fewer losses hardly show.
    pub lost_share: f64,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { every_s: 1.0, losses_over_s: 20.0, lost_share: 0.01 }
    }
}

/// Looks are never closer together.
const SHORTEST: Duration = Duration::from_millis(10);

/// Compares the health with what was last told of it.
#[derive(Debug)]
pub struct Monitor {
    health: Health,
    config: MonitorConfig,
    faults: BTreeMap<Part, String>,
    sources: HashMap<String, Account>,
}

/// A source's counters when the present span of `losses_over_s` began.
#[derive(Debug)]
struct Account {
    since_ns: i64,
    accepted: u64,
    dropped: u64,
}

impl Monitor {
    /// Nothing told yet.
    pub fn new(health: Health, config: MonitorConfig) -> Self {
        Self { health, config, faults: BTreeMap::new(), sources: HashMap::new() }
    }

    /// Time from one look to the next.
    pub fn period(&self) -> Duration {
        Duration::try_from_secs_f64(self.config.every_s).unwrap_or(Duration::from_secs(1)).max(SHORTEST)
    }

    /// What has changed by `now_ns` on the wall clock.
    pub fn look(&mut self, now_ns: i64, tell: &mut dyn FnMut(Event)) {
        let standing = self.health.faults();
        let of = |kind, part: &Part| Event {
            site: part.site().map(Into::into),
            ..Event::new(kind, now_ns).about(part.to_string())
        };
        for (part, message) in standing.iter().filter(|(part, _)| !self.faults.contains_key(part)) {
            let evidence = Evidence::Fault { message: message.clone() };
            tell(of(EventKind::SystemError, part).severe(Severity::High).because(evidence));
        }
        for part in self.faults.keys().filter(|part| !standing.contains_key(part)) {
            tell(of(EventKind::SystemRecovered, part));
        }
        self.faults = standing;
        self.losses(now_ns, tell);
    }

    fn losses(&mut self, now_ns: i64, tell: &mut dyn FnMut(Event)) {
        for source in self.health.sources() {
            let now = Account { since_ns: now_ns, accepted: source.accepted, dropped: source.dropped };
            let Some(then) = self.sources.get_mut(&source.uri) else {
                self.sources.insert(source.uri, now);
                continue;
            };
            if (now_ns.saturating_sub(then.since_ns) as f64) < self.config.losses_over_s * 1e9 {
                continue;
            }
            let dropped = now.dropped.saturating_sub(then.dropped);
            let all = dropped + now.accepted.saturating_sub(then.accepted);
            *then = now;
            let share = dropped as f64 / all.max(1) as f64;
            if share > self.config.lost_share {
                let evidence = Evidence::Threshold {
                    metric: "lost_share".into(),
                    value: share,
                    limit: self.config.lost_share,
                };
                let event = Event::new(EventKind::PerformanceDegraded, now_ns).about(source.uri.as_str());
                tell(event.severe(Severity::Medium).because(evidence));
            }
        }
    }
}
