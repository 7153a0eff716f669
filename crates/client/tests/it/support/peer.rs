//! The relay's end of a binary session.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{
    Config, Event, Frame, GoingAway, Hello, MAX_MESSAGE, RequestHead, Reset, ResponseHead,
    SUBPROTOCOL, Session, TOKEN, decode,
};
use fetchway_ws::{CloseCode, Decoder, Event as WsEvent, Opcode, Receiver, Role};
use fetchway_ws::{close_payload, put_frame};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::{Socket, soon};

/// A session's end on one socket.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) session: Session,
    /// What the client said first on this socket.
    pub(crate) hello: Hello,
    pub(crate) headers: HeaderMap,
    receiver: Receiver<ReadHalf<S>>,
    write: WriteHalf<S>,
    events: VecDeque<Event>,
    /// What came in one message with the HELLO.
    behind: Bytes,
}

impl<S: tokio::io::AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Begins a new session, whatever the client asks for.
    pub(crate) async fn session(self, config: Config) -> Peer<S> {
        self.session_or(config, None).await
    }

    /// The same, telling why what the client asks for is not there.
    pub(crate) async fn session_or(self, config: Config, refused: Option<&str>) -> Peer<S> {
        let mut peer = self.greeted().await;
        peer.session = Session::relay(config, &peer.hello, [7; TOKEN], refused);
        peer.flush().await;
        peer
    }

    /// Goes on with a session that lost its socket.
    pub(crate) async fn resume(self, session: Session) -> Peer<S> {
        let mut peer = self.greeted().await;
        assert_eq!(
            peer.hello.token,
            Some([7; TOKEN]),
            "the client asks for its session"
        );
        peer.session = session;
        peer.session
            .resume(&peer.hello, [7; TOKEN])
            .expect("a good HELLO");
        peer.flush().await;
        peer
    }

    /// The client's HELLO has come; what else came with it waits.
    async fn greeted(self) -> Peer<S> {
        let (io, headers, rest) = self.accept(Some(SUBPROTOCOL)).await;
        let (read, write) = tokio::io::split(io);
        let mut receiver = Receiver::new(read, rest, Decoder::new(Role::Server, MAX_MESSAGE));
        let mut message = match soon("a HELLO", receiver.next()).await {
            Ok(Some(WsEvent::Message(message))) => message.data.freeze(),
            other => panic!("not a message: {other:?}"),
        };
        let hello = match decode(&mut message) {
            Ok(Some(Frame::Hello(hello))) => hello,
            other => panic!("not a HELLO: {other:?}"),
        };
        Peer {
            session: Session::relay(Config::default(), &hello, [7; TOKEN], None),
            hello,
            headers,
            receiver,
            write,
            events: VecDeque::new(),
            behind: message,
        }
    }
}

