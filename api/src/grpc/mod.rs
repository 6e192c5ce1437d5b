//! gRPC over the query layer: poses, history and events as `proto/invispose/v1` describes them, with
//! [health](https://github.com/grpc/grpc/blob/master/doc/health-checking.md) and
//! [reflection](https://github.com/grpc/grpc/blob/master/doc/server-reflection.md) (v1 and v1alpha), on the port of all the others (HTTP/2,
//! in clear by prior knowledge).

mod convert;
mod events;
mod health;
mod history;
mod paged;
mod poses;

use std::pin::Pin;

use axum::Router;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::{Code, Request, Status};
use tonic_reflection::server::Builder;

use self::proto::event_service_server::EventServiceServer;
use self::proto::history_service_server::HistoryServiceServer;
use self::proto::pose_service_server::PoseServiceServer;
use crate::ApiState;
use crate::query::QueryError;
use crate::sockets::Sockets;

/// What is made of `proto/invispose/v1`.
#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::expect_used)]
pub mod proto {
    tonic::include_proto!("invispose.v1");
}

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What each service needs; the state comes with each request, as its sender may see it.
#[derive(Clone, Debug)]
struct Service {
    closing: watch::Receiver<bool>,
}

/// A streamed answer.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    /// Until there are no more, the caller's rights end or the server stops.
    fn stream<T: Send + 'static>(
        &self,
        state: &ApiState,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Answers<T> {
        let mut closing = self.closing.clone();
        let end = async move {
            let _ = closing.wait_for(|&closing| closing).await;
        };
        let rights = Box::pin(state.access().ended(state.who()));
        let open = Some((Box::pin(answers), rights));
        let answers = stream::unfold(open, async |open| {
            let (mut answers, mut rights) = open?;
            tokio::select! {
                biased;
                why = &mut rights => Some((Err(Status::unauthenticated(why)), None)),
                answer = answers.next() => Some((answer?, Some((answers, rights)))),
            }
        });
        let present = state.traffic().call();
        Box::pin(answers.take_until(Box::pin(end)).map(move |answer| present.keep(answer)))
    }
}

/// The state as the caller may see it.
fn state<T>(request: &Request<T>) -> Result<ApiState, Status> {
    let unasked = || Status::internal("this method is in no table of operations");
    request.extensions().get().cloned().ok_or_else(unasked)
}

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        let code = match error {
            QueryError::Unknown { .. } | QueryError::NoData { .. } => Code::NotFound,
            QueryError::Invalid { .. } => Code::InvalidArgument,
            QueryError::Away(_) => Code::Unavailable,
        };
        match error.field() {
            Some(field) => Self::new(code, format!("{}: {error}", field.grpc())),
            None => Self::new(code, error.to_string()),
        }
    }
}

/// A route for each service.
pub(crate) fn routes(sockets: &Sockets) -> Router {
    let service = Service { closing: sockets.closing() };
    let mut router = Router::new();
    macro_rules! add {
        ($module:ident, $server:expr) => {
            let path = format!("/{}/{{*method}}", $module::SERVICE_NAME);
            router = router.route_service(&path, $server);
        };
    }
    use proto::{event_service_server, history_service_server, pose_service_server};
    use tonic_health::pb::health_server;
    add!(pose_service_server, PoseServiceServer::new(service.clone()));
    add!(history_service_server, HistoryServiceServer::new(service.clone()));
    add!(event_service_server, EventServiceServer::new(service.clone()));
    add!(health_server, health_server::HealthServer::new(service));
    let reflection = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => router
            .route_service("/grpc.reflection.v1.ServerReflection/{*method}", v1)
            .route_service("/grpc.reflection.v1alpha.ServerReflection/{*method}", v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("gRPC reflection: {error}");
            router
        }
    }
}
