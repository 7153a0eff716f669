//! A session of the binary encoding, over as many sockets as it takes: the machine of
//! `fetchway_wire::v1`, and for each of its streams what has come and nobody has read yet.
//!
//! One lock holds all of it. Fetches take it to open, read and write their streams, the driver once
//! for each batch that it reads or writes. Wakers are called when it is open again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::v1::{RequestHead, Reset, ResponseHead, Session};
use http::HeaderMap;

use super::ration::Ration;
use super::socket::{Liveness, Socket};
use super::stream::Stream;
use crate::builder::Settings;
use crate::queue::Queue;
use crate::upload::Source;

/// How a fetch's stream ended without a response, or within one.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The relay says what failed.
    Failed(FetchError),
    /// The session is gone.
    Lost {
        /// The request has been sent, so that its outcome can't be known.
        sent: bool,
        /// What happened to the session.
        why: Arc<str>,
    },
}

impl Failure {
    /// What a caller is told when there is no other way.
    pub(crate) fn into_error(self) -> FetchError {
        match self {
            Self::Failed(error) => error,
            Self::Lost { sent: true, why } => FetchError::new(
                ErrorName::OutcomeUnknown,
                format!(
                    "The relay was lost ({why}), and what became of the fetch cannot be known: find out before you send it again."
                ),
            ),
            Self::Lost { sent: false, why } => FetchError::new(
                ErrorName::DestinationUnavailable,
                format!("The relay was lost ({why}) before the fetch was sent: send it again."),
            ),
        }
    }
}

/// What has come for a stream.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) head: Option<Box<ResponseHead>>,
    pub(super) answered: bool,
    pub(super) pieces: Pieces,
    pub(super) end: Option<Result<Option<HeaderMap>, Failure>>,
    /// Who waits for any of that.
    pub(super) reader: Option<Waker>,
    /// Who is to know when no more is wanted of the request's body.
    pub(super) uploader: Option<Waker>,
}

/// Pieces of a body in order; most small bodies are one piece.
#[derive(Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(piece);
        } else {
            self.more.push_back(piece);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    pub(super) fn is_one(&self) -> bool {
        self.more.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.first
            .iter()
            .chain(&self.more)
            .map(|piece| piece.len() as u64)
            .sum()
    }
}

/// Everything behind the lock.
pub(super) struct State {
    pub(super) session: Session,
    pub(super) slots: HashMap<u64, Slot, BuildHasherDefault<StreamHasher>>,
    pub(super) socket: Socket,
    pub(super) ration: Ration,
    /// Streams whose cancel the ration keeps back.
    pub(super) to_cancel: VecDeque<u64>,
    /// How long the relay keeps the session without a socket.
    pub(super) kept_for: Duration,
    /// Since when the session has not been whole.
    pub(super) lost_at: Option<Instant>,
    /// Sockets tried since anything was heard of a stream.
    pub(super) tries: u32,
    /// Something was heard of a stream: the relay is worth another dial at once.
    pub(super) useful: bool,
    /// Between two sockets, or before the relay has said that the session goes on.
    pub(super) parked: bool,
    /// The relay takes no more streams.
    pub(super) leaving: bool,
    /// The client is gone: the socket is closed with the last stream.
    pub(super) unwanted: bool,
    /// The session is over.
    pub(super) over: Option<Arc<str>>,
}

/// A session and its streams.
pub(crate) struct Line {
    pub(super) state: Mutex<State>,
    /// Streams open; and whether one more may be, as it was when the lock was held last.
    load: AtomicUsize,
    room: AtomicBool,
    pub(super) queue: Arc<Queue>,
    pub(super) liveness: Liveness,
}

