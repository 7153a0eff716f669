//! TLS, the counters, and that nothing is left of an origin that has ended.

use std::sync::Arc;

use crate::client::{Client, Failure, read};
use fetchway_test_origins::{Certificate, TestOrigin, checksum, verify};
use http::Version;
use tokio::net::TcpStream;

const BOTH: &[&str] = &["h2", "http/1.1"];

#[tokio::test]
async fn alpn_gives_what_client_and_origin_share() -> Result<(), Failure> {
    let origin = TestOrigin::builder().tls().name("api.test").start()?;
    let mut second = Client::tls(&origin, "api.test", BOTH).await?;
    let answer = second.head(&origin, "GET", "/delay?ms=0&req=3", "").await?;
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(verify(3, &read(answer).await?.body), Ok(()));
    let mut first = Client::tls(&origin, "127.0.0.1", &["http/1.1"]).await?;
    assert_eq!(
        first.head(&origin, "GET", "/echo", "").await?.version(),
        Version::HTTP_11
    );

    let old = TestOrigin::builder().tls().http1_only().start()?;
    let mut client = Client::tls(&old, "localhost", BOTH).await?;
    assert_eq!(
        client.head(&old, "GET", "/echo", "").await?.version(),
        Version::HTTP_11
    );
    Ok(())
}

#[tokio::test]
async fn trailers_follow_the_body() -> Result<(), Failure> {
    // Over HTTP/2: hyper's HTTP/1.1 server sends them only to who asks with `te: trailers`.
    let origin = TestOrigin::builder().tls().start()?;
    let mut client = Client::tls(&origin, "localhost", BOTH).await?;
    let answer = client.get(&origin, "/trailers?n=10").await?;
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(
        trailers["x-checksum"],
        format!("{:08x}", checksum(&answer.body))
    );
    Ok(())
}

#[tokio::test]
async fn origins_may_share_a_certificate() -> Result<(), Failure> {
    let certificate = Arc::new(Certificate::generate(&["a.test"])?);
    let one = TestOrigin::builder()
        .certificate(Arc::clone(&certificate))
        .start()?;
    let other = TestOrigin::builder()
        .certificate(Arc::clone(&certificate))
        .start()?;
    for origin in [&one, &other] {
        let mut client = Client::tls(origin, "a.test", BOTH).await?;
        assert_eq!(
            client.get(origin, "/echo").await?.json()["version"],
            "HTTP/2.0"
        );
        assert_eq!(
            origin.certificate().expect("TLS").ca_pem(),
            certificate.ca_pem()
        );
    }
    assert!(
        Client::tls(&one, "b.test", BOTH).await.is_err(),
        "a name it was not made for"
    );
    let stats = one.wait_until(|stats| stats.failed_handshakes == 1).await;
    assert_eq!(stats.connections, 2);
    Ok(())
}

#[tokio::test]
async fn a_connection_carries_as_many_streams_as_allowed() -> Result<(), Failure> {
    let origin = TestOrigin::builder()
        .tls()
        .max_concurrent_streams(2)
        .start()?;
    let Client::Http2(sender) = Client::tls(&origin, "localhost", BOTH).await? else {
        panic!("h2 was offered by both");
    };
    // SETTINGS have arrived once an answer has; before, a client may open more.
    Client::Http2(sender.clone()).get(&origin, "/echo").await?;
    let held: Vec<_> = (0..5)
        .map(|_| {
            let (mut client, url) = (Client::Http2(sender.clone()), "/gate?key=k");
            let request = http::Request::get(origin.url(url))
                .body("".into())
                .expect("valid");
            tokio::spawn(async move {
                let Client::Http2(sender) = &mut client else {
                    unreachable!("made as such")
                };
                sender.send_request(request).await
            })
        })
        .collect();
    origin.wait_until(|stats| stats.in_flight == 2).await;
    origin.open_gate("k")?;
    for answer in held {
        assert_eq!(answer.await??.status(), 200);
    }
    let stats = origin.wait_until(|stats| stats.requests == 6).await;
    assert_eq!((stats.peak_in_flight, stats.connections), (2, 1));
    Ok(())
}

#[tokio::test]
async fn dials_and_answers_are_counted() -> Result<(), Failure> {
    let origin = TestOrigin::builder().start()?;
    let mut client = Client::http1(&origin).await?;
    for _ in 0..3 {
        client.get(&origin, "/bytes?n=10").await?;
    }
    let _idle = TcpStream::connect(origin.addr()).await?;
    let stats = origin
        .wait_until(|stats| stats.open == 2 && stats.completed == 3)
        .await;
    assert_eq!(
        (stats.connections, stats.requests, stats.bytes_sent),
        (2, 3, 30)
    );
    assert_eq!(
        (stats.peak_in_flight, stats.in_flight, stats.aborted),
        (1, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn connections_break_and_drain_when_told() -> Result<(), Failure> {
    for tls in [false, true] {
        let builder = TestOrigin::builder();
        let origin = if tls {
            builder.tls().start()?
        } else {
            builder.start()?
        };
        let connect = || async {
            if tls {
                Client::tls(&origin, "localhost", BOTH).await
            } else {
                Client::http1(&origin).await
            }
        };
        let mut broken = connect().await?;
        broken.get(&origin, "/echo").await?;
        origin.break_connections();
        origin.wait_until(|stats| stats.open == 0).await;
        assert!(broken.get(&origin, "/echo").await.is_err());

        let mut drained = connect().await?;
        let (answer, ()) = tokio::join!(drained.get(&origin, "/gate?key=drain&n=3"), async {
            origin.wait_until(|stats| stats.in_flight == 1).await;
            origin.drain_connections();
            origin.open_gate("drain").expect("a known key");
        });
        assert_eq!(answer?.body.len(), 3, "what runs is finished");
        origin.wait_until(|stats| stats.open == 0).await;
        assert!(drained.get(&origin, "/echo").await.is_err());
        assert_eq!(
            connect().await?.get(&origin, "/echo").await?.status,
            200,
            "the listener goes on"
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_stopped_origin() -> Result<(), Failure> {
    for tls in [false, true] {
        let builder = TestOrigin::builder();
        let origin = if tls {
            builder.tls().start()?
        } else {
            builder.start()?
        };
        let addr = origin.addr();
        let mut client = if tls {
            Client::tls(&origin, "localhost", BOTH).await?
        } else {
            Client::http1(&origin).await?
        };
        let stalled = client.head(&origin, "GET", "/stall?after=10", "").await?;
        origin.stop().await;
        assert!(read(stalled).await.is_err());
        assert!(
            TcpStream::connect(addr).await.is_err(),
            "the port is free again"
        );
    }
    Ok(())
}

#[tokio::test]
async fn close_is_said_only_when_asked_for() -> Result<(), Failure> {
    let origin = TestOrigin::builder().start()?;
    let mut client = Client::http1(&origin).await?;
    assert!(
        client
            .get(&origin, "/echo")
            .await?
            .headers
            .get("connection")
            .is_none()
    );
    assert_eq!(
        client.get(&origin, "/echo?close=1").await?.headers["connection"],
        "close"
    );
    origin.wait_until(|stats| stats.open == 0).await;
    Ok(())
}
