//! Node streams: streams of a session whose URL has the scheme `fetchway` are served by the node itself.
//! The relay finds the service by the URL's path.

use std::sync::Arc;

use fetchway_fetch::StreamedBody;
use http::{Method, Response};

use crate::principal::Principal;

/// A client's request to the node.
pub struct Call {
    /// Method of the stream.
    pub method: Method,
    /// Query of the URL, without the question mark.
    pub query: String,
    /// Body that the client sends. If it is dropped before its end, the client is told to stop sending.
    pub body: StreamedBody,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({} {})", self.method, self.query)
    }
}

/// A capability that serves node streams.
pub trait StreamService: Send + Sync + 'static {
    /// Path of the URLs that the service answers: `batch` for `fetchway:batch?rate=5/s`.
    fn path(&self) -> &'static str;

    /// Answers a call at once; the body of the response may take any time. The relay reads the body as
    /// the client takes it, and drops it when the stream is cancelled or its session ends. An error in
    /// the body resets the stream, and what the client has not taken by then is lost.
    fn call(&self, principal: &Principal, call: Call) -> Response<StreamedBody>;
}

/// The stream services of a node.
#[derive(Clone, Default)]
pub struct StreamServices(Arc<[Arc<dyn StreamService>]>);

impl StreamServices {
    /// Registers `services`, each under its own path.
    #[must_use]
    pub fn new(services: Vec<Arc<dyn StreamService>>) -> Self {
        Self(services.into())
    }

    /// Whether no service is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The service for `path`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&dyn StreamService> {
        let found = self.0.iter().find(|service| service.path() == path);
        found.map(|service| &**service)
    }

    /// The URLs that are served, for a message to a client: `fetchway:batch`.
    #[must_use]
    pub fn urls(&self) -> String {
        let urls = self.0.iter();
        let urls: Vec<_> = urls
            .map(|service| format!("fetchway:{}", service.path()))
            .collect();
        urls.join(", ")
    }
}

impl std::fmt::Debug for StreamServices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamServices({})", self.urls())
    }
}
