//! A gateway's client, through a WebSocket library that is not ours.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Response;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::PATIENCE;

/// One open WebSocket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that came before the first pong.
    early: VecDeque<Result<Message, Option<(u16, String)>>>,
    /// The gateway's answer to the handshake.
    pub handshake: Response<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Socket")
    }
}

/// How a handshake was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Socket {
    /// Connects to a path, with fields.
    ///
    /// # Errors
    /// The gateway's refusal.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub async fn open(
        addr: SocketAddr,
        target: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let url = format!("ws://{addr}{target}");
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in fields {
            let value = value.parse().expect("a value");
            request.headers_mut().append(*name, value);
        }
        let opening = connect_async_with_config(request, None, true);
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        match opened.expect("the handshake ends") {
            Ok((stream, handshake)) => {
                let mut socket = Self {
                    stream,
                    early: VecDeque::new(),
                    handshake,
                };
                socket.settle().await;
                Ok(socket)
            }
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err(Refused {
                    status: response.status().as_u16(),
                    text: String::from_utf8_lossy(&body).into_owned(),
                })
            }
            Err(error) => panic!("no answer to the handshake: {error}"),
        }
    }

    /// Returns when the gateway has the socket: a moment after its handshake. One that is closed at once
    /// will be found so.
    async fn settle(&mut self) {
        let settled = Message::Ping("settled?".into());
        if self.stream.send(settled).await.is_err() {
            return;
        }
        loop {
            let read = self.read().await;
            let ended = read.is_err();
            match read {
                Ok(Message::Pong(payload)) if payload == "settled?" => return,
                other => self.early.push_back(other),
            }
            if ended {
                return;
            }
        }
    }

    /// Connects, which must succeed.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn connect(addr: SocketAddr, target: &str) -> Self {
        Self::open(addr, target, &[]).await.expect("accepted")
    }

    /// Sends a text message.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any message.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.expect("an open socket");
    }

    /// The next message, or how the connection has ended: the Close's code and reason, if one came.
    ///
    /// # Errors
    /// The end.
    ///
    /// # Panics
    /// If neither comes.
    pub async fn next(&mut self) -> Result<Message, Option<(u16, String)>> {
        match self.early.pop_front() {
            Some(early) => early,
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Message, Option<(u16, String)>> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        match next.expect("something comes") {
            Some(Ok(Message::Close(close))) => {
                // Our own Close is the answer.
                let _ = self.stream.flush().await;
                Err(close.map(|close| (close.code.into(), close.reason.to_string())))
            }
            Some(Ok(message)) => Ok(message),
            Some(Err(_)) | None => Err(None),
        }
    }

    /// The next text message; pings and pongs are passed over.
    ///
    /// # Panics
    /// If something else comes.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Ok(Message::Text(text)) => return text.to_string(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("no text but {other:?}"),
            }
        }
    }

    /// How the connection ends; messages before are passed over.
    pub async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// Closes with code and reason, and waits for the gateway's Close.
    pub async fn close(mut self, code: u16, reason: &str) -> Option<(u16, String)> {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        // One that is gone already cannot be told.
        let _ = self.stream.close(Some(frame)).await;
        self.end().await
    }
}
