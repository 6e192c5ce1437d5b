//! The one way in over HTTP: credentials, rate, scope; and what handlers see of the state.

use std::net::{IpAddr, Ipv6Addr};

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use super::Access;
use super::credentials::{UrlToken, credentials};
use super::operations::{self, Needs, Operation, What};
use super::principal::{Denied, Principal};
use super::token::Reason;
use super::visitor::Visitor;
use crate::ApiState;
use crate::listen::Peer;
use crate::metrics::Route;
use crate::problem::Problem;

/// How the routes of gRPC services end.
const METHODS: &str = "/{*method}";

/// Lets requests in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(super) state: ApiState,
    pub(super) required: bool,
}

impl Gate {
    /// `loopback`: nobody but programs of this machine reaches the server.
    pub(crate) fn new(state: ApiState, loopback: bool) -> Self {
        let config = state.access().config();
        let required = config.required || !(loopback || config.open_elsewhere);
        Self { state, required }
    }

    pub(super) fn access(&self) -> &Access {
        self.state.access()
    }

    /// Where a request comes from, behind the proxies that are believed.
    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let trusted = &self.access().config().trusted_proxies;
        let mut address = parts.extensions.get::<Peer>().and_then(|peer| peer.address)?.to_canonical();
        let said = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
        let said: Vec<&str> = said.flat_map(|v| v.split(',')).map(str::trim).collect();
        for hop in said.into_iter().rev() {
            if !trusted.iter().any(|net| net.contains(&address)) {
                break;
            }
            let Some(before) = host(hop) else { break };
            address = before.to_canonical();
        }
        Some(coarse(address))
    }

    pub(super) async fn who(
        &self,
        token: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Option<Principal>, Reason> {
        match token {
            Some(token) => self.access().authenticate(token).await.map(Some),
            None if self.required => Ok(None),
            None => Ok(Some(Principal::anyone(address))),
        }
    }

    /// Somebody who is not let in: with how often they tried, and in the audit log.
    async fn unknown(
        &self,
        reason: Option<&Reason>,
        address: Option<IpAddr>,
        operation: &Operation,
        object: &str,
    ) -> Response {
        if let Some(Reason::Away(trouble)) = reason {
            tracing::warn!("credentials cannot be checked: {trouble}");
            let detail = "credentials cannot be checked at present";
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
        }
        let nobody = Principal::nobody(address);
        let why = if reason.is_some() { "credentials are not valid" } else { "no credentials" };
        self.access().refused(&nobody, address, operation, object, why);
        if let Some(reason) = reason {
            self.access().complaints.tell(address, reason);
        }
        match self.access().charge(&nobody, 1).await {
            Some(Err(exceeded)) => exceeded.into_response(),
            allowance => {
                let mut response = unauthorized(reason.is_some());
                if let Some(Ok(allowance)) = allowance {
                    allowance.show(&mut response);
                }
                response
            }
        }
    }
}

/// 401 (RFC 6750, 3), without a word about what was wrong.
pub(super) fn unauthorized(given: bool) -> Response {
    let (detail, challenge) = if given {
        ("the credentials are not valid", "Bearer realm=\"invispose\", error=\"invalid_token\"")
    } else {
        ("credentials are required: a token or an API key", "Bearer realm=\"invispose\"")
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

impl IntoResponse for Denied {
    /// 403 (RFC 6750, 3.1).
    fn into_response(self) -> Response {
        let mut response = Problem::new(StatusCode::FORBIDDEN, self.to_string()).into_response();
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", self.scopes());
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// An entry of `X-Forwarded-For`, which may have a port.
fn host(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None if text.matches(':').count() == 1 => text.split(':').next().unwrap_or_default(),
        None => text,
    };
    bare.parse().ok()
}

/// Whoever has an IPv6 address has a whole network of them.
fn coarse(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(ip) if !ip.is_loopback() => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        address => address,
    }
}

/// Answers with events come to those who can set no headers.
fn streams(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|v| v.to_str().is_ok_and(|v| v.contains("text/event-stream")))
}

/// The operation that a request asks for; `None` where nothing answers it but an error.
async fn operation(parts: &mut Parts) -> Option<&'static Operation> {
    let path = parts.extensions.get::<MatchedPath>()?.clone();
    if let Some(route) = parts.extensions.get::<Route>() {
        route.found(path.clone());
    }
    let route = path.as_str();
    if route.ends_with(METHODS) {
        return Some(operations::of_rpc(parts.uri.path()));
    }
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok();
    let kind = parameters.iter().flatten().find(|(name, _)| *name == "kind").map(|(_, value)| value);
    operations::of_request(parts.method.as_str(), route, kind.unwrap_or_default())
}

