//! HTTP/2 origins that go away, refuse streams, or break: what is sent again, and what is not. Every
//! request is counted by the origin.

use fetchway_policy::ErrorName;
use fetchway_test_origins::TestOrigin;
use futures_util::future::join_all;
use h2::Reason;
use http::Method;

use crate::support::{
    H2Peer, Rig, config, data, get, post, request, soon, trusting, trusting_origin, whole,
};

#[tokio::test]
async fn streams_above_the_last_are_sent_again_and_those_below_finish() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut first = peer.accept_frames().await;
        first.allow(100).await;
        let ids = [
            first.request().await,
            first.request().await,
            first.request().await,
        ];
        first.go_away(ids[0]).await;
        let mut second = peer.accept_frames().await;
        second.allow(100).await;
        for _ in 0..2 {
            let id = second.request().await;
            second.head(id, true).await;
        }
        // Only then the first, which the GOAWAY left alone.
        first.head(ids[0], false).await;
        first.data(ids[0], b"whole", true).await;
        first.closed().await;
        second
    };
    // POSTs: what is provably unprocessed may be sent again, whatever it is.
    let fetches = join_all((0..3).map(|_| rig.whole(post(&url, "x"))));
    let (second, answers) = tokio::join!(origin, fetches);
    let bodies: usize = answers
        .into_iter()
        .map(|answer| answer.unwrap().body.len())
        .sum();
    assert_eq!(bodies, "whole".len());
    assert!(peer.nobody_waits());
    tokio::join!(rig.finish(), second.closed());
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept_frames().await;
        connection.allow(100).await;
        for reason in [Reason::REFUSED_STREAM, Reason::REFUSED_STREAM] {
            let id = connection.request().await;
            connection.reset(id, reason).await;
        }
        // The next fetch: refused, then answered.
        let id = connection.request().await;
        connection.reset(id, Reason::REFUSED_STREAM).await;
        let id = connection.request().await;
        connection.head(id, true).await;
        connection
    };
    let fetches = async {
        let refused = rig.whole(post(&url, "x")).await.expect_err("refused twice");
        assert_eq!(refused.name, ErrorName::ConnectionTerminated);
        rig.whole(post(&url, "x")).await.expect("refused once");
    };
    let (connection, ()) = tokio::join!(origin, fetches);
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn any_other_reset_is_final() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept_frames().await;
        connection.allow(100).await;
        let id = connection.request().await;
        connection.head(id, true).await;
        // On a connection that has served, too.
        for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR] {
            let id = connection.request().await;
            connection.reset(id, reason).await;
        }
        connection
    };
    let fetches = async {
        rig.get(&url).await.unwrap();
        for _ in 0..3 {
            assert_eq!(rig.fails(&url).await, ErrorName::ConnectionTerminated);
        }
    };
    let (connection, ()) = tokio::join!(origin, fetches);
    tokio::join!(rig.finish(), connection.closed());
}

/// The connection breaks after a request came, on a fresh connection or on one that has served.
async fn broken(method: Method, served: bool) -> (Result<(), ErrorName>, usize) {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let again = served && method.is_idempotent();
    let origin = async {
        let mut requests = 0;
        let mut first = peer.accept_frames().await;
        first.allow(100).await;
        if served {
            let id = first.request().await;
            first.head(id, true).await;
        }
        first.request().await;
        requests += 1;
        drop(first);
        if again {
            let mut second = peer.accept_frames().await;
            second.allow(100).await;
            let id = second.request().await;
            requests += 1;
            second.head(id, true).await;
            rig.count.wait_until(|count| count.ended().len() == 2).await;
        }
        requests
    };
    let fetches = async {
        if served {
            rig.get(&url).await.unwrap();
        }
        let outcome = rig.whole(request(method.clone(), &url, "")).await;
        outcome.map(drop).map_err(|error| error.name)
    };
    let (outcome, requests) = tokio::join!(fetches, origin);
    assert!(peer.nobody_waits());
    rig.finish().await;
    (outcome, requests)
}

