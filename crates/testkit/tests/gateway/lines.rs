//! The gateway's own connections to an API of HTTP/1.1: how answers may be framed, and which
//! connections are used again.

use std::net::SocketAddr;

use fetchway_testkit::{PATIENCE, Socket, TestNode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::gateway_to;

/// No line goes because it is idle.
const IDLE: &str = "[fetch]\nidle-timeout = \"1h\"";

/// An API of bytes: a test reads requests and writes what it likes.
struct Raw {
    listener: TcpListener,
    url: String,
}

impl Raw {
    async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = listener.await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        Self { listener, url }
    }

    async fn accept(&self) -> Line {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("in time").expect("a connection");
        Line(BufStream::new(stream))
    }

    /// Hears that the client is gone, and ends all.
    async fn farewell(&self, node: TestNode, client: Socket) {
        drop(client);
        let mut line = self.accept().await;
        assert_eq!(line.request().await.0, "DELETE /alice HTTP/1.1\r\n");
        line.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        node.stop().await;
    }

    /// Lets one client in, over a connection that is not used again.
    async fn admit(&self) {
        let mut line = self.accept().await;
        assert!(line.request().await.0.starts_with("GET "));
        line.answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .await;
    }
}

struct Line(BufStream<TcpStream>);

impl Line {
    /// The next request: its first line and its body.
    async fn request(&mut self) -> (String, String) {
        let (mut first, mut length) = (String::new(), 0);
        self.0.read_line(&mut first).await.expect("a request");
        loop {
            let mut field = String::new();
            self.0.read_line(&mut field).await.expect("a field");
            if field == "\r\n" {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a body");
        (first, String::from_utf8(body).expect("text"))
    }

    async fn answer(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.expect("written");
        self.0.flush().await.expect("written");
    }

    /// Waits until the gateway has closed it.
    async fn closed(mut self) {
        let read = timeout(PATIENCE, self.0.read(&mut [0; 16])).await;
        let read = read.expect("in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

/// A client that the API has accepted.
async fn client(api: &Raw, addr: SocketAddr) -> Socket {
    let (client, ()) = tokio::join!(Socket::connect(addr, "/alice"), api.admit());
    client
}

#[tokio::test]
async fn a_line_is_used_again_and_again() {
    let api = Raw::start().await;
    let (node, addr) = gateway_to(&api.url, IDLE);
    let mut client = client(&api, addr).await;
    client.send("one").await;
    let mut line = api.accept().await;
    for text in ["one", "two", "three"] {
        if text != "one" {
            client.send(text).await;
        }
        let (first, body) = line.request().await;
        assert_eq!((&*first, &*body), ("POST /alice HTTP/1.1\r\n", text));
        line.answer(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        ))
        .await;
        assert_eq!(client.text().await, text);
    }
    api.farewell(node, client).await;
}

#[tokio::test]
async fn answers_come_in_every_framing() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let whole_by_its_end = [
        "HTTP/1.1 200 OK\r\n\r\nanswer",
        "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nanswer",
    ];
    let in_pieces: [&[&str]; 4] = [
        &[
            chunked,
            "3\r\nans\r",
            "\n3;x=y\r\nwer\r\n",
            "0\r\nt: u\r\n\r\n",
        ],
        &[
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nanswer",
        ],
        &[
            "HTTP/1.1 200 O",
            "K\r\ncontent-le",
            "ngth: 6\r\n\r",
            "\nans",
            "wer",
        ],
        &["HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nanswer"],
    ];
    let api = Raw::start().await;
    let (node, addr) = gateway_to(&api.url, IDLE);
    let mut client = client(&api, addr).await;
    for answer in whole_by_its_end {
        client.send("message").await;
        let mut line = api.accept().await;
        line.request().await;
        line.answer(answer).await;
        drop(line);
        assert_eq!(client.text().await, "answer", "{answer}");
    }
    // All of these leave the line as it was, but for the last.
    client.send("message").await;
    let mut line = api.accept().await;
    for (at, pieces) in in_pieces.into_iter().enumerate() {
        if at > 0 {
            client.send("message").await;
        }
        line.request().await;
        for piece in pieces {
            line.answer(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.text().await, "answer", "{pieces:?}");
    }
    line.closed().await;
    api.farewell(node, client).await;
}

#[tokio::test]
async fn a_line_on_which_nobody_asked_is_not_used_again() {
    let api = Raw::start().await;
    let (node, addr) = gateway_to(&api.url, IDLE);
    let mut client = client(&api, addr).await;
    client.send("one").await;
    let mut line = api.accept().await;
    line.request().await;
    line.answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none")
        .await;
    assert_eq!(client.text().await, "one");
    line.answer("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        .await;
    line.closed().await;
    client.send("two").await;
    let mut line = api.accept().await;
    assert_eq!(line.request().await.1, "two");
    // Bytes behind an answer: it counts, the line does not stay.
    line.answer("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwoHTTP")
        .await;
    assert_eq!(client.text().await, "two");
    line.closed().await;
    api.farewell(node, client).await;
}

#[tokio::test]
async fn what_is_no_http_is_a_loss_and_the_next_message_passes() {
    let api = Raw::start().await;
    let (node, addr) = gateway_to(
        &api.url,
        "on-loss = \"message\"\non-loss-message = \"lost\"",
    );
    let mut client = client(&api, addr).await;
    for answer in [
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        client.send("message").await;
        let mut line = api.accept().await;
        line.request().await;
        line.answer(answer).await;
        assert_eq!(client.text().await, "lost", "{answer}");
        line.closed().await;
    }
    api.farewell(node, client).await;
}

#[tokio::test]
async fn a_long_answer_takes_room_of_the_byte_budget_until_it_is_whole() {
    const HALF: usize = 100 << 10;
    let api = Raw::start().await;
    let (node, addr) = gateway_to(&api.url, IDLE);
    let mut client = client(&api, addr).await;
    client.send("at length").await;
    let mut line = api.accept().await;
    line.request().await;
    let half = "x".repeat(HALF);
    line.answer(&format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}",
        2 * HALF
    ))
    .await;
    let reserved = async {
        while node.node().engine().budget_used() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let reserved = timeout(PATIENCE, reserved).await;
    reserved.expect("room is reserved");
    line.answer(&half).await;
    assert_eq!(client.text().await.len(), 2 * HALF);
    api.farewell(node, client).await;
    drop(line);
}
