//! A session of the binary encoding, over as many sockets as it takes: the machine of
//! `fetchway_wire::v1`, and for each of its streams what has come and nobody has read yet.
//!
//! One lock holds all of it. Fetches take it to open, read and write their streams, the driver once
//! for each batch that it reads or writes. Wakers are called when it is open again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use fetchway_wire::v1::session::StreamMap;
use fetchway_wire::v1::{RequestHead, Reset, Session};

use super::ration::Ration;
use super::slot::{Failure, Slot};
use super::socket::{Liveness, Socket, wake_writer};
use super::stream::Stream;
use crate::builder::Settings;
use crate::queue::Queue;
use crate::upload::Source;

/// Everything behind the lock.
pub(super) struct State {
    pub(super) session: Session,
    pub(super) slots: StreamMap<Slot>,
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
                slots: StreamMap::default(),
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

    /// Whether it is between two sockets.
    pub(crate) fn is_parked(&self) -> bool {
        self.lock().parked
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
        // An unwanted one may have its Close under way.
        if state.parked || state.leaving || state.unwanted || state.over.is_some() {
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
        wake_writer(state);
        Some(Stream::new(Arc::clone(self), id))
    }

    /// The client is gone: close when the last stream has ended.
    pub(crate) fn close_when_idle(&self) {
        let mut state = self.lock();
        state.unwanted = true;
        wake_writer(state);
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

impl AsMut<Socket> for State {
    fn as_mut(&mut self) -> &mut Socket {
        &mut self.socket
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
        } else if self.session.reset(id, Reset::cancelled()).is_err() && !free {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_to_be_closed_takes_no_more_streams() {
        let line = Line::new(&Settings::default(), Arc::new(Queue::new(1)));
        let head = RequestHead::new(http::Method::GET, "http://origin.test/");
        let open = || line.open(&head, &Source::None, Waker::noop());
        let stream = open().expect("there is room");
        line.close_when_idle();
        assert!(open().is_none(), "its Close may be under way");
        drop(stream);
    }
}
