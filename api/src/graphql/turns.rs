//! Whose turn it is: large queries wait for one another, and what is small waits for nobody.
//!
//! A query's weight is what validation says that it may come to, in fields. While a large one is executed it steps aside after every
//! hundred fields or so, so that whatever else a thread has to do is done in between.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextResolve, NextValidation,
    ResolveInfo,
};
use async_graphql::parser::types::{ExecutableDocument, OperationType};
use async_graphql::{Response, ServerError, ServerResult, ValidationResult, Value, Variables};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::COMPLEXITY;
use super::later::later;
use crate::ApiState;
use crate::problem::Problem;

/// Fields of a query that waits for nobody.
const SMALL: usize = 2_000;
/// Fields of one that does not wait for those that are larger still.
const MIDDLING: usize = 20_000;
/// Fields that one place of a lane stands for.
const PLACE: usize = 1_000;
/// The longest that a query waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// There was no turn in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Busy {
    fn error(self) -> ServerError {
        later(self.detail(), "BUSY", PATIENCE.as_secs(), self)
    }

    fn detail(self) -> String {
        format!("other large queries took longer than {} s; smaller ones do not wait", PATIENCE.as_secs())
    }
}

impl IntoResponse for Busy {
    fn into_response(self) -> axum::response::Response {
        let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, self.detail()).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(PATIENCE.as_secs()));
        response
    }
}

/// Queries of a size, a few at a time.
struct Lane {
    most: usize,
    room: Semaphore,
}

impl Lane {
    /// For queries of at most so many fields, so many of the largest at a time.
    fn new(most: usize, at_once: usize) -> Self {
        Self { most, room: Semaphore::new(at_once * most.div_ceil(PLACE)) }
    }
}

/// Who is executed. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct Turns {
    lanes: Arc<[Lane; 2]>,
    patience: Duration,
}

impl Turns {
    /// For this machine: large queries get half of its processors, and at least one.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let at_once = (processors / 2).max(1);
        let lanes = [Lane::new(MIDDLING, at_once), Lane::new(COMPLEXITY, at_once)];
        Self { lanes: Arc::new(lanes), patience: PATIENCE }
    }

    /// A place for a query of so many fields. `None`: none was free in time. Whoever is `patient` waits for as long as it takes.
    async fn enter(&self, fields: usize, patient: bool) -> Result<Option<SemaphorePermit<'_>>, Busy> {
        if fields <= SMALL {
            return Ok(None);
        }
        let [middling, large] = &*self.lanes;
        let lane = if fields <= middling.most { middling } else { large };
        let places = u32::try_from(fields.min(lane.most).div_ceil(PLACE)).unwrap_or(u32::MAX);
        let turn = lane.room.acquire_many(places);
        // A semaphore that nobody closes.
        let taken = match patient {
            true => turn.await.ok(),
            false => tokio::time::timeout(self.patience, turn).await.map_err(|_| Busy)?.ok(),
        };
        Ok(taken)
    }
}

impl ExtensionFactory for Turns {
    fn create(&self) -> Arc<dyn Extension> {
        let turns = self.clone();
        Arc::new(Turn { turns, fields: AtomicUsize::new(0), stream: AtomicBool::new(false) })
    }
}

/// One document's.
struct Turn {
    turns: Turns,
    fields: AtomicUsize,
    /// Of a subscription, which sends nothing rather than an error.
    stream: AtomicBool,
}

#[async_trait]
impl Extension for Turn {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(ctx, query, variables).await?;
        let stream = document.operations.iter().any(|(_, o)| o.node.ty == OperationType::Subscription);
        self.stream.store(stream, Relaxed);
        Ok(document)
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        self.fields.store(result.complexity, Relaxed);
        Ok(result)
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        match self.turns.enter(self.fields.load(Relaxed), self.stream.load(Relaxed)).await {
            Ok(_place) => next.run(ctx, operation_name).await,
            Err(busy) => {
                if let Ok(state) = ctx.data::<ApiState>() {
                    state.traffic().turned_away();
                }
                Response::from_errors(vec![busy.error()])
            }
        }
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        tokio::task::consume_budget().await;
        next.run(ctx, info).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn large_queries_wait_and_others_do_not() {
        let lanes = [Lane::new(MIDDLING, 1), Lane::new(COMPLEXITY, 1)];
        let turns = Turns { lanes: Arc::new(lanes), patience: Duration::from_millis(5) };
        let is_busy = async |fields| turns.enter(fields, false).await.err() == Some(Busy);
        let largest = turns.enter(COMPLEXITY, false).await.unwrap();
        assert!(largest.is_some());
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.enter(COMPLEXITY, true).await.unwrap().is_some() }
        });
        for _ in 0..100 {
            assert!(turns.enter(SMALL, false).await.unwrap().is_none());
        }
        let middling = turns.enter(MIDDLING, false).await.unwrap();
        assert!(middling.is_some(), "these have a lane of their own");
        assert!(is_busy(SMALL + 1).await && is_busy(COMPLEXITY / 2).await);
        assert!(!waiting.is_finished(), "a subscription waits for as long as it takes");
        drop((largest, middling));
        assert!(waiting.await.unwrap());
        // Several that are not the largest share the lane.
        let halves = (turns.enter(COMPLEXITY / 2, false).await, turns.enter(COMPLEXITY / 2, false).await);
        assert!(halves.0.is_ok() && halves.1.is_ok());
    }
}
