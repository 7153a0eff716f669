//! A server from before the subprotocols: it knows none and says nothing of those it is offered.

use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role, put_frame};
use http::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::{Socket, soon};

/// One socket of such a server.
pub(crate) struct PlainRelay {
    pub(crate) headers: HeaderMap,
    receiver: Receiver<ReadHalf<TcpStream>>,
    write: WriteHalf<TcpStream>,
}

impl PlainRelay {
    /// Accepts a handshake, confirming `protocol` if there is one.
    pub(crate) async fn accept(socket: Socket, protocol: Option<&'static str>) -> Self {
        let (io, headers, rest) = socket.accept(protocol).await;
        let (read, write) = tokio::io::split(io);
        Self {
            headers,
            receiver: Receiver::new(read, rest, Decoder::new(Role::Server, 48 << 20)),
            write,
        }
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Value {
        loop {
            match soon("a request", self.receiver.next()).await {
                Ok(Some(Event::Message(message))) => {
                    assert!(message.text, "a binary message came");
                    return serde_json::from_slice(&message.data).expect("JSON");
                }
                Ok(Some(Event::Ping(payload))) => self.write(Opcode::Pong, &payload).await,
                other => panic!("no request, but {other:?}"),
            }
        }
    }

    /// Sends an answer.
    pub(crate) async fn send(&mut self, answer: &Value) {
        self.write(Opcode::Text, answer.to_string().as_bytes())
            .await;
    }

    async fn write(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        put_frame(&mut out, opcode, payload, None);
        self.write.write_all(&out).await.expect("the client reads");
    }

    /// Waits for the client's Close.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.receiver.next().await {
                Ok(Some(Event::Close(code, _))) => return Some(code),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Waits for a ping, and does not answer it.
    pub(crate) async fn pinged(&mut self) {
        match self.receiver.next().await {
            Ok(Some(Event::Ping(_))) => {}
            other => panic!("no ping, but {other:?}"),
        }
    }
}
