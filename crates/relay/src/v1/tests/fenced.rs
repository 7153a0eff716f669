//! Messages on a socket that a newer one has just replaced do not affect the session.

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Frame, Hello};
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role};
use tokio::io::AsyncWriteExt as _;

use super::super::attach::attach;
use super::super::serve::run;
use super::{EndReason, Peer, asking, failing, principal, relay, settled};

/// Of each case: what is written to the older socket.
fn cases() -> [(&'static str, Opcode, Vec<u8>); 6] {
    let mut open = BytesMut::new();
    failing(7).put(&mut open);
    [
        ("a fetch", Opcode::Binary, open.to_vec()),
        ("a farewell", Opcode::Close, 1000_u16.to_be_bytes().to_vec()),
        (
            "another farewell",
            Opcode::Close,
            4000_u16.to_be_bytes().to_vec(),
        ),
        ("a text message", Opcode::Text, b"{}".to_vec()),
        ("no frame", Opcode::Binary, vec![0x03, 0x05]),
        ("a long message", Opcode::Binary, vec![0; (64 << 10) + 1]),
    ]
}

#[tokio::test(start_paused = true)]
async fn nothing_on_an_older_socket_ends_the_session() {
    for (name, opcode, payload) in cases() {
        let (relay, mut ended) = relay();
        let mut older = Peer::connect(&relay, |_| {});
        let hello = older.hello(Hello::default()).await;
        let mut newer = Peer::connect(&relay, |_| {});
        settled().await;
        // Both before anything else runs, and the newer's first: the older one's reader finds what has
        // come when the session is gone from it, and before it is told so.
        newer.send(Frame::Hello(asking(hello.token))).await;
        if payload.len() > 64 << 10 {
            // Its length alone does it; the rest would not fit the link.
            let head = [
                &[0x82, 0xff][..],
                &(payload.len() as u64).to_be_bytes(),
                &[0; 4],
            ]
            .concat();
            older.write.write_all(&head).await.expect("the relay reads");
        } else {
            older.send_as(opcode, &payload).await;
        }
        let code = older.close_code().await;
        // Whoever leaves with another code than 1000 leaves the session as it is anyway.
        let left = name == "another farewell";
        assert!(code == 4409 || left, "{name}: {code}");
        let Frame::Hello(resumed) = newer.frame().await else {
            panic!("no HELLO");
        };
        assert_eq!(resumed.received, Some(0), "{name}");
        // It goes on, with the streams that it had.
        newer.send(failing(1)).await;
        while !matches!(newer.frame().await, Frame::Reset { stream: 1, .. }) {}
        drop((older, newer));
        assert_eq!(ended.recv().await, Some("expired"), "{name}");
        assert!(ended.try_recv().is_err(), "{name}: it ended twice");
    }
}

/// The next socket may be there before this one has begun.
#[tokio::test(start_paused = true)]
async fn a_socket_that_is_replaced_before_it_begins_is_told() {
    let (relay, _ended) = relay();
    let mut first = Peer::connect(&relay, |_| {});
    let token = first.hello(Hello::default()).await.token;
    let attached = [(); 2].map(|()| {
        let attached = attach(&relay, principal(|_| {}), &asking(token), &mut None);
        attached.expect("the session is there")
    });
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let (read, write) = tokio::io::split(theirs);
    let receiver = Receiver::new(read, BytesMut::new(), Decoder::new(Role::Server, 1 << 10));
    let work = relay.shutdown.begin();
    let ending = run(&relay, &attached[0], receiver, write, Bytes::new(), work).await;
    assert_eq!(ending.reason, EndReason::Replaced);
    let mut ours = Receiver::new(ours, BytesMut::new(), Decoder::new(Role::Client, 1 << 10));
    let told = ours.next().await.expect("a frame");
    assert!(matches!(told, Some(Event::Close(4409, _))), "{told:?}");
}
