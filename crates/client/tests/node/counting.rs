//! An origin that counts what reaches it, by path, and answers nothing before it is told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The body that each request has, and its answer too.
pub(crate) const BODY: &str = "body";

/// A running one. It ends with the test's runtime.
pub(crate) struct Counting {
    addr: SocketAddr,
    seen: Arc<Mutex<HashMap<String, u32>>>,
    /// How many requests have come.
    total: watch::Sender<u32>,
    open: watch::Sender<bool>,
}

impl Counting {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = Self {
            addr: listener.local_addr().expect("a bound listener"),
            seen: Arc::default(),
            total: watch::Sender::new(0),
            open: watch::Sender::new(false),
        };
        let (seen, total) = (Arc::clone(&origin.seen), origin.total.clone());
        let open = origin.open.subscribe();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, Arc::clone(&seen), total.clone(), open.clone()));
            }
        });
        origin
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Returns when so many requests have come.
    pub(crate) async fn until(&self, requests: u32) {
        let mut total = self.total.subscribe();
        let come = total.wait_for(|total| *total >= requests);
        let come = tokio::time::timeout(fetchway_testkit::PATIENCE, come).await;
        come.expect("they come").expect("it is counted");
    }

    /// Answers all that have come, and those that come.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// How often `path` has been asked for.
    pub(crate) fn seen(&self, path: &str) -> u32 {
        let seen = self.seen.lock();
        seen.get(path).copied().unwrap_or_default()
    }
}

/// One request, and its connection ends.
async fn serve(
    mut tcp: TcpStream,
    seen: Arc<Mutex<HashMap<String, u32>>>,
    total: watch::Sender<u32>,
    mut open: watch::Receiver<bool>,
) {
    let mut request = Vec::new();
    while !request.ends_with(format!("\r\n\r\n{BODY}").as_bytes()) {
        if !matches!(tcp.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.split(' ').nth(1).expect("a request line").to_owned();
    {
        let mut seen = seen.lock();
        *seen.entry(path).or_default() += 1;
    }
    total.send_modify(|total| *total += 1);
    if open.wait_for(|open| *open).await.is_ok() {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";
        // Whoever asked may be gone.
        let answered = tcp.write_all(format!("{head}{BODY}").as_bytes()).await;
        drop(answered);
    }
}
