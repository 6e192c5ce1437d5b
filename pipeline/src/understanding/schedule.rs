//! When a rule holds: times of the day and days of the week, by a place's own clock.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A daily span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Days on which it begins; none named means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// When it begins, e.g. `22:00`.
    pub from: Time,
    /// When it ends; at or before `from`: on the next day.
    pub to: Time,
    /// Name in the IANA time zone database, e.g. `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// There is no such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time_zone {0:?} is not in the time zone database")]
pub struct UnknownTimeZone(pub String);

/// A schedule with its time zone at hand.
#[derive(Clone, Debug)]
pub struct Clock {
    schedule: Schedule,
    zone: TimeZone,
}

impl Clock {
    /// Looks the time zone up.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn new(schedule: &Schedule) -> Result<Self, UnknownTimeZone> {
        let zone =
            TimeZone::get(&schedule.time_zone).map_err(|_| UnknownTimeZone(schedule.time_zone.clone()))?;
        Ok(Self { schedule: schedule.clone(), zone })
    }

    /// Is it time? `time_ns` is in nanoseconds since the Unix epoch; never outside the years −9999 to 9999.
    pub fn holds(&self, time_ns: i64) -> bool {
        let Ok(moment) = Timestamp::from_nanosecond(i128::from(time_ns)) else { return false };
        let local = self.zone.to_datetime(moment);
        let Schedule { days, from, to, .. } = &self.schedule;
        let begins = |day: Weekday| days.is_empty() || days.contains(&day.into());
        let (today, now) = (local.date().weekday(), local.time());
        if from < to {
            begins(today) && (*from..*to).contains(&now)
        } else {
            (now >= *from && begins(today)) || (now < *to && begins(today.previous()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn nights_by_the_local_clock() {
        let text = r#"{"days": ["fri"], "from": "22:00", "to": "06:00", "time_zone": "Europe/Berlin"}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        let clock = Clock::new(&schedule).unwrap();
        // Friday, 20 November 2026: winter, an hour ahead of UTC.
        assert!(!clock.holds(at("2026-11-20T20:59:59Z")));
        assert!(clock.holds(at("2026-11-20T21:00:00Z")));
        assert!(clock.holds(at("2026-11-21T04:59:59Z")), "Saturday morning belongs to Friday night");
        assert!(!clock.holds(at("2026-11-21T05:00:00Z")));
        assert!(!clock.holds(at("2026-11-21T22:00:00Z")), "Saturday night");
        // Friday, 17 July 2026: two hours ahead.
        assert!(clock.holds(at("2026-07-17T20:00:00Z")));
        let nowhere = Schedule { time_zone: "Europe/Atlantis".into(), ..schedule };
        assert!(Clock::new(&nowhere).unwrap_err().to_string().contains("Atlantis"));
    }

    #[test]
    fn office_hours() {
        let schedule: Schedule = serde_json::from_str(r#"{"from": "09:00", "to": "17:30"}"#).unwrap();
        let clock = Clock::new(&schedule).unwrap();
        assert!(clock.holds(at("2026-11-22T09:00:00Z")) && clock.holds(at("2026-11-22T17:29:59Z")));
        assert!(!clock.holds(at("2026-11-22T08:59:59Z")) && !clock.holds(at("2026-11-22T17:30:00Z")));
    }
}
