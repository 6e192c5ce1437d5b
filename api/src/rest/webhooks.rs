//! `/webhooks`: who is told of events, and what became of deliveries.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Links, json, links, tagged, uncached};
use super::kept::{self, made, room, same_id, tag, unchanged};
use super::params::{Paging, Params};
use crate::documents::{self, Wrong};
use crate::outputs::webhooks::{self, Attempt, DeadLetter, HIDDEN, PreviousSecret, Running, Webhook};
use crate::problem::{Problem, ProblemBody};
use crate::setup::SetupError;
use crate::store::{Kind, Resource, Store, StoreError};
use crate::{ApiState, Time};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, remove))
        .routes(routes!(rotate))
        .routes(routes!(deliveries))
        .routes(routes!(dead_letters))
        .routes(routes!(redeliver))
}

/// A webhook, and the id of a new one: 1 to 64 letters, digits, `-` and `_`; one is made where it is left out.
#[derive(Debug, Deserialize)]
struct WebhookBody {
    #[serde(default)]
    id: Option<String>,
    #[serde(flatten)]
    webhook: serde_json::Map<String, serde_json::Value>,
}

/// A webhook. Its secret and the values of its headers are not shown.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookDetails {
    /// The webhook.
    id: String,
    /// What was registered.
    #[serde(flatten)]
    webhook: Webhook,
    /// Deliveries are signed.
    signed: bool,
    /// Until when the secret before signs too.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_secret_until: Option<Time>,
    /// Counts changes from 1.
    version: u64,
    /// When it was made.
    created_at: Time,
    /// When it was changed last.
    updated_at: Time,
    /// Where else to go.
    links: Links,
}

/// Registered webhooks.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookList {
    /// By id.
    webhooks: Vec<WebhookDetails>,
}

fn parts(state: &ApiState) -> Result<(&Store, &Arc<Running>), Problem> {
    let none = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this server delivers nothing");
    Ok((state.keeper()?, state.outputs().webhooks.running().ok_or_else(none)?))
}

fn href(id: &str) -> String {
    format!("/api/v1/webhooks/{id}")
}

fn details(resource: &Resource) -> Result<WebhookDetails, Problem> {
    let mut webhook = webhooks::registered(resource)?;
    let signed = webhook.secret.take().is_some();
    webhook.headers.values_mut().for_each(|value| HIDDEN.clone_into(value));
    let previous = webhook.previous_secret.take().map(|p| p.until).filter(|until| Time::now() < *until);
    Ok(WebhookDetails {
        id: resource.id.clone(),
        webhook,
        signed,
        previous_secret_until: previous,
        version: resource.version,
        created_at: resource.created,
        updated_at: resource.changed,
        links: links([
            ("self", href(&resource.id)),
            ("deliveries", format!("{}/deliveries", href(&resource.id))),
            ("dead_letters", format!("{}/dead-letters", href(&resource.id))),
        ]),
    })
}

fn answer(request: &HeaderMap, resource: &Resource) -> Result<Response, Problem> {
    let body = serde_json::to_vec(&details(resource)?).map_err(|e| Problem::internal(&e))?;
    Ok(tagged(request, &tag(resource), body))
}

async fn find(store: &Store, id: &str) -> Result<Resource, Problem> {
    kept::find(store, Kind::Webhook, "webhook", id).await
}

/// The body as a webhook, with its id where it has one.
fn document(headers: &HeaderMap, bytes: &[u8]) -> Result<(Option<String>, Webhook), Problem> {
    let WebhookBody { id, webhook } = super::body(headers, bytes)?;
    if id.as_ref().is_some_and(|id| !documents::is_id(id)) {
        return Err(Wrong::new("id", "1 to 64 letters, digits, - and _ are possible").into());
    }
    let webhook: Webhook = documents::typed(serde_json::Value::Object(webhook))?;
    if webhook.previous_secret.is_some() {
        return Err(Wrong::new("previous_secret", "is what /secret keeps").into());
    }
    Ok((id, webhook))
}

fn written(webhook: &Webhook) -> Result<serde_json::Value, Problem> {
    serde_json::to_value(webhook).map_err(|e| Problem::internal(&e))
}

/// Registered webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", params(Paging), responses(
    (status = 200, body = WebhookList),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn list(
    state: ApiState,
    headers: HeaderMap,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let (store, _) = parts(&state)?;
    let (limit, skip) = paging.checked()?;
    let found = store.resources(Kind::Webhook, "", limit, skip).await?;
    json(&headers, &WebhookList { webhooks: found.iter().map(details).collect::<Result<_, _>>()? })
}

