//! The states of alerts: a machine without clock, thread or disk.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rule::{About, AlertRule, Armed};
use crate::events::{Event, EventKind, Evidence, Place, Severity};
use crate::understanding::UnknownTimeZone;

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has seen it yet.
    Open,
    /// Somebody has.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Status {
    /// Its name in every API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// UUID version 7.
    pub id: Uuid,
    /// The rule's identifier.
    pub rule: String,
    /// What it is about.
    pub about: About,
    /// Where it is in its life.
    pub status: Status,
    /// How much it matters.
    pub severity: Severity,
    /// Wall clock at which it was opened, nanoseconds since the Unix epoch.
    pub opened_ns: i64,
    /// Wall clock of the last event that joined it.
    pub last_ns: i64,
    /// Events that made it and joined it.
    pub events: u64,
    /// The event that opened it.
    pub first_event: Uuid,
    /// When nobody acknowledges it until then it escalates.
    pub escalate_ns: Option<i64>,
    /// How often it has escalated.
    pub escalations: u32,
    /// Who acknowledged it, and when.
    pub acknowledged: Option<(String, i64)>,
    /// When it ended, and by whom if by somebody.
    pub resolved: Option<(Option<String>, i64)>,
}

/// Everything that has to outlive the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertState {
    /// Open and acknowledged alerts, the oldest first.
    pub alerts: Vec<Alert>,
    /// Events that count towards an alert: stream times, the oldest first.
    pub counted: Vec<Counted>,
}

/// Events of one rule about one thing that were not yet enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// The rule.
    pub rule: String,
    /// What they are about.
    pub about: About,
    /// Their times, nanoseconds since the Unix epoch.
    pub times_ns: VecDeque<i64>,
}

/// A change of an alert, to be stored and told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `alert.opened`, `alert.acknowledged`, `alert.escalated` or `alert.resolved`.
    pub kind: EventKind,
    /// When, on the wall clock.
    pub time_ns: i64,
    /// The alert since.
    pub alert: Alert,
}

impl Change {
    /// The change as an event.
    pub fn event(&self) -> Event {
        let about = &self.alert.about;
        let place = about.zone.as_deref().map(|z| Place { zone: Some(z.into()), position_m: None });
        Event {
            site: about.site.as_deref().map(Into::into),
            person: about.person,
            place,
            ..Event::new(self.kind, self.time_ns)
                .about(self.alert.id.to_string())
                .severe(self.alert.severity)
                .because(Evidence::Cause { event: self.alert.first_event })
        }
    }
}

/// There is no such alert that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no open alert {0}")]
pub struct NoAlert(pub Uuid);

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// Two have one identifier.
    #[error("two alert rules are called {0:?}")]
    SameId(String),
    /// A figure makes no sense.
    #[error("alert rule {0:?}: {1}")]
    Value(String, &'static str),
    /// A schedule names a time zone that there is not.
    #[error("alert rule {0:?}: {1}")]
    TimeZone(String, UnknownTimeZone),
}

/// Alerts that are open at once, and things that are counted at once; more are left out, and logged.
const MOST: usize = 10_000;

/// The rules and the alerts that they have made.
#[derive(Debug)]
pub struct AlertEngine {
    rules: Vec<Armed>,
    /// So many of them are there from the beginning.
    configured: usize,
    state: AlertState,
}

fn later(now_ns: i64, seconds: f64) -> i64 {
    now_ns.saturating_add((seconds * 1e9) as i64)
}

/// Checked rules, none of them with the identifier of another.
fn arm(rules: &[AlertRule], beside: &[Armed]) -> Result<Vec<Armed>, RuleError> {
    let mut armed: Vec<Armed> = Vec::with_capacity(rules.len());
    for rule in rules {
        if beside.iter().chain(&armed).any(|a| a.rule.id == rule.id) {
            return Err(RuleError::SameId(rule.id.clone()));
        }
        rule.check().map_err(|what| RuleError::Value(rule.id.clone(), what))?;
        let ready = Armed::new(rule.clone());
        armed.push(ready.map_err(|zone| RuleError::TimeZone(rule.id.clone(), zone))?);
    }
    Ok(armed)
}

