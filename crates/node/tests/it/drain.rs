//! Soft, grace, hard: what becomes of a fetch in flight when a node is told to end.

use std::net::SocketAddr;

use fetchway_node::{Ended, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::{main_addr, says_going_away, send, start_at, until_closed, upgrade};

/// A node with one fetch in flight: the origin has the request and has not answered yet.
struct Busy {
    addr: SocketAddr,
    admin: SocketAddr,
    /// Sends the node signals.
    signals: mpsc::Sender<Signal>,
    running: JoinHandle<Ended>,
    session: TcpStream,
    origin: TcpStream,
}

impl Busy {
    async fn new(ip: &str, toml: &str) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", origin.local_addr().expect("it is bound"));
        let node = start_at(ip, &format!("guard.allow-net = ['127.0.0.0/8']\n{toml}"));
        let (addr, admin) = (
            main_addr(&node),
            node.admin_addr().expect("an admin listener"),
        );
        let (accepted, mut session) = upgrade(addr, &[]).await;
        assert_eq!(accepted.status, 101);
        let message = format!("{{\"id\":1,\"url\":\"{url}\"}}");
        session
            .write_all(&client_text(&message))
            .await
            .expect("the fetch is taken");
        let (mut origin, _) = origin.accept().await.expect("the node dials");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(origin.read_u8().await.expect("a request"));
        }
        let (signals, mut received) = mpsc::channel(2);
        let running = tokio::spawn(node.run(async move || match received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }));
        Self {
            addr,
            admin,
            signals,
            running,
            session,
            origin,
        }
    }

    async fn signal(&self, signal: Signal) {
        self.signals.send(signal).await.expect("the node listens");
    }

    /// Returns once the node takes no more connections.
    async fn is_draining(&self) {
        while TcpStream::connect(self.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// A masked text frame of less than 126 bytes (RFC 6455 section 5.2), with a mask of zeros.
fn client_text(message: &str) -> Vec<u8> {
    let length = u8::try_from(message.len()).expect("a short message");
    assert!(length < 126, "a short message");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], message.as_bytes()].concat()
}

#[tokio::test]
async fn a_fetch_in_flight_is_answered_before_the_node_ends() {
    let mut busy = Busy::new("127.0.1.1", "").await;
    busy.signal(Signal::Reload).await;
    busy.signal(Signal::Stop).await;
    busy.is_draining().await;
    assert_eq!(send(busy.admin, "GET /ready", &[]).await.status, 503);
    assert_eq!(send(busy.admin, "GET /health", &[]).await.status, 200);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlate!\n";
    busy.origin
        .write_all(answer)
        .await
        .expect("the node still reads");
    let bytes = until_closed(&mut busy.session).await;
    assert!(String::from_utf8_lossy(&bytes).contains("late!"));
    assert!(says_going_away(&bytes));
    assert_eq!(busy.running.await.expect("no panic"), Ended::Drained);
}

#[tokio::test]
async fn a_grace_that_is_over_cancels_what_is_in_flight() {
    let mut busy = Busy::new("127.0.1.2", "shutdown.grace = '20ms'").await;
    busy.signal(Signal::Stop).await;
    let bytes = until_closed(&mut busy.session).await;
    assert!(
        says_going_away(&bytes),
        "{:?}",
        String::from_utf8_lossy(&bytes)
    );
    assert_eq!(busy.running.await.expect("no panic"), Ended::GraceOver);
}

#[tokio::test]
async fn a_second_signal_ends_the_node_at_once() {
    let mut busy = Busy::new("127.0.1.3", "shutdown.grace = '1h'").await;
    busy.signal(Signal::Stop).await;
    busy.is_draining().await;
    busy.signal(Signal::Stop).await;
    assert_eq!((&mut busy.running).await.expect("no panic"), Ended::Forced);
    until_closed(&mut busy.session).await;
}
