//! `/oauth/revoke`.

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::gate::unauthorized;
use super::oauth::{self, Wrong, unstored};
use super::principal::Principal;
use super::refresh::{self, nanoseconds};
use super::scope::Scope;
use super::token;
use super::visitor::Visitor;
use crate::store::StoreError;
use crate::{ApiState, Time};

/// What is to be revoked, as a form.
#[derive(Deserialize)]
struct Form {
    /// A token or a refresh token.
    token: Option<String>,
    /// The API key's id.
    client_id: Option<String>,
    /// The API key.
    client_secret: Option<String>,
}

/// Takes a token back (RFC 7009): the client that got it may, whoever bears it, and administrators.
pub(super) async fn revoke(visitor: Visitor, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(exceeded) = visitor.knock().await {
        return exceeded.into_response();
    }
    let state = visitor.state();
    let form: Form = match oauth::form(&headers, &body) {
        Ok(form) => form,
        Err(wrong) => return wrong.into_response(),
    };
    let Some(token) = form.token else { return oauth::missing("token").into_response() };
    let bearer = matches!(visitor.token(), Ok(Some(_)));
    let (client_id, who) = if bearer {
        match visitor.enter().await {
            Ok(Some(state)) => (None, state.who().clone()),
            _ => return unauthorized(true),
        }
    } else {
        match oauth::client(state, &headers, form.client_id, form.client_secret).await {
            Ok((id, who)) => (Some(id), who),
            Err(wrong) => {
                let nobody = Principal::nobody(visitor.address());
                state.access().refused(&nobody, visitor.address(), visitor.operation(), "", wrong.0);
                return wrong.into_response();
            }
        }
    };
    let own = matches!(visitor.token(), Ok(Some(bearer)) if *bearer == token);
    match taken_back(state, client_id.as_deref(), &who, own, &token).await {
        Ok(Some(what)) => {
            state.access().done(&who, visitor.address(), visitor.operation(), &what).await;
            unstored(StatusCode::OK.into_response())
        }
        // Whether there was such a token is nobody's business.
        Ok(None) => unstored(StatusCode::OK.into_response()),
        Err(error) => Wrong::from(error).into_response(),
    }
}

/// What was revoked; `None` where there was nothing, or nothing of theirs.
async fn taken_back(
    state: &ApiState,
    client: Option<&str>,
    who: &Principal,
    own: bool,
    token: &str,
) -> Result<Option<String>, StoreError> {
    if let (Some(client), Some(store), true) = (client, state.store(), token.starts_with(refresh::PREFIX)) {
        let Some((_, found)) = refresh::find(store, client, token).await? else { return Ok(None) };
        refresh::end(state, &found).await?;
        return Ok(Some(token::family_mark(&found.family)));
    }
    let Some(key) = &state.access().config().signing_key else { return Ok(None) };
    let leeway = state.access().config().leeway;
    let found = token::header(token).and_then(|header| key.check(token, &header, leeway));
    let Ok(found) = found else { return Ok(None) };
    let theirs = client.is_some_and(|id| found.marks().contains(&token::client_mark(id)));
    let admin = who.sites().is_none() && who.scopes().contains(&Scope::AdminAll);
    let (Some(mark), Some(until), true) = (found.marks().first(), found.expires(), theirs || own || admin)
    else {
        return Ok(None);
    };
    let until = Time::from_ns(until.as_ns().saturating_add(nanoseconds(leeway)));
    state.access().revoke(mark.clone(), until).await?;
    Ok(Some(mark.clone()))
}
