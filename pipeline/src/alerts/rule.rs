//! What an alert is raised for.

use serde::{Deserialize, Serialize};

use crate::events::{Event, EventKind, Evidence, Severity};
use crate::understanding::{Clock, Schedule, UnknownTimeZone};

/// A rule: which events make an alert, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Identifier in every API.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// Kinds of events that count.
    pub on: Vec<EventKind>,
    /// Only at this site.
    #[serde(default)]
    pub site: Option<String>,
    /// Only in this zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// Only events that matter at least so much.
    #[serde(default)]
    pub min_severity: Option<Severity>,
    /// Only events whose figure is above this: seconds of a stay or on the ground, people, the motion level, or the value
    /// that passed a limit. Events without a figure do not count then.
    #[serde(default)]
    pub above: Option<f64>,
    /// So many events…
    #[serde(default = "one")]
    pub at_least: u32,
    /// …within so many seconds make an alert.
    #[serde(default = "minute")]
    pub within_s: f64,
    /// What there is one alert for at a time.
    #[serde(default)]
    pub each: Each,
    /// Only at these times; none named means always.
    #[serde(default)]
    pub schedule: Vec<Schedule>,
    /// How much the alert matters at first.
    pub severity: Severity,
    /// An alert that nobody acknowledges for so many seconds matters one step more, up to critical; and again.
    #[serde(default)]
    pub escalate_after_s: Option<f64>,
    /// Events of these kinds about the same thing end it.
    #[serde(default)]
    pub resolve_on: Vec<EventKind>,
    /// It ends by itself after so many seconds without another event.
    #[serde(default)]
    pub resolve_after_s: Option<f64>,
}

fn one() -> u32 {
    1
}

fn minute() -> f64 {
    60.0
}

impl AlertRule {
    /// Do its figures make sense?
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.at_least == 0 || !(self.within_s > 0.0) {
            return Err("at_least and within_s must be above 0");
        }
        if [self.escalate_after_s, self.resolve_after_s].into_iter().flatten().any(|s| !(s > 0.0)) {
            return Err("escalate_after_s and resolve_after_s must be above 0");
        }
        if self.on.iter().chain(&self.resolve_on).any(|k| k.is_of_alerts()) {
            return Err("alerts are not made of alerts");
        }
        Ok(())
    }
}

/// What there is one alert for at a time: further events join it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// A site.
    Site,
    /// A zone of a site.
    Zone,
    /// Everything that events tell apart: site, zone, person, and link, source or component.
    #[default]
    Subject,
}

/// What an alert is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct About {
    /// The site.
    pub site: Option<String>,
    /// The zone.
    pub zone: Option<String>,
    /// The person.
    pub person: Option<u64>,
    /// Link, source or component.
    pub subject: Option<String>,
}

/// A rule with its time zones at hand.
#[derive(Debug)]
pub(super) struct Armed {
    pub rule: AlertRule,
    clocks: Vec<Clock>,
}

impl Armed {
    pub fn new(rule: AlertRule) -> Result<Self, UnknownTimeZone> {
        let clocks = rule.schedule.iter().map(Clock::new).collect::<Result<_, _>>()?;
        Ok(Self { rule, clocks })
    }

    /// Does the event count?
    pub fn counts(&self, event: &Event) -> bool {
        let rule = &self.rule;
        rule.on.contains(&event.kind)
            && self.in_place(event)
            && rule.min_severity.is_none_or(|least| event.severity >= least)
            && rule.above.is_none_or(|limit| figure(&event.evidence).is_some_and(|v| v > limit))
            && (self.clocks.is_empty() || self.clocks.iter().any(|c| c.holds(event.time_ns)))
    }

    /// Does the event end alerts?
    pub fn ends(&self, event: &Event) -> bool {
        let here = self.rule.site.as_deref().is_none_or(|site| event.site.as_deref() == Some(site));
        here && self.rule.resolve_on.contains(&event.kind)
    }

    fn in_place(&self, event: &Event) -> bool {
        let is =
            |wanted: &Option<String>, got: Option<&str>| wanted.as_deref().is_none_or(|w| got == Some(w));
        is(&self.rule.site, event.site.as_deref()) && is(&self.rule.zone, zone(event))
    }

    /// What an alert for this event is about.
    pub fn about(&self, event: &Event) -> About {
        let all = About {
            site: event.site.as_deref().map(str::to_owned),
            zone: zone(event).map(str::to_owned),
            person: event.person,
            subject: event.subject.as_deref().map(str::to_owned),
        };
        match self.rule.each {
            Each::Site => About { site: all.site, ..About::default() },
            Each::Zone => About { site: all.site, zone: all.zone, ..About::default() },
            // Somebody who fell and is up again may be in another zone by then.
            Each::Subject if all.person.is_some() => About { zone: None, ..all },
            Each::Subject => all,
        }
    }
}

fn zone(event: &Event) -> Option<&str> {
    event.place.as_ref()?.zone.as_deref()
}

/// The figure that an event was concluded from.
fn figure(evidence: &Evidence) -> Option<f64> {
    match evidence {
        Evidence::Stay { dwell_s } => Some(*dwell_s),
        Evidence::Fall { ground_s, .. } => Some(*ground_s),
        Evidence::Occupancy { current, .. } => Some(f64::from(*current)),
        Evidence::Threshold { value, .. } => Some(*value),
        Evidence::Presence { motion_level, .. } => Some(f64::from(*motion_level)),
        Evidence::Track { seen_s } => Some(*seen_s),
        Evidence::None | Evidence::Activity { .. } | Evidence::Fault { .. } | Evidence::Cause { .. } => None,
    }
}
