//! Subscriptions: the newest frame, as often as the client takes it.

use async_graphql::{Context, ID, Result};
use futures_util::stream::{self, Stream};

use super::select;
use super::types::PoseFrame;
use crate::feed::Feed;
use crate::query::Filter;

/// Subscriptions to frames.
#[derive(Default)]
pub(crate) struct Frames;

/// What happens, as it happens.
#[async_graphql::Subscription]
impl Frames {
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
        let filter = Filter {
            site: site_id.map(|id| id.0),
            zone: zone_id.map(|id| id.0),
            min_confidence,
            person: None,
        };
        let selection = select(ctx, &filter)?;
        let feed = Feed::new(selection, max_fps).map_err(|e| e.graphql())?;
        Ok(stream::unfold(feed, async |mut feed| feed.next().await.map(|frame| (PoseFrame(frame), feed))))
    }
}
