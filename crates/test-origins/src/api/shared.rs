//! The state that the connections of an API share, and what both protocols do alike.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Version;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::account::{Books, MAX_RECORDED, Notice, Verb};
use super::request::{ApiReply, ApiRequest, PendingReply, Script};
use crate::watched::Watched;

/// Bytes of the longest body taken; a longer one is answered 413.
pub(super) const MAX_BODY: usize = 16 << 20;

/// The state that connections share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) books: Watched<Books>,
    pub(super) script: Mutex<Option<Script>>,
    pub(super) recording: AtomicBool,
    /// Set while there is a script, or requests are recorded. Otherwise nothing is copied.
    pub(super) watched: AtomicBool,
    /// Number of orders to break all connections.
    pub(super) breaks: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// Records a request, and passes it to the script if there is one.
    pub(super) fn watch(&self, request: ApiRequest) -> Option<PendingReply> {
        if self.recording.load(Ordering::Acquire) {
            self.books.change(|books| {
                if books.recorded.len() < MAX_RECORDED {
                    books.recorded.push(request.clone());
                }
            });
        }
        let script = self.script.lock().clone();
        script.map(|script| script(request))
    }

    /// Waits for the reply of the script.
    pub(super) async fn reply(&self, pending: PendingReply) -> Option<ApiReply> {
        let _held = Held::new(self);
        pending.await
    }
}

/// Counts a request that waits, until it is dropped.
struct Held<'a>(&'a Shared);

impl<'a> Held<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.books.change(|books| books.stats.held += 1);
        Self(shared)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.books.change(|books| books.stats.held -= 1);
    }
}

/// Returns the event that a method stands for.
pub(super) fn verb(method: &[u8]) -> Option<Verb> {
    match method {
        b"GET" => Some(Verb::Connect),
        b"POST" => Some(Verb::Message),
        b"DELETE" => Some(Verb::Delete),
        _ => None,
    }
}

/// Enters a request in the ledger. Returns a status and a reason if the request is refused.
pub(super) fn refused(shared: &Shared, notice: &Notice<'_>) -> Option<(u16, &'static str)> {
    if notice.id.is_empty() {
        return Some((404, "the path names no client"));
    }
    let entered = shared.books.change(|books| books.enter(notice));
    entered.err().map(|why| (503, why))
}

pub(super) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Returns the version of a request, for a script.
pub(super) const fn version(is_h2: bool) -> Version {
    if is_h2 {
        Version::HTTP_2
    } else {
        Version::HTTP_11
    }
}
