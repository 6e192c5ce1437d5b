//! Forged, damaged and foreign tokens: all of them are refused, and in the same words.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::*;

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed(header: &str, claims: &str, secret: &[u8], algorithm: hmac::Algorithm) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", encoded(signature))
}

fn now() -> i64 {
    common::now_ns() / 1_000_000_000
}

fn claims() -> Value {
    json!({
        "iss": "invispose", "aud": "invispose", "sub": "somebody", "jti": "1", "scopes": ["pose:read"],
        "iat": now(), "nbf": now(), "exp": now() + 600,
    })
}

const SECRET: &[u8] = &[7; 32];
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn with(change: Value) -> String {
    let mut all = claims();
    for (name, value) in change.as_object().unwrap() {
        all[name] = value.clone();
    }
    if let Value::Object(members) = &mut all {
        members.retain(|_, value| *value != json!("gone"));
    }
    signed(HEADER, &all.to_string(), SECRET, hmac::HMAC_SHA256)
}

fn headed(header: &str) -> String {
    signed(header, &claims().to_string(), SECRET, hmac::HMAC_SHA256)
}

/// What is wrong with a token, and the token.
fn wrong() -> Vec<(&'static str, String)> {
    let good = headed(HEADER);
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let of = |header: &str, tail: &str| format!("{}.{body}.{tail}", encoded(header));
    let text = claims().to_string();
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut flipped = raw.clone();
    flipped[0] ^= 1;
    let mut longer = raw.clone();
    longer.push(0);
    let plain = base64::engine::general_purpose::STANDARD;
    let padded = base64::engine::general_purpose::URL_SAFE;
    let twice = |name: &str| text.replacen('{', &format!("{{\"{name}\":1,"), 1);
    let mut last = signature.to_owned();
    // The last of 43 characters carries four bits: the others must be zero.
    let end = last.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    last.push(alphabet.chars().nth(alphabet.find(end).unwrap() + 1).unwrap());
    vec![
        ("no algorithm and no signature", of(r#"{"alg":"none"}"#, "")),
        ("no algorithm, in other letters", of(r#"{"alg":"NONE"}"#, "")),
        ("no algorithm, in more other letters", of(r#"{"alg":"nOnE"}"#, "")),
        ("no algorithm and a right signature", headed(r#"{"alg":"none"}"#)),
        ("an empty algorithm", headed(r#"{"alg":""}"#)),
        ("an algorithm that is missing", headed(r#"{"typ":"JWT"}"#)),
        ("an algorithm that is null", headed(r#"{"alg":null}"#)),
        ("a list of algorithms", headed(r#"{"alg":["HS256"]}"#)),
        ("an unknown algorithm", headed(r#"{"alg":"HS257"}"#)),
        ("HS512", signed(r#"{"alg":"HS512"}"#, &text, SECRET, hmac::HMAC_SHA512)),
        ("HS384", signed(r#"{"alg":"HS384"}"#, &text, SECRET, hmac::HMAC_SHA384)),
        ("HS256 said and HS512 done", signed(HEADER, &text, SECRET, hmac::HMAC_SHA512)),
        ("RS256 said and HS256 done", headed(r#"{"alg":"RS256"}"#)),
        ("ES256 said and HS256 done", headed(r#"{"alg":"ES256"}"#)),
        ("EdDSA said and HS256 done", headed(r#"{"alg":"EdDSA"}"#)),
        ("PS256", headed(r#"{"alg":"PS256"}"#)),
        ("another secret", signed(HEADER, &text, &[8; 32], hmac::HMAC_SHA256)),
        ("an empty secret", signed(HEADER, &text, b"", hmac::HMAC_SHA256)),
        ("the secret in hexadecimal", signed(HEADER, &text, "07".repeat(32).as_bytes(), hmac::HMAC_SHA256)),
        ("no signature", format!("{head}.{body}.")),
        ("half a signature", format!("{head}.{body}.{}", encoded(&raw[..16]))),
        ("a longer signature", format!("{head}.{body}.{}", encoded(longer))),
        ("a flipped bit", format!("{head}.{body}.{}", encoded(flipped))),
        ("zeros for a signature", format!("{head}.{body}.{}", encoded([0; 32]))),
        (
            "the signature of other claims",
            format!("{head}.{}.{signature}", encoded(text.replace("pose", "admin"))),
        ),
        ("bits that say nothing", format!("{head}.{body}.{last}")),
        ("a signature with padding", format!("{head}.{body}.{}", padded.encode(&raw))),
        (
            "a signature in another alphabet",
            format!("{head}.{body}.{}", plain.encode([0xfb; 32]).replace('=', "")),
        ),
        ("another key", headed(r#"{"alg":"HS256","kid":"another"}"#)),
        ("a key that is a path", headed(r#"{"alg":"HS256","kid":"../../../../dev/null"}"#)),
        ("a key that is a query", headed(r#"{"alg":"HS256","kid":"x' UNION SELECT 'y"}"#)),
        ("an empty key", headed(r#"{"alg":"HS256","kid":""}"#)),
        ("a key that is a number", headed(r#"{"alg":"HS256","kid":1}"#)),
        ("something critical", headed(r#"{"alg":"HS256","crit":["exp"]}"#)),
        ("nothing critical", headed(r#"{"alg":"HS256","crit":[]}"#)),
        ("compression", headed(r#"{"alg":"HS256","zip":"DEF"}"#)),
        ("encryption", headed(r#"{"alg":"HS256","enc":"A128GCM"}"#)),
        ("two algorithms", headed(r#"{"alg":"none","alg":"HS256"}"#)),
        ("two algorithms the other way", headed(r#"{"alg":"HS256","alg":"none"}"#)),
        ("a header that is a list", headed(r#"["HS256"]"#)),
        ("a header that is no JSON", headed("HS256")),
        ("two values in the header", headed(r#"{"alg":"HS256"}{"alg":"HS256"}"#)),
        ("claims that are a list", signed(HEADER, "[]", SECRET, hmac::HMAC_SHA256)),
        ("claims that are no JSON", signed(HEADER, "exp", SECRET, hmac::HMAC_SHA256)),
        ("no claims", signed(HEADER, "", SECRET, hmac::HMAC_SHA256)),
        ("an end that is said twice", signed(HEADER, &twice("exp"), SECRET, hmac::HMAC_SHA256)),
        ("an audience that is said twice", signed(HEADER, &twice("aud"), SECRET, hmac::HMAC_SHA256)),
        ("it has expired", with(json!({ "exp": now() - 60 }))),
        ("no end", with(json!({ "exp": "gone" }))),
        ("an end that is null", with(json!({ "exp": null }))),
        ("an end that is a text", with(json!({ "exp": (now() + 600).to_string() }))),
        ("an end before the epoch", with(json!({ "exp": -1 }))),
        ("an end that is too large", with(json!({ "exp": 1e300 }))),
        ("not yet", with(json!({ "nbf": now() + 3600 }))),
        ("a beginning that is a text", with(json!({ "nbf": "tomorrow" }))),
        ("another issuer", with(json!({ "iss": "invispose.example" }))),
        ("no issuer", with(json!({ "iss": "gone" }))),
        ("a list of issuers", with(json!({ "iss": ["invispose", "evil"] }))),
        ("another audience", with(json!({ "aud": "others" }))),
        ("no audience", with(json!({ "aud": "gone" }))),
        ("nobody for an audience", with(json!({ "aud": [] }))),
        ("no subject", with(json!({ "sub": "gone" }))),
        ("a subject that is a number", with(json!({ "sub": 1 }))),
        ("scopes that are a text", with(json!({ "scopes": "admin:all" }))),
        ("unknown scopes", with(json!({ "scopes": ["pose:read", "root"] }))),
        ("sites that are a text", with(json!({ "sites": "lab" }))),
        ("more than is read", with(json!({ "more": "x".repeat(9000) }))),
        ("one part", head.to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{head}..{body}.{body}.{signature}")),
        ("dots", "..".to_owned()),
        ("a space", format!("{head} .{body}.{signature}")),
        ("JSON", json!({ "protected": head, "payload": body, "signature": signature }).to_string()),
        ("no token", "token".to_owned()),
    ]
}

#[tokio::test]
async fn none_of_them_is_taken() {
    let log = heard();
    let server = server().await;
    let get =
        async |token: &str| server.get_with("/api/v1/sites", &[("authorization", &bearer(token))]).await;
    assert_eq!(get(&headed(HEADER)).await.status, 200, "made by hand, and right");
    assert_eq!(
        get(&with(json!({ "aud": "invispose", "nbf": "gone", "iat": "gone" }))).await.status,
        401,
        "ours say all"
    );
    let mut words = BTreeSet::new();
    for (why, token) in wrong() {
        let answer = get(&token).await;
        assert_eq!(answer.status, 401, "{why}: {token}");
        words.insert((answer.text().to_owned(), answer.header("www-authenticate").to_owned()));
    }
    assert_eq!(words.len(), 1, "{words:?}");
    // Any other character anywhere.
    let good = headed(HEADER);
    for (place, old) in good.char_indices() {
        let new = if old == 'A' { "B" } else { "A" };
        let mut token = good.clone();
        token.replace_range(place..=place, new);
        assert_eq!(get(&token).await.status, 401, "{place}");
    }
    let good = bearer(&good);
    for (headers, why) in [
        (vec![("authorization", good.as_str()), ("authorization", good.as_str())], "twice"),
        (vec![("authorization", good.as_str()), ("x-api-key", "ivk_1_2")], "in two ways"),
        (vec![("authorization", "Basic c29tZWJvZHk6eA==")], "another scheme"),
        (vec![("authorization", "Bearer")], "a scheme alone"),
        (vec![("authorization", "Bearer ")], "nothing"),
        (vec![("x-api-key", "")], "no key"),
    ] {
        assert_eq!(server.get_with("/api/v1/sites", &headers).await.status, 401, "{why}");
    }
    // The log says why, and that it says no more.
    let said = log.text();
    let refusals = said.lines().filter(|line| line.contains("are refused")).count();
    assert!(said.contains("credentials from 127.0.0.1 are refused: it is malformed"), "{said}");
    assert!((5..200).contains(&refusals), "{refusals} of more than 400");
}

#[tokio::test]
async fn the_log_says_what_was_wrong() {
    let log = heard();
    let server = server().await;
    for (token, reason) in [
        (with(json!({ "exp": now() - 60 })), "it has expired"),
        (with(json!({ "nbf": now() + 3600 })), "it is not valid yet"),
        (with(json!({ "iss": "x" })), "it has another issuer"),
        (with(json!({ "aud": "x" })), "it is for another audience"),
        (signed(HEADER, &claims().to_string(), b"x", hmac::HMAC_SHA256), "its signature is wrong"),
        (headed(r#"{"alg":"HS256","kid":"x"}"#), "its key \"x\" is unknown"),
        (headed(r#"{"alg":"HS384"}"#), "its algorithm HS384 is not taken"),
        (headed(r#"{"alg":"RS256"}"#), "no identity provider is configured"),
        ("x".repeat(9000), "it is longer than 8192 bytes"),
        ("ivk_1_2".into(), "no such API key"),
    ] {
        server.get_with("/api/v1/sites", &[("authorization", &bearer(&token))]).await;
        assert!(log.text().contains(reason), "{reason}: {}", log.text());
    }
}
