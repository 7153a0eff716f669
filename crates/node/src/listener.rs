//! Accepting connections and speaking HTTP/1.1 on them, over TLS or not, behind a PROXY header or not.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_policy::guard::IpNet;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::config::{Dur, HttpSection};
use crate::metrics::{ListenerName, Metrics};
use crate::proxied;
use crate::tls::Tls;
use fetchway_service::{Phase, Shutdown};

/// Connections that wait to be accepted. A smaller backlog costs a burst a second per lost SYN; the
/// system caps it at net.core.somaxconn.
const BACKLOG: u32 = 4_096;
/// The most that a request's header may take in memory. Cookies of other programs on localhost come
/// along from browsers.
const MAX_HEADER: usize = 64 << 10;
/// Pauses after an accept that failed for want of something (files, memory): doubled up to the
/// longest, as trying again at once would only burn the CPU.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Address of the peer, or the one in a PROXY header.
    pub(crate) addr: SocketAddr,
    /// Set if a proxy has passed the connection on without the address of its client.
    pub(crate) is_unnamed: bool,
    /// Set if the connection uses TLS.
    pub(crate) tls: bool,
}

/// The handler of a listener's requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Binds `address`. With `share`, other processes of this user may listen there too; each connection
/// goes to one of them.
pub(crate) fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A node that is started again must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(share)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The steps that a connection passes before its first request.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) tls: Option<Arc<Tls>>,
    /// Each connection begins with a PROXY header, and comes from one of these networks.
    pub(crate) proxies: Option<Vec<IpNet>>,
}

impl From<Option<Arc<Tls>>> for Entry {
    fn from(tls: Option<Arc<Tls>>) -> Self {
        Self { tls, proxies: None }
    }
}

/// One listener of the node.
pub(crate) struct Server<H> {
    pub(crate) name: ListenerName,
    pub(crate) handler: Arc<H>,
    pub(crate) entry: Entry,
    pub(crate) http: HttpSection,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
    /// The phase in which it stops accepting and asks its connections to end.
    pub(crate) closes_at: Phase,
}

impl<H: Handler> Server<H> {
    /// Serves until the node has ended, or has reached `closes_at` and all connections are done.
    pub(crate) async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        let ended = server.shutdown.clone();
        let serving = async {
            Arc::clone(&server).accept(listener, &mut connections).await;
            while let Some(done) = connections.join_next().await {
                report(done);
            }
        };
        // Dropping the set ends whatever is left in it.
        tokio::select! {
            () = serving => {}
            () = ended.reached(Phase::Ended) => {}
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, connections: &mut JoinSet<()>) {
        let free = Arc::new(Semaphore::new(self.http.max_connections));
        let mut pause = FIRST_PAUSE;
        let mut closing = pin!(self.shutdown.reached(self.closes_at));
        loop {
            let next = async {
                // The semaphore is never closed.
                let place = Arc::clone(&free).acquire_owned().await.ok();
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                Some(done) = connections.join_next() => {
                    report(done);
                    continue;
                }
                () = &mut closing => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = FIRST_PAUSE;
                    self.metrics.accepted(self.name);
                    connections.spawn(Arc::clone(&self).connection(stream, peer, place));
                }
                Err(e) => {
                    self.metrics.accept_failed(self.name);
                    if is_the_peers(&e) {
                        continue;
                    }
                    tracing::warn!(
                        listener = self.name.as_str(),
                        error = %e,
                        "a connection could not be accepted; trying again in {pause:?}"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = &mut closing => return,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// `_place` counts the connection until it is done or has become a session.
    async fn connection(
        self: Arc<Self>,
        mut stream: TcpStream,
        addr: SocketAddr,
        _place: Option<OwnedSemaphorePermit>,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(peer = %addr, %error, "TCP_NODELAY could not be set; the peer is gone");
            return;
        }
        let mut peer = Peer {
            addr,
            is_unnamed: false,
            tls: self.entry.tls.is_some(),
        };
        let limit = self.http.handshake_timeout;
        let until = Instant::now() + limit;
        let late = || format!("not done after {}", Dur(limit));
        if let Some(proxies) = &self.entry.proxies {
            let read = timeout_at(until, proxied::client(&mut stream, addr, proxies)).await;
            match read.unwrap_or_else(|_| Err(late())) {
                Ok(Some(client)) => peer.addr = client,
                Ok(None) => peer.is_unnamed = true,
                Err(error) => {
                    self.metrics.unproxied(self.name);
                    tracing::debug!(peer = %addr, error, "a connection had no PROXY header to go by");
                    return;
                }
            }
        }
        let Some(tls) = &self.entry.tls else {
            return self.http(stream, peer).await;
        };
        let error = match timeout_at(until, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => return self.http(stream, peer).await,
            Ok(Err(error)) => error.to_string(),
            Err(_) => late(),
        };
        self.metrics.handshake_failed(self.name);
        tracing::debug!(peer = %peer.addr, error, "a TLS handshake failed");
    }

    async fn http(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let handler = &self.handler;
        let service =
            service_fn(async |request| Ok::<_, Infallible>(handler.handle(request, peer).await));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.http.header_timeout)
            .max_buf_size(MAX_HEADER)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            () = self.shutdown.reached(self.closes_at) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(peer = %peer.addr, %error, "a connection ended early");
        }
    }
}

/// Whether only the one connection is concerned, and the next accept may go well.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

fn report(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "a connection's task panicked; this is a fault of fetchway");
    }
}