impl AlertEngine {
    /// With what an earlier process kept. Alerts of rules that are no more stay until somebody resolves them.
    ///
    /// # Errors
    /// When a rule cannot be used.
    pub fn new(rules: &[AlertRule], state: AlertState) -> Result<Self, RuleError> {
        Ok(Self { rules: arm(rules, &[])?, configured: rules.len(), state })
    }

    /// Puts these rules in force beside those that it began with, in place of the last ones that were put so.
    ///
    /// # Errors
    /// When a rule cannot be used; the rules in force stay then.
    pub fn keep(&mut self, kept: &[AlertRule]) -> Result<(), RuleError> {
        let (configured, _) = self.rules.split_at(self.configured);
        let mut new = arm(kept, configured)?;
        self.rules.truncate(self.configured);
        self.rules.append(&mut new);
        Ok(())
    }

    /// Puts these rules in force in place of those that it began with.
    ///
    /// # Errors
    /// When a rule cannot be used, or is called as a kept one; the rules in force stay then.
    pub fn configure(&mut self, configured: &[AlertRule]) -> Result<(), RuleError> {
        let (_, kept) = self.rules.split_at(self.configured);
        let new = arm(configured, kept)?;
        let old = std::mem::replace(&mut self.configured, new.len());
        self.rules.splice(..old, new);
        Ok(())
    }

