//! Documents of the store as resources: where they lie, which version is meant.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::answer::matches;
use crate::problem::Problem;
use crate::store::{Kind, Resource, Store};

/// The entity tag: the version.
pub(super) fn tag(resource: &Resource) -> String {
    format!("\"{}\"", resource.version)
}

/// The resource of no site in particular; `what` it is, for people.
pub(super) async fn find(store: &Store, kind: Kind, what: &str, id: &str) -> Result<Resource, Problem> {
    let found = store.resource(kind, "", id).await?;
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no {what} {id:?}")))
}

/// Is there room for one more than there are, of `most`?
pub(super) async fn room(store: &Store, kind: Kind, what: &str, most: usize) -> Result<(), Problem> {
    if store.resources(kind, "", most, 0).await?.len() == most {
        return Err(Problem::new(StatusCode::CONFLICT, format!("there are {most} {what}s already")));
    }
    Ok(())
}

/// The resource, if it is the one that the request was made from; `what` it is, for people.
pub(super) fn unchanged(resource: Resource, what: &str, headers: &HeaderMap) -> Result<Resource, Problem> {
    let tag = tag(&resource);
    let (status, required) = match headers.contains_key(header::IF_MATCH) {
        false => (StatusCode::PRECONDITION_REQUIRED, "is required; "),
        true if matches(headers, header::IF_MATCH, &tag) => return Ok(resource),
        true => (StatusCode::PRECONDITION_FAILED, ""),
    };
    let detail = format!("If-Match: {required}the {what} is at {tag}");
    Err(Problem::new(status, detail).with("field", "If-Match"))
}

/// A body may repeat the id of its path, and name no other.
pub(super) fn same_id(given: Option<&str>, id: &str) -> Result<(), Problem> {
    if given.is_none_or(|given| given == id) {
        return Ok(());
    }
    let detail = format!("id: is {id:?} in the path");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with("field", "id"))
}

/// An answer about what has just been made, which lies at `href`.
pub(super) fn made(status: StatusCode, href: &str, mut response: Response) -> Response {
    *response.status_mut() = status;
    if let Ok(place) = HeaderValue::from_str(href) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}
