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
        Self::begin_with(node, query, "").await
    }

    /// With further fields, each with its line end.
    async fn begin_with(node: SocketAddr, query: &str, fields: &str) -> Self {
        let stream = TcpStream::connect(node).await.expect("it listens");
        let (read, write) = stream.into_split();
        let mut post = Self {
            read: BufReader::new(read),
            write,
        };
        let head = format!(
            "POST /v1/batches?{query} HTTP/1.1\r\nHost: {node}\r\nTransfer-Encoding: chunked\r\n{fields}\r\n"
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
        read(&body)
    }

    /// The lines up to the one that ends a batch before its time. The answer goes on until the items end.
    async fn last(&mut self) -> Vec<Value> {
        let mut body = Vec::new();
        loop {
            body.extend(self.chunk().await.expect("more lines"));
            if !body.ends_with(b"\n") {
                continue;
            }
            let lines = read(&body);
            if lines.last().is_some_and(|line| line.get("index").is_none()) {
                return lines;
            }
        }
    }

    /// The items end, and so does the answer.
    async fn close(mut self) {
        self.end().await;
        assert_eq!(self.chunk().await.as_deref(), Some(&b""[..]));
    }
}

fn read(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("text");
    let read = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(read).collect()
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
        ("batch.spool", "16MiB"),
        ("relay.max-answers", "1MiB"),
    ];
    let (node, origin) = (TestNode::open(&settings), origin());
    for ordered in [false, true] {
        let before = origin.stats().requests;
        let query = format!("rate=5000/s&ordered={ordered}");
        let mut post = Post::begin(node.addr(), &query).await;
        // The answers are more than sockets hold.
        let padding = "x".repeat(1_000);
        for from in (0..10_000).step_by(100) {
            let items = (from..from + 100).map(|n| origin.url(&format!("/echo?{n}&{padding}\n")));
            post.send(&items.collect::<String>()).await;
        }
        post.end().await;
        until_held(&node, 900 << 10).await;
        let (held, sent) = (
            node.node().engine().budget_used(),
            origin.stats().requests - before,
        );
        assert!(held < 2 << 20, "{held} bytes are held for one batch");
        assert!(sent < 10_000, "outcomes that nobody takes hold up the rest");
        assert_eq!(post.status().await, 200);
        let lines = post.lines().await;
        all_once(&lines, 10_000, ordered);
        for line in &lines {
            let body: Value =
                serde_json::from_str(line["body"].as_str().expect("a body")).expect("JSON");
            assert_eq!(body["query"], format!("{}&{padding}", line["index"]));
        }
        // The schedule is absolute: however late a fetch is, its slot stands.
        let slots = lines
            .iter()
            .filter_map(|line| line["timing"]["scheduled"].as_f64());
        let (first, last) = slots.fold((f64::MAX, 0.0_f64), |(a, b), slot| {
            (a.min(slot), b.max(slot))
        });
        assert!(last - first >= 9_999.0 / 5.0 - 1.0, "{} ms", last - first);
    }
    assert_eq!(origin.stats().requests, 20_000);
    node.stop().await;
}

#[tokio::test]
async fn what_may_be_held_back_for_one_item_holds_up_those_behind_it() {
    let settings = [("batch.max-held", "1MiB"), ("relay.max-answers", "1MiB")];
    let (node, origin) = (TestNode::open(&settings), origin());
    let mut post = Post::begin(node.addr(), "ordered=true&concurrency=16").await;
    post.send(&origin.url("/gate?key=k\n")).await;
    // Ten times as much as may be held back.
    let items = origin.url("/bytes?n=20000\n").repeat(500);
    post.send(&items).await;
    post.end().await;
    assert_eq!(post.status().await, 200);
    // Time for it to go on in, if it did: that of so many fetches one after the other.
    let other = origin.url("/echo\n").repeat(500);
    let head = "POST /v1/batches?concurrency=1 HTTP/1.1";
    let (status, _) = exchange(node.addr(), head, &other).await;
    assert_eq!(status, 200);
    let sent = origin.stats().requests - 500;
    assert!(sent > 20 && sent < 60, "{sent}");
    origin.open_gate("k").expect("few keys");
    all_once(&post.lines().await, 501, true);
    node.stop().await;
}

