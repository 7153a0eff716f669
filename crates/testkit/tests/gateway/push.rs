//! Pushes are answered truthfully; so are dismissals and questions.

use fetchway_testkit::{Api, Socket, ok, status};
use http::Method;

use crate::{gateway, http, open_push, push};

const BEARER: &str = "authorization: Bearer secret";

#[tokio::test]
async fn without_the_credential_nobody_pushes() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "push-token = \"secret\"");
    let mut client = Socket::connect(addr, "/alice").await;
    assert_eq!(push(addr, "alice", "forged").await.0, 401);
    assert_eq!(http(addr, "DELETE /alice HTTP/1.1", "").await.0, 401);
    let wrong = "POST /alice HTTP/1.1\r\nauthorization: Bearer wrong";
    assert_eq!(http(addr, wrong, "forged").await.0, 401);
    let right = format!("POST /alice HTTP/1.1\r\n{BEARER}");
    assert_eq!(http(addr, &right, "news").await, (200, "ok".to_owned()));
    assert_eq!(client.text().await, "news");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn the_push_listener_needs_none_on_loopback() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "push-listen = \"127.0.0.1:0\"");
    let mut client = Socket::connect(addr, "/alice").await;
    assert_eq!(push(addr, "alice", "forged").await.0, 401);
    assert_eq!(push(node.push(), "alice", "news").await.0, 200);
    assert_eq!(client.text().await, "news");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_push_during_connect_waits_for_the_client() {
    let api = {
        let gateway = std::sync::Arc::new(std::sync::OnceLock::new());
        let (known, addr) = (gateway.clone(), gateway);
        let api = Api::start(move |request| {
            let known = known.clone();
            async move {
                if request.method == Method::GET {
                    // An API that welcomes its clients before it accepts them.
                    let addr = *known.get().expect("set before");
                    let pushed = push(addr, "alice", "welcome").await;
                    assert_eq!(pushed, (202, "queued".to_owned()));
                }
                ok("ok")
            }
        })
        .await;
        let (node, at) = open_push(&api, "");
        addr.set(at).expect("once");
        let mut client = Socket::connect(at, "/alice").await;
        assert_eq!(client.text().await, "welcome");
        drop(client);
        node.stop().await;
        api
    };
    assert!(!api.requests().is_empty());
}

