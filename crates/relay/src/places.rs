//! Places: how many sessions a credential may have at once.

use std::any::Any;

use fetchway_ws::HandshakeError;

/// One of a credential's places. It is given back when it is dropped.
pub type Place = Box<dyn Any + Send + Sync>;

/// The places of one credential.
pub trait Places: Send + Sync + 'static {
    /// A place for one more session; none if all are taken.
    fn session(&self) -> Option<Place>;
    /// A place for a socket without a session: one that has not said HELLO yet, or has just been
    /// replaced. None if all are taken.
    fn socket(&self) -> Option<Place>;
}

/// Why a request has not become a WebSocket.
#[derive(Debug)]
pub enum Refusal {
    /// It is no handshake.
    Handshake(HandshakeError),
    /// All of the credential's places are taken.
    Full,
}

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}
