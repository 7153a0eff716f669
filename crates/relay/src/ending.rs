//! The end of a session: its reason, and what its client is told.

use std::io;
use std::time::Duration;

use fetchway_ws::{CloseCode, ProtocolError, Receiver, close_payload};
use tokio::io::AsyncRead;
use tokio::task::{JoinError, JoinHandle};

/// Time that a closing session waits for its last bytes to be taken, and then for the client's Close.
pub(crate) const CLOSING: Duration = Duration::from_secs(5);

/// Reason why a session or one of its sockets ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client closed the session.
    Client,
    /// The socket was lost, and the session with it.
    Gone,
    /// Nothing was received from the client for the idle timeout.
    Idle,
    /// The client took none of the bytes that waited for it.
    Stalled,
    /// The client broke the protocol.
    Protocol,
    /// The node shuts down.
    Shutdown,
    /// The session was without a socket for too long.
    Expired,
    /// The session was without a socket, and too many others were too.
    Evicted,
    /// The session continues on a newer socket. Only a socket ends like this.
    Replaced,
    /// The credential had no place for a new session. Only a socket ends like this.
    Refused,
}

impl EndReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Client,
        Self::Gone,
        Self::Idle,
        Self::Stalled,
        Self::Protocol,
        Self::Shutdown,
        Self::Expired,
        Self::Evicted,
        Self::Replaced,
        Self::Refused,
    ];

    /// Returns the value of the metric label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gone => "gone",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Protocol => "protocol",
            Self::Shutdown => "shutdown",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Replaced => "replaced",
            Self::Refused => "refused",
        }
    }
}

/// The end of a session or of one of its sockets.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    /// Close frame for the client; `None` if the socket is gone already.
    pub(crate) close: Option<(CloseCode, &'static str)>,
}

impl Ending {
    pub(crate) fn of(reason: EndReason, code: CloseCode, text: &'static str) -> Self {
        Self {
            reason,
            close: Some((code, text)),
        }
    }

    /// The client has closed the WebSocket.
    pub(crate) const CLIENT: Self = Self {
        reason: EndReason::Client,
        close: Some((CloseCode::Normal, "")),
    };

    /// The node shuts down, and the session has nothing left to send.
    pub(crate) const SHUTDOWN: Self = Self {
        reason: EndReason::Shutdown,
        close: Some((CloseCode::GoingAway, "this node is shutting down")),
    };

    /// The socket is gone.
    pub(crate) const GONE: Self = Self {
        reason: EndReason::Gone,
        close: None,
    };

    /// Classifies an error of the reader: a violation of RFC 6455, or a broken socket.
    pub(crate) fn broken(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<ProtocolError>()) {
            Some(protocol) => Self::of(EndReason::Protocol, protocol.code, protocol.reason),
            None => Self::GONE,
        }
    }

    /// Classifies the end of the writer: its socket failed, or took nothing for too long.
    pub(crate) fn unwritten(written: &Result<io::Result<()>, JoinError>) -> Self {
        let stalled = matches!(written, Ok(Err(e)) if e.kind() == io::ErrorKind::TimedOut);
        Self {
            reason: if stalled {
                EndReason::Stalled
            } else {
                EndReason::Gone
            },
            close: None,
        }
    }

    /// Closes the socket. `send_close` hands the Close frame to the writer, which ends after it.
    pub(crate) async fn close<R: AsyncRead + Unpin>(
        &self,
        send_close: impl FnOnce(Vec<u8>),
        mut writing: JoinHandle<io::Result<()>>,
        receiver: &mut Receiver<R>,
    ) {
        let written = match self.payload() {
            Some(payload) => {
                send_close(payload);
                tokio::time::timeout(CLOSING, &mut writing).await.is_ok()
            }
            None => false,
        };
        if !written {
            writing.abort();
            // The writer gives back what it holds before the session counts as ended. The error only
            // says that the writer was aborted.
            let _ = writing.await;
        } else if self.reason != EndReason::Client {
            // The client's own Close, or its end, comes last (RFC 6455 section 7.1.1).
            let _ = tokio::time::timeout(CLOSING, receiver.until_close()).await;
        }
    }

    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        self.close.map(|(code, reason)| close_payload(code, reason))
    }
}
