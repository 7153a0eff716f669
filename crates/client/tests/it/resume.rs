//! A session goes on over the next socket.

use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::Full;

use crate::support::{Relay, URL, builder, channel, client, get, soon, text};

#[tokio::test]
async fn a_response_and_a_request_go_on_where_they_were_cut() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let (pieces, body) = channel();
    let fetch = tokio::spawn(client.fetch(Request::post(URL).body(body).expect("a request")));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    peer.head(stream, 200, false).await;
    let response = soon("a head", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    let mut body = response.into_body();
    let mut up = Vec::new();
    for round in 0..10u8 {
        pieces
            .send(Ok(Frame::data(vec![round; 1_000].into())))
            .await
            .expect("it is read");
        // Half of the time the relay has it before the cut, and half of the time it has not.
        if round % 2 == 0 {
            up.extend_from_slice(&soon("a piece", peer.data()).await.1);
        }
        peer.session
            .data(stream, vec![round; 3_000].into())
            .expect("the stream is open");
        if round % 3 == 0 {
            peer.flush().await;
        }
        let session = peer.cut();
        peer = relay.socket().await.resume(session).await;
        let mut came = 0;
        while came < 3_000 {
            let piece = soon("a piece", body.chunk())
                .await
                .expect("a body")
                .expect("a piece");
            assert!(piece.iter().all(|byte| *byte == round), "in order and once");
            came += piece.len();
        }
        assert_eq!(came, 3_000);
        while up.len() < (usize::from(round) + 1) * 1_000 {
            up.extend_from_slice(&soon("a piece", peer.data()).await.1);
        }
    }
    drop(pieces);
    assert!(soon("the end", peer.data()).await.2);
    let expected: Vec<u8> = (0..10).flat_map(|round| vec![round; 1_000]).collect();
    assert_eq!(up, expected);
    peer.end(stream).await;
    assert_eq!(soon("the end", body.chunk()).await.expect("a body"), None);
}

#[tokio::test]
async fn a_fetch_is_sent_once_though_its_answer_takes_another_socket() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let request = Request::post(URL)
        .body(Full::from("once"))
        .expect("a request");
    let fetch = tokio::spawn(client.fetch(request));
    let mut peer = relay.peer().await;
    let (stream, head, _) = peer.opened().await;
    assert_eq!(
        (head.request.method, peer.body().await),
        (Method::POST, b"once".to_vec())
    );
    let session = peer.cut();
    // A socket that is lost before the relay's HELLO makes no difference.
    drop(relay.socket().await);
    let mut peer = relay.socket().await.resume(session).await;
    peer.answer(stream, "done").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await.expect("a body"), "done");
}

#[tokio::test]
async fn a_cancel_is_told_after_the_resume() {
    let relay = Relay::start().await;
    let client = client(&[&relay]);
    let fetch = tokio::spawn(client.fetch(get()));
    let mut peer = relay.peer().await;
    let (stream, ..) = peer.opened().await;
    let session = peer.cut();
    let socket = relay.socket().await;
    fetch.abort();
    assert!(fetch.await.expect_err("aborted").is_cancelled());
    let mut peer = socket.resume(session).await;
    assert_eq!(soon("a cancel", peer.cancelled()).await, stream);
}

#[tokio::test]
async fn new_fetches_do_not_wait_for_a_session_that_is_parked() {
    let (first, second) = (Relay::start().await, Relay::start().await);
    let client = builder(&[&first, &second]).build().expect("a client");
    let parked = tokio::spawn(client.fetch(get()));
    let mut peer = first.peer().await;
    let (stream, ..) = peer.opened().await;
    let session = peer.cut();
    // It knows, as it asks for another socket.
    let socket = first.socket().await;
    let fetch = tokio::spawn(client.fetch(get()));
    let mut other = second.peer().await;
    let (other_stream, ..) = other.opened().await;
    other.answer(other_stream, "there").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "there");
    let mut peer = socket.resume(session).await;
    peer.answer(stream, "here").await;
    let response = soon("an answer", parked)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "here");
}
