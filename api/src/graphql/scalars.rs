//! Scalars beyond those of the specification.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};

use crate::Time;

/// A moment: RFC 3339, e.g. `2026-01-02T03:04:05.678901Z`. Answers are in UTC with microseconds.
#[Scalar(name = "DateTime", specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Time::parse(&text).map_err(InputValueError::custom),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// A whole number of at least 0 that may exceed the 32 bits of `Int`, as a JSON number.
pub(crate) struct Count(pub(crate) u64);

/// A whole number of at least 0 that may exceed the 32 bits of `Int`, as a JSON number.
#[Scalar(name = "Count")]
impl ScalarType for Count {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(n) => n.as_u64().map(Self).ok_or_else(|| InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}
