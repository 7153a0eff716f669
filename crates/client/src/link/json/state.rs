//! A session of the JSON encoding, which ends with its socket.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::answer::WholeResponse;
use crate::link::failure::Failure;
use crate::link::session::{Core, Session, SessionState};
use crate::queue::Queue;
use crate::settings::Settings;

/// Fetches in flight on one socket. JSON announces no limit; this is the default of a relay's binary
/// sessions.
const MAX_FETCHES: usize = 1_000;

/// Bytes of requests that may wait to be written. The request that exceeds this is still accepted.
const MAX_QUEUED: usize = 4 << 20;

/// A session of the JSON encoding.
pub(crate) type JsonSession = Session<JsonState>;

/// A fetch in flight.
#[derive(Default)]
pub(super) struct FetchSlot {
    pub(super) sent: bool,
    /// True once no one waits for the answer.
    pub(super) dropped: bool,
    pub(super) answer: Option<Result<WholeResponse, Failure>>,
    pub(super) reader: Option<Waker>,
    /// Bytes of the request's message.
    pub(super) len: usize,
    /// Bytes of the answer's message, while they count as unread.
    pub(super) unread: usize,
}

/// A message to be written.
pub(super) struct Outgoing {
    /// The fetch that the message asks for; `None` for a cancel.
    pub(super) fetch: Option<u64>,
    pub(super) text: String,
}

/// Everything behind the lock of a [`JsonSession`].
pub(crate) struct JsonState {
    pub(super) core: Core,
    pub(super) fetches: HashMap<u64, FetchSlot>,
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Bytes of the requests in `outgoing`.
    pub(super) queued: usize,
    /// Bytes of answers that no one has taken. Reading is paused while they reach `window`.
    pub(super) unread: usize,
    window: usize,
    pub(super) last_id: u64,
    /// True if the relay accepts any body in base64.
    pub(super) has_base64: bool,
}

impl JsonSession {
    pub(in crate::link) fn new(
        settings: &Settings,
        queue: Arc<Queue>,
        has_base64: bool,
    ) -> Arc<Self> {
        let window = usize::try_from(settings.windows.session_window).unwrap_or(usize::MAX);
        let state = JsonState {
            core: Core::new(Instant::now(), None),
            fetches: HashMap::new(),
            outgoing: VecDeque::new(),
            queued: 0,
            unread: 0,
            window: window.max(1),
            last_id: 0,
            has_base64,
        };
        Self::with_state(state, settings, queue)
    }
}

impl SessionState for JsonState {
    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn open_fetches(&self) -> usize {
        self.fetches.len()
    }

    fn has_capacity(&self) -> bool {
        self.fetches.len() < MAX_FETCHES && self.queued < MAX_QUEUED
    }

    fn fail_all(&mut self, why: &Arc<str>, wakers: &mut Vec<Waker>) {
        for fetch in self.fetches.values_mut() {
            if fetch.answer.is_none() {
                fetch.answer = Some(Err(Failure::Lost {
                    sent: fetch.sent,
                    why: Arc::clone(why),
                }));
            }
            wakers.extend(fetch.reader.take());
        }
        self.outgoing.clear();
    }
}

impl JsonState {
    /// Returns true if reading is paused until answers are taken.
    pub(super) fn is_full(&self) -> bool {
        self.unread >= self.window
    }

    /// Removes a fetch that is finished. Returns whom to wake: the reader if there is room for more
    /// answers, the writer if the socket is to be closed.
    pub(super) fn remove(&mut self, id: u64) -> [Option<Waker>; 2] {
        let unread = self.fetches.remove(&id).map_or(0, |fetch| fetch.unread);
        self.unread -= unread;
        let can_read = unread > 0 && !self.is_full();
        let can_close = self.core.closing && self.fetches.is_empty();
        [
            can_read.then(|| self.core.socket.take_reader()).flatten(),
            can_close.then(|| self.core.socket.take_writer()).flatten(),
        ]
    }
}
