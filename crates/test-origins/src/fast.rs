//! An origin that costs as little as it can, so that a bench measures what stands before it.
//!
//! It parses nothing: each empty line it reads ends a request, and each request gets the same
//! answer. So requests must have no body. Keep-alive always, pipelining included.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::accept::accept_each;
use crate::filler::{Kind, filler};
use crate::listen::{StartError, listen};

/// Longest body: it is written with its head in one go.
const MAX_BODY: usize = 16 * 1024;

/// A running fast origin; dropping it ends it and its connections.
pub struct FastTestOrigin {
    addr: SocketAddr,
    body: Vec<u8>,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl FastTestOrigin {
    /// Listens on `addr` and answers every request with the same `body` bytes of text (16 KiB at
    /// most), on the current tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be bound, a body too long.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(addr: SocketAddr, body: usize) -> Result<Self, StartError> {
        if body > MAX_BODY {
            return Err(StartError::new(
                "the fast origin's body is too long",
                format!("ask for {MAX_BODY} at most"),
            ));
        }
        let (listener, addr) = listen(addr)?;
        let body = filler(Kind::Text, 0, body as u64).to_vec();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(&body);
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let (answer, of_connections): (Arc<[u8]>, _) = (answer.into(), Arc::clone(&counts));
        tokio::spawn(accept_each(listener, stopped, move |stream| {
            let (answer, counts) = (Arc::clone(&answer), Arc::clone(&of_connections));
            counts.connections.fetch_add(1, Ordering::Relaxed);
            async move {
                // A connection ends when its client wants; there is nobody to tell.
                let _ = serve(stream, &answer, &counts).await;
            }
        }));
        Ok(Self {
            addr,
            body,
            counts,
            stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The body of every answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Requests answered so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }
}

impl Drop for FastTestOrigin {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn serve(mut stream: TcpStream, answer: &[u8], counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = vec![0; 8 * 1024];
    let mut ends = RequestEnds::default();
    let mut output = Vec::new();
    loop {
        let read = stream.read(&mut input).await?;
        if read == 0 {
            return Ok(());
        }
        match ends.count(&input[..read]) {
            0 => {}
            1 => {
                counts.requests.fetch_add(1, Ordering::Relaxed);
                stream.write_all(answer).await?;
            }
            several => {
                counts.requests.fetch_add(several as u64, Ordering::Relaxed);
                output.clear();
                for _ in 0..several {
                    output.extend_from_slice(answer);
                }
                stream.write_all(&output).await?;
            }
        }
    }
}

/// Counts `\r\n\r\n`, also across reads: how many of its bytes have matched so far.
#[derive(Default)]
struct RequestEnds(u8);

impl RequestEnds {
    fn count(&mut self, bytes: &[u8]) -> usize {
        let mut found = 0;
        for byte in bytes {
            self.0 = match (self.0, byte) {
                (0 | 2, b'\r') => self.0 + 1,
                (1 | 3, b'\n') => self.0 + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.0 == 4 {
                found += 1;
                self.0 = 0;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_wherever_reads_are_cut() {
        let pipelined = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\r\n\r\n\n\r\n";
        for cut in 0..pipelined.len() {
            let mut ends = RequestEnds::default();
            let found = ends.count(&pipelined[..cut]) + ends.count(&pipelined[cut..]);
            assert_eq!(found, 3, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn pipelined_requests_are_each_answered_on_one_connection() {
        let origin =
            FastTestOrigin::start(SocketAddr::from(([127, 0, 0, 1], 0)), 100).expect("a free port");
        let mut stream = TcpStream::connect(origin.addr()).await.expect("it listens");
        stream
            .write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            .await
            .expect("written");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n";
        let mut answers = vec![0; 2 * (head.len() + 100)];
        stream.read_exact(&mut answers).await.expect("two answers");
        assert!(answers.starts_with(head.as_bytes()) && answers.ends_with(origin.body()));
        assert_eq!((origin.connections(), origin.requests()), (1, 2));
        drop(origin);
        assert_eq!(stream.read(&mut answers).await.expect("an orderly end"), 0);
    }
}
