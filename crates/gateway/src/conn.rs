//! One client: what is kept of it, and what it may do in which phase.
//!
//! ```text
//!   Connecting ──the API accepts, the socket is there──▶ Open ──our Close──▶ Closing ──▶ Gone
//!       └───────────── refused, or vanished ──────────────┴──its Close, its end──────────▲
//! ```
//!
//! An idle client owns no buffer, no codec, no task and no timer: what it has beside [`State`] is
//! boxed and let go when it is used no more.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use fetchway_ws::{CloseCode, Opcode, ReadState, close_payload, put_frame};
use http::HeaderValue;
use tokio::sync::oneshot;

use crate::order::Order;
use crate::socket::Socket;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The API is being asked.
    Connecting,
    /// The API has accepted it, and its socket is being handed over.
    Accepted,
    /// It can be written to and read.
    Open,
    /// We have sent a Close and wait for the client's.
    Closing,
    /// Nothing is left but what the API has yet to hear.
    Gone,
}

/// One client.
pub(crate) struct Conn {
    /// The client id: the decoded first segment of its path.
    pub(crate) id: Box<str>,
    /// Tells it from all before it with the same id: a later one's is greater.
    pub(crate) epoch: u64,
    /// From where it has come, as far as that is known.
    pub(crate) address: IpAddr,
    state: Mutex<State>,
}

/// What changes.
pub(crate) struct State {
    pub(crate) socket: Option<Socket>,
    pub(crate) order: Order,
    /// What the API wants to have back with each request.
    pub(crate) attached: Option<Box<HeaderValue>>,
    pub(crate) traffic: Option<Box<Traffic>>,
    /// Those who wait until the API has heard of its end.
    pub(crate) waiters: Option<Box<Waiters>>,
    /// Tenths of seconds since the gateway began: when it was heard last, when it connected, and in
    /// which its messages were counted last.
    pub(crate) heard: u32,
    pub(crate) since: u32,
    pub(crate) counted_at: u32,
    /// Messages in that second.
    pub(crate) count: u32,
    /// Its place in its reactor.
    pub(crate) slot: u32,
    pub(crate) reactor: u8,
    pub(crate) phase: Phase,
    pub(crate) pinged: bool,
    /// The API has accepted it: it counts.
    pub(crate) is_counted: bool,
    /// Its turn to be read comes once more.
    pub(crate) is_unread: bool,
    /// It has left the table.
    pub(crate) is_out: bool,
}

/// Boxed: hardly any client has some.
#[derive(Default)]
pub(crate) struct Waiters(pub(crate) Vec<oneshot::Sender<()>>);

/// What only a client in the middle of something has.
#[derive(Default)]
pub(crate) struct Traffic {
    /// What has been read and is not a whole message yet, or waits for those before it.
    pub(crate) reading: ReadState,
    /// It has broken the protocol: nothing more of it counts, and it is closed like this when what it
    /// has sent before is answered.
    pub(crate) broken: Option<(CloseCode, &'static str)>,
    /// What the client has not taken yet, and since when.
    pub(crate) out: BytesMut,
    pub(crate) stalled_since: u32,
    /// It is not read, as too much of it waits.
    pub(crate) paused: bool,
    /// The API has dismissed it before its socket was there.
    pub(crate) dismissed: Option<Box<(CloseCode, String)>>,
}

impl Traffic {
    fn is_idle(&self) -> bool {
        let no_input = self.reading.is_idle() && self.broken.is_none();
        no_input && self.out.is_empty() && !self.paused && self.dismissed.is_none()
    }
}

/// A write has failed: the client is gone.
pub(crate) struct Broken;

impl Conn {
    pub(crate) fn new(id: &str, epoch: u64, address: IpAddr, now: u32) -> Self {
        Self {
            id: id.into(),
            epoch,
            address,
            state: Mutex::new(State {
                socket: None,
                order: Order::default(),
                attached: None,
                traffic: None,
                waiters: None,
                heard: now,
                since: now,
                counted_at: 0,
                count: 0,
                slot: u32::MAX,
                reactor: 0,
                phase: Phase::Connecting,
                pinged: false,
                is_counted: false,
                is_unread: false,
                is_out: false,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can be written to.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Whether it takes no more pushes.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().order.has_ended()
    }
}

impl State {
    pub(crate) fn traffic(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_default()
    }

    /// Lets go of what is not needed between messages.
    pub(crate) fn rest(&mut self) {
        // What the socket itself holds back is waited for like the rest.
        if self.traffic.as_ref().is_some_and(|t| t.is_idle()) && !self.is_blocked() {
            self.traffic = None;
        }
    }

    /// Bytes that wait to be taken by the client.
    pub(crate) fn unsent(&self) -> usize {
        self.traffic.as_ref().map_or(0, |traffic| traffic.out.len())
    }

    /// Whether the socket has taken bytes that the system has not.
    pub(crate) fn is_blocked(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_blocked)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.traffic.as_ref().is_some_and(|traffic| traffic.paused)
    }

    /// Writes a frame, or what of it the client takes now; the rest waits.
    pub(crate) fn frame(&mut self, opcode: Opcode, payload: &[u8], now: u32) -> Result<(), Broken> {
        let mut frame = BytesMut::with_capacity(payload.len() + 10);
        put_frame(&mut frame, opcode, payload, None);
        self.bytes(&frame, now)
    }

    /// Writes whole frames, or what of them the client takes now; the rest waits.
    pub(crate) fn bytes(&mut self, frames: &[u8], now: u32) -> Result<(), Broken> {
        let waits = self.unsent() > 0;
        let (mut taken, mut blocked) = (0, false);
        if !waits && self.phase >= Phase::Open {
            let socket = self.socket.as_mut().ok_or(Broken)?;
            taken = socket.write(frames).map_err(|_| Broken)?;
            blocked = socket.is_blocked();
        }
        if taken < frames.len() || blocked {
            let traffic = self.traffic();
            if !waits {
                traffic.stalled_since = now;
            }
            traffic.out.extend_from_slice(&frames[taken..]);
        }
        Ok(())
    }

    /// Goes on writing what waits.
    pub(crate) fn flush(&mut self, now: u32) -> Result<(), Broken> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let some = socket.flush().map_err(|_| Broken)?;
        let Some(traffic) = &mut self.traffic else {
            return Ok(());
        };
        if some {
            traffic.stalled_since = now;
        }
        if traffic.out.is_empty() {
            return Ok(());
        }
        let taken = socket.write(&traffic.out).map_err(|_| Broken)?;
        if taken > 0 {
            traffic.stalled_since = now;
        }
        if taken == traffic.out.len() {
            traffic.out = BytesMut::new();
        } else {
            let _ = traffic.out.split_to(taken);
        }
        Ok(())
    }

    /// Sends a Close, once.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, now: u32) -> Result<(), Broken> {
        let payload = close_payload(code, reason);
        self.frame(Opcode::Close, &payload, now)?;
        self.phase = Phase::Closing;
        self.heard = now;
        Ok(())
    }
}
