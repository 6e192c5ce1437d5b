//! What a document may be, before anything else looks at it. Parsing and validation take time and stack by its size and its nesting, and
//! validation goes into a fragment wherever it is spread: a few lines can come to billions of fields.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{ErrorExtensions, Name, Request, ServerError};

/// Bytes.
const BYTES: usize = 64 << 10;
/// Names, numbers, strings and punctuators.
const TOKENS: usize = 8_000;
/// Fields under another name.
const ALIASES: usize = 500;
/// Brackets within brackets of any kind.
const NESTED: usize = 64;
/// Fields and fragments, those of a fragment wherever it is spread.
const SELECTIONS: usize = 20_000;
/// Fragments within fragments.
const FRAGMENTS: usize = 32;

/// Code of the error that refuses a document.
pub(super) const TOO_LARGE: &str = "TOO_LARGE";

/// What a look at the text tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extent {
    tokens: usize,
    aliases: usize,
    nested: usize,
}

/// May this document be looked at?
pub(super) fn check(request: &mut Request) -> Result<(), ServerError> {
    let bytes = request.query.len();
    at_most(bytes, BYTES, "bytes")?;
    let Extent { tokens, aliases, nested } = Extent::of(&request.query);
    at_most(tokens, TOKENS, "tokens")?;
    at_most(aliases, ALIASES, "aliases")?;
    at_most(nested, NESTED, "brackets within brackets")?;
    // What cannot be read is refused when it is executed.
    let Ok(document) = request.parsed_query() else { return Ok(()) };
    let selections = expanded(document).ok_or_else(|| {
        refused(format!("at most {FRAGMENTS} fragments may stand within one another, and none within itself"))
    })?;
    at_most(selections, SELECTIONS, "fields, those of fragments wherever these are spread")
}

fn at_most(count: usize, most: usize, what: &str) -> Result<(), ServerError> {
    match count <= most {
        true => Ok(()),
        false => Err(refused(format!("the document has {count} {what}, and may have {most}"))),
    }
}

fn refused(reason: String) -> ServerError {
    let error = async_graphql::Error::new(reason).extend_with(|_, e| e.set("code", TOO_LARGE));
    error.into_server_error(async_graphql::Pos::default())
}

impl Extent {
    /// Lexical tokens (GraphQL, October 2021, 2.1), as far as they need to be told apart to be counted.
    fn of(text: &str) -> Self {
        let (mut extent, mut open, mut parentheses) = (Self::default(), 0usize, 0usize);
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            rest = match first {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => after,
                b'#' => from(after, |b| b == b'\n'),
                first => {
                    extent.tokens += 1;
                    match first {
                        b'"' => after_string(after),
                        b'(' | b'[' | b'{' => {
                            open += 1;
                            parentheses += usize::from(*first == b'(');
                            extent.nested = extent.nested.max(open);
                            after
                        }
                        b')' | b']' | b'}' => {
                            open = open.saturating_sub(1);
                            parentheses = parentheses.saturating_sub(usize::from(*first == b')'));
                            after
                        }
                        b':' => {
                            // Within parentheses a colon belongs to an argument, a variable or a member.
                            extent.aliases += usize::from(parentheses == 0);
                            after
                        }
                        b'.' => after.strip_prefix(b"..").unwrap_or(after),
                        first if in_word(*first) => from(after, |b| !in_word(b)),
                        _ => after,
                    }
                }
            };
        }
        extent
    }
}

/// Of a name or a number.
fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+')
}

fn from(bytes: &[u8], end: impl Fn(u8) -> bool) -> &[u8] {
    let place = bytes.iter().position(|b| end(*b)).unwrap_or(bytes.len());
    bytes.get(place..).unwrap_or_default()
}

/// What comes after a string whose first quote was taken.
fn after_string(mut rest: &[u8]) -> &[u8] {
    if let Some(block) = rest.strip_prefix(b"\"\"") {
        rest = block;
        while !rest.is_empty() {
            rest = match rest {
                [b'\\', b'"', b'"', b'"', after @ ..] => after,
                [b'"', b'"', b'"', after @ ..] => return after,
                [_, after @ ..] => after,
                [] => rest,
            };
        }
        return rest;
    }
    loop {
        rest = match rest {
            [b'\\', _, after @ ..] => after,
            [b'"', after @ ..] => return after,
            // No string goes on in the next line.
            [] | [b'\n', ..] => return rest,
            [_, after @ ..] => after,
        };
    }
}

