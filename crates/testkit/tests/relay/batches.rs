//! `POST /v1/batches`, by a client that writes and reads as it is told.

use std::net::SocketAddr;

use fetchway_testkit::{PATIENCE, TestNode, exchange, http};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::origin;

/// A batch that was asked for; its items are sent in chunks.
struct Post {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Post {
    async fn begin(node: SocketAddr, query: &str) -> Self {
        let stream = TcpStream::connect(node).await.expect("it listens");
        let (read, write) = stream.into_split();
        let mut post = Self {
            read: BufReader::new(read),
            write,
        };
        let head = format!(
            "POST /v1/batches?{query} HTTP/1.1\r\nHost: {node}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        post.write
            .write_all(head.as_bytes())
            .await
            .expect("it reads");
        post
    }

    async fn send(&mut self, items: &str) {
        let chunk = format!("{:x}\r\n{items}\r\n", items.len());
        let sent = tokio::time::timeout(PATIENCE, self.write.write_all(chunk.as_bytes()));
        sent.await.expect("it is taken").expect("it is read");
    }

    async fn end(&mut self) {
        self.write.write_all(b"0\r\n\r\n").await.expect("it reads");
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.read.read_line(&mut line));
        let read = read.await.expect("an answer").ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The answer's status, its header being passed over.
    async fn status(&mut self) -> u16 {
        let status = self.line().await.expect("a status line");
        while self.line().await.is_some_and(|line| !line.is_empty()) {}
        let status = status.split(' ').nth(1).expect("a status");
        status.parse().expect("a number")
    }

    /// The next chunk of the answer; empty at its end. None if it was cut off.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::from_str_radix(&self.line().await?, 16).expect("a length");
        let mut chunk = vec![0; len + 2];
        let read = tokio::time::timeout(PATIENCE, self.read.read_exact(&mut chunk));
        read.await.expect("a chunk").ok()?;
        chunk.truncate(len);
        Some(chunk)
    }

    /// The lines up to the answer's end.
    async fn lines(&mut self) -> Vec<Value> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await.expect("the answer's end");
            if chunk.is_empty() {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).expect("text");
        let read = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(read).collect()
    }
}

