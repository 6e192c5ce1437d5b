//! How often, from where, and by default.

use super::*;

#[tokio::test]
async fn rates_are_limited_by_caller() {
    let limits = RateLimits { default: 2, authenticated: 4, premium: 0, streaming: 3, local: 0 };
    let server = with(guarded(limits)).await;
    let get =
        async |token: &str| server.get_with("/api/v1/sites", &[("authorization", &bearer(token))]).await;
    let one = token(&[Scope::PoseRead, Scope::StreamSubscribe]);
    for left in [3, 2, 1, 0] {
        let answer = get(&one).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-limit")), (200, "4"));
        assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
    }
    let answer = get(&one).await;
    assert_eq!(answer.status, 429);
    let after: i64 = answer.header("retry-after").parse().unwrap();
    assert!((800..=900).contains(&after), "a quarter of an hour: {after}");
    assert_eq!(answer.json(), json!({ "error": "Rate limit exceeded", "retry_after": after }));
    let reset: i64 = answer.header("x-ratelimit-reset").parse().unwrap();
    assert!((reset - common::now_ns() / 1_000_000_000 - after).abs() <= 2);
    // Somebody else is somebody else, and some pay for more.
    let grant = |name: &str, tier| Grant {
        subject: name.into(),
        scopes: [Scope::PoseRead].into(),
        tier,
        ..Grant::default()
    };
    let premium = key().mint(&grant("rich", invispose_api::access::Tier::Premium), HOUR).unwrap();
    for _ in 0..9 {
        assert_eq!(get(&premium).await.status, 200);
    }
    // What GraphQL is asked for counts by its size.
    let other = key().mint(&grant("other", Default::default()), HOUR).unwrap();
    let large = "{ frames(first: 100) { nodes { persons { keypoints { id name x y confidence } } } } }";
    let headers = [("content-type", "application/json"), ("authorization", &bearer(&other))];
    let answer = server.post("/graphql", &headers, json!({ "query": large }).to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (429, &json!("Rate limit exceeded")));
    // Guessing is counted by address.
    for expected in [401, 401, 429] {
        assert_eq!(server.get("/api/v1/sites").await.status, expected);
    }
    // And so is talking.
    let mut socket = open(&server, &one).await;
    for expected in ["pong", "pong", "pong", "error"] {
        socket.send(json!({ "type": "ping" })).await;
        assert_eq!(socket.receive().await["type"], expected);
    }
}

#[tokio::test]
async fn addresses_behind_trusted_proxies_are_told_apart() {
    let limits = RateLimits { default: 1, ..FREE };
    let mut config = guarded(limits);
    config.access.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    let server = with(config).await;
    let from = async |chain: &str| {
        server.get_with("/api/v1/sites", &[("x-forwarded-for", chain)]).await.status.as_u16()
    };
    assert_eq!(from("192.0.2.1").await, 401);
    assert_eq!(from("192.0.2.1").await, 429);
    assert_eq!(from("192.0.2.2, 10.1.1.1").await, 401);
    assert_eq!(from("203.0.113.9, 192.0.2.2:4711").await, 429, "what strangers claim is not believed");
    assert_eq!(from("2001:db8:1:2::3").await, 401);
    assert_eq!(from("[2001:db8:1:2:ffff::1]:80").await, 429, "a network is one caller");
}

#[tokio::test]
async fn pages_of_configured_origins_may_ask() {
    let mut config = guarded(FREE);
    config.allowed_origins = vec!["https://ops.example".into()];
    let server = with(config).await;
    for (origin, allowed) in [("https://ops.example", true), ("https://evil.example", false)] {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization"),
        ];
        let mut request =
            Request::options("/api/v1/config/zones/x").header("host", server.address.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let preflight = server.request(request.body(Full::default()).unwrap()).await;
        let actual = server.get_with("/api/v1/sites", &[("origin", origin)]).await;
        for answer in [preflight, actual] {
            let expected = if allowed { origin } else { "" };
            assert_eq!(answer.header("access-control-allow-origin"), expected);
        }
    }
}

#[tokio::test]
async fn nobody_has_to_say_who_they_are_on_loopback() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/sites").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-limit")), (200, ""));
    // Whoever does is taken at their word.
    assert_eq!(server.get_with("/api/v1/sites", &[("authorization", "Bearer x")]).await.status, 401);
    // Elsewhere everybody has to, unless it is switched off by name.
    for (open, status) in [(false, 401), (true, 404)] {
        let access = AccessConfig { open_elsewhere: open, ..AccessConfig::default() };
        let config = ApiConfig { access, ..ApiConfig::default() };
        let state = invispose_api::ApiState::new(vec![], server.health.clone(), config);
        let (_close, closing) = tokio::sync::watch::channel(false);
        let router = invispose_api::router(state, false, closing);
        let request = Request::get("/api/v1/pose/current").header("host", "pose.example");
        let request = request.body(axum::body::Body::empty()).unwrap();
        assert_eq!(tower::ServiceExt::oneshot(router, request).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn servers_on_one_database_count_and_revoke_together() {
    let Some(postgres) = super::postgres::Postgres::start() else { return };
    let limits = RateLimits { authenticated: 4, ..FREE };
    let (mut servers, database) = (Vec::new(), Some(postgres.database("shared")));
    for _ in 0..2 {
        let database = database.clone();
        let options =
            Options { sites: vec!["lab", "attic"], config: guarded(limits), database, ..Options::default() };
        servers.push(Server::with(options).await);
    }
    let one = token(&[Scope::PoseRead]);
    let ask = async |server: &Server, token: &str| {
        server.get_with("/api/v1/sites", &[("authorization", &bearer(token))]).await
    };
    for (round, left) in [3, 2, 1, 0].into_iter().enumerate() {
        let answer = ask(&servers[round % 2], &one).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-ratelimit-remaining")),
            (200, &*left.to_string())
        );
    }
    for server in &servers {
        assert_eq!(ask(server, &one).await.status, 429);
    }
    let form = format!("token={one}");
    let auth = bearer(&one);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", auth.as_str())];
    assert_eq!(servers[0].post("/oauth/revoke", &headers, form).await.status, 200);
    let end = Instant::now() + Duration::from_secs(60);
    while ask(&servers[1], &one).await.status != 401 {
        assert!(Instant::now() < end, "the other server never hears of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
