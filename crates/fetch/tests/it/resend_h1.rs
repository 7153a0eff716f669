//! HTTP/1.1 connections that fail under a request: sent again once, or not at all. The origin counts.

use fetchway_policy::ErrorName;
use http::Method;

use crate::support::{Peer, Rig, config, request};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The origin closes its idle connection as the next request comes in: a race that the client
/// cannot see.
async fn close_on_second(method: Method) -> (Result<String, ErrorName>, usize) {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept().await;
        first.head().await;
        first.send(OK).await;
        first.head().await;
        drop(first);
        // A fresh one, if the request is sent again.
        let mut requests = 2;
        if method.is_idempotent() {
            let mut second = peer.accept().await;
            second.head().await;
            requests += 1;
            second.send(OK).await;
        }
        requests
    };
    let fetches = async {
        rig.get(&url).await.unwrap();
        let sent = rig.whole(request(method.clone(), &url, "")).await;
        sent.map(|whole| whole.text().to_owned())
            .map_err(|error| error.name)
    };
    let (outcome, requests) = tokio::join!(fetches, origin);
    assert!(peer.nobody_waits(), "no further connection is tried");
    rig.finish().await;
    (outcome, requests)
}

#[tokio::test]
async fn a_lost_race_resends_what_is_idempotent_once_and_nothing_else() {
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(close_on_second(method).await, (Ok("ok".to_owned()), 3));
    }
    for method in [Method::POST, Method::PATCH] {
        let lost = (Err(ErrorName::ConnectionTerminated), 2);
        assert_eq!(close_on_second(method).await, lost);
    }
}

#[tokio::test]
async fn a_fresh_connection_that_fails_is_not_tried_again() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept().await;
        first.head().await;
    };
    let (failed, ()) = tokio::join!(rig.fails(&url), origin);
    assert_eq!(failed, ErrorName::ConnectionTerminated);
    assert!(peer.nobody_waits());
    rig.finish().await;
}

#[tokio::test]
async fn a_response_that_has_begun_is_not_asked_for_again() {
    let peer = Peer::bind().await;
    let rig = Rig::new(config());
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept().await;
        first.head().await;
        first.send(OK).await;
        first.head().await;
        first.send("HTTP/1.1 200 OK\r\nconte").await;
    };
    let fetches = async {
        rig.get(&url).await.unwrap();
        rig.fails(&url).await
    };
    let (failed, ()) = tokio::join!(fetches, origin);
    assert_eq!(failed, ErrorName::ConnectionTerminated);
    assert!(peer.nobody_waits());
    rig.finish().await;
}
