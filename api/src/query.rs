//! The one query layer: which frames, which persons, how many. Protocols translate into it and out of it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use invispose_pipeline::events::Event;
use invispose_pipeline::{Person, PoseFrame};
use thiserror::Error;

use crate::history;
use crate::store::{Bucket, EventQuery, HeatMap, Over, Store, StoreError};
use crate::view::FrameView;
use crate::{ApiState, Site, Time};

/// Frames of a page where the request does not say.
pub const DEFAULT_PAGE: usize = 100;
/// Frames of the largest page.
pub const MAX_PAGE: usize = 1000;
/// Confidence below which persons are left out of live answers where the request does not say.
pub const DEFAULT_MIN_CONFIDENCE: f64 = 0.5;
/// Frames per second that a subscription can ask for.
pub const FPS: RangeInclusive<f64> = 0.01..=1000.0;

/// A part of a request, under the name that each protocol gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Field {
    Site,
    Zone,
    MinConfidence,
    From,
    To,
    Limit,
    Skip,
    First,
    Last,
    Cursor,
    MaxFps,
    Interval,
    Kind,
    EveryS,
}

impl Field {
    /// Name in the REST contract.
    pub fn rest(self) -> &'static str {
        match self {
            Self::Site => "site_id",
            Self::Zone => "zone_id",
            Self::MinConfidence => "min_confidence",
            Self::From => "start_time",
            Self::To => "end_time",
            Self::Limit => "limit",
            Self::Skip => "skip",
            Self::First => "first",
            Self::Last => "last",
            Self::Cursor => "cursor",
            Self::MaxFps => "max_fps",
            Self::Interval => "interval",
            Self::Kind => "kind",
            Self::EveryS => "every_s",
        }
    }

    /// Name in gRPC.
    pub fn grpc(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Interval => "interval_minutes",
            other => other.rest(),
        }
    }

    /// Name in GraphQL.
    pub fn graphql(self) -> &'static str {
        match self {
            Self::Site => "siteId",
            Self::Zone => "zoneId",
            Self::MinConfidence => "minConfidence",
            Self::From => "from",
            Self::To => "to",
            Self::Cursor => "after, before",
            Self::MaxFps => "maxFps",
            Self::Interval => "intervalMinutes",
            Self::EveryS => "everyS",
            other => other.rest(),
        }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// No such site or zone.
    #[error("there is no {what} {id:?}; known: {known}")]
    Unknown {
        /// Which part of the request.
        field: Field,
        /// `site` or `zone`.
        what: &'static str,
        /// What was asked for.
        id: String,
        /// What there is.
        known: String,
    },
    /// A value that cannot be used.
    #[error("{reason}")]
    Invalid {
        /// Which part of the request.
        field: Field,
        /// What is wrong.
        reason: String,
    },
    /// The site has not produced a frame.
    #[error("site {site:?} has no pose data yet")]
    NoData {
        /// The site.
        site: String,
    },
    /// What was asked for is in the database, and the database has no answer.
    #[error("{0}")]
    Away(String),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Away(error.to_string())
    }
}

impl QueryError {
    /// The part of the request that is to blame.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::Unknown { field, .. } | Self::Invalid { field, .. } => Some(*field),
            Self::NoData { .. } | Self::Away(_) => None,
        }
    }

    /// A value that cannot be used.
    pub fn invalid(field: Field, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

/// What a request says about sites and persons, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `None`: the first site.
    pub site: Option<String>,
    /// Persons in this zone only.
    pub zone: Option<String>,
    /// Persons of at least this confidence only, 0..1.
    pub min_confidence: f64,
    /// This person only, and only frames that show them.
    pub person: Option<String>,
}

/// A filter whose site and zone exist.
#[derive(Clone, Debug)]
pub struct Selection {
    site: Site,
    stale_after: Duration,
    store: Option<Store>,
    zone: Option<u16>,
    min_confidence: f32,
    person: PersonFilter,
}

#[derive(Clone, Copy, Debug)]
enum PersonFilter {
    Any,
    One(u64),
    /// Asked for an id that this program never gives.
    Nobody,
}

