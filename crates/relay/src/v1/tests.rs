//! Sockets and parked sessions under a clock that stands still: it moves on only when nothing can run
//! any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fetchway_fetch::{Engine, EngineConfig, NoObserver};
use fetchway_policy::guard::AddressPolicy;
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, Hello, RequestHead, decode};
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role, put_frame};
use http::Method;
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::{Limits, Principal, Relay, SessionObserver};

/// Tells of ended sessions, and why they have.
struct Told(mpsc::Sender<&'static str>);

impl SessionObserver for Told {
    fn session_opened(&self) {}
    fn session_closed(&self, why: &'static str) {
        // A test that has seen enough hears no more.
        let _ = self.0.try_send(why);
    }
    fn bytes_in(&self, _: u64) {}
    fn bytes_out(&self, _: u64) {}
}

fn relay() -> (Relay, mpsc::Receiver<&'static str>) {
    let engine = Engine::new(EngineConfig::default(), Arc::new(NoObserver));
    let (told, ended) = mpsc::channel(100);
    (
        Relay::new(engine.expect("the defaults work"), Arc::new(Told(told))),
        ended,
    )
}

struct Peer {
    read: Receiver<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    frames: Vec<Frame>,
}

impl Peer {
    fn connect(relay: &Relay, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let principal = Principal {
            name: "test".into(),
            limits,
            policy: Arc::new(AddressPolicy::default()),
            lanes: None,
        };
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (relay, phase) = (relay.clone(), relay.phase.subscribe());
        tokio::spawn(async move { super::serve(&relay, theirs, principal, phase).await });
        let (read, write) = tokio::io::split(ours);
        let decoder = Decoder::new(Role::Client, 64 << 10);
        let read = Receiver::new(read, BytesMut::new(), decoder);
        Self {
            read,
            write,
            frames: Vec::new(),
        }
    }

    async fn send(&mut self, frame: Frame) {
        let (mut message, mut out) = (BytesMut::new(), BytesMut::new());
        frame.put(&mut message);
        put_frame(&mut out, Opcode::Binary, &message, Some([1, 2, 3, 4]));
        self.write.write_all(&out).await.expect("the relay reads");
    }

    async fn next(&mut self) -> Event {
        let next = self
            .read
            .next()
            .await
            .expect("the relay keeps to the protocol");
        next.expect("something comes")
    }

    async fn hello(&mut self, hello: Hello) -> Hello {
        self.send(Frame::Hello(hello)).await;
        match self.frame().await {
            Frame::Hello(hello) => hello,
            other => panic!("no HELLO but {other:?}"),
        }
    }

    async fn frame(&mut self) -> Frame {
        while self.frames.is_empty() {
            if let Event::Message(message) = self.next().await {
                let mut bytes = message.data.freeze();
                while let Some(frame) = decode(&mut bytes).expect("whole frames") {
                    self.frames.push(frame);
                }
            }
        }
        self.frames.remove(0)
    }
}

/// Fails at once, and so leaves a RESET for the client.
fn failing(stream: u64) -> Frame {
    let head = RequestHead::new(Method::GET, "ftp://127.0.0.1/");
    let mut block = BytesMut::new();
    head.put(&mut block);
    Frame::Block {
        stream,
        part: Part::Open,
        end: true,
        more: false,
        block: block.freeze(),
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_closed_after_ten_seconds() {
    let (relay, _ended) = relay();
    let began = Instant::now();
    let mut peer = Peer::connect(&relay, |_| {});
    assert!(matches!(peer.next().await, Event::Close(4401, _)));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_no_ping_is_closed_parked_and_expires() {
    let (relay, mut ended) = relay();
    let limits = Limits::default();
    let mut peer = Peer::connect(&relay, |_| {});
    let hello = peer.hello(Hello::default()).await;
    let began = Instant::now();
    let mut pings = 0;
    loop {
        match peer.next().await {
            Event::Ping(_) => pings += 1,
            Event::Close(code, _) => break assert_eq!(code, 4408),
            _ => {}
        }
    }
    let silent = began.elapsed();
    assert!(silent >= limits.idle_timeout && silent <= limits.idle_timeout + limits.ping_interval);
    assert!(pings >= 2, "{pings}");
    drop(peer);
    // Within the time it can be had back, and its time begins anew.
    tokio::time::sleep(limits.binary.resume_within / 2).await;
    let mut again = Peer::connect(&relay, |_| {});
    let asked = Hello {
        token: hello.token,
        received: Some(0),
        ..Hello::default()
    };
    let resumed = again.hello(asked).await;
    assert!(resumed.received.is_some());
    drop(again);
    let parked = Instant::now();
    assert_eq!(ended.recv().await, Some("expired"));
    assert!(parked.elapsed() >= limits.binary.resume_within);
    let mut late = Peer::connect(&relay, |_| {});
    let asked = Hello {
        token: resumed.token,
        received: Some(0),
        ..Hello::default()
    };
    assert!(late.hello(asked).await.received.is_none());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_parked_sessions_the_oldest_ends() {
    let (relay, mut ended) = relay();
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::connect(&relay, |limits| limits.binary.parked = 2);
        tokens.push(peer.hello(Hello::default()).await.token);
        drop(peer);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(ended.recv().await, Some("evicted"));
    for (token, there) in tokens.into_iter().zip([false, true, true]) {
        let mut peer = Peer::connect(&relay, |limits| limits.binary.parked = 2);
        let asked = Hello {
            token,
            received: Some(0),
            ..Hello::default()
        };
        assert_eq!(peer.hello(asked).await.received.is_some(), there);
    }
}

#[tokio::test(start_paused = true)]
async fn parked_sessions_are_bounded_in_bytes() {
    let (relay, mut ended) = relay();
    let mut peer = Peer::connect(&relay, |limits| limits.binary.parked_bytes = 100);
    peer.hello(Hello::default()).await;
    for stream in 1..=2 {
        peer.send(failing(stream)).await;
        while !matches!(peer.frame().await, Frame::Reset { .. }) {}
    }
    // Two unacknowledged frames are more than it may leave behind.
    drop(peer);
    assert_eq!(ended.recv().await, Some("evicted"));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_leaves_waits_for_no_parked_session() {
    let (relay, mut ended) = relay();
    let mut parked = Peer::connect(&relay, |_| {});
    parked.hello(Hello::default()).await;
    drop(parked);
    let mut idle = Peer::connect(&relay, |_| {});
    idle.hello(Hello::default()).await;
    let began = Instant::now();
    let (left, going, closed) = tokio::join!(
        relay.shutdown(Duration::from_secs(30)),
        async {
            loop {
                if let Frame::GoingAway(going) = idle.frame().await {
                    break going;
                }
            }
        },
        ended.recv()
    );
    assert!(left && going.last == 0, "{going:?}");
    assert_eq!(
        (closed, ended.recv().await),
        (Some("shutdown"), Some("shutdown"))
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}
