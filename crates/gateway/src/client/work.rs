//! Work on clients that only their reactor's thread does, and that other threads hand over.

use std::sync::Arc;

use bytes::Bytes;

use super::connection::Connection;
use super::socket::Socket;
use crate::api::ApiEvent;

/// Work for a reactor.
pub(crate) enum Work {
    /// Takes over the socket of a client that the API has accepted.
    Attach(Attachment),
    /// Reads a client that may have more to be read.
    Read(Arc<Connection>),
    /// Sends to the API what is due.
    Send(Arc<Connection>),
    /// Frees the slot of a client that is gone.
    Remove(u32),
    /// Goes on with what a task of the API's floor has brought back.
    Api(ApiEvent<Arc<Connection>>),
}

/// A client's socket, with the bytes that were read behind the handshake.
pub(crate) struct Attachment {
    pub(crate) connection: Arc<Connection>,
    pub(crate) socket: Socket,
    pub(crate) early: Bytes,
}
