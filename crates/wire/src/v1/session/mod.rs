//! The session: frames, calls and time in, frames and events out. Both ends run it.
//!
//! ```text
//!   application ──open, respond, data, end, reset, consumed──▶ ┌─────────┐ ──transmit──▶ socket
//!   application ◀────────────────── events ─────────────────── │ Session │
//!                                                              └─────────┘ ◀──receive─── socket
//! ```
//!
//! What is put in waits in its stream until the peer's limits and the bound on unacknowledged bytes
//! let `transmit` turn it into frames, one stream after the other. Sequenced frames are kept until
//! they are acknowledged, and sent again on the next socket from where the peer lost them.
//!
//! `send` is the way out, `receive` the way in, `resume` what happens between two sockets, `stream`
//! one stream's state.

mod receive;
mod resume;
mod send;
mod stream;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;

use self::stream::Stream;
use super::block::{RequestHead, ResponseHead};
use super::frame::{Frame, GoingAway, Hello, MAX_PING, Malformed, Reset, TOKEN};
use super::varint;

pub use resume::{CannotSave, Saved};
pub use send::{FILL, PASSES};

/// What either side may count on before the other's HELLO has come, and the least it may say there.
pub mod floor {
    /// Streams open at once.
    pub const STREAMS: u64 = 100;
    /// Bytes in a session.
    pub const SESSION_WINDOW: u64 = 64 << 10;
    /// Bytes on a stream.
    pub const STREAM_WINDOW: u64 = 16 << 10;
}

/// How long an acknowledgement or a limit may wait for other frames to travel with.
pub const ACK_DELAY: Duration = Duration::from_millis(25);

/// Frames received that are acknowledged without delay.
const ACK_FRAMES: u64 = 256;

/// Cancels that a client has in hand at first, and at most; each fetch that ends otherwise gives one
/// back, and so does each [`CANCEL_EVERY`].
const CANCELS: u64 = 1_000;

/// See [`CANCELS`].
const CANCEL_EVERY: Duration = Duration::from_millis(10);

/// Which end of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It opens streams.
    Client,
    /// It serves them.
    Relay,
}

/// What one end allows the other, and itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Streams that the peer may have open at once; only a relay's counts.
    pub streams: u64,
    /// Bytes received and not yet consumed, of all streams.
    pub session_window: u64,
    /// Bytes received and not yet consumed of one stream.
    pub stream_window: u64,
    /// Bytes sent and not yet acknowledged that are kept; beyond them sending waits.
    pub unacked: u64,
    /// Bytes held for the way out, sent or not, beyond which [`Session::poll_room`] lets wait.
    pub held: u64,
    /// How long a relay keeps the session without a socket; zero for not at all.
    pub resume_within: Duration,
}

impl Default for Config {
    /// 1,000 streams; 16 MiB and 256 KiB to receive; 1 MiB unacknowledged; a minute.
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

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's HELLO has come.
    Hello(Hello),
    /// At a relay: a fetch. A head that cannot be read is to be answered with a reset.
    Opened {
        /// Its stream.
        stream: u64,
        /// What is asked for.
        head: Result<Box<RequestHead>, Malformed>,
        /// There is no body.
        end: bool,
    },
    /// At a client: a response.
    Head {
        /// Its stream.
        stream: u64,
        /// What was answered.
        head: Box<ResponseHead>,
        /// There is no body.
        end: bool,
    },
    /// A piece of a body. Its bytes are to be reported by [`Session::consumed`].
    Data {
        /// Its stream.
        stream: u64,
        /// The piece.
        bytes: Bytes,
        /// The last one.
        end: bool,
    },
    /// The body has ended with these fields.
    Trailers {
        /// Its stream.
        stream: u64,
        /// The fields.
        trailers: HeaderMap,
    },
    /// The stream is over. At a relay: its fetch was cancelled.
    Reset {
        /// Its stream.
        stream: u64,
        /// Why.
        reset: Reset,
    },
    /// The peer wants no more of the body that is sent to it.
    Stopped {
        /// Its stream.
        stream: u64,
    },
    /// The peer looks at no streams after a certain one. At a client: those of its own that are later
    /// are over; their fetches can be sent to another relay.
    GoingAway(GoingAway),
}

/// The peer broke the protocol: the session is over, and its socket is closed with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Bytes that are no frame, or a frame that has no place where it came.
    Malformed(&'static str),
    /// More bytes than were allowed.
    Credit(&'static str),
    /// More streams than were allowed.
    Streams,
    /// Cancels as fast as the link allows.
    Cancels,
}

impl Breach {
    /// The WebSocket close code: `docs/protocol.md`, "Close codes".
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Malformed(_) => 4400,
            Self::Credit(_) => 4413,
            Self::Streams => 4429,
            Self::Cancels => 4420,
        }
    }

    /// The reason sent with it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(reason) | Self::Credit(reason) => reason,
            Self::Streams => "more streams are open than the relay allows",
            Self::Cancels => "streams are cancelled faster than the relay allows",
        }
    }
}

