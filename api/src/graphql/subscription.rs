//! Subscriptions: the newest frame, as often as the client takes it.

use std::time::Duration;

use async_graphql::{Context, ID, Result};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::types::PoseFrame;
use crate::ApiState;
use crate::query::{FPS, Field, Filter, QueryError, Selection};
use crate::view::FrameView;

/// The root of subscriptions.
pub struct Subscription;

/// What happens, as it happens.
#[async_graphql::Subscription]
impl Subscription {
    /// The newest frame at once, then each new one. A client that is slower than the site, or asks for fewer with `maxFps`,
    /// gets the newest frame whenever it is ready for one; `id` shows what it missed.
    async fn pose_frames(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first site where it is left out.")] site_id: Option<ID>,
        #[graphql(desc = "Only persons in this zone.")] zone_id: Option<ID>,
        #[graphql(desc = "Only persons of at least this confidence, 0..1.", default = 0.5)]
        min_confidence: f64,
        #[graphql(desc = "At most so many frames per second, 0.01..1000.")] max_fps: Option<f64>,
    ) -> Result<impl Stream<Item = PoseFrame>> {
        if max_fps.is_some_and(|fps| !FPS.contains(&fps)) {
            let reason = format!("must be between {} and {}", FPS.start(), FPS.end());
            return Err(QueryError::invalid(Field::MaxFps, reason).graphql());
        }
        let filter = Filter {
            site: site_id.map(|id| id.0),
            zone: zone_id.map(|id| id.0),
            min_confidence,
            person: None,
        };
        let selection = ctx.data::<ApiState>()?.select(&filter).map_err(|e| e.graphql())?;
        let feed = Feed {
            head: selection.site().head(),
            selection,
            last: 0,
            interval: max_fps.map(|fps| Duration::from_secs_f64(1.0 / fps)).unwrap_or_default(),
            next: Instant::now(),
        };
        Ok(stream::unfold(feed, async |mut feed| feed.next().await.map(|frame| (PoseFrame(frame), feed))))
    }
}

struct Feed {
    selection: Selection,
    head: watch::Receiver<u64>,
    last: u64,
    interval: Duration,
    next: Instant,
}

impl Feed {
    /// The newest frame that was not given yet, not before its time; `None` when the site's writer is gone.
    async fn next(&mut self) -> Option<FrameView> {
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
                return Some(self.selection.view(frame));
            }
            self.head.changed().await.ok()?;
        }
    }
}
