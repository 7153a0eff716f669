//! Pushes are answered truthfully; so are dismissals and questions.

use std::net::SocketAddr;

use fetchway_test_origins::{Api, ok, status};
use fetchway_testkit::{PATIENCE, Raw, Socket, masked};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{gateway, http, open_push, push};

const BEARER: &str = "authorization: Bearer secret";

#[tokio::test]
async fn without_the_credential_nobody_pushes() {
    let api = Api::echo();
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
    let api = Api::echo();
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
        let api = Api::scripted(move |request| {
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
        });
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
    let api = Api::echo();
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
    let api = Api::echo();
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
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::POST => {
                let number = String::from_utf8_lossy(&request.body).into_owned();
                ok(format!("{number} {}", "x".repeat(500_000)))
            }
            _ => ok("ok"),
        }
    });
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
    let api = Api::scripted(move |request| {
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
    });
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
    let api = Api::echo();
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
    let api = Api::echo();
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

/// What comes back for bytes that are all written before anything is read, as simple clients do.
async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it accepts");
    stream.write_all(request).await.expect("all of it is taken");
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.expect("an answer").expect("an answer");
    answer
}

/// A client that writes its whole request first gets to the answer, not to a broken connection.
#[tokio::test]
async fn a_refused_push_is_read_to_its_end() {
    const LONG: usize = 7 << 20;
    let api = Api::echo();
    let settings = "push-listen = \"127.0.0.1:0\"\npush-token = \"secret\"\nmax-message = \"1KiB\"";
    let (node, addr) = gateway(&api, settings);
    let long = "x".repeat(LONG);
    let head = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
    };
    let length = format!("Content-Length: {LONG}\r\n");
    let with = format!("{BEARER}\r\n{length}");
    for at in [addr, node.push()] {
        for (line, fields, code) in [
            ("POST /alice", &length, "401"),
            ("POST /alice", &with, "413"),
            ("POST /alice/more", &with, "400"),
            ("PUT /alice", &with, "405"),
        ] {
            let request = head(line, fields) + &long;
            let answer = exchange(at, request.as_bytes()).await;
            let expected = format!("HTTP/1.1 {code} ");
            assert!(answer.starts_with(&expected), "{line} {fields}: {answer}");
        }
        // Too long only in the middle.
        let chunked = format!("{BEARER}\r\nTransfer-Encoding: chunked\r\n");
        let request = head("POST /alice", &chunked) + &format!("{LONG:x}\r\n{long}\r\n0\r\n\r\n");
        let answer = exchange(at, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        // Who waits to be told to go on is told not to.
        let waits = head("POST /alice", &format!("{with}Expect: 100-continue\r\n"));
        let answer = exchange(at, waits.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_request_of_ours_is_told_so() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "push-token = \"secret\"");
    let wrong = "GET /alice HTTP/1.1\r\nauthorization: Bearer wrong";
    assert_eq!(http(addr, wrong, "").await.0, 401);
    let put = format!("PUT /alice HTTP/1.1\r\n{BEARER}");
    let answer = fetchway_testkit::answer(addr, &put, "").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nallow: get, post, delete\r\n"),
        "{answer}"
    );
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let root = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{upgrade}");
    let answer = exchange(addr, root.as_bytes()).await;
    assert!(answer.ends_with("the path has no client id"), "{answer}");
    let old = format!("GET /alice HTTP/1.0\r\nHost: a\r\n{upgrade}");
    let answer = exchange(addr, old.as_bytes()).await;
    assert!(answer.contains(" 400 "), "{answer}");
    assert!(answer.ends_with("no upgrade requested"), "{answer}");
    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let request = format!("GET /alice HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let answer = exchange(addr, request.as_bytes()).await;
        assert!(
            answer.ends_with("HTTP/1.1 demands one Host field"),
            "{answer}"
        );
    }
    assert!(api.requests().is_empty());
    node.stop().await;
}

/// The client's own Close comes back at once, with a reason of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_hears_the_reason_that_it_gave_itself() {
    let api = Api::echo();
    let (node, addr) = open_push(&api, "");
    for at in 0..200 {
        let (mut client, _) = Raw::connect(addr, &format!("/{at}"), "").await;
        let mut theirs = 4_123_u16.to_be_bytes().to_vec();
        theirs.extend_from_slice(b"theirs");
        let answering = tokio::spawn(async move {
            client.frame().await.expect("a Close");
            client.bytes(&masked(0x88, &theirs)).await;
        });
        let head = format!("DELETE /{at}?code=4123&reason=ours HTTP/1.1");
        while http(addr, &head, "").await.0 == 202 {}
        answering.await.expect("it is closed");
    }
    let is_delete = |line: &String| line.starts_with("DELETE");
    api.until(|requests| {
        requests
            .iter()
            .filter(|r| r.method == Method::DELETE)
            .count()
            == 200
    })
    .await;
    let deletes = api.lines("");
    let wrong = deletes
        .iter()
        .filter(|line| is_delete(line) && !line.ends_with(" ours"));
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
    node.stop().await;
}

#[tokio::test]
async fn an_api_that_answers_with_a_failure_reaches_nobody() {
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::POST => status(503, "secret details"),
            _ => ok("ok"),
        }
    });
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
