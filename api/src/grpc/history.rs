//! `HistoryService`: the past.

use futures_util::TryStreamExt;
use invispose_pipeline::pose;
use tonic::{Request, Response, Status};

use super::paged::paged;
use super::proto::history_service_server::HistoryService;
use super::{Answers, Service, convert, proto};
use crate::analytics::Stretch;
use crate::query::{Field, Filter, Page, QueryError, Take, TimeRange};
use crate::store::{HeatMap, MINUTE};

/// A year, minutes.
const LONGEST_STRETCH: u32 = 366 * 24 * 60;

#[tonic::async_trait]
impl HistoryService for Service {
    type ListFramesStream = Answers<proto::PoseFrame>;

    async fn list_frames(
        &self,
        request: Request<proto::ListFramesRequest>,
    ) -> Result<Response<Self::ListFramesStream>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let (from, to) = (convert::time(request.from, Field::From)?, convert::time(request.to, Field::To)?);
        let selection = state.select(&convert::filter(request.filter, 0.0))?;
        let range = TimeRange::checked(from, to)?;
        let read = move |after, count| {
            let selection = selection.clone();
            async move {
                let page = Page { after: Some(after), before: None, skip: 0, take: Take::First(count) };
                let slice = selection.history(range, page).await?;
                let last = slice.frames.last().map(|f| f.frame().frame_id);
                Ok::<_, QueryError>((slice.frames, last.filter(|_| slice.more)))
            }
        };
        let stale_after = state.config().stale_after;
        let frames = paged(request.after_frame_id, request.limit, read)
            .map_ok(move |frame| convert::frame(&frame, stale_after))
            .map_err(Status::from);
        Ok(Response::new(self.stream(&state, frames)))
    }

    async fn list_activity(
        &self,
        request: Request<proto::ListActivityRequest>,
    ) -> Result<Response<proto::ListActivityResponse>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let (from, to) = TimeRange::or_last_day(
            convert::time(request.from, Field::From)?,
            convert::time(request.to, Field::To)?,
        )?;
        let minutes = if request.interval_minutes == 0 { 60 } else { request.interval_minutes };
        if minutes > LONGEST_STRETCH {
            let reason = format!("must be at most {LONGEST_STRETCH}");
            return Err(QueryError::invalid(Field::Interval, reason).into());
        }
        let filter = Filter { site: request.site_id, zone: request.zone_id, ..Filter::default() };
        let selection = state.select(&filter)?;
        let found = selection.stretches(from, to, i64::from(minutes) * MINUTE).await?;
        let stretches = found.into_iter().map(stretch).collect();
        Ok(Response::new(proto::ListActivityResponse { stretches }))
    }

    async fn get_heat_map(
        &self,
        request: Request<proto::GetHeatMapRequest>,
    ) -> Result<Response<proto::HeatMap>, Status> {
        let (state, request) = (super::state(&request)?, request.into_inner());
        let (from, to) = TimeRange::or_last_day(
            convert::time(request.from, Field::From)?,
            convert::time(request.to, Field::To)?,
        )?;
        let selection = state.select(&Filter { site: request.site_id, ..Filter::default() })?;
        Ok(Response::new(heat_map(&selection.heat(from, to).await?)))
    }
}

fn stretch(s: Stretch) -> proto::Stretch {
    let share = |(activity, share): (pose::Activity, f64)| proto::ActivityShare {
        activity: convert::activity(activity).into(),
        share,
    };
    let shares = s.activities.map(|shares| pose::Activity::ALL.into_iter().zip(shares).map(share).collect());
    proto::Stretch {
        from: Some(convert::timestamp(s.start)),
        zone_id: s.zone,
        sources: convert::sources(&s.sources),
        frames: s.frames,
        mean_occupancy: s.mean,
        max_occupancy: s.maximum,
        occupied: s.occupied,
        present: s.present,
        motion_level: s.motion,
        activities: shares.unwrap_or_default(),
    }
}

fn heat_map(heat: &HeatMap) -> proto::HeatMap {
    let cell = |c: &crate::store::HeatCell| proto::Cell {
        x_m: f64::from(c.corner_m[0]),
        y_m: f64::from(c.corner_m[1]),
        persons: c.count,
    };
    proto::HeatMap {
        cell_m: f64::from(heat.cell_m),
        sources: convert::sources(&heat.sources),
        cells: heat.cells.iter().map(cell).collect(),
    }
}
