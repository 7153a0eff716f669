//! An HTTP API as it stands behind a gateway: it accepts every client, echoes every message, and
//! keeps account of both.
//!
//! | request | answer |
//! |---|---|
//! | `GET /<id>` | `ok` |
//! | `POST /<id>` | the body, with its content type; an empty one with `Fetchway-Send: always` |
//! | `DELETE /<id>` | 200 without a body |
//!
//! Whatever stands behind the id in path and query is taken as it is. It speaks HTTP/1.1 and HTTP/2
//! with prior knowledge, told apart by a connection's first bytes, at little cost: a bench shares the
//! machine with it. A script ([`Api::script`]) may answer otherwise, later, or not at all.
//!
//! Pushpin's way to ask it is known too (`events`), so that the same API can stand behind either.
//!
//! Read `account` and `journal`, then `h1` and `h2`.

mod account;
mod events;
mod h1;
mod h2;
mod journal;
mod request;
mod shared;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::account::Books;
use self::request::PendingReply;
use self::shared::Shared;
use crate::accept::accept_each;
use crate::listen::{StartError, listen};

pub use self::account::{Account, ApiStats, Epoch};
pub use self::request::{ApiReply, ApiRequest, ok, status};

/// How every HTTP/2 connection begins (RFC 9113 section 3.4), as far as it must be read to know.
const PREFACE: &[u8] = b"PRI ";

/// Longest wait for requests. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running API; dropping it ends it and its connections.
pub struct Api {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the listener and its connections; `None` while the API is away.
    stop: Mutex<Option<watch::Sender<bool>>>,
}

impl Api {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No free port.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start() -> Result<Self, StartError> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one, on the current tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_at(addr: SocketAddr) -> Result<Self, StartError> {
        Self::start_on(addr, Shared::default())
    }

