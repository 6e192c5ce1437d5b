//! The newest frame, as often as its taker takes it: a slow one is conflated to the newest and slows nobody.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::query::{FPS, Field, QueryError, Selection};
use crate::view::FrameView;

/// Frames of a selection as they come.
pub(crate) struct Feed {
    selection: Selection,
    head: watch::Receiver<u64>,
    last: u64,
    interval: Duration,
    next: Instant,
}

/// Time between two frames.
pub(crate) fn interval(max_fps: Option<f64>) -> Result<Duration, QueryError> {
    match max_fps {
        Some(fps) if !FPS.contains(&fps) => {
            let reason = format!("must be between {} and {}", FPS.start(), FPS.end());
            Err(QueryError::invalid(Field::MaxFps, reason))
        }
        fps => Ok(fps.map(|fps| Duration::from_secs_f64(1.0 / fps)).unwrap_or_default()),
    }
}

impl Feed {
    /// At most `max_fps` frames per second.
    pub(crate) fn new(selection: Selection, max_fps: Option<f64>) -> Result<Self, QueryError> {
        let interval = interval(max_fps)?;
        Ok(Self { head: selection.site().head(), selection, last: 0, interval, next: Instant::now() })
    }

    /// From now on at most so many frames per second.
    pub(crate) fn limit(&mut self, max_fps: f64) -> Result<(), QueryError> {
        self.interval = interval(Some(max_fps))?;
        Ok(())
    }

    /// Only frames after this one.
    pub(crate) fn after(self, last: u64) -> Self {
        Self { last, ..self }
    }

    /// The newest frame that was not given yet, not before its time; `None` when the site's writer is gone. Nothing is
    /// lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<FrameView> {
        loop {
            self.head.borrow_and_update();
            // Waiting comes before reading, so that what is read is the newest.
            tokio::time::sleep_until(self.next).await;
            if let Some(frame) = self.selection.site().latest().filter(|f| f.frame_id > self.last) {
                self.last = frame.frame_id;
                let now = Instant::now();
                // One interval after the time that was due, so that the rate holds in the mean; never two at once.
                self.next = if now - self.next < self.interval {
                    self.next + self.interval
                } else {
                    now + self.interval
                };
                self.selection.site().delivered(frame.frame_id);
                return Some(self.selection.view(frame));
            }
            self.head.changed().await.ok()?;
        }
    }
}
