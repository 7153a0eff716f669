//! A client of the binary encoding that does what it is told, frame by frame, right or wrong. The
//! codec is the relay's own; `tests/py` has another one.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, Hello, RequestHead, ResponseHead, SUBPROTOCOL, decode};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::PATIENCE;

/// One open WebSocket in the binary encoding.
pub struct Binary {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    frames: VecDeque<Frame>,
    /// Sequenced frames that have come.
    received: u64,
}

impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Binary")
    }
}

/// A GET of `url`, as its head; `tag` comes back.
#[must_use]
pub fn head(method: Method, url: &str, tag: &str) -> RequestHead {
    RequestHead {
        tag: Bytes::copy_from_slice(tag.as_bytes()),
        ..RequestHead::new(method, url)
    }
}

/// The OPEN frame of a request; `end` if it has no body.
#[must_use]
pub fn open(stream: u64, head: &RequestHead, end: bool) -> Frame {
    let mut block = BytesMut::new();
    head.put(&mut block);
    Frame::Block {
        stream,
        part: Part::Open,
        end,
        more: false,
        block: block.freeze(),
    }
}

/// A GET without ado.
#[must_use]
pub fn get(stream: u64, url: &str) -> Frame {
    open(stream, &head(Method::GET, url, ""), true)
}

/// A DATA frame.
#[must_use]
pub fn data(stream: u64, bytes: impl Into<Bytes>, end: bool) -> Frame {
    Frame::Data {
        stream,
        end,
        bytes: bytes.into(),
    }
}

impl Binary {
    /// Connects; nothing is said yet. `token` is a bearer token.
    ///
    /// # Panics
    /// If the relay does not confirm the subprotocol.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let mut request = url.into_client_request().expect("a URL");
        let fields = request.headers_mut();
        fields.insert(
            "sec-websocket-protocol",
            SUBPROTOCOL.parse().expect("a value"),
        );
        if let Some(token) = token {
            fields.insert(
                "authorization",
                format!("Bearer {token}").parse().expect("a value"),
            );
        }
        let (socket, response) = connect_async(request).await.expect("the relay accepts");
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        Self {
            socket,
            frames: VecDeque::new(),
            received: 0,
        }
    }

    /// Says HELLO and gives the relay's.
    pub async fn hello(&mut self, hello: Hello) -> Hello {
        self.send([Frame::Hello(hello)]).await;
        match self.next().await {
            Frame::Hello(hello) => hello,
            other => panic!("no HELLO but {other:?}"),
        }
    }

    /// Sends frames in one message.
    pub async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut message = BytesMut::new();
        frames.into_iter().for_each(|frame| frame.put(&mut message));
        self.send_message(Message::binary(message.freeze())).await;
    }

    /// Sends any message. That the relay has closed meanwhile is no failure: what it says counts.
    pub async fn send_message(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// Writes without flushing or reading, as long as the socket takes it; whether it does.
    pub async fn feed(&mut self, message: Message) -> bool {
        self.socket.feed(message).await.is_ok()
    }

    /// The next frame.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next(&mut self) -> Frame {
        self.frame()
            .await
            .unwrap_or_else(|code| panic!("no frame, but closed with {code:?}"))
    }

    /// The next frame, or the code that the relay has closed with.
    ///
    /// # Errors
    /// The close code; none if the socket just ended.
    pub async fn frame(&mut self) -> Result<Frame, Option<u16>> {
        // Of the whole, or the relay's pings would turn a hang into more of it.
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            let next = tokio::time::timeout_at(until, self.socket.next()).await;
            match next.expect("something comes") {
                Some(Ok(Message::Binary(message))) => {
                    let mut message = Bytes::copy_from_slice(&message);
                    while let Some(frame) = decode(&mut message).expect("whole frames") {
                        self.received += u64::from(frame.is_sequenced());
                        self.frames.push_back(frame);
                    }
                }
                Some(Ok(Message::Close(close))) => {
                    // Our own Close is the answer.
                    let _ = self.socket.flush().await;
                    return Err(close.map(|close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next frame of a stream; those between are passed over, as are frames without a stream.
    pub async fn of_stream(&mut self, wanted: u64) -> Frame {
        loop {
            let frame = self.next().await;
            match &frame {
                Frame::Block { stream, .. }
                | Frame::Data { stream, .. }
                | Frame::Reset { stream, .. }
                | Frame::Stop { stream }
                    if *stream == wanted =>
                {
                    return frame;
                }
                _ => {}
            }
        }
    }

    /// The head and the body of a stream, from HEAD to its end; it must fit its window.
    ///
    /// # Panics
    /// If it is reset.
    pub async fn answer(&mut self, stream: u64) -> (ResponseHead, Vec<u8>) {
        let block = loop {
            match self.of_stream(stream).await {
                Frame::Block {
                    part: Part::Head,
                    end,
                    more: false,
                    block,
                    ..
                } => break (block, end),
                // The upload is not wanted; the answer may come all the same.
                Frame::Stop { .. } => {}
                other => panic!("no HEAD but {other:?}"),
            }
        };
        let (block, end) = block;
        let head = ResponseHead::read(&block).expect("a head");
        let (mut body, mut ended) = (Vec::new(), end);
        while !ended {
            match self.of_stream(stream).await {
                Frame::Data { bytes, end, .. } => {
                    body.extend_from_slice(&bytes);
                    ended = end;
                }
                other => panic!("no DATA but {other:?}"),
            }
        }
        (head, body)
    }

    /// The code that the relay closes with; frames before it are passed over.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.frame().await {
                return code;
            }
        }
    }

    /// Acknowledges what has come. Nothing here does so by itself.
    pub async fn acknowledge(&mut self) {
        self.send([Frame::Ack(self.received)]).await;
    }

    /// The socket is gone, without a word.
    pub fn cut(self) {
        drop(self);
    }
}
