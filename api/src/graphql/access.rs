//! Scopes, costs and the audit log in GraphQL: each root field is an operation of the table, looked at before anything is executed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextPrepareRequest,
    NextValidation,
};
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{
    ErrorExtensions, PathSegment, Positioned, Request, Response, ServerError, ServerResult, ValidationResult,
    Variables,
};

use super::later::later;
use crate::ApiState;
use crate::access::operations::{self, Operation};
use crate::access::{Denied, Exceeded};

/// Fields that cost as much as one request.
const FIELDS: usize = 1000;
/// Code of an error that lacks rights.
const FORBIDDEN: &str = "FORBIDDEN";

/// A root field that is asked for.
struct Asked {
    operation: &'static Operation,
    /// The root's type and the field; `None` where that is not known.
    field: Option<(&'static str, String)>,
    /// Its key in the answer.
    key: String,
    /// Which document it is about, for the audit log.
    object: String,
}

/// What the operation of this name asks for at its root, through fragments too. Fields about the schema are nobody's secret.
fn asked(document: &ExecutableDocument, name: Option<&str>, variables: &Variables) -> Vec<Asked> {
    let mut found = Vec::new();
    let mut look = |operation: &Positioned<OperationDefinition>| {
        let root = operation.node.ty;
        collect(document, &operation.node.selection_set.node, root, variables, 0, &mut found);
    };
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => look(operation),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name).into_iter().for_each(&mut look),
        (DocumentOperations::Multiple(all), None) => all.values().for_each(&mut look),
    }
    found
}

/// Fragments within fragments at a root; deeper ones are refused elsewhere, and circles too.
const DEEPEST: usize = 16;

fn collect(
    document: &ExecutableDocument,
    set: &SelectionSet,
    root: OperationType,
    variables: &Variables,
    depth: usize,
    found: &mut Vec<Asked>,
) {
    if depth > DEEPEST {
        let (key, object) = (String::new(), String::new());
        return found.push(Asked { operation: operations::UNKNOWN, field: None, key, object });
    }
    let name = match root {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) if field.node.name.node.starts_with("__") => {}
            Selection::Field(field) => found.push(Asked {
                operation: operations::of_field(root, &field.node.name.node),
                field: Some((name, field.node.name.node.to_string())),
                key: field.node.response_key().node.to_string(),
                object: object(&field.node, variables),
            }),
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    let set = &fragment.node.selection_set.node;
                    collect(document, set, root, variables, depth + 1, found);
                }
            }
            Selection::InlineFragment(fragment) => {
                collect(document, &fragment.node.selection_set.node, root, variables, depth + 1, found);
            }
        }
    }
}

/// The arguments that say which document is meant.
fn object(field: &Field, variables: &Variables) -> String {
    let says = |name: &str| {
        let value = field.get_argument(name)?.node.clone();
        let value = value.into_const_with(|name| variables.get(&name).cloned().ok_or(())).ok()?;
        Some(format!("{name}: {value}"))
    };
    ["siteId", "id", "version"].into_iter().filter_map(says).collect::<Vec<_>>().join(", ")
}

/// May they? The first refusal is written down.
fn check(state: &ApiState, asked: &[Asked]) -> Result<(), Denied> {
    for Asked { operation, object, .. } in asked {
        if let Err(denied) = state.who().check(operation) {
            let access = state.access();
            access.refused(state.who(), state.address(), operation, object, "not enough permissions");
            return Err(denied);
        }
    }
    Ok(())
}

fn forbidden(denied: &Denied) -> ServerError {
    let error = async_graphql::Error::new(denied.to_string()).extend_with(|_, e| e.set("code", FORBIDDEN));
    error.into_server_error(async_graphql::Pos::default())
}

fn exceeded(exceeded: Exceeded) -> ServerError {
    later("Rate limit exceeded", "RATE_LIMITED", exceeded.retry_after, exceeded)
}

