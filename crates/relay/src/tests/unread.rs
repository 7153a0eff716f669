//! A client that does not read: what the relay keeps for it is bounded, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use fetchway_ws::{Event, Opcode, put_frame};
use tokio::io::AsyncWriteExt;

use super::{EndReason, LINK, NO_JSON, Peer, answer, relay, settled};
use crate::json::LOOSE_BYTES;

/// Messages sent: a hundred times what the relay may take in unread.
const MANY: usize = 400_000;

#[tokio::test(start_paused = true)]
async fn garbage_is_read_only_as_fast_as_its_answers_are() {
    let relay = relay();
    let mut peer = Peer::connect(&relay);
    let sent = Arc::new(AtomicUsize::new(0));
    let (mut write, count) = (peer.write, sent.clone());
    let sending = tokio::spawn(async move {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, Opcode::Text, NO_JSON, Some([7; 4]));
        for _ in 0..MANY {
            write
                .write_all(&frame)
                .await
                .expect("the relay reads in the end");
            count.fetch_add(1, Ordering::Relaxed);
        }
        write
    });
    settled().await;
    // Answers that wait weigh 512 bytes at least, those in the link about 100; what is not read
    // waits in the link and in one buffer of the relay.
    let bound = LOOSE_BYTES / 512 + LINK / 100 + (LINK + (16 << 10)) / NO_JSON.len() + 100;
    let stopped_at = sent.load(Ordering::Relaxed);
    assert!(stopped_at <= bound, "{stopped_at} of {bound}");
    for _ in 0..MANY {
        let answer = answer(&mut peer.read).await;
        assert!(answer.starts_with(r#"{"id":"unknown","status":0,"#));
    }
    peer.write = sending.await.expect("all is sent");
    peer.send(Opcode::Text, br#"{"id": 5}"#).await;
    assert!(
        peer.answer().await.starts_with(r#"{"id":5,"status":0,"#),
        "it is of use still"
    );
    peer.send(Opcode::Close, b"").await;
    assert_eq!(peer.ended.await.expect("no panic"), EndReason::Client);
}

#[tokio::test(start_paused = true)]
async fn pongs_do_not_pile_up() {
    let relay = relay();
    let mut peer = Peer::connect(&relay);
    // The link is full of answers, so no pong can leave.
    for _ in 0..LINK / 100 {
        peer.send(Opcode::Text, b"no JSON").await;
    }
    settled().await;
    for number in 0..5_000u32 {
        peer.send(Opcode::Ping, &number.to_be_bytes()).await;
    }
    settled().await;
    let mut pongs = Vec::new();
    while pongs
        .last()
        .is_none_or(|last: &Vec<u8>| *last != 4_999u32.to_be_bytes())
    {
        if let Event::Pong(payload) = peer.next().await.expect("the last pong comes") {
            pongs.push(payload.to_vec());
        }
    }
    assert!(pongs.len() < 20, "{} pongs", pongs.len());
}
