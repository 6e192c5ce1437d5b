//! Tokens of an identity provider: a small one of our own that speaks discovery, JWKS and rotation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use axum::{Form, http::StatusCode};
use base64::Engine;
use invispose_api::access::{LoginConfig, ProviderConfig};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, signature};
use tokio::net::TcpListener;

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
    /// What a code has to come with, and what it is changed for.
    codes: Arc<Mutex<Vec<(Value, Value)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Provider {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/keys"),
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "code_challenge_methods_supported": ["S256"],
        });
        Self::saying(listener, issuer, discovery, keys)
    }

    /// One with this discovery document.
    fn saying(listener: TcpListener, issuer: String, discovery: Value, keys: Vec<Value>) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let fetched = Arc::<AtomicUsize>::default();
        let codes = Arc::<Mutex<Vec<(Value, Value)>>>::default();
        let (shown, count, known) = (keys.clone(), fetched.clone(), codes.clone());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || axum::Json(discovery)))
            .route(
                "/keys",
                get(async move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    axum::Json(json!({ "keys": shown.lock().unwrap().clone() }))
                }),
            )
            .route(
                "/token",
                post(async move |Form(asked): Form<Value>| {
                    let mut known = known.lock().unwrap();
                    match known.iter().position(|(wanted, _)| *wanted == asked) {
                        Some(place) => (StatusCode::OK, axum::Json(known.remove(place).1)),
                        None => (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": "invalid_grant" }))),
                    }
                }),
            );
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { issuer, keys, fetched, codes, task }
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
            login: Some(LoginConfig { client_id: "page".into(), scope: "openid".into() }),
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

const HERE: &str = "http://127.0.0.1/";

async fn arrive(server: &Server, code: &str, verifier: &str) -> common::Answer {
    let form =
        serde_urlencoded::to_string([("code", code), ("code_verifier", verifier), ("redirect_uri", HERE)])
            .unwrap();
    server.post("/oauth/login", &[("content-type", "application/x-www-form-urlencoded")], form).await
}

#[tokio::test]
async fn people_sign_in_at_the_provider() {
    let key = Private::ed();
    let provider = Provider::start(vec![key.public("d")]).await;
    let server = provider.server(Duration::ZERO).await;
    let offer = server.get("/oauth/login").await;
    assert_eq!(
        offer.json(),
        json!({ "provider": {
            "issuer": provider.issuer, "authorization_endpoint": format!("{}/authorize", provider.issuer),
            "client_id": "page", "scope": "openid", "audience": "invispose",
        } })
    );
    assert_eq!(offer.headers["cache-control"], "no-store");

    let (verifier, claims) = ("v".repeat(43), provider.claims(json!({})));
    let good = |token: String| json!({ "access_token": token, "token_type": "Bearer", "refresh_token": "kept back" });
    let wanted = |code: &str| {
        json!({
            "grant_type": "authorization_code", "client_id": "page", "code": code,
            "code_verifier": verifier, "redirect_uri": HERE,
        })
    };
    let add = |code: &str, answer| provider.codes.lock().unwrap().push((wanted(code), answer));
    let token = key.token(key.header("d"), &claims);
    add("mine", good(token.clone()));
    // Whoever has the code alone gets nothing.
    assert_eq!(arrive(&server, "mine", &"w".repeat(43)).await.status, 400);
    let signed_in = arrive(&server, "mine", &verifier).await;
    assert_eq!(signed_in.json(), json!({ "access_token": token, "scope": "pose:read" }));
    assert_eq!(signed_in.headers["cache-control"], "no-store");
    assert_eq!(status(&server, &token).await, 200);
    assert_eq!(arrive(&server, "mine", &verifier).await.status, 400);
    assert_eq!(arrive(&server, "other", "short").await.status, 400);

    // Tokens that this server would not take are not handed on.
    let elsewhere = provider.claims(json!({ "aud": "others" }));
    add("elsewhere", good(key.token(key.header("d"), &elsewhere)));
    add("opaque", good("no JSON Web Token".into()));
    add("bound", json!({ "access_token": token, "token_type": "DPoP" }));
    add("nothing", json!({}));
    for code in ["elsewhere", "opaque", "bound", "nothing"] {
        let answer = arrive(&server, code, &verifier).await;
        assert_eq!(answer.status, 503, "{code}");
        assert!(!answer.text().contains("token\":"), "{code}");
    }
}

#[tokio::test]
async fn nobody_is_sent_where_signing_in_is_not_safe() {
    let good = |issuer: &str| {
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "code_challenge_methods_supported": ["S256"],
        })
    };
    for (member, value) in [
        ("issuer", json!("http://127.0.0.1:1")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", json!("http://id.example/authorize")),
        ("token_endpoint", json!("http://id.example/token")),
        ("token_endpoint", json!(null)),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("code_challenge_methods_supported", json!([])),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let mut said = good(&issuer);
        said[member] = value.clone();
        let provider = Provider::saying(listener, issuer, said, vec![]);
        let server = provider.server(Duration::ZERO).await;
        assert_eq!(server.get("/oauth/login").await.status, 503, "{member} {value}");
        assert_eq!(arrive(&server, "any", &"v".repeat(43)).await.status, 503, "{member} {value}");
    }
    // Without a provider there is nothing to offer.
    let server = server().await;
    assert_eq!(server.get("/oauth/login").await.json(), json!({ "provider": null }));
    assert_eq!(arrive(&server, "any", &"v".repeat(43)).await.status, 400);
}
