//! What clients ask and what they get, counted as it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::exposition::{Durations, Exposition};
use super::names::Metric;

/// The route of requests that match none.
const NO_ROUTE: &str = "unmatched";

/// Counters of the protocols. One for a server.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    routes: Mutex<BTreeMap<Box<str>, Answers>>,
    messages: Mutex<BTreeMap<(Direction, &'static str), u64>>,
    sockets: Gauge,
    operations: Gauge,
    topics: Gauge,
    calls: Gauge,
    documents_refused: AtomicU64,
    queries_turned_away: AtomicU64,
}

/// What was answered at one route, by method, and by what was wrong.
#[derive(Debug, Default)]
struct Answers {
    methods: BTreeMap<&'static str, Figures>,
    errors: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Figures {
    statuses: BTreeMap<u16, u64>,
    durations: Durations,
}

impl Answers {
    fn count(&mut self, method: &'static str, answer: &Response, seconds: f64) {
        let figures = self.methods.entry(method).or_default();
        *figures.statuses.entry(answer.status().as_u16()).or_default() += 1;
        figures.durations.observe(seconds);
        if let Some(error) = error_type(answer) {
            *self.errors.entry(error).or_default() += 1;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Received,
    Sent,
}

/// A count of what is there. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU64>);

/// Something that is there as long as this value is.
#[derive(Debug)]
pub(crate) struct Present(Gauge);

impl Gauge {
    fn enter(&self) -> Present {
        self.0.fetch_add(1, Relaxed);
        Present(self.clone())
    }

    fn get(&self) -> f64 {
        self.0.load(Relaxed) as f64
    }
}

impl Present {
    /// Whoever calls it keeps this.
    pub(crate) fn keep<T>(&self, value: T) -> T {
        value
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// An extension of answers that carry errors although their status is 200.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CarriesErrors;

impl Traffic {
    /// A WebSocket is open.
    pub(crate) fn socket(&self) -> Present {
        self.sockets.enter()
    }

    /// An operation of GraphQL is being fed.
    pub(crate) fn operation(&self) -> Present {
        self.operations.enter()
    }

    /// A streaming call of gRPC is being answered.
    pub(crate) fn call(&self) -> Present {
        self.calls.enter()
    }

    /// A topic of `/ws/v1/stream` is subscribed to.
    pub(crate) fn topic(&self) -> Present {
        self.topics.enter()
    }

    /// A GraphQL document was too large to be looked at.
    pub(crate) fn refused_document(&self) {
        self.documents_refused.fetch_add(1, Relaxed);
    }

    /// A large GraphQL query had no turn in time.
    pub(crate) fn turned_away(&self) {
        self.queries_turned_away.fetch_add(1, Relaxed);
    }

    /// A message of a WebSocket. Kinds come from this program, never from a client.
    pub(crate) fn message(&self, direction: Direction, kind: &'static str) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        *messages.entry((direction, kind)).or_default() += 1;
    }

    fn answered(&self, route: &str, method: &'static str, answer: &Response, seconds: f64) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.get_mut(route) {
            Some(answers) => answers.count(method, answer, seconds),
            None => routes.entry(route.into()).or_default().count(method, answer, seconds),
        }
    }

    pub(super) fn render(&self, out: &mut Exposition) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut requests = Vec::new();
        let mut durations = Vec::new();
        let mut errors = Vec::new();
        for (route, answers) in routes.iter() {
            for (method, figures) in &answers.methods {
                let statuses = figures.statuses.iter();
                requests.extend(statuses.map(|(status, count)| (route, *method, status.to_string(), *count)));
                durations.push((vec![*method, &**route], figures.durations.clone()));
            }
            let kinds = answers.errors.iter();
            errors.extend(kinds.map(|(error, count)| (vec![&**route, *error], *count as f64)));
        }
        let requests = requests
            .iter()
            .map(|(route, method, status, count)| (vec![*method, &***route, status.as_str()], *count as f64));
        out.write(Metric::ApiRequests, requests.collect());
        out.durations(Metric::ApiRequestDuration, durations);
        out.write(Metric::ApiErrors, errors);
        out.one(Metric::WebSockets, self.sockets.get());
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let direction = |d: Direction| match d {
            Direction::Received => "received",
            Direction::Sent => "sent",
        };
        let samples = messages.iter().map(|((d, kind), count)| (vec![direction(*d), *kind], *count as f64));
        out.write(Metric::WebSocketMessages, samples.collect());
        let subscriptions = [("graphql", &self.operations), ("grpc", &self.calls), ("stream", &self.topics)];
        let samples = subscriptions.into_iter().map(|(protocol, gauge)| (vec![protocol], gauge.get()));
        out.write(Metric::Subscriptions, samples.collect());
        let refused = [("too_large", &self.documents_refused), ("busy", &self.queries_turned_away)];
        let samples = refused.into_iter().map(|(reason, count)| (vec![reason], count.load(Relaxed) as f64));
        out.write(Metric::GraphqlRefused, samples.collect());
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn error_type(answer: &Response) -> Option<&'static str> {
    let status = answer.status();
    if answer.extensions().get::<CarriesErrors>().is_some() {
        return Some("graphql");
    }
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    Some(match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::NOT_ACCEPTABLE => "not_acceptable",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PRECONDITION_FAILED => "precondition_failed",
        StatusCode::PRECONDITION_REQUIRED => "precondition_required",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::MISDIRECTED_REQUEST => "misdirected_request",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable_entity",
        StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
        StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "internal_server_error",
        other if other.is_client_error() => "other_client_error",
        _ => "other_server_error",
    })
}

/// The route of a request, an extension of it: known to whoever counts it once it was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route(Arc<OnceLock<MatchedPath>>);

impl Route {
    /// It was found.
    pub(crate) fn found(&self, path: MatchedPath) {
        let _ = self.0.set(path);
    }
}

/// A request that is being answered.
pub(crate) struct Counted {
    started: Instant,
    method: &'static str,
    route: Route,
}

impl Counted {
    pub(crate) fn begin(request: &mut Request) -> Self {
        let route = Route::default();
        let counted =
            Self { started: Instant::now(), method: method_name(request.method()), route: route.clone() };
        request.extensions_mut().insert(route);
        counted
    }

    /// Counts it once its answer's head is there.
    pub(crate) fn end(self, traffic: &Traffic, answer: &Response) {
        let route = self.route.0.get().map_or(NO_ROUTE, MatchedPath::as_str);
        traffic.answered(route, self.method, answer, self.started.elapsed().as_secs_f64());
    }
}
