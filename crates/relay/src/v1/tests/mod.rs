//! Sockets and sessions over links in memory. Mostly under a clock that stands still: it moves on only
//! when nothing can run any more.

mod fenced;
mod parked;
mod places;
mod races;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fetchway_fetch::{Engine, EngineConfig, NoObserver};
use fetchway_policy::guard::AddressPolicy;
use fetchway_service::{Limits, PlaceCounts, Places, Principal, Shutdown, StreamServices};
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, Hello, RequestHead, TOKEN, decode};
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role, put_frame};
use http::Method;
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::{EndReason, Relay, SessionObserver};

/// Tells of ended sessions, and why they have.
struct Told(mpsc::Sender<&'static str>);

impl SessionObserver for Told {
    fn session_opened(&self) {}
    fn session_closed(&self, reason: EndReason) {
        // A test that has seen enough hears no more.
        let _ = self.0.try_send(reason.as_str());
    }
    fn session_refused(&self) {
        // The same.
        let _ = self.0.try_send("refused");
    }
    fn bytes_in(&self, _: u64) {}
    fn bytes_out(&self, _: u64) {}
}

fn relay() -> (Relay, mpsc::Receiver<&'static str>) {
    let engine = Engine::new(EngineConfig::default(), Arc::new(NoObserver));
    let (told, ended) = mpsc::channel(100);
    (
        Relay::new(
            engine.expect("the defaults work"),
            Arc::new(Told(told)),
            StreamServices::default(),
            Shutdown::default(),
        ),
        ended,
    )
}

fn principal(change: impl FnOnce(&mut Limits)) -> Principal {
    let mut limits = Limits::default();
    change(&mut limits);
    Principal {
        name: "test".into(),
        limits,
        policy: Arc::new(AddressPolicy::default()),
        lanes: None,
        places: places(1_000, 1_000),
    }
}

fn places(sessions: usize, sockets: usize) -> Places {
    Places::new(PlaceCounts {
        sessions,
        sockets,
        batches: 0,
    })
}

struct Peer {
    read: Receiver<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    frames: Vec<Frame>,
}

impl Peer {
    fn connect(relay: &Relay, change: impl FnOnce(&mut Limits)) -> Self {
        Self::on_behalf(relay, principal(change))
    }

    fn on_behalf(relay: &Relay, principal: Principal) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (relay, work) = (relay.clone(), relay.shutdown.begin());
        let place = principal.places.socket().expect("few sockets");
        tokio::spawn(async move { super::serve(&relay, theirs, principal, place, work).await });
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
        let mut message = BytesMut::new();
        frame.put(&mut message);
        self.send_as(Opcode::Binary, &message).await;
    }

    async fn send_as(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        put_frame(&mut out, opcode, payload, Some([1, 2, 3, 4]));
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

    /// The code that the relay closes with; what comes before is passed over.
    async fn close_code(&mut self) -> u16 {
        loop {
            if let Event::Close(code, _) = self.next().await {
                return code;
            }
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

/// Asks for the session of `token`.
fn asking(token: Option<[u8; TOKEN]>) -> Hello {
    Hello {
        token,
        received: Some(0),
        ..Hello::default()
    }
}

/// Returns when nothing can run any more.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
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
