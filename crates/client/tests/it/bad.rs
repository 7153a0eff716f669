//! Relays that break the protocol: each is closed with the code that says so, and given up.

use bytes::BytesMut;
use fetchway_client::ErrorName;
use fetchway_wire::v1::{Frame, Hello, MAX_MESSAGE};
use fetchway_ws::Opcode;
use http::Method;

use crate::support::{Peer, Relay, builder, soon, with_body};

/// What a relay does wrong, and the code that it is closed with.
async fn ends_with(code: u16, breach: impl AsyncFnOnce(&mut Peer, u64)) {
    let relay = Relay::start().await;
    let client = builder(&[&relay]).windows(64 << 10, 16 << 10);
    let client = client.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(with_body(Method::POST, "")));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    breach(&mut peer, stream).await;
    assert_eq!(soon("a close", peer.closed()).await, Some(code));
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = match ended {
        Err(error) => error,
        Ok(response) => {
            let body = response.into_body().bytes(1 << 20).await;
            body.expect_err("the session is over")
        }
    };
    assert_eq!(error.name, ErrorName::OutcomeUnknown, "{error}");
    assert!(error.detail.contains("broke the protocol"), "{error}");
}

async fn send(peer: &mut Peer, frame: &Frame) {
    let mut frames = BytesMut::new();
    frame.put(&mut frames);
    peer.write_message(Opcode::Binary, &frames).await;
}

#[tokio::test]
async fn a_text_message() {
    ends_with(1003, async |peer, _| {
        peer.write_message(Opcode::Text, b"{}").await;
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_long() {
    ends_with(1009, async |peer, _| {
        let long = vec![0; MAX_MESSAGE + 1];
        peer.write_message(Opcode::Binary, &long).await;
    })
    .await;
}

#[tokio::test]
async fn a_second_hello() {
    ends_with(4400, async |peer, _| {
        send(peer, &Frame::Hello(Hello::default())).await;
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_frame() {
    ends_with(4400, async |peer, _| {
        peer.write_message(Opcode::Binary, &[0x01, 0x3F]).await;
    })
    .await;
}

#[tokio::test]
async fn more_bytes_than_were_allowed() {
    ends_with(4413, async |peer, stream| {
        peer.head(stream, 200, false).await;
        // What its own machine holds back it sends by hand.
        for _ in 0..4 {
            let frame = Frame::Data {
                stream,
                end: false,
                bytes: vec![0; 8 << 10].into(),
            };
            send(peer, &frame).await;
        }
    })
    .await;
}
