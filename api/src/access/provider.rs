//! Tokens of an OAuth2 or OpenID Connect provider: discovery, its keys, and their rotation.
//!
//! Keys are fetched when a token names one that is not known, and when those at hand are an hour old; never more often than every ten
//! seconds, whoever sends what.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Builder;
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Header};
use serde::Deserialize;
use url::Url;

use super::key_set::KeySet;
use super::login::Endpoints;
use super::principal::{Identity, Kind, Principal, Tier};
use super::token::{self, Reason, moment, shortened, verified};
use crate::tls;

/// Between two fetches.
pub(super) const APART: Duration = Duration::from_secs(10);
/// Keys that are older are fetched anew.
pub(super) const OLD: Duration = Duration::from_secs(3600);
/// For an answer of the provider.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, bytes.
const ANSWER: usize = 256 << 10;

/// Who else says who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    /// As its tokens and its discovery document give it.
    pub issuer: String,
    /// As which its tokens name this server.
    pub audience: String,
    /// Where its keys are; `None`: where its discovery document says.
    pub keys_url: Option<String>,
    /// Between two fetches of its keys at the least; `None`: ten seconds.
    pub refetch_after: Option<Duration>,
    /// How people sign in at the dashboard with it; `None`: not at all.
    pub login: Option<LoginConfig>,
}

/// As which client the dashboard is known to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginConfig {
    /// The client's id. It has no secret: the code is bound to the page by PKCE.
    pub client_id: String,
    /// What is asked for, words with spaces between them.
    pub scope: String,
}

/// May this address be asked? Whoever can change an answer on its way could sign tokens.
///
/// # Errors
/// It is none, or plain HTTP to another machine.
pub fn check_address(address: &str) -> Result<Url, String> {
    let url = Url::parse(address).map_err(|e| format!("{address:?}: {e}"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(format!("{address:?}: https is needed, except to this machine")),
    }
}

/// A discovery document (OpenID Connect Discovery 1.0, 3; RFC 8414, 2), as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Discovery {
    issuer: String,
    jwks_uri: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    #[serde(default)]
    pub(super) code_challenge_methods_supported: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    #[serde(default)]
    scope: Option<Words>,
    #[serde(default)]
    scopes: Option<Words>,
    #[serde(default)]
    scp: Option<Words>,
    #[serde(default)]
    sites: Option<BTreeSet<String>>,
    #[serde(default)]
    tier: Tier,
}

/// A list, or words with spaces between them: providers differ.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.split_whitespace().collect(),
            Self::List(list) => list.iter().map(String::as_str).collect(),
        }
    }
}

#[derive(Default)]
struct Known {
    keys: KeySet,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    trouble: Option<String>,
}

