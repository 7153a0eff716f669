//! One connection of a client: its state, and what may be done to it in which phase.
//!
//! ```text
//!   Connecting ──the API accepts──▶ Accepted ──the socket is there──▶ Open ──our Close──▶ Closing ──▶ Gone
//!       └──────────── refused, or vanished ────┴───────────────────────┴──its Close, its end──────────▲
//! ```
//!
//! An idle client owns no buffer, no codec, no task and no timer: everything beside [`State`] is boxed, and
//! dropped when it is no longer used.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fetchway_ws::{CloseCode, Opcode, ReadState, close_payload, put_frame};
use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::order::Order;
use super::socket::Socket;
use crate::api;

/// The phases of a connection, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The API is being asked.
    Connecting,
    /// The API has accepted it, and its socket is being handed over.
    Accepted,
    /// The socket can be written to and read.
    Open,
    /// We have sent a Close and wait for the client's.
    Closing,
    /// Nothing is left but what the API has yet to hear.
    Gone,
}

/// One connection of a client.
pub(crate) struct Connection {
    /// The client id: the decoded first segment of its path.
    pub(crate) id: Box<str>,
    /// Tells the connections with one id apart: a later one's is greater.
    pub(crate) epoch: u64,
    /// The client's address, as far as it is known.
    pub(crate) address: IpAddr,
    state: Mutex<State>,
}

/// The part of a connection that changes.
pub(crate) struct State {
    pub(crate) socket: Option<Socket>,
    pub(crate) order: Order,
    /// The value of `Fetchway-State`, which the API gets back with each request.
    pub(crate) attached: Option<Box<HeaderValue>>,
    pub(crate) buffers: Option<Box<Buffers>>,
    /// Later connections, which wait until the API has heard of this one's end.
    pub(crate) waiters: Option<Box<Waiters>>,
    /// Time at which the client was heard last, in tenths of seconds since the gateway began.
    pub(crate) heard: u32,
    /// Time at which the connection began, likewise.
    pub(crate) since: u32,
    /// The second in which messages were counted last.
    pub(crate) counted_at: u32,
    /// Messages in that second.
    pub(crate) count: u32,
    /// Number of the connection in its reactor.
    pub(crate) slot: u32,
    /// The reactor that serves the connection.
    pub(crate) reactor: u8,
    phase: Phase,
    pub(crate) pinged: bool,
    /// The API has accepted the connection, which so counts as opened.
    pub(crate) is_counted: bool,
    /// The reactor will go on reading in a later turn.
    pub(crate) is_unread: bool,
    /// The connection has left the table.
    pub(crate) is_out: bool,
}

/// Boxed by their owner, as hardly any connection has some.
#[derive(Default)]
pub(crate) struct Waiters(pub(crate) Vec<oneshot::Sender<()>>);

/// The part that only a client in the middle of something has.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Bytes that were read and are not a whole message yet, or wait for earlier messages.
    pub(crate) reading: ReadState,
    /// The client broke the protocol. Nothing more of it counts, and it is closed like this when its
    /// earlier messages are answered.
    pub(crate) broken: Option<(CloseCode, &'static str)>,
    /// Bytes that the client has not taken yet, and the time since when.
    pub(crate) out: BytesMut,
    pub(crate) stalled_since: u32,
    /// The client is not read, as too much of it waits.
    pub(crate) paused: bool,
    /// The API has dismissed the client before its socket was there.
    pub(crate) dismissed: Option<Box<(CloseCode, String)>>,
}

impl Buffers {
    fn is_idle(&self) -> bool {
        let no_input = self.reading.is_idle() && self.broken.is_none();
        no_input && self.out.is_empty() && !self.paused && self.dismissed.is_none()
    }
}

/// A write has failed: the client is gone.
pub(crate) struct Broken;

