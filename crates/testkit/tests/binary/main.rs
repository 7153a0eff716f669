//! The binary encoding as a client sees it: a real node, real sockets, frames right and wrong.

mod duplex;
mod leaving;
mod own;
mod peers;
mod resume;
mod sessions;
mod streams;

use fetchway_test_origins::TestOrigin;
use fetchway_testkit::{Binary, TestNode};
use fetchway_wire::v1::Hello;

/// An HTTP/1.1 origin on a free port of 127.0.0.1.
pub(crate) fn origin() -> TestOrigin {
    TestOrigin::builder().start().expect("a free port")
}

/// A client that has said HELLO, and what it was told.
pub(crate) async fn client(node: &TestNode) -> (Binary, Hello) {
    let mut client = Binary::connect(&format!("ws://{}/", node.addr()), None).await;
    let hello = client.hello(Hello::default()).await;
    (client, hello)
}

/// A client with windows large enough for anything here.
pub(crate) async fn wide(node: &TestNode) -> Binary {
    let mut client = Binary::connect(&format!("ws://{}/", node.addr()), None).await;
    client
        .hello(Hello {
            session_window: Some(1 << 40),
            stream_window: Some(1 << 40),
            ..Hello::default()
        })
        .await;
    client
}
