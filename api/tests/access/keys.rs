//! API keys, the tokens that they get, and the audit log.

use invispose_api::store::AuditQuery;

use super::*;

async fn api_key(server: &Server, scopes: &[Scope], more: Value) -> Value {
    let mut body = json!({ "name": "sensor", "scopes": scopes });
    if let (Value::Object(to), Value::Object(from)) = (&mut body, more) {
        to.extend(from);
    }
    let made = ask(server, "POST", "/api/v1/keys", Some(&token(&[Scope::AdminAll])), body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

async fn form(server: &Server, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let answer = server.post(path, &[("content-type", "application/x-www-form-urlencoded")], body).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn an_api_key_is_shown_once_and_can_be_withdrawn() {
    let server = server().await;
    let made =
        api_key(&server, &[Scope::PoseRead, Scope::StreamSubscribe], json!({ "sites": ["lab"] })).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(secret.starts_with(made["prefix"].as_str().unwrap()) && secret.len() > 64);
    assert_eq!((&made["tier"], &made["last_used_at"]), (&json!("authenticated"), &Value::Null));

    let admin = token(&[Scope::AdminAll]);
    let list = ask(&server, "GET", "/api/v1/keys", Some(&admin), Value::Null).await;
    assert!(!list.text().contains(secret) && list.json()["keys"][0]["key"].is_null());
    let files: Vec<u8> = std::fs::read_dir(server.dir.path())
        .unwrap()
        .filter_map(|f| std::fs::read(f.unwrap().path()).ok())
        .flatten()
        .collect();
    let tail = &secret.as_bytes()[secret.len() - 32..];
    assert!(!files.windows(32).any(|w| w == tail), "the key itself is kept nowhere");

    for headers in [("x-api-key", secret.to_owned()), ("authorization", bearer(secret))] {
        let answer = server.get_with("/api/v1/pose/zones", &[(headers.0, &headers.1)]).await;
        assert_eq!(answer.json()["site_id"], "lab");
    }
    let wrong = format!("{}0", &secret[..secret.len() - 1]);
    for (wrong, why) in
        [(wrong.as_str(), "another secret"), ("ivk_", "none"), ("ivk_0123456789abcdef_00", "nobody's")]
    {
        if wrong != secret {
            assert_eq!(
                server.get_with("/api/v1/pose/zones", &[("x-api-key", wrong)]).await.status,
                401,
                "{why}"
            );
        }
    }
    let end = Instant::now() + Duration::from_secs(60);
    let path = format!("/api/v1/keys/{id}");
    while ask(&server, "GET", &path, Some(&admin), Value::Null).await.json()["last_used_at"].is_null() {
        assert!(Instant::now() < end, "its use is never noted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // As an OAuth2 client.
    let client = [("client_id", id), ("client_secret", secret)];
    let grant = [client[0], client[1], ("grant_type", "client_credentials")];
    let (status, first) = form(&server, "/oauth/token", &grant).await;
    assert_eq!((status, &first["token_type"]), (200, &json!("Bearer")), "{first}");
    let fewer = [grant[0], grant[1], grant[2], ("scope", "pose:read")];
    assert_eq!(form(&server, "/oauth/token", &fewer).await.1["scope"], "pose:read");
    for (fields, error) in [
        (vec![grant[0], grant[1], grant[2], ("scope", "admin:all")], "invalid_scope"),
        (vec![grant[0], grant[1]], "invalid_request"),
        (vec![grant[0], grant[1], ("grant_type", "password")], "unsupported_grant_type"),
        (vec![grant[0], ("client_secret", "x"), grant[2]], "invalid_client"),
        (vec![("client_id", "x"), grant[1], grant[2]], "invalid_client"),
    ] {
        assert_eq!(form(&server, "/oauth/token", &fields).await.1["error"], error);
    }
    let access = |answer: &Value| bearer(answer["access_token"].as_str().unwrap());
    let zones = async |answer: &Value| {
        server.get_with("/api/v1/pose/zones", &[("authorization", &access(answer))]).await
    };
    assert_eq!(zones(&first).await.json()["site_id"], "lab");

    // Refresh tokens turn over; an old one that comes again ends all of its family.
    let refresh = async |answer: &Value| {
        let token = answer["refresh_token"].as_str().unwrap();
        form(
            &server,
            "/oauth/token",
            &[client[0], client[1], ("grant_type", "refresh_token"), ("refresh_token", token)],
        )
        .await
    };
    let (_, second) = refresh(&first).await;
    assert_eq!(zones(&second).await.status, 200, "{second}");
    assert_eq!(refresh(&first).await.1["error"], "invalid_grant");
    assert_eq!(zones(&second).await.status, 401);
    assert_eq!(refresh(&second).await.1["error"], "invalid_grant");

    // Revocation, and what is nobody's business.
    let (_, third) = form(&server, "/oauth/token", &grant).await;
    let revoke = [client[0], client[1], ("token", third["access_token"].as_str().unwrap())];
    assert_eq!(form(&server, "/oauth/revoke", &revoke).await.0, 200);
    assert_eq!(zones(&third).await.status, 401);
    assert_eq!(form(&server, "/oauth/revoke", &[client[0], client[1], ("token", "x")]).await.0, 200);
    assert_eq!(form(&server, "/oauth/revoke", &[("token", "x")]).await.0, 401);

    let (_, fourth) = form(&server, "/oauth/token", &grant).await;
    assert_eq!(ask(&server, "DELETE", &path, Some(&admin), Value::Null).await.status, 204);
    assert_eq!(zones(&fourth).await.status, 401);
    assert_eq!(server.get_with("/api/v1/pose/zones", &[("x-api-key", secret)]).await.status, 401);
    let _ = Request::new(Full::<hyper::body::Bytes>::default());
}

#[tokio::test]
async fn changes_and_refusals_are_in_the_audit_log() {
    let server = server().await;
    let admin = token(&[Scope::AdminAll]);
    let zone = json!({ "id": "desk", "polygon_m": [[0, 0], [1, 0], [1, 1]] });
    assert_eq!(ask(&server, "POST", "/api/v1/config/zones", Some(&admin), zone).await.status, 201);
    let query = r#"mutation { createTemplate(id: "t", settings: { name: "x", settings: {} }) { id } deleteTemplate(id: "none", version: 1) }"#;
    assert_eq!(code(&graphql(&server, &admin, query).await), "NOT_FOUND");
    // Bad requests change nothing.
    assert_eq!(ask(&server, "POST", "/api/v1/config/zones", Some(&admin), json!({})).await.status, 422);
    for _ in 0..50 {
        assert_eq!(server.get_with("/api/v1/pose/current", &[("x-api-key", "ivk_1_2")]).await.status, 401);
    }
    let poor = token(&[Scope::PoseRead]);
    assert_eq!(ask(&server, "GET", "/api/v1/audit", Some(&poor), Value::Null).await.status, 403);
    let grant = Grant { subject: "sensor".into(), scopes: [Scope::PoseRead].into(), ..Grant::default() };
    invispose_api::access::note_token(&server.store, "mia", &grant).await.unwrap();
    let by_hand =
        server.store.audit(&AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().remove(0);
    assert_eq!(
        (by_hand.who.as_str(), by_hand.operation.as_str()),
        ("mia on the command line", "token create")
    );
    assert_eq!(by_hand.object, "sensor: pose:read; all sites");
    let done = "/api/v1/audit?outcome=done&who=somebody";
    let log = ask(&server, "GET", done, Some(&admin), Value::Null).await.json();
    let said = |key: &str| -> Vec<String> {
        log["entries"].as_array().unwrap().iter().map(|e| e[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said("operation"), ["mutation createTemplate", "POST /api/config/zones"], "{log}");
    assert_eq!(said("who"), ["somebody", "somebody"]);
    assert_eq!(said("address"), ["127.0.0.1", "127.0.0.1"]);
    assert_eq!(log["entries"][0]["object"], r#"id: "t""#);
    let same = "{ auditLog(outcome: DONE, who: \"somebody\", first: 1) { operation outcome } }";
    let same = graphql(&server, &admin, same).await;
    assert_eq!(
        same["data"]["auditLog"],
        json!([{ "operation": "mutation createTemplate", "outcome": "DONE" }])
    );

    // What was refused is written together, and nothing of it is lost at the end.
    let store = server.store.clone();
    let dir = server.end().await;
    let query = AuditQuery { limit: 100, ..AuditQuery::default() };
    let refused: Vec<_> =
        store.audit(&query).await.unwrap().into_iter().filter(|e| e.detail.contains("not")).collect();
    let current: Vec<_> = refused.iter().filter(|e| e.operation == "GET /api/pose/current").collect();
    assert!(current.len() <= 2, "{current:?}");
    assert_eq!(current.iter().map(|e| e.times).sum::<u64>(), 50);
    assert!(refused.iter().any(|e| e.operation == "GET /api/audit" && e.who == "somebody"), "{refused:?}");
    drop(dir);
}
