//! `/oauth/login`: people who open the dashboard sign in at the identity provider, by its authorization code and PKCE (RFC 6749, 4.1;
//! RFC 7636).
//!
//! The page goes to the provider and comes back with a code, which the server changes for a token: the page talks to nobody else, and
//! its Content-Security-Policy needs no exception. What the page gets is the provider's access token, and only one that this server takes.

use std::time::Instant;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::oauth::{form, unstored};
use super::principal::Principal;
use super::provider::{APART, Discovery, OLD, Provider, check_address, in_time};
use super::scope::names;
use super::visitor::Visitor;
use crate::ApiState;
use crate::problem::Problem;

/// Lengths of a code verifier (RFC 7636, 4.1).
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// Where a provider signs people in, as it last said.
#[derive(Default)]
pub(super) struct Endpoints(Mutex<Known>);

#[derive(Default)]
struct Known {
    found: Option<(Instant, Places)>,
    tried: Option<Instant>,
    trouble: String,
}

/// Addresses of a provider's endpoints.
#[derive(Clone)]
struct Places {
    authorization: String,
    token: String,
}

impl TryFrom<Discovery> for Places {
    type Error = String;

    fn try_from(said: Discovery) -> Result<Self, String> {
        let (Some(authorization), Some(token)) = (said.authorization_endpoint, said.token_endpoint) else {
            return Err("its discovery document names no authorization or token endpoint".into());
        };
        // Without it whoever slips somebody a code of their own signs them in as themselves.
        if !said.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err("its discovery document does not say that it takes PKCE with S256".into());
        }
        for address in [&authorization, &token] {
            check_address(address)?;
        }
        Ok(Self { authorization, token })
    }
}

/// What the page needs to know before anybody has signed in; nothing of it is secret.
#[derive(Serialize)]
struct Answer {
    /// Null where nobody can sign in but with a token.
    provider: Option<Offer>,
}

#[derive(Serialize)]
struct Offer {
    issuer: String,
    authorization_endpoint: String,
    client_id: String,
    scope: String,
    /// As which tokens are to name this server: some providers have to be told.
    audience: String,
}

/// What the page brings back, as a form.
#[derive(Deserialize)]
struct Return {
    code: String,
    code_verifier: String,
    /// The page's own address, as the provider was told.
    redirect_uri: String,
}

/// The provider's answer to a code (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
}

/// Somebody is signed in.
#[derive(Serialize)]
struct SignedIn {
    access_token: String,
    /// What it grants here.
    scope: String,
}

/// Why nobody was signed in.
enum Failure {
    /// The page's fault, or that of who sent it here.
    Refused(String),
    /// The provider's, or this server's configuration.
    Provider(String),
}

impl Provider {
    /// Asked for anew each hour, after a failure not before ten seconds.
    async fn places(&self) -> Result<Places, String> {
        let mut known = self.login.0.lock().await;
        if let Some((_, places)) = known.found.as_ref().filter(|(at, _)| at.elapsed() < OLD) {
            return Ok(places.clone());
        }
        if known.tried.is_some_and(|at| at.elapsed() < APART) {
            return Err(known.trouble.clone());
        }
        known.tried = Some(Instant::now());
        match in_time(self.discover()).await.and_then(Places::try_from) {
            Ok(places) => {
                known.found = Some((Instant::now(), places.clone()));
                Ok(places)
            }
            Err(trouble) => {
                tracing::warn!("nobody can sign in at the identity provider: {trouble}");
                known.trouble.clone_from(&trouble);
                Err(trouble)
            }
        }
    }

    /// Changes a code for a token.
    async fn redeem(&self, client_id: &str, brought: &Return) -> Result<Granted, Failure> {
        let places = self.places().await.map_err(Failure::Provider)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", client_id)
            .append_pair("code", &brought.code)
            .append_pair("code_verifier", &brought.code_verifier)
            .append_pair("redirect_uri", &brought.redirect_uri)
            .finish();
        let request =
            Request::post(&places.token).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (status, body) = in_time(self.send(request, form.into())).await.map_err(Failure::Provider)?;
        if status.is_client_error() {
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let error = said["error"].as_str().unwrap_or_default();
            return Err(Failure::Refused(format!("{status} {error}")));
        }
        let granted = serde_json::from_slice::<Granted>(&body);
        match granted.map_err(|e| Failure::Provider(format!("{}: {status}, {e}", places.token)))? {
            granted if granted.token_type.eq_ignore_ascii_case("bearer") => Ok(granted),
            granted => Err(Failure::Provider(format!("its token is a {:?}", granted.token_type))),
        }
    }
}

/// How people can sign in.
pub(super) async fn offer(state: ApiState) -> Response {
    let answer = |provider| unstored(axum::Json(Answer { provider }).into_response());
    let access = state.access();
    let config = access.config().provider.as_ref();
    let (Some(provider), Some((config, login))) =
        (&access.provider, config.and_then(|c| Some((c, c.login.as_ref()?))))
    else {
        return answer(None);
    };
    match provider.places().await {
        Ok(places) => answer(Some(Offer {
            issuer: config.issuer.clone(),
            authorization_endpoint: places.authorization,
            client_id: login.client_id.clone(),
            scope: login.scope.clone(),
            audience: config.audience.clone(),
        })),
        Err(_) => away().into_response(),
    }
}

fn away() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "nobody can sign in at the identity provider at present; the log says why",
    )
}

/// Changes the code that somebody brings from the provider for its token.
pub(super) async fn arrive(visitor: Visitor, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(exceeded) = visitor.knock().await {
        return exceeded.into_response();
    }
    let brought: Return = match form(&headers, &body) {
        Ok(brought) => brought,
        Err(wrong) => return wrong.into_response(),
    };
    let (access, operation) = (visitor.state().access(), visitor.operation());
    match signed_in(visitor.state(), &brought).await {
        Ok((who, token)) => {
            access.done(&who, visitor.address(), operation, &token.scope).await;
            unstored(axum::Json(token).into_response())
        }
        Err(failure) => {
            let nobody = Principal::nobody(visitor.address());
            access.refused(&nobody, visitor.address(), operation, "", "not signed in");
            let problem = match failure {
                Failure::Refused(why) => {
                    tracing::info!("the identity provider does not take a code: {why}");
                    Problem::new(StatusCode::BAD_REQUEST, "the identity provider does not take this code")
                }
                Failure::Provider(trouble) => {
                    tracing::warn!("nobody is signed in by the identity provider: {trouble}");
                    away()
                }
            };
            unstored(problem.into_response())
        }
    }
}

async fn signed_in(state: &ApiState, brought: &Return) -> Result<(Principal, SignedIn), Failure> {
    let access = state.access();
    let login = access.config().provider.as_ref().and_then(|config| config.login.as_ref());
    let (Some(provider), Some(login)) = (&access.provider, login) else {
        return Err(Failure::Refused("nobody can sign in that way here".into()));
    };
    if !VERIFIER.contains(&brought.code_verifier.len()) {
        return Err(Failure::Refused("code_verifier has another length".into()));
    }
    let granted = provider.redeem(&login.client_id, brought).await?;
    let who = access.authenticate(&granted.access_token).await;
    let who = who.map_err(|reason| Failure::Provider(format!("its token is not taken here: {reason}")))?;
    let scope = names(who.scopes(), " ");
    Ok((who, SignedIn { access_token: granted.access_token, scope }))
}
