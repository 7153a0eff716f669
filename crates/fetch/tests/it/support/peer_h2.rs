//! An HTTP/2 origin that does what the test says, stream by stream.

use std::sync::Arc;

use bytes::Bytes;
use fetchway_test_origins::Certificate;
use h2::server::{Builder, Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::frames::Frames;
use super::peer::acceptor;
use super::{Peer, RawPeer, soon};

type Tls = TlsStream<TcpStream>;

/// What a connection is spoken on: TLS, or bare TCP.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A listener that speaks HTTP/2 over TLS.
pub(crate) struct H2Peer {
    peer: Peer,
    pub(crate) certificate: Arc<Certificate>,
}

impl H2Peer {
    pub(crate) async fn bind() -> Self {
        let certificate = Certificate::generate::<&str>(&[]).expect("a certificate");
        Self::with(Peer::bind().await, Arc::new(certificate))
    }

    pub(crate) fn with(peer: Peer, certificate: Arc<Certificate>) -> Self {
        Self { peer, certificate }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.peer.addr)
    }

    pub(crate) fn nobody_waits(&self) -> bool {
        self.peer.nobody_waits()
    }

    /// The next connection, with nothing said on it.
    pub(crate) async fn accept_tcp(&self) -> TcpStream {
        self.peer.accept_tcp().await
    }

    /// The next connection, which may fail its TLS handshake.
    pub(crate) async fn try_accept(&self, alpn: &str) -> std::io::Result<Tls> {
        let tcp = self.accept_tcp().await;
        self.shake_hands(tcp, alpn).await
    }

    async fn shake_hands(&self, tcp: TcpStream, alpn: &str) -> std::io::Result<Tls> {
        soon(acceptor(&self.certificate, alpn).accept(tcp)).await
    }

    /// The next connection, with its TLS handshake done and not a byte of HTTP.
    pub(crate) async fn accept_tls(&self, alpn: &str) -> Tls {
        self.try_accept(alpn).await.expect("a handshake")
    }

    /// The next connection, frame by frame.
    pub(crate) async fn accept_frames(&self) -> Frames<Tls> {
        let tcp = self.accept_tcp().await;
        self.frames(tcp).await
    }

    /// Begins to speak on a connection that has been accepted.
    pub(crate) async fn frames(&self, tcp: TcpStream) -> Frames<Tls> {
        let tls = self.shake_hands(tcp, "h2").await.expect("a handshake");
        Frames::begin(tls).await
    }

    /// The next connection, which shall speak HTTP/1.1.
    pub(crate) async fn accept_h1(&self) -> RawPeer<Tls> {
        RawPeer::new(self.accept_tls("http/1.1").await)
    }

    /// The next connection, with usual settings.
    pub(crate) async fn accept(&self) -> H2Conn {
        self.accept_with(|_| ()).await
    }

    pub(crate) async fn accept_with(&self, set: impl FnOnce(&mut Builder)) -> H2Conn {
        let tls = self.accept_tls("h2").await;
        let mut builder = Builder::new();
        set(&mut builder);
        let connection = soon(builder.handshake(tls))
            .await
            .expect("an HTTP/2 handshake");
        H2Conn::start(connection)
    }
}

/// A request, and the way to answer it.
pub(crate) type Stream = (Request<RecvStream>, SendResponse<Bytes>);

/// A connection, driven by a task; dropping it breaks the connection.
pub(crate) struct H2Conn {
    streams: mpsc::Receiver<Stream>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for H2Conn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl H2Conn {
    /// With usual settings.
    pub(crate) async fn open(io: impl Io) -> Self {
        let handshake = Builder::new().handshake(io);
        Self::start(soon(handshake).await.expect("an HTTP/2 handshake"))
    }

    fn start(connection: Connection<impl Io, Bytes>) -> Self {
        let (tell, streams) = mpsc::channel(1_000);
        Self {
            streams,
            task: tokio::spawn(drive(connection, tell)),
        }
    }

    /// The next request.
    pub(crate) async fn stream(&mut self) -> Stream {
        soon(self.streams.recv()).await.expect("a request")
    }

    /// The next request, or nothing if the client has closed the connection.
    pub(crate) async fn stream_or_end(&mut self) -> Option<Stream> {
        soon(self.streams.recv()).await
    }

    /// Answers the next request with 200 and `body`.
    pub(crate) async fn answer(&mut self, body: &'static str) {
        let (_, respond) = self.stream().await;
        answer(respond, body);
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed(mut self) {
        assert!(self.stream_or_end().await.is_none(), "no request must come");
    }
}

/// Answers with 200 and `body`.
pub(crate) fn answer(mut respond: SendResponse<Bytes>, body: &'static str) {
    let mut send = head(&mut respond, false);
    send.send_data(Bytes::from_static(body.as_bytes()), true)
        .expect("a body");
}

/// Sends the header of a 200.
pub(crate) fn head(respond: &mut SendResponse<Bytes>, end: bool) -> SendStream<Bytes> {
    respond
        .send_response(Response::new(()), end)
        .expect("a response")
}

async fn drive(mut connection: Connection<impl Io, Bytes>, tell: mpsc::Sender<Stream>) {
    // How it ended is for the client's side to tell.
    while let Some(Ok(stream)) = connection.accept().await {
        if tell.send(stream).await.is_err() {
            return;
        }
    }
}
