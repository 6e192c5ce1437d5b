//! What is stated, and every operation with and without the rights to it.

use super::*;

#[tokio::test]
async fn nothing_is_without_a_stated_scope() {
    let stated: BTreeSet<String> = OPERATIONS.iter().map(Operation::name).collect();
    assert_eq!(stated.len(), OPERATIONS.len(), "an operation is stated twice");
    let mut asked = BTreeSet::new();

    // Every route of the router, and every method that it describes.
    let server = server().await;
    let (_close, closing) = tokio::sync::watch::channel(false);
    let routes = format!("{:?}", invispose_api::router(server.state.clone(), true, closing));
    let mut found = 0;
    for route in routes.split('"').filter(|text| text.starts_with('/')) {
        if route.contains("*method") || route.contains("__private__") {
            continue;
        }
        found += 1;
        let plain = ["/api/v1/", "/api/v2/"].iter().fold(route.to_owned(), |r, v| r.replacen(v, "/api/", 1));
        let known = |o: &Operation| matches!(o.what, What::Http(_, path) if path == plain);
        assert!(OPERATIONS.iter().any(known), "{route} has no stated scope");
    }
    assert!(found > 90, "the router shows its routes no more: {found} in {routes}");
    for (path, item) in invispose_api::rest::openapi().paths.paths {
        let methods = [("GET", item.get), ("POST", item.post), ("PUT", item.put), ("DELETE", item.delete)];
        for (method, operation) in methods {
            if operation.is_some() {
                asked.insert(format!("{method} {}", path.replacen("/api/v1", "/api", 1)));
            }
        }
    }

    // Every root field of the schema.
    let fields = "{ __schema { queryType { fields { name } } mutationType { fields { name } } subscriptionType { fields { name } } } }";
    let schema = graphql(&server, &token(&[]), fields).await["data"]["__schema"].clone();
    for (root, word) in
        [("queryType", "query"), ("mutationType", "mutation"), ("subscriptionType", "subscription")]
    {
        for field in schema[root]["fields"].as_array().unwrap_or_else(|| panic!("{schema}")) {
            asked.insert(format!("{word} {}", field["name"].as_str().unwrap()));
        }
    }

    // Every topic, every RPC, every command.
    let mut socket = open(&server, &token(&[Scope::AdminAll])).await;
    socket.send(json!({ "type": "subscribe", "topic": "?" })).await;
    let known =
        socket.receive().await["message"].as_str().unwrap().split("known: ").nth(1).unwrap().to_owned();
    asked.extend(known.split(", ").map(|topic| format!("topic {topic}")));
    for proto in ["pose", "history", "events"] {
        let path = format!("{}/proto/invispose/v1/{proto}.proto", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let service = text.split("service ").nth(1).unwrap();
        let name = service.split_whitespace().next().unwrap();
        for method in service.split("rpc ").skip(1) {
            asked.insert(format!("rpc invispose.v1.{name}/{}", method.split('(').next().unwrap()));
        }
    }
    let missing: Vec<_> = asked.difference(&stated).collect();
    assert!(missing.is_empty(), "without a stated scope: {missing:?}");
    // And the other way: what is stated exists. Commands have tests of their own.
    let gone: Vec<_> = stated
        .difference(&asked)
        .filter(|name| name.contains(" /api/") || !(name.contains(" /") || name.starts_with("command")))
        .filter(|name| !name.starts_with("rpc grpc."))
        .filter(|name| !name.contains("/api/config/zones"))
        .collect();
    assert!(gone.is_empty(), "stated and not there: {gone:?}");
}

#[tokio::test]
async fn every_route_is_tried_with_and_without_rights() {
    let mut server = server().await;
    server.feeds[0].publish(vec![person(5, 0.9, 1.0, Some(0))]);
    let admin_elsewhere = token_for(&[Scope::AdminAll], Some(&["attic"]), HOUR);
    for operation in OPERATIONS {
        let What::Http(method, route) = operation.what else { continue };
        if !matches!(operation.needs, Needs::All(_) | Needs::Any(_)) {
            continue;
        }
        let name = operation.name();
        let path = format!(
            "{}?site_id=lab&start_time=2026-01-01T00:00:00Z&end_time=2026-01-02T00:00:00Z",
            path_of(route)
        );
        let body = match (method, route) {
            ("GET" | "DELETE", _) => Value::Null,
            (_, "/api/analytics/reports") => {
                json!({ "site_id": "lab", "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-02T00:00:00Z" })
            }
            (_, "/api/config/zones" | "/api/config/zones/{id}") => {
                json!({ "polygon_m": [[0, 0], [1, 0], [1, 1]] })
            }
            _ => json!({ "name": "x", "by": "x" }),
        };
        let (enough, wrong) = rights(operation);
        let none = ask(&server, method, &path, None, body.clone()).await;
        assert_eq!(none.status, 401, "{name}");
        assert!(none.header("www-authenticate").starts_with("Bearer"), "{name}");
        let refused = ask(&server, method, &path, Some(&token(&wrong)), body.clone()).await;
        assert_eq!(refused.status, 403, "{name}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("required scope"), "{name}");
        let taken = ask(&server, method, &path, Some(&token(&enough)), body.clone()).await;
        assert!(![401, 403, 429, 500].contains(&taken.status.as_u16()), "{name}: {}", taken.text());

        let elsewhere = ask(&server, method, &path, Some(&admin_elsewhere), body).await;
        let said = elsewhere.text();
        if operation.everywhere {
            assert_eq!(elsewhere.status, 403, "{name}: {said}");
        } else if matches!(elsewhere.status.as_u16(), 403 | 404) {
            assert!(!said.contains("known: lab"), "{name}: {said}");
        } else {
            let words = said.split(|c: char| !c.is_alphanumeric());
            assert!(!words.clone().any(|w| w == "lab") && !said.contains("sim:test"), "{name}: {said}");
        }
    }
    // A name that is written in another way is the same name.
    let routers = token(&[Scope::ConfigWrite]);
    let zone = json!({ "polygon_m": [[0, 0], [1, 0], [1, 1]] });
    assert_eq!(ask(&server, "POST", "/api/v1/config/z%6Fnes", Some(&routers), zone).await.status, 403);
    // What is open to all stays so.
    for path in ["/livez", "/readyz", "/openapi.json", "/docs", "/"] {
        assert_ne!(server.get(path).await.status, 401, "{path}");
    }
    let strangers = server.get("/readyz").await;
    assert!(!strangers.text().contains("site"), "{}", strangers.text());
}

#[tokio::test]
async fn every_field_is_tried_with_and_without_rights() {
    let mut server = server().await;
    server.feeds[0].publish(vec![person(5, 0.9, 1.0, Some(0))]);
    let none = server
        .post("/graphql", &[("content-type", "application/json")], r#"{"query":"{ sites { id } }"}"#)
        .await;
    assert_eq!(none.status, 401);
    let admin_elsewhere = token_for(&[Scope::AdminAll], Some(&["attic"]), HOUR);
    let of = "name args { name } type { kind ofType { kind } }";
    let schema = format!(
        "{{ __schema {{ queryType {{ fields {{ {of} }} }} mutationType {{ fields {{ {of} }} }} }} }}"
    );
    let schema = graphql(&server, &token(&[]), &schema).await["data"]["__schema"].clone();
    for (root, word) in [("queryType", "query"), ("mutationType", "mutation")] {
        for field in schema[root]["fields"].as_array().unwrap() {
            let name = field["name"].as_str().unwrap();
            let operation = OPERATIONS.iter().find(|o| o.name() == format!("{word} {name}")).unwrap();
            let arguments: Vec<&str> =
                field["args"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
            let site = if arguments.contains(&"siteId") { r#"siteId: "lab", "# } else { "" };
            let mut given = site.to_owned();
            for (argument, value) in [("id", r#""x""#), ("version", "1"), ("by", r#""x""#)] {
                if arguments.contains(&argument) {
                    given += &format!("{argument}: {value}, ");
                }
            }
            let settings = match name {
                "createZone" | "updateZone" => {
                    "settings: { polygonM: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}] }"
                }
                "createTemplate" | "updateTemplate" => r#"settings: { name: "x", settings: {} }"#,
                "createRouter" | "updateRouter" => r#"settings: { name: "x" }"#,
                "createAlertRule" | "updateAlertRule" => {
                    r#"settings: { name: "x", on: ["person.detected"], severity: LOW }"#
                }
                _ => "",
            };
            let leaf = name.starts_with("delete");
            let given = given + settings;
            let given = if given.is_empty() { String::new() } else { format!("({given})") };
            let query = format!("{word} {{ {name}{given} {} }}", if leaf { "" } else { "{ __typename }" });
            let (enough, wrong) = rights(operation);
            assert_eq!(code(&graphql(&server, &token(&wrong), &query).await), "FORBIDDEN", "{query}");
            let hidden = format!(
                "{word} {{ ...F }} fragment F on {} {{ a: {name}{given} {} }}",
                if word == "query" { "Query" } else { "Mutation" },
                if leaf { "" } else { "{ __typename }" }
            );
            assert_eq!(code(&graphql(&server, &token(&wrong), &hidden).await), "FORBIDDEN", "{hidden}");
            // Elsewhere first, so that there is nothing to be found yet.
            let elsewhere = graphql(&server, &admin_elsewhere, &query).await;
            if operation.everywhere {
                assert_eq!(code(&elsewhere), "FORBIDDEN", "{query}");
            } else if !site.is_empty() {
                assert_eq!(code(&elsewhere), "NOT_FOUND", "{query}: {elsewhere}");
            }
            assert!(!elsewhere.to_string().contains("known: lab"), "{elsewhere}");
            let taken = graphql(&server, &token(&enough), &query).await;
            assert_ne!(code(&taken), "FORBIDDEN", "{query}: {taken}");
            assert!(!taken.to_string().contains("Unknown argument"), "{query}: {taken}");
        }
    }
    let places =
        graphql(&server, &admin_elsewhere, "{ sites { id } site(id: \"lab\") { id } currentFrame { id } }")
            .await;
    assert_eq!(places["data"], json!({ "sites": [{ "id": "attic" }], "site": null, "currentFrame": null }));
    // What does not exist is not called forbidden, and a strict client learns of refusals from the status.
    assert!(
        graphql(&server, &token(&[]), "{ nothing }").await["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("nothing")
    );
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/graphql-response+json"),
        ("authorization", &bearer(&token(&[]))),
    ];
    assert_eq!(server.post("/graphql", &headers, r#"{"query":"{ sites { id } }"}"#).await.status, 403);
}

#[tokio::test]
async fn every_topic_and_subscription_is_tried_with_and_without_rights() {
    let server = server().await;
    for (path, why) in [("/ws/v1/stream?token=wrong", "a wrong token"), ("/ws/v1/stream?token=", "none")] {
        let closed = socket(&server, path, None).await.receive().await;
        assert_eq!(
            (&closed["close"], &closed["reason"]),
            (&json!(4001), &json!("Authentication failed")),
            "{why}"
        );
    }
    for operation in OPERATIONS {
        let (enough, wrong) = rights(operation);
        let elsewhere = token_for(&[Scope::AdminAll], Some(&["attic"]), HOUR);
        match operation.what {
            What::Topic(topic) => {
                let subscribe =
                    json!({ "type": "subscribe", "topic": topic, "filters": { "site_id": "lab" } });
                for (token, code) in [
                    (token(&wrong), Some("forbidden")),
                    (elsewhere, Some("bad_filter")),
                    (token(&enough), None),
                ] {
                    let mut socket = open(&server, &token).await;
                    socket.send(subscribe.clone()).await;
                    let answer = socket.receive().await;
                    assert_eq!(answer["code"].as_str(), code, "{topic}: {answer}");
                }
            }
            What::Subscription(field) => {
                let arguments = match field {
                    "person" => r#"(siteId: "lab", id: "5")"#,
                    "systemMetrics" => "",
                    _ => r#"(siteId: "lab")"#,
                };
                let query = format!("subscription {{ {field}{arguments} {{ __typename }} }}");
                let mut refused = introduced(&server, &token(&wrong)).await;
                refused.subscribe("1", &query).await;
                let answer = refused.receive().await;
                assert_eq!(answer["payload"][0]["extensions"]["code"], "FORBIDDEN", "{field}: {answer}");
                if !arguments.is_empty() {
                    let mut refused = introduced(&server, &elsewhere).await;
                    refused.subscribe("1", &query).await;
                    let answer = refused.receive().await;
                    assert!(answer.to_string().contains("NOT_FOUND"), "{field}: {answer}");
                }
                let mut taken = introduced(&server, &token(&enough)).await;
                taken.subscribe("1", &query).await;
                taken.send(json!({ "type": "ping" })).await;
                let answer = taken.receive().await;
                assert!(["pong", "next"].contains(&answer["type"].as_str().unwrap()), "{field}: {answer}");
            }
            _ => {}
        }
    }
    // Four ways to bring a token.
    let own = token(&[Scope::StreamSubscribe, Scope::PoseRead]);
    let mut first = socket(&server, "/ws/v1/stream", None).await;
    first.send(json!({ "type": "authenticate", "token": own })).await;
    assert_eq!(first.receive().await["type"], "connection");
    let mut legacy = socket(&server, &format!("/graphql/ws?token={own}"), Some("graphql-ws")).await;
    legacy.send(json!({ "type": "connection_init" })).await;
    assert_eq!(legacy.receive().await["type"], "connection_ack");
    let mut none = socket(&server, "/graphql/ws", Some("graphql-transport-ws")).await;
    none.send(json!({ "type": "connection_init" })).await;
    assert_eq!(none.receive().await["close"], 4403);
    let mut other = socket(&server, "/ws/v1/stream", None).await;
    other.send(json!({ "type": "subscribe", "topic": "pose_updates" })).await;
    assert_eq!(other.receive().await["close"], 4001);
}

#[test]
fn the_table_is_the_checked_in_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scopes.md");
    let now = invispose_api::access::operations::describe();
    if std::env::var_os("UPDATE_SCOPES").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(checked_in == now, "docs/scopes.md: UPDATE_SCOPES=1 cargo test -p invispose-api --test access");
}

/// The status of an RPC with an empty message, as far as the answer's head says it.
async fn rpc(server: &Server, method: &str, token: Option<&str>) -> Option<u16> {
    use hyper_util::client::legacy::Client;
    let client = Client::builder(hyper_util::rt::TokioExecutor::new()).http2_only(true).build_http();
    let mut request = Request::post(format!("http://{}/{method}", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", bearer(token));
    }
    let body = Full::new(hyper::body::Bytes::from_static(&[0; 5]));
    let answer = client.request(request.body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers().get("grpc-status").map(|code| code.to_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn every_rpc_is_tried_with_and_without_rights() {
    use invispose_api::grpc::proto::pose_service_client::PoseServiceClient;
    use invispose_api::grpc::proto::{Filter, GetCurrentFrameRequest, WatchFramesRequest};
    let mut server = server().await;
    for operation in OPERATIONS {
        let What::Rpc(method) = operation.what else { continue };
        if operation.needs == Needs::Nothing {
            assert!(![Some(7), Some(16)].contains(&rpc(&server, method, None).await), "{method}");
            continue;
        }
        let (enough, wrong) = rights(operation);
        assert_eq!(rpc(&server, method, None).await, Some(16), "{method}");
        assert_eq!(rpc(&server, method, Some(&token(&wrong))).await, Some(7), "{method}");
        assert!(
            ![Some(7), Some(16)].contains(&rpc(&server, method, Some(&token(&enough))).await),
            "{method}"
        );
    }
    // Another site's frames, and the end of a stream with the token.
    server.feeds[0].publish(vec![person(1, 0.9, 1.0, None)]);
    let with = |token: &str, message| {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", bearer(token).parse().unwrap());
        request
    };
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let origin = format!("http://{}", server.address).parse().unwrap();
    let mut poses = PoseServiceClient::with_origin(http, origin);
    let elsewhere = token_for(&[Scope::AdminAll], Some(&["attic"]), HOUR);
    let filter = Some(Filter { site_id: Some("lab".into()), ..Filter::default() });
    let refused =
        poses.get_current_frame(with(&elsewhere, GetCurrentFrameRequest { filter })).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    let soon = token_for(&[Scope::PoseRead, Scope::StreamSubscribe], None, Duration::from_secs(4));
    let mut request = tonic::Request::new(WatchFramesRequest::default());
    request.metadata_mut().insert("authorization", bearer(&soon).parse().unwrap());
    let mut frames = poses.watch_frames(request).await.unwrap().into_inner();
    assert_eq!(frames.message().await.unwrap().unwrap().site_id, "lab");
    assert_eq!(frames.message().await.unwrap_err().code(), tonic::Code::Unauthenticated);
}
