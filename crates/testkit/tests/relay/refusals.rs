//! Messages that cannot be acted on: each is answered, and the connection stays open.

use fetchway_testkit::TestNode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{failure, origin, timing};

/// The answer that S0 names, with our name for it beside.
fn invalid_json() -> Value {
    json!({
        "id": "unknown", "status": 0, "headers": {}, "body": "",
        "error": "Invalid JSON in request", "errorCode": "invalid_request",
    })
}

#[tokio::test]
async fn what_is_no_json_has_the_agreed_answer() {
    let node = TestNode::open(&[]);
    let mut client = node.client().await;
    for text in [
        "",
        " ",
        "hello",
        "{",
        r#"{"id": 1, "url": "http://a/""#,
        "{'id': 1}",
        r#"{"id": 1,}"#,
        "\u{feff}{}",
    ] {
        client.send(text).await;
        assert_eq!(client.next().await, invalid_json(), "{text}");
    }
    for binary in [&b"\xff\xfe"[..], b"{\"id\": \"\xff\"}"] {
        client.send_message(Message::binary(binary)).await;
        assert_eq!(client.next().await, invalid_json(), "{binary:?}");
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn json_that_is_no_request_is_refused() {
    let node = TestNode::open(&[]);
    let mut client = node.client().await;
    for text in [
        "null",
        "1",
        "[]",
        "[1]",
        // As many values as a request has fields.
        r#"[1, null, "http://127.0.0.1/", null, null, null, null, null, null, null, null]"#,
        "\"text\"",
        "{}",
        r#"{"url": "http://127.0.0.1/"}"#,
    ] {
        client.send(text).await;
        let answer = client.next().await;
        assert_eq!(
            (failure(&answer), &answer["id"]),
            ("invalid_request", &json!("unknown")),
            "{text}"
        );
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_refused_request_is_answered_under_its_id() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/echo");
    for fields in [
        json!({}),
        json!({ "url": null }),
        json!({ "url": "" }),
        json!({ "url": "/relative" }),
        json!({ "url": "http://" }),
        json!({ "url": "ftp://127.0.0.1/file" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "url": "data:text/plain,x" }),
        json!({ "url": "http://user:secret@127.0.0.1/" }),
        json!({ "url": format!("{url}?{}", "x".repeat(70_000)) }),
        json!({ "url": url, "method": "CONNECT" }),
        json!({ "url": url, "method": "trace" }),
        json!({ "url": url, "method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" }),
        json!({ "url": url, "body": "a GET has none" }),
        json!({ "url": url, "method": "POST", "body": "a", "bodyBase64": "YQ==" }),
        json!({ "url": url, "method": "POST", "bodyBase64": "not base64!" }),
        json!({ "url": url, "lane": "no-such-lane" }),
        json!({ "url": url, "redirect": "sometimes" }),
        json!({ "url": url, "timeout": 0 }),
        json!({ "url": url, "timeout": -5 }),
        json!({ "url": url, "timeout": 86_400_001 }),
        json!({ "url": url, "timeout": { "header": "5" } }),
    ] {
        let mut request = fields;
        request["id"] = json!([42]);
        let answer = client.ask(request.clone()).await;
        assert_eq!(failure(&answer), "invalid_request", "{request}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
        assert_eq!(timing(&answer)[2], 0, "{request}");
    }
    assert_eq!(origin.stats().requests, 0);
    assert_eq!(client.fetch(&url).await["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_to_write_instead() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/echo");
    for (fields, expected) in [
        (
            json!({ "cancel": 7 }),
            "send {\"cancel\": id} as a message of its own",
        ),
        (
            json!({ "timeout": { "headers": 5 } }),
            "no part \"headers\": there are connect",
        ),
        (
            json!({ "timeout": { "total": 0 } }),
            "above 0 and at most 86400000",
        ),
        (
            json!({ "method": "POST", "bodyBase64": "YQ" }),
            "pad it with =",
        ),
        (
            json!({ "method": "POST", "bodyBase64": "__8=" }),
            "(+ and /)",
        ),
        (
            json!({ "headers": { "a b": "c" } }),
            "begins with `a` goes on with a space",
        ),
    ] {
        let mut request = fields;
        (request["id"], request["url"]) = (json!(7), json!(url));
        let answer = client.ask(request.clone()).await;
        assert_eq!(failure(&answer), "invalid_request", "{request}");
        let error = answer["error"].as_str().expect("a sentence");
        assert!(error.contains(expected), "{request}: {error}");
    }
    assert_eq!(origin.stats().requests, 0);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_wrong_type_is_named_and_its_value_is_not_repeated() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for (field, value) in [
        ("url", json!(1)),
        ("method", json!(["GET"])),
        ("headers", json!("Authorization: Bearer secret")),
        ("headers", json!([["a", "b"]])),
        ("body", json!({ "secret": 1 })),
        ("bodyBase64", json!(false)),
        ("lane", json!(0)),
        ("redirect", json!(true)),
        ("timeout", json!("secret")),
        ("decode", json!("no")),
    ] {
        let mut request = json!({ "id": "x", "url": origin.url("/echo") });
        request[field] = value.clone();
        let answer = client.ask(request).await;
        assert_eq!(failure(&answer), "invalid_request", "{field} = {value}");
        let error = answer["error"].as_str().expect("a sentence");
        assert!(
            error.contains(field) && !error.contains("secret"),
            "{error}"
        );
    }
    for odd in [
        r#""url": "\ud800""#,
        r#""timeout": 1e999"#,
        r#""decode": true, "decode": false"#,
    ] {
        client.send(format!(r#"{{"id": "x", {odd}}}"#)).await;
        let answer = client.next().await;
        assert_eq!(
            (failure(&answer), &answer["id"]),
            ("invalid_request", &json!("x")),
            "{odd}"
        );
    }
    assert_eq!(origin.stats().requests, 0);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn null_counts_as_absent_and_unknown_fields_as_nothing() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let answer = client
        .ask(json!({
            "id": 1, "url": origin.url("/echo"), "cancel": null, "method": null, "headers": null,
            "body": null, "bodyBase64": null, "lane": null, "timeout": null, "redirect": null,
            "decode": null, "priority": "high", "nested": { "url": 1 },
        }))
        .await;
    assert_eq!(answer["status"], 200, "{answer}");
    let seen: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(
        (&seen["method"], &seen["body"]),
        (&json!("GET"), &json!(""))
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_request_in_a_binary_message_is_a_request() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let request = json!({ "id": 1, "url": origin.url("/echo") }).to_string();
    client.send_message(Message::binary(request)).await;
    assert_eq!(client.next().await["status"], 200);
    drop(client);
    node.stop().await;
}