/// Each index once, and in order if that is asked for. The last line is of no item.
#[track_caller]
fn all_once(lines: &[Value], count: usize, ordered: bool) {
    let mut indexes: Vec<_> = lines.iter().map(|line| line["index"].as_u64()).collect();
    if !ordered {
        indexes.sort_unstable();
    }
    assert!(indexes.into_iter().eq((0..count as u64).map(Some)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_items_of_a_client_that_reads_when_it_has_sent_all() {
    // What does not fit into memory goes to the file, and round in it.
    let settings = [
        ("batch.spool-memory", "64KiB"),
        ("batch.spool", "4MiB"),
        ("relay.max-answers", "1MiB"),
    ];
    let (node, origin) = (TestNode::open(&settings), origin());
    for ordered in [false, true] {
        let query = format!("rate=5000/s&ordered={ordered}");
        let mut post = Post::begin(node.addr(), &query).await;
        let padding = "x".repeat(250);
        for from in (0..10_000).step_by(100) {
            let items = (from..from + 100).map(|n| origin.url(&format!("/echo?{n}&{padding}\n")));
            post.send(&items.collect::<String>()).await;
        }
        post.end().await;
        assert_eq!(post.status().await, 200);
        let lines = post.lines().await;
        all_once(&lines, 10_000, ordered);
        for line in &lines {
            let body: Value =
                serde_json::from_str(line["body"].as_str().expect("a body")).expect("JSON");
            assert_eq!(body["query"], format!("{}&{padding}", line["index"]));
        }
    }
    assert_eq!(origin.stats().requests, 20_000);
    node.stop().await;
}

#[tokio::test]
async fn outcomes_come_while_items_are_still_to_come() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut post = Post::begin(node.addr(), "").await;
    assert_eq!(post.status().await, 200);
    for n in 0..3 {
        post.send(&origin.url(&format!("/echo?{n}\n"))).await;
        let line: Value = serde_json::from_slice(&post.chunk().await.expect("one")).expect("JSON");
        assert_eq!((&line["index"], &line["status"]), (&n.into(), &200.into()));
    }
    post.send("no url\n").await;
    post.end().await;
    let lines = post.lines().await;
    assert_eq!(
        (lines.len(), &lines[0]["errorCode"]),
        (1, &"invalid_request".into())
    );
    // The connection can be used again.
    post.write
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("it reads");
    assert_eq!(post.status().await, 200);
    drop(post);
    node.stop().await;
}

#[tokio::test]
async fn beyond_the_spool_items_are_refused_and_those_before_are_answered() {
    let settings = [("batch.spool-memory", "16KiB"), ("batch.spool", "64KiB")];
    let (node, origin) = (TestNode::open(&settings), origin());
    // One that says so beforehand is not even begun.
    let long = origin.url("/echo\n").repeat(4_000);
    let (status, body) = exchange(node.addr(), "POST /v1/batches HTTP/1.1", &long).await;
    assert!(
        status == 413 && body.contains("batch.spool"),
        "{status} {body}"
    );
    assert_eq!(origin.stats().requests, 0);
    let mut post = Post::begin(node.addr(), "concurrency=1&ordered=true").await;
    let items = origin.url("/gate?key=k\n").repeat(100);
    let mut sent = 0;
    // All of it is taken, though it is more than may wait and the client reads nothing.
    while sent < 4 << 20 {
        post.send(&items).await;
        sent += items.len();
    }
    post.end().await;
    origin.open_gate("k").expect("few keys");
    assert_eq!(post.status().await, 200);
    let mut lines = post.lines().await;
    let last = lines.pop().expect("a last line");
    assert_eq!(
        (&last["errorCode"], last.get("index")),
        (&"limit_exceeded".into(), None)
    );
    assert!(
        last["error"]
            .as_str()
            .is_some_and(|it| it.contains("batch.spool")),
        "{last}"
    );
    // What may wait, and what the run has read ahead.
    assert!(
        lines.len() > 1_000 && lines.len() < 20_000,
        "{}",
        lines.len()
    );
    all_once(&lines, lines.len(), true);
    assert!(
        lines.iter().all(|line| line["status"] == 200),
        "none is cut within its line"
    );
    drop(post);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_batch() {
    let (node, origin) = (TestNode::open(&[("batch.max-at-once", "1")]), origin());
    for ended in [false, true] {
        let mut post = Post::begin(node.addr(), "concurrency=5").await;
        post.send(&origin.url("/gate?key=k\n").repeat(100)).await;
        if ended {
            post.end().await;
        }
        origin.wait_until(|stats| stats.in_flight == 5).await;
        let mut second = Post::begin(node.addr(), "").await;
        second.end().await;
        assert_eq!(second.status().await, 429);
        drop((post, second));
        origin.wait_until(|stats| stats.in_flight == 0).await;
        node.until_lane(|lane| lane.in_flight + lane.queued == 0)
            .await;
    }
    assert_eq!(origin.stats().aborted, 10);
    node.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_told_so_when_all_is_answered() {
    let (node, origin) = (TestNode::open(&[("batch.idle-timeout", "50ms")]), origin());
    let mut post = Post::begin(node.addr(), "").await;
    post.send(&origin.url("/gate?key=k\nhttp://cut")).await;
    assert_eq!(post.status().await, 200);
    origin.wait_until(|stats| stats.in_flight == 1).await;
    origin.open_gate("k").expect("few keys");
    let lines = post.lines().await;
    assert_eq!((lines.len(), &lines[0]["status"]), (2, &200.into()));
    assert_eq!(lines[1]["errorCode"], "connection_read_timeout");
    drop(post);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let settings = [
        ("batch.idle-timeout", "50ms"),
        ("relay.max-answers", "1MiB"),
    ];
    let (node, origin) = (TestNode::open(&settings), origin());
    let mut post = Post::begin(node.addr(), "").await;
    post.send(&origin.url("/bytes?n=1000000\n").repeat(100))
        .await;
    post.end().await;
    origin.wait_until(|stats| stats.requests > 5).await;
    // More than any socket holds: it cannot end but so.
    origin.wait_until(|stats| stats.in_flight == 0).await;
    node.until_lane(|lane| lane.in_flight + lane.queued == 0)
        .await;
    assert!(origin.stats().requests < 100);
    assert_eq!(post.status().await, 200);
    while let Some(chunk) = post.chunk().await {
        assert!(!chunk.is_empty(), "it must not look complete");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_finishes_what_is_in_flight() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let mut post = Post::begin(node.addr(), "concurrency=4").await;
    post.send(&origin.url("/gate?key=k\n").repeat(100)).await;
    assert_eq!(post.status().await, 200);
    origin.wait_until(|stats| stats.in_flight == 4).await;
    let read = async {
        // By now the node is on its way out: it was asked first.
        origin.open_gate("k").expect("few keys");
        post.lines().await
    };
    let (ended, lines) = tokio::join!(node.stop(), read);
    assert_eq!(format!("{ended:?}"), "Drained");
    let (last, done) = lines.split_last().expect("lines");
    assert!(done.len() >= 4 && done.iter().all(|line| line["status"] == 200));
    assert_eq!(last["errorCode"], "destination_unavailable");
}

#[tokio::test]
async fn what_is_not_a_batch_is_refused_as_a_problem() {
    let node = TestNode::configured(
        "127.0.0.1:0",
        "[[tokens]]\nname = \"ann\"\ntoken = \"token-of-ann\"",
    );
    let line = |head: &str| format!("POST /v1/batches{head}");
    let token = "HTTP/1.1\r\nAuthorization: Bearer token-of-ann";
    for (head, status, says) in [
        (line(" HTTP/1.1"), 401, "Authorization: Bearer"),
        (
            line(&format!(" {token}\r\nOrigin: https://evil.example")),
            403,
            "allow-origins",
        ),
        (format!("GET /v1/batches {token}"), 405, "POST"),
        (
            line(&format!(" {token}\r\nContent-Encoding: gzip")),
            415,
            "coded",
        ),
        (line(&format!("?rate=5 {token}")), 400, "expected a rate"),
        (line(&format!("?resume=true {token}")), 400, "no parameter"),
    ] {
        let (got, body) = http(node.addr(), &head).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let detail = body["detail"].as_str().expect("a sentence");
        assert!(
            got == status && detail.contains(says),
            "{head}: {got} {detail}"
        );
    }
    // The guard holds for whoever has a token too.
    let head = line(&format!(" {token}"));
    let (status, body) = exchange(node.addr(), &head, "http://127.0.0.1:1/").await;
    assert!(
        status == 200 && body.contains("destination_ip_prohibited"),
        "{status} {body}"
    );
    node.stop().await;
}
