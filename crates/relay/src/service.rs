//! What a node does for its sessions beside fetching: streams whose URL is of scheme `fetchway` are
//! addressed to the node itself. The relay knows only that there is something which serves them.

use fetchway_fetch::StreamedBody;
use http::{Method, Response};

use crate::limits::Principal;

/// What a stream asks of the node.
pub struct Call {
    /// The stream's method.
    pub method: Method,
    /// What is asked for: `batch` of `fetchway:batch?rate=5/s`.
    pub path: String,
    /// What stands behind the question mark, as it came.
    pub query: String,
    /// What the client sends. Dropped before its end, it tells the client to send no more.
    pub body: StreamedBody,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({} {})", self.method, self.path)
    }
}

/// Serves streams that are addressed to the node.
pub trait Service: Send + Sync + 'static {
    /// Answers a call, at once; the answer's body may take as long as it likes. It is read as the
    /// client takes it, and dropped when the stream is cancelled or its session ends. An error in it
    /// resets the stream, and what the client has not taken of it by then is lost.
    fn call(&self, principal: &Principal, call: Call) -> Response<StreamedBody>;
}
