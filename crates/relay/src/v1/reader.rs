//! The reading half of a socket, which also keeps its clocks and decides when and how it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_service::{Phase, Work};
use fetchway_wire::v1::{Event as Happened, TOKEN, Violation, decode};
use fetchway_ws::{CloseCode, Event, Liveness, Receiver, Silence};
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::closing::{broken, replaced, text, too_long};
use super::directory::Directory;
use super::session::{Session, now};
use super::writer::Socket;
use crate::ending::{EndReason, Ending};
use crate::observe::SessionObserver;

/// What one socket reads, and when it last heard from its client.
pub(super) struct Reader<'a, R> {
    pub(super) session: &'a Arc<Session>,
    pub(super) socket: &'a Arc<Socket>,
    pub(super) directory: &'a Directory,
    pub(super) receiver: &'a mut Receiver<R>,
    pub(super) work: Work,
    /// Counts the session's sockets; ours is the one that was newest when it was made.
    pub(super) sockets: watch::Receiver<u64>,
    pub(super) observer: &'a dyn SessionObserver,
    pub(super) liveness: Liveness,
    /// When an acknowledgement is to be out.
    pub(super) due: Option<std::time::Instant>,
    /// The token that the client has yet to show that it knows.
    pub(super) unconfirmed: Option<[u8; TOKEN]>,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    /// Reads until the socket is to end; `rest` came in one message with the HELLO.
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
                    // One that is over is the writer's affair, however long the socket takes.
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

    /// Takes no new fetches; whether the session can end. What is last is an acknowledgement of the
    /// client's, so that nothing else needs to wake the reader for it.
    fn leave(&self, phase: Phase) -> bool {
        let told = std::mem::replace(&mut self.session.running().leaving, true);
        let done = self.session.act(|state| {
            if !told {
                state.machine.go_away("this node is shutting down");
            }
            state.machine.open_streams() == 0 && state.machine.is_flushed()
        });
        phase >= Phase::Closing || done
    }

    /// Acts on an event and on all that came in the same read.
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
                // Whatever made it leave, it may come back.
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

    /// Takes the frames of a message, under one lock, and then acts on what they say.
    fn frames(&mut self, mut message: Bytes) -> Result<(), Violation> {
        if message.is_empty() {
            return Ok(());
        }
        let _turn = self.session.turn();
        let mut happened: Vec<Happened> = Vec::new();
        let taken: Result<_, Violation> = self.session.act(|state| {
            // A newer socket may have taken over since this was read.
            let ours = state.is_on(self.socket);
            while ours && let Some(frame) = decode(&mut message)? {
                happened.extend(state.machine.receive(frame, now())?);
            }
            Ok(state.machine.deadline())
        });
        for event in happened {
            self.session.event(event);
        }
        self.due = taken?;
        Ok(())
    }

    /// A client that does not take what is written cannot be heard: its silence means nothing until
    /// the writer's own limit says so.
    fn tick(&mut self) -> Option<Ending> {
        if self.socket.is_blocked() {
            self.liveness.record_activity();
            return None;
        }
        match self.liveness.silence() {
            Silence::TooLong => {
                let reason = "nothing was heard for the idle timeout";
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

    /// While it is armed it is left as it is: a little too early costs less than each message a timer.
    fn arm(&mut self, due: Option<std::time::Instant>) {
        if let (Some(due), false) = (due, self.armed) {
            self.sleep.as_mut().reset(due.into());
            self.armed = true;
        }
    }
}
