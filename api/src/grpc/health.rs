//! `grpc.health.v1.Health`: the pipeline's readiness, of the whole server (`""`) and of each service alike.

use std::time::Duration;

use futures_util::stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Answers, Service, proto};
use crate::{ApiState, system};

/// Between two looks for those who watch.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn is_known(service: &str) -> bool {
    let known = [
        "",
        proto::pose_service_server::SERVICE_NAME,
        proto::history_service_server::SERVICE_NAME,
        proto::event_service_server::SERVICE_NAME,
    ];
    known.contains(&service)
}

fn status(state: &ApiState, known: bool) -> ServingStatus {
    match (known, system::ready(&state.whole())) {
        (false, _) => ServingStatus::ServiceUnknown,
        (true, Ok(())) => ServingStatus::Serving,
        (true, Err(_)) => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let (state, service) = (super::state(&request)?, request.into_inner().service);
        if !is_known(&service) {
            return Err(Status::not_found(format!("there is no service {service:?}")));
        }
        Ok(Response::new(HealthCheckResponse { status: status(&state, true).into() }))
    }

    type WatchStream = Answers<HealthCheckResponse>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (state, known) = (super::state(&request)?, is_known(&request.into_inner().service));
        let looks = stream::unfold((state.whole(), None), move |(state, told)| async move {
            loop {
                let seen = status(&state, known);
                if told != Some(seen) {
                    return Some((Ok(HealthCheckResponse { status: seen.into() }), (state, Some(seen))));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Response::new(self.stream(&state, looks)))
    }
}
