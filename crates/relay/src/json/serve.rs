//! One JSON session on its socket, from the first message to the last byte.

use std::sync::Arc;

use bytes::BytesMut;
use fetchway_ws::{Decoder, Receiver, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::reader::Reader;
use super::session::Session;
use super::writer;
use crate::ending::{CLOSING, Ending, Phase};
use crate::limits::Principal;
use crate::upgrade::Relay;

pub(crate) async fn serve<S>(
    relay: &Relay,
    io: S,
    principal: Principal,
    phase: watch::Receiver<Phase>,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = principal.limits.clone();
    let session = Arc::new(Session::new(relay.fetches(&principal), principal));
    let (read, write) = tokio::io::split(io);
    let mut writing = {
        let (session, observer) = (session.clone(), relay.observer.clone());
        tokio::spawn(async move {
            writer::write(write, &session.outbox, limits.write_stall, &*observer).await
        })
    };
    let mut reader = Reader {
        session: &session,
        receiver: Receiver::new(
            read,
            BytesMut::new(),
            Decoder::new(Role::Server, limits.message),
        ),
        phase,
        observer: &*relay.observer,
        last_seen: Instant::now(),
        serial: 0,
    };
    let ending = tokio::select! {
        ending = reader.run() => ending,
        written = &mut writing => {
            session.abort();
            let stalled = matches!(written, Ok(Err(ref e)) if e.kind() == std::io::ErrorKind::TimedOut);
            return Ending { why: if stalled { "stalled" } else { "gone" }, close: None };
        }
    };
    session.abort();
    let written = match ending.payload() {
        Some(payload) => {
            session.outbox.close(payload);
            tokio::time::timeout(CLOSING, &mut writing).await.is_ok()
        }
        None => false,
    };
    if !written {
        writing.abort();
        // What it holds of the byte budget is given back before the session counts as ended.
        // The error only says that it was aborted.
        let _ = writing.await;
    } else if ending.why != "client" {
        // The client's own Close, or its end, comes last (RFC 6455 section 7.1.1).
        let _ = tokio::time::timeout(CLOSING, reader.until_close()).await;
    }
    ending
}