impl<S: tokio::io::AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Sends what the session has to send.
    pub(crate) async fn flush(&mut self) {
        loop {
            let mut frames = BytesMut::new();
            self.session.transmit(Instant::now(), &mut frames, 32 << 10);
            if frames.is_empty() {
                return;
            }
            let mut out = BytesMut::new();
            put_frame(&mut out, Opcode::Binary, &frames, None);
            self.write.write_all(&out).await.expect("the client reads");
        }
    }

    /// The next event. `None`: the client has closed, with this code if any.
    pub(crate) async fn next(&mut self) -> Result<Event, Option<u16>> {
        loop {
            self.take();
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.flush().await;
            let due = self.session.deadline();
            let due = due.unwrap_or_else(|| Instant::now() + super::PATIENCE);
            let read = tokio::select! {
                read = self.receiver.next() => read,
                () = tokio::time::sleep_until(due.into()) => {
                    assert!(self.session.deadline().is_some(), "no event came");
                    continue;
                }
            };
            match read {
                Ok(Some(WsEvent::Message(message))) => {
                    assert!(!message.text, "a text message came");
                    self.behind = message.data.freeze();
                }
                Ok(Some(WsEvent::Close(code, _))) => return Err(Some(code)),
                Ok(Some(WsEvent::Ping(payload))) => {
                    self.write_message(Opcode::Pong, &payload).await;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(None),
            }
        }
    }

    fn take(&mut self) {
        while let Some(frame) = decode(&mut self.behind).expect("good frames") {
            let event = self.session.receive(frame, Instant::now());
            self.events
                .extend(event.expect("the client keeps to the protocol"));
        }
    }

    /// The next event, which must come.
    pub(crate) async fn event(&mut self) -> Event {
        match self.next().await {
            Ok(event) => event,
            Err(code) => panic!("the client closed with {code:?}"),
        }
    }

    /// The next fetch: its stream, its head, and whether it has no body.
    pub(crate) async fn opened(&mut self) -> (u64, Box<RequestHead>, bool) {
        match self.event().await {
            Event::Opened { stream, head, end } => (stream, head.expect("a good head"), end),
            other => panic!("no fetch, but {other:?}"),
        }
    }

    /// The next piece of a stream's body, and whether it is the last.
    pub(crate) async fn data(&mut self) -> (u64, Bytes, bool) {
        match self.event().await {
            Event::Data { stream, bytes, end } => {
                self.session.consumed(stream, bytes.len() as u64);
                (stream, bytes, end)
            }
            other => panic!("no data, but {other:?}"),
        }
    }

    /// The rest of the only body that is under way.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let (_, piece, end) = self.data().await;
            body.extend_from_slice(&piece);
            if end {
                return body;
            }
        }
    }

    /// The next `count` fetches with their whole bodies, in the order in which they were opened.
    pub(crate) async fn fetches(&mut self, count: usize) -> Vec<(u64, Box<RequestHead>, Vec<u8>)> {
        let mut fetches = Vec::new();
        let mut ended = 0;
        while fetches.len() < count || ended < count {
            match self.event().await {
                Event::Opened { stream, head, end } => {
                    fetches.push((stream, head.expect("a good head"), Vec::new()));
                    ended += usize::from(end);
                }
                Event::Data { stream, bytes, end } => {
                    self.session.consumed(stream, bytes.len() as u64);
                    let fetch = fetches.iter_mut().find(|fetch| fetch.0 == stream);
                    fetch.expect("an open stream").2.extend_from_slice(&bytes);
                    ended += usize::from(end);
                }
                other => panic!("no fetch, but {other:?}"),
            }
        }
        fetches
    }

    /// The client's cancel.
    pub(crate) async fn cancelled(&mut self) -> u64 {
        match self.event().await {
            Event::Reset { stream, reset } => {
                assert_eq!(reset.name, "cancelled");
                stream
            }
            other => panic!("no cancel, but {other:?}"),
        }
    }

    /// Answers with a head; `end`: there is no body.
    pub(crate) async fn head(&mut self, stream: u64, status: u16, end: bool) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.respond(stream, status, HeaderMap::new(), end).await;
    }

    /// Answers with a head of one field; a body follows.
    pub(crate) async fn head_with(&mut self, stream: u64, name: &'static str, value: HeaderValue) {
        let fields = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        self.respond(stream, StatusCode::OK, fields, false).await;
    }

    async fn respond(&mut self, stream: u64, status: StatusCode, fields: HeaderMap, end: bool) {
        let head = ResponseHead {
            tag: Bytes::new(),
            status,
            url: String::new(),
            fields,
        };
        self.session
            .respond(stream, &head, end)
            .expect("the stream is open");
        self.flush().await;
    }

    /// Sends a piece of a response's body.
    pub(crate) async fn piece(&mut self, stream: u64, piece: impl Into<Bytes>) {
        self.session
            .data(stream, piece.into())
            .expect("the stream is open");
        self.flush().await;
    }

    /// Ends a response's body.
    pub(crate) async fn end(&mut self, stream: u64) {
        self.session.end(stream).expect("the stream is open");
        self.flush().await;
    }

    /// A whole answer.
    pub(crate) async fn answer(&mut self, stream: u64, body: &'static str) {
        self.head(stream, 200, false).await;
        self.piece(stream, body).await;
        self.end(stream).await;
    }

    /// A fetch that failed.
    pub(crate) async fn fail(&mut self, stream: u64, reset: Reset) {
        self.session
            .reset(stream, reset)
            .expect("the stream is open");
        self.flush().await;
    }

    /// Says that streams after `last` are not looked at; they may have come already.
    pub(crate) async fn go_away(&mut self, last: u64) {
        let going = Frame::GoingAway(GoingAway {
            last,
            detail: "a test".to_owned(),
        });
        let mut frames = BytesMut::new();
        going.put(&mut frames);
        self.write_message(Opcode::Binary, &frames).await;
    }

    /// Sends any message.
    pub(crate) async fn write_message(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        put_frame(&mut out, opcode, payload, None);
        self.write.write_all(&out).await.expect("the client reads");
    }

    /// Returns when the client has taken all that was sent before: it answers a ping behind it.
    pub(crate) async fn settled(&mut self) {
        self.flush().await;
        self.write_message(Opcode::Ping, b"").await;
        loop {
            self.take();
            match soon("a pong", self.receiver.next()).await {
                Ok(Some(WsEvent::Pong(_))) => return,
                Ok(Some(WsEvent::Message(message))) => self.behind = message.data.freeze(),
                other => panic!("no pong, but {other:?}"),
            }
        }
    }

    /// Loses the socket, and keeps the session.
    pub(crate) fn cut(mut self) -> Session {
        self.session.disconnect();
        self.session
    }

    /// Closes the socket.
    pub(crate) async fn close(mut self, code: CloseCode) {
        let payload = close_payload(code, "");
        self.write_message(Opcode::Close, &payload).await;
    }

    /// Waits for the client's Close; no other event may come before it.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match self.next().await {
            Ok(event) => panic!("not closed, but {event:?}"),
            Err(code) => code,
        }
    }
}
