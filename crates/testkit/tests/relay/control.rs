//! What a client can say about a fetch: cancel it, bound its time, choose its lane and its redirects.

use fetchway_testkit::TestNode;
use serde_json::{Value, json};

use crate::{failure, origin, timing};

#[tokio::test]
async fn a_cancel_ends_every_fetch_of_its_id() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    // One waits for its header, one is within its body.
    client.get("x", &origin.url("/gate?key=never")).await;
    client
        .get("x", &origin.url("/gate?key=never&after=10&n=20"))
        .await;
    client.get("y", &origin.url("/gate?key=y&n=5")).await;
    origin.wait_until(|stats| stats.in_flight == 3).await;
    client.send(json!({ "cancel": "x" })).await;
    for _ in 0..2 {
        let answer = client.next().await;
        assert_eq!(
            (failure(&answer), &answer["id"]),
            ("cancelled", &json!("x"))
        );
        timing(&answer);
    }
    // The origin sees both connections end.
    let stats = origin
        .wait_until(|stats| stats.aborted == 2 && stats.open == 1)
        .await;
    assert_eq!((stats.in_flight, stats.completed), (1, 0));
    origin.open_gate("y").expect("few keys");
    assert_eq!(client.next().await["id"], "y");
    // Nothing further came for x, and its id may be used again.
    let again = client
        .ask(json!({ "id": "x", "url": origin.url("/echo") }))
        .await;
    assert_eq!(again["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_cancel_finds_an_id_in_any_spelling_and_ignores_unknown_ones() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for (id, cancel) in [
        ("1.0", "1"),
        ("\"a\"", "\"\\u0061\""),
        ("{\"a\":1,\"b\":2}", "{ \"b\": 2, \"a\": 1 }"),
    ] {
        let url = origin.url("/gate?key=never");
        client
            .send(format!(r#"{{"id": {id}, "url": "{url}"}}"#))
            .await;
        // None of these is the id; none of them is answered.
        for other in ["\"1\"", "2", "\"unknown\"", "[]"] {
            client.send(format!(r#"{{"cancel": {other}}}"#)).await;
        }
        client.send(format!(r#"{{"cancel": {cancel}}}"#)).await;
        let text = client.next_text().await;
        assert!(
            text.starts_with(&format!(r#"{{"id":{id},"status":0,"#)),
            "{text}"
        );
        assert!(text.contains("\"errorCode\":\"cancelled\""), "{text}");
    }
    client.send(json!({ "cancel": 1 })).await;
    assert_eq!(client.fetch(&origin.url("/echo")).await["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_fetches_that_wait_for_their_turn() {
    let (node, origin) = (
        TestNode::open(&[("lanes.default.concurrency", "1")]),
        origin(),
    );
    let mut client = node.client().await;
    client.get("first", &origin.url("/gate?key=k")).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    client.get("queued", &origin.url("/echo")).await;
    client.send(json!({ "cancel": "queued" })).await;
    let answer = client.next().await;
    assert_eq!(
        (failure(&answer), &answer["id"]),
        ("cancelled", &json!("queued"))
    );
    origin.open_gate("k").expect("few keys");
    assert_eq!(client.next().await["id"], "first");
    assert_eq!(origin.stats().requests, 1, "the queued one was never sent");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_fetches_along() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for id in 0..10 {
        client.get(id, &origin.url("/gate?key=never")).await;
    }
    origin.wait_until(|stats| stats.in_flight == 10).await;
    drop(client);
    origin
        .wait_until(|stats| stats.aborted == 10 && stats.open == 0)
        .await;
    node.stop().await;
}

#[tokio::test]
async fn a_timeout_bounds_header_and_body() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for path in ["/gate?key=never", "/stall?after=10&n=20"] {
        let answer = client
            .ask(json!({ "id": 1, "url": origin.url(path), "timeout": 50 }))
            .await;
        assert_eq!(failure(&answer), "http_response_timeout", "{path}");
        assert!(timing(&answer)[2] >= 50, "{answer}");
    }
    origin
        .wait_until(|stats| stats.aborted == 2 && stats.open == 0)
        .await;
    let answer = client
        .ask(json!({ "id": 1, "url": origin.url("/echo"), "timeout": 59_999.5 }))
        .await;
    assert_eq!(answer["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_fetch_travels_in_the_lane_it_names() {
    let node = TestNode::open(&[
        ("lanes.slow.concurrency", "1"),
        ("lanes.slow.header-timeout", "50ms"),
    ]);
    let origin = origin();
    let mut client = node.client().await;
    let answer = client
        .ask(json!({ "id": 1, "url": origin.url("/gate?key=never"), "lane": "slow" }))
        .await;
    assert_eq!(failure(&answer), "http_response_timeout");
    let started = "fetchway_fetches_started_total{lane=\"slow\"}";
    assert_eq!(node.metric(started).await, Some(1.0));
    let answer = client
        .ask(json!({ "id": 1, "url": origin.url("/echo"), "lane": "default" }))
        .await;
    assert_eq!(answer["status"], 200);
    let answer = client
        .ask(json!({ "id": 1, "url": origin.url("/echo"), "lane": "Slow" }))
        .await;
    assert_eq!(failure(&answer), "invalid_request");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_token_may_be_kept_to_its_lanes() {
    let toml = "guard.allow-net = ['127.0.0.0/8']\n[lanes.open]\n[lanes.closed]\n\
                [[tokens]]\nname = 'ann'\ntoken = 'ta'\nlanes = ['open']";
    let (node, origin) = (TestNode::configured("127.0.0.1:0", toml), origin());
    let mut client = node.client_with("ta").await;
    let mut ask = async |lane: Value| {
        client
            .ask(json!({ "id": 1, "url": origin.url("/echo"), "lane": lane }))
            .await
    };
    assert_eq!(ask(json!("open")).await["status"], 200);
    assert_eq!(failure(&ask(json!("closed")).await), "http_request_denied");
    assert_eq!(
        failure(&ask(json!(null)).await),
        "http_request_denied",
        "the default lane is one too"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn redirects_are_followed_handed_over_or_refused() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/redirect?to=/echo&code=303");
    let post = |mode: &str| json!({ "id": mode, "url": url, "method": "POST", "body": "x", "redirect": mode });
    let followed = client.ask(post("follow")).await;
    let seen: Value =
        serde_json::from_str(followed["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(
        (&seen["method"], &seen["body"]),
        (&json!("GET"), &json!(""))
    );
    let manual = client.ask(post("manual")).await;
    assert_eq!(
        (&manual["status"], &manual["headers"]["location"]),
        (&json!(303), &json!("/echo"))
    );
    assert_eq!(manual["url"], url.as_str());
    let refused = client.ask(post("error")).await;
    assert_eq!(failure(&refused), "http_request_denied");
    let too_many = client.fetch(&origin.url("/redirect?n=25")).await;
    assert_eq!(failure(&too_many), "limit_exceeded");
    let elsewhere = client
        .fetch(&origin.url("/redirect?to=ftp://127.0.0.1/"))
        .await;
    assert_eq!(failure(&elsewhere), "http_request_denied");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let (node, first, second) = (TestNode::open(&[]), origin(), origin());
    let mut client = node.client().await;
    let headers = json!({ "Authorization": "Bearer t", "Cookie": "a=b", "X-Kept": "1" });
    let url = first.url(&format!("/redirect?to={}", second.url("/echo")));
    let answer = client
        .ask(json!({ "id": 1, "url": url, "headers": headers }))
        .await;
    let body = answer["body"].as_str().expect("a body");
    assert!(
        body.contains("x-kept") && !body.contains("authorization") && !body.contains("cookie"),
        "{body}"
    );
    drop(client);
    node.stop().await;
}
