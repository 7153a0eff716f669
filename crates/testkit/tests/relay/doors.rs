//! How a client gets in, what a passer-by sees, and who is kept out.

use fetchway_testkit::{Client, Raw, TestNode, http};
use serde_json::{Value, json};

use crate::origin;

#[tokio::test]
async fn every_documented_way_in_leads_to_the_relay() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let addr = node.addr();
    let url = origin.url("/echo");
    for at in ["", "/", "/v1/relay", "/?from=here"] {
        let mut client = Client::connect(&format!("ws://{addr}{at}")).await;
        assert_eq!(client.fetch(&url).await["status"], 200, "{at}");
        client.close().await;
    }
    let mut client = Client::connect(&format!("ws://localhost:{}", addr.port())).await;
    assert_eq!(client.fetch(&url).await["status"], 200);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn the_json_subprotocol_is_confirmed_and_no_unknown_one() {
    let node = TestNode::open(&[]);
    for (offer, confirmed) in [
        ("", None),
        (
            "Sec-WebSocket-Protocol: fetchway.json\r\n",
            Some("fetchway.json"),
        ),
        (
            "Sec-WebSocket-Protocol: other, fetchway.json\r\n",
            Some("fetchway.json"),
        ),
    ] {
        let (mut raw, head) = Raw::connect(node.addr(), "/", offer).await;
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(line, confirmed, "{offer}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        raw.send(0x81, b"x").await;
        let answer = raw.frame().await.expect("an answer");
        assert!(answer.first == 0x81 && answer.payload.starts_with(b"{\"id\":\"unknown\""));
    }
    node.stop().await;
}

#[tokio::test]
async fn passers_by_are_answered_by_http() {
    let node = TestNode::open(&[]);
    let (status, text) = http(node.addr(), "GET / HTTP/1.1").await;
    assert!(
        status == 200 && text.contains("fetchway") && text.len() < 200,
        "{status} {text}"
    );
    for addr in [node.addr(), node.admin()] {
        let (status, body) = http(addr, "GET /health HTTP/1.1").await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &body["status"], &body["service"]),
            (200, &json!("ok"), &json!("fetchway"))
        );
    }
    assert_eq!(http(node.addr(), "GET /v1/relay HTTP/1.1").await.0, 426);
    node.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_kept_out_everywhere() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let url = format!("ws://{}/", node.addr());
    for page in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "https://localhost",
    ] {
        let refused = Client::try_connect(&url, &[("origin", page)]).await;
        let error = refused.expect_err("the upgrade is refused").to_string();
        assert!(error.contains("403"), "{page}: {error}");
        let request = json!({ "id": 1, "url": origin.url("/echo") }).to_string();
        let len = request.len();
        for (addr, target) in [
            (node.addr(), "POST / "),
            (node.addr(), "POST /v1/relay "),
            (node.addr(), "GET / "),
            (node.addr(), "GET /health "),
            (node.admin(), "GET /metrics "),
            (node.admin(), "GET /ready "),
            (node.admin(), "GET /debug/pprof/profile "),
            (node.admin(), "POST /metrics "),
        ] {
            let head = format!(
                "{target}HTTP/1.1\r\nOrigin: {page}\r\nContent-Type: text/plain\r\nContent-Length: {len}"
            );
            let (status, _) = http(addr, &head).await;
            assert_eq!(status, 403, "{target} for {page}");
        }
    }
    // DNS rebinding: the page's own name leads here.
    for addr in [node.addr(), node.admin()] {
        assert_eq!(
            http(addr, "GET /health HTTP/1.1\r\nHost: evil.example")
                .await
                .0,
            403
        );
    }
    assert_eq!(origin.stats().connections, 0);
    node.stop().await;
}

#[tokio::test]
async fn a_page_on_the_list_is_let_in() {
    let node = TestNode::open(&[("allow-origins", "https://app.example")]);
    let url = format!("ws://{}/", node.addr());
    let client = Client::try_connect(&url, &[("origin", "https://app.example")]).await;
    client.expect("let in").close().await;
    let refused =
        Client::try_connect(&url, &[("origin", "https://app.example.evil.example")]).await;
    assert!(refused.is_err());
    node.stop().await;
}
