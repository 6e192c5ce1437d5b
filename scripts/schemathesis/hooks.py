"""What schemathesis cannot know of this GraphQL schema, and what its answers must keep to."""

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes, scalar

scalar("JSON", st.just(nodes.Object(fields=[])))

# Fields refuse arguments; nothing else may go wrong.
REFUSALS = {"BAD_ARGUMENT", "NOT_FOUND", "CONFLICT", "FORBIDDEN", "UNAUTHENTICATED", "UNAVAILABLE", "NO_DATA"}


@schemathesis.check
def errors_are_refusals(ctx, response, case):
    assert response.status_code < 500, f"status {response.status_code}"
    body = response.json()
    assert set(body) <= {"data", "errors", "extensions"}, f"members {sorted(body)}"
    for error in body.get("errors", []):
        assert error["message"], "an error without a message"
        # Without data the document itself was refused (GraphQL, 7.1.2).
        code = error.get("extensions", {}).get("code")
        assert "data" not in body or code in REFUSALS, f"{error['message']} ({code})"