/// Waits until outcomes of so many bytes are held in memory.
async fn until_held(node: &TestNode, bytes: u64) {
    let held = async {
        while node.node().engine().budget_used() < bytes {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, held)
        .await
        .expect("it fills");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let (node, origin) = (TestNode::open(&[]), origin());
    let expect = "Expect: 100-continue\r\n";
    let mut post = Post::begin_with(node.addr(), "", expect).await;
    // Before the answer: a client that sees 200 first need not send anything any more.
    assert_eq!(post.status().await, 100);
    assert_eq!(post.status().await, 200);
    post.send(&origin.url("/echo\n")).await;
    post.end().await;
    all_once(&post.lines().await, 1, true);
    let mut post = Post::begin_with(node.addr(), "rate=x", expect).await;
    assert_eq!(post.status().await, 400, "nothing is to be sent");
    node.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends() {
    let node = TestNode::open(&[]);
    for (query, field, status) in [
        ("rate=x", "", 400),
        ("", "Content-Encoding: gzip\r\n", 415),
        ("", "Origin: https://evil.example\r\n", 403),
    ] {
        let mut post = Post::begin_with(node.addr(), query, field).await;
        // More than sockets hold: a connection that is closed would lose the answer.
        for _ in 0..200 {
            post.send(&"x\n".repeat(50_000)).await;
        }
        post.end().await;
        assert_eq!(post.status().await, status);
        let problem = post.lines().await;
        assert_eq!(problem[0]["status"], status);
    }
    node.stop().await;
}

#[tokio::test]
async fn a_batch_of_nothing_is_answered_with_nothing() {
    let node = TestNode::open(&[]);
    for items in ["", "\n \r\n\n"] {
        let (status, body) = exchange(node.addr(), "POST /v1/batches HTTP/1.1", items).await;
        assert_eq!((status, &*body), (200, "0\r\n\r\n"));
    }
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
async fn items_that_come_when_all_is_over_do_no_harm() {
    let settings = [("batch.spool-memory", "16KiB"), ("batch.spool", "64KiB")];
    let (node, origin) = (TestNode::open(&settings), origin());
    let mut post = Post::begin(node.addr(), "").await;
    assert_eq!(post.status().await, 200);
    let items = origin.url("/gate?key=k\n").repeat(1_000);
    for _ in 0..10 {
        post.send(&items).await;
    }
    origin.open_gate("k").expect("few keys");
    let lines = post.last().await;
    assert_eq!(lines[lines.len() - 1]["errorCode"], "limit_exceeded");
    // One that is still at it must not be cut off: it would lose what it has not read.
    for _ in 0..200 {
        post.send(&items).await;
    }
    post.close().await;
    assert_eq!(origin.stats().requests, lines.len() as u64 - 1);
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
    let lines = post.last().await;
    assert_eq!((lines.len(), &lines[0]["status"]), (2, &200.into()));
    assert_eq!(lines[1]["errorCode"], "connection_read_timeout");
    post.close().await;
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_an_outcome_is_not_silent() {
    let (node, origin) = (TestNode::open(&[("batch.idle-timeout", "300ms")]), origin());
    let mut post = Post::begin(node.addr(), "").await;
    assert_eq!(post.status().await, 200);
    // Longer than two silences.
    post.send(&origin.url("/delay?ms=1000\n")).await;
    let line: Value = serde_json::from_slice(&post.chunk().await.expect("one")).expect("JSON");
    assert_eq!(line["status"], 200);
    post.send(&origin.url("/echo\n")).await;
    post.end().await;
    let lines = post.lines().await;
    assert_eq!((lines.len(), &lines[0]["status"]), (1, &200.into()));
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
        let lines = post.last().await;
        post.close().await;
        lines
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
            "content-encoding",
        ),
        (
            line(" HTTP/1.0\r\nAuthorization: Bearer token-of-ann"),
            505,
            "HTTP/1.1",
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
