//! `/oauth/token`: an API key is an OAuth2 client (RFC 6749, 4.4), and gets tokens for what it may do itself.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::PREFIX;
use super::login;
use super::principal::{Principal, Tier};
use super::refresh::{self, Kept, nanoseconds};
use super::revoke;
use super::scope::{Scope, names};
use super::token::{self, Grant, SigningKey, hex, random};
use super::visitor::Visitor;
use crate::store::{Store, StoreError};
use crate::{ApiState, Time};

/// What a client asks for, as a form.
#[derive(Deserialize)]
struct TokenForm {
    /// `client_credentials` or `refresh_token`.
    grant_type: Option<String>,
    /// The API key's id; it may stand in `Authorization: Basic` instead.
    client_id: Option<String>,
    /// The API key.
    client_secret: Option<String>,
    /// Fewer scopes than the key has, with spaces between them.
    scope: Option<String>,
    /// The last one that was given.
    refresh_token: Option<String>,
}

/// A token.
#[derive(Serialize)]
struct TokenAnswer {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds for which it is good.
    expires_in: u64,
    /// For the next one.
    refresh_token: String,
    /// What it grants.
    scope: String,
}

/// An error as RFC 6749, 5.2 names it.
pub(super) struct Wrong(pub &'static str, String);

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self("temporarily_unavailable", error.to_string())
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let status = match self.0 {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "error": self.0, "error_description": self.1 });
        let mut response = unstored((status, axum::Json(body)).into_response());
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"invispose\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/login", get(login::offer).post(login::arrive))
}

pub(super) fn form<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Wrong> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let detail = format!("requests are application/x-www-form-urlencoded, not {kind:?}");
        return Err(Wrong("invalid_request", detail));
    }
    serde_urlencoded::from_bytes(body).map_err(|e| Wrong("invalid_request", e.to_string()))
}

/// Id and secret of `Authorization: Basic` (RFC 6749, 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    let plain = |text: &str| {
        form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
    };
    Some((plain(id), plain(secret)))
}

/// The client, by its id and its key.
pub(super) async fn client(
    state: &ApiState,
    headers: &HeaderMap,
    id: Option<String>,
    secret: Option<String>,
) -> Result<(String, Principal), Wrong> {
    let unknown = || Wrong("invalid_client", "the client is not known".into());
    let (id, secret) = match (basic(headers), id, secret) {
        (Some(both), None, None) => both,
        (None, Some(id), Some(secret)) => (id, secret),
        (None, None, Some(secret)) => {
            let id = secret.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()).unwrap_or_default();
            (id.to_owned(), secret)
        }
        _ => return Err(unknown()),
    };
    if secret.strip_prefix(PREFIX).is_none_or(|rest| rest.split('_').next() != Some(id.as_str())) {
        return Err(unknown());
    }
    match state.access().authenticate(&secret).await {
        Ok(principal) => Ok((id, principal)),
        Err(token::Reason::Away(trouble)) => Err(Wrong("temporarily_unavailable", trouble)),
        Err(_) => Err(unknown()),
    }
}

/// Gives a token.
async fn token(visitor: Visitor, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(exceeded) = visitor.knock().await {
        return exceeded.into_response();
    }
    let state = visitor.state();
    let (access, operation) = (state.access(), visitor.operation());
    match given(state, &headers, &body).await {
        Ok((who, answer)) => {
            access.done(&who, visitor.address(), operation, &answer.scope).await;
            unstored(axum::Json(answer).into_response())
        }
        Err(wrong) => {
            let nobody = Principal::nobody(visitor.address());
            access.refused(&nobody, visitor.address(), operation, "", wrong.0);
            wrong.into_response()
        }
    }
}

async fn given(
    state: &ApiState,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Principal, TokenAnswer), Wrong> {
    let none = || Wrong("unsupported_grant_type", "this server gives no tokens".into());
    let store = state.store().ok_or_else(none)?;
    let key = state.access().config().signing_key.as_ref().ok_or_else(none)?;
    let form: TokenForm = form(headers, body)?;
    let (id, who) = client(state, headers, form.client_id, form.client_secret).await?;
    let refresh_ttl = state.access().config().refresh_ttl;
    let (had, family, expires_ns) = match form.grant_type.as_deref() {
        Some("client_credentials") => {
            let until = Time::now().as_ns().saturating_add(nanoseconds(refresh_ttl));
            (who.scopes().clone(), hex(&random::<8>()), until)
        }
        Some("refresh_token") => {
            let token = form.refresh_token.ok_or_else(|| missing("refresh_token"))?;
            let taken = refresh::take(state, store, &id, &token).await?;
            let (kept, old) =
                taken.ok_or_else(|| Wrong("invalid_grant", "the refresh token is not valid".into()))?;
            // What the key has lost meanwhile, its tokens lose too.
            (kept.scopes.intersection(who.scopes()).copied().collect(), old.family, old.expires_ns)
        }
        Some(other) => {
            let detail = format!("{other:?} is neither client_credentials nor refresh_token");
            return Err(Wrong("unsupported_grant_type", detail));
        }
        None => return Err(missing("grant_type")),
    };
    let scopes = narrowed(had, form.scope.as_deref())?;
    let answer = issue(state, store, key, &who, id, scopes, family, expires_ns).await?;
    Ok((who, answer))
}

pub(super) fn missing(name: &str) -> Wrong {
    Wrong("invalid_request", format!("{name} is missing"))
}

fn narrowed(had: BTreeSet<Scope>, wanted: Option<&str>) -> Result<BTreeSet<Scope>, Wrong> {
    let Some(wanted) = wanted.filter(|w| !w.trim().is_empty()) else { return Ok(had) };
    let wrong = |detail| Wrong("invalid_scope", detail);
    let parse = |word: &str| word.parse::<Scope>().map_err(|e| wrong(e.to_string()));
    let wanted = wanted.split_whitespace().map(parse).collect::<Result<BTreeSet<_>, _>>()?;
    if !had.contains(&Scope::AdminAll) && !wanted.is_subset(&had) {
        return Err(wrong(format!("the client has {}", names(&had, " "))));
    }
    Ok(wanted)
}

#[allow(clippy::too_many_arguments)]
async fn issue(
    state: &ApiState,
    store: &Store,
    key: &SigningKey,
    who: &Principal,
    client: String,
    scopes: BTreeSet<Scope>,
    family: String,
    expires_ns: i64,
) -> Result<TokenAnswer, Wrong> {
    let left = who.expires().map(|at| at.as_ns().saturating_sub(Time::now().as_ns()) / 1_000_000_000);
    let left = left.map(|s| Duration::from_secs(u64::try_from(s).unwrap_or(0)));
    let ttl = state.access().config().token_ttl.min(left.unwrap_or(Duration::MAX));
    let grant = Grant {
        subject: who.name().to_owned(),
        scopes: scopes.clone(),
        sites: who.sites().cloned(),
        tier: if who.tier() == Tier::Premium { Tier::Premium } else { Tier::Authenticated },
        client: Some(client.clone()),
        family: Some(family.clone()),
    };
    let access_token = key.mint(&grant, ttl).map_err(|e| Wrong("server_error", e.to_string()))?;
    let kept = Kept { client, subject: who.name().to_owned(), scopes: scopes.clone() };
    let refresh_token = refresh::give(store, &kept, family, expires_ns).await?;
    let scope = names(&scopes, " ");
    Ok(TokenAnswer { access_token, token_type: "Bearer", expires_in: ttl.as_secs(), refresh_token, scope })
}