/// A new webhook.
///
/// It is told what happens from now on.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = Webhook, responses(
    (status = 201, body = WebhookDetails, headers(("Location" = String), ("ETag" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create(state: ApiState, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let (id, webhook) = document(&headers, &body)?;
    webhook.check(running.guard())?;
    room(store, Kind::Webhook, "webhook", webhooks::MOST).await?;
    let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let stored = store.create(Kind::Webhook, "", &id, &written(&webhook)?).await;
    let resource = stored.map_err(|e| match e {
        StoreError::Changed => SetupError::Taken(id.clone()),
        e => e.into(),
    })?;
    running.register(&id, webhook).await?;
    Ok(made(StatusCode::CREATED, &href(&id), answer(&HeaderMap::new(), &resource)?))
}

/// One webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path)), responses(
    (status = 200, body = WebhookDetails, headers(("ETag" = String))),
    (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn read(state: ApiState, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (store, _) = parts(&state)?;
    answer(&headers, &find(store, &id).await?)
}

/// A webhook in place of the one whose tag `If-Match` names.
///
/// A secret that is left out stays, and so does a header whose value is `***`.
#[utoipa::path(put, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path), ("If-Match" = String, Header)), request_body = Webhook, responses(
    (status = 200, body = WebhookDetails, headers(("ETag" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn replace(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let (given, mut webhook) = document(&headers, &body)?;
    same_id(given.as_deref(), &id)?;
    let old = unchanged(find(store, &id).await?, "webhook", &headers)?;
    webhook.continue_from(&webhooks::registered(&old)?);
    webhook.check(running.guard())?;
    let new = store.replace(Kind::Webhook, &old, written(&webhook)?).await?;
    running.register(&id, webhook).await?;
    answer(&HeaderMap::new(), &new)
}

/// Away with the webhook whose tag `If-Match` names, and with what was not delivered to it.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path), ("If-Match" = String, Header)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn remove(state: ApiState, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let old = unchanged(find(store, &id).await?, "webhook", &headers)?;
    store.remove(Kind::Webhook, &old).await?;
    running.changed().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A new secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecretBody {
    /// It signs from now on.
    secret: String,
    /// For so many seconds the secret before signs too, in a second `X-Signature`.
    #[serde(default = "day")]
    #[schema(default = 86_400, maximum = 2_592_000)]
    keep_previous_s: u32,
}

fn day() -> u32 {
    86_400
}

/// Another secret; the one before goes on signing for a while.
#[utoipa::path(post, path = "/webhooks/{id}/secret", tag = "webhooks", params(("id" = String, Path)),
    request_body = SecretBody, responses(
    (status = 200, body = WebhookDetails, headers(("ETag" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn rotate(
    state: ApiState,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let SecretBody { secret, keep_previous_s } = super::body(&headers, &body)?;
    let old = find(store, &id).await?;
    let mut webhook = webhooks::registered(&old)?;
    let keep_ns = i64::from(keep_previous_s.min(2_592_000)) * 1_000_000_000;
    let until = Time::from_ns(Time::now().as_ns().saturating_add(keep_ns));
    let previous = webhook.secret.replace(secret);
    webhook.previous_secret = previous.map(|secret| PreviousSecret { secret, until });
    webhook.check(running.guard())?;
    let new = store.replace(Kind::Webhook, &old, written(&webhook)?).await?;
    running.register(&id, webhook).await?;
    answer(&HeaderMap::new(), &new)
}

/// What was tried.
#[derive(Debug, Serialize, ToSchema)]
struct Deliveries {
    /// Newest first; the last thousand attempts are kept. Bodies are not.
    deliveries: Vec<Attempt>,
}

/// What was tried, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path), Paging), responses(
    (status = 200, body = Deliveries),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn deliveries(
    state: ApiState,
    Path(id): Path<String>,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let (limit, skip) = paging.checked()?;
    find(store, &id).await?;
    let deliveries = running.desk().attempts(&id, limit, skip).await?;
    Ok(uncached(axum::Json(Deliveries { deliveries })))
}

/// What was given up.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetters {
    /// Oldest first.
    dead_letters: Vec<DeadLetter>,
}

/// Deliveries that were given up, oldest first.
#[utoipa::path(get, path = "/webhooks/{id}/dead-letters", tag = "webhooks",
    params(("id" = String, Path), Paging), responses(
    (status = 200, body = DeadLetters),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn dead_letters(
    state: ApiState,
    Path(id): Path<String>,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let (limit, skip) = paging.checked()?;
    find(store, &id).await?;
    let dead_letters = running.desk().dead_letters(&id, limit, skip).await?;
    Ok(uncached(axum::Json(DeadLetters { dead_letters })))
}

/// Sends what was given up once more, at once and out of order; it is forgotten when it arrives.
#[utoipa::path(post, path = "/webhooks/{id}/dead-letters/{number}/redeliver", tag = "webhooks",
    params(("id" = String, Path), ("number" = i64, Path)), responses(
    (status = 200, body = Attempt, description = "What became of it"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn redeliver(state: ApiState, Path((id, number)): Path<(String, i64)>) -> Result<Response, Problem> {
    let (store, running) = parts(&state)?;
    let webhook = webhooks::registered(&find(store, &id).await?)?;
    match running.redeliver(&id, webhook, number).await? {
        Some(attempt) => Ok(uncached(axum::Json(attempt))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no dead letter {number}"))),
    }
}
