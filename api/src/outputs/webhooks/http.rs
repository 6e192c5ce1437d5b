//! One request to an endpoint: where to, what came back, how long to wait.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use chrono::DateTime;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::guard::{Guard, Resolver};
use super::registration::{Webhook, target};
use super::{WebhooksConfig, WebhooksStartError, payload};
use crate::Time;
use crate::tls;

/// Redirects that are followed, with the same method and body (307 and 308 alone ask for that).
const REDIRECTS: usize = 3;
/// How much of an answer is read, so that the connection can be used again.
const ANSWER: usize = 64 << 10;
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// As the contract says.
const AGENT: HeaderValue = HeaderValue::from_static("WiFi-DensePose/1.0");
/// No endpoint makes us wait longer.
const LONGEST_RETRY_AFTER: u64 = 3600;

/// What became of an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Delivered.
    Taken(u16),
    /// Not now.
    Failed { status: Option<u16>, error: String, retry_after: Option<Duration>, again: bool },
}

impl Outcome {
    fn never(error: impl Into<String>) -> Self {
        Self::Failed { status: None, error: error.into(), retry_after: None, again: false }
    }
}

/// A delivery.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub id: &'a str,
    pub kind: &'a str,
    pub timestamp: String,
    pub body: Bytes,
}

/// The client that all endpoints share. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    guard: Guard,
    timeout: Duration,
}

impl Http {
    pub(super) fn new(guard: Guard, config: &WebhooksConfig) -> Result<Self, WebhooksStartError> {
        let timeout = Duration::from_secs_f64(config.timeout_s);
        let mut tcp = HttpConnector::new_with_resolver(Resolver { guard: guard.clone() });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        let authorities = Some(config.ca_file.as_path()).filter(|f| !f.as_os_str().is_empty());
        let tls = tls::client_of_system_and(authorities)?.as_ref().clone();
        let builder =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2);
        Ok(Self { client: client.build(builder.wrap_connector(tcp)), guard, timeout })
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends it once, within the time that there is.
    pub(super) async fn send(&self, webhook: &Webhook, delivery: &Delivery<'_>) -> Outcome {
        match tokio::time::timeout(self.timeout, self.follow(webhook, delivery)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let error = format!("no answer within {} s", self.timeout.as_secs_f64());
                Outcome::Failed { status: None, error, retry_after: None, again: true }
            }
        }
    }

    async fn follow(&self, webhook: &Webhook, delivery: &Delivery<'_>) -> Outcome {
        let mut url = match target(&webhook.url, &self.guard) {
            Ok(url) => url,
            Err(error) => return Outcome::never(error),
        };
        let origin = url.origin();
        for _ in 0..=REDIRECTS {
            // What an operator lets this endpoint know is not for another one.
            let own = (url.origin() == origin).then_some(webhook);
            let request = match request(&url, own, webhook, delivery) {
                Ok(request) => request,
                Err(error) => return Outcome::never(error),
            };
            let answer = match self.client.request(request).await {
                Ok(answer) => answer,
                Err(error) => {
                    let inside = causes(&error).contains("is no public address");
                    return Outcome::Failed {
                        status: None,
                        error: causes(&error),
                        retry_after: None,
                        again: !inside,
                    };
                }
            };
            let status = answer.status();
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                return outcome(webhook, answer).await;
            }
            let place = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok());
            let next = place.and_then(|place| url.join(place).ok());
            let next = next.ok_or_else(|| "a redirect to nowhere".to_owned());
            url = match next.and_then(|next| target(next.as_str(), &self.guard)) {
                Ok(next) if url.scheme() == "https" && next.scheme() == "http" => {
                    return Outcome::never("a redirect from https to http");
                }
                Ok(next) => next,
                Err(error) => return Outcome::never(format!("redirected: {error}")),
            };
        }
        Outcome::never(format!("more than {REDIRECTS} redirects"))
    }
}

fn request(
    url: &Url,
    own: Option<&Webhook>,
    webhook: &Webhook,
    delivery: &Delivery<'_>,
) -> Result<Request<Full<Bytes>>, String> {
    let uri: Uri = url.as_str().parse().map_err(|e| format!("{e}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, AGENT);
    for (name, value) in own.iter().flat_map(|w| &w.headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    for (name, value) in [
        ("x-event-type", delivery.kind),
        ("x-delivery-id", delivery.id),
        ("x-timestamp", delivery.timestamp.as_str()),
    ] {
        headers.insert(name, HeaderValue::from_str(value).map_err(|e| e.to_string())?);
    }
    for secret in webhook.secrets(Time::now()) {
        let signature = payload::signature(secret, &delivery.body);
        headers.append("x-signature", HeaderValue::from_str(&signature).map_err(|e| e.to_string())?);
    }
    headers.remove(HOST);
    let mut request = Request::builder().method(Method::POST).uri(uri);
    if let Some(to) = request.headers_mut() {
        *to = headers;
    }
    request.body(Full::new(delivery.body.clone())).map_err(|e| e.to_string())
}

async fn outcome(webhook: &Webhook, answer: Response<Incoming>) -> Outcome {
    let status = answer.status();
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(wait);
    // Nobody reads what it says.
    let rest = Limited::new(answer.into_body(), ANSWER).collect();
    let _ = tokio::time::timeout(ANSWER_WITHIN, rest).await;
    if status.is_success() {
        return Outcome::Taken(status.as_u16());
    }
    let code = status.as_u16();
    let again =
        webhook.retry_policy.retry_on_status.contains(&code) || status == StatusCode::TOO_MANY_REQUESTS;
    Outcome::Failed { status: Some(code), error: format!("answered {status}"), retry_after, again }
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
fn wait(text: &str) -> Option<Duration> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            u64::try_from((date.to_utc() - chrono::Utc::now()).num_seconds()).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER)))
}

/// The error and what lies behind it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_say_how_long_to_wait() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("999999999"), Some(Duration::from_secs(LONGEST_RETRY_AFTER)));
        assert_eq!(wait("Fri, 01 Jan 2010 00:00:00 GMT"), Some(Duration::ZERO));
        let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(90);
        let waited = wait(&soon.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        assert!(waited.is_some_and(|w| (80..=90).contains(&w.as_secs())), "{waited:?}");
        assert_eq!(wait("soon"), None);
    }
}
