//! The session state machine. Its inputs are frames, calls and time; its outputs are frames and events.
//! Both ends run it.
//!
//! ```text
//!   application ──open, respond, data, end, reset, consumed──▶ ┌─────────┐ ──transmit──▶ socket
//!   application ◀────────────────── events ─────────────────── │ Session │
//!                                                              └─────────┘ ◀──receive─── socket
//! ```
//!
//! Data waits in its stream until the peer's limits and the bound on unacknowledged bytes allow
//! `transmit` to turn it into frames, one stream after the other. Sequenced frames are kept until the
//! peer acknowledges them; after the loss of a socket, the unacknowledged ones are sent again on the
//! next.
//!
//! Outbound: `send` accepts data from the application, `room` says how much it may add, and `transmit`
//! makes the frames. Inbound: `receive` handles frames, `pieces` assembles blocks, `credit` limits how
//! much the peer may send, and `cancels` limits how often streams may be cancelled. `resume` handles
//! the time between two sockets. State: `stream` holds one stream, `map` finds it by number, `state`
//! holds the rest. `event` lists what the application is told, and `violation` how a session fails.

mod cancels;
mod credit;
mod event;
mod map;
mod pieces;
mod receive;
mod resume;
mod room;
mod send;
mod state;
mod stream;
mod transmit;
mod violation;

use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::cancels::Cancels;
use self::state::{HelloState, In, Out};
use self::stream::Stream;
use super::frame::{GoingAway, Hello, MAX_PING, TOKEN};
use super::varint;

pub use event::{Event, Gone};
pub use map::{IdHasher, Seed, StreamMap};
pub use resume::{CannotSave, Saved};
pub use transmit::{FILL, OVERSHOOT};
pub use violation::Violation;

/// The limits that apply until the other side's HELLO has come, which are also the smallest that a
/// HELLO may contain.
pub mod floor {
    /// Number of streams open at once.
    pub const STREAMS: u64 = 100;
    /// Bytes in the session.
    pub const SESSION_WINDOW: u64 = 64 << 10;
    /// Bytes on a stream.
    pub const STREAM_WINDOW: u64 = 16 << 10;
}

/// Maximum delay of an acknowledgement that waits for other frames to travel with.
pub const ACK_DELAY: Duration = Duration::from_millis(25);

/// One of the two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that opens streams.
    Client,
    /// The end that serves streams.
    Relay,
}

/// Limits that one end sets for the other, and for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of streams that the peer may have open at once. Only a relay's value is used.
    pub streams: u64,
    /// Maximum number of bytes received and not yet consumed, of all streams together.
    pub session_window: u64,
    /// Maximum number of bytes received and not yet consumed, of one stream.
    pub stream_window: u64,
    /// Maximum number of bytes sent and not yet acknowledged. Beyond it, sending pauses.
    pub unacked: u64,
    /// Maximum number of outbound bytes that are held, sent or not. Beyond it, [`Session::poll_room`]
    /// returns `Pending`.
    pub held: u64,
    /// Time for which a relay keeps the session without a socket; zero disables resuming.
    pub resume_within: Duration,
}

impl Default for Config {
    /// 1,000 streams; 16 MiB (session) and 256 KiB (stream) to receive; 1 MiB unacknowledged; one
    /// minute.
    fn default() -> Self {
        Self {
            streams: 1_000,
            session_window: 16 << 20,
            stream_window: 256 << 10,
            unacked: 1 << 20,
            held: u64::MAX,
            resume_within: Duration::from_secs(60),
        }
    }
}

/// One end of a session.
#[derive(Debug)]
pub struct Session {
    side: Side,
    config: Config,
    streams: StreamMap<Stream>,
    /// Number of streams that have not ended on our side.
    open: u64,
    /// Number of the stream opened last.
    last: u64,
    /// At a client: maximum number of open streams.
    allowed: u64,
    peer_stream_window: u64,
    hello: HelloState,
    out: Out,
    in_: In,
    wake: Vec<Waker>,
    cancels: Cancels,
    /// The GOAWAY that we have announced: streams after its last are ignored.
    going_away: Option<GoingAway>,
    /// True if the GOAWAY has not been sent on this socket yet.
    goaway_pending: bool,
    peer_goaway: Option<u64>,
}

impl Session {
    /// Creates the client's end of a new session. [`Session::transmit`] writes its HELLO first; other
    /// frames may follow at once, within the limits of [`floor`].
    #[must_use]
    pub fn client(config: Config) -> Self {
        let mut session = Self::new(Side::Client, config);
        session.hello.pending = Some(Hello {
            session_window: Some(config.session_window),
            stream_window: Some(config.stream_window),
            ..Hello::default()
        });
        session
    }

