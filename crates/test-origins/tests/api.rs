//! The API behind a gateway, over both its protocols.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_test_origins::{Api, ok, status};
use http::{HeaderValue, Method, Request, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection over HTTP/1.1.
struct Plain(TcpStream);

impl Plain {
    async fn connect(api: &Api) -> Self {
        Self(TcpStream::connect(api.addr()).await.expect("it listens"))
    }

    async fn send(&mut self, method: &str, target: &str, fields: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: api\r\n{fields}content-length: {length}\r\n\r\n{body}"
        );
        self.0
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
    }

    /// Head and body of one answer; nothing at the connection's end.
    async fn answer(&mut self) -> Option<(String, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = tokio::time::timeout(PATIENCE, self.0.read(&mut byte)).await;
            match read.expect("an answer in time") {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).expect("text");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        self.0.read_exact(&mut body).await.expect("a whole body");
        Some((head, String::from_utf8(body).expect("text")))
    }

    async fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: &str,
        body: &str,
    ) -> (String, String) {
        self.send(method, target, fields, body).await;
        self.answer().await.expect("an answer")
    }
}

#[tokio::test]
async fn the_plain_contract_over_http1() {
    let api = Api::start().expect("a free port");
    let mut plain = Plain::connect(&api).await;
    assert_eq!(plain.ask("GET", "/a?x=1", "", "").await.1, "ok");
    let typed = "Content-Type: text/plain\r\nfetchway-epoch: 3\r\nfetchway-sequence: 1\r\n";
    let (head, body) = plain.ask("POST", "/a", typed, "hello").await;
    assert_eq!(body, "hello");
    assert!(head.contains("content-type: text/plain\r\n"), "{head}");
    let (head, body) = plain
        .ask("DELETE", "/a", "fetchway-epoch: 3\r\n", "EOF")
        .await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && body.is_empty(),
        "{head}"
    );
    for (method, target, status) in [("PUT", "/a", "405"), ("GET", "/", "404")] {
        let (head, _) = plain.ask(method, target, "", "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let account = api.account("a").expect("it has connected");
    assert_eq!(
        (account.connects, account.messages, account.deletes),
        (1, 1, 1)
    );
    assert_eq!(account.epochs[1].last_sequence, 1);
    assert!(!account.known);
    assert_eq!(api.stats().connections, 1);
}

#[tokio::test]
async fn pipelined_requests_and_large_bodies_are_answered_in_order() {
    let api = Api::start().expect("a free port");
    let mut plain = Plain::connect(&api).await;
    let large = "x".repeat(1 << 20);
    let mut all = String::new();
    for body in ["one", &large, "", "four"] {
        all += &format!(
            "POST /a HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let sent = plain.0.write_all(all.as_bytes()).await;
    sent.expect("it reads");
    for body in ["one", &large, "", "four"] {
        assert!(plain.answer().await.expect("an answer").1 == body);
    }
}

#[tokio::test]
async fn the_plain_contract_over_http2() {
    let api = Api::start().expect("a free port");
    api.record();
    let stream = TcpStream::connect(api.addr()).await.expect("it listens");
    let (client, connection) = h2::client::handshake(stream).await.expect("it speaks h2c");
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.expect("it takes streams");
    let large = "x".repeat(200_000);
    for (method, body, wanted) in [
        (Method::GET, "", "ok"),
        (Method::POST, "hello", "hello"),
        (Method::POST, &large, &large),
        (Method::DELETE, "EOF", ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/a/b?c", api.addr()))
            .body(());
        let (response, mut send) = client
            .send_request(request.expect("a request"), false)
            .expect("a stream");
        send.send_data(Bytes::copy_from_slice(body.as_bytes()), true)
            .expect("it takes a body");
        let mut answer = response.await.expect("an answer").into_body();
        let mut got = Vec::new();
        while let Some(piece) = answer.data().await {
            let piece = piece.expect("a whole body");
            let _ = answer.flow_control().release_capacity(piece.len());
            got.extend_from_slice(&piece);
        }
        assert!(got == wanted.as_bytes());
    }
    drop(client);
    let recorded = api.requests();
    assert_eq!(recorded.len(), 4);
    assert_eq!(&recorded[1].body[..], b"hello");
    assert_eq!(
        (recorded[3].id(), recorded[3].version),
        ("a", Version::HTTP_2)
    );
    let account = api.account("a").expect("it has connected");
    assert_eq!(
        (account.connects, account.messages, account.deletes),
        (1, 2, 1)
    );
    connection.abort();
}

#[tokio::test]
async fn a_script_answers_holds_and_breaks() {
    let api = Api::start().expect("a free port");
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    api.script(move |request| {
        let opened = Arc::clone(&opened);
        async move {
            match &request.body[..] {
                b"fail" => {
                    let mut reply = status(503, "not now");
                    let fields = reply.headers_mut();
                    fields.insert("retry-after", HeaderValue::from_static("1"));
                    Some(reply)
                }
                b"hold" => {
                    opened.notified().await;
                    Some(ok("held"))
                }
                b"break" => None,
                _ => Some(ok(request.body)),
            }
        }
    });
    let mut plain = Plain::connect(&api).await;
    let (head, body) = plain.ask("POST", "/a", "", "fail").await;
    assert!(
        head.contains("503 ") && head.contains("retry-after: 1\r\n"),
        "{head}"
    );
    assert_eq!(body, "not now");
    assert_eq!(plain.ask("POST", "/a", "", "else").await.1, "else");

    plain.send("POST", "/a", "", "hold").await;
    api.wait_until(|stats| stats.held == 1).await;
    gate.notify_one();
    assert_eq!(plain.answer().await.expect("an answer").1, "held");

    plain.send("POST", "/a", "", "break").await;
    assert!(plain.answer().await.is_none());
    let account = api.wait_for("a", |account| account.messages == 4).await;
    assert_eq!(account.connects, 0);
}

#[tokio::test]
async fn it_goes_away_and_comes_back_with_its_accounts() {
    let api = Api::start().expect("a free port");
    let mut plain = Plain::connect(&api).await;
    plain.ask("GET", "/a", "", "").await;
    api.down().await;
    assert!(plain.answer().await.is_none());
    TcpStream::connect(api.addr())
        .await
        .expect_err("nobody listens");
    api.up().expect("its port is free");
    let mut plain = Plain::connect(&api).await;
    plain.ask("GET", "/a", "", "").await;
    assert_eq!(api.account("a").expect("known").connects, 2);
}

#[tokio::test]
async fn its_account_outlives_it() {
    let name = format!("fetchway-api-{}", std::process::id());
    let journal = std::env::temp_dir().join(name);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let start = || Api::start_with_journal(any, &journal).expect("a free port");
    let fields = |sequence: u64| format!("fetchway-epoch: 3\r\nfetchway-sequence: {sequence}\r\n");

    let api = start();
    let mut plain = Plain::connect(&api).await;
    plain.ask("GET", "/a", &fields(0), "").await;
    for sequence in [1, 2] {
        plain.ask("POST", "/a", &fields(sequence), "m").await;
    }
    drop(api);
    let api = start();
    let mut plain = Plain::connect(&api).await;
    for sequence in [2, 4] {
        plain.ask("POST", "/a", &fields(sequence), "m").await;
    }
    let stats = api.stats();
    let counted = (
        stats.connects,
        stats.messages,
        stats.repeated,
        stats.skipped,
    );
    assert_eq!(counted, (1, 4, 1, 1));
    assert_eq!((stats.known, stats.out_of_order), (1, 0));
    std::fs::remove_file(&journal).expect("it is there");
}

#[tokio::test]
async fn pushpin_is_answered_in_its_own_way() {
    let api = Api::start().expect("a free port");
    let mut plain = Plain::connect(&api).await;
    let fields = "Content-Type: application/websocket-events\r\n";
    for body in ["OPEN\r\n", "TEXT 5\r\nhello\r\nTEXT 1\r\na\r\n"] {
        let (head, answer) = plain.ask("POST", "/a", fields, body).await;
        assert!(head.contains("content-type: application/websocket-events\r\n"));
        assert_eq!(answer, body);
    }
    let stats = api.stats();
    assert_eq!((stats.connects, stats.messages, stats.known), (1, 2, 1));
    let (head, _) = plain.ask("POST", "/a", fields, "TEXT 9\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400"));
    let (_, answer) = plain.ask("POST", "/a", fields, "DISCONNECT\r\n").await;
    assert_eq!((answer.as_str(), api.stats().known), ("", 0));
}
