//! A session over a link in memory, under a clock that stands still: it moves on only when nothing
//! can run any more. So "the relay does no more for now" is something that a test can wait for, and
//! the limits are tested at their defaults, in no time.

mod clocks;
mod leaving;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fetchway_fetch::{Engine, EngineConfig, NoObserver};
use fetchway_policy::guard::AddressPolicy;
use fetchway_service::{Limits, PlaceCounts, Places, Principal, Shutdown, StreamServices};
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role, put_frame};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use crate::ending::EndReason;
use crate::{NoSessionObserver, Relay};

/// Bytes that the link holds each way, as a socket's buffers would.
const LINK: usize = 64 << 10;

/// A message that is answered at once, without a reservation in the budget.
const NO_JSON: &[u8] = &[b'x'; 1_000];

fn relay() -> Relay {
    let engine =
        Engine::new(EngineConfig::default(), Arc::new(NoObserver)).expect("the defaults work");
    let (services, shutdown) = (StreamServices::default(), Shutdown::default());
    Relay::new(engine, Arc::new(NoSessionObserver), services, shutdown)
}

/// The other end of a session.
struct Peer {
    read: Receiver<ReadHalf<DuplexStream>>,
    write: WriteHalf<DuplexStream>,
    /// Why the session ended.
    ended: JoinHandle<EndReason>,
}

impl Peer {
    fn connect(relay: &Relay) -> Self {
        Self::limited(relay, Limits::default())
    }

    fn limited(relay: &Relay, limits: Limits) -> Self {
        let principal = Principal {
            name: "test".into(),
            limits,
            policy: Arc::new(AddressPolicy::default()),
            lanes: None,
            places: Places::new(PlaceCounts {
                sessions: 1,
                sockets: 0,
                batches: 0,
            }),
        };
        let (ours, theirs) = tokio::io::duplex(LINK);
        let (relay, work) = (relay.clone(), relay.shutdown.begin());
        let (read, write) = tokio::io::split(ours);
        Self {
            read: Receiver::new(read, BytesMut::new(), Decoder::new(Role::Client, 1 << 20)),
            write,
            ended: tokio::spawn(async move { relay.session(theirs, principal, work).await.reason }),
        }
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = BytesMut::new();
        put_frame(&mut frame, opcode, payload, Some([1, 2, 3, 4]));
        self.write.write_all(&frame).await.expect("the relay reads");
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        self.read
            .next()
            .await
            .expect("the relay keeps to the protocol")
    }

    async fn answer(&mut self) -> String {
        answer(&mut self.read).await
    }

    /// The code of the Close frame, after which nothing comes; pings pass by.
    async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Event::Close(code, _)) => {
                    self.send(Opcode::Close, &code.to_be_bytes()).await;
                    assert_eq!(self.next().await, None);
                    return code;
                }
                Some(Event::Ping(_)) => {}
                other => panic!("no Close: {other:?}"),
            }
        }
    }
}

/// The next answer; pings and pongs pass by.
async fn answer(read: &mut Receiver<ReadHalf<DuplexStream>>) -> String {
    loop {
        match read.next().await.expect("the relay keeps to the protocol") {
            Some(Event::Message(message)) => {
                return String::from_utf8(message.data.to_vec()).expect("a text");
            }
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// Returns when nothing can run any more.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