impl Line {
    pub(super) fn new(settings: &Settings, queue: Arc<Queue>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            state: Mutex::new(State {
                session: Session::client(settings.windows),
                slots: HashMap::default(),
                socket: Socket::new(now, Some(now + settings.connect_timeout)),
                ration: Ration::new(),
                to_cancel: VecDeque::new(),
                kept_for: Duration::ZERO,
                lost_at: None,
                tries: 0,
                useful: false,
                parked: false,
                leaving: false,
                unwanted: false,
                over: None,
            }),
            load: AtomicUsize::new(0),
            room: AtomicBool::new(true),
            queue,
            liveness: Liveness {
                ping_every: settings.ping_every,
                dead_after: settings.dead_after,
            },
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves the state half-changed but a bug of the machine's, and then the
        // streams must still end.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams open.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    /// Whether no stream will be opened here any more.
    pub(crate) fn is_leaving(&self) -> bool {
        let state = self.lock();
        state.leaving || state.over.is_some()
    }

    /// Whether it has been of any use.
    pub(crate) fn was_useful(&self) -> bool {
        self.lock().useful
    }

    /// To be called before the lock is given back by whoever opened or ended streams: tells how many
    /// there are, and whether there is room for another.
    pub(super) fn note(&self, state: &State) -> bool {
        let open = usize::try_from(state.session.open_streams()).unwrap_or(usize::MAX);
        self.load.store(open, Ordering::Relaxed);
        let room =
            !state.parked && !state.leaving && state.over.is_none() && state.session.can_open();
        self.room.store(room, Ordering::Relaxed);
        room
    }

    /// Opens a stream for a fetch and gives it what is there of its body. `reader` is woken when
    /// there is something to read. `None` if there is no room.
    pub(crate) fn open(
        self: &Arc<Self>,
        head: &RequestHead,
        source: &Source,
        reader: &Waker,
    ) -> Option<Stream> {
        let mut state = self.lock();
        if state.parked || state.leaving || state.over.is_some() {
            return None;
        }
        let session = &mut state.session;
        let id = session.open(head, matches!(source, Source::None))?;
        if let Source::Whole(bytes) = source {
            // It was opened a moment ago, with a body to follow.
            let given = session
                .data(id, bytes.clone())
                .and_then(|()| session.end(id));
            debug_assert!(given.is_ok(), "a new stream takes its body");
        }
        let slot = Slot {
            reader: Some(reader.clone()),
            ..Slot::default()
        };
        state.slots.insert(id, slot);
        self.note(&state);
        let writer = state.socket.writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(Stream::new(Arc::clone(self), id))
    }

    /// The client is gone: close when the last stream has ended.
    pub(crate) fn close_when_idle(&self) {
        let mut state = self.lock();
        state.unwanted = true;
        let writer = state.socket.writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// The session is over: every stream that has not ended fails.
    pub(super) fn lose(&self, why: &str) {
        let mut state = self.lock();
        if state.over.is_some() {
            return;
        }
        let why: Arc<str> = why.into();
        state.over = Some(Arc::clone(&why));
        let mut wake = Vec::new();
        let State { session, slots, .. } = &mut *state;
        for (id, slot) in slots {
            if slot.end.is_none() {
                let sent = !session.is_unsent(*id);
                slot.end = Some(Err(Failure::Lost {
                    sent,
                    why: Arc::clone(&why),
                }));
            }
            wake.extend(slot.reader.take());
            wake.extend(slot.uploader.take());
        }
        wake.append(&mut session.take_wakers());
        state.to_cancel.clear();
        self.note(&state);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        self.queue.nudge();
    }
}

impl State {
    /// Ends a stream that nobody reads any more.
    pub(super) fn cancel(&mut self, id: u64, now: Instant) {
        if self.over.is_some() {
            return;
        }
        // A stream that the relay has never heard of is gone without a word.
        let free = self.session.is_unsent(id);
        if !free && !self.ration.take(now) {
            // What still comes of it is dropped as it comes.
            self.to_cancel.push_back(id);
        } else if self.session.reset(id, cancelled()).is_err() && !free {
            self.ration.give();
        }
    }

    /// Sends the cancels that were kept back, as far as the ration goes.
    pub(super) fn cancel_more(&mut self, now: Instant) {
        while !self.to_cancel.is_empty() && self.ration.take(now) {
            self.ration.give();
            if let Some(id) = self.to_cancel.pop_front() {
                self.cancel(id, now);
            }
        }
    }
}

fn cancelled() -> Reset {
    Reset {
        tag: Bytes::new(),
        name: ErrorName::Cancelled.as_str().to_owned(),
        detail: String::new(),
    }
}

/// Stream numbers count up: one multiplication spreads them.
#[derive(Debug, Default)]
pub(super) struct StreamHasher(u64);

impl Hasher for StreamHasher {
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
