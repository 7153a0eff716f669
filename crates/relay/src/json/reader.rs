//! The reading half of a session, which also keeps the session's timeouts and decides when the session ends.

use std::io;
use std::sync::Arc;

use fetchway_service::{Phase, Work};
use fetchway_ws::{CloseCode, Event, Liveness, Receiver, Silence};
use tokio::io::AsyncRead;

use super::session::Session;
use crate::ending::{EndReason, Ending};
use crate::observe::SessionObserver;

/// The reading half of one session.
pub(crate) struct Reader<'a, R> {
    pub(crate) session: &'a Arc<Session>,
    pub(crate) receiver: Receiver<R>,
    pub(crate) work: Work,
    pub(crate) observer: &'a dyn SessionObserver,
    pub(crate) liveness: Liveness,
    pub(crate) serial: u64,
}

enum Next {
    Event(io::Result<Option<Event>>),
    Readable,
    PhaseChanged,
    Emptied,
    Tick,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    /// Reads until the session must end.
    pub(crate) async fn run(&mut self) -> Ending {
        loop {
            let phase = self.work.phase();
            let draining = phase != Phase::Serving;
            if phase >= Phase::Closing || draining && self.session.is_done() {
                return Ending::SHUTDOWN;
            }
            let session = self.session;
            let full = session.outbox.is_over();
            let next = tokio::select! {
                biased;
                event = self.receiver.next(), if !full => Next::Event(event),
                () = session.outbox.below(), if full => Next::Readable,
                () = self.work.changed() => Next::PhaseChanged,
                () = session.outbox.emptied(), if draining => Next::Emptied,
                () = self.liveness.tick() => Next::Tick,
            };
            let ended = match next {
                Next::Event(event) => {
                    // The phase may have changed while there was nothing to read.
                    let leaving = !self.work.may_begin_more();
                    self.events(event, leaving)
                }
                Next::Readable => {
                    self.liveness.record_activity();
                    None
                }
                Next::PhaseChanged | Next::Emptied => None,
                Next::Tick => self.tick(full),
            };
            if let Some(ending) = ended {
                return ending;
            }
        }
    }

    /// Handles an event, and all others that came in the same read.
    fn events(&mut self, first: io::Result<Option<Event>>, leaving: bool) -> Option<Ending> {
        self.liveness.record_activity();
        self.observer.bytes_in(self.receiver.take_received());
        let mut next = first;
        loop {
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return Some(Ending::GONE);
                }
                Err(error) => return Some(Ending::broken(&error)),
            };
            if let Some(ending) = self.event(event, leaving) {
                return Some(ending);
            }
            if self.session.outbox.is_over() {
                return None;
            }
            next = match self.receiver.ready() {
                Ok(None) => return None,
                other => other,
            };
        }
    }

    fn event(&mut self, event: Event, leaving: bool) -> Option<Ending> {
        match event {
            Event::Message(message) => {
                self.serial += 1;
                self.session.message(&message.data, self.serial, leaving);
            }
            Event::TooLong(len) => self.session.too_long(len),
            Event::Ping(payload) => self.session.outbox.pong(payload),
            Event::Pong(_) => {}
            Event::Close(..) => return Some(Ending::CLIENT),
        }
        None
    }

    /// Pings a silent client, and ends the session of one that is silent for too long. While the client is not
    /// read, or takes no bytes, its silence means nothing, and only the limit of the writer counts.
    fn tick(&mut self, full: bool) -> Option<Ending> {
        if full || self.session.outbox.is_blocked() {
            self.liveness.record_activity();
            return None;
        }
        match self.liveness.silence() {
            Silence::TooLong => {
                let reason = "nothing was received for the idle timeout";
                return Some(Ending::of(EndReason::Idle, CloseCode::Policy, reason));
            }
            Silence::Long => self.session.outbox.ping(),
            Silence::Short => {}
        }
        None
    }
}
