//! A node that is told to end, as a client of the binary encoding sees it.

use fetchway_node::Ended;
use fetchway_testkit::{TestNode, get};
use fetchway_wire::v1::{Frame, Reset};

use crate::{client, origin, wide};

#[tokio::test]
async fn what_is_in_flight_is_answered_before_the_close() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut busy = wide(&node).await;
    let url = origin.url("/gate?key=k&n=1000");
    busy.send([get(1, &url), get(2, &url)]).await;
    origin.wait_until(|stats| stats.in_flight == 2).await;
    let stopping = tokio::spawn(node.stop());
    let going = loop {
        if let Frame::GoingAway(going) = busy.next().await {
            break going;
        }
    };
    assert_eq!(
        (going.last, &*going.detail),
        (2, "this node is shutting down")
    );
    // A cancel needs no answer: what is left for the relay to wait for is its acknowledgement.
    let reset = Reset::cancelled();
    busy.send([Frame::Reset { stream: 2, reset }, get(3, &url)])
        .await;
    origin.open_gate("k").expect("few keys");
    let (head, body) = busy.answer(1).await;
    assert_eq!((head.status.as_u16(), body.len()), (200, 1_000));
    busy.acknowledge().await;
    assert_eq!(busy.close_code().await, Some(1001));
    drop(busy);
    assert_eq!(stopping.await.expect("no panic"), Ended::Drained);
    assert_eq!(origin.stats().requests, 2, "nothing after GOAWAY's last");
}

#[tokio::test]
async fn a_session_without_fetches_is_closed_at_once() {
    let node = TestNode::open(&[]);
    let (mut idle, _) = client(&node).await;
    let stopping = tokio::spawn(node.stop());
    assert_eq!(idle.close_code().await, Some(1001));
    drop(idle);
    assert_eq!(stopping.await.expect("no panic"), Ended::Drained);
}
