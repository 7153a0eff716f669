//! S4's plain contract, line by line.

use fetchway_test_origins::{Api, ok, status};
use fetchway_testkit::{Refused, Socket};
use http::Method;

use crate::{gateway, http, open_push, push};

#[tokio::test]
async fn a_client_is_accepted_heard_answered_and_signed_off() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("hello").await;
    assert_eq!(client.text().await, "hello");
    assert_eq!(client.close(1000, "bye").await, Some((1000, String::new())));
    api.until_count(3).await;
    let lines = ["GET /alice", "POST /alice hello", "DELETE /alice bye"];
    assert_eq!(api.lines(""), lines, "and nothing else was asked");
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_signed_off_with_eof() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    drop(Socket::connect(addr, "/alice").await);
    let requests = api.until_count(2).await;
    assert_eq!(requests[1].line(), "DELETE /alice EOF");
    node.stop().await;
}

#[tokio::test]
async fn anything_but_ok_refuses() {
    let api = Api::scripted(|request| async move {
        match &*request.target {
            "/no" => ok("no"),
            "/space" => ok("ok\n"),
            "/empty" => ok(""),
            "/error" => status(500, "ok"),
            "/absent" => status(404, "ok"),
            "/nothing" => status(204, ""),
            "/moved" => {
                let mut moved = status(302, "ok");
                let to = "/ok".parse().expect("a value");
                moved.headers_mut().insert("location", to);
                moved
            }
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, "");
    for (target, code, text) in [
        ("/no", 403, "forbidden"),
        ("/space", 403, "forbidden"),
        ("/empty", 403, "forbidden"),
        ("/error", 502, "bad gateway"),
        ("/absent", 502, "bad gateway"),
        ("/nothing", 502, "bad gateway"),
        ("/moved", 502, "bad gateway"),
    ] {
        let refused = Socket::open(addr, target, &[]).await.expect_err(target);
        let expected = Refused {
            status: code,
            text: text.to_owned(),
        };
        assert_eq!(refused, expected, "{target}");
    }
    node.stop().await;
    assert!(api.requests().iter().all(|r| r.method == Method::GET));
}

#[tokio::test]
async fn an_api_that_is_away_refuses() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    drop(api);
    let refused = Socket::open(addr, "/alice", &[])
        .await
        .expect_err("refused");
    assert_eq!((refused.status, &*refused.text), (502, "bad gateway"));
    node.stop().await;
}

#[tokio::test]
async fn an_answer_is_one_message_and_an_empty_one_is_none() {
    let api = Api::scripted(|request| async move {
        match (&request.method, &request.body[..]) {
            (&Method::GET, _) => ok("ok"),
            (_, b"empty") => ok(""),
            (_, b"none") => status(204, ""),
            (_, b"always") => {
                let mut answer = ok("");
                let always = "always".parse().expect("a value");
                answer.headers_mut().insert("fetchway-send", always);
                answer
            }
            (_, b"broken") => status(500, "a stack trace"),
            (_, b"missing") => status(404, "not here"),
            _ => ok("x".repeat(100_000)),
        }
    });
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    for text in ["empty", "none", "broken", "missing", "always", "long"] {
        client.send(text).await;
    }
    assert_eq!(client.text().await, "", "asked for by Fetchway-Send");
    assert_eq!(client.text().await, "x".repeat(100_000));
    drop(client);
    node.stop().await;
}

/// A 2xx took the message, a 3xx or 4xx is an answer to it; only after a 5xx nobody knows.
#[tokio::test]
async fn only_a_5xx_is_a_loss() {
    const LOST: &str = "fetchway_gateway_messages_lost_total{gateway=\"gateway\"}";
    const FAILED: &str = "fetchway_gateway_requests_failed_total{gateway=\"gateway\"}";
    for delivery in ["at-most-once", "at-least-once"] {
        let api = Api::scripted(|request| async move {
            let text = std::str::from_utf8(&request.body).unwrap_or_default();
            match (&request.method, text.parse()) {
                (&Method::POST, Ok(code)) => {
                    let mut answer = status(code, "not for the client");
                    let always = "always".parse().expect("a value");
                    answer.headers_mut().insert("fetchway-send", always);
                    answer
                }
                _ => ok("ok"),
            }
        });
        let settings = format!(
            "delivery = \"{delivery}\"\non-loss = \"message\"\non-loss-message = \"lost\"\n\
             queue-timeout = \"300ms\""
        );
        let (node, addr) = gateway(&api, &settings);
        let mut client = Socket::connect(addr, "/alice").await;
        for text in ["201", "202", "301", "302", "400", "404", "429", "end"] {
            client.send(text).await;
        }
        assert_eq!(client.text().await, "ok", "{delivery}: nothing before it");
        assert_eq!(api.requests().len(), 9, "{delivery}: each once");
        assert_eq!(node.metric(FAILED).await, Some(5.0));
        assert_eq!(node.metric(LOST).await, Some(0.0));
        client.send("503").await;
        assert_eq!(client.text().await, "lost", "{delivery}");
        assert_eq!(node.metric(LOST).await, Some(1.0));
        let again = api.requests().len() > 10;
        assert_eq!(again, delivery == "at-least-once");
        drop(client);
        node.stop().await;
    }
}

#[tokio::test]
async fn a_push_reaches_its_client_and_its_answer_is_a_message() {
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::GET => ok("ok"),
            _ => ok(""),
        }
    });
    let (node, addr) = open_push(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    assert_eq!(push(addr, "alice", "news").await, (200, "ok".to_owned()));
    assert_eq!(client.text().await, "news");
    client.send("thanks").await;
    api.until_count(2).await;
    assert_eq!(api.lines("").last().expect("a POST"), "POST /alice thanks");
    let unknown = push(addr, "bob", "news").await;
    assert_eq!(unknown, (404, "not found".to_owned()));
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn who_asks_for_no_upgrade_is_told_so() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let answer = http(addr, "GET /alice HTTP/1.1", "").await;
    assert_eq!(answer, (400, "no upgrade requested".to_owned()));
    assert!(api.requests().is_empty());
    node.stop().await;
}

#[tokio::test]
async fn five_counters_are_bare_lines() {
    let api = Api::scripted(|request| async move {
        match (&request.method, &request.body[..]) {
            (&Method::POST, b"fail") => status(500, ""),
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    let open = "connections_opened 1\nconnections_closed 0\nrequests_started 1\n\
                requests_failed 0\nrequests_succeeded 1\n";
    assert_eq!(
        http(addr, "GET / HTTP/1.1", "").await,
        (200, open.to_owned())
    );
    client.send("fail").await;
    client.send("well").await;
    assert_eq!(client.text().await, "ok");
    client.close(1000, "").await;
    api.until_count(4).await;
    let closed = "connections_opened 1\nconnections_closed 1\nrequests_started 4\n\
                  requests_failed 1\nrequests_succeeded 3\n";
    // The API has answered; that the gateway has heard it is told by nothing else.
    while http(addr, "GET / HTTP/1.1", "").await.1 != closed {}
    node.stop().await;
}
