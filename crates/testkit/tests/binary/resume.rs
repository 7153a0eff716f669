//! Sessions that outlive their sockets, and who may have them back.

use bytes::Bytes;
use fetchway_testkit::{Binary, TestNode, data, get, head, open};
use fetchway_wire::v1::{Frame, Hello};
use http::Method;

use crate::{client, origin};

async fn again(node: &TestNode, token: Option<[u8; 16]>, received: u64) -> (Binary, Hello) {
    let mut client = Binary::connect(&format!("ws://{}/", node.addr()), None).await;
    let asked = Hello {
        token,
        received: Some(received),
        ..Hello::default()
    };
    let hello = client.hello(asked).await;
    (client, hello)
}

#[tokio::test]
async fn a_fetch_goes_on_over_the_next_socket() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut first, hello) = client(&node).await;
    first
        .send([get(1, &origin.url("/gate?key=later&n=100"))])
        .await;
    first
        .send([open(
            2,
            &head(Method::POST, &origin.url("/upload"), ""),
            false,
        )])
        .await;
    first.send([data(2, "one ", false)]).await;
    origin
        .wait_until(|stats| stats.in_flight == 2 && stats.bytes_received == 4)
        .await;
    first.cut();
    let (mut second, resumed) = again(&node, hello.token, 0).await;
    assert_eq!(resumed.received, Some(3), "three frames had arrived");
    assert!(resumed.token.is_some() && resumed.token != hello.token);
    second.send([data(2, "two", true)]).await;
    let (_, body) = second.answer(2).await;
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["bytes"], 7);
    origin.open_gate("later").expect("few keys");
    assert_eq!(second.answer(1).await.1.len(), 100);
    assert_eq!(origin.stats().requests, 2, "each was sent once");
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn what_was_not_received_is_sent_again() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut first, hello) = client(&node).await;
    first
        .send([get(1, &origin.url("/bytes?n=1000&seed=3"))])
        .await;
    let (head, body) = first.answer(1).await;
    first.cut();
    // It says that it has nothing: all of it comes again.
    let (mut second, _) = again(&node, hello.token, 0).await;
    assert_eq!(second.answer(1).await, (head, body));
    assert_eq!(origin.stats().requests, 1);
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn a_newer_socket_fences_the_older() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut first, hello) = client(&node).await;
    let (mut second, resumed) = again(&node, hello.token, 0).await;
    assert_eq!(resumed.received, Some(0));
    assert_eq!(first.close_code().await, Some(4409));
    first.send([get(1, &origin.url("/echo"))]).await;
    second
        .send([get(1, &origin.url("/bytes?n=10&seed=1"))])
        .await;
    assert_eq!(second.answer(1).await.1.len(), 10);
    assert_eq!(
        origin.stats().requests,
        1,
        "nothing of the older socket counts"
    );
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn a_token_is_good_until_the_next_is_known() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (first, hello) = client(&node).await;
    first.cut();
    let (second, resumed) = again(&node, hello.token, 0).await;
    assert!(resumed.received.is_some());
    // The relay's HELLO might have been lost: the old token still works.
    second.cut();
    for _ in 0..3 {
        let (lost, resumed) = again(&node, hello.token, 0).await;
        assert!(resumed.received.is_some(), "however often it is lost");
        lost.cut();
    }
    let (mut third, resumed) = again(&node, hello.token, 0).await;
    assert!(resumed.received.is_some());
    third.send([get(1, &origin.url("/echo"))]).await;
    third.of_stream(1).await;
    third.cut();
    // Now it does not: the newest was shown to be known.
    let (fourth, refused) = again(&node, hello.token, 0).await;
    assert!(refused.received.is_none() && refused.refused.is_some());
    fourth.cut();
    let (fifth, resumed) = again(&node, resumed.token, 1).await;
    assert_eq!(resumed.received, Some(1));
    drop(fifth);
    node.stop().await;
}

#[tokio::test]
async fn a_stolen_token_opens_nothing() {
    let node = TestNode::configured(
        "127.0.0.1:0",
        "guard.allow-net = ['127.0.0.0/8']\n\
         tokens = [{ name = 'owner', token = 'one' }, { name = 'thief', token = 'two' }]",
    );
    let url = format!("ws://{}/", node.addr());
    let mut owner = Binary::connect(&url, Some("one")).await;
    let hello = owner.hello(Hello::default()).await;
    let asked = Hello {
        token: hello.token,
        received: Some(0),
        ..Hello::default()
    };
    let mut thief = Binary::connect(&url, Some("two")).await;
    let refused = thief.hello(asked.clone()).await;
    assert!(refused.received.is_none() && refused.refused.is_some());
    // The owner has not noticed anything.
    owner.send([Frame::Ping(Bytes::from_static(b"here"))]).await;
    assert_eq!(owner.next().await, Frame::Pong(Bytes::from_static(b"here")));
    owner.cut();
    let mut owner = Binary::connect(&url, Some("one")).await;
    assert!(owner.hello(asked).await.received.is_some());
    drop((owner, thief));
    node.stop().await;
}

#[tokio::test]
async fn a_farewell_ends_the_session() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let (mut first, hello) = client(&node).await;
    first.send([get(1, &origin.url("/gate?key=shut"))]).await;
    origin.wait_until(|stats| stats.in_flight == 1).await;
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    };
    first
        .send_message(tokio_tungstenite::tungstenite::Message::Close(Some(close)))
        .await;
    origin.wait_until(|stats| stats.aborted == 1).await;
    assert_eq!(first.close_code().await, Some(1000));
    let (second, refused) = again(&node, hello.token, 0).await;
    assert!(refused.received.is_none());
    drop(second);
    node.stop().await;
}

#[tokio::test]
async fn an_impossible_count_is_refused_and_harms_nothing() {
    let node = TestNode::open(&[]);
    let (first, hello) = client(&node).await;
    first.cut();
    let mut wrong = Binary::connect(&format!("ws://{}/", node.addr()), None).await;
    let asked = Hello {
        token: hello.token,
        received: Some(7),
        ..Hello::default()
    };
    wrong.send([Frame::Hello(asked)]).await;
    assert_eq!(wrong.close_code().await, Some(4400));
    let (right, resumed) = again(&node, hello.token, 0).await;
    assert!(resumed.received.is_some());
    drop(right);
    node.stop().await;
}
