//! The shape of an answer, as an S0 client reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use fetchway_test_origins::verify;
use fetchway_testkit::TestNode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{failure, origin, timing};

#[tokio::test]
async fn a_success_has_the_agreed_shape() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/delay?ms=20&req=7&size=64");
    let before = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let answer = client.ask(json!({ "id": 7, "url": url })).await;
    let object = answer.as_object().expect("an object");
    let keys: Vec<_> = object.keys().map(String::as_str).collect();
    assert_eq!(keys, ["body", "headers", "id", "status", "timing", "url"]);
    assert_eq!(answer["status"], json!(200), "a number");
    assert_eq!(answer["url"], url.as_str());
    let body = answer["body"].as_str().expect("a string");
    verify(7, body.as_bytes()).expect("the origin's body");
    let length = body.len().to_string();
    assert_eq!(
        answer["headers"]["content-type"],
        "text/plain; charset=utf-8"
    );
    // The body is as the origin sent it, so its length still holds.
    let told = &answer["headers"]["content-length"];
    assert!(told.is_null() || *told == length, "{answer}");
    let [start, _, duration] = timing(&answer);
    assert!(u128::from(start) >= before.as_millis(), "since the epoch");
    assert!(duration >= 20, "{answer}");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_status_that_says_failure_is_no_failure() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for code in [404, 400, 500, 503, 418] {
        let answer = client
            .fetch(&origin.url(&format!("/status?code={code}")))
            .await;
        assert_eq!(answer["status"], code);
        assert_eq!(answer["body"], format!("status {code}"));
        assert!(answer.get("error").is_none() && answer.get("errorCode").is_none());
        timing(&answer);
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn header_names_are_lower_case_and_repeats_are_joined() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url = origin.url("/headers?h=X-One:a&h=x-two:b&h=X-ONE:c%22d&h=X-Latin:caf%E9");
    let answer = client.fetch(&url).await;
    let headers = answer["headers"].as_object().expect("an object");
    assert_eq!(headers["x-one"], "a, c\"d");
    assert_eq!(headers["x-two"], "b");
    assert!(headers.keys().all(|name| *name == name.to_lowercase()));
    assert!(headers.values().all(Value::is_string));
    assert!(answer.get("setCookie").is_none());

    let answer = client.fetch(&origin.url("/cookies?n=3")).await;
    let cookies = answer["setCookie"].as_array().expect("an array");
    assert_eq!(cookies.len(), 3);
    for (number, cookie) in cookies.iter().enumerate() {
        let expected =
            format!("c{number}=v{number}; Path=/; Expires=Thu, 01 Jan 2099 00:00:0{number} GMT");
        assert_eq!(*cookie, expected);
    }
    let all: Vec<_> = cookies.iter().filter_map(Value::as_str).collect();
    assert_eq!(answer["headers"]["set-cookie"], all.join(", "));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn hop_by_hop_fields_stay_between_the_node_and_the_origin() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let url =
        origin.url("/headers?h=Connection:x-secret&h=x-secret:1&h=keep-alive:timeout=5&h=x-kept:1");
    let answer = client.fetch(&url).await;
    let headers = answer["headers"].as_object().expect("an object");
    for name in ["connection", "x-secret", "keep-alive", "transfer-encoding"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["x-kept"], "1");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn failures_carry_their_names_and_their_timing() {
    // Bound and let go: nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let refused = gone.local_addr().expect("it is bound");
    drop(gone);
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for (url, name) in [
        (format!("http://{refused}/"), "connection_refused"),
        ("http://no-such-host.invalid/".to_owned(), "dns_error"),
        (origin.url("/close"), "connection_terminated"),
        (origin.url("/cut?after=10&n=20"), "http_response_incomplete"),
        (
            origin.url("/gzip?n=1000&cut=1"),
            "http_response_content_coding",
        ),
    ] {
        let answer = client.fetch(&url).await;
        assert_eq!(failure(&answer), name, "{url}: {answer}");
        timing(&answer);
        let object = answer.as_object().expect("an object");
        let keys: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "body",
                "error",
                "errorCode",
                "headers",
                "id",
                "status",
                "timing"
            ]
        );
    }
    assert_eq!(client.fetch(&origin.url("/echo")).await["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn the_final_url_is_told_after_redirects() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    let answer = client.fetch(&origin.url("/redirect?n=5#part")).await;
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["url"], origin.url("/echo#part"));
    assert_eq!(origin.stats().requests, 6);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn answers_without_a_body_come_at_once() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for (method, path, status) in [
        ("HEAD", "/bytes?n=1000", 200),
        ("HEAD", "/gzip?n=1000", 200),
        ("GET", "/status?code=204", 204),
        ("GET", "/status?code=304", 304),
        ("head", "/bytes?n=0", 200),
    ] {
        let answer = client
            .ask(json!({ "id": path, "method": method, "url": origin.url(path) }))
            .await;
        assert_eq!(
            (&answer["status"], &answer["body"]),
            (&json!(status), &json!("")),
            "{method} {path}"
        );
        assert!(answer.get("error").is_none() && answer.get("bodyBase64").is_none());
    }
    // Nothing was decoded, so what describes the coded body is left as it is.
    let head = client
        .ask(json!({ "id": 1, "method": "HEAD", "url": origin.url("/gzip?n=1000") }))
        .await;
    assert_eq!(head["headers"]["content-encoding"], "gzip");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn answers_come_as_they_complete() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut client = node.client().await;
    for key in ["a", "b", "c"] {
        client
            .get(key, &origin.url(&format!("/gate?key={key}&n=8")))
            .await;
    }
    client.get("d", &origin.url("/echo")).await;
    assert_eq!(client.next().await["id"], "d");
    origin.wait_until(|stats| stats.requests == 4).await;
    for key in ["c", "a", "b"] {
        origin.open_gate(key).expect("few keys");
        assert_eq!(client.next().await["id"], key);
    }
    drop(client);
    node.stop().await;
}
