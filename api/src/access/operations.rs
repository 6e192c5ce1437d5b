//! What everything that can be asked for needs: the one place where operations meet scopes.
//!
//! Each protocol asks this table before it does anything. What is not in it is refused to everybody but administrators, and a test
//! walks routes, schema, topics and commands and fails where one is missing.

mod table;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::scope::Scope;

pub use self::table::OPERATIONS;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What<'a> {
    /// A method and a route; `/api` stands for every version of the API.
    Http(&'a str, &'a str),
    /// A field of the GraphQL root `Query`.
    Query(&'a str),
    /// A field of the GraphQL root `Mutation`.
    Mutation(&'a str),
    /// A field of the GraphQL root `Subscription`.
    Subscription(&'a str),
    /// A topic of `/ws/v1/stream`.
    Topic(&'a str),
    /// A method of a gRPC service.
    Rpc(&'a str),
    /// A command over MQTT.
    Command(&'a str),
}

/// What somebody needs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is open to all, and not counted.
    Nothing,
    /// To have said who they are; what they ask for is looked at by itself.
    Somebody,
    /// Credentials that it looks at by itself.
    Own,
    /// One of these.
    Any(&'static [Scope]),
    /// All of these.
    All(&'static [Scope]),
}

/// Something that can be asked for, and what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What can be asked for.
    pub what: What<'static>,
    /// What somebody needs for it.
    pub needs: Needs,
    /// It is about all sites: rights to some of them are not enough.
    pub everywhere: bool,
}

impl Operation {
    /// It changes something.
    pub fn changes(&self) -> bool {
        match self.what {
            What::Http(method, _) => method != "GET",
            What::Mutation(_) => true,
            What::Command(name) => name == "zone/configure" || name == "analytics/report",
            What::Query(_) | What::Subscription(_) | What::Topic(_) | What::Rpc(_) => false,
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> String {
        match self.what {
            What::Http(method, path) => format!("{method} {path}"),
            What::Query(field) => format!("query {field}"),
            What::Mutation(field) => format!("mutation {field}"),
            What::Subscription(field) => format!("subscription {field}"),
            What::Topic(topic) => format!("topic {topic}"),
            What::Rpc(method) => format!("rpc {method}"),
            What::Command(command) => format!("command {command}"),
        }
    }
}

/// What is in no table: nobody but administrators may do it.
pub(crate) const UNKNOWN: &Operation =
    &Operation { what: What::Http("", ""), needs: Needs::All(&[Scope::AdminAll]), everywhere: true };

fn find(what: What<'_>) -> Option<&'static Operation> {
    static TABLE: OnceLock<HashMap<What<'static>, &'static Operation>> = OnceLock::new();
    let table: &HashMap<What<'_>, _> = TABLE.get_or_init(|| OPERATIONS.iter().map(|o| (o.what, o)).collect());
    table.get(&what).copied()
}

/// A request's: its method, the route that it matched, and the route's `{kind}` where it has one. `None` where the route does not take
/// the method.
pub(crate) fn of_request(method: &str, route: &str, kind: &str) -> Option<&'static Operation> {
    let method = if method == "HEAD" { "GET" } else { method };
    let version = ["/api/v1", "/api/v2", "/api"].into_iter();
    let behind = version.filter_map(|v| route.strip_prefix(v)).find(|rest| rest.starts_with('/'));
    let route = behind.map_or(Cow::Borrowed(route), |rest| format!("/api{rest}").into());
    if let Some(rest) = route.strip_prefix("/api/config/{kind}")
        && let Some(own) = find(What::Http(method, &format!("/api/config/{kind}{rest}")))
    {
        return Some(own);
    }
    match find(What::Http(method, &route)) {
        Some(operation) => Some(operation),
        None if OPERATIONS.iter().any(|o| matches!(o.what, What::Http(_, of) if of == route)) => None,
        None => Some(UNKNOWN),
    }
}

/// An RPC's, by the request's path.
pub(crate) fn of_rpc(path: &str) -> &'static Operation {
    path.strip_prefix('/').and_then(|name| find(What::Rpc(name))).unwrap_or(UNKNOWN)
}

/// A root field's, of `Query`, `Mutation` or `Subscription`.
pub(crate) fn of_field(root: async_graphql::parser::types::OperationType, field: &str) -> &'static Operation {
    use async_graphql::parser::types::OperationType::{Mutation, Query, Subscription};
    let what = match root {
        Query => What::Query(field),
        Mutation => What::Mutation(field),
        Subscription => What::Subscription(field),
    };
    find(what).unwrap_or(UNKNOWN)
}

/// A topic's.
pub(crate) fn of_topic(name: &str) -> &'static Operation {
    find(What::Topic(name)).unwrap_or(UNKNOWN)
}

/// A command's; `None` where there is no such command.
pub(crate) fn of_command(name: &str) -> Option<&'static Operation> {
    find(What::Command(name))
}

/// The table for people, as checked in at `docs/scopes.md`.
pub fn describe() -> String {
    let mut text = String::from(
        "# What everything needs\n\n\
         Made from `api/src/access/operations.rs`; `UPDATE_SCOPES=1 cargo test -p invispose-api --test access` writes it anew. `/api` stands for\n\
         `/api/v1` and `/api/v2`, and `admin:all` for every scope. *Everywhere* means that rights to some of the sites are not enough.\n\n\
         | operation | needs | |\n|---|---|---|\n",
    );
    for operation in OPERATIONS {
        let list = |scopes: &[Scope], between: &str| {
            scopes.iter().map(|s| format!("`{}`", s.name())).collect::<Vec<_>>().join(between)
        };
        let needs = match operation.needs {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Somebody => "credentials; each field what it needs".to_owned(),
            Needs::Own => "looks at credentials by itself".to_owned(),
            Needs::Any(scopes) => list(scopes, " or "),
            Needs::All(scopes) => list(scopes, " and "),
        };
        let everywhere = if operation.everywhere { "everywhere" } else { "" };
        text += &format!("| `{}` | {needs} | {everywhere} |\n", operation.name());
    }
    text
}
