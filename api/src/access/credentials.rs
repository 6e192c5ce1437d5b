//! What requests bring to say who sent them: a header, or a token in the address.

use axum::extract::{OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};

use super::token::Reason;

/// A token that stood in the address, from where it was taken before anything could write it down.
#[derive(Clone)]
pub(super) struct UrlToken(String);

/// Takes tokens out of the address before anything can log it.
pub(crate) fn hide_tokens(mut request: Request) -> Request {
    if let Some((uri, token)) = without_token(request.uri()) {
        *request.uri_mut() = uri.clone();
        let extensions = request.extensions_mut();
        if extensions.get::<OriginalUri>().is_some() {
            extensions.insert(OriginalUri(uri));
        }
        extensions.insert(UrlToken(token));
    }
    request
}

fn without_token(uri: &Uri) -> Option<(Uri, String)> {
    let query = uri.query()?;
    let value = |pair: &str| {
        let (name, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
        (name == "token" || name == "access_token").then(|| value.into_owned())
    };
    let token = query.split('&').find_map(value)?;
    let kept: Vec<&str> = query.split('&').filter(|pair| value(pair).is_none()).collect();
    let mut parts = uri.clone().into_parts();
    let path = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    parts.path_and_query = path.parse().ok();
    Some((Uri::from_parts(parts).unwrap_or_default(), token))
}

/// What a request brings to say who sent it, in one way alone.
pub(super) fn credentials(parts: &Parts, in_url: bool) -> Result<Option<String>, Reason> {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|_| malformed());
    let mut found = Vec::new();
    for value in parts.headers.get_all(header::AUTHORIZATION) {
        let value = text(value)?;
        let (scheme, token) = value.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Reason::Malformed("Authorization is neither Bearer nor missing".into()));
        }
        found.push(token.trim().to_owned());
    }
    for value in parts.headers.get_all("x-api-key") {
        found.push(text(value)?);
    }
    let url = parts.extensions.get::<UrlToken>().filter(|_| in_url);
    found.extend(url.map(|UrlToken(token)| token.clone()));
    if found.len() > 1 { Err(Reason::Twice) } else { Ok(found.pop()) }
}

fn malformed() -> Reason {
    Reason::Malformed("it is no text".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens_leave_the_address_and_nothing_else_does() {
        for (before, after, token) in [
            ("/ws/v1/stream?token=abc", "/ws/v1/stream", "abc"),
            ("/ws?a=1&%74oken=x%2Ey&b=%20", "/ws?a=1&b=%20", "x.y"),
            ("/ws?token=one&access_token=two&c", "/ws?c", "one"),
        ] {
            let (uri, found) = without_token(&before.parse().unwrap()).unwrap();
            assert_eq!((uri.to_string().as_str(), found.as_str()), (after, token));
        }
        assert!(without_token(&"/ws?tokens=a&x=token".parse().unwrap()).is_none());
    }
}
