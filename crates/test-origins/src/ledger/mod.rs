//! An origin for batches: it writes down when each item was asked for, and does as its rules say.
//!
//! Items are asked for as `GET /item/7`, over HTTP/1.1; the answer's body is [`expected_body`] of the
//! item's number, so that whoever has it can verify it. `rules` decides what becomes of a request,
//! `serve` has the connections, `windows` says how even the arrivals were.
//!
//! [`expected_body`]: crate::expected_body

mod rules;
mod serve;
mod windows;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;

use crate::accept::accept_each;
use crate::listen::{StartError, listen};
use crate::watched::Watched;
use rules::{Judge, Verdict};

pub use rules::{Limit, LimitKind, Rules};
pub use windows::Windows;

/// Longest filler: a body is written with its head in one go.
const MAX_SIZE: usize = 16 * 1024;
/// Arrivals written down, of 16 bytes each. Further ones are served and only counted.
const MAX_ARRIVALS: usize = 8 << 20;

/// A request for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When its head was there: microseconds since the origin's start, on a monotonic clock.
    pub micros: u64,
    /// The item's number.
    pub item: u32,
    /// Status of the answer; 0 if there was none.
    pub status: u16,
}

/// A reading of a ledger's counters. All but `open` are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerCounts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests for items.
    pub arrivals: u64,
    /// Of them, those whose client left before their answer was written.
    pub abandoned: u64,
    /// Of them, those that came when the list of arrivals was full, at 8,388,608.
    pub unlisted: u64,
}

/// A running origin that keeps account; dropping it ends it and its connections.
pub struct Ledger {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

struct Shared {
    start: Instant,
    /// Bytes of filler in each body.
    size: usize,
    book: Watched<Book>,
}

#[derive(Default)]
struct Book {
    judge: Judge,
    arrivals: Vec<Arrival>,
    counts: LedgerCounts,
}

impl Ledger {
    /// Listens on `addr`, on the current tokio runtime. Bodies have a line and `size` bytes of filler,
    /// 16 KiB at most.
    ///
    /// # Errors
    /// An address that cannot be bound, a body too long.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(addr: SocketAddr, size: usize) -> Result<Self, StartError> {
        if size > MAX_SIZE {
            return Err(StartError::new(
                "the ledger's bodies are too long",
                format!("ask for {MAX_SIZE} bytes at most"),
            ));
        }
        let (listener, addr) = listen(addr)?;
        let shared = Arc::new(Shared {
            start: Instant::now(),
            size,
            book: Watched::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let of_connections = Arc::clone(&shared);
        tokio::spawn(accept_each(listener, stopped, move |stream| {
            let shared = Arc::clone(&of_connections);
            // Counted before it has a task.
            let open = Open::new(shared);
            async move {
                // A connection ends when its client wants; there is nobody to tell.
                let _ = serve::serve(stream, &open.0).await;
            }
        }));
        Ok(Self { addr, shared, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of an item.
    #[must_use]
    pub fn url(&self, item: u32) -> String {
        format!("http://{}/item/{item}", self.addr)
    }

    /// How requests are answered from now on.
    pub fn rule(&self, rules: Rules) {
        self.shared.book.change(|book| book.judge.rule(rules));
    }

    /// The arrivals written down, in the order of their times.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.book.lock().arrivals.clone()
    }

    /// Lets go of the arrivals written down; the counters stay.
    pub fn forget(&self) {
        self.shared.book.change(|book| book.arrivals.clear());
    }

    /// The counters as they stand.
    #[must_use]
    pub fn counts(&self) -> LedgerCounts {
        self.shared.book.lock().counts
    }

    /// Waits until the counters are as asked, and says how they stand then.
    pub async fn wait_until(&self, mut ready: impl FnMut(&LedgerCounts) -> bool) -> LedgerCounts {
        let found = |book: &Book| ready(&book.counts).then_some(book.counts);
        self.shared.book.until(found).await
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Shared {
    /// Records a request for an item, and decides how to answer it.
    fn arrived(&self, item: u32) -> Verdict {
        self.book.change(|book| {
            // Read under the lock, so that the arrivals are in order.
            let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let verdict = book.judge.judge(micros, item);
            book.counts.arrivals += 1;
            if book.arrivals.len() < MAX_ARRIVALS {
                book.arrivals.push(Arrival {
                    micros,
                    item,
                    status: verdict.status(),
                });
            } else {
                book.counts.unlisted += 1;
            }
            verdict
        })
    }

    /// Counts a request whose client left before the answer.
    fn abandon(&self) {
        self.book.change(|book| book.counts.abandoned += 1);
    }
}

/// An open connection, until dropped.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.book.change(|book| {
            book.counts.connections += 1;
            book.counts.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.book.change(|book| book.counts.open -= 1);
    }
}