/// A provider and its keys.
pub(super) struct Provider {
    config: ProviderConfig,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    known: Mutex<Known>,
    /// One fetch at a time: whoever waits finds what it brought.
    turn: tokio::sync::Mutex<()>,
    pub(super) login: Endpoints,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Provider {
    pub(super) fn new(config: ProviderConfig) -> Result<Self, String> {
        let tls = tls::client_of_system_and(None).map_err(|e| e.to_string())?.as_ref().clone();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(PATIENCE));
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp));
        let (known, turn, login) = (Mutex::default(), tokio::sync::Mutex::default(), Endpoints::default());
        Ok(Self { config, client, known, turn, login })
    }

    /// Whom a token of the provider speaks for.
    pub(super) async fn check(
        &self,
        token: &str,
        header: &Header,
        leeway: Duration,
    ) -> Result<Principal, Reason> {
        let key = self.key(header).await?;
        let key = DecodingKey::from_jwk(&key)?;
        let ProviderConfig { issuer, audience, .. } = &self.config;
        let claims: Claims = verified(token, &key, header.alg, issuer, audience, leeway)?;
        let words = [&claims.scope, &claims.scopes, &claims.scp].into_iter().flatten();
        // Providers have scopes of their own, such as `openid`.
        let scopes = words.flat_map(Words::all).filter_map(|word| word.parse().ok()).collect();
        Ok(Principal::new(Identity {
            name: format!("{} {}", claims.iss, claims.sub),
            kind: Kind::Provider,
            scopes,
            sites: claims.sites,
            tier: claims.tier,
            expires: Some(moment(claims.exp)),
            marks: Vec::new(),
        }))
    }

    async fn key(&self, header: &Header) -> Result<Jwk, Reason> {
        let (found, fresh) = self.look(header);
        if let Some(key) = found.filter(|_| fresh) {
            return Ok(key);
        }
        let _turn = self.turn.lock().await;
        // Somebody else may have fetched them meanwhile.
        let (found, fresh) = self.look(header);
        if !(found.is_some() && fresh) && self.may_fetch() {
            let fetched = self.fetch().await;
            let mut known = self.lock();
            match fetched {
                Ok(keys) => {
                    known.keys = keys;
                    known.fetched = Some(Instant::now());
                    known.trouble = None;
                }
                Err(trouble) => {
                    tracing::warn!(issuer = self.config.issuer, "the identity provider's keys: {trouble}");
                    known.trouble = Some(trouble);
                }
            }
        }
        match self.look(header).0 {
            Some(key) => Ok(key),
            None => Err(match (&self.lock().trouble, &header.kid) {
                (Some(trouble), _) => Reason::Away(trouble.clone()),
                (None, id) => Reason::UnknownKey(shortened(id.as_deref().unwrap_or_default())),
            }),
        }
    }

    /// The key that a token names, and whether the keys are new enough.
    fn look(&self, header: &Header) -> (Option<Jwk>, bool) {
        let known = self.lock();
        let fresh = known.fetched.is_some_and(|at| at.elapsed() < OLD);
        (known.keys.find(header).cloned(), fresh)
    }

    fn may_fetch(&self) -> bool {
        let apart = self.config.refetch_after.unwrap_or(APART);
        let mut known = self.lock();
        let may = known.tried.is_none_or(|at| at.elapsed() >= apart);
        if may {
            known.tried = Some(Instant::now());
        }
        may
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let fetch = async {
            let address = match &self.config.keys_url {
                Some(address) => address.clone(),
                None => self.discover().await?.jwks_uri,
            };
            self.get(&address).await
        };
        in_time(fetch).await
    }

    /// What the provider says of itself.
    pub(super) async fn discover(&self) -> Result<Discovery, String> {
        let issuer = self.config.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let said: Discovery = self.get(&address).await?;
        if said.issuer != self.config.issuer {
            return Err(format!("{address} is of the issuer {:?}", said.issuer));
        }
        Ok(said)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let url = check_address(address)?;
        match self.send(Request::get(url.as_str()), Bytes::new()).await? {
            (StatusCode::OK, body) => serde_json::from_slice(&body).map_err(|e| format!("{address}: {e}")),
            (status, _) => Err(format!("{address}: {status}")),
        }
    }

    /// Status and body of an answer.
    pub(super) async fn send(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let request = request.header(header::ACCEPT, "application/json").body(Full::new(body));
        let request = request.map_err(|e| e.to_string())?;
        let address = request.uri().clone();
        let answer = self.client.request(request).await.map_err(|e| format!("{address}: {e}"))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        Ok((status, body.map_err(|e| format!("{address}: {e}"))?.to_bytes()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For as long as a provider may take.
pub(super) async fn in_time<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| format!("no answer within {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, asking).await.map_err(late)?
}

/// For the fuzz targets: reads a key set, and a token with each of its keys that fits.
pub(super) fn decode(keys: &[u8], token: &str) {
    let Ok(keys) = serde_json::from_slice::<KeySet>(keys) else { return };
    let Ok(header) = token::header(token) else { return };
    keys.find(&header);
    for key in keys.fitting(header.alg) {
        if let Ok(key) = DecodingKey::from_jwk(key)
            && let Ok(claims) =
                verified::<Claims>(token, &key, header.alg, "issuer", "audience", token::LEEWAY)
        {
            [claims.scope, claims.scopes, claims.scp].iter().flatten().for_each(|words| drop(words.all()));
        }
    }
}
