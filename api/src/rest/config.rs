//! `/config`: what operators set up, one document at a time. A change names the version that it was made from (`If-Match`).

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{json, links, tagged};
use super::kept::{made, same_id, tag, unchanged};
use super::params::{Paging, Params, Where};
use crate::ApiState;
use crate::documents::{self, Document, DocumentBody};
use crate::problem::{Problem, ProblemBody};
use crate::store::{Kind, Resource};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, remove))
}

/// Kinds of documents.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Folder {
    /// Access points and other transmitters of CSI.
    Routers,
    /// Areas of a site's floor.
    Zones,
    /// Rules that raise alerts.
    Alerts,
    /// Settings to start from.
    Templates,
}

impl Folder {
    fn find(name: &str) -> Result<Self, Problem> {
        let all = [Self::Routers, Self::Zones, Self::Alerts, Self::Templates];
        let found = all.into_iter().find(|f| f.name() == name);
        found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there are no documents {name:?}")))
    }

    fn kind(self) -> Kind {
        match self {
            Self::Routers => Kind::Router,
            Self::Zones => Kind::Zone,
            Self::Alerts => Kind::AlertRule,
            Self::Templates => Kind::Template,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Routers => "routers",
            Self::Zones => "zones",
            Self::Alerts => "alerts",
            Self::Templates => "templates",
        }
    }

    fn href(self, id: &str, site: &str) -> String {
        format!("/api/v1/config/{}/{id}?site_id={site}", self.name())
    }
}

/// A list of documents.
#[derive(Debug, Serialize, ToSchema)]
struct DocumentList {
    /// By id.
    items: Vec<Value>,
}

/// The document as JSON: what it says, and about it.
fn shown(folder: Folder, resource: &Resource) -> Value {
    let mut body = resource.body.clone();
    if let Value::Object(members) = &mut body {
        members.insert("id".into(), resource.id.clone().into());
        members.insert("site_id".into(), resource.site.clone().into());
        members.insert("version".into(), resource.version.into());
        members.insert("created_at".into(), resource.created.to_string().into());
        members.insert("updated_at".into(), resource.changed.to_string().into());
        let links = links([("self", folder.href(&resource.id, &resource.site))]);
        members.insert("links".into(), serde_json::to_value(links).unwrap_or_default());
    }
    body
}

fn answer(request: &HeaderMap, folder: Folder, resource: &Resource) -> Response {
    tagged(request, &tag(resource), shown(folder, resource).to_string().into_bytes())
}

/// The body as a document of this kind.
fn document(folder: Folder, headers: &HeaderMap, body: &Bytes) -> Result<Document, Problem> {
    super::is_json(headers)?;
    Ok(documents::parse(folder.kind(), body)?)
}

async fn find(state: &ApiState, folder: Folder, site: &str, id: &str) -> Result<Resource, Problem> {
    let found = state.keeper()?.resource(folder.kind(), site, id).await?;
    found.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, format!("there is nothing called {id:?} in {}", folder.name()))
    })
}

/// Documents of a kind, by id.
#[utoipa::path(get, path = "/config/{kind}", tag = "config",
    params(("kind" = inline(Folder), Path), Where, Paging), responses(
    (status = 200, body = DocumentList), (status = 304, description = "The same as the tag's"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn list(
    state: ApiState,
    Path(kind): Path<String>,
    headers: HeaderMap,
    Params(p): Params<Where>,
    Params(paging): Params<Paging>,
) -> Result<Response, Problem> {
    let folder = Folder::find(&kind)?;
    let (limit, skip) = paging.checked()?;
    let site = &state.site(p.site_id.as_deref())?.config().id;
    let found = state.keeper()?.resources(folder.kind(), site, limit, skip).await?;
    json(&headers, &DocumentList { items: found.iter().map(|r| shown(folder, r)).collect() })
}

/// A new document.
///
/// Its `id` may be given; else one is made.
#[utoipa::path(post, path = "/config/{kind}", tag = "config",
    params(("kind" = inline(Folder), Path), Where), request_body = DocumentBody, responses(
    (status = 201, body = Value, headers(("Location" = String), ("ETag" = String))),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn create(
    state: ApiState,
    Path(kind): Path<String>,
    headers: HeaderMap,
    Params(p): Params<Where>,
    body: Bytes,
) -> Result<Response, Problem> {
    let folder = Folder::find(&kind)?;
    let site = state.site(p.site_id.as_deref())?;
    let document = document(folder, &headers, &body)?;
    let resource = state.add(folder.kind(), site, document).await?;
    let response = answer(&HeaderMap::new(), folder, &resource);
    Ok(made(StatusCode::CREATED, &folder.href(&resource.id, &resource.site), response))
}

/// One document.
#[utoipa::path(get, path = "/config/{kind}/{id}", tag = "config",
    params(("kind" = inline(Folder), Path), ("id" = String, Path), Where), responses(
    (status = 200, body = Value, headers(("ETag" = String))), (status = 304, description = "The same as the tag's"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn read(
    state: ApiState,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    Params(p): Params<Where>,
) -> Result<Response, Problem> {
    let folder = Folder::find(&kind)?;
    let site = &state.site(p.site_id.as_deref())?.config().id;
    Ok(answer(&headers, folder, &find(&state, folder, site, &id).await?))
}

/// A document in place of the one whose tag `If-Match` names.
#[utoipa::path(put, path = "/config/{kind}/{id}", tag = "config",
    params(("kind" = inline(Folder), Path), ("id" = String, Path), Where, ("If-Match" = String, Header)),
    request_body = DocumentBody, responses(
    (status = 200, body = Value, headers(("ETag" = String))),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn replace(
    state: ApiState,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    Params(p): Params<Where>,
    body: Bytes,
) -> Result<Response, Problem> {
    let folder = Folder::find(&kind)?;
    let site = state.site(p.site_id.as_deref())?;
    let document = document(folder, &headers, &body)?;
    same_id(document.id.as_deref(), &id)?;
    let old = unchanged(find(&state, folder, &site.config().id, &id).await?, "document", &headers)?;
    let new = state.change(folder.kind(), site, &old, document.body).await?;
    Ok(answer(&HeaderMap::new(), folder, &new))
}

/// Away with the document whose tag `If-Match` names.
#[utoipa::path(delete, path = "/config/{kind}/{id}", tag = "config",
    params(("kind" = inline(Folder), Path), ("id" = String, Path), Where, ("If-Match" = String, Header)), responses(
    (status = 204, description = "It is gone"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    (status = 428, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json"),
))]
async fn remove(
    state: ApiState,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    Params(p): Params<Where>,
) -> Result<Response, Problem> {
    let folder = Folder::find(&kind)?;
    let site = state.site(p.site_id.as_deref())?;
    let old = unchanged(find(&state, folder, &site.config().id, &id).await?, "document", &headers)?;
    state.remove(folder.kind(), site, &old).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
