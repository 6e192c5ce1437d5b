//! What the log is told of credentials that are not taken.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::token::Reason;

/// Refused credentials that the log tells of, within…
const MOST: u32 = 10;
/// …this time.
const WITHIN: Duration = Duration::from_secs(10);

/// Keeps the log short, whoever tries how often.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Complaints {
    /// Says why, if not too much was said of late.
    pub(super) fn tell(&self, address: Option<IpAddr>, reason: &Reason) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.since.is_none_or(|at| at.elapsed() >= WITHIN) {
            if recent.unsaid > 0 {
                tracing::warn!("{} more credentials were refused", recent.unsaid);
            }
            *recent = Recent { since: Some(Instant::now()), said: 0, unsaid: 0 };
        }
        if recent.said < MOST {
            recent.said += 1;
            let from = address.map_or_else(|| "this machine".to_owned(), |ip| ip.to_string());
            tracing::warn!("credentials from {from} are refused: {reason}");
        } else {
            recent.unsaid += 1;
        }
    }
}
