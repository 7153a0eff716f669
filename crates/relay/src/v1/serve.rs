//! One socket of a binary session: its HELLO finds or makes the session; at its end the session is
//! over, or parked until the next socket comes or its time is up.
//!
//! ```text
//!   HELLO ──▶ new or resumed ──▶ served ──▶ over
//!                   ▲              │ lost
//!                   └── resumed ── parked ──▶ over (expired, evicted, shutdown)
//! ```

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::MAX_MESSAGE;
use fetchway_ws::{Decoder, Liveness, Opcode, Receiver, Role, put_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::attach::{Attached, Entry, attach, hello};
use super::closing::{leaving, replaced};
use super::park::park;
use super::reader::Reader;
use super::writer::write;
use crate::ending::{CLOSING, Ending, Phase};
use crate::limits::Principal;
use crate::upgrade::Relay;

/// Runs a socket to its end, and its session if that ends with it.
pub(crate) async fn serve<S>(
    relay: &Relay,
    io: S,
    principal: Principal,
    mut entry: Entry,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (read, write) = tokio::io::split(io);
    let decoder = Decoder::new(Role::Server, MAX_MESSAGE);
    let mut receiver = Receiver::new(read, BytesMut::new(), decoder);
    let greeted = tokio::select! {
        biased;
        greeted = hello(&mut receiver) => greeted,
        _ = phase.wait_for(|phase| *phase != Phase::Open) => Err(leaving()),
    };
    let attached = greeted.and_then(|(hello, rest)| {
        let attached = attach(relay, principal, &hello, &mut entry)?;
        Ok((attached, rest))
    });
    let (attached, rest) = match attached {
        Ok(attached) => attached,
        Err(ending) => return refuse(write, &ending).await,
    };
    let ending = run(relay, &attached, receiver, write, rest, phase.clone()).await;
    let session = &attached.session;
    let why = match ending.why {
        "replaced" => None,
        // It is over already.
        "client" | "protocol" => Some(ending.why),
        "shutdown" => session.end(&attached.socket).then_some(ending.why),
        lost => park(relay, &attached, phase, lost).await,
    };
    if let Some(why) = why {
        session.abort();
        relay.directory.remove(session);
        relay.closed(&session.principal.name, why);
    }
}

/// Closes a socket that has not got a session, or has lost it before it began.
async fn refuse<W: AsyncWrite + Unpin>(mut io: W, ending: &Ending) {
    if let Some(payload) = ending.payload() {
        let mut close = BytesMut::new();
        put_frame(&mut close, Opcode::Close, &payload, None);
        // Nobody is left to be told that this failed.
        let _ = tokio::time::timeout(CLOSING, io.write_all(&close)).await;
        let _ = tokio::time::timeout(CLOSING, io.shutdown()).await;
    }
}

/// Serves the socket until it ends; if it has been replaced by now, its client is told just that.
pub(super) async fn run<R, W>(
    relay: &Relay,
    attached: &Attached,
    mut receiver: Receiver<R>,
    io: W,
    rest: Bytes,
    phase: watch::Receiver<Phase>,
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
        phase,
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
    // At once: the rest only sees to it that the client hears of it. One that leaves in order has
    // nothing left but its GOAWAY.
    if matches!(ending.why, "client" | "protocol") && !session.end(socket) {
        // What comes on a socket that the session has left does not concern it.
        ending = replaced();
    }
    ending
        .close(|payload| socket.close(payload), writing, reader.receiver)
        .await;
    ending
}