#[tokio::test]
async fn late_long_and_unknown_pushes_are_told_apart() {
    let api = Api::echo().await;
    let (node, addr) = open_push(&api, "max-message = \"1KiB\"");
    let client = Socket::connect(addr, "/alice").await;
    assert_eq!(push(addr, "alice", &"x".repeat(1025)).await.0, 413);
    assert_eq!(push(addr, "bob", "x").await, (404, "not found".to_owned()));
    client.close(1000, "").await;
    api.until_count(2).await;
    assert_eq!(push(addr, "alice", "x").await, (410, "gone".to_owned()));
    assert_eq!(push(addr, "%2e%2e", "x").await.0, 400);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_so_much_and_no_more() {
    let api = Api::echo().await;
    let (node, addr) = open_push(&api, "send-buffer = \"64KiB\"");
    let mut client = Socket::connect(addr, "/alice").await;
    let mut fine = Socket::connect(addr, "/bob").await;
    let text = "x".repeat(60_000);
    let mut outcomes = Vec::new();
    // The system's own buffers take megabytes first.
    while outcomes.last() != Some(&429) {
        outcomes.push(push(addr, "alice", &text).await.0);
        assert!(outcomes.len() < 1_000, "never full");
    }
    assert!(outcomes.contains(&202), "{outcomes:?}");
    assert_eq!(push(addr, "bob", "unaffected").await.0, 200);
    assert_eq!(fine.text().await, "unaffected");
    let kept = outcomes.iter().filter(|status| **status != 429).count();
    for _ in 0..kept {
        assert_eq!(
            client.text().await.len(),
            text.len(),
            "what was taken comes"
        );
    }
    drop((client, fine));
    node.stop().await;
}

/// Its own messages are not asked of the API before it has taken the answers that it has: nothing is
/// dropped, and not more is held than it may be.
#[tokio::test]
async fn answers_wait_for_a_client_that_does_not_read() {
    const MESSAGES: usize = 60;
    let api = Api::start(|request| async move {
        match request.method {
            Method::POST => {
                let number = String::from_utf8_lossy(&request.body).into_owned();
                ok(format!("{number} {}", "x".repeat(500_000)))
            }
            _ => ok("ok"),
        }
    })
    .await;
    let (node, addr) = open_push(&api, "send-buffer = \"64KiB\"");
    let mut client = Socket::connect(addr, "/alice").await;
    for at in 0..MESSAGES {
        client.send(&at.to_string()).await;
    }
    // As soon as there is no room for a push, there is none for an answer.
    let mut pushes = 0;
    while push(addr, "alice", "pushed").await.0 != 429 {
        pushes += 1;
    }
    let asked = api.lines("/alice").len();
    assert!(
        asked < MESSAGES,
        "{asked} are answered, all of which are held"
    );
    let (mut next, mut pushed) = (0, 0);
    while next < MESSAGES || pushed < pushes {
        let text = client.text().await;
        match text.split_once(' ') {
            Some((number, _)) => {
                assert_eq!(number, next.to_string());
                next += 1;
            }
            None => pushed += 1,
        }
    }
    drop(client);
    node.stop().await;
}

/// An API that accepts a client and thinks better of it at once.
#[tokio::test]
async fn a_dismissal_during_connect_waits_for_the_client() {
    let gateway = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = gateway.clone();
    let api = Api::start(move |request| {
        let known = known.clone();
        async move {
            if request.method == Method::GET {
                let addr = *known.get().expect("set before");
                let head = "DELETE /alice?code=4123&reason=banned HTTP/1.1";
                let dismissed = http(addr, head, "").await;
                assert_eq!(dismissed, (202, "queued".to_owned()));
            }
            ok("ok")
        }
    })
    .await;
    let (node, addr) = open_push(&api, "");
    gateway.set(addr).expect("once");
    let mut client = Socket::connect(addr, "/alice").await;
    assert_eq!(client.end().await, Some((4123, "banned".to_owned())));
    let asked = api.until_count(2).await;
    assert_eq!(asked[1].line(), "DELETE /alice banned");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_type_decides_the_frames_kind() {
    let api = Api::echo().await;
    let (node, addr) = open_push(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    for (kind, text) in [
        ("text/plain", true),
        ("application/json; charset=utf-8", true),
        ("application/octet-stream", false),
        ("image/png", false),
    ] {
        let head = format!("POST /alice HTTP/1.1\r\ncontent-type: {kind}");
        assert_eq!(http(addr, &head, "{}").await.0, 200);
        let message = client.next().await.expect("a message");
        assert_eq!(message.is_text(), text, "{kind}");
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_client_is_dismissed_and_asked_about() {
    let api = Api::echo().await;
    let (node, addr) = gateway(&api, "push-token = \"secret\"");
    let mut client = Socket::connect(addr, "/alice").await;
    let asked = format!("GET /alice HTTP/1.1\r\n{BEARER}");
    let (code, told) = http(addr, &asked, "").await;
    assert_eq!(code, 200, "{told}");
    for part in [
        "\"address\":\"127.0.0.1\"",
        "\"open\":true",
        "\"bufferedBytes\":0",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let without = http(addr, "GET /alice HTTP/1.1", "").await;
    assert_eq!(without, (400, "no upgrade requested".to_owned()));
    let dismiss = |query: &str| format!("DELETE /alice?{query} HTTP/1.1\r\n{BEARER}");
    assert_eq!(http(addr, &dismiss("code=1006"), "").await.0, 400);
    let dismissed = http(addr, &dismiss("code=4123&reason=go%20away"), "").await;
    assert_eq!(dismissed, (200, "ok".to_owned()));
    assert_eq!(client.end().await, Some((4123, "go away".to_owned())));
    drop(client);
    let requests = api.until_count(2).await;
    assert_eq!(requests[1].line(), "DELETE /alice go away");
    assert_eq!(http(addr, &dismiss(""), "").await.0, 410);
    node.stop().await;
}

#[tokio::test]
async fn an_api_that_answers_with_a_failure_reaches_nobody() {
    let api = Api::start(|request| async move {
        match request.method {
            Method::POST => status(503, "secret details"),
            _ => ok("ok"),
        }
    })
    .await;
    let (node, addr) = open_push(
        &api,
        "on-loss = \"message\"\non-loss-message = \"try again\"",
    );
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("hello").await;
    assert_eq!(client.text().await, "try again");
    drop(client);
    node.stop().await;
}
