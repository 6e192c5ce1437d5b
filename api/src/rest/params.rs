//! Query strings as typed values, with errors that name the parameter.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::Time;
use crate::problem::Problem;
use crate::query::{DEFAULT_PAGE, Field, Filter, MAX_PAGE, QueryError, TimeRange};

/// The query string as `T`. Parameters that `T` does not know are passed over, as the contract's own server does.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs))
            .map(Self)
            .map_err(|e| Problem::parameter(&e.path().to_string(), &e.inner().to_string()))
    }
}

/// Whom to show.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Who {
    /// The site; the first one where it is left out.
    pub site_id: Option<String>,
    /// Only persons in this zone.
    pub zone_id: Option<String>,
    /// Only persons of at least this confidence, 0..1.
    #[param(minimum = 0, maximum = 1)]
    pub min_confidence: Option<f64>,
}

impl Who {
    pub(super) fn filter(self, min_confidence: f64) -> Filter {
        Filter {
            site: self.site_id,
            zone: self.zone_id,
            min_confidence: self.min_confidence.unwrap_or(min_confidence),
            person: None,
        }
    }
}

/// Which frames of the past, and whom of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Past {
    /// First moment; UTC where there is no offset.
    #[param(required = true)]
    pub start_time: Option<Time>,
    /// First moment that is too late.
    #[param(required = true)]
    pub end_time: Option<Time>,
    /// Only this person, and only frames that show them.
    pub person_id: Option<String>,
    /// The site; the first one where it is left out.
    pub site_id: Option<String>,
    /// Only persons in this zone.
    pub zone_id: Option<String>,
    /// Only persons of at least this confidence, 0..1.
    #[param(minimum = 0, maximum = 1, default = 0)]
    pub min_confidence: Option<f64>,
}

impl Past {
    /// First moment, first moment that is too late, and whom.
    pub(super) fn checked(self) -> Result<(Time, Time, Filter), QueryError> {
        let (from, to) = (required(self.start_time, Field::From)?, required(self.end_time, Field::To)?);
        TimeRange::checked(Some(from), Some(to))?;
        let filter = Filter {
            site: self.site_id,
            zone: self.zone_id,
            min_confidence: self.min_confidence.unwrap_or(0.0),
            person: self.person_id,
        };
        Ok((from, to, filter))
    }
}

/// Which site.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Where {
    /// The site; the first one where it is left out.
    pub site_id: Option<String>,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// How many to pass over.
    #[param(minimum = 0, maximum = 9007199254740991_i64, default = 0)]
    pub skip: Option<usize>,
}

impl Paging {
    /// Checked: how many, and how many to pass over.
    pub(super) fn checked(self) -> Result<(usize, usize), QueryError> {
        let limit = self.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(QueryError::invalid(Field::Limit, format!("must be between 1 and {MAX_PAGE}")));
        }
        Ok((limit, self.skip.unwrap_or(0)))
    }
}

/// The parameter must be there.
fn required<T>(value: Option<T>, field: Field) -> Result<T, QueryError> {
    value.ok_or_else(|| QueryError::invalid(field, "is required"))
}

/// A length of time: seconds, or a number with `s`, `m`, `h` or `d`; whole minutes. Nanoseconds.
pub(super) fn interval(text: Option<&str>, default: &str) -> Result<i64, QueryError> {
    let text = text.unwrap_or(default);
    let wrong = || {
        QueryError::invalid(
            Field::Interval,
            format!("{text:?} is no whole number of minutes, such as 15m, 1h or 1d"),
        )
    };
    let (digits, unit) = match text.char_indices().last() {
        Some((i, unit)) if unit.is_ascii_alphabetic() => (text.get(..i).unwrap_or_default(), unit),
        _ => (text, 's'),
    };
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let total: i64 = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(seconds)).ok_or_else(wrong)?;
    if total < 60 || total % 60 != 0 || total > 366 * 86_400 {
        return Err(wrong());
    }
    Ok(total * 1_000_000_000)
}
