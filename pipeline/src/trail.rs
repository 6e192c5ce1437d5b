//! Where a frame was on its way, and for how long: of one frame in so many, where somebody asks.
//!
//! A window that is followed carries its trail from stage to stage; the ring, where the frame gets its number, hands it to whoever asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::health::Counter;
use crate::sources::wall_ns;

/// Trails that wait for whoever asked; more are given up and counted.
const WAITING: usize = 256;
/// Newest followed frames that are remembered, for those who deliver them.
const REMEMBERED: usize = 128;

/// One stage's work on a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: &'static str,
    /// When it began, nanoseconds since the Unix epoch on this host's clock.
    pub begin_ns: i64,
    /// When it was done.
    pub end_ns: i64,
}

/// A frame's way so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// What was done, in order. The time between two steps was spent waiting.
    pub steps: Vec<Step>,
}

/// The way of a frame that is in the ring.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The site.
    pub site: Arc<str>,
    /// The frame's number.
    pub frame_id: u64,
    /// Stream time of the frame, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// From its newest packet to the ring.
    pub trail: Trail,
}

impl Trail {
    /// Adds a step that ends at this moment.
    pub fn step(&mut self, stage: &'static str, begun: Instant) {
        let end_ns = wall_ns();
        let took = i64::try_from(begun.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.steps.push(Step { stage, begin_ns: end_ns.saturating_sub(took), end_ns });
    }
}

/// Adds a step to the trail of a frame that has one.
pub fn mark(trail: &mut Option<Box<Trail>>, stage: &'static str, begun: Instant) {
    if let Some(trail) = trail {
        trail.step(stage, begun);
    }
}

/// Which frames are followed, and for whom. Shared by the stages and those who deliver frames; costs nothing while nobody asks.
#[derive(Debug, Default)]
pub struct Trails {
    asked: OnceLock<Asked>,
}

#[derive(Debug)]
struct Asked {
    every: u32,
    windows: AtomicU32,
    to: Sender<Followed>,
    newest: Mutex<VecDeque<(Arc<str>, u64)>>,
    given_up: Counter,
}

impl Trails {
    /// Follows one frame in `every` from now on; the first who asks is heard, others get nothing.
    pub fn follow(&self, every: u32) -> Receiver<Followed> {
        let (to, followed) = bounded(WAITING);
        let (windows, newest, given_up) = (AtomicU32::new(0), Mutex::default(), Counter::default());
        let _ = self.asked.set(Asked { every: every.max(1), windows, to, newest, given_up });
        followed
    }

    /// The trail of a new window, where it is one to be followed; `arrived` is when its newest packet came.
    pub fn begin(&self, arrived: Option<Instant>) -> Option<Box<Trail>> {
        let asked = self.asked.get()?;
        let followed = asked.windows.fetch_add(1, Relaxed).is_multiple_of(asked.every);
        followed.then(|| {
            let mut trail = Trail::default();
            trail.step("assembly", arrived.unwrap_or_else(Instant::now));
            Box::new(trail)
        })
    }

    /// The frame has this number; it is told before anybody can read it.
    pub fn numbered(&self, site: &Arc<str>, frame_id: u64) {
        let Some(asked) = self.asked.get() else { return };
        let mut newest = asked.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == REMEMBERED {
            newest.pop_front();
        }
        newest.push_back((site.clone(), frame_id));
    }

    /// Is this frame followed?
    pub fn follows(&self, site: &str, frame_id: u64) -> bool {
        let Some(asked) = self.asked.get() else { return false };
        let newest = asked.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().rev().any(|(of, id)| *id == frame_id && **of == *site)
    }

    /// The frame is in the ring.
    pub fn arrived(&self, followed: Followed) {
        if let Some(asked) = self.asked.get()
            && asked.to.try_send(followed).is_err()
        {
            asked.given_up.add(1);
        }
    }

    /// Trails that were given up because nobody took them in time; `None` where nobody asked.
    pub fn given_up(&self) -> Option<u64> {
        self.asked.get().map(|asked| asked.given_up.get())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_window_in_so_many_is_followed_where_somebody_asks() {
        let trails = Trails::default();
        assert!(trails.begin(None).is_none() && trails.given_up().is_none());
        let site: Arc<str> = "lab".into();
        let followed = trails.follow(3);
        let begun: Vec<bool> = (0..7).map(|_| trails.begin(None).is_some()).collect();
        assert_eq!(begun, [true, false, false, true, false, false, true]);
        trails.numbered(&site, 7);
        assert!(trails.follows("lab", 7) && !trails.follows("lab", 8) && !trails.follows("hall", 7));
        for _ in 0..=WAITING {
            let trail = Trail::default();
            trails.arrived(Followed { site: site.clone(), frame_id: 7, time_ns: 0, trail });
        }
        assert_eq!((followed.len(), trails.given_up()), (WAITING, Some(1)));
        for id in 0..REMEMBERED as u64 {
            trails.numbered(&site, 100 + id);
        }
        assert!(!trails.follows("lab", 7) && trails.follows("lab", 100));
    }

    #[test]
    fn steps_follow_each_other() {
        let mut trail = Some(Box::new(Trail::default()));
        for stage in ["a", "b"] {
            mark(&mut trail, stage, Instant::now());
        }
        let steps = trail.unwrap().steps;
        assert!(steps.iter().all(|s| s.begin_ns <= s.end_ns));
        assert_eq!(steps.iter().map(|s| s.stage).collect::<Vec<_>>(), ["a", "b"]);
        mark(&mut None, "c", Instant::now());
    }
}
