//! A client of the JSON encoding that shares no code with the relay.

use std::collections::HashMap;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::PATIENCE;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One open WebSocket.
pub struct Client {
    write: SplitSink<Socket, Message>,
    read: SplitStream<Socket>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If that fails.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url, &[])
            .await
            .expect("the relay accepts")
    }

    /// Connects with further fields.
    ///
    /// # Errors
    /// The handshake's failure.
    pub async fn try_connect(
        url: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<Self, Box<Error>> {
        let mut request = url.into_client_request()?;
        for (name, value) in fields {
            let value = value.parse().map_err(|_| Error::AttackAttempt)?;
            request.headers_mut().insert(*name, value);
        }
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
        let (write, read) = socket.split();
        Ok(Self { write, read })
    }

    /// Sends a text message.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, text: impl ToString) {
        self.write
            .send(Message::text(text.to_string()))
            .await
            .expect("the relay reads");
    }

    /// Sends a GET of `url` under `id`.
    pub async fn get(&mut self, id: impl Into<Value>, url: &str) {
        self.send(json!({ "id": id.into(), "url": url })).await;
    }

    /// Sends any message.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        self.write.send(message).await.expect("the relay reads");
    }

    /// The next message.
    ///
    /// # Panics
    /// If none comes, or it is no JSON text.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).expect("an answer is JSON")
    }

    /// The next message as it was written.
    ///
    /// # Panics
    /// If none comes, or it is no text.
    pub async fn next_text(&mut self) -> String {
        match self.frame().await {
            Some(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The next `count` answers by id, each id once.
    ///
    /// # Panics
    /// If they don't come, or an id comes twice.
    pub async fn answers(&mut self, count: usize) -> HashMap<String, Value> {
        let mut answers = HashMap::new();
        for _ in 0..count {
            let answer = self.next().await;
            let earlier = answers.insert(answer["id"].to_string(), answer);
            assert!(earlier.is_none(), "answered twice: {earlier:?}");
        }
        answers
    }

    /// Waits for the Close frame and says its code; what comes before it is passed over.
    ///
    /// # Panics
    /// If the connection ends without one.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.frame().await {
                Some(Message::Close(Some(close))) => return close.code.into(),
                Some(Message::Close(None)) => return 1005,
                Some(_) => {}
                None => panic!("the connection ended without a Close"),
            }
        }
    }

    /// The next message or Close; pings and pongs pass by.
    ///
    /// # Panics
    /// If none comes.
    pub async fn frame(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.read.next())
                .await
                .expect("a frame");
            match next {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Sends `request` and waits for its answer, which must be the next to come.
    pub async fn ask(&mut self, request: Value) -> Value {
        let id = request["id"].clone();
        self.send(request).await;
        let answer = self.next().await;
        assert_eq!(answer["id"], id);
        answer
    }

    /// Asks for `url` and waits for its answer, which must be the next to come.
    pub async fn fetch(&mut self, url: &str) -> Value {
        self.ask(json!({ "id": "one", "url": url })).await
    }

    /// Closes, and waits until the relay has closed too.
    ///
    /// # Panics
    /// If the relay does not.
    pub async fn close(mut self) {
        self.write
            .send(Message::Close(None))
            .await
            .expect("the close is sent");
        while let Some(message) = self.frame().await {
            drop(message);
        }
    }
}
