//! The keys of an identity provider (RFC 7517), and which of them a token is signed with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, Header};
use serde::Deserialize;

/// Keys that are looked at.
const MOST: usize = 64;

/// A key set (RFC 7517, 5). A key of a kind that is not known does not hide the others.
#[derive(Default, Deserialize)]
#[serde(from = "Written")]
pub(super) struct KeySet(Vec<Jwk>);

#[derive(Deserialize)]
struct Written {
    keys: Vec<serde_json::Value>,
}

impl From<Written> for KeySet {
    fn from(written: Written) -> Self {
        let keys = written.keys.into_iter().take(MOST);
        Self(keys.filter_map(|key| serde_json::from_value(key).ok()).collect())
    }
}

impl KeySet {
    /// The keys for signatures of this algorithm.
    pub(super) fn fitting(&self, algorithm: Algorithm) -> impl Iterator<Item = &Jwk> {
        self.0.iter().filter(move |key| fits(key, algorithm))
    }

    /// The key that a token names.
    pub(super) fn find(&self, header: &Header) -> Option<&Jwk> {
        let mut fitting = self.fitting(header.alg);
        match &header.kid {
            Some(id) => fitting.find(|key| key.common.key_id.as_ref() == Some(id)),
            // Without a name there is no choice to make.
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

/// Is this key for signatures of this algorithm?
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let family = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => Some(KeyAlgorithm::RS256),
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) if key.curve == EllipticCurve::P256 => {
            Some(KeyAlgorithm::ES256)
        }
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) if key.curve == EllipticCurve::Ed25519 => {
            Some(KeyAlgorithm::EdDSA)
        }
        _ => None,
    };
    family.is_some()
        && common.key_algorithm.is_none_or(|own| Some(own) == family)
        && common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
}