impl api::Client for Arc<Connection> {
    fn id(&self) -> &str {
        &self.id
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn attached(&self) -> Option<HeaderValue> {
        self.lock().attached.as_deref().cloned()
    }
}

impl Connection {
    pub(crate) fn new(id: &str, epoch: u64, address: IpAddr, now: u32) -> Self {
        Self {
            id: id.into(),
            epoch,
            address,
            state: Mutex::new(State {
                socket: None,
                order: Order::default(),
                attached: None,
                buffers: None,
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
        self.state.lock()
    }

    /// Returns true if the client can be written to.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// Returns true if the client takes no more pushes.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().order.has_ended()
    }
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Notes that the API has accepted the connection.
    pub(crate) fn accept(&mut self) {
        (self.phase, self.is_counted) = (Phase::Accepted, true);
    }

    /// Opens the connection: its socket can be written to and read from now on.
    pub(crate) fn open(&mut self, now: u32) {
        (self.heard, self.phase) = (now, Phase::Open);
    }

    /// Ends the connection: moves to `phase`, `Closing` or `Gone`, and ends the order in the same step.
    /// Returns true if the API is to hear of the end.
    ///
    /// The two must not come apart. A connection that is gone and has not ended would count as one that
    /// stays: a successor that ends meanwhile would have its DELETE dropped, and one that connects would be
    /// refused. Therefore nothing else moves to these phases, and the client learns of the end afterwards.
    pub(crate) fn end(&mut self, phase: Phase, reason: Bytes, held: bool) -> bool {
        self.phase = phase;
        if self.order.has_ended() {
            return false;
        }
        // Until its fate is decided: nobody must send it before.
        self.order.hold(held);
        self.order.end(reason, self.is_counted, Instant::now());
        self.is_counted
    }

    pub(crate) fn buffers(&mut self) -> &mut Buffers {
        self.buffers.get_or_insert_default()
    }

    /// Drops the buffers if they are not needed now.
    pub(crate) fn trim(&mut self) {
        // Bytes that the socket itself holds back count as well.
        if self.buffers.as_ref().is_some_and(|b| b.is_idle()) && !self.is_blocked() {
            self.buffers = None;
        }
    }

    /// Returns the number of bytes that wait to be taken by the client.
    pub(crate) fn unsent(&self) -> usize {
        self.buffers.as_ref().map_or(0, |buffers| buffers.out.len())
    }

    /// Returns true if the socket has taken bytes that the system has not.
    pub(crate) fn is_blocked(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_blocked)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.buffers.as_ref().is_some_and(|buffers| buffers.paused)
    }

    /// Writes a frame as far as the client takes it now. The other bytes wait.
    pub(crate) fn frame(&mut self, opcode: Opcode, payload: &[u8], now: u32) -> Result<(), Broken> {
        let mut frame = BytesMut::with_capacity(payload.len() + 10);
        put_frame(&mut frame, opcode, payload, None);
        self.bytes(&frame, now)
    }

    /// Writes whole frames as far as the client takes them now. The other bytes wait.
    pub(crate) fn bytes(&mut self, frames: &[u8], now: u32) -> Result<(), Broken> {
        let waits = self.unsent() > 0;
        let (mut taken, mut blocked) = (0, false);
        if !waits && self.phase >= Phase::Open {
            let socket = self.socket.as_mut().ok_or(Broken)?;
            taken = socket.write(frames).map_err(|_| Broken)?;
            blocked = socket.is_blocked();
        }
        if taken < frames.len() || blocked {
            let buffers = self.buffers();
            if !waits {
                buffers.stalled_since = now;
            }
            buffers.out.extend_from_slice(&frames[taken..]);
        }
        Ok(())
    }

    /// Writes the bytes that wait, as far as the client takes them now.
    pub(crate) fn flush(&mut self, now: u32) -> Result<(), Broken> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let some = socket.flush().map_err(|_| Broken)?;
        let Some(buffers) = &mut self.buffers else {
            return Ok(());
        };
        if some {
            buffers.stalled_since = now;
        }
        if buffers.out.is_empty() {
            return Ok(());
        }
        let taken = socket.write(&buffers.out).map_err(|_| Broken)?;
        if taken > 0 {
            buffers.stalled_since = now;
        }
        if taken == buffers.out.len() {
            buffers.out = BytesMut::new();
        } else {
            let _ = buffers.out.split_to(taken);
        }
        Ok(())
    }

    /// Writes the Close of a connection that is in `Closing`.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str, now: u32) -> Result<(), Broken> {
        self.heard = now;
        self.frame(Opcode::Close, &close_payload(code, reason), now)
    }
}
