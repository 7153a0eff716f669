//! Load over plain HTTP/1.1: keep-alive connections with one request at a time on each. Only those parts
//! of an answer are parsed that are verified.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Volume;
use crate::load::{Recorder, Run};

/// Longest accepted answer, head and body, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends `volume` of GET requests; each answer must have status 200 and `body`, or any body if none is given.
pub(crate) async fn load(
    server: SocketAddr,
    path: &str,
    volume: Volume,
    body: Option<&[u8]>,
) -> anyhow::Result<Run> {
    if volume.concurrency == 0 {
        bail!("the concurrency must be at least 1");
    }
    let request: Arc<[u8]> = format!("GET {path} HTTP/1.1\r\nhost: {server}\r\n\r\n")
        .into_bytes()
        .into();
    let expected: Option<Arc<[u8]>> = body.map(Arc::from);
    let mut streams = Vec::with_capacity(volume.concurrency);
    for _ in 0..volume.concurrency {
        let stream = TcpStream::connect(server)
            .await
            .with_context(|| format!("no server accepts connections at {server}"))?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut all = Recorder::start()?;
    let mut connections = JoinSet::new();
    for (place, stream) in streams.into_iter().enumerate() {
        let share = (volume.total + place) / volume.concurrency;
        connections.spawn(connection(
            stream,
            Arc::clone(&request),
            expected.clone(),
            share,
        ));
    }
    while let Some(done) = connections.join_next().await {
        all.merge(&done.context("the task of a connection failed")??)?;
    }
    all.finish(volume.total)
}

async fn connection(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    expected: Option<Arc<[u8]>>,
    requests: usize,
) -> anyhow::Result<Recorder> {
    let mut recorder = Recorder::start()?;
    let mut buffer = vec![0; MAX_ANSWER];
    for _ in 0..requests {
        let sent = Instant::now();
        stream.write_all(&request).await?;
        let body = answer(&mut stream, &mut buffer).await?;
        if expected.as_deref().is_some_and(|expected| expected != body) {
            bail!("an answer of {} bytes is not the expected one", body.len());
        }
        recorder.record(sent);
    }
    Ok(recorder)
}

/// Reads one answer and returns its body.
async fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> anyhow::Result<&'b [u8]> {
    let mut filled = 0;
    let mut whole = None;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            bail!(
                "the server closed the connection before the end of its answer, or the answer is too long"
            );
        }
        filled += read;
        if whole.is_none()
            && let Some(head) = buffer[..filled]
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
        {
            whole = Some((head + 4, head + 4 + body_length(&buffer[..head + 2])?));
        }
        if let Some((start, end)) = whole
            && filled >= end
        {
            return Ok(&buffer[start..end]);
        }
    }
}

/// Returns the content-length of a successful answer.
fn body_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head).context("the answer's head is not UTF-8")?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        bail!("the server answered {status}");
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, length)| length.trim().parse().ok())
        .context("the answer has no content-length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_found_whatever_their_case_and_failures_named() {
        let nginx = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 100\r\n";
        assert_eq!(body_length(nginx).expect("an answer"), 100);
        assert!(body_length(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 1\r\n").is_err());
        assert!(body_length(b"HTTP/1.1 200 OK\r\nx: y\r\n").is_err());
    }
}
