//! An endpoint that fails again and again is left alone for a while.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open it.
const OPENS_AFTER: u32 = 5;
/// How long it stays open at first, in the units of the waits between attempts…
const FIRST: f64 = 30.0;
/// …and at most: each try that fails doubles it.
const LONGEST: f64 = 300.0;

/// Closed: deliveries go on. Open: none does. After its time one is tried, and its fate decides.
#[derive(Debug)]
pub(super) struct Breaker {
    unit: Duration,
    failures: u32,
    open: Option<Instant>,
    next: f64,
}

impl Breaker {
    pub(super) fn new(unit: Duration) -> Self {
        Self { unit, failures: 0, open: None, next: FIRST }
    }

    /// Until when nothing is delivered.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.open
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::new(self.unit);
    }

    pub(super) fn failed(&mut self) {
        self.failures += 1;
        if self.failures >= OPENS_AFTER {
            self.open =
                Some(Instant::now() + crate::outputs::backoff::jittered(self.unit.mul_f64(self.next)));
            self.next = (self.next * 2.0).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_success_closes_it() {
        let mut breaker = Breaker::new(Duration::from_secs(1));
        for _ in 0..2 {
            for _ in 1..OPENS_AFTER {
                breaker.failed();
                assert!(breaker.open_until().is_none());
            }
            breaker.failed();
            assert!(breaker.open_until().is_some_and(|until| until > Instant::now()));
            breaker.succeeded();
            assert!(breaker.open_until().is_none());
        }
    }
}
