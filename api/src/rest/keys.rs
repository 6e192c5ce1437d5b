//! `/keys`: API keys. A key is shown once, in the answer to the request that makes it.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, links, tagged, uncached};
use super::kept::{self, made, room, tag, unchanged};
use super::params::{Paging, Params};
use crate::access::keys::{self, Grants, PREFIX};
use crate::documents::Wrong;
use crate::problem::{Problem, ProblemBody};
use crate::store::{Kind, Resource, Store};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, remove))
}

/// Keys that are kept.
const MOST: usize = 1000;

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// For people and for the audit log.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// To do what.
    #[schema(min_items = 1)]
    scopes: std::collections::BTreeSet<crate::access::Scope>,
    /// At these sites only; at all where it is left out.
    #[serde(default)]
    sites: Option<std::collections::BTreeSet<String>>,
    /// How often.
    #[serde(default)]
    tier: crate::access::Tier,
    /// Until when; for good where it is left out.
    #[serde(default)]
    expires_at: Option<Time>,
}

/// An API key, without the key.
#[derive(Debug, Serialize, ToSchema)]
struct KeyDetails {
    /// Also its id as an OAuth2 client.
    id: String,
    /// How the key begins.
    prefix: String,
    /// For people.
    name: String,
    /// What it grants.
    #[serde(flatten)]
    grants: Grants,
    /// When it was made.
    created_at: Time,
    /// When it was used last, to the minute; null where it never was.
    last_used_at: Option<Time>,
    /// The key itself: shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Where else to go.
    links: Links,
}

/// API keys.
#[derive(Debug, Serialize, ToSchema)]
struct KeyList {
    /// By id.
    keys: Vec<KeyDetails>,
}

fn href(id: &str) -> String {
    format!("/api/v1/keys/{id}")
}

async fn details(store: &Store, resource: &Resource) -> Result<KeyDetails, Problem> {
    let kept = keys::kept(resource)?;
    Ok(KeyDetails {
        id: resource.id.clone(),
        prefix: format!("{PREFIX}{}", resource.id),
        name: kept.name,
        grants: kept.grants,
        created_at: resource.created,
        last_used_at: store.key_used(&resource.id).await?,
        key: None,
        links: links([("self", href(&resource.id))]),
    })
}

async fn find(store: &Store, id: &str) -> Result<Resource, Problem> {
    kept::find(store, Kind::ApiKey, "API key", id).await
}

/// API keys, by id.
#[utoipa::path(get, path = "/keys", tag = "access", params(Paging), responses(
    (status = 200, body = KeyList),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn list(state: ApiState, Params(paging): Params<Paging>) -> Result<Response, Problem> {
    let (limit, skip) = paging.checked()?;
    let store = state.keeper()?;
    let mut keys = Vec::new();
    for resource in store.resources(Kind::ApiKey, "", limit, skip).await? {
        keys.push(details(store, &resource).await?);
    }
    Ok(uncached(axum::Json(KeyList { keys })))
}

/// A new API key.
///
/// The answer alone shows it: it is kept as a hash.
#[utoipa::path(post, path = "/keys", tag = "access", request_body = NewKey, responses(
    (status = 201, body = KeyDetails, headers(("Location" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create(state: ApiState, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let NewKey { name, scopes, sites, tier, expires_at } = super::body(&headers, &body)?;
    if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Wrong::new("name", "1 to 200 characters are needed").into());
    }
    if scopes.is_empty() {
        return Err(Wrong::new("scopes", "at least one is needed").into());
    }
    let unknown = |id: &&String| state.site(Some(id)).is_err();
    if let Some(id) = sites.iter().flatten().find(unknown) {
        return Err(Wrong::new("sites", format!("there is no site {id:?}")).into());
    }
    if expires_at.is_some_and(|at| at <= Time::now()) {
        return Err(Wrong::new("expires_at", "is in the past").into());
    }
    let store = state.keeper()?;
    room(store, Kind::ApiKey, "API key", MOST).await?;
    let (id, kept, key) = keys::make(name, Grants { scopes, sites, tier, expires_at });
    let kept = serde_json::to_value(kept).map_err(|e| Problem::internal(&e))?;
    let resource = store.create(Kind::ApiKey, "", &id, &kept).await?;
    let details = KeyDetails { key: Some(key), ..details(store, &resource).await? };
    Ok(made(StatusCode::CREATED, &href(&id), uncached(axum::Json(details))))
}

/// One API key.
#[utoipa::path(get, path = "/keys/{id}", tag = "access", params(("id" = String, Path)), responses(
    (status = 200, body = KeyDetails, headers(("ETag" = String))),
    (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn read(state: ApiState, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let store = state.keeper()?;
    let resource = find(store, &id).await?;
    let body = serde_json::to_vec(&details(store, &resource).await?).map_err(|e| Problem::internal(&e))?;
    Ok(tagged(&headers, &tag(&resource), body))
}

/// Withdraws the API key whose tag `If-Match` names, and the tokens that were got with it.
#[utoipa::path(delete, path = "/keys/{id}", tag = "access",
    params(("id" = String, Path), ("If-Match" = String, Header)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn remove(state: ApiState, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let store = state.keeper()?;
    let old = unchanged(find(store, &id).await?, "API key", &headers)?;
    store.remove(Kind::ApiKey, &old).await?;
    state.access().withdraw(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
