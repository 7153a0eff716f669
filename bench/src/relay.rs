//! Load through a relay: one WebSocket, so many fetches outstanding, written from the message
//! shapes alone and as cheap as it can be, since it shares the machine with what it measures.

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

/// Longest answer taken, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// Messages written with one call at most.
const BATCH: usize = 256;
/// Messages that may wait for the writer. As many as may be outstanding, so that the reader never
/// waits for it: waiting while the relay waits for us to read would be a deadlock.
const MAX_OUTSTANDING: usize = 100_000;

/// One WebSocket to a relay.
pub(crate) struct Relay {
    answers: Receiver<OwnedReadHalf>,
    outgoing: mpsc::Sender<Frame>,
    writer: JoinHandle<std::io::Result<()>>,
}

/// A message and what kind of frame it goes in.
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
        let mut stream = TcpStream::connect(addr)
            .await
            .with_context(|| format!("no relay at {addr}; start one"))?;
        stream.set_nodelay(true)?;
        let handshake = Handshake {
            host: &addr.to_string(),
            target: "/",
            headers: http::HeaderMap::new(),
        };
        let (_, rest) = fetchway_ws::connect(&mut stream, &handshake)
            .await
            .with_context(|| format!("{addr} takes no WebSocket"))?;
        let (read, write) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(MAX_OUTSTANDING);
        Ok(Self {
            answers: Receiver::new(read, rest, Decoder::new(Role::Client, MAX_ANSWER)),
            outgoing,
            writer: tokio::spawn(write_all(write, queue)),
        })
    }

    /// Fetches `url(0)`, `url(1)`, … and has each body verified. The first wrong answer ends it.
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
                .context("the relay's answer is not of the agreed shape")?;
            let id = answer.id;
            if answer.status != 200 || !verify(id, &answer.body) {
                let error = answer
                    .error
                    .as_deref()
                    .unwrap_or("the body is not what was asked for");
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

    /// Asks for `url(0)`, `url(1)`, … without reading any answer.
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

    /// Reads the answers to what was asked, each once, and has each body verified.
    pub(crate) async fn take(
        &mut self,
        count: usize,
        verify: impl Fn(usize, &str) -> bool,
    ) -> anyhow::Result<()> {
        let mut seen = vec![false; count];
        for _ in 0..count {
            let message = self.next_message().await?;
            let answer: Answer<'_> = serde_json::from_slice(&message)
                .context("the relay's answer is not of the agreed shape")?;
            let id = answer.id;
            let twice = seen
                .get_mut(id)
                .is_none_or(|seen| std::mem::replace(seen, true));
            if twice || answer.status != 200 || !verify(id, &answer.body) {
                bail!("fetch {id} was answered twice, or with what was not asked for");
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
            .context("the relay takes no more requests")
    }

    async fn next_message(&mut self) -> anyhow::Result<BytesMut> {
        loop {
            match self
                .answers
                .next()
                .await
                .context("the relay's connection broke")?
            {
                Some(Event::Message(message)) => return Ok(message.data),
                Some(Event::Ping(payload)) => {
                    let pong = (Opcode::Pong, payload.to_vec());
                    self.outgoing
                        .send(pong)
                        .await
                        .context("the relay takes no more pongs")?;
                }
                Some(Event::Pong(_)) => {}
                Some(Event::TooLong(length)) => bail!("an answer of {length} bytes is too long"),
                Some(Event::Close(code, reason)) => bail!("the relay closed: {code} {reason}"),
                None => bail!("the relay closed the connection before it had answered"),
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
