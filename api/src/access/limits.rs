//! How often somebody may ask: section 7.2 of the API contract.
//!
//! What a caller may spend in an hour is theirs at once and comes back evenly (the generic cell rate algorithm: one moment a caller,
//! that at which they have everything again). Where several processes share a PostgreSQL database they share these moments; what it
//! said last is remembered here, so that refusals do not ask it again, and so that there are limits while it is away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::principal::Tier;
use crate::Time;
use crate::store::Store;

const HOUR_NS: i64 = 3_600_000_000_000;
/// Callers that are remembered; more share one account.
const MOST: usize = 100_000;

/// Requests an hour; 0 means without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// For those who do not say who they are, by address.
    pub default: u32,
    /// For those who do.
    pub authenticated: u32,
    /// For those whose credentials say so.
    pub premium: u32,
    /// What is said over the WebSockets of one caller.
    pub streaming: u32,
    /// For programs of this machine where nobody needs to say who they are.
    pub local: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { default: 100, authenticated: 1000, premium: 10_000, streaming: 3600, local: 0 }
    }
}

impl RateLimits {
    fn of(&self, tier: Tier) -> u32 {
        match tier {
            Tier::Local => self.local,
            Tier::Default => self.default,
            Tier::Authenticated => self.authenticated,
            Tier::Premium => self.premium,
            Tier::Streaming => self.streaming,
        }
    }
}

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: i64,
    /// Unix time at which there is everything again; where there is too little, at which there is enough.
    reset: i64,
}

/// There is too little left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    allowance: Allowance,
    /// Seconds until there is enough.
    pub retry_after: i64,
}

impl Allowance {
    pub(crate) fn show(&self, response: &mut Response) {
        let figures = [
            (HeaderName::from_static("x-ratelimit-limit"), i64::from(self.limit)),
            (HeaderName::from_static("x-ratelimit-remaining"), self.remaining),
            (HeaderName::from_static("x-ratelimit-reset"), self.reset),
        ];
        for (name, figure) in figures {
            response.headers_mut().insert(name, HeaderValue::from(figure));
        }
    }
}

impl IntoResponse for Exceeded {
    /// As the contract says it.
    fn into_response(self) -> Response {
        let body = json!({ "error": "Rate limit exceeded", "retry_after": self.retry_after });
        let mut response = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
        self.allowance.show(&mut response);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[derive(Debug)]
pub(super) struct Limits {
    limits: RateLimits,
    /// When each caller has everything again, nanoseconds since the Unix epoch.
    full: Mutex<HashMap<String, i64>>,
}

impl Limits {
    pub(super) fn new(limits: RateLimits) -> Self {
        Self { limits, full: Mutex::default() }
    }

    /// Takes `cost` requests from what the caller has; `None` where nothing is counted.
    pub(super) async fn charge(
        &self,
        store: Option<&Store>,
        caller: &str,
        tier: Tier,
        cost: u32,
    ) -> Option<Result<Allowance, Exceeded>> {
        let limit = self.limits.of(tier);
        if limit == 0 {
            return None;
        }
        let caller = format!("{} {caller}", tier.name());
        let now = Time::now().as_ns();
        let each = HOUR_NS / i64::from(limit);
        // What costs more than all takes all.
        let cost_ns = each.saturating_mul(i64::from(cost.clamp(1, limit)));
        let shared = store.filter(|store| store.shared());
        let taken = match shared {
            Some(store) if self.enough(&caller, now, cost_ns) => {
                match store.charge(&caller, now, cost_ns, HOUR_NS).await {
                    Ok(taken) => {
                        let (Ok(full) | Err(full)) = taken;
                        self.remember(&caller, now, full);
                        taken
                    }
                    Err(_) => self.take(&caller, now, cost_ns),
                }
            }
            _ => self.take(&caller, now, cost_ns),
        };
        Some(match taken {
            Ok(full) => {
                let remaining = (now + HOUR_NS - full).max(0) / each;
                Ok(Allowance { limit, remaining, reset: seconds(full) })
            }
            Err(full) => {
                let retry_after = seconds(full.max(now) + cost_ns - HOUR_NS - now).max(1);
                let reset = seconds(now) + retry_after;
                Err(Exceeded { allowance: Allowance { limit, remaining: 0, reset }, retry_after })
            }
        })
    }

    fn enough(&self, caller: &str, now: i64, cost_ns: i64) -> bool {
        let full = self.lock().get(caller).map_or(now, |&full| full.max(now));
        full + cost_ns <= now + HOUR_NS
    }

    fn take(&self, caller: &str, now: i64, cost_ns: i64) -> Result<i64, i64> {
        let full = self.lock().get(caller).map_or(now, |&full| full.max(now));
        if full + cost_ns > now + HOUR_NS {
            return Err(full);
        }
        self.remember(caller, now, full + cost_ns);
        Ok(full + cost_ns)
    }

    fn remember(&self, caller: &str, now: i64, full: i64) {
        let mut all = self.lock();
        if all.len() >= MOST && !all.contains_key(caller) {
            all.retain(|_, full| *full > now);
        }
        let caller = if all.len() >= MOST && !all.contains_key(caller) { "others" } else { caller };
        all.insert(caller.to_owned(), full);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole seconds, taken up.
fn seconds(ns: i64) -> i64 {
    ns.div_euclid(1_000_000_000) + i64::from(ns.rem_euclid(1_000_000_000) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(limits: &Limits, caller: &str, now: i64, cost_ns: i64) -> bool {
        limits.take(caller, now, cost_ns).is_ok()
    }

    proptest::proptest! {
        /// Whatever comes when: in no hour more than twice the limit, and after an hour of silence everything is back.
        #[test]
        fn no_more_than_there_is(limit in 1i64..50, waits in proptest::collection::vec(0i64..600, 1..200)) {
            let limits = Limits::new(RateLimits::default());
            let each = HOUR_NS / limit;
            let (mut now, mut taken) = (HOUR_NS, Vec::new());
            for wait in waits {
                now += wait * 1_000_000_000;
                if charge(&limits, "a", now, each) {
                    taken.push(now);
                }
                let within = taken.iter().filter(|&&at| at > now - HOUR_NS).count() as i64;
                proptest::prop_assert!(within <= 2 * limit, "{within} of {limit}");
            }
            now += HOUR_NS;
            for n in 0..limit {
                proptest::prop_assert!(charge(&limits, "a", now, each), "{n} of {limit}");
            }
            proptest::prop_assert!(!charge(&limits, "a", now, each) && charge(&limits, "b", now, each));
        }
    }
}
