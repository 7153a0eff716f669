//! An id comes back as the JSON value it was, whatever that is, and as often as it was sent.

use std::collections::HashMap;

use fetchway_testkit::TestNode;
use serde_json::json;

use crate::{failure, origin};

#[tokio::test]
async fn an_id_is_echoed_as_it_was_written() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/echo");
    for id in [
        "1",
        "0",
        "-1",
        "1.0",
        "1e2",
        "-0",
        "0.1",
        "9007199254740993",
        "123456789012345678901234567890",
        "1e999",
        r#""""#,
        r#""a""#,
        r#""\u0061\n\"\\\/""#,
        r#""\ud83d\ude00 é""#,
        r#""\ud800""#,
        "true",
        "false",
        "null",
        "[1, [2.50, null]]",
        r#"{"b": 1, "a": {"id": 2}}"#,
        r#""unknown""#,
    ] {
        client
            .send(format!(r#"{{"url": "{url}", "id": {id}}}"#))
            .await;
        let answer = client.next_text().await;
        assert!(
            answer.starts_with(&format!(r#"{{"id":{id},"status":200,"#)),
            "{id}: {answer}"
        );
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn repeated_ids_in_flight_are_each_answered() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for n in 0..20 {
        client
            .get("same", &origin.url(&format!("/gate?key=k&n={n}")))
            .await;
    }
    client.get("other", &origin.url("/gate?key=k&n=100")).await;
    origin.wait_until(|stats| stats.in_flight == 21).await;
    origin.open_gate("k").expect("few keys");
    let mut seen = HashMap::<String, Vec<usize>>::new();
    for _ in 0..21 {
        let answer = client.next().await;
        assert_eq!(answer["status"], 200);
        let len = answer["body"].as_str().expect("a body").len();
        seen.entry(answer["id"].to_string()).or_default().push(len);
    }
    let same = seen.get_mut("\"same\"").expect("answered");
    same.sort_unstable();
    assert_eq!(*same, (0..20).collect::<Vec<_>>(), "each fetch once");
    assert_eq!(seen["\"other\""], [100]);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_overlong_id_is_refused() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/echo");
    // 1,024 bytes of JSON text, quotes included.
    let longest = "x".repeat(1_022);
    assert_eq!(
        client.ask(json!({ "id": longest, "url": url })).await["status"],
        200
    );
    for message in [
        json!({ "id": longest + "x", "url": url }),
        json!({ "cancel": "x".repeat(2_000) }),
    ] {
        client.send(message).await;
        let answer = client.next().await;
        assert_eq!(
            (failure(&answer), &answer["id"]),
            ("limit_exceeded", &json!("unknown"))
        );
    }
    assert_eq!(origin.stats().requests, 1);
    drop(client);
    node.stop().await;
}
