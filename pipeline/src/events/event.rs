//! What an event says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pose::{Activity, Provenance};

/// Something that happened at a site, or to the system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// UUID version 7 (RFC 9562): unique everywhere, in the order of publication within one process.
    pub id: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// When, nanoseconds since the Unix epoch: the stream time of the window that showed it, or for events of the
    /// system the wall clock.
    pub time_ns: i64,
    /// Where; `None` for events of the whole system.
    pub site: Option<Arc<str>>,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about.
    pub person: Option<u64>,
    /// Where on the floor, where it is known.
    pub place: Option<Place>,
    /// What it is about besides: a link, a source, a component or a rule.
    pub subject: Option<Arc<str>>,
    /// Probability that it happened, 0..1, where there is one.
    pub confidence: Option<f32>,
    /// On what it rests, for what was seen in the signal.
    pub provenance: Option<Provenance>,
    /// The figures that it was concluded from.
    pub evidence: Evidence,
    /// Events of this kind at this site that the rate limit has held back since the last one.
    pub suppressed: u64,
}

/// A place on a site's floor plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The zone's identifier.
    pub zone: Option<Arc<str>>,
    /// Site coordinates in metres.
    pub position_m: Option<[f32; 3]>,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth a look some time.
    Low,
    /// Worth a look soon.
    Medium,
    /// Somebody should look now.
    High,
    /// Somebody must come.
    Critical,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What happened. Names follow the event list of the API contract; those after it are the project's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum EventKind { $($(#[$doc])* $variant,)* }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in every API, e.g. `person.detected`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// A track was confirmed: somebody is there who was not.
    PersonDetected = "person.detected",
    /// A track ended.
    PersonLost = "person.lost",
    /// A person came into a zone.
    PersonEnteredZone = "person.entered_zone",
    /// A person went out of a zone, or was lost in it.
    PersonLeftZone = "person.left_zone",
    /// A person went down and stays on the ground.
    FallDetected = "person.fall_detected",
    /// A person does something else than before.
    ActivityDetected = "person.activity_detected",
    /// The pipeline runs.
    SystemStarted = "system.started",
    /// The pipeline has ended.
    SystemStopped = "system.stopped",
    /// Packets of a link arrive.
    RouterConnected = "router.connected",
    /// Packets of a link have stopped.
    RouterDisconnected = "router.disconnected",
    /// More people are in a zone or at a site than it allows.
    HighOccupancy = "alert.high_occupancy",
    /// Somebody is in a zone while its schedule forbids it.
    RestrictedZoneBreach = "alert.restricted_zone_breach",
    /// A component of the pipeline has a standing fault.
    SystemError = "alert.system_error",
    /// The pipeline does not keep up: packets are lost.
    PerformanceDegraded = "alert.performance_degraded",
    /// A report is ready.
    ReportGenerated = "analytics.report_generated",
    /// A figure passed a limit that somebody set, e.g. of the time in a zone.
    ThresholdExceeded = "analytics.threshold_exceeded",
    /// Somebody who had fallen is up again.
    FallRecovered = "person.fall_recovered",
    /// The signal says that somebody is there.
    PresenceStarted = "presence.started",
    /// The signal says that nobody is there any more.
    PresenceEnded = "presence.ended",
    /// A component's fault is over.
    SystemRecovered = "system.recovered",
    /// A rule's conditions hold: an alert is open.
    AlertOpened = "alert.opened",
    /// Somebody has seen an alert.
    AlertAcknowledged = "alert.acknowledged",
    /// Nobody acknowledged an alert in time.
    AlertEscalated = "alert.escalated",
    /// A rule's conditions hold no more.
    AlertResolved = "alert.resolved",
}

impl EventKind {
    /// Is it about who is in a zone, or how many?
    pub fn is_of_zones(self) -> bool {
        matches!(
            self,
            Self::PersonEnteredZone | Self::PersonLeftZone | Self::HighOccupancy | Self::RestrictedZoneBreach
        )
    }

    /// Is it a change of an alert?
    pub fn is_of_alerts(self) -> bool {
        matches!(
            self,
            Self::AlertOpened | Self::AlertAcknowledged | Self::AlertEscalated | Self::AlertResolved
        )
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event is called {0:?}")]
pub struct UnknownKind(pub String);

impl FromStr for EventKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().find(|k| k.name() == name).copied().ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The figures behind an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// The kind says it all.
    #[default]
    None,
    /// A track.
    Track {
        /// How long it has been followed, seconds.
        seen_s: f64,
    },
    /// The signal over its quiet level.
    Presence {
        /// See [`crate::pose::Presence::motion_level`].
        motion_level: f32,
        /// Share of the site's links that were heard, 0..1.
        coverage: f32,
    },
    /// A stay in a zone.
    Stay {
        /// How long so far, seconds.
        dwell_s: f64,
    },
    /// What a person does.
    Activity {
        /// What.
        activity: Activity,
        /// What they did before.
        before: Option<Activity>,
    },
    /// A fall.
    Fall {
        /// How far the hips went down, metres.
        descent_m: f32,
        /// How fast at most, metres per second.
        speed_m_s: f32,
        /// Height of the hips above the floor since, metres.
        height_m: f32,
        /// Time on the ground so far, seconds.
        ground_s: f64,
    },
    /// How many people are where.
    Occupancy {
        /// How many.
        current: u32,
        /// How many are allowed.
        maximum: u32,
        /// For how long there have been too many, seconds.
        duration_s: f64,
    },
    /// A figure and its limit.
    Threshold {
        /// Name and unit of the figure, e.g. `dwell_s`.
        metric: Arc<str>,
        /// Its value.
        value: f64,
        /// The limit that it passed.
        limit: f64,
    },
    /// A component's words.
    Fault {
        /// What is wrong.
        message: String,
    },
    /// The event that another one follows from.
    Cause {
        /// Its identifier.
        event: Uuid,
    },
}

impl Event {
    /// An event that says no more than its kind, for the record.
    pub fn new(kind: EventKind, time_ns: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind,
            time_ns,
            site: None,
            severity: Severity::Info,
            person: None,
            place: None,
            subject: None,
            confidence: None,
            provenance: None,
            evidence: Evidence::None,
            suppressed: 0,
        }
    }

    /// At this site.
    pub fn at(self, site: &Arc<str>) -> Self {
        Self { site: Some(site.clone()), ..self }
    }

    /// About this link, source, component or rule.
    pub fn about(self, subject: impl Into<Arc<str>>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// That matters so much.
    pub fn severe(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Concluded from this.
    pub fn because(self, evidence: Evidence) -> Self {
        Self { evidence, ..self }
    }
}
