//! GraphQL over the query layer: the schema, and HTTP, WebSocket and server-sent events as its transports.

mod access;
mod alerts;
mod audit;
mod bounds;
mod calibration;
mod coercion;
mod events;
mod http;
mod hub;
mod later;
mod live;
mod models;
mod past;
mod query;
mod recordings;
mod scalars;
mod setup;
mod sse;
mod subscription;
mod system;
mod turns;
mod types;
mod ws;

use async_graphql::extensions::apollo_persisted_queries::{ApolloPersistedQueries, LruCacheStorage};
use async_graphql::{Context, ErrorExtensions, MergedObject, MergedSubscription, Request, Response, Value};
use axum::Router;
use axum::routing::get;
use invispose_pipeline::Health;

use self::hub::Hub;
use crate::query::{Field, Filter, MAX_PAGE, QueryError, Selection};
use crate::sockets::Sockets;
use crate::{ApiConfig, ApiState};

/// The schema of this API.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// The root of queries.
#[derive(MergedObject, Default)]
pub struct Query(
    query::Now,
    past::Past,
    events::Kept,
    alerts::Raising,
    live::Present,
    models::Models,
    setup::Zones,
    setup::Routers,
    setup::Rules,
    setup::Templates,
    recordings::Recorded,
    calibration::Known,
    audit::Log,
);

/// The root of mutations.
#[derive(MergedObject, Default)]
pub struct Mutation(
    setup::ChangeZones,
    setup::ChangeRouters,
    setup::ChangeRules,
    setup::ChangeTemplates,
    alerts::Settle,
    recordings::Record,
    calibration::Calibrate,
);

/// The root of subscriptions.
#[derive(MergedSubscription, Default)]
pub struct Subscription(subscription::Frames, events::Coming, alerts::Changing, live::Figures);

/// The introspection query that tools send nests 15 deep.
const DEPTH: usize = 16;
/// Fields that one query may ask for, lists counted by their expected length: about 300 whole frames.
const COMPLEXITY: usize = 200_000;

/// Documents that clients may name by their hash alone, the newest used.
const PERSISTED: usize = 1024;

/// The schema for whoever may see the state so.
pub fn schema(state: ApiState) -> Schema {
    builder().data(state).finish()
}

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .limit_depth(DEPTH)
        .limit_complexity(COMPLEXITY)
        .limit_directives(16)
        .extension(ApolloPersistedQueries::new(LruCacheStorage::new(PERSISTED)))
        .extension(coercion::Coercion)
        .extension(access::Checks)
        .extension(turns::Turns::new())
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

/// A page's size as an argument.
fn page(first: i32) -> Result<usize, QueryError> {
    let n = usize::try_from(first).unwrap_or(0);
    let ok = (1..=MAX_PAGE).contains(&n);
    ok.then_some(n)
        .ok_or_else(|| QueryError::invalid(Field::First, format!("must be between 1 and {MAX_PAGE}")))
}

/// What the transports share.
#[derive(Clone)]
struct Transport {
    schema: Schema,
    hub: Hub,
    state: ApiState,
    sockets: Sockets,
}

pub(crate) fn routes(state: &ApiState, sockets: Sockets) -> Router {
    // Without a state of its own: each request brings what its sender may see.
    let schema = builder().finish();
    let transport = Transport {
        hub: Hub::new(schema.clone(), state.traffic().clone()),
        schema,
        state: state.clone(),
        sockets,
    };
    Router::new()
        .route("/graphql", get(http::get).post(http::post))
        .route("/graphql/ws", get(ws::upgrade))
        .with_state(transport)
}

/// For the fuzz targets: reads a request over HTTP, and a message over a WebSocket.
pub(crate) fn decode(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice(bytes) {
        decode_request(request);
    }
    ws::decode(bytes);
}

fn decode_request(mut request: Request) {
    if bounds::check(&mut request).is_ok() {
        let _ = access::permitted(
            &ApiState::new(Vec::new(), Health::default(), ApiConfig::default()),
            &mut request,
        );
    }
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
