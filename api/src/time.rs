//! Time on the wire: UTC, RFC 3339.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A moment, printed in UTC with microseconds: `2026-01-02T03:04:05.678901Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    ns: i64,
}

impl Time {
    /// From nanoseconds since the Unix epoch.
    pub fn from_ns(ns: i64) -> Self {
        Self { ns }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn as_ns(self) -> i64 {
        self.ns
    }

    /// This host's clock.
    pub fn now() -> Self {
        Self { ns: Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX) }
    }

    /// Reads RFC 3339. Without an offset the time is UTC; a `+` that came out of a query string as a space is
    /// taken for what it was. The error says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let repaired = match text.rsplit_once(' ') {
            Some((date, offset)) if date.contains(['T', 't', ' ']) => format!("{date}+{offset}"),
            _ => text.to_owned(),
        };
        let utc = DateTime::parse_from_rfc3339(&repaired)
            .map(|t| t.to_utc())
            .or_else(|_| repaired.parse::<NaiveDateTime>().map(|t| t.and_utc()))
            .map_err(|_| format!("{text:?} is no RFC 3339 time, such as 2026-01-02T03:04:05Z"))?;
        let ns = utc
            .timestamp_nanos_opt()
            .ok_or_else(|| format!("{text:?} is outside of the years 1678 to 2262"))?;
        Ok(Self { ns })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = DateTime::<Utc>::from_timestamp_nanos(self.ns);
        f.write_str(&utc.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        Object::builder()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .pattern(Some("^(1[7-9]|2[01])[0-9]{2}-"))
            .description(Some("RFC 3339, in UTC with microseconds; of the years 1678 to 2262"))
            .into()
    }
}

impl ToSchema for Time {}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        let ns = 1_767_323_045_678_901_000;
        for text in [
            "2026-01-02T03:04:05.678901Z",
            "2026-01-02T03:04:05.678901",
            "2026-01-02T05:04:05.678901+02:00",
            "2026-01-02T05:04:05.678901 02:00",
            "2026-01-02t03:04:05.678901z",
        ] {
            assert_eq!(Time::parse(text).unwrap().as_ns(), ns, "{text}");
        }
        assert_eq!(Time::from_ns(ns).to_string(), "2026-01-02T03:04:05.678901Z");
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "9999-01-01T00:00:00Z"] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }
}