/// Half-open: from the first moment up to, without, the second. `None` is unbounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeRange {
    /// First moment.
    pub from: Option<Time>,
    /// First moment that is too late.
    pub to: Option<Time>,
}

/// Which part of the matching frames, in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Only frames after the one with this id.
    pub after: Option<u64>,
    /// Only frames before the one with this id.
    pub before: Option<u64>,
    /// Matching frames to pass over, from the end that `take` starts at.
    pub skip: usize,
    /// How many, from which end.
    pub take: Take,
}

/// An end of a range and a number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The oldest.
    First(usize),
    /// The newest.
    Last(usize),
}

/// A page of frames, oldest first.
#[derive(Debug)]
pub struct Slice {
    /// The frames.
    pub frames: Vec<FrameView>,
    /// Beyond the end that paging goes to there are more matching frames.
    pub more: bool,
}

impl ApiState {
    /// A site by its id; the first one without.
    pub fn site(&self, id: Option<&str>) -> Result<&Site, QueryError> {
        let found = match id {
            Some(id) => self.sites().iter().find(|s| s.config().id == id),
            None => self.sites().first(),
        };
        found.ok_or_else(|| QueryError::Unknown {
            field: Field::Site,
            what: "site",
            id: id.unwrap_or_default().to_owned(),
            known: list(self.sites().iter().map(|s| s.config().id.as_str())),
        })
    }

    /// Whom to ask where a request may name a site: that one; else everything at once, or each site that may be seen.
    pub(crate) fn one_or_each(&self, site: Option<String>) -> Vec<Option<String>> {
        match site {
            None if !self.sees(None) => self.sites().iter().map(|s| Some(s.config().id.clone())).collect(),
            site => vec![site],
        }
    }

    /// Kept events in the order of their ids.
    ///
    /// # Errors
    /// The database has no answer.
    pub(crate) async fn kept_events(
        &self,
        store: &Store,
        query: &EventQuery,
    ) -> Result<Vec<Event>, StoreError> {
        let mut found = Vec::new();
        for site in self.one_or_each(query.site.clone()) {
            found.extend(store.events(&EventQuery { site, ..query.clone() }).await?);
        }
        found.sort_by_key(|e| e.id);
        found.truncate(query.limit);
        Ok(found)
    }

    /// Checks a filter.
    pub fn select(&self, filter: &Filter) -> Result<Selection, QueryError> {
        let site = self.site(filter.site.as_deref())?.clone();
        let zone = filter.zone.as_deref().map(|id| zone_number(&site, id)).transpose()?;
        if !(0.0..=1.0).contains(&filter.min_confidence) {
            return Err(QueryError::invalid(Field::MinConfidence, "must be between 0 and 1"));
        }
        let person = match filter.person.as_deref() {
            None => PersonFilter::Any,
            Some(id) => id.parse().map_or(PersonFilter::Nobody, PersonFilter::One),
        };
        let (store, stale_after) = (self.store().cloned(), self.config().stale_after);
        Ok(Selection { site, stale_after, store, zone, min_confidence: filter.min_confidence as f32, person })
    }
}

fn zone_number(site: &Site, id: &str) -> Result<u16, QueryError> {
    let floor = site.floor();
    floor.number(id).ok_or_else(|| QueryError::Unknown {
        field: Field::Zone,
        what: "zone",
        id: id.to_owned(),
        known: list(floor.zones().iter().map(|z| z.config.id.as_str())),
    })
}

fn list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

impl TimeRange {
    /// Checks that the range does not end before it starts.
    pub fn checked(from: Option<Time>, to: Option<Time>) -> Result<Self, QueryError> {
        match (from, to) {
            (Some(f), Some(t)) if f > t => Err(QueryError::invalid(Field::To, format!("{t} is before {f}"))),
            _ => Ok(Self { from, to }),
        }
    }

    /// Both ends; the last day where nothing is said.
    pub(crate) fn or_last_day(from: Option<Time>, to: Option<Time>) -> Result<(Time, Time), QueryError> {
        const DAY: i64 = 86_400_000_000_000;
        let to = to.unwrap_or_else(Time::now);
        let from = from.unwrap_or_else(|| Time::from_ns(to.as_ns().saturating_sub(DAY)));
        Self::checked(Some(from), Some(to)).map(|_| (from, to))
    }

