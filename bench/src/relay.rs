//! Load through a relay in the JSON encoding: one WebSocket with a number of outstanding fetches.
//!
//! The code follows the documented messages only, and uses little CPU, because it shares the machine with
//! the measured program.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, Handshake, Opcode, Receiver, Role, put_frame};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Volume;
use crate::load::{Recorder, Run};

/// Longest accepted answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Maximum number of messages written with one call.
const BATCH: usize = 256;
/// Maximum number of messages that wait for the writer. As many as may be outstanding, so that the reader
/// never waits for the writer: if the relay waited for this client to read at the same time, that would be
/// a deadlock.
const MAX_OUTSTANDING: usize = 100_000;

/// One WebSocket to a relay.
pub(crate) struct Relay {
    answers: Receiver<OwnedReadHalf>,
    outgoing: mpsc::Sender<Frame>,
    writer: JoinHandle<std::io::Result<()>>,
}

/// A message and the type of its frame.
type Frame = (Opcode, Vec<u8>);

#[derive(Deserialize)]
struct Answer<'a> {
    id: usize,
    status: u16,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

impl Relay {
    pub(crate) async fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(addr).await.with_context(|| {
            format!("no relay accepts connections at {addr}: start one with `fetchway serve`")
        })?;
        stream.set_nodelay(true)?;
        let handshake = Handshake {
            host: &addr.to_string(),
            target: "/",
            headers: http::HeaderMap::new(),
        };
        let (_, rest) = fetchway_ws::connect(&mut stream, &handshake)
            .await
            .with_context(|| format!("the WebSocket handshake with {addr} failed"))?;
        let (read, write) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(MAX_OUTSTANDING);
        Ok(Self {
            answers: Receiver::new(read, rest, Decoder::new(Role::Client, MAX_ANSWER)),
            outgoing,
            writer: tokio::spawn(write_all(write, queue)),
        })
    }

    /// Fetches `url(0)`, `url(1)`, … and verifies each body. The first wrong answer ends the run.
    pub(crate) async fn fetch(
        &mut self,
        volume: Volume,
        url: impl Fn(usize) -> String,
        verify: impl Fn(usize, &str) -> bool,
    ) -> anyhow::Result<Run> {
        if volume.concurrency == 0 || volume.concurrency > MAX_OUTSTANDING {
            bail!("the concurrency must be from 1 to {MAX_OUTSTANDING}");
        }
        let mut sent: Vec<Option<Instant>> = Vec::with_capacity(volume.total);
        let mut recorder = Recorder::start()?;
        for _ in 0..volume.concurrency.min(volume.total) {
            self.send(&mut sent, &url).await?;
        }
        for _ in 0..volume.total {
            let message = self.next_message().await?;
            let answer: Answer<'_> = serde_json::from_slice(&message)
                .context("the relay's answer is not valid JSON of the protocol")?;
            let id = answer.id;
            if answer.status != 200 || !verify(id, &answer.body) {
                let error = answer
                    .error
                    .as_deref()
                    .unwrap_or("the body is not the expected one");
                bail!(
                    "fetch {id} came back with status {}: {error}",
                    answer.status
                );
            }
            let began = sent.get_mut(id).and_then(Option::take);
            recorder.record(began.with_context(|| format!("fetch {id} was answered twice"))?);
            if sent.len() < volume.total {
                self.send(&mut sent, &url).await?;
            }
        }
        recorder.finish(volume.total)
    }

    /// Sends requests for `url(0)`, `url(1)`, … without reading any answer.
    pub(crate) async fn ask(
        &self,
        count: usize,
        url: impl Fn(usize) -> String,
    ) -> anyhow::Result<()> {
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            self.send(&mut sent, &url).await?;
        }
        Ok(())
    }

    /// Reads the answers to all requests, each exactly once, and verifies each body.
    pub(crate) async fn take(
        &mut self,
        count: usize,
        verify: impl Fn(usize, &str) -> bool,
    ) -> anyhow::Result<()> {
        let mut seen = vec![false; count];
        for _ in 0..count {
            let message = self.next_message().await?;
            let answer: Answer<'_> = serde_json::from_slice(&message)
                .context("the relay's answer is not valid JSON of the protocol")?;
            let id = answer.id;
            let twice = seen
                .get_mut(id)
                .is_none_or(|seen| std::mem::replace(seen, true));
            if twice || answer.status != 200 || !verify(id, &answer.body) {
                bail!("fetch {id} was answered twice, or with a wrong body");
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        sent: &mut Vec<Option<Instant>>,
        url: impl Fn(usize) -> String,
    ) -> anyhow::Result<()> {
        let id = sent.len();
        let request = json!({ "id": id, "url": url(id) }).to_string().into_bytes();
        sent.push(Some(Instant::now()));
        self.outgoing
            .send((Opcode::Text, request))
            .await
            .context("requests cannot be sent to the relay")
    }

    async fn next_message(&mut self) -> anyhow::Result<BytesMut> {
        loop {
            match self
                .answers
                .next()
                .await
                .context("the connection to the relay failed")?
            {
                Some(Event::Message(message)) => return Ok(message.data),
                Some(Event::Ping(payload)) => {
                    let pong = (Opcode::Pong, payload.to_vec());
                    self.outgoing
                        .send(pong)
                        .await
                        .context("pongs cannot be sent to the relay")?;
                }
                Some(Event::Pong(_)) => {}
                Some(Event::TooLong(length)) => bail!("an answer of {length} bytes is too long"),
                Some(Event::Close(code, reason)) => bail!("the relay closed: {code} {reason}"),
                None => bail!("the relay closed the connection before all answers had arrived"),
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

async fn write_all(
    mut stream: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Frame>,
) -> std::io::Result<()> {
    let mut frames = Vec::with_capacity(BATCH);
    let mut bytes = BytesMut::new();
    while queue.recv_many(&mut frames, BATCH).await > 0 {
        for (opcode, payload) in frames.drain(..) {
            put_frame(&mut bytes, opcode, &payload, Some(rand::random()));
        }
        stream.write_all(&bytes).await?;
        bytes.clear();
    }
    Ok(())
}
