//! What flows: to whom, for how long, and what the log learns of it.

use super::*;

#[tokio::test]
async fn subscribers_see_their_own_sites_alone() {
    let mut server = server().await;
    let scopes = [Scope::StreamSubscribe, Scope::PoseRead];
    let query = "subscription { poseFrames { site { id } } }";
    let mut seen = BTreeMap::new();
    let mut sockets = Vec::new();
    for site in ["lab", "attic"] {
        let mut socket = introduced(&server, &token_for(&scopes, Some(&[site]), HOUR)).await;
        socket.subscribe("1", query).await;
        sockets.push((site, socket));
    }
    for feed in &mut server.feeds {
        feed.publish(vec![person(1, 0.9, 1.0, None)]);
    }
    for (site, socket) in &mut sockets {
        seen.insert(*site, socket.frame().await["site"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, BTreeMap::from([("lab", "lab".into()), ("attic", "attic".into())]));

    // Events of another site, and of the system, pass by.
    let mut topics = open(&server, &token_for(&scopes, Some(&["attic"]), HOUR)).await;
    topics.send(json!({ "type": "subscribe", "topic": "zone_events" })).await;
    assert_eq!(topics.receive().await["status"], "subscribed");
    let mut events = introduced(&server, &token_for(&scopes, Some(&["attic"]), HOUR)).await;
    events.subscribe("1", "subscription { events { siteId } }").await;
    // The subscription stands once a second one is answered.
    events.send(json!({ "type": "ping" })).await;
    assert_eq!(events.receive().await["type"], "pong");
    for site in [Some("lab"), None, Some("attic")] {
        let mut event = Event::new(EventKind::PersonEnteredZone, common::now_ns());
        event.site = site.map(Into::into);
        server.events.publish(event);
    }
    assert_eq!(topics.receive().await["site_id"], "attic");
    assert_eq!(events.value("events").await["siteId"], "attic");
    let end = Instant::now() + Duration::from_secs(60);
    let reader = token_for(&[Scope::PoseRead], Some(&["attic"]), HOUR);
    loop {
        let kept = graphql(&server, &reader, "{ events { edges { node { siteId } } } }").await;
        let kept = kept["data"]["events"]["edges"].as_array().unwrap().clone();
        if kept.len() == 1 {
            assert_eq!(kept[0]["node"]["siteId"], "attic");
            break;
        }
        assert!(kept.is_empty() && Instant::now() < end, "{kept:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn streams_end_with_the_rights_to_them() {
    let server = server().await;
    let scopes = [Scope::StreamSubscribe, Scope::SystemRead];
    let soon = token_for(&scopes, None, Duration::from_secs(4));
    let late = token_for(&scopes, None, HOUR);
    let path = "/graphql?query=subscription%20%7B%20alerts%20%7B%20id%20%7D%20%7D";
    for (token, revoked) in [(&soon, false), (&late, true)] {
        let mut topics = open(&server, token).await;
        let mut graphql = introduced(&server, token).await;
        let auth = bearer(token);
        let headers = [("accept", "text/event-stream"), ("authorization", auth.as_str())];
        let events = server.get_with(path, &headers);
        let end = async {
            if revoked {
                let form = format!("token={token}");
                let headers =
                    [("content-type", "application/x-www-form-urlencoded"), ("authorization", auth.as_str())];
                assert_eq!(server.post("/oauth/revoke", &headers, form).await.status, 200);
            }
            (topics.receive().await, graphql.receive().await)
        };
        // The answer with events ends too, or this would wait for ever.
        let (events, (topics, graphql)) = tokio::join!(events, end);
        assert_eq!(events.status, 200);
        assert_eq!((&topics["close"], &graphql["close"]), (&json!(4001), &json!(4403)));
        let again = server.get_with("/api/v1/system/status", &[("authorization", &auth)]).await;
        assert_eq!(again.status == 401, revoked, "what has just expired is within the leeway of clocks");
    }
}

#[tokio::test]
async fn tokens_in_addresses_are_written_nowhere() {
    let log = heard();
    let server = server().await;
    let good = token(&[Scope::StreamSubscribe, Scope::PoseRead]);
    drop(open(&server, &good).await);
    let wrong = format!("{good}x");
    drop(socket(&server, &format!("/ws/v1/stream?token={wrong}"), None).await.receive().await);
    let missing = server.get(&format!("/nowhere?token={good}")).await;
    assert!(missing.status == 404 && !missing.text().contains(&good));
    server.get(&format!("/api/v1/pose/current?access_token={good}")).await;
    let said = log.text();
    assert!(said.contains("/ws/v1/stream"), "the log tells of requests");
    let signature = good.rsplit('.').next().unwrap();
    for line in said.lines().filter(|line| line.contains("invispose_api") || line.contains("tower_http")) {
        assert!(!line.contains(signature), "{line}");
    }
}
