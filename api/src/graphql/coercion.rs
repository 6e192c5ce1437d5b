//! Arguments that are not of their type say so like others that are refused.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextValidation};
use async_graphql::{
    ErrorExtensionValues, Response, ServerError, ValidationResult, async_trait::async_trait,
};

/// How the framework begins to tell of a value that it cannot take as its type.
const FAILED: &str = "Failed to parse \"";

pub(super) struct Coercion;

impl ExtensionFactory for Coercion {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Coercion {
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(ctx, operation_name).await;
        mark(&mut response.errors);
        response
    }

    /// Some arguments are looked at already to tell what the document costs.
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let mut result = next.run(ctx).await;
        if let Err(errors) = &mut result {
            mark(errors);
        }
        result
    }
}

fn mark(errors: &mut [ServerError]) {
    let plain = |e: &&mut ServerError| e.extensions.is_none() && e.message.starts_with(FAILED);
    for error in errors.iter_mut().filter(plain) {
        let mut values = ErrorExtensionValues::default();
        values.set("code", "BAD_ARGUMENT");
        error.extensions = Some(values);
    }
}
