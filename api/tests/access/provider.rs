//! Tokens of an identity provider: a small one of our own that speaks discovery, JWKS and rotation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine;
use invispose_api::access::ProviderConfig;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};

use super::jws::encoded;
use super::*;

/// Made with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048` for these tests.
const RSA: &str = include_str!("rsa.pem");

enum Private {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Private {
    fn rsa() -> Self {
        let body: String = RSA.lines().filter(|line| !line.starts_with("--")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).unwrap()))
    }

    fn ec() -> Self {
        Self::Ec(ec(&ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn public(&self, id: &str) -> Value {
        let mut key = match self {
            Self::Rsa(key) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": encoded(n), "e": encoded(e) })
            }
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..]) })
            }
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(key.public_key().as_ref()) })
            }
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().into();
        key
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, header: Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        format!("{message}.{}", encoded(self.sign(message.as_bytes())))
    }

    fn header(&self, id: &str) -> Value {
        json!({ "alg": self.algorithm(), "kid": id })
    }
}

fn ec(algorithm: &'static signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    fetched: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Provider {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
        let keys = Arc::new(Mutex::new(keys));
        let fetched = Arc::<AtomicUsize>::default();
        let (shown, count) = (keys.clone(), fetched.clone());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || axum::Json(discovery)))
            .route(
                "/keys",
                get(async move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    axum::Json(json!({ "keys": shown.lock().unwrap().clone() }))
                }),
            );
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { issuer, keys, fetched, task }
    }

    fn claims(&self, change: Value) -> Value {
        let now = common::now_ns() / 1_000_000_000;
        let mut claims = json!({
            "iss": self.issuer, "aud": ["invispose", "others"], "sub": "alice", "exp": now + 600, "scope": "openid pose:read",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    async fn server(&self, refetch_after: Duration) -> Server {
        let mut config = guarded(FREE);
        config.access.provider = Some(ProviderConfig {
            issuer: self.issuer.clone(),
            audience: "invispose".into(),
            keys_url: None,
            refetch_after: Some(refetch_after),
        });
        with(config).await
    }
}

async fn status(server: &Server, token: &str) -> u16 {
    server.get_with("/api/v1/pose/zones", &[("authorization", &bearer(token))]).await.status.as_u16()
}

#[tokio::test]
async fn keys_of_three_kinds_and_their_rotation() {
    let (rsa, ec, ed) = (Private::rsa(), Private::ec(), Private::ed());
    let strange = json!({ "kty": "XYZ", "kid": "z" });
    let provider = Provider::start(vec![strange, rsa.public("r"), ec.public("e"), ed.public("d")]).await;
    let server = provider.server(Duration::ZERO).await;
    let claims = provider.claims(json!({}));
    for (key, id) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        assert_eq!(status(&server, &key.token(key.header(id), &claims)).await, 200, "{id}");
    }
    assert_eq!(provider.fetched.load(Ordering::Relaxed), 1);
    // Scopes, as a list too, and sites.
    let change = json!({ "scope": null, "scopes": ["pose:read"], "sites": ["attic"] });
    let token = ed.token(ed.header("d"), &provider.claims(change));
    let answer = server.get_with("/api/v1/sites", &[("authorization", &bearer(&token))]).await.json();
    assert_eq!(
        (answer["sites"].as_array().unwrap().len(), &answer["sites"][0]["site_id"]),
        (1, &json!("attic"))
    );
    let none = ed.token(ed.header("d"), &provider.claims(json!({ "scope": "openid" })));
    assert_eq!(status(&server, &none).await, 403);

    // The provider turns its keys over.
    let next = Private::ed();
    *provider.keys.lock().unwrap() = vec![next.public("next")];
    assert_eq!(status(&server, &next.token(next.header("next"), &claims)).await, 200);
    assert_eq!(status(&server, &ed.token(ed.header("d"), &claims)).await, 401);
    // And goes away: what is known goes on.
    provider.task.abort();
    assert_eq!(status(&server, &next.token(next.header("next"), &claims)).await, 200);
}

#[tokio::test]
async fn whoever_forges_gets_nowhere() {
    let (rsa, ec, ed) = (Private::rsa(), Private::ec(), Private::ed());
    let mut encrypts = Private::ed().public("enc");
    encrypts["use"] = "enc".into();
    let provider = Provider::start(vec![rsa.public("r"), ec.public("e"), ed.public("d"), encrypts]).await;
    let server = provider.server(Duration::from_secs(3600)).await;
    let claims = provider.claims(json!({}));
    assert_eq!(status(&server, &ec.token(ec.header("e"), &claims)).await, 200);

    let hs256 = |secret: &[u8]| {
        let message = format!("{}.{}", encoded(r#"{"alg":"HS256","kid":"r"}"#), encoded(claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", encoded(tag))
    };
    let public = ed.public("d")["x"].as_str().unwrap().to_owned();
    let point = match &ec {
        Private::Ec(key) => key.public_key().as_ref().to_vec(),
        _ => unreachable!(),
    };
    let message = format!("{}.{}", encoded(ec.header("e").to_string()), encoded(claims.to_string()));
    let der =
        self::ec(&ECDSA_P256_SHA256_ASN1_SIGNING).sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let stranger = Private::ed();
    let mut own = stranger.header("d");
    own["jwk"] = stranger.public("d");
    let ec_tail = |tail: &[u8]| format!("{message}.{}", encoded(tail));
    let seconds = common::now_ns() / 1_000_000_000;
    for (why, token) in [
        ("a public key as a shared secret", hs256(public.as_bytes())),
        ("the bytes of one", hs256(&point)),
        ("its file", hs256(RSA.as_bytes())),
        ("r and s that are zero", ec_tail(&[0; 64])),
        ("a signature in DER", ec_tail(der.as_ref())),
        ("r alone", ec_tail(&[1; 32])),
        ("a key of another kind", ec.token(json!({ "alg": "ES256", "kid": "r" }), &claims)),
        ("the name of another algorithm", ec.token(json!({ "alg": "EdDSA", "kid": "e" }), &claims)),
        ("the name of a larger one", rsa.token(json!({ "alg": "RS512", "kid": "r" }), &claims)),
        ("a padding that is not taken", rsa.token(json!({ "alg": "PS256", "kid": "r" }), &claims)),
        ("a key of one's own in the header", stranger.token(own, &claims)),
        ("another's key under a known name", stranger.token(stranger.header("d"), &claims)),
        ("an unknown name", stranger.token(stranger.header("x"), &claims)),
        ("a key for encryption", stranger.token(stranger.header("enc"), &claims)),
        ("another audience", ed.token(ed.header("d"), &provider.claims(json!({ "aud": "others" })))),
        (
            "another issuer",
            ed.token(ed.header("d"), &provider.claims(json!({ "iss": "https://evil.example" }))),
        ),
        ("ours for an issuer", ed.token(ed.header("d"), &provider.claims(json!({ "iss": "invispose" })))),
        ("an end that is past", ed.token(ed.header("d"), &provider.claims(json!({ "exp": seconds - 60 })))),
        ("a beginning to come", ed.token(ed.header("d"), &provider.claims(json!({ "nbf": seconds + 600 })))),
    ] {
        assert_eq!(status(&server, &token).await, 401, "{why}");
    }
    // However many unknown keys are named, the provider is asked no more often.
    for n in 0..50 {
        assert_eq!(status(&server, &stranger.token(stranger.header(&n.to_string()), &claims)).await, 401);
    }
    assert_eq!(provider.fetched.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_is_not_the_callers_fault() {
    let key = Private::ed();
    let provider = Provider::start(vec![key.public("d")]).await;
    let claims = provider.claims(json!({}));
    let server = provider.server(Duration::ZERO).await;
    provider.task.abort();
    let gone = async || status(&server, &key.token(key.header("d"), &claims)).await;
    let end = Instant::now() + Duration::from_secs(60);
    while gone().await == 200 {
        assert!(Instant::now() < end, "the provider does not go away");
    }
    assert_eq!(gone().await, 503);
}
