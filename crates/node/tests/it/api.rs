//! An HTTP API for gateways: it accepts every client and echoes every message.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A request, in lower case.
pub(crate) struct Seen {
    /// Method, target and body.
    pub(crate) line: String,
    /// Request line and fields.
    pub(crate) head: String,
}

/// A running API. Its tasks end with the test's runtime.
pub(crate) struct Api {
    addr: SocketAddr,
    scheme: &'static str,
    requests: mpsc::Receiver<Seen>,
}

impl Api {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (tell, requests) = mpsc::channel(1_000);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, tell.clone()));
            }
        });
        Self {
            addr,
            scheme: "http",
            requests,
        }
    }

    /// One that speaks HTTP/2 without TLS, and nothing else.
    pub(crate) async fn h2c() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (tell, requests) = mpsc::channel(1_000);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve_h2(connection, tell.clone()));
            }
        });
        Self {
            addr,
            scheme: "h2c",
            requests,
        }
    }

    /// A gateway of it on a free port, as configuration.
    pub(crate) fn gateway(&self, more: &str) -> String {
        let (scheme, addr) = (self.scheme, self.addr);
        format!("[[gateways]]\nlisten = '127.0.0.1:0'\napi = '{scheme}://{addr}/api/'\n{more}\n")
    }

    /// Method, target and body of the next request.
    pub(crate) async fn next(&mut self) -> String {
        self.seen().await.line
    }

    /// The next request.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.requests.recv().await.expect("the API runs")
    }
}

/// Answers the requests of one connection until the gateway closes it.
async fn serve(mut connection: TcpStream, tell: mpsc::Sender<Seen>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = connection.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head)
            .expect("a text")
            .to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        if connection.read_exact(&mut body).await.is_err() {
            return;
        }
        let body = String::from_utf8(body).expect("a text");
        let request = head.split(" http/1.1").next().unwrap_or_default();
        let answer = answer_to(request.starts_with("post "), &body);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let line = format!("{request} {body}").trim_end().to_owned();
        // The test may have ended already.
        let _ = tell.send(Seen { line, head }).await;
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The same over HTTP/2.
async fn serve_h2(connection: TcpStream, tell: mpsc::Sender<Seen>) {
    let mut connection = h2::server::handshake(connection).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let mut body = String::new();
            while let Some(Ok(piece)) = incoming.data().await {
                body.push_str(str::from_utf8(&piece).expect("a text"));
            }
            let answer = answer_to(head.method == "POST", &body).to_owned();
            let line = format!("{} {} {body}", head.method, head.uri.path());
            let line = line.trim_end().to_ascii_lowercase();
            let head = format!("{head:?}").to_ascii_lowercase();
            let _ = tell.send(Seen { line, head }).await;
            if let Ok(mut out) = respond.send_response(http::Response::new(()), false) {
                // The gateway may be gone.
                let _ = out.send_data(answer.into(), true);
            }
        });
    }
}

fn answer_to(is_message: bool, body: &str) -> &str {
    if is_message { body } else { "ok" }
}
