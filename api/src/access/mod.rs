//! Who may do what, and how often: sections 7.1 and 7.2 of the API contract, on every protocol alike.
//!
//! ```text
//! credentials ─► authentication ─► rate ─► operations: scope? ─► a view of the state with the sites that they may see ─► handlers
//! ```
//!
//! Handlers get the state from the request, already cut down to what the caller may know of: nothing else gives it to them.

mod audit;
mod complaints;
mod credentials;
mod gate;
mod key_set;
pub(crate) mod keys;
mod limits;
mod login;
mod oauth;
pub mod operations;
mod principal;
mod provider;
mod refresh;
mod revocations;
mod revoke;
mod scope;
mod signature;
mod token;
mod visitor;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jsonwebtoken::Algorithm;

use self::audit::Audit;
use self::complaints::Complaints;
use self::keys::Keys;
use self::limits::Limits;
use self::operations::Operation;
use self::provider::Provider;
use self::revocations::Revocations;
use self::token::Reason;
use crate::Time;
use crate::store::{Store, StoreError};

pub(crate) use credentials::hide_tokens;
pub(crate) use gate::{Gate, gate};
pub use keys::{digest as secret_hash, same as same_secret};
pub use limits::RateLimits;
pub(crate) use limits::{Allowance, Exceeded};
pub(crate) use oauth::routes as oauth_routes;
pub(crate) use principal::Denied;
pub use principal::{Principal, Tier};
pub use provider::{LoginConfig, ProviderConfig, check_address};
pub use scope::{Scope, UnknownScope};
pub use token::{Grant, SigningKey};
pub(crate) use visitor::Visitor;

/// Who is let in, and how often.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// Everybody has to say who they are, also programs of this machine.
    pub required: bool,
    /// Nobody has to, although others reach this server. Without it, and where it listens on more than loopback, everybody has to.
    pub open_elsewhere: bool,
    /// Signs and checks tokens of this server; `None`: there are none.
    pub signing_key: Option<SigningKey>,
    /// How long a token is good that `/oauth/token` gives.
    pub token_ttl: Duration,
    /// How long a refresh token is.
    pub refresh_ttl: Duration,
    /// How far the clock of whoever made a token may be from this one's: it is taken for so long before it begins and after it ends.
    pub leeway: Duration,
    /// Whose tokens are taken besides.
    pub provider: Option<ProviderConfig>,
    /// How often.
    pub limits: RateLimits,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            required: false,
            open_elsewhere: false,
            signing_key: None,
            token_ttl: Duration::from_secs(24 * 3600),
            refresh_ttl: Duration::from_secs(30 * 24 * 3600),
            leeway: token::LEEWAY,
            provider: None,
            limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// Between looks at what other processes have revoked.
const LOOK: Duration = Duration::from_secs(5);

/// Decides for every protocol.
#[derive(Debug)]
pub(crate) struct Access {
    config: AccessConfig,
    store: Option<Store>,
    provider: Option<Provider>,
    keys: Keys,
    limits: Limits,
    audit: Audit,
    revoked: Revocations,
    complaints: Complaints,
}

impl Access {
    pub(crate) fn new(config: AccessConfig, store: Option<Store>) -> Self {
        let provider = config.provider.clone().map(Provider::new).transpose();
        let provider = provider.unwrap_or_else(|error| {
            tracing::error!("tokens of the identity provider are not taken: {error}");
            None
        });
        Self {
            limits: Limits::new(config.limits),
            store,
            provider,
            keys: Keys::default(),
            audit: Audit::default(),
            revoked: Revocations::default(),
            complaints: Complaints::default(),
            config,
        }
    }

    pub(crate) fn config(&self) -> &AccessConfig {
        &self.config
    }

    fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Whom these credentials speak for: an API key, a token of ours, or one of the provider's.
    async fn authenticate(&self, credentials: &str) -> Result<Principal, Reason> {
        if credentials.len() > token::LONGEST {
            return Err(Reason::TooLong);
        }
        let principal = if credentials.starts_with(keys::PREFIX) {
            self.keys.check(self.store(), credentials).await?
        } else {
            let (header, leeway) = (token::header(credentials)?, self.config.leeway);
            match (header.alg, &self.config.signing_key, &self.provider) {
                (Algorithm::HS256, Some(key), _) => key.check(credentials, &header, leeway)?,
                (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(provider)) => {
                    provider.check(credentials, &header, leeway).await?
                }
                (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, None) => {
                    return Err(Reason::NoProvider);
                }
                (other, ..) => return Err(Reason::Algorithm(format!("{other:?}"))),
            }
        };
        if self.revoked.hit(&principal) {
            return Err(Reason::Revoked);
        }
        Ok(principal)
    }

