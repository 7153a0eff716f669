//! How sessions end, and where the relay is on its way out.

use std::io;
use std::time::Duration;

use fetchway_ws::{CloseCode, ProtocolError, Receiver, close_payload};
use tokio::io::AsyncRead;
use tokio::task::{JoinError, JoinHandle};

/// How long a closing session waits for its last bytes to be taken, and then for the client's Close.
pub(crate) const CLOSING: Duration = Duration::from_secs(5);

/// Where the relay is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not at all.
    Open,
    /// No new fetches; sessions close as they fall quiet.
    Leaving,
    /// Every session closes now.
    Over,
}

/// How a session or its socket ends: why, and what its client is told.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) why: &'static str,
    /// Without it the socket is gone already.
    pub(crate) close: Option<(CloseCode, &'static str)>,
}

impl Ending {
    pub(crate) fn of(why: &'static str, code: CloseCode, reason: &'static str) -> Self {
        Self {
            why,
            close: Some((code, reason)),
        }
    }

    /// The socket is gone.
    pub(crate) const GONE: Self = Self {
        why: "gone",
        close: None,
    };

    /// The reader's error: a breach of RFC 6455, or a broken socket.
    pub(crate) fn broken(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<ProtocolError>()) {
            Some(protocol) => Self::of("protocol", protocol.code, protocol.reason),
            None => Self::GONE,
        }
    }

    /// The writer has ended of itself: its socket failed, or took nothing for too long.
    pub(crate) fn unwritten(written: &Result<io::Result<()>, JoinError>) -> Self {
        let stalled = matches!(written, Ok(Err(e)) if e.kind() == io::ErrorKind::TimedOut);
        Self {
            why: if stalled { "stalled" } else { "gone" },
            close: None,
        }
    }

    /// Closes the socket: `say` gives the Close to the writer, which ends with it.
    pub(crate) async fn close<R: AsyncRead + Unpin>(
        &self,
        say: impl FnOnce(Vec<u8>),
        mut writing: JoinHandle<io::Result<()>>,
        receiver: &mut Receiver<R>,
    ) {
        let written = match self.payload() {
            Some(payload) => {
                say(payload);
                tokio::time::timeout(CLOSING, &mut writing).await.is_ok()
            }
            None => false,
        };
        if !written {
            writing.abort();
            // What it holds is given back before the session counts as ended. The error only says
            // that it was aborted.
            let _ = writing.await;
        } else if self.why != "client" {
            // The client's own Close, or its end, comes last (RFC 6455 section 7.1.1).
            let _ = tokio::time::timeout(CLOSING, receiver.until_close()).await;
        }
    }

    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        self.close.map(|(code, reason)| close_payload(code, reason))
    }
}
