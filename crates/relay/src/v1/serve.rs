//! One socket of a binary session: its HELLO finds or makes the session; at its end the session is
//! over, or parked until the next socket comes or its time is up.
//!
//! ```text
//!   HELLO ──▶ new or resumed ──▶ served ──▶ over
//!                   ▲              │ lost
//!                   └── resumed ── parked ──▶ over (expired, evicted, shutdown)
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{self, Breach, Config, Frame, Hello, MAX_MESSAGE, decode};
use fetchway_ws::{CloseCode, Decoder, Event, Liveness, Opcode, Receiver, Role, put_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::reader::{Reader, broken, replaced, text, too_long};
use super::session::Session;
use super::writer::{Socket, write};
use crate::ending::{CLOSING, Ending, Phase};
use crate::limits::Principal;
use crate::upgrade::Relay;

/// How long a client may take for its HELLO.
const HELLO_TIME: Duration = Duration::from_secs(10);

/// How often a parked session looks whether its credential's are within their bounds.
const TRIM: Duration = Duration::from_secs(1);

/// A session, and the socket that it is on now.
struct Attached {
    session: Arc<Session>,
    socket: Arc<Socket>,
    number: u64,
    /// What it was resumed to: the client has yet to show that it knows this token.
    unconfirmed: Option<[u8; v1::TOKEN]>,
}

/// Runs a socket to its end, and its session if that ends with it.
pub(crate) async fn serve<S>(
    relay: &Relay,
    io: S,
    principal: Principal,
    phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (read, mut write) = tokio::io::split(io);
    let decoder = Decoder::new(Role::Server, MAX_MESSAGE);
    let mut receiver = Receiver::new(read, BytesMut::new(), decoder);
    let greeted = tokio::time::timeout(HELLO_TIME, hello(&mut receiver)).await;
    let greeted = greeted.unwrap_or_else(|_| {
        let code = CloseCode::Private(4401);
        Err(Ending::of("protocol", code, "no HELLO came within 10 s"))
    });
    let attached = greeted.and_then(|(hello, rest)| {
        let attached = attach(relay, principal, &hello).map_err(broken)?;
        Ok((attached, rest))
    });
    let (attached, rest) = match attached {
        Ok(attached) => attached,
        Err(ending) => {
            if let Some(payload) = ending.payload() {
                let mut close = BytesMut::new();
                put_frame(&mut close, Opcode::Close, &payload, None);
                // Nobody is left to be told that this failed.
                let _ = tokio::time::timeout(CLOSING, write.write_all(&close)).await;
                let _ = tokio::time::timeout(CLOSING, write.shutdown()).await;
            }
            return;
        }
    };
    let ending = run(relay, &attached, receiver, write, rest, phase.clone()).await;
    let why = match ending.why {
        why if ends(why) => Some(why),
        "replaced" => None,
        lost => park(relay, &attached, phase, lost).await,
    };
    if let Some(why) = why {
        attached.session.end();
        relay.directory.remove(&attached.session);
        relay.closed(&attached.session.principal.name, why);
    }
}

/// Whether the session ends with its socket.
fn ends(why: &str) -> bool {
    matches!(why, "client" | "protocol" | "shutdown")
}

/// The first frame, and what came behind it in the same message.
async fn hello<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<(Hello, Bytes), Ending> {
    loop {
        match receiver.next().await {
            Ok(Some(Event::Message(message))) if message.text => return Err(text()),
            Ok(Some(Event::Message(message))) => {
                let mut rest = message.data.freeze();
                return match decode(&mut rest) {
                    Ok(Some(Frame::Hello(hello))) => Ok((hello, rest)),
                    Ok(_) => Err(broken(Breach::Malformed("the first frame is no HELLO"))),
                    Err(malformed) => Err(broken(malformed.into())),
                };
            }
            Ok(Some(Event::TooLong(_))) => return Err(too_long()),
            Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
            Ok(Some(Event::Close(..))) => return Err(Ending::of("client", CloseCode::Normal, "")),
            Ok(None) => return Err(Ending::GONE),
            Err(error) => return Err(Ending::broken(&error)),
        }
    }
}

/// The session that a HELLO asks for, or a new one.
fn attach(relay: &Relay, principal: Principal, hello: &Hello) -> Result<Attached, Breach> {
    let token = rand::random();
    let mut refused = None;
    if let Some(asked) = &hello.token {
        match relay.directory.find(asked, &principal.name) {
            Some(session) => {
                if let Some(attached) = resume(relay, session, hello, (asked, token))? {
                    return Ok(attached);
                }
                refused = Some("the session has just ended");
            }
            None => {
                refused =
                    Some("there is no such session: its time is over, or it was opened elsewhere");
            }
        }
    }
    let limits = &principal.limits;
    let config = Config {
        streams: limits.in_flight as u64,
        session_window: limits.binary.session_window as u64,
        stream_window: limits.binary.stream_window as u64,
        unacked: limits.binary.unacked as u64,
        held: limits.answers as u64,
        resume_within: limits.binary.resume_within,
    };
    let machine = v1::Session::relay(config, hello, token, refused);
    let fetches = relay.fetches(&principal);
    relay.opened(&principal);
    let session = Arc::new(Session::new(fetches, principal, machine, token));
    let socket = Arc::new(Socket::default());
    session.lock().socket = Some(socket.clone());
    if !config.resume_within.is_zero() {
        relay.directory.add(&session, token);
    }
    Ok(Attached {
        session,
        socket,
        number: 0,
        unconfirmed: None,
    })
}

/// Puts a session on a new socket, unless it is over.
fn resume(
    relay: &Relay,
    session: Arc<Session>,
    hello: &Hello,
    (used, token): (&[u8; v1::TOKEN], [u8; v1::TOKEN]),
) -> Result<Option<Attached>, Breach> {
    let socket = Arc::new(Socket::default());
    {
        let mut state = session.lock();
        if state.over {
            return Ok(None);
        }
        state.machine.resume(hello, token)?;
        state.socket = Some(socket.clone());
    }
    relay.directory.resumed(&session, used, token);
    let mut number = 0;
    // Whoever serves an older socket, or waits for this one, sees it here.
    session.sockets.send_modify(|sockets| {
        *sockets += 1;
        number = *sockets;
    });
    Ok(Some(Attached {
        session,
        socket,
        number,
        unconfirmed: Some(token),
    }))
}

async fn run<R, W>(
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
    if *sockets.borrow_and_update() != attached.number {
        return replaced();
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
    let ending = tokio::select! {
        ending = reader.run(rest) => ending,
        written = &mut writing => return Ending::unwritten(&written),
    };
    if ends(ending.why) && ending.why != "shutdown" {
        // At once: the rest only sees to it that the client hears of it. One that leaves in order has
        // nothing left but its GOAWAY.
        session.end();
    }
    ending
        .close(|payload| socket.close(payload), writing, reader.receiver)
        .await;
    ending
}

/// Keeps the session for its next socket. Gives why it is over, or nothing if it goes on elsewhere.
async fn park(
    relay: &Relay,
    attached: &Attached,
    mut phase: watch::Receiver<Phase>,
    lost: &'static str,
) -> Option<&'static str> {
    let Attached {
        session,
        socket,
        number,
        ..
    } = attached;
    let within = session.principal.limits.binary.resume_within;
    let mut sockets = session.sockets.subscribe();
    {
        let mut state = session.lock();
        if !state.is_on(socket) {
            return None;
        }
        state.socket = None;
        state.machine.disconnect();
    }
    if within.is_zero() || *phase.borrow_and_update() != Phase::Open {
        return ended(session, *number, lost);
    }
    relay.directory.park(session);
    let until = Instant::now() + within;
    let why = loop {
        tokio::select! {
            biased;
            _ = sockets.wait_for(|newest| newest != number) => return None,
            () = session.evicted.notified() => break "evicted",
            _ = phase.changed() => break "shutdown",
            () = tokio::time::sleep_until(until) => break "expired",
            () = tokio::time::sleep(TRIM) => relay.directory.trim(session),
        }
    };
    ended(session, *number, why)
}

/// Marks the session as over, unless it was resumed at the last moment.
fn ended(session: &Session, number: u64, why: &'static str) -> Option<&'static str> {
    let mut state = session.lock();
    // A socket is set before it is counted: either shows that somebody has come.
    if state.socket.is_some() || *session.sockets.borrow() != number {
        return None;
    }
    state.over = true;
    Some(why)
}
