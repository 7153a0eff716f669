//! A socket of the JSON encoding: whole bodies, each answer one message, and nothing outlives it.

mod answer;
mod message;
mod pending;
mod speak;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use fetchway_wire::v1::RequestHead;

use super::slot::Failure;
use super::socket::{Liveness, Socket, wake_writer};
use crate::builder::Settings;
use crate::error::Error;
use crate::queue::Queue;

pub(crate) use answer::{failed, outcome as whole};
pub(crate) use message::{MAX_REQUEST, line, too_long};
pub(crate) use pending::Pending;

/// Fetches under way on one socket. JSON tells no limit; this is what a relay's binary sessions have.
const MAX_FETCHES: usize = 1_000;

/// Bytes of requests that wait to be written; the one that passes this is taken.
const MAX_QUEUED: usize = 4 << 20;

/// A fetch under way.
#[derive(Default)]
struct Asked {
    sent: bool,
    /// Nobody waits for the answer any more.
    dropped: bool,
    answer: Option<Result<answer::Whole, Failure>>,
    reader: Option<Waker>,
    /// Bytes of its message.
    len: usize,
    /// Bytes of its answer, counted among those unread.
    unread: usize,
}

struct State {
    asked: HashMap<u64, Asked>,
    /// Messages to be written, each with the fetch it asks for, if any.
    out: VecDeque<(Option<u64>, String)>,
    queued: usize,
    /// Bytes of answers that nobody has taken yet. With `window` of them no more is read.
    unread: usize,
    window: usize,
    last: u64,
    socket: Socket,
    unwanted: bool,
    useful: bool,
    over: Option<Arc<str>>,
}

/// The fetches of one socket.
pub(crate) struct Text {
    state: Mutex<State>,
    load: AtomicUsize,
    room: AtomicBool,
    queue: Arc<Queue>,
    liveness: Liveness,
    /// The relay takes any body in base64.
    has_base64: bool,
}

impl Text {
    pub(super) fn new(settings: &Settings, queue: Arc<Queue>, has_base64: bool) -> Arc<Self> {
        let window = usize::try_from(settings.windows.session_window).unwrap_or(usize::MAX);
        Arc::new(Self {
            state: Mutex::new(State {
                asked: HashMap::new(),
                out: VecDeque::new(),
                queued: 0,
                unread: 0,
                window: window.max(1),
                last: 0,
                socket: Socket::new(Instant::now(), None),
                unwanted: false,
                useful: false,
                over: None,
            }),
            load: AtomicUsize::new(0),
            room: AtomicBool::new(true),
            queue,
            liveness: Liveness {
                ping_every: settings.ping_every,
                dead_after: settings.dead_after,
            },
            has_base64,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.lock().over.is_some()
    }

    pub(crate) fn was_useful(&self) -> bool {
        self.lock().useful
    }

    /// As that of a binary session.
    fn note(&self, state: &State) -> bool {
        self.load.store(state.asked.len(), Ordering::Relaxed);
        let open = state.over.is_none() && !state.unwanted;
        let room = open && state.asked.len() < MAX_FETCHES && state.queued < MAX_QUEUED;
        self.room.store(room, Ordering::Relaxed);
        room
    }

    /// Asks for a fetch. `None` if there is no room.
    pub(crate) fn open(
        self: &Arc<Self>,
        head: &RequestHead,
        body: &[u8],
        reader: &Waker,
    ) -> Option<Result<Pending, Error>> {
        let mut state = self.lock();
        if !self.note(&state) {
            return None;
        }
        state.last += 1;
        let id = state.last;
        // It may be megabytes.
        drop(state);
        let text = match message::request(id, head, body, self.has_base64) {
            Ok(text) => text,
            Err(error) => return Some(Err(error)),
        };
        let mut state = self.lock();
        if !self.note(&state) {
            return None;
        }
        let asked = Asked {
            reader: Some(reader.clone()),
            len: text.len(),
            ..Asked::default()
        };
        state.queued += text.len();
        state.out.push_back((Some(id), text));
        state.asked.insert(id, asked);
        self.note(&state);
        wake_writer(state);
        Some(Ok(Pending {
            text: Arc::clone(self),
            id,
        }))
    }

    /// The client is gone: close when the last fetch has been answered.
    pub(crate) fn close_when_idle(&self) {
        let mut state = self.lock();
        state.unwanted = true;
        wake_writer(state);
    }

    /// The socket is gone: every fetch that has no answer fails.
    pub(super) fn lose(&self, why: &str) {
        let mut state = self.lock();
        if state.over.is_some() {
            return;
        }
        let why: Arc<str> = why.into();
        state.over = Some(Arc::clone(&why));
        let mut wake = Vec::new();
        for asked in state.asked.values_mut() {
            if asked.answer.is_none() {
                asked.answer = Some(Err(Failure::Lost {
                    sent: asked.sent,
                    why: Arc::clone(&why),
                }));
            }
            wake.extend(asked.reader.take());
        }
        state.out.clear();
        self.note(&state);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        self.queue.nudge();
    }
}

impl AsMut<Socket> for State {
    fn as_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl State {
    /// Nothing is left to be done for a fetch. Gives whoever may go on now: the reader if there is room
    /// for more answers, the writer if the socket is to be closed.
    fn forget(&mut self, id: u64) -> [Option<Waker>; 2] {
        let unread = self.asked.remove(&id).map_or(0, |asked| asked.unread);
        self.unread -= unread;
        let more = unread > 0 && self.unread < self.window;
        let last = self.unwanted && self.asked.is_empty();
        [
            more.then(|| self.socket.reader()).flatten(),
            last.then(|| self.socket.writer()).flatten(),
        ]
    }
}
