//! What comes before a session: a listener, and WebSocket handshakes on its connections.

use bytes::BytesMut;
use fetchway_wire::v1::Config;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Peer, soon};

/// A listener that a client takes for a relay.
pub(crate) struct Relay {
    pub(crate) listener: TcpListener,
    pub(crate) url: String,
}

/// An accepted connection, before its handshake is answered.
pub(crate) struct Socket<S = TcpStream> {
    io: S,
    pub(crate) headers: HeaderMap,
    rest: BytesMut,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}/", listener.local_addr().expect("a bound listener"));
        Self { listener, url }
    }

    /// The next connection's handshake.
    pub(crate) async fn socket(&self) -> Socket {
        let (tcp, _) = soon("a connection", self.listener.accept())
            .await
            .expect("a connection");
        tcp.set_nodelay(true).expect("a TCP socket");
        Socket::read(tcp).await
    }

    /// The next connection's session, a new one.
    pub(crate) async fn session(&self, config: Config) -> Peer {
        self.socket().await.session(config).await
    }

    /// The same with limits that are in nobody's way.
    pub(crate) async fn peer(&self) -> Peer {
        self.session(Config::default()).await
    }
}

impl<S: tokio::io::AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Reads a handshake.
    pub(crate) async fn read(mut io: S) -> Self {
        let mut rest = BytesMut::new();
        let end = loop {
            if let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let read = soon("a handshake", io.read_buf(&mut rest)).await;
            assert_ne!(
                read.expect("a handshake"),
                0,
                "the client left within its handshake"
            );
        };
        let head = String::from_utf8(rest.split_to(end).to_vec()).expect("a text");
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a field");
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        Self { io, headers, rest }
    }

    /// Refuses the WebSocket.
    pub(crate) async fn refuse(self, status: StatusCode) {
        self.refuse_with(status, b"").await;
    }

    /// Refuses the WebSocket, and says this.
    pub(crate) async fn refuse_with(mut self, status: StatusCode, said: &[u8]) {
        let length = said.len();
        let mut answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        answer.extend_from_slice(said);
        self.io
            .write_all(&answer)
            .await
            .expect("the answer is sent");
    }

    /// Accepts it with this subprotocol.
    pub(crate) async fn accept(
        mut self,
        protocol: Option<&'static str>,
    ) -> (S, HeaderMap, BytesMut) {
        let mut response = fetchway_ws::accept(&Method::GET, &self.headers).expect("a handshake");
        if let Some(protocol) = protocol {
            let protocol = HeaderValue::from_static(protocol);
            response
                .headers_mut()
                .insert("sec-websocket-protocol", protocol);
        }
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        for (name, value) in response.headers() {
            answer.extend_from_slice(name.as_str().as_bytes());
            answer.extend_from_slice(b": ");
            answer.extend_from_slice(value.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"\r\n");
        self.io
            .write_all(&answer)
            .await
            .expect("the answer is sent");
        (self.io, self.headers, self.rest)
    }
}
