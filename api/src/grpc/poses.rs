//! `PoseService`: the present.

use futures_util::stream;
use tonic::{Request, Response, Status};

use super::proto::pose_service_server::PoseService;
use super::{Answers, Service, convert, proto};
use crate::feed::Feed;
use crate::query::DEFAULT_MIN_CONFIDENCE;

#[tonic::async_trait]
impl PoseService for Service {
    async fn get_current_frame(
        &self,
        request: Request<proto::GetCurrentFrameRequest>,
    ) -> Result<Response<proto::PoseFrame>, Status> {
        let state = super::state(&request)?;
        let filter = convert::filter(request.into_inner().filter, DEFAULT_MIN_CONFIDENCE);
        let frame = state.select(&filter)?.current()?;
        Ok(Response::new(convert::frame(&frame, state.config().stale_after)))
    }

    type WatchFramesStream = Answers<proto::PoseFrame>;

    async fn watch_frames(
        &self,
        request: Request<proto::WatchFramesRequest>,
    ) -> Result<Response<Self::WatchFramesStream>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let filter = convert::filter(request.filter, DEFAULT_MIN_CONFIDENCE);
        let stale_after = state.config().stale_after;
        let feed = Feed::new(state.select(&filter)?, request.max_fps)?.after(request.after_frame_id);
        let frames = stream::unfold(feed, move |mut feed| async move {
            let frame = feed.next().await?;
            Some((Ok(convert::frame(&frame, stale_after)), feed))
        });
        Ok(Response::new(self.stream(&state, frames)))
    }
}
