//! Waiting longer and longer, never all at once.

use std::time::Duration;

use rand::RngExt;

/// Share by which a wait is shorter or longer than it would be.
pub(crate) const JITTER: f64 = 0.25;

/// The wait, changed by up to a quarter to either side.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(1.0 - JITTER..=1.0 + JITTER))
}

/// Waits that double.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        jittered(wait)
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}
