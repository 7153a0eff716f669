//! One socket of a binary session: its HELLO finds or makes the session. When the socket ends, the session
//! ends too, or is parked until the next socket comes or the session's time is up.
//!
//! ```text
//!   HELLO ──▶ new or resumed ──▶ served ──▶ over
//!                   ▲              │ lost
//!                   └── resumed ── parked ──▶ over (expired, evicted, shutdown)
//! ```

use bytes::{Bytes, BytesMut};
use fetchway_service::{Phase, Place, Principal, Work};
use fetchway_wire::v1::MAX_MESSAGE;
use fetchway_ws::{Decoder, Liveness, Opcode, Receiver, Role, put_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::attach::{Attached, attach, hello};
use super::closing::replaced;
use super::park::park;
use super::reader::Reader;
use super::writer::write;
use crate::ending::{CLOSING, EndReason, Ending};
use crate::relay::Relay;

/// Runs a socket to its end, and its session if both end together. `place` is the socket's, until a session
/// has it.
pub(crate) async fn serve<S>(
    relay: &Relay,
    io: S,
    principal: Principal,
    place: Place,
    mut work: Work,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut place = Some(place);
    let (read, write) = tokio::io::split(io);
    let decoder = Decoder::new(Role::Server, MAX_MESSAGE);
    let mut receiver = Receiver::new(read, BytesMut::new(), decoder);
    let greeted = tokio::select! {
        biased;
        greeted = hello(&mut receiver) => greeted,
        () = work.reached(Phase::Draining) => Err(Ending::SHUTDOWN),
    };
    let attached = greeted.and_then(|(hello, rest)| {
        let attached = attach(relay, principal, &hello, &mut place)?;
        Ok((attached, rest))
    });
    let (attached, rest) = match attached {
        Ok(attached) => attached,
        Err(ending) => return refuse(write, &ending).await,
    };
    let ending = run(relay, &attached, receiver, write, rest, work.clone()).await;
    let session = &attached.session;
    let reason = match ending.reason {
        EndReason::Replaced | EndReason::Refused => None,
        // `run` has ended the session already.
        EndReason::Client | EndReason::Protocol => Some(ending.reason),
        EndReason::Shutdown => session.end(&attached.socket).then_some(ending.reason),
        EndReason::Gone
        | EndReason::Idle
        | EndReason::Stalled
        | EndReason::Expired
        | EndReason::Evicted => park(relay, &attached, work, ending.reason).await,
    };
    if let Some(reason) = reason {
        session.abort();
        relay.directory.remove(session);
        relay.closed(&session.principal.name, reason);
    }
}

/// Closes a socket that has no session, or has lost the session before it was served.
async fn refuse<W: AsyncWrite + Unpin>(mut io: W, ending: &Ending) {
    if let Some(payload) = ending.payload() {
        let mut close = BytesMut::new();
        put_frame(&mut close, Opcode::Close, &payload, None);
        // If this fails, nobody is left to be told.
        let _ = tokio::time::timeout(CLOSING, io.write_all(&close)).await;
        let _ = tokio::time::timeout(CLOSING, io.shutdown()).await;
    }
}

/// Serves the socket until it ends. If the socket has been replaced already, only tells its client.
pub(super) async fn run<R, W>(
    relay: &Relay,
    attached: &Attached,
    mut receiver: Receiver<R>,
    io: W,
    rest: Bytes,
    work: Work,
) -> Ending
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (session, socket) = (&attached.session, &attached.socket);
    let limits = &session.principal.limits;
    let observer = relay.observer.clone();
    let mut sockets = session.sockets.subscribe();
    let replaced_before = *sockets.borrow_and_update() != attached.number;
    if replaced_before {
        let ending = replaced();
        refuse(io, &ending).await;
        return ending;
    }
    let mut writing = tokio::spawn(write(
        io,
        session.clone(),
        socket.clone(),
        limits.write_stall,
        observer,
    ));
    let mut reader = Reader {
        session,
        socket,
        directory: &relay.directory,
        receiver: &mut receiver,
        work,
        sockets,
        observer: &*relay.observer,
        liveness: Liveness::new(limits.ping_interval, limits.idle_timeout),
        due: None,
        unconfirmed: attached.unconfirmed,
    };
    let mut ending = tokio::select! {
        ending = reader.run(rest) => ending,
        written = &mut writing => return Ending::unwritten(&written),
    };
    // The session ends at once: what follows only tells the client. A client that leaves in order has
    // nothing left but its GOAWAY.
    let ends_session = matches!(ending.reason, EndReason::Client | EndReason::Protocol);
    if ends_session && !session.end(socket) {
        // The session has left this socket, so the socket's end does not concern it.
        ending = replaced();
    }
    ending
        .close(|payload| socket.close(payload), writing, reader.receiver)
        .await;
    ending
}
