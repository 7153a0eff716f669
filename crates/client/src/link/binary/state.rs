//! A session of the binary encoding, over one or more sockets: the machine of `fetchway_wire::v1`, and for
//! each stream what has arrived and is unread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use fetchway_wire::v1::session::StreamMap;
use fetchway_wire::v1::{Reset, Session as Machine};

use super::cancels::CancelLimit;
use super::slot::Slot;
use crate::link::failure::Failure;
use crate::link::session::{Core, Session, SessionState};
use crate::link::socket::Socket;
use crate::queue::Queue;
use crate::settings::Settings;

/// A session of the binary encoding.
pub(crate) type BinarySession = Session<BinaryState>;

/// Everything behind the lock of a [`BinarySession`].
pub(crate) struct BinaryState {
    pub(in crate::link) core: Core,
    pub(in crate::link) machine: Machine,
    pub(super) slots: StreamMap<Slot>,
    pub(super) cancel_limit: CancelLimit,
    /// Streams whose cancel waits for the limit.
    pub(super) waiting_cancels: VecDeque<u64>,
    /// How long the relay keeps the session without a socket.
    pub(super) kept_for: Duration,
    /// When the socket was lost, until the relay confirms that the session continues.
    pub(super) lost_at: Option<Instant>,
    /// Redials since the relay last sent something about a stream.
    pub(super) redials: u32,
}

/// How long a session without a socket may be resumed.
pub(in crate::link) struct Parked {
    pub(in crate::link) since: Instant,
    pub(in crate::link) until: Instant,
}

impl BinarySession {
    pub(in crate::link) fn new(settings: &Settings, queue: Arc<Queue>) -> Arc<Self> {
        let now = Instant::now();
        let state = BinaryState {
            core: Core::new(now, Some(now + settings.connect_timeout)),
            machine: Machine::client(settings.windows),
            slots: StreamMap::default(),
            cancel_limit: CancelLimit::new(),
            waiting_cancels: VecDeque::new(),
            kept_for: Duration::ZERO,
            lost_at: None,
            redials: 0,
        };
        Self::with_state(state, settings, queue)
    }

    /// Records that the socket was lost. Returns `None` if the session cannot be resumed.
    pub(in crate::link) fn park(&self, at_most: Duration) -> Option<Parked> {
        let mut state = self.lock();
        let now = Instant::now();
        let since = *state.lost_at.get_or_insert(now);
        state.core.parked = true;
        state.machine.disconnect();
        let until = since + state.kept_for.min(at_most);
        // Without an open stream there is nothing to resume.
        let lives = state.machine.token().is_some() && state.machine.open_streams() > 0;
        self.publish(&state);
        (lives && until > now).then_some(Parked { since, until })
    }

    /// Counts one more redial, and returns how many there were since the relay last sent something about a
    /// stream.
    pub(in crate::link) fn count_redial(&self) -> u32 {
        let mut state = self.lock();
        state.redials = state.redials.saturating_add(1);
        state.redials
    }

    /// Continues the session on another socket. Returns false if the relay has given no token to resume the
    /// session with.
    pub(in crate::link) fn unpark(&self, greeting_due: Instant) -> bool {
        let mut state = self.lock();
        state.core.socket = Socket::new(Instant::now(), Some(greeting_due));
        state.machine.reconnect().is_ok()
    }
}

impl SessionState for BinaryState {
    fn core(&self) -> &Core {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    fn open_fetches(&self) -> usize {
        usize::try_from(self.machine.open_streams()).unwrap_or(usize::MAX)
    }

    fn has_capacity(&self) -> bool {
        !self.core.parked && !self.core.leaving && self.machine.can_open()
    }

    fn fail_all(&mut self, why: &Arc<str>, wakers: &mut Vec<Waker>) {
        for (id, slot) in &mut self.slots {
            if slot.end.is_none() {
                slot.end = Some(Err(Failure::Lost {
                    sent: !self.machine.is_unsent(*id),
                    why: Arc::clone(why),
                }));
            }
            slot.take_wakers(wakers);
        }
        wakers.append(&mut self.machine.take_wakers());
        self.waiting_cancels.clear();
    }
}

impl BinaryState {
    /// Returns the slot of a stream that has not ended here. The relay may not know of the end yet, but
    /// nothing that arrives later changes it.
    pub(super) fn open_slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&id);
        slot.filter(|slot| slot.end.is_none())
    }

    /// Cancels a stream that no one reads any more.
    pub(super) fn cancel(&mut self, id: u64, now: Instant) {
        if self.core.ended.is_some() {
            return;
        }
        // Cancelling a stream that was never sent sends nothing.
        let unsent = self.machine.is_unsent(id);
        if !unsent && !self.cancel_limit.take(now) {
            // What still arrives for the stream is dropped.
            self.waiting_cancels.push_back(id);
        } else if self.machine.reset(id, Reset::cancelled()).is_err() && !unsent {
            self.cancel_limit.give_back();
        }
    }

    /// Sends waiting cancels, as far as the limit allows.
    pub(super) fn cancel_waiting(&mut self, now: Instant) {
        while !self.waiting_cancels.is_empty() && self.cancel_limit.take(now) {
            self.cancel_limit.give_back();
            if let Some(id) = self.waiting_cancels.pop_front() {
                self.cancel(id, now);
            }
        }
    }

    /// Records that `bytes` of a stream have been read. Returns the writer's waker if the relay is to
    /// be told.
    pub(super) fn consumed(&mut self, id: u64, bytes: usize) -> Option<Waker> {
        self.machine.consumed(id, bytes as u64);
        if self.machine.wants_transmit(Instant::now()) {
            self.core.socket.take_writer()
        } else {
            None
        }
    }
}