    /// Creates the relay's end of a new session, for a client that has sent `hello`. `refused` is the
    /// reason for which the session that the client asked for is not resumed.
    #[must_use]
    pub fn relay(config: Config, hello: &Hello, token: [u8; TOKEN], refused: Option<&str>) -> Self {
        let mut session = Self::new(Side::Relay, config);
        session.take_windows(hello);
        session.hello.greeted = true;
        session.hello.pending = Some(Hello {
            streams: Some(config.streams),
            session_window: Some(config.session_window),
            stream_window: Some(config.stream_window),
            resume_within: Some(
                u64::try_from(config.resume_within.as_millis()).unwrap_or(u64::MAX),
            ),
            token: (!config.resume_within.is_zero()).then_some(token),
            received: None,
            refused: refused.map(str::to_owned),
        });
        session
    }

    fn new(side: Side, mut config: Config) -> Self {
        config.streams = config.streams.max(floor::STREAMS);
        // The sum of consumed bytes and a window must remain an integer of the protocol.
        let most = varint::MAX / 4;
        config.session_window = config.session_window.clamp(floor::SESSION_WINDOW, most);
        config.stream_window = config.stream_window.clamp(floor::STREAM_WINDOW, most);
        config.unacked = config.unacked.max(1);
        Self {
            side,
            config,
            streams: StreamMap::default(),
            open: 0,
            last: 0,
            allowed: floor::STREAMS,
            peer_stream_window: floor::STREAM_WINDOW,
            hello: HelloState::default(),
            out: Out {
                limit: floor::SESSION_WINDOW,
                ..Out::default()
            },
            in_: In {
                allowed: config.session_window,
                ..In::default()
            },
            wake: Vec::new(),
            cancels: Cancels::default(),
            going_away: None,
            goaway_pending: false,
            peer_goaway: None,
        }
    }

    /// Applies the peer's first limits. The limits of streams that are already open rise to them.
    fn take_windows(&mut self, hello: &Hello) {
        self.allowed = self.allowed.max(hello.streams.unwrap_or_default());
        self.out.limit = self.out.limit.max(hello.session_window.unwrap_or_default());
        let window = hello.stream_window.unwrap_or_default();
        if window > self.peer_stream_window {
            self.peer_stream_window = window;
            let mut ids: Vec<u64> = self.streams.keys().copied().collect();
            ids.sort_unstable();
            for id in ids {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.send.limit = stream.send.limit.max(window);
                    stream.schedule(id, &mut self.out.ready);
                }
            }
        }
    }

    /// Returns the number of open streams.
    #[must_use]
    pub fn open_streams(&self) -> u64 {
        self.open
    }

    /// Returns the number of outbound bytes held: not yet sent, or not yet acknowledged.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.out.unacked_bytes + self.out.waiting
    }

    /// Returns the number of bytes received and not yet consumed, which count against the session's
    /// window.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.in_.received - self.in_.consumed
    }

    /// Returns true if no frame of a client's stream has been sent, so that its fetch can be sent
    /// elsewhere.
    #[must_use]
    pub fn is_unsent(&self, id: u64) -> bool {
        self.streams.get(&id).is_some_and(Stream::is_unsent)
    }

    /// Returns true if nothing waits to be sent or acknowledged.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.out.unacked.is_empty()
            && self.streams.values().all(|stream| {
                let send = &stream.send;
                send.items.is_empty() && send.reset.is_none() && !send.stop
            })
    }

    /// Returns the token with which the session can be resumed, if the relay gave one.
    #[must_use]
    pub fn token(&self) -> Option<[u8; TOKEN]> {
        self.hello.token
    }

    /// Returns the wakers of streams that now have room, or have ended. Wake them after unlocking the
    /// session.
    pub fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wake)
    }

    /// Returns the time at which [`Session::transmit`] must be called even if nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.in_.due
    }

    /// Announces to a client that no stream after the last one received will be served.
    pub fn go_away(&mut self, detail: &str) {
        if self.side == Side::Client {
            return;
        }
        // The first announcement stands: streams that came after it were ignored.
        let last = self.going_away.as_ref().map_or(self.last, |said| said.last);
        self.going_away = Some(GoingAway {
            last,
            detail: detail.to_owned(),
        });
        self.goaway_pending = true;
    }

    /// Asks the peer for a sign of life. At most the first 8 bytes of `payload` are sent.
    pub fn ping(&mut self, mut payload: Bytes) {
        payload.truncate(MAX_PING);
        self.out.ping = Some(payload);
    }
}
