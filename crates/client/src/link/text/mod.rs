//! A socket of the JSON encoding: whole bodies, each answer one message, and nothing outlives it.

mod message;
mod speak;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use fetchway_policy::FetchError;
use fetchway_wire::v1::{RequestHead, ResponseHead};

use super::slot::Failure;
use super::socket::{Liveness, Socket};
use crate::builder::Settings;
use crate::queue::Queue;

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
    answer: Option<Result<message::Whole, Failure>>,
    reader: Option<Waker>,
}

struct State {
    asked: HashMap<u64, Asked>,
    /// Messages to be written, each with the fetch it asks for, if any.
    out: VecDeque<(Option<u64>, String)>,
    queued: usize,
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
}

impl Text {
    pub(super) fn new(settings: &Settings, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                asked: HashMap::new(),
                out: VecDeque::new(),
                queued: 0,
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
        let room =
            state.over.is_none() && state.asked.len() < MAX_FETCHES && state.queued < MAX_QUEUED;
        self.room.store(room, Ordering::Relaxed);
        room
    }

    /// Asks for a fetch. `None` if there is no room.
    pub(crate) fn open(
        self: &Arc<Self>,
        head: &RequestHead,
        body: &[u8],
        reader: &Waker,
    ) -> Option<Result<Pending, FetchError>> {
        let mut state = self.lock();
        if !self.note(&state) {
            return None;
        }
        let id = state.last + 1;
        let text = match message::request(id, head, body) {
            Ok(text) => text,
            Err(error) => return Some(Err(error)),
        };
        state.last = id;
        state.queued += text.len();
        state.out.push_back((Some(id), text));
        let asked = Asked {
            reader: Some(reader.clone()),
            ..Asked::default()
        };
        state.asked.insert(id, asked);
        self.note(&state);
        let writer = state.socket.writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(Ok(Pending {
            text: Arc::clone(self),
            id,
        }))
    }

    /// The client is gone: close when the last fetch has been answered.
    pub(crate) fn close_when_idle(&self) {
        let mut state = self.lock();
        state.unwanted = true;
        let writer = state.socket.writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
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

/// A fetch whose answer somebody waits for. Dropped before, it is withdrawn.
pub(crate) struct Pending {
    text: Arc<Text>,
    id: u64,
}

impl Pending {
    /// The response, or why there is none.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<(Box<ResponseHead>, Bytes), Failure>> {
        let mut state = self.text.lock();
        let Some(asked) = state.asked.get_mut(&self.id) else {
            // Asked again after its answer.
            return Poll::Pending;
        };
        if let Some(answer) = asked.answer.take() {
            state.asked.remove(&self.id);
            let room = self.text.note(&state);
            drop(state);
            if room {
                self.text.queue.nudge();
            }
            return Poll::Ready(answer);
        }
        asked.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.text.lock();
        let Some(asked) = state.asked.get_mut(&self.id) else {
            return;
        };
        if asked.answer.is_some() {
            state.asked.remove(&self.id);
        } else {
            // It counts until it is answered, so that cancels are bounded as fetches are.
            asked.dropped = true;
            asked.reader = None;
            if asked.sent {
                state.out.push_back((None, message::cancel(self.id)));
            }
        }
        let room = self.text.note(&state);
        let writer = state.socket.writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        if room {
            self.text.queue.nudge();
        }
    }
}