/// Refusals in the words of gRPC, whose clients look at nothing else.
fn to_grpc(response: Response) -> Response {
    let code = match response.status() {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => return response,
    };
    let words = response.status().canonical_reason().unwrap_or_default();
    let mut said = Status::new(code, words).into_http::<Body>();
    for (name, value) in response.headers() {
        if name == header::RETRY_AFTER || name.as_str().starts_with("x-ratelimit-") {
            said.headers_mut().insert(name, value.clone());
        }
    }
    said
}

/// Asks the table about each request, and gives handlers the state as the caller may see it.
pub(crate) async fn gate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(operation) = operation(&mut parts).await else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let rpc = matches!(operation.what, What::Rpc(_));
    let response = answer(gate, operation, parts, body, next).await;
    if rpc { to_grpc(response) } else { response }
}

async fn answer(
    gate: Gate,
    operation: &'static Operation,
    mut parts: Parts,
    body: Body,
    next: Next,
) -> Response {
    let uri = parts.uri.clone();
    let object = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let address = gate.address(&parts);
    let in_url = operation.needs == Needs::Own || streams(&parts.headers);
    let token = credentials(&parts, in_url);
    match operation.needs {
        Needs::Nothing => {
            let who = if gate.required { Principal::nobody(address) } else { Principal::anyone(address) };
            parts.extensions.insert(gate.state.seen_by(who));
            return next.run(Request::from_parts(parts, body)).await;
        }
        Needs::Own => {
            let in_url = parts.extensions.get::<UrlToken>().is_some();
            let visitor = Visitor { gate, address, operation, token, in_url };
            parts.extensions.insert(visitor);
            return next.run(Request::from_parts(parts, body)).await;
        }
        Needs::Somebody | Needs::Any(_) | Needs::All(_) => {}
    }
    let who = match token {
        Ok(token) => gate.who(token.as_deref(), address).await,
        Err(reason) => Err(reason),
    };
    let who = match who {
        Ok(Some(who)) => who,
        Ok(None) => return gate.unknown(None, address, operation, object).await,
        Err(reason) => return gate.unknown(Some(&reason), address, operation, object).await,
    };
    let allowance = match gate.access().charge(&who, 1).await {
        Some(Err(exceeded)) => return exceeded.into_response(),
        allowance => allowance.and_then(Result::ok),
    };
    let response = match who.check(operation) {
        Err(denied) => denied.into_response(),
        Ok(()) => {
            parts.extensions.insert(gate.state.seen_by(who.clone()).from(address));
            next.run(Request::from_parts(parts, body)).await
        }
    };
    let mut response = response;
    if response.status() == StatusCode::FORBIDDEN {
        gate.access().refused(&who, address, operation, object, "not enough permissions");
    } else if operation.changes() && operation.needs != Needs::Somebody && response.status().is_success() {
        gate.access().done(&who, address, operation, object).await;
    }
    if let Some(allowance) = allowance {
        allowance.show(&mut response);
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for ApiState {
    type Rejection = Problem;

    /// The state as the caller may see it; there is none where nobody was asked who they are.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unasked)
    }
}

pub(super) fn unasked() -> Problem {
    tracing::error!("a route is in no table of operations");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; the log says what")
}