    /// Starts one that keeps its account in a file too, and goes on with what stands there: so it tells
    /// also what came before it was killed from what comes again after. The file grows by some 70 bytes
    /// for each request.
    ///
    /// # Errors
    /// An address that cannot be bound; a file that cannot be read or written, or is none of an API's.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_with_journal(addr: SocketAddr, journal: &Path) -> Result<Self, StartError> {
        let shared = Shared::default();
        let kept = shared.books.change(|books| books.keep(journal));
        kept.map_err(|error| {
            let what = format!("{} can't be the API's journal", journal.display());
            StartError::new(&what, error)
        })?;
        Self::start_on(addr, shared)
    }

    /// Starts one on a free port of 127.0.0.1 whose requests are recorded, and answered by `script`.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn scripted<F>(script: impl Fn(ApiRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output: Into<Option<ApiReply>>> + Send + 'static,
    {
        Self::scripted_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// Like [`scripted`](Self::scripted), at an address.
    ///
    /// # Panics
    /// If the address is in use.
    #[must_use]
    pub fn scripted_at<F>(
        addr: SocketAddr,
        script: impl Fn(ApiRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output: Into<Option<ApiReply>>> + Send + 'static,
    {
        let api = Self::start_at(addr).expect("the address is free");
        api.record();
        api.script(script);
        api
    }

    /// Starts one that accepts every client and answers each message with its body and no other field.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn echo() -> Self {
        Self::scripted(|request| async move {
            match request.method {
                Method::GET => ok("ok"),
                Method::POST => ok(request.body),
                _ => ok(""),
            }
        })
    }

    fn start_on(addr: SocketAddr, shared: Shared) -> Result<Self, StartError> {
        let (listener, addr) = listen(addr)?;
        let shared = Arc::new(shared);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Self {
            addr,
            shared,
            stop: Mutex::new(Some(stop)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL of the API for a protocol, by its scheme `http` or `h2c`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.addr)
    }

    /// The counters as they stand.
    #[must_use]
    pub fn stats(&self) -> ApiStats {
        self.shared.books.lock().stats
    }

    /// Waits until the counters are as asked, and says how they stand then.
    pub async fn wait_until(&self, mut ready: impl FnMut(&ApiStats) -> bool) -> ApiStats {
        let found = |books: &Books| ready(&books.stats).then_some(books.stats);
        self.shared.books.until(found).await
    }

    /// Returns the events of a client. `id` is as in the path.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<Account> {
        self.shared.books.lock().account(id).cloned()
    }

    /// Waits until a client's account is as asked, and says how it stands then.
    pub async fn wait_for(&self, id: &str, mut ready: impl FnMut(&Account) -> bool) -> Account {
        let found = |books: &Books| books.account(id).filter(|it| ready(it)).cloned();
        self.shared.books.until(found).await
    }

    /// Keeps every request from now on, whole; the first 4,096 of them.
    pub fn record(&self) {
        self.shared.recording.store(true, Ordering::Release);
        self.shared.watched.store(true, Ordering::Release);
    }

    /// The requests recorded, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.shared.books.lock().recorded.clone()
    }

    /// Returns the recorded requests whose targets begin with `prefix`, each as a line.
    #[must_use]
    pub fn lines(&self, prefix: &str) -> Vec<String> {
        let requests = self.requests();
        let requests = requests.iter().filter(|r| r.target.starts_with(prefix));
        requests.map(ApiRequest::line).collect()
    }

    /// Waits until `ready` accepts the recorded requests, and returns them.
    ///
    /// # Panics
    /// If that does not happen within a minute.
    pub async fn until(&self, mut ready: impl FnMut(&[ApiRequest]) -> bool) -> Vec<ApiRequest> {
        let found = |books: &Books| ready(&books.recorded).then(|| books.recorded.clone());
        let requests = tokio::time::timeout(PATIENCE, self.shared.books.until(found)).await;
        requests.unwrap_or_else(|_| panic!("the API was only asked {:?}", self.lines("")))
    }

    /// Waits until so many requests have been recorded, and returns them.
    ///
    /// # Panics
    /// If that does not happen within a minute.
    pub async fn until_count(&self, count: usize) -> Vec<ApiRequest> {
        self.until(|requests| requests.len() >= count).await
    }

    /// Has `script` answer from now on. Requests are counted before the script is asked; a script that
    /// returns `None` breaks the connection (h2: resets the stream).
    pub fn script<F>(&self, script: impl Fn(ApiRequest) -> F + Send + Sync + 'static)
    where
        F: Future<Output: Into<Option<ApiReply>>> + Send + 'static,
    {
        let script = move |request| {
            let reply = script(request);
            Box::pin(async move { reply.await.into() }) as PendingReply
        };
        *self.shared.script.lock() = Some(Arc::new(script));
        self.shared.watched.store(true, Ordering::Release);
    }

    /// Ends the script.
    pub fn unscript(&self) {
        *self.shared.script.lock() = None;
        let recording = self.shared.recording.load(Ordering::Acquire);
        self.shared.watched.store(recording, Ordering::Release);
    }

    /// Breaks every open connection, in the middle of an answer too; the listener goes on.
    pub fn break_connections(&self) {
        self.shared.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Ends the listener and breaks every connection, as if the API were killed, and waits until that is
    /// done. The accounts stay.
    pub async fn down(&self) {
        let stop = self.stop.lock().take();
        if let Some(stop) = stop {
            stop.send_replace(true);
            stop.closed().await;
        }
    }

    /// Ends the API and its connections. Returns the address, for an API that takes its place.
    pub async fn stop(self) -> SocketAddr {
        self.down().await;
        self.addr
    }

    /// Comes back at the same address.
    ///
    /// # Errors
    /// Another program has taken the port meanwhile.
    pub fn up(&self) -> Result<(), StartError> {
        let mut stop = self.stop.lock();
        if stop.is_none() {
            let (listener, _) = listen(self.addr)?;
            let stopped = stop.insert(watch::Sender::new(false)).subscribe();
            tokio::spawn(accept(listener, Arc::clone(&self.shared), stopped));
        }
        Ok(())
    }
}

/// An open connection, until dropped.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.books.change(|books| {
            books.stats.connections += 1;
            books.stats.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.books.change(|books| books.stats.open -= 1);
    }
}

/// Serves connections until `stop` is sent.
async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    accept_each(listener, stop, |stream| {
        // Counted before the task begins.
        let open = Open::new(Arc::clone(&shared));
        let mut breaks = shared.breaks.subscribe();
        async move {
            tokio::select! {
                _ = breaks.changed() => {}
                // A client may end its connection in any way.
                _ = serve(stream, &open.0) => {}
            }
        }
    })
    .await;
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(8 << 10);
    while input.len() < PREFACE.len() {
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
    if input.starts_with(PREFACE) {
        h2::serve(stream, input, shared).await
    } else {
        h1::serve(stream, input, shared).await
    }
}