/// Selections of all operations and fragments, each fragment counted wherever it is spread; `None`: fragments are within one another too deep.
fn expanded(document: &ExecutableDocument) -> Option<usize> {
    let mut known = HashMap::new();
    let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
    let fragments = document.fragments.values().map(|fragment| &fragment.node.selection_set.node);
    operations.chain(fragments).try_fold(0usize, |sum, set| {
        Some(sum.saturating_add(selections(document, set, FRAGMENTS, &mut known)?))
    })
}

fn selections<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    deeper: usize,
    known: &mut HashMap<&'a Name, usize>,
) -> Option<usize> {
    set.items.iter().try_fold(0usize, |sum, selection| {
        let within = match &selection.node {
            Selection::Field(field) => selections(document, &field.node.selection_set.node, deeper, known)?,
            Selection::InlineFragment(inline) => {
                selections(document, &inline.node.selection_set.node, deeper, known)?
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                match (known.get(name), document.fragments.get(name)) {
                    (Some(size), _) => *size,
                    (None, Some(fragment)) => {
                        let set = &fragment.node.selection_set.node;
                        let size = selections(document, set, deeper.checked_sub(1)?, known)?;
                        known.insert(name, size);
                        size
                    }
                    // One that is not there is refused as such.
                    (None, None) => 0,
                }
            }
        };
        Some(sum.saturating_add(within).saturating_add(1))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn extent(tokens: usize, aliases: usize, nested: usize) -> Extent {
        Extent { tokens, aliases, nested }
    }

    #[test]
    fn tokens_are_counted_as_the_language_has_them() {
        for (text, expected) in [
            ("", extent(0, 0, 0)),
            ("{ a }", extent(3, 0, 1)),
            ("\u{feff}{a,b ,,c}# d { e\n", extent(5, 0, 1)),
            ("query Q($a: [Int!]! = [1, -2.5e+3]) { b: c(d: {e: $a}) ...F }", extent(36, 1, 3)),
            (r#"{ a(b: "c: { \" \\" d: """e " \""" {""") }"#, extent(11, 0, 2)),
            ("{ a(b: \"never ended\n) c: d }", extent(11, 1, 2)),
            ("\"\"\"", extent(1, 0, 0)),
        ] {
            assert_eq!(Extent::of(text), expected, "{text}");
        }
    }

    #[test]
    fn fragments_count_wherever_they_are_spread() {
        let doubling = |n: usize| {
            let fragments =
                (0..n).map(|i| format!("fragment f{i} on Site {{ ...f{} ...f{} }} ", i + 1, i + 1));
            format!(
                "{{ sites {{ ...f0 }} }} {} fragment f{n} on Site {{ id }}",
                fragments.collect::<String>()
            )
        };
        let code = |text: &str| {
            let error = check(&mut Request::new(text)).err()?;
            Some((error.message, error.extensions.unwrap().get("code").cloned()))
        };
        assert_eq!(code(&doubling(10)), None);
        let (message, found) = code(&doubling(25)).unwrap();
        assert!(message.contains("fields") && found == Some(TOO_LARGE.into()), "{message}");
        assert!(code(&doubling(40)).unwrap().0.contains("within"));
        for circle in [
            "{ ...a } fragment a on Query { ...a }",
            "{ ...a } fragment a on Query { ...b ...b } fragment b on Query { sites { ...a ...a } }",
        ] {
            assert!(code(circle).unwrap().0.contains("within itself"), "{circle}");
        }
    }

    proptest! {
        /// Whatever comes: it ends, and there are no more tokens than bytes.
        #[test]
        fn any_text_is_counted(text in r#"[ -~\n"{}():\\#é]{0,300}"#) {
            let Extent { tokens, aliases, nested } = Extent::of(&text);
            prop_assert!(tokens <= text.len() && aliases + nested <= tokens);
        }
    }
}
