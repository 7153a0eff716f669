//! The two ways to run a batch on a node, for a client that writes its items as fast as possible.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use fetchway_client::{BatchItem, BatchOptions, Client};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::output::Lines;

/// The way in which a batch is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Session,
    Http,
}

impl Way {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Session => "over a session",
            Self::Http => "over HTTP",
        }
    }
}

/// The outcomes of a batch, which may arrive while its items are still being written.
pub(super) struct Outcomes {
    from: From,
    /// Time at which the last item was written.
    written: watch::Receiver<Option<Instant>>,
}

enum From {
    Session {
        batch: fetchway_client::Batch,
        /// Owner of the sessions, which end when it is dropped.
        _client: Client,
    },
    Http(Chunks),
}

impl Outcomes {
    pub(super) async fn begin(
        way: Way,
        node: SocketAddr,
        rate: u32,
        ordered: bool,
        urls: Vec<String>,
    ) -> anyhow::Result<Self> {
        let (done, written) = watch::channel(None);
        let from = match way {
            Way::Session => session(node, rate, ordered, &urls, done)?,
            Way::Http => http(node, rate, ordered, urls, done).await?,
        };
        Ok(Self { from, written })
    }

    pub(super) fn way(&self) -> Way {
        match self.from {
            From::Session { .. } => Way::Session,
            From::Http(_) => Way::Http,
        }
    }

    /// Waits until all items are written; returns the time of the last one.
    pub(super) async fn written(&mut self) -> anyhow::Result<Instant> {
        let written = self.written.wait_for(Option::is_some).await;
        let written = *written.context("the items cannot be written")?;
        written.context("the time is missing")
    }

    /// Reads and counts the next outcomes; returns false at the end.
    pub(super) async fn next(&mut self, lines: &mut Lines) -> anyhow::Result<bool> {
        match &mut self.from {
            From::Http(chunks) => chunks.next(lines).await,
            From::Session { batch, .. } => {
                let Some(outcome) = batch.next().await else {
                    return Ok(false);
                };
                let outcome = outcome?;
                let index = u32::try_from(outcome.index)?;
                let response = outcome.result.with_context(|| format!("item {index}"))?;
                fetchway_test_origins::verify(index.into(), response.body())
                    .map_err(anyhow::Error::msg)?;
                let timing = outcome.timing;
                let times = [timing.scheduled, timing.sent, timing.end].map(micros);
                lines.count(index, outcome.attempts.into(), times)?;
                Ok(true)
            }
        }
    }
}

fn micros(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn session(
    node: SocketAddr,
    rate: u32,
    ordered: bool,
    urls: &[String],
    done: watch::Sender<Option<Instant>>,
) -> anyhow::Result<From> {
    let client = Client::builder().relay(format!("ws://{node}/")).build()?;
    let items = urls.iter().map(|url| BatchItem::get(url));
    let items: Vec<BatchItem> = items.collect::<Result<_, _>>()?;
    // Polled for an item after the last one: by then the last one was taken.
    let end = stream::once(async move { done.send_replace(Some(Instant::now())) });
    let items = stream::iter(items).chain(end.filter_map(async |_| None));
    let options = BatchOptions::default().rate(rate, Duration::from_secs(1));
    let options = if ordered { options.ordered() } else { options };
    Ok(From::Session {
        batch: client.batch(options, items),
        _client: client,
    })
}

async fn http(
    node: SocketAddr,
    rate: u32,
    ordered: bool,
    urls: Vec<String>,
    done: watch::Sender<Option<Instant>>,
) -> anyhow::Result<From> {
    let stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let query = format!("rate={rate}/s&ordered={ordered}");
    tokio::spawn(async move {
        // If writing fails, the answer tells the reason, or is cut off.
        if write_all(write, node, &query, &urls).await.is_ok() {
            done.send_replace(Some(Instant::now()));
        }
    });
    let mut read = BufReader::new(read);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(
            read.read_line(&mut head).await? > 0,
            "the node closed the connection without an answer: {head}"
        );
    }
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "the batch was refused: {head}"
    );
    let text = Vec::new();
    Ok(From::Http(Chunks { read, text }))
}

/// Writes the request, with one chunk for each hundred items.
async fn write_all(
    mut write: OwnedWriteHalf,
    node: SocketAddr,
    query: &str,
    urls: &[String],
) -> std::io::Result<()> {
    let head = format!(
        "POST /v1/batches?{query} HTTP/1.1\r\nHost: {node}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await?;
    for urls in urls.chunks(100) {
        let items = urls.join("\n");
        let chunk = format!("{:x}\r\n{items}\n\r\n", items.len() + 1);
        write.write_all(chunk.as_bytes()).await?;
    }
    write.write_all(b"0\r\n\r\n").await?;
    // A closed write half would look like a client that has disconnected.
    write.forget();
    Ok(())
}

/// Reads an answer with chunked encoding, line by line.
struct Chunks {
    read: BufReader<OwnedReadHalf>,
    /// Beginning of a line whose end has not arrived yet.
    text: Vec<u8>,
}

impl Chunks {
    async fn next(&mut self, lines: &mut Lines) -> anyhow::Result<bool> {
        let mut len = String::new();
        ensure!(
            self.read.read_line(&mut len).await? > 0,
            "the answer was cut off"
        );
        let len = usize::from_str_radix(len.trim_end(), 16).context("not the length of a chunk")?;
        let begun = self.text.len();
        self.text.resize(begun + len + 2, 0);
        self.read.read_exact(&mut self.text[begun..]).await?;
        self.text.truncate(begun + len);
        if len == 0 && !self.text.is_empty() {
            bail!("the last line is incomplete");
        }
        let whole = self.text.iter().rposition(|byte| *byte == b'\n');
        let rest = self.text.split_off(whole.map_or(0, |end| end + 1));
        for line in self.text.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                lines.add(line)?;
            }
        }
        self.text = rest;
        Ok(len > 0)
    }
}
