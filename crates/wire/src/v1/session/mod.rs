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
//! The way out: `send` takes what the application gives, `room` says how much it may, `transmit`
//! makes frames of it. The way in: `receive`, with `pieces` for blocks; `credit` says how much may
//! come, `cancels` how often streams may be cancelled. `resume` is what happens between two sockets.
//! `stream` is one stream's state, `map` finds it, `state` has the rest, `event` what is told.

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

use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::cancels::Cancels;
use self::state::{HelloState, In, Out};
use self::stream::Stream;
use super::frame::{GoingAway, Hello, MAX_PING, TOKEN};
use super::varint;

pub use event::{Breach, Event, Gone};
pub use map::{IdHasher, Seed, StreamMap};
pub use resume::{CannotSave, Saved};
pub use transmit::{FILL, PASSES};

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

/// One end of a session.
#[derive(Debug)]
pub struct Session {
    side: Side,
    config: Config,
    streams: StreamMap<Stream>,
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

    /// Tells a client that no stream after the last one so far will be looked at.
    pub fn go_away(&mut self, detail: &str) {
        if self.side == Side::Client {
            return;
        }
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