impl From<Malformed> for Breach {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

/// The stream has ended, or was never there: what was given for it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// One end of a session.
#[derive(Debug)]
pub struct Session {
    side: Side,
    config: Config,
    streams: HashMap<u64, Stream, BuildHasherDefault<IdHasher>>,
    /// Streams that have not ended, on our side of the link.
    open: u64,
    /// The last stream opened.
    last: u64,
    /// A client's: at most so many may be open.
    allowed: u64,
    peer_stream_window: u64,
    hello: HelloState,
    out: Out,
    in_: In,
    wake: Vec<Waker>,
    cancels: Cancels,
    /// We look at no stream after its last.
    going_away: Option<GoingAway>,
    /// That is still to be said on this socket.
    going_untold: bool,
    peer_going: Option<u64>,
}

/// What is said first on the socket at hand.
#[derive(Debug, Default)]
struct HelloState {
    /// To be sent.
    pending: Option<Hello>,
    /// The peer's has come on this socket.
    heard: bool,
    /// Of a client: nothing sequenced goes out before the relay has said where to go on.
    waits: bool,
    token: Option<[u8; TOKEN]>,
}

/// The way out.
#[derive(Debug, Default)]
struct Out {
    /// Streams with a RESET or STOP to send.
    urgent: VecDeque<u64>,
    /// Streams with something else to send, in turn.
    ready: VecDeque<u64>,
    /// Streams whose limit is to be told.
    limits: VecDeque<u64>,
    /// Weight of blocks and data sent in this session, and what the peer allows.
    sent: u64,
    limit: u64,
    /// Frames not yet acknowledged; those before `again` have been sent on this socket.
    unacked: VecDeque<Frame>,
    again: usize,
    unacked_bytes: u64,
    /// What waits in all streams, and those that wait until less does.
    waiting: u64,
    crowded: VecDeque<u64>,
    /// Sequenced frames that the peer has acknowledged.
    acked: u64,
    ping: Option<Bytes>,
    pong: Option<Bytes>,
}

/// The way in.
#[derive(Debug, Default)]
struct In {
    /// Sequenced frames received; of them acknowledged.
    count: u64,
    acked: u64,
    acked_weight: u64,
    /// Weight received and consumed in this session, and what the peer has been allowed.
    received: u64,
    consumed: u64,
    allowed: u64,
    /// Its limit is in the queue of those to be told.
    telling: bool,
    /// When the acknowledgement is to go out at the latest.
    due: Option<Instant>,
}

/// A client's cancels: see [`CANCELS`].
#[derive(Debug)]
struct Cancels {
    left: u64,
    refilled: Option<Instant>,
}

impl Session {
    /// A client's end of a new session. Its HELLO is the first that [`Session::transmit`] gives; frames
    /// may follow it at once, within the [`floor`].
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

    /// A relay's end of a new session, for a client that has said `hello`. `refused` tells why the
    /// session that it asked for is not there.
    #[must_use]
    pub fn relay(config: Config, hello: &Hello, token: [u8; TOKEN], refused: Option<&str>) -> Self {
        let mut session = Self::new(Side::Relay, config);
        session.take_windows(hello);
        session.hello.heard = true;
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
        // Sums of what was consumed and a window must stay integers of the protocol.
        let most = varint::MAX / 4;
        config.session_window = config.session_window.clamp(floor::SESSION_WINDOW, most);
        config.stream_window = config.stream_window.clamp(floor::STREAM_WINDOW, most);
        config.unacked = config.unacked.max(1);
        Self {
            side,
            config,
            streams: HashMap::default(),
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
            cancels: Cancels {
                left: CANCELS,
                refilled: None,
            },
            going_away: None,
            going_untold: false,
            peer_going: None,
        }
    }

    /// The peer's first limits. Those of streams that are open already rise to them.
    fn take_windows(&mut self, hello: &Hello) {
        self.allowed = self.allowed.max(hello.streams.unwrap_or_default());
        self.out.limit = self.out.limit.max(hello.session_window.unwrap_or_default());
        let window = hello.stream_window.unwrap_or_default();
        if window > self.peer_stream_window {
            self.peer_stream_window = window;
            for (id, stream) in &mut self.streams {
                stream.send.limit = stream.send.limit.max(window);
                stream.schedule(*id, &mut self.out.ready);
            }
        }
    }

    /// Streams that are open.
    #[must_use]
    pub fn open_streams(&self) -> u64 {
        self.open
    }

    /// Bytes held for the way out: not yet sent, or sent and not yet acknowledged.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.out.unacked_bytes + self.out.waiting
    }

    /// Bytes received and not yet consumed: those that still weigh on the session's window.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.in_.received - self.in_.consumed
    }

    /// Whether nothing at all of a client's stream has been sent: its fetch can be sent elsewhere.
    #[must_use]
    pub fn is_unsent(&self, id: u64) -> bool {
        self.streams.get(&id).is_some_and(Stream::is_unsent)
    }

    /// Whether nothing waits to be sent or acknowledged.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.out.unacked.is_empty()
            && self.streams.values().all(|stream| {
                let send = &stream.send;
                send.items.is_empty() && send.reset.is_none() && !send.stop
            })
    }

    /// What the relay gave to resume the session with.
    #[must_use]
    pub fn token(&self) -> Option<[u8; TOKEN]> {
        self.hello.token
    }

    /// Those who waited for room on a stream that has it now, or has ended. To be woken when the
    /// session is no longer locked.
    pub fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wake)
    }

    /// When [`Session::transmit`] is to be called even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.in_.due
    }

    /// Tells the peer that no stream after the last one so far will be looked at.
    pub fn go_away(&mut self, detail: &str) {
        // The first word stands: what came after it was not looked at.
        let last = self.going_away.as_ref().map_or(self.last, |said| said.last);
        self.going_away = Some(GoingAway {
            last,
            detail: detail.to_owned(),
        });
        self.going_untold = true;
    }

    /// Asks the peer for a sign of life; of `payload` 8 bytes are sent.
    pub fn ping(&mut self, mut payload: Bytes) {
        payload.truncate(MAX_PING);
        self.out.ping = Some(payload);
    }
}

/// Stream numbers count up: one multiplication spreads them.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(32);
    }
}
