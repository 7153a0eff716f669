//! One JSON session on its socket, from the first message to the last byte.

use std::sync::Arc;

use bytes::BytesMut;
use fetchway_service::{Principal, Work};
use fetchway_ws::{Decoder, Liveness, Receiver, Role};
use tokio::io::{AsyncRead, AsyncWrite};

use super::reader::Reader;
use super::session::Session;
use super::writer;
use crate::ending::Ending;
use crate::relay::Relay;

pub(crate) async fn serve<S>(relay: &Relay, io: S, principal: Principal, work: Work) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = principal.limits.clone();
    let session = Arc::new(Session::new(relay.account(&principal), principal));
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
        work,
        observer: &*relay.observer,
        liveness: Liveness::new(limits.ping_interval, limits.idle_timeout),
        serial: 0,
    };
    let ending = tokio::select! {
        ending = reader.run() => ending,
        written = &mut writing => {
            session.abort();
            return Ending::unwritten(&written);
        }
    };
    session.abort();
    let send_close = |payload| session.outbox.close(payload);
    ending
        .close(send_close, writing, &mut reader.receiver)
        .await;
    ending
}