    /// Resolves once somebody's rights have come to an end, with the reason; never for those whose rights have none.
    pub(crate) fn ended(&self, who: &Principal) -> impl Future<Output = &'static str> + Send + use<> {
        let (expires, taken_back) = (who.expires(), self.revoked.ended(who));
        async move {
            let expired = async {
                match expires {
                    Some(at) => {
                        let left = at.as_ns().saturating_sub(Time::now().as_ns());
                        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
                        tokio::time::sleep(left).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => "the token has expired",
                () = taken_back => "the token was revoked",
            }
        }
    }

    /// Takes rights back until `until`, when they end by themselves.
    pub(crate) async fn revoke(&self, mark: String, until: Time) -> Result<(), StoreError> {
        if let Some(store) = self.store() {
            store.revoke(&mark, until.as_ns()).await?;
        }
        self.keys.forget();
        self.revoked.add(mark, until.as_ns());
        Ok(())
    }

    /// An API key is withdrawn: what was got with it is too.
    pub(crate) async fn withdraw(&self, key: &str) -> Result<(), StoreError> {
        let longest = self.config.token_ttl.max(self.config.refresh_ttl) + Duration::from_secs(24 * 3600);
        let until = Time::now().as_ns().saturating_add(i64::try_from(longest.as_nanos()).unwrap_or(i64::MAX));
        self.revoke(token::client_mark(key), Time::from_ns(until)).await
    }

    /// Takes `cost` requests from what somebody has; `None` where nothing is counted.
    pub(crate) async fn charge(&self, who: &Principal, cost: u32) -> Option<Result<Allowance, Exceeded>> {
        self.limits.charge(self.store(), who.name(), who.tier(), cost).await
    }

    /// The same for what is said over a WebSocket.
    pub(crate) async fn charge_stream(&self, who: &Principal) -> Result<(), Exceeded> {
        let tier = if who.tier() == Tier::Local { Tier::Local } else { Tier::Streaming };
        match self.limits.charge(self.store(), who.name(), tier, 1).await {
            Some(Err(exceeded)) => Err(exceeded),
            _ => Ok(()),
        }
    }

    /// Somebody has done what changes something.
    pub(crate) async fn done(
        &self,
        who: &Principal,
        address: Option<IpAddr>,
        operation: &Operation,
        object: &str,
    ) {
        self.audit.done(self.store(), who, address, operation.name(), object).await;
    }

    /// Somebody may not do it.
    pub(crate) fn refused(
        &self,
        who: &Principal,
        address: Option<IpAddr>,
        operation: &Operation,
        object: &str,
        why: &str,
    ) {
        self.audit.refused(who, address, operation.name(), object, why);
    }

    /// Hears what other processes have revoked, and writes down refusals, for as long as it is asked to.
    pub(crate) async fn keep_up(&self) {
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                self.look().await;
            }
            self.audit.flush(self.store(), false).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn look(&self) {
        let Some(store) = self.store() else { return };
        let Ok(found) = store.revocations().await else { return };
        self.revoked.hear(found);
    }

    /// Writes down what is left to be.
    pub(crate) async fn close(&self) {
        self.audit.flush(self.store(), true).await;
    }
}

/// Writes into the audit log that somebody with the data directory in hand has made a token.
///
/// # Errors
/// The database is away.
pub async fn note_token(store: &Store, user: &str, grant: &Grant) -> Result<(), StoreError> {
    store.add_audit(&[audit::of_command_line(user, grant)]).await
}

/// For the fuzz targets: reads a token, and a key set with a token.
pub(crate) fn decode(token: &str, keys: &[u8]) {
    let key = SigningKey::new([7; 32]);
    assert!(!key.signed(token), "nobody has the key");
    provider::decode(keys, token);
}