    fn contains(&self, ns: i64) -> bool {
        self.from.is_none_or(|t| t.as_ns() <= ns) && self.to.is_none_or(|t| ns < t.as_ns())
    }
}

impl Take {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::First(n) | Self::Last(n) => n,
        }
    }
}

impl Selection {
    /// The site that answers.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Does the filter keep this person?
    pub fn keeps(&self, person: &Person) -> bool {
        self.zone.is_none_or(|z| person.zone == Some(z))
            && person.confidence >= self.min_confidence
            && match self.person {
                PersonFilter::Any => true,
                PersonFilter::One(id) => person.id == id,
                PersonFilter::Nobody => false,
            }
    }

    /// The frame with the persons that the filter keeps.
    pub fn view(&self, frame: Arc<PoseFrame>) -> FrameView {
        let kept = frame.persons.iter().enumerate().filter(|(_, p)| self.keeps(p)).map(|(i, _)| i).collect();
        FrameView::new(self.site.clone(), frame, kept)
    }

    /// The newest frame.
    pub fn current(&self) -> Result<FrameView, QueryError> {
        let newest = self.site.latest();
        let frame = newest.ok_or_else(|| QueryError::NoData { site: self.site.config().id.clone() })?;
        Ok(self.view(frame))
    }

    /// Frames of the past: the recent ones from the ring, the others from the store, each once.
    ///
    /// # Errors
    /// The page is too large, or older frames are asked for and the database has no answer.
    pub async fn history(&self, range: TimeRange, page: Page) -> Result<Slice, QueryError> {
        let count = page.take.count();
        if count == 0 || count > MAX_PAGE {
            let field = match page.take {
                Take::First(_) => Field::First,
                Take::Last(_) => Field::Last,
            };
            return Err(QueryError::invalid(field, format!("must be between 1 and {MAX_PAGE}")));
        }
        let mut frames = history::gather(self, range, page).await?;
        let more = frames.len() > count;
        frames.truncate(count);
        if matches!(page.take, Take::Last(_)) {
            frames.reverse();
        }
        Ok(Slice { frames, more })
    }

    /// What was seen in stretches of `width_ns`, a whole number of minutes, of the site and of its zones.
    ///
    /// # Errors
    /// There is no database, or it has no answer.
    pub async fn buckets(&self, from: Time, to: Time, width_ns: i64) -> Result<Vec<Bucket>, QueryError> {
        let site = self.site.config();
        let over = Over { site: &site.id, from_ns: from.as_ns(), to_ns: to.as_ns() };
        Ok(self.kept()?.buckets(&over, width_ns).await?)
    }

    /// Where people were.
    ///
    /// # Errors
    /// There is no database, or it has no answer.
    pub async fn heat(&self, from: Time, to: Time) -> Result<HeatMap, QueryError> {
        Ok(self.kept()?.heat(&self.site.config().id, from.as_ns(), to.as_ns()).await?)
    }

    pub(crate) fn kept(&self) -> Result<&Store, QueryError> {
        self.store().ok_or_else(|| QueryError::Away("this server keeps no history".into()))
    }

    /// A frame older than this is not the present.
    pub(crate) fn stale_after(&self) -> Duration {
        self.stale_after
    }

    /// The one zone that is asked for.
    pub(crate) fn zone_id(&self) -> Option<Arc<str>> {
        self.zone.and_then(|z| self.site.floor().id(z).cloned())
    }

    /// The database, where there is one.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The one person that is asked for; `Some(None)` for an id that this program never gives.
    pub(crate) fn person(&self) -> Option<Option<u64>> {
        match self.person {
            PersonFilter::Any => None,
            PersonFilter::One(id) => Some(Some(id)),
            PersonFilter::Nobody => Some(None),
        }
    }

    /// The frame as the filter shows it; `None` where it is not asked for.
    pub(crate) fn matching(&self, frame: Arc<PoseFrame>, range: TimeRange) -> Option<FrameView> {
        if !range.contains(frame.time_ns) {
            return None;
        }
        let view = self.view(frame);
        (matches!(self.person, PersonFilter::Any) || view.person_count() > 0).then_some(view)
    }
}
