//! What a browser opens, and the answers where there is nothing.

use axum::Router;
use axum::http::{StatusCode, Uri};

use crate::bundle::{DASHBOARD_PAGE, GRAPHIQL_PAGE, REDOC_PAGE, SWAGGER_PAGE};
use crate::problem::Problem;

pub(crate) fn routes() -> Router {
    Router::new()
        .merge(DASHBOARD_PAGE.at("/"))
        .merge(GRAPHIQL_PAGE.at("/graphiql"))
        .merge(SWAGGER_PAGE.at("/docs"))
        .merge(REDOC_PAGE.at("/redoc"))
        .merge(DASHBOARD_PAGE.files_at("/assets/{name}"))
        .merge(GRAPHIQL_PAGE.files_at("/graphiql/assets/{name}"))
}

pub(crate) async fn missing(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {:?}", uri.path()))
}

pub(crate) async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{:?} does not take this method", uri.path()))
}
