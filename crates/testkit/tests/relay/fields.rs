//! Request header fields: what is passed on, what is ignored, what is refused.

use fetchway_testkit::TestNode;
use serde_json::{Value, json};

use crate::{failure, origin};

/// What the origin says it saw.
fn seen(answer: &Value) -> Value {
    assert_eq!(answer["status"], 200, "{answer}");
    serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON")
}

fn values<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let pairs = seen["headers"].as_array().expect("pairs");
    let of_name = pairs.iter().filter(|pair| pair[0] == name);
    of_name.filter_map(|pair| pair[1].as_str()).collect()
}

#[tokio::test]
async fn fields_reach_the_origin() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let answer = client
        .ask(json!({
            "id": 1, "url": origin.url("/echo?a=b%20c&d"), "method": "post", "body": "{\"x\": \"é\"}",
            "headers": {
                "X-Text": "  padded\t", "authorization": "Bearer t", "Cookie": "a=b; c=d",
                "Content-Type": "application/json", "User-Agent": "test/1", "Accept": "text/html",
                "X-Number": 5, "X-Flag": true, "X-Empty": "", "X-Umlaut": "grün",
            },
        }))
        .await;
    let seen = seen(&answer);
    assert_eq!(
        (&seen["method"], &seen["path"], &seen["query"]),
        (&json!("POST"), &json!("/echo"), &json!("a=b%20c&d"))
    );
    assert_eq!(seen["body"], "{\"x\": \"é\"}");
    for (name, value) in [
        ("x-text", "padded"),
        ("authorization", "Bearer t"),
        ("cookie", "a=b; c=d"),
        ("content-type", "application/json"),
        ("user-agent", "test/1"),
        ("accept", "text/html"),
        ("x-number", "5"),
        ("x-flag", "true"),
        ("x-empty", ""),
        ("x-umlaut", "grün"),
        ("content-length", "11"),
        ("host", &origin.addr().to_string()),
    ] {
        assert_eq!(values(&seen, name), [value], "{name}");
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn forbidden_fields_are_ignored() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let forbidden = json!({
        "Host": "other.example", "Content-Length": "999", "Connection": "x-nominated, close",
        "Transfer-Encoding": "chunked", "Keep-Alive": "timeout=1", "TE": "trailers",
        "Trailer": "x-sum", "Upgrade": "websocket", "Proxy-Authorization": "Basic c2VjcmV0",
        "Proxy-Connection": "keep-alive", "Expect": "100-continue", "x-kept": "1",
    });
    for (method, body) in [("GET", None), ("POST", Some("four"))] {
        let request = json!({
            "id": method, "url": origin.url("/echo"), "method": method, "headers": forbidden, "body": body,
        });
        let seen = seen(&client.ask(request).await);
        assert_eq!(values(&seen, "host"), [origin.addr().to_string()]);
        assert_eq!(values(&seen, "x-kept"), ["1"]);
        assert_eq!(
            values(&seen, "content-length"),
            body.map_or(&[][..], |_| &["4"])
        );
        for name in [
            "connection",
            "transfer-encoding",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "proxy-authorization",
            "proxy-connection",
            "expect",
        ] {
            assert!(values(&seen, name).is_empty(), "{name}: {seen}");
        }
    }
    assert_eq!(
        origin.stats().connections,
        1,
        "no `close` reached the origin"
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn malformed_fields_are_refused_and_nothing_is_sent() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let split = "x\r\nX-Injected: 1\r\n\r\nGET /second HTTP/1.1\r\nHost: a";
    for (name, value) in [
        ("x-a", json!(split)),
        ("x-a", json!("line\nbreak")),
        ("x-a", json!("carriage\rreturn")),
        ("x-a", json!("nul\0")),
        ("x-a", json!("\u{7f}")),
        // Trimming must not hide a line break.
        ("x-a", json!("\r\n")),
        ("x-a", json!(["list"])),
        ("x-a", json!({ "an": "object" })),
        ("x-a", json!(null)),
        ("", json!("no name")),
        ("x a", json!("1")),
        ("x:a", json!("1")),
        ("x-a\r\nx-b", json!("1")),
        ("x-a ", json!("1")),
        ("ümlaut", json!("1")),
        // Ignored names are checked all the same.
        ("Host", json!("a\r\nX-Injected: 1")),
        ("Content-Length", json!("5\r\n\r\nsmuggled")),
        ("Transfer-Encoding", json!("chunked\r\n")),
    ] {
        let answer = client
            .ask(json!({ "id": 1, "url": origin.url("/echo"), "headers": { name: value } }))
            .await;
        assert_eq!(failure(&answer), "invalid_request", "{name:?}: {value}");
        assert!(!answer.to_string().contains("Injected"), "{answer}");
    }
    let many: serde_json::Map<_, _> = (0..40_000)
        .map(|n| (format!("x-{n}"), json!("1")))
        .collect();
    let answer = client
        .ask(json!({ "id": 1, "url": origin.url("/echo"), "headers": many }))
        .await;
    assert_eq!(failure(&answer), "limit_exceeded");
    assert_eq!(origin.stats().connections, 0, "nothing was sent");
    assert_eq!(client.fetch(&origin.url("/echo")).await["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_request_cannot_be_split_by_its_url() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for path in [
        "/echo?a=b HTTP/1.1\r\nX-Injected: 1\r\n\r\n",
        "/echo\r\n?x",
        "/echo#\r\nx",
        "/ec\tho?\0x",
    ] {
        let answer = client
            .ask(json!({ "id": 1, "url": origin.url(path) }))
            .await;
        let seen = seen(&answer);
        assert!(values(&seen, "x-injected").is_empty(), "{seen}");
    }
    assert_eq!(origin.stats().requests, 4, "one request each");
    drop(client);
    node.stop().await;
}