#[tokio::test]
async fn a_connection_lost_before_the_response_is_replaced_only_if_it_had_served() {
    let lost = Err(ErrorName::ConnectionTerminated);
    assert_eq!(broken(Method::GET, true).await, (Ok(()), 2));
    assert_eq!(broken(Method::GET, false).await, (lost, 1));
    assert_eq!(broken(Method::POST, true).await, (lost, 1));
    assert_eq!(broken(Method::POST, false).await, (lost, 1));
}

#[tokio::test]
async fn a_connection_lost_within_the_body_leaves_it_incomplete() {
    for origin in [TestOrigin::builder().tls(), TestOrigin::builder()] {
        let origin = origin.start().unwrap();
        let rig = match origin.certificate() {
            Some(_) => Rig::new(trusting_origin(config(), &origin)),
            None => Rig::new(config()),
        };
        // Told by a connection or stream that ends early.
        for path in ["/cut?after=10&n=20", "/cut?after=10&n=2000000"] {
            assert_eq!(
                rig.fails(&origin.url(path)).await,
                ErrorName::HttpResponseIncomplete
            );
        }
        // And by the connection as a whole.
        for path in ["/stall?after=10&n=20", "/stall?after=10"] {
            let fetched = rig.fetch(get(&origin.url(path))).await.unwrap();
            let mut body = fetched.response.into_body();
            data(&mut body).await.unwrap().unwrap();
            origin.break_connections();
            let error = data(&mut body).await.unwrap().expect_err("it is not whole");
            assert_eq!(error.name, ErrorName::HttpResponseIncomplete);
            assert!(data(&mut body).await.is_none(), "an error is the end");
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn draining_loses_nothing() {
    let origin = TestOrigin::builder()
        .tls()
        .max_concurrent_streams(5)
        .start()
        .unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    let url = origin.url("/gate?key=drain&n=10");
    // Several connections, all with streams, all told to go away at once.
    let first = join_all((0..20).map(|_| rig.get(&url)));
    let later = async {
        soon(origin.wait_until(|stats| stats.in_flight == 20)).await;
        origin.drain_connections();
        // POSTs to an origin whose every connection is going away.
        let url = origin.url("/echo");
        for _ in 0..20 {
            rig.whole(post(&url, "x")).await.unwrap();
        }
        origin.open_gate("drain").unwrap();
    };
    let (answers, ()) = tokio::join!(first, later);
    for answer in answers {
        assert_eq!(answer.unwrap().body.len(), 10);
    }
    assert_eq!(origin.stats().requests, 40, "each was sent once");
    rig.finish().await;
}

#[tokio::test]
async fn a_reset_without_error_ends_only_a_complete_response() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let url = peer.url("/");
    let origin = async {
        let mut connection = peer.accept_frames().await;
        connection.allow(100).await;
        // Complete, and then: keep the rest of the request (RFC 9113 section 8.1).
        let id = connection.request().await;
        connection.head(id, false).await;
        connection.data(id, b"early", true).await;
        connection.reset(id, Reason::NO_ERROR).await;
        // Not complete, though nothing was left to be sent.
        let id = connection.request().await;
        connection.head(id, false).await;
        connection.data(id, b"half", false).await;
        connection.reset(id, Reason::NO_ERROR).await;
        connection
    };
    let fetches = async {
        // More than the origin's window, so it cannot be sent to its end.
        let big = post(&url, vec![b'x'; 1 << 20]);
        let early = whole(rig.fetch(big).await.unwrap()).await.unwrap();
        assert_eq!(early.text(), "early");
        assert_eq!(rig.fails(&url).await, ErrorName::HttpResponseIncomplete);
    };
    let (connection, ()) = tokio::join!(origin, fetches);
    tokio::join!(rig.finish(), connection.closed());
}
