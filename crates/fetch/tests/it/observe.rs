//! The observer hears of each fetch exactly once, whatever becomes of it, and of what it moved.

use fetchway_fetch::Moved;
use fetchway_policy::{ErrorName, QueueBounds};
use fetchway_test_origins::TestOrigin;
use futures_util::FutureExt as _;
use http::StatusCode;

use crate::support::{Peer, Rig, config, data, get, post, request, trusting_origin, with_lane};

#[tokio::test]
async fn every_path_ends_once_and_says_how() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(
        with_lane(|lane| lane.response_cap = 100_000),
        &h2,
    ));
    for origin in [h1, h2] {
        for (path, outcome) in [
            ("/bytes?n=500", Ok(200)),
            ("/bytes?n=0", Ok(200)),
            ("/status?code=404", Ok(404)),
            ("/status?code=204", Ok(204)),
            ("/redirect?n=2", Ok(200)),
            ("/close", Err(ErrorName::ConnectionTerminated)),
            ("/cut?after=5&n=10", Err(ErrorName::HttpResponseIncomplete)),
            ("/bytes?n=100001", Err(ErrorName::HttpResponseBodySize)),
            (
                "/bytes?n=100001&chunked=1",
                Err(ErrorName::HttpResponseBodySize),
            ),
            (
                "/gzip?n=1000&cut=1",
                Err(ErrorName::HttpResponseContentCoding),
            ),
            (
                "/redirect?to=http://10.0.0.1/",
                Err(ErrorName::DestinationIpProhibited),
            ),
            ("/redirect?to=ftp://a/", Err(ErrorName::HttpRequestDenied)),
        ] {
            let before = rig.count.ended().len();
            // How it ends here is told by the observer.
            let _ = rig.get(&origin.url(path)).await;
            assert_eq!(rig.count.ended().len(), before + 1, "{path}");
            let outcome = outcome.map(|code| StatusCode::from_u16(code).unwrap());
            assert_eq!(rig.count.last().outcome, outcome, "{path}");
        }
    }
    for (url, outcome) in [
        ("http://does-not-exist.invalid/", ErrorName::DnsError),
        ("http://192.168.0.1/", ErrorName::DestinationIpProhibited),
    ] {
        rig.fails(url).await;
        assert_eq!(rig.count.last().outcome, Err(outcome));
    }
    rig.finish().await;
}

#[tokio::test]
async fn what_was_moved_is_counted_in_bytes_on_the_wire() {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &h2));
    for origin in [h1, h2] {
        rig.whole(post(&origin.url("/upload"), vec![1; 70_000]))
            .await
            .unwrap();
        assert_eq!(rig.count.last().moved.sent, 70_000);
        let whole = rig
            .get(&origin.url("/gzip?n=100000&zeros=1"))
            .await
            .unwrap();
        assert_eq!(whole.body.len(), 100_000);
        let Moved { sent, received } = rig.count.last().moved;
        assert!(
            sent == 0 && (1..5_000).contains(&received),
            "{received} coded bytes"
        );
        // Dropped half-way.
        let fetched = rig
            .fetch(get(&origin.url("/stall?after=1234&n=5000")))
            .await
            .unwrap();
        let mut body = fetched.response.into_body();
        let mut read = 0;
        while read < 1_234 {
            read += data(&mut body).await.unwrap().unwrap().len();
        }
        drop(body);
        let last = rig.count.last();
        assert_eq!(last.outcome, Err(ErrorName::Cancelled));
        assert_eq!(
            last.moved,
            Moved {
                sent: 0,
                received: 1_234
            }
        );
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_body_that_was_not_sent_is_not_counted() {
    let peer = Peer::bind().await;
    let url = peer.url("/");
    drop(peer);
    let rig = Rig::new(config());
    rig.whole(post(&url, "some bytes")).await.unwrap_err();
    assert_eq!(rig.count.last().moved, Moved::default());
    // Sent twice over a redirect, it counts twice.
    let origin = TestOrigin::builder().start().unwrap();
    let url = origin.url("/redirect?code=307&to=/upload");
    rig.whole(post(&url, "four")).await.unwrap();
    assert_eq!(rig.count.last().moved.sent, 8);
    rig.finish().await;
}

#[tokio::test]
async fn the_cancelled_and_the_refused_are_told_as_such() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(with_lane(|lane| {
        lane.concurrency = 1;
        lane.queue = QueueBounds {
            count: 2,
            ..lane.queue
        };
    }));
    let url = origin.url("/gate?key=never");
    let mut running = Box::pin(rig.get(&url));
    assert!((&mut running).now_or_never().is_none());
    let mut waiting = Box::pin(rig.get(&url));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(rig.fails(&url).await, ErrorName::QueueFull);
    assert_eq!(rig.count.last().outcome, Err(ErrorName::QueueFull));
    drop(waiting);
    assert_eq!(rig.count.last().outcome, Err(ErrorName::Cancelled));
    drop(running);
    assert_eq!(rig.count.last().outcome, Err(ErrorName::Cancelled));
    assert_eq!((rig.count.started(), rig.count.ended().len()), (3, 3));
    // A body that is never looked at.
    let fetched = rig
        .fetch(request(http::Method::GET, &origin.url("/bytes?n=9"), ""))
        .await;
    drop(fetched.unwrap());
    assert_eq!(rig.count.last().outcome, Err(ErrorName::Cancelled));
    rig.finish().await;
}
