//! What the network left of earlier windows of a site, which it is shown beside the newest.

use std::{collections::VecDeque, sync::Arc};

use super::WINDOW_S;

/// Earlier windows that a window is shown something of: those that ended 2, 4, 6 and 8 s before it.
pub const EARLIER: usize = 4;

/// Seconds of a site's past that a network can look at.
pub const CONTEXT_S: f32 = (1 + EARLIER) as f32 * WINDOW_S;

/// What the network left of a window; what its numbers mean is the network's own.
pub type Memory = Arc<[f32]>;

/// Of the windows that ended 2, 4, 6 and 8 s before; `None` where nobody looked.
pub type Earlier = [Option<Memory>; EARLIER];

/// An earlier window may have ended so much sooner or later than asked for, seconds.
const OFF_S: f64 = 0.25;

/// What was left of a site's windows.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By their ends, the newest last.
    kept: VecDeque<(f64, Memory)>,
}

impl History {
    /// Of the windows before one that ends at this time, in seconds.
    pub fn before(&self, end_s: f64) -> Earlier {
        std::array::from_fn(|i| {
            let at_s = end_s - (i + 1) as f64 * f64::from(WINDOW_S);
            let off = |(end_s, _): &&(f64, Memory)| (end_s - at_s).abs();
            let nearest = self.kept.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
            nearest.filter(|kept| off(kept) <= OFF_S).map(|(_, memory)| memory.clone())
        })
    }

    /// Keeps what was left of a window that ended at this time, as long as a window may ask for it. Where time goes back
    /// another history begins.
    pub fn keep(&mut self, end_s: f64, memory: Memory) {
        if self.kept.back().is_some_and(|(last_s, _)| *last_s >= end_s) {
            self.kept.clear();
        }
        let oldest_s = end_s - EARLIER as f64 * f64::from(WINDOW_S) - OFF_S;
        while self.kept.front().is_some_and(|(end_s, _)| *end_s < oldest_s) {
            self.kept.pop_front();
        }
        self.kept.push_back((end_s, memory));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn memory(time_s: f64) -> Memory {
        Arc::from([time_s as f32])
    }

    proptest! {
        #[test]
        fn each_earlier_window_is_the_nearest_that_was_kept_or_none(
            hops in prop::collection::vec(0.01f64..0.6, 1..200),
        ) {
            let (mut history, mut ends, mut now) = (History::default(), Vec::new(), 100.0);
            for hop in hops {
                now += hop;
                for (i, earlier) in history.before(now).iter().enumerate() {
                    let at = now - 2.0 * (i + 1) as f64;
                    let off = ends.iter().map(|end: &f64| (end - at).abs()).fold(f64::INFINITY, f64::min);
                    match earlier {
                        Some(memory) => prop_assert!(((f64::from(memory[0]) - at).abs() - off).abs() < 1e-4),
                        None => prop_assert!(off > OFF_S),
                    }
                }
                history.keep(now, memory(now));
                ends.push(now);
            }
            prop_assert!(history.kept.front().unwrap().0 >= now - 8.25);
        }
    }

    #[test]
    fn where_time_goes_back_nothing_is_known_of_before() {
        let mut history = History::default();
        history.keep(8.0, memory(8.0));
        history.keep(10.0, memory(10.0));
        assert!(history.before(12.0).iter().take(2).all(Option::is_some));
        history.keep(6.0, memory(6.0));
        assert!(history.before(12.0).iter().take(2).all(Option::is_none));
        assert!(history.before(8.0)[0].is_some());
    }
}
