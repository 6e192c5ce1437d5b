//! Who may talk to the server at all: Host and Origin, against DNS rebinding and foreign pages; and the headers that
//! every answer carries.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::ApiConfig;
use crate::listen::Peer;
use crate::problem::Problem;

#[derive(Clone, Debug)]
pub(crate) struct Guard {
    loopback: bool,
    names: Names,
}

/// Under which names the server is known, and whose pages it serves. Cheap to clone; all clones change at once.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    lists: Arc<RwLock<Arc<Lists>>>,
}

#[derive(Debug, Default)]
struct Lists {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Names {
    pub(crate) fn new(config: &ApiConfig) -> Self {
        let names = Self { lists: Arc::default() };
        names.set(&config.allowed_hosts, &config.allowed_origins);
        names
    }

    /// Requests from now on are measured by these.
    pub(crate) fn set(&self, hosts: &[String], origins: &[String]) {
        let lower = |names: &[String]| names.iter().map(|n| n.to_ascii_lowercase()).collect();
        let lists = Lists { hosts: lower(hosts), origins: lower(origins) };
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
    }

    fn now(&self) -> Arc<Lists> {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Is this one of the configured origins?
    pub(crate) fn known_origin(&self, origin: &str) -> bool {
        self.now().origins.contains(&origin.to_ascii_lowercase())
    }
}

impl Guard {
    /// `loopback`: the server listens on loopback, so a Host that is no loopback name is an attack or a mistake.
    pub(crate) fn new(names: Names, loopback: bool) -> Self {
        Self { loopback, names }
    }

    fn host_allowed(&self, authority: &str) -> bool {
        let names = self.names.now();
        if !self.loopback && names.hosts.is_empty() {
            return true;
        }
        let host = host_name(authority);
        is_loopback(&host) || names.hosts.contains(&host)
    }

    /// The server's own pages, the configured origins, and on loopback any page of this machine.
    fn origin_allowed(&self, origin: &str, authority: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.names.known_origin(&origin) {
            return true;
        }
        let Some((_, from)) = origin.split_once("://") else { return false };
        from == authority.to_ascii_lowercase() || (self.loopback && is_loopback(&host_name(from)))
    }
}

/// The name without its port and without an IPv6 address's brackets.
fn host_name(authority: &str) -> String {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let in_uri = uri.authority().map(|a| a.as_str());
    in_uri.or_else(|| headers.get(header::HOST).and_then(|h| h.to_str().ok()))
}

/// What the answer is to say of how it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    secured: bool,
}

impl Guard {
    /// Before a request goes on.
    pub(crate) fn look(&self, request: &mut Request) -> (Asked, Result<(), Problem>) {
        if foreign(request.uri(), request.headers()) {
            // Lengths of compressed answers tell the pages of others what is in them: https://www.breachattack.com
            request.headers_mut().remove(header::ACCEPT_ENCODING);
        }
        let encrypted = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
        let secured = encrypted && authority(request.uri(), request.headers()).is_some_and(has_name);
        let problem = refuse(self, request).or_else(|| encoded(request.headers()));
        (Asked { secured }, problem.map_or(Ok(()), Err))
    }
}

/// The headers that every answer carries.
pub(crate) fn sign(asked: Asked, response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if asked.secured {
        headers
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static("max-age=31536000"));
    }
}

/// A page of another site has the browser ask.
fn foreign(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "cross-site";
    }
    let Some((_, page)) = text("referer").and_then(|page| page.split_once("://")) else { return false };
    let from = page.split(['/', '?', '#']).next().unwrap_or_default();
    authority(uri, headers).is_none_or(|here| !from.eq_ignore_ascii_case(here))
}

/// Browsers remember HTTPS for names only, and on loopback other servers share the name.
fn has_name(authority: &str) -> bool {
    let host = host_name(authority);
    host.parse::<IpAddr>().is_err() && !is_loopback(&host)
}

/// Nothing that comes in is ever decompressed: a small body cannot become a large one.
fn encoded(headers: &HeaderMap) -> Option<Problem> {
    let encoding = headers.get(header::CONTENT_ENCODING)?;
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return None;
    }
    let problem =
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request bodies are taken uncompressed only");
    Some(problem.with("field", "Content-Encoding"))
}

fn refuse(guard: &Guard, request: &Request) -> Option<Problem> {
    let Some(authority) = authority(request.uri(), request.headers()) else {
        return Some(
            Problem::new(StatusCode::BAD_REQUEST, "the Host header is missing").with("field", "Host"),
        );
    };
    if !guard.host_allowed(authority) {
        let detail = format!("{authority:?} is not a name of this server");
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).with("field", "Host"));
    }
    let upgrade = request.headers().contains_key(header::SEC_WEBSOCKET_KEY)
        || request.headers().contains_key(header::SEC_WEBSOCKET_VERSION);
    let origin = request.headers().get(header::ORIGIN)?;
    let allowed = origin.to_str().is_ok_and(|origin| guard.origin_allowed(origin, authority));
    (upgrade && !allowed).then(|| {
        Problem::new(StatusCode::FORBIDDEN, "pages of this origin may not open WebSockets here")
            .with("field", "Origin")
    })
}

/// Pages of the configured origins may ask, with credentials of their own; those of others may not read an answer.
pub(crate) fn cross_origin(names: Names) -> CorsLayer {
    // By name, never all of them.
    let known = move |origin: &HeaderValue, _: &Parts| origin.to_str().is_ok_and(|o| names.known_origin(o));
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let asked = [
        header::AUTHORIZATION,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        HeaderName::from_static("x-api-key"),
    ];
    let shown = [header::ETAG, header::LINK, header::LOCATION, header::RETRY_AFTER, header::WWW_AUTHENTICATE];
    let counted = ["api-version", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(known))
        .allow_credentials(true)
        .allow_methods(methods)
        .allow_headers(asked)
        .expose_headers(shown.into_iter().chain(counted.map(HeaderName::from_static)).collect::<Vec<_>>())
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(config: &ApiConfig, loopback: bool) -> Guard {
        Guard::new(Names::new(config), loopback)
    }

    #[test]
    fn only_names_of_this_machine_on_loopback() {
        let config = ApiConfig { allowed_hosts: vec!["Pose.example".into()], ..ApiConfig::default() };
        let names = Names::new(&config);
        let guard = Guard::new(names.clone(), true);
        for host in [
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]:8080",
            "127.8.8.8",
            "LOCALHOST",
            "a.localhost",
            "pose.example:80",
        ] {
            assert!(guard.host_allowed(host), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "192.168.1.2", ""]
        {
            assert!(!guard.host_allowed(host), "{host}");
        }
        names.set(&["evil.example".into()], &[]);
        assert!(guard.host_allowed("evil.example") && !guard.host_allowed("pose.example"));
        assert!(self::guard(&ApiConfig::default(), false).host_allowed("anything"));
    }

    #[test]
    fn only_pages_of_this_server() {
        let config =
            ApiConfig { allowed_origins: vec!["https://ops.example".into()], ..ApiConfig::default() };
        let outside = guard(&config, false);
        assert!(outside.origin_allowed("http://pose.example:8080", "pose.example:8080"));
        assert!(outside.origin_allowed("https://ops.example", "pose.example"));
        for origin in ["http://evil.example", "null", "http://pose.example", "http://localhost:3000"] {
            assert!(!outside.origin_allowed(origin, "pose.example:8080"), "{origin}");
        }
        assert!(guard(&config, true).origin_allowed("http://localhost:5173", "127.0.0.1:8080"));
    }
}
