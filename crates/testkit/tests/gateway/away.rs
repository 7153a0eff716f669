//! The API is killed and comes back.

use std::net::SocketAddr;
use std::time::Duration;

use fetchway_test_origins::{Api, ApiRequest, ok, status};
use fetchway_testkit::Socket;
use http::Method;

use crate::gateway;

async fn echo_at(addr: SocketAddr) -> Api {
    Api::scripted_at(addr, |request: ApiRequest| async move {
        match request.method {
            Method::POST => ok(request.body),
            _ => ok("ok"),
        }
    })
}

#[tokio::test]
async fn messages_wait_for_an_api_that_is_away() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    let at = api.stop().await;
    for text in ["one", "two", "three"] {
        client.send(text).await;
    }
    let gone = Socket::open(addr, "/bob", &[])
        .await
        .expect_err("nobody to ask");
    assert_eq!(gone.status, 502);
    let api = echo_at(at).await;
    for text in ["one", "two", "three"] {
        assert_eq!(client.text().await, text);
    }
    let sequences: Vec<u64> = api.requests().iter().map(|r| r.sequence()).collect();
    assert_eq!(sequences, [1, 2, 3]);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_delete_is_tried_until_it_is_delivered() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "");
    let client = Socket::connect(addr, "/alice").await;
    let at = api.stop().await;
    client.close(1000, "bye").await;
    let api = echo_at(at).await;
    let requests = api.until_count(1).await;
    assert_eq!(requests[0].line(), "DELETE /alice bye");
    node.stop().await;
}

/// Whatever it is answered with: the API has heard of it.
#[tokio::test]
async fn a_delete_that_is_answered_is_delivered() {
    let api = Api::scripted(|request| async move {
        match request.method {
            Method::DELETE => status(404, "no such client"),
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, "");
    Socket::connect(addr, "/alice").await.close(1000, "").await;
    api.until_count(2).await;
    let metric = async |name: &str| {
        let name = format!("fetchway_gateway_{name}{{gateway=\"gateway\"}}");
        node.metric(&name).await.expect("it is counted")
    };
    while metric("pending_deletes").await > 0.0 {}
    assert_eq!(metric("messages_lost_total").await, 0.0);
    node.stop().await;
}

/// An API that hangs up on the first message, which it may have acted on.
async fn hangs_up() -> Api {
    use std::sync::atomic::{AtomicBool, Ordering};
    let hung = std::sync::Arc::new(AtomicBool::new(false));
    Api::scripted(move |request: ApiRequest| {
        let first = request.method == Method::POST && !hung.swap(true, Ordering::SeqCst);
        async move {
            match request.method {
                // A panic ends the connection.
                Method::POST if first => std::panic::resume_unwind(Box::new("hangs up")),
                Method::POST => ok(request.body),
                _ => ok("ok"),
            }
        }
    })
}

#[tokio::test]
async fn at_most_once_sends_no_message_twice() {
    let api = hangs_up().await;
    let (node, addr) = gateway(&api, "on-loss = \"message\"\non-loss-message = \"lost\"");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("one").await;
    client.send("two").await;
    assert_eq!(client.text().await, "lost");
    assert_eq!(client.text().await, "two");
    assert_eq!(
        api.lines(""),
        ["GET /alice", "POST /alice one", "POST /alice two"]
    );
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn at_least_once_sends_again_with_the_same_number() {
    let api = hangs_up().await;
    let (node, addr) = gateway(&api, "delivery = \"at-least-once\"");
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("one").await;
    client.send("two").await;
    assert_eq!(client.text().await, "one");
    assert_eq!(client.text().await, "two");
    let sequences: Vec<u64> = api.requests().iter().map(|r| r.sequence()).collect();
    assert_eq!(sequences, [0, 1, 1, 2]);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn what_waited_too_long_is_lost_as_configured() {
    let api = Api::echo();
    let settings = "queue-timeout = \"300ms\"\non-loss = \"close\"";
    let (node, addr) = gateway(&api, settings);
    let mut client = Socket::connect(addr, "/alice").await;
    api.stop().await;
    client.send("never heard").await;
    assert_eq!(client.end().await.expect("a Close").0, 1011);
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(60), node.stop()).await;
    ended.expect("it ends");
}
