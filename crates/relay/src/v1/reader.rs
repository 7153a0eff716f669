//! The reading half of a socket, which also keeps the socket's timeouts and decides when the socket ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_service::{Phase, Work};
use fetchway_wire::v1::{Event as Received, TOKEN, Violation, decode};
use fetchway_ws::{CloseCode, Event, Liveness, Receiver, Silence};
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::closing::{broken, replaced, text, too_long};
use super::directory::Directory;
use super::session::{Session, now};
use super::socket::Socket;
use crate::ending::{EndReason, Ending};
use crate::observe::SessionObserver;

/// The reading half of one socket.
pub(super) struct Reader<'a, R> {
    pub(super) session: &'a Arc<Session>,
    pub(super) socket: &'a Arc<Socket>,
    pub(super) directory: &'a Directory,
    pub(super) receiver: &'a mut Receiver<R>,
    pub(super) work: Work,
    /// Number of the session's sockets so far. It changes when a newer socket replaces this one.
    pub(super) sockets: watch::Receiver<u64>,
    pub(super) observer: &'a dyn SessionObserver,
    pub(super) liveness: Liveness,
    /// Time by which an acknowledgement must be sent.
    pub(super) due: Option<std::time::Instant>,
    /// Token that the client may not have received.
    pub(super) unconfirmed: Option<[u8; TOKEN]>,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    /// Reads until the socket must end. `rest` came in the same message as the HELLO.
    pub(super) async fn run(&mut self, rest: Bytes) -> Ending {
        if let Err(violation) = self.frames(rest) {
            return broken(violation);
        }
        let mut acks = Acks::new();
        loop {
            let phase = self.work.phase();
            if phase != Phase::Serving && self.leave(phase) {
                return Ending::SHUTDOWN;
            }
            acks.arm(self.due);
            let ended = tokio::select! {
                biased;
                event = self.receiver.next() => self.events(event),
                _ = self.sockets.changed() => {
                    Some(replaced())
                }
                () = self.work.changed() => None,
                () = &mut acks.sleep, if acks.armed => {
                    acks.armed = false;
                    // The writer sends an acknowledgement that is due, however long the socket takes.
                    let due = self.session.act(|state| state.machine.deadline());
                    self.due = due.filter(|due| *due > now());
                    None
                }
                () = self.liveness.tick() => self.tick(),
            };
            if let Some(ending) = ended {
                return ending;
            }
        }
    }

    /// Takes no new fetches. Returns true if the session can end. The last event of a session is an
    /// acknowledgement of the client, so nothing else has to wake the reader.
    fn leave(&self, phase: Phase) -> bool {
        let told = std::mem::replace(&mut self.session.running().closed, true);
        let done = self.session.act(|state| {
            if !told {
                state.machine.go_away("this node is shutting down");
            }
            state.machine.open_streams() == 0 && state.machine.is_flushed()
        });
        phase >= Phase::Closing || done
    }

    /// Handles an event, and all others that came in the same read.
    fn events(&mut self, first: io::Result<Option<Event>>) -> Option<Ending> {
        self.liveness.record_activity();
        self.observer.bytes_in(self.receiver.take_received());
        let mut next = first;
        loop {
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None) => return Some(Ending::GONE),
                Err(error) => return Some(Ending::broken(&error)),
            };
            match event {
                Event::Message(message) if message.text => return Some(text()),
                Event::Message(message) => {
                    if let Some(token) = self.unconfirmed.take() {
                        self.directory.confirm(self.session, &token);
                    }
                    if let Err(violation) = self.frames(message.data.freeze()) {
                        return Some(broken(violation));
                    }
                }
                Event::TooLong(_) => return Some(too_long()),
                Event::Ping(payload) => self.socket.pong(payload),
                Event::Pong(_) => {}
                Event::Close(1000, _) => return Some(Ending::CLIENT),
                // The client may come back, whatever its reason was.
                Event::Close(..) => {
                    return Some(Ending::of(EndReason::Gone, CloseCode::Normal, ""));
                }
            }
            next = match self.receiver.ready() {
                Ok(None) => return None,
                other => other,
            };
        }
    }

    /// Gives the frames of a message to the state machine, under one lock, and then handles its events.
    fn frames(&mut self, mut message: Bytes) -> Result<(), Violation> {
        if message.is_empty() {
            return Ok(());
        }
        let _turn = self.session.turn();
        let mut received: Vec<Received> = Vec::new();
        let taken: Result<_, Violation> = self.session.act(|state| {
            // A newer socket may have replaced this one since the message was read.
            let ours = state.is_on(self.socket);
            while ours && let Some(frame) = decode(&mut message)? {
                received.extend(state.machine.receive(frame, now())?);
            }
            Ok(state.machine.deadline())
        });
        for event in received {
            self.session.event(event);
        }
        self.due = taken?;
        Ok(())
    }

    /// Pings a silent client, and ends the socket of one that is silent for too long. While the client takes no
    /// bytes, its silence means nothing, and only the limit of the writer counts.
    fn tick(&mut self) -> Option<Ending> {
        if self.socket.is_blocked() {
            self.liveness.record_activity();
            return None;
        }
        match self.liveness.silence() {
            Silence::TooLong => {
                let reason = "nothing was received for the idle timeout";
                return Some(Ending::of(
                    EndReason::Idle,
                    CloseCode::Private(4408),
                    reason,
                ));
            }
            Silence::Long => self.socket.ping(),
            Silence::Short => {}
        }
        None
    }
}

/// Wakes the writer when an acknowledgement has waited for long enough.
struct Acks {
    sleep: std::pin::Pin<Box<Sleep>>,
    armed: bool,
}

impl Acks {
    fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: false,
        }
    }

    /// Sets the timer, unless it is set already: a timer that ends a little early costs less than setting it for
    /// each message.
    fn arm(&mut self, due: Option<std::time::Instant>) {
        if let (Some(due), false) = (due, self.armed) {
            self.sleep.as_mut().reset(due.into());
            self.armed = true;
        }
    }
}
