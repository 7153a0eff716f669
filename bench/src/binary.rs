//! Load through a relay in the binary encoding.
//!
//! The load consists of the session's state machine and a socket only, because it shares the computer with
//! the measured program.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use fetchway_test_origins::{Kind, filler};
use fetchway_wire::v1::session::FILL;
use fetchway_wire::v1::{
    Config, Event as Happened, MAX_MESSAGE, RequestHead, SUBPROTOCOL, Violation,
};
use fetchway_wire::v1::{Session, decode};
use fetchway_ws::{Decoder, Event, Handshake, MAX_HEADER, Opcode, Receiver, Role, put_frame, seal};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Volume;
use crate::load::{Recorder, Run};

/// One outstanding fetch.
struct Fetch {
    number: usize,
    sent: Instant,
    ok: bool,
    body: BytesMut,
}

/// One WebSocket to a relay.
pub(crate) struct Binary {
    read: Receiver<OwnedReadHalf>,
    write: OwnedWriteHalf,
    session: Session,
    /// Outstanding fetches by stream id.
    fetches: std::collections::HashMap<u64, Fetch>,
}

impl Binary {
    pub(crate) async fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await;
        let mut stream = stream.with_context(|| {
            format!("no relay accepts connections at {addr}: start one with `fetchway serve`")
        })?;
        stream.set_nodelay(true)?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        let handshake = Handshake {
            host: &addr.to_string(),
            target: "/",
            headers,
        };
        let opened = fetchway_ws::connect(&mut stream, &handshake).await;
        let (_, rest) =
            opened.with_context(|| format!("the WebSocket handshake with {addr} failed"))?;
        let (read, write) = stream.into_split();
        Ok(Self {
            read: Receiver::new(read, rest, Decoder::new(Role::Client, MAX_MESSAGE)),
            write,
            session: Session::client(Config::default()),
            fetches: std::collections::HashMap::new(),
        })
    }

    /// Fetches `url(0)`, `url(1)`, … and verifies each body. The first wrong answer ends the run.
    pub(crate) async fn fetch(
        &mut self,
        volume: Volume,
        url: impl Fn(usize) -> String,
        verify: impl Fn(usize, &[u8]) -> bool,
    ) -> anyhow::Result<Run> {
        let mut recorder = Recorder::start()?;
        let (mut asked, mut done) = (0, 0);
        while done < volume.total {
            while asked < volume.total && self.fetches.len() < volume.concurrency {
                // The relay's limit on streams may be lower, or not known yet.
                if !self.ask(asked, &url(asked)) {
                    break;
                }
                asked += 1;
            }
            self.flush().await?;
            for event in self.events().await? {
                let Some(stream) = self.take(event)? else {
                    continue;
                };
                let fetch = self
                    .fetches
                    .remove(&stream)
                    .context("a stream ended twice")?;
                if !fetch.ok || !verify(fetch.number, &fetch.body) {
                    bail!(
                        "fetch {} came back with a wrong status or body",
                        fetch.number
                    );
                }
                recorder.record(fetch.sent);
                done += 1;
            }
        }
        recorder.finish(volume.total)
    }

    fn ask(&mut self, number: usize, url: &str) -> bool {
        let Some(stream) = self.session.open(&RequestHead::new(Method::GET, url), true) else {
            return false;
        };
        let fetch = Fetch {
            number,
            sent: Instant::now(),
            ok: false,
            body: BytesMut::new(),
        };
        self.fetches.insert(stream, fetch);
        true
    }

    /// Handles an event of a small fetch; returns its stream once the stream has ended.
    fn take(&mut self, event: Happened) -> anyhow::Result<Option<u64>> {
        match event {
            Happened::Head { stream, head, end } => {
                let fetch = self.fetches.get_mut(&stream).context("an unknown stream")?;
                fetch.ok = head.status == StatusCode::OK;
                Ok(end.then_some(stream))
            }
            Happened::Data { stream, bytes, end } => {
                self.session.consumed(stream, bytes.len() as u64);
                let fetch = self.fetches.get_mut(&stream).context("an unknown stream")?;
                fetch.body.extend_from_slice(&bytes);
                Ok(end.then_some(stream))
            }
            Happened::Reset { reset, .. } => bail!("a fetch failed: {}", reset.detail),
            _ => Ok(None),
        }
    }

    /// Fetches all URLs at once, each with a body of `size` bytes of filler whose seed is the index of the
    /// URL, and verifies the bodies as they arrive.
    ///
    /// The body with the index `stalled` is read only after all others have ended. Returns the time that
    /// the others took.
    pub(crate) async fn download(
        &mut self,
        urls: &[String],
        size: u64,
        stalled: Option<usize>,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut bodies = std::collections::HashMap::new();
        for (number, url) in urls.iter().enumerate() {
            let stream = self
                .session
                .open(&RequestHead::new(Method::GET, url), true)
                .context("the relay allows fewer streams than requested")?;
            bodies.insert(stream, (number, filler(Kind::Text, number as u64, size), 0));
        }
        let (mut unread, mut took) = (Vec::new(), None);
        while !bodies.is_empty() {
            self.flush().await?;
            for event in self.events().await? {
                match event {
                    Happened::Data { stream, bytes, end } => {
                        let body = bodies.get_mut(&stream).context("an unknown stream")?;
                        let n = bytes.len() as u64;
                        body.2 += n;
                        if !body.1.split_to(n).matches(&bytes) {
                            bail!("body {} has wrong bytes", body.0);
                        }
                        if took.is_none() && Some(body.0) == stalled {
                            unread.push((stream, n));
                        } else {
                            self.session.consumed(stream, n);
                        }
                        if end {
                            anyhow::ensure!(body.2 == size, "body {} is incomplete", body.0);
                            bodies.remove(&stream);
                        }
                    }
                    Happened::Reset { reset, .. } => bail!("a fetch failed: {}", reset.detail),
                    _ => {}
                }
            }
            if took.is_none() && bodies.len() == usize::from(stalled.is_some()) {
                took = Some(began.elapsed());
                for (stream, n) in unread.drain(..) {
                    self.session.consumed(stream, n);
                }
            }
        }
        took.context("there is no URL to fetch")
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        loop {
            let mut out = BytesMut::zeroed(MAX_HEADER);
            let most = MAX_HEADER + FILL;
            self.session.transmit(Instant::now(), &mut out, most);
            seal(&mut out, 0, Opcode::Binary, Some(rand::random()));
            if out.is_empty() {
                return Ok(());
            }
            self.write
                .write_all(&out)
                .await
                .context("data cannot be sent to the relay")?;
        }
    }

    /// Waits for a message, and returns the events of all messages that have arrived.
    async fn events(&mut self) -> anyhow::Result<Vec<Happened>> {
        let mut events = Vec::new();
        let mut next = self
            .read
            .next()
            .await
            .context("the connection to the relay failed")?;
        if next.is_none() {
            bail!("the relay closed the connection before all answers had arrived");
        }
        while let Some(event) = next {
            match event {
                Event::Message(message) => {
                    let mut message = message.data.freeze();
                    while let Some(frame) = decode(&mut message)? {
                        let happened = self.session.receive(frame, Instant::now());
                        let broken =
                            |violation: Violation| anyhow::anyhow!("{}", violation.reason());
                        events.extend(happened.map_err(broken)?);
                    }
                }
                Event::Ping(payload) => {
                    let mut pong = BytesMut::new();
                    put_frame(&mut pong, Opcode::Pong, &payload, Some(rand::random()));
                    self.write
                        .write_all(&pong)
                        .await
                        .context("pongs cannot be sent to the relay")?;
                }
                Event::Close(code, reason) => bail!("the relay closed: {code} {reason}"),
                Event::Pong(_) | Event::TooLong(_) => {}
            }
            next = self
                .read
                .ready()
                .context("the connection to the relay failed")?;
        }
        Ok(events)
    }
}
