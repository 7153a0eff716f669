//! Bodies both ways over both protocols: flow control, readers that stop, answers that come early,
//! trailers.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use fetchway_fetch::{FetchRequest, RequestBody};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_test_origins::{Kind, TestOrigin, checksum, filler, verify};
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::support::{
    H2Peer, Rig, answer, config, data, get, head, post, request, soon, trusting, trusting_origin,
    with,
};

/// Both protocols; the origin is told which.
fn both() -> [(TestOrigin, Rig); 2] {
    let h1 = TestOrigin::builder().start().unwrap();
    let h2 = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &h2));
    [(h1, Rig::new(config())), (h2, rig)]
}

/// A request body that the test feeds.
struct Fed {
    parts: mpsc::Receiver<Result<Frame<Bytes>, FetchError>>,
    length: Option<u64>,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.parts.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

type Feeder = mpsc::Sender<Result<Frame<Bytes>, FetchError>>;

fn fed(method: Method, url: &str, length: Option<u64>) -> (Feeder, FetchRequest) {
    let (feed, parts) = mpsc::channel(1);
    let mut request = request(method, url, "");
    request.body = RequestBody::stream(Box::pin(Fed { parts, length }));
    (feed, request)
}

async fn feed(feeder: &Feeder, bytes: &Bytes) {
    let part = Ok(Frame::data(bytes.clone()));
    soon(feeder.send(part)).await.expect("a reader");
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    for (origin, rig) in both() {
        let down = filler(Kind::Binary, 7, 8 << 20);
        let whole = rig
            .get(&origin.url("/bytes?n=8388608&seed=7&binary=1"))
            .await
            .unwrap();
        assert!(whole.body == down.to_vec(), "8 MiB come down as they are");

        let up = filler(Kind::Binary, 8, 8 << 20).to_vec();
        let sum = format!("{:08x}", checksum(&up));
        let whole = rig.whole(post(&origin.url("/upload"), up)).await.unwrap();
        assert_eq!(
            (&whole.json()["bytes"], &whole.json()["checksum"]),
            (&8_388_608.into(), &sum.into())
        );
        assert_eq!(rig.count.last().moved.sent, 8 << 20);
        rig.finish().await;
    }
}

#[tokio::test]
async fn streamed_request_bodies_arrive() {
    for (origin, rig) in both() {
        for length in [None, Some(3 << 20)] {
            let (feeder, request) = fed(Method::PUT, &origin.url("/upload"), length);
            let piece = Bytes::from(vec![b'x'; 1 << 20]);
            let feeding = async {
                for _ in 0..3 {
                    feed(&feeder, &piece).await;
                }
                drop(feeder);
            };
            let (whole, ()) = tokio::join!(rig.whole(request), feeding);
            assert_eq!(whole.unwrap().json()["bytes"], 3 << 20);
            assert_eq!(rig.count.last().moved.sent, 3 << 20);
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_request_body_that_fails_fails_its_fetch_by_its_own_name() {
    for (origin, rig) in both() {
        let (feeder, request) = fed(Method::PUT, &origin.url("/upload"), None);
        let feeding = async {
            feed(&feeder, &Bytes::from_static(b"begun")).await;
            soon(origin.wait_until(|stats| stats.bytes_received == 5)).await;
            let broken = FetchError::new(ErrorName::LimitExceeded, "as the test has it");
            feeder.send(Err(broken)).await.unwrap();
        };
        let (whole, ()) = tokio::join!(rig.whole(request), feeding);
        assert_eq!(whole.expect_err("no body").name, ErrorName::LimitExceeded);
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
        assert_eq!(origin.stats().requests, 1, "it is not sent again");
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    for (origin, rig) in both() {
        let (feeder, request) = fed(Method::POST, &origin.url("/upload?early=1"), None);
        feed(&feeder, &Bytes::from_static(b"begun")).await;
        let whole = rig.whole(request).await.unwrap();
        assert_eq!(whole.json()["bytes"], 0);
        // Nobody takes the rest.
        soon(feeder.closed()).await;
        let large = post(&origin.url("/upload?early=1"), vec![b'x'; 20 << 20]);
        assert_eq!(rig.whole(large).await.unwrap().json()["bytes"], 0);
        rig.get(&origin.url("/echo")).await.unwrap();
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_upload_goes_on_beside_its_response() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let (feeder, request) = fed(Method::POST, &peer.url("/"), None);
    feed(&feeder, &Bytes::from_static(b"one")).await;
    let origin = async {
        let mut connection = peer.accept().await;
        let (request, mut respond) = connection.stream().await;
        let mut send = head(&mut respond, false);
        // An echo, piece by piece.
        let mut body = request.into_body();
        while let Some(piece) = soon(body.data()).await {
            send.send_data(piece.unwrap(), false).unwrap();
        }
        send.send_data(Bytes::new(), true).unwrap();
        connection
    };
    let fetch = async {
        let mut body = rig.fetch(request).await.unwrap().response.into_body();
        assert_eq!(data(&mut body).await.unwrap().unwrap(), "one");
        feed(&feeder, &Bytes::from_static(b"two")).await;
        assert_eq!(data(&mut body).await.unwrap().unwrap(), "two");
        drop(feeder);
        assert!(data(&mut body).await.is_none());
        assert_eq!(rig.count.last().moved.sent, 6);
        rig.finish().await;
    };
    let (connection, ()) = tokio::join!(origin, fetch);
    connection.closed().await;
}

/// What `done` gives; meanwhile nobody reads the response, and its request goes on.
async fn driven<T>(response: &mut fetchway_fetch::Body, done: impl Future<Output = T>) -> T {
    let mut done = pin!(done);
    let both = poll_fn(|cx| {
        response.drive(cx);
        done.as_mut().poll(cx)
    });
    soon(both).await
}

#[tokio::test]
async fn an_upload_goes_on_while_nobody_reads_its_response() {
    for (origin, rig) in both() {
        let url = origin.url("/duplex?n=1048576&seed=3");
        let (feeder, request) = fed(Method::POST, &url, None);
        let mut body = rig.fetch(request).await.unwrap().response.into_body();
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        driven(&mut body, async {
            for _ in 0..4 {
                feed(&feeder, &piece).await;
            }
            drop(feeder);
            origin
                .wait_until(|stats| stats.bytes_received == 4 << 20)
                .await;
        })
        .await;
        let whole = body.collect().await.unwrap().to_bytes();
        let (sent, told) = whole.split_at(1 << 20);
        assert!(sent == filler(Kind::Text, 3, 1 << 20).to_vec());
        assert!(told.starts_with(b"{\"bytes\":4194304,"), "{told:?}");
        rig.finish().await;
    }
}

#[tokio::test]
async fn an_upload_that_fails_while_nobody_reads_is_told_to_the_next_reader() {
    for (origin, rig) in both() {
        let (feeder, request) = fed(Method::POST, &origin.url("/duplex?n=10"), None);
        let mut body = rig.fetch(request).await.unwrap().response.into_body();
        let broken = FetchError::new(ErrorName::LimitExceeded, "as the test has it");
        driven(&mut body, async {
            feeder.send(Err(broken)).await.unwrap();
            // There is room for another, or nobody any more, when it has been seen.
            let _ = feeder.reserve().await;
        })
        .await;
        let mut ended = None;
        while ended.is_none() {
            ended = data(&mut body).await.expect("it is not complete").err();
        }
        // Over HTTP/1.1 hyper keeps the reason to itself.
        if origin.certificate().is_some() {
            let name = ended.map(|error| error.name);
            assert_eq!(name, Some(ErrorName::LimitExceeded));
        }
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
        rig.finish().await;
    }
}

#[tokio::test]
async fn readers_that_stop_do_not_slow_the_other_streams_of_their_connection() {
    let origin = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let fetched = rig
            .fetch(get(&origin.url("/bytes?n=30000000")))
            .await
            .unwrap();
        let mut body = fetched.response.into_body();
        data(&mut body).await.unwrap().unwrap();
        stalled.push(body);
    }
    // Without windows of their own, these would wait for ever.
    for n in 0..20 {
        let url = origin.url(&format!("/bytes?n=1048576&seed={n}"));
        let whole = rig.get(&url).await.unwrap();
        assert!(whole.body == filler(Kind::Text, n, 1 << 20).to_vec());
    }
    assert_eq!(origin.stats().connections, 1);
    // And all comes when they read on.
    for body in stalled {
        let rest = soon(body.collect()).await.unwrap().to_bytes();
        assert!((29_000_000..30_000_000).contains(&rest.len()));
    }
    rig.finish().await;
}

#[tokio::test]
async fn trailers_pass() {
    for (origin, rig) in both() {
        let url = origin.url("/trailers?n=100000");
        // HTTP/1.1 servers send them only to who asks for them.
        let whole = rig
            .whole(with(get(&url), "te", "gzip;q=0.5, trailers"))
            .await
            .unwrap();
        let sum = format!("{:08x}", checksum(&whole.body));
        assert_eq!(whole.body.len(), 100_000);
        let trailers = whole.trailers.expect("trailers");
        assert_eq!(trailers["x-checksum"], sum.as_str());
        rig.get(&url).await.unwrap();
        assert_eq!(origin.stats().connections, 1, "the connection serves again");
        rig.finish().await;
    }
}

#[tokio::test]
async fn request_trailers_pass() {
    let peer = H2Peer::bind().await;
    let rig = Rig::new(trusting(config(), &peer.certificate));
    let (feeder, request) = fed(Method::POST, &peer.url("/"), None);
    let feeding = async {
        feed(&feeder, &Bytes::from_static(b"body")).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        feeder.send(Ok(Frame::trailers(trailers))).await.unwrap();
    };
    let origin = async {
        let mut connection = peer.accept().await;
        let (request, respond) = connection.stream().await;
        let mut body = request.into_body();
        assert_eq!(soon(body.data()).await.unwrap().unwrap(), "body");
        assert!(soon(body.data()).await.is_none());
        let trailers = soon(body.trailers()).await.unwrap().expect("trailers");
        assert_eq!(trailers["x-sum"], "7");
        answer(respond, "ok");
        connection
    };
    let (whole, (), connection) = tokio::join!(rig.whole(request), feeding, origin);
    assert_eq!(whole.unwrap().text(), "ok");
    tokio::join!(rig.finish(), connection.closed());
}

#[tokio::test]
async fn cancelling_resets_the_stream_and_keeps_the_connection() {
    let origin = TestOrigin::builder().tls().start().unwrap();
    let rig = Rig::new(trusting_origin(config(), &origin));
    let url = origin.url("/gate?key=never");
    tokio::select! {
        _ = rig.get(&url) => panic!("it cannot end"),
        _ = origin.wait_until(|stats| stats.in_flight == 1) => {}
    }
    soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
    rig.is_idle();
    for path in [
        "/stall?after=10&n=20",
        "/stall?after=10",
        "/bytes?n=30000000",
    ] {
        let fetched = rig.fetch(get(&origin.url(path))).await.unwrap();
        let mut body = fetched.response.into_body();
        data(&mut body).await.unwrap().unwrap();
        drop(body);
        soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
        rig.is_idle();
    }
    let (feeder, request) = fed(Method::POST, &origin.url("/upload"), None);
    feed(&feeder, &Bytes::from_static(b"begun")).await;
    tokio::select! {
        _ = rig.fetch(request) => panic!("it cannot end"),
        _ = origin.wait_until(|stats| stats.bytes_received == 5) => {}
    }
    soon(origin.wait_until(|stats| stats.in_flight == 0)).await;
    let whole = rig
        .get(&origin.url("/delay?ms=0&req=3&size=1000"))
        .await
        .unwrap();
    verify(3, &whole.body).unwrap();
    assert_eq!(origin.stats().connections, 1);
    rig.finish().await;
}