/// Looks at a document before it joins others who asked for the same.
pub(super) fn permitted(state: &ApiState, request: &mut Request) -> Result<(), ServerError> {
    let name = request.operation_name.clone();
    let variables = request.variables.clone();
    // What cannot be read is refused when it is executed.
    let Ok(document) = request.parsed_query() else { return Ok(()) };
    let mut asked = asked(document, name.as_deref(), &variables);
    // Fields that may not exist are looked at when it is executed.
    asked.retain(|a| !std::ptr::eq(a.operation, operations::UNKNOWN));
    check(state, &asked).map_err(|denied| forbidden(&denied))
}

/// Data of a request that must change nothing, and within the error for one that would. A document that is named by its hash shows
/// only when it is executed what it is.
#[derive(Clone, Copy)]
pub(super) struct ReadOnly;

/// May the operation of this name change something? Without a name that is one of several nothing is executed.
fn mutates(document: &ExecutableDocument, name: Option<&str>) -> bool {
    document.operations.iter().any(|(of, operation)| {
        operation.node.ty == OperationType::Mutation && name.zip(of).is_none_or(|(name, of)| *name == **of)
    })
}

fn not_read_only() -> ServerError {
    let source = Some(Arc::new(ReadOnly) as _);
    ServerError { source, ..ServerError::new("mutations are sent with POST", None) }
}

/// Looks at every document that is executed.
pub(super) struct Checks;

impl ExtensionFactory for Checks {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Check::default())
    }
}

#[derive(Default)]
struct Check {
    name: OnceLock<Option<String>>,
    changes: Mutex<Vec<Asked>>,
}

fn state<'a>(ctx: &ExtensionContext<'a>) -> ServerResult<&'a ApiState> {
    // Without a caller nothing is executed.
    ctx.data::<ApiState>().map_err(|e| e.into_server_error(async_graphql::Pos::default()))
}

fn exists(ctx: &ExtensionContext<'_>, root: &str, field: &str) -> bool {
    ctx.schema_env.registry.types.get(root).is_some_and(|root| root.field_by_name(field).is_some())
}

#[async_trait]
impl Extension for Check {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let request = next.run(ctx, request).await?;
        let _ = self.name.set(request.operation_name.clone());
        Ok(request)
    }

    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(ctx, query, variables).await?;
        let name = self.name.get().and_then(Option::as_deref);
        if ctx.data_opt::<ReadOnly>().is_some() && mutates(&document, name) {
            return Err(not_read_only());
        }
        let mut asked = asked(&document, name, variables);
        // What does not exist is refused as such.
        asked.retain(|a| a.field.as_ref().is_none_or(|(root, field)| exists(ctx, root, field)));
        check(state(ctx)?, &asked).map_err(|denied| forbidden(&denied))?;
        asked.retain(|a| a.operation.changes());
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        Ok(document)
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        let state = state(ctx).map_err(|e| vec![e])?;
        // The request itself is counted at the door.
        let more = u32::try_from(result.complexity / FIELDS).unwrap_or(u32::MAX);
        if more > 0
            && let Some(Err(error)) = state.access().charge(state.who(), more).await
        {
            return Err(vec![exceeded(error)]);
        }
        Ok(result)
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let response = next.run(ctx, operation_name).await;
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let Ok(state) = state(ctx) else { return response };
        // One after the other, and none after the first that fails.
        let failed = |key: &str| {
            let at = |e: &ServerError| match e.path.first() {
                Some(PathSegment::Field(field)) => field == key,
                _ => true,
            };
            response.errors.iter().any(at)
        };
        for Asked { operation, key, object, .. } in changes {
            if failed(&key) {
                break;
            }
            state.access().done(state.who(), state.address(), operation, &object).await;
        }
        response
    }
}

/// Does an answer say that rights are lacking?
pub(super) fn is_forbidden(response: &Response) -> bool {
    let code = |e: &ServerError| e.extensions.as_ref().and_then(|all| all.get("code").cloned());
    response.errors.iter().any(|e| code(e) == Some(FORBIDDEN.into()))
}
