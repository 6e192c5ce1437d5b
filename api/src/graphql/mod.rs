//! GraphQL over the query layer: schema, HTTP and WebSocket transports.

mod events;
mod http;
mod past;
mod query;
mod scalars;
mod subscription;
mod system;
mod types;
mod ws;

use std::sync::Arc;

use async_graphql::{
    Context, EmptyMutation, ErrorExtensions, MergedObject, MergedSubscription, Response, Value,
};
use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use tokio::sync::{Semaphore, watch};

use crate::ApiState;
use crate::query::{Filter, QueryError, Selection};

/// The schema of this API.
pub type Schema = async_graphql::Schema<Query, EmptyMutation, Subscription>;

/// The root of queries.
#[derive(MergedObject, Default)]
pub struct Query(query::Now, past::Past, events::Kept);

/// The root of subscriptions.
#[derive(MergedSubscription, Default)]
pub struct Subscription(subscription::Frames, events::Coming);

/// The introspection query that tools send nests 15 deep.
const DEPTH: usize = 16;
/// Fields that one query may ask for, lists counted by their expected length: about 300 whole frames.
const COMPLEXITY: usize = 200_000;

/// The schema over these sites.
pub fn schema(state: ApiState) -> Schema {
    builder().data(state).finish()
}

fn builder() -> async_graphql::SchemaBuilder<Query, EmptyMutation, Subscription> {
    Schema::build(Query::default(), EmptyMutation, Subscription::default())
        .limit_depth(DEPTH)
        .limit_complexity(COMPLEXITY)
        .limit_directives(16)
}

/// The schema in the schema definition language, as checked in at `api/schema.graphql`.
pub fn sdl() -> String {
    let text = builder().finish().sdl();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

/// All errors were raised before execution: they have no path, and nothing was answered.
fn unexecuted(answer: &Response) -> bool {
    answer.data == Value::Null && !answer.errors.is_empty() && answer.errors.iter().all(|e| e.path.is_empty())
}

/// The site and the persons that a field's arguments ask for.
fn select(ctx: &Context<'_>, filter: &Filter) -> async_graphql::Result<Selection> {
    ctx.data::<ApiState>()?.select(filter).map_err(|e| e.graphql())
}

/// What the transports share.
#[derive(Clone)]
struct Transport {
    schema: Schema,
    state: ApiState,
    closing: watch::Receiver<bool>,
    sockets: Arc<Semaphore>,
}

impl FromRef<Transport> for Schema {
    fn from_ref(transport: &Transport) -> Self {
        transport.schema.clone()
    }
}

pub(crate) fn routes(state: &ApiState, closing: watch::Receiver<bool>) -> Router<ApiState> {
    let sockets = Arc::new(Semaphore::new(state.config().sockets));
    let transport = Transport { schema: schema(state.clone()), state: state.clone(), closing, sockets };
    Router::new()
        .route("/graphql", get(http::get).post(http::post))
        .route("/graphql/ws", get(ws::upgrade))
        .with_state(transport)
}

impl QueryError {
    /// With the argument's name and a code for programs.
    fn graphql(&self) -> async_graphql::Error {
        let message = match self.field() {
            Some(field) => format!("{}: {self}", field.graphql()),
            None => self.to_string(),
        };
        let code = match self {
            Self::Unknown { .. } => "NOT_FOUND",
            Self::NoData { .. } => "NO_DATA",
            Self::Away(_) => "UNAVAILABLE",
            Self::Invalid { .. } => "BAD_ARGUMENT",
        };
        async_graphql::Error::new(message).extend_with(|_, e| {
            e.set("code", code);
            if let Some(field) = self.field() {
                e.set("argument", field.graphql());
            }
        })
    }
}
