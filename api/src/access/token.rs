//! Tokens of this server: JSON Web Tokens (RFC 7519) signed with HS256 under a key that the data directory keeps.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::principal::{Identity, Kind, Principal, Tier};
use super::scope::Scope;
use super::signature;
use crate::Time;

/// Issuer and audience of our own tokens.
const OURS: &str = "invispose";
/// Clocks of different hosts differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The longest token that is looked at, bytes.
pub(super) const LONGEST: usize = 8 << 10;

/// Why a token is not taken: for the log, never for the one who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it is malformed: {0}")]
    Malformed(String),
    #[error("its algorithm {0} is not taken")]
    Algorithm(String),
    #[error("its key {0:?} is unknown")]
    UnknownKey(String),
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("it is for another audience")]
    Audience,
    #[error("it has another issuer")]
    Issuer,
    #[error("it was revoked")]
    Revoked,
    #[error("no identity provider is configured")]
    NoProvider,
    #[error("no such API key, or it was withdrawn")]
    NoKey,
    #[error("it was given in more than one way")]
    Twice,
    /// Not the token's fault.
    #[error("it cannot be checked: {0}")]
    Away(String),
}

impl From<jsonwebtoken::errors::Error> for Reason {
    fn from(error: jsonwebtoken::errors::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYet,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAlgorithm => Self::Algorithm("of another kind than its key".into()),
            _ => Self::Malformed(error.to_string()),
        }
    }
}

/// What a token says of itself, unchecked.
pub(super) fn header(token: &str) -> Result<Header, Reason> {
    if token.len() > LONGEST {
        return Err(Reason::TooLong);
    }
    let header = jsonwebtoken::decode_header(token)?;
    // Extensions that have to be understood are not (RFC 7515, 4.1.11), and none of ours is packed or hidden.
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Reason::Malformed("extensions of the header are not understood".into()));
    }
    Ok(header)
}

/// The claims of a token whose signature, times, issuer and audience are right.
pub(super) fn verified<T: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    issuer: &str,
    audience: &str,
    leeway: Duration,
) -> Result<T, Reason> {
    signature::install();
    let mut rules = Validation::new(algorithm);
    rules.leeway = leeway.as_secs();
    rules.validate_nbf = true;
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    Ok(jsonwebtoken::decode(token, key, &rules)?.claims)
}

/// What a token of ours grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub subject: String,
    /// To do what.
    pub scopes: BTreeSet<Scope>,
    /// The only sites; `None`: all.
    pub sites: Option<BTreeSet<String>>,
    /// How often.
    pub tier: Tier,
    /// The API key that it was got with.
    pub client: Option<String>,
    /// The refresh tokens that it belongs to.
    pub family: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    scopes: BTreeSet<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sites: Option<BTreeSet<String>>,
    #[serde(default)]
    tier: Tier,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
}

impl Claims {
    fn marks(&self) -> Vec<String> {
        let client = self.client.as_deref().map(client_mark);
        let family = self.family.as_deref().map(family_mark);
        [Some(format!("token {}", self.jti)), client, family].into_iter().flatten().collect()
    }
}

/// Under which all that was got with an API key is taken back.
pub(super) fn client_mark(id: &str) -> String {
    format!("client {id}")
}

/// Under which all that came from one refresh token is taken back.
pub(super) fn family_mark(id: &str) -> String {
    format!("family {id}")
}

/// Signs our tokens and checks them.
#[derive(Clone)]
pub struct SigningKey {
    secret: [u8; 32],
    id: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Of this secret.
    pub fn new(secret: [u8; 32]) -> Self {
        signature::install();
        let id = hex(Sha256::digest(secret).get(..8).unwrap_or_default());
        Self { secret, id }
    }

    /// The key in this file, which is made where it is missing: nobody but its owner may read it.
    ///
    /// # Errors
    /// It cannot be read or made, or holds something else, or others may read it.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let mode = fs::metadata(path)?.permissions().mode();
                if mode & 0o077 != 0 {
                    let reason = format!("others may read it (mode {:o}): chmod 600", mode & 0o777);
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
                }
                let secret = unhex(text.trim()).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "64 hexadecimal digits are expected")
                })?;
                Ok(Self::new(secret))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(e) => Err(e),
        }
    }

    /// Two processes that come at once take the same one.
    fn make(path: &Path) -> io::Result<Self> {
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(format!("{}\n", hex(&random::<32>())).as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        match linked {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Self::open(path),
        }
    }

    /// A token that is good for `ttl` from now.
    ///
    /// # Errors
    /// Only where the claims cannot be written.
    pub fn mint(&self, grant: &Grant, ttl: Duration) -> Result<String, jsonwebtoken::errors::Error> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: OURS.into(),
            aud: OURS.into(),
            sub: grant.subject.clone(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(ttl.as_secs()),
            jti: uuid::Uuid::now_v7().to_string(),
            scopes: grant.scopes.clone(),
            sites: grant.sites.clone(),
            tier: grant.tier,
            client: grant.client.clone(),
            family: grant.family.clone(),
        };
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&self.secret))
    }

    /// Is this a token of ours that is good at present? It may have been revoked.
    pub fn signed(&self, token: &str) -> bool {
        header(token).and_then(|header| self.check(token, &header, LEEWAY)).is_ok()
    }

    /// Whom a token of ours speaks for.
    pub(super) fn check(&self, token: &str, header: &Header, leeway: Duration) -> Result<Principal, Reason> {
        if let Some(id) = header.kid.as_ref().filter(|id| **id != self.id) {
            return Err(Reason::UnknownKey(shortened(id)));
        }
        let key = DecodingKey::from_secret(&self.secret);
        let claims: Claims = verified(token, &key, Algorithm::HS256, OURS, OURS, leeway)?;
        let marks = claims.marks();
        Ok(Principal::new(Identity {
            name: claims.sub,
            kind: Kind::Token,
            scopes: claims.scopes,
            sites: claims.sites,
            tier: claims.tier,
            expires: Some(moment(claims.exp)),
            marks,
        }))
    }
}

/// A moment given in whole seconds since the Unix epoch.
pub(super) fn moment(seconds: u64) -> Time {
    Time::from_ns(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000))
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}