    /// Adds what an earlier process kept, where that becomes known late.
    pub fn restore(&mut self, state: AlertState) {
        let known = |alert: &Alert| self.state.alerts.iter().any(|a| a.id == alert.id);
        let mut alerts: Vec<Alert> = state.alerts.into_iter().filter(|a| !known(a)).collect();
        alerts.append(&mut self.state.alerts);
        self.state.alerts = alerts;
        for counted in state.counted {
            let same = |c: &Counted| c.rule == counted.rule && c.about == counted.about;
            if !self.state.counted.iter().any(same) {
                self.state.counted.push(counted);
            }
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> impl Iterator<Item = &AlertRule> {
        self.rules.iter().map(|armed| &armed.rule)
    }

    /// What has to be kept.
    pub fn state(&self) -> &AlertState {
        &self.state
    }

    /// Open and acknowledged alerts, the oldest first.
    pub fn alerts(&self) -> &[Alert] {
        &self.state.alerts
    }

    /// An event, heard at `now_ns` on the wall clock.
    pub fn event(&mut self, event: &Event, now_ns: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        if event.kind.is_of_alerts() {
            return changes;
        }
        for i in 0..self.rules.len() {
            if self.rules[i].ends(event) {
                let about = self.rules[i].about(event);
                let rule = self.rules[i].rule.id.clone();
                self.state.counted.retain(|c| c.rule != rule || c.about != about);
                changes.extend(self.end(now_ns, None, |a| a.rule == rule && a.about == about));
            }
            if self.rules[i].counts(event) {
                changes.extend(self.count(i, event, now_ns));
            }
        }
        changes
    }

    fn count(&mut self, rule: usize, event: &Event, now_ns: i64) -> Option<Change> {
        let about = self.rules[rule].about(event);
        let rule = self.rules[rule].rule.clone();
        if let Some(alert) = self.state.alerts.iter_mut().find(|a| a.rule == rule.id && a.about == about) {
            alert.events += 1;
            alert.last_ns = now_ns;
            return None;
        }
        let events = self.enough(&rule, &about, event.time_ns)?;
        if self.state.alerts.len() >= MOST {
            tracing::warn!(rule = rule.id, "too many open alerts: one more is not opened");
            return None;
        }
        let alert = Alert {
            id: Uuid::now_v7(),
            rule: rule.id.clone(),
            about,
            status: Status::Open,
            severity: rule.severity,
            opened_ns: now_ns,
            last_ns: now_ns,
            events,
            first_event: event.id,
            escalate_ns: rule.escalate_after_s.map(|s| later(now_ns, s)),
            escalations: 0,
            acknowledged: None,
            resolved: None,
        };
        self.state.alerts.push(alert.clone());
        Some(Change { kind: EventKind::AlertOpened, time_ns: now_ns, alert })
    }

    /// Counts an event; how many there are now, when they are enough for an alert.
    fn enough(&mut self, rule: &AlertRule, about: &About, time_ns: i64) -> Option<u64> {
        if rule.at_least <= 1 {
            return Some(1);
        }
        let counted = &mut self.state.counted;
        let place = counted.iter().position(|c| c.rule == rule.id && c.about == *about);
        let i = place.unwrap_or_else(|| {
            if counted.len() >= MOST {
                counted.remove(0);
            }
            let (rule, about) = (rule.id.clone(), about.clone());
            counted.push(Counted { rule, about, times_ns: VecDeque::new() });
            counted.len() - 1
        });
        let times = &mut counted[i].times_ns;
        times.push_back(time_ns);
        // Also what seems to lie in the future: a replay began again.
        let fits = |t: i64| (0.0..=rule.within_s).contains(&(time_ns.saturating_sub(t) as f64 / 1e9));
        times.retain(|&t| fits(t));
        let events = times.len() as u64;
        if events < u64::from(rule.at_least) {
            return None;
        }
        counted.remove(i);
        Some(events)
    }

    /// Time goes on: what escalates, and what ends by itself.
    pub fn tick(&mut self, now_ns: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        let rule_of =
            |rules: &[Armed], id: &str| rules.iter().find(|r| r.rule.id == id).map(|r| r.rule.clone());
        for alert in &mut self.state.alerts {
            let due = alert.escalate_ns.is_some_and(|at| now_ns >= at);
            if alert.status != Status::Open || !due {
                continue;
            }
            let again = rule_of(&self.rules, &alert.rule).and_then(|r| r.escalate_after_s);
            let before = alert.severity;
            alert.severity = higher(before);
            alert.escalate_ns =
                again.filter(|_| alert.severity < Severity::Critical).map(|s| later(now_ns, s));
            if alert.severity > before {
                alert.escalations += 1;
                let alert = alert.clone();
                changes.push(Change { kind: EventKind::AlertEscalated, time_ns: now_ns, alert });
            }
        }
        let over: Vec<Uuid> = self
            .state
            .alerts
            .iter()
            .filter(|a| {
                let after = rule_of(&self.rules, &a.rule).and_then(|r| r.resolve_after_s);
                after.is_some_and(|s| now_ns >= later(a.last_ns, s))
            })
            .map(|a| a.id)
            .collect();
        changes.extend(self.end(now_ns, None, |a| over.contains(&a.id)));
        changes
    }

    /// Somebody has seen an alert: it escalates no more. Who had seen it first stays.
    ///
    /// # Errors
    /// When there is none of that identifier that is not over.
    pub fn acknowledge(&mut self, id: Uuid, by: &str, now_ns: i64) -> Result<Option<Change>, NoAlert> {
        let alert = self.state.alerts.iter_mut().find(|a| a.id == id).ok_or(NoAlert(id))?;
        if alert.status == Status::Acknowledged {
            return Ok(None);
        }
        alert.status = Status::Acknowledged;
        alert.acknowledged = Some((by.to_owned(), now_ns));
        alert.escalate_ns = None;
        let alert = alert.clone();
        Ok(Some(Change { kind: EventKind::AlertAcknowledged, time_ns: now_ns, alert }))
    }

    /// Somebody says that it is over.
    ///
    /// # Errors
    /// When there is none of that identifier that is not over already.
    pub fn resolve(&mut self, id: Uuid, by: &str, now_ns: i64) -> Result<Change, NoAlert> {
        self.end(now_ns, Some(by), |a| a.id == id).pop().ok_or(NoAlert(id))
    }

    fn end(&mut self, now_ns: i64, by: Option<&str>, which: impl Fn(&Alert) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        self.state.alerts.retain_mut(|alert| {
            let over = which(alert);
            if over {
                alert.status = Status::Resolved;
                alert.escalate_ns = None;
                alert.resolved = Some((by.map(str::to_owned), now_ns));
                let alert = alert.clone();
                changes.push(Change { kind: EventKind::AlertResolved, time_ns: now_ns, alert });
            }
            !over
        });
        changes
    }
}

fn higher(severity: Severity) -> Severity {
    match severity {
        Severity::Info => Severity::Low,
        Severity::Low => Severity::Medium,
        Severity::Medium => Severity::High,
        Severity::High | Severity::Critical => Severity::Critical,
    }
}
