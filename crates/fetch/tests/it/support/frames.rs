//! An HTTP/2 origin that is played frame by frame (RFC 9113 section 4), for what no orderly server
//! would do.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::soon;

/// The frame types that the tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    GoAway = 7,
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// One connection.
pub(crate) struct Frames<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Reads the client's preface; sends nothing.
    pub(super) async fn begin(mut stream: S) -> Self {
        let mut preface = [0; 24];
        soon(stream.read_exact(&mut preface))
            .await
            .expect("a preface");
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        Self { stream }
    }

    pub(crate) async fn send(&mut self, kind: Kind, flags: u8, id: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len())
            .expect("a short frame")
            .to_be_bytes();
        let mut frame = len[1..].to_vec();
        frame.extend([kind as u8, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        soon(self.stream.write_all(&frame)).await.expect("sending");
        soon(self.stream.flush()).await.expect("sending");
    }

    /// Allows so many streams from now on.
    pub(crate) async fn allow(&mut self, streams: u32) {
        let mut payload = MAX_CONCURRENT_STREAMS.to_be_bytes().to_vec();
        payload.extend(streams.to_be_bytes());
        self.send(Kind::Settings, 0, 0, &payload).await;
    }

    /// 200, without a body if `end`.
    pub(crate) async fn head(&mut self, id: u32, end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        // ":status: 200" is entry 8 of the static table (RFC 7541 appendix A).
        self.send(Kind::Headers, flags, id, &[0x88]).await;
    }

    pub(crate) async fn data(&mut self, id: u32, data: &[u8], end: bool) {
        self.send(Kind::Data, u8::from(end), id, data).await;
    }

    pub(crate) async fn reset(&mut self, id: u32, reason: h2::Reason) {
        let reason = u32::from(reason).to_be_bytes();
        self.send(Kind::Reset, 0, id, &reason).await;
    }

    /// GOAWAY, naming `last` as the last stream that was or may be processed.
    pub(crate) async fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(u32::from(h2::Reason::NO_ERROR).to_be_bytes());
        self.send(Kind::GoAway, 0, 0, &payload).await;
    }

    /// The next frame of a kind that the tests use: kind, flags, stream and payload. Nothing when
    /// the client has closed the connection. SETTINGS are acknowledged.
    pub(crate) async fn read(&mut self) -> Option<(Kind, u8, u32, Vec<u8>)> {
        loop {
            let mut head = [0; 9];
            soon(self.stream.read_exact(&mut head)).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; len as usize];
            soon(self.stream.read_exact(&mut payload)).await.ok()?;
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let known = [
                Kind::Data,
                Kind::Headers,
                Kind::Reset,
                Kind::Settings,
                Kind::GoAway,
            ];
            match known.into_iter().find(|kind| *kind as u8 == head[3]) {
                Some(Kind::Settings) if head[4] & ACK == 0 => {
                    self.send(Kind::Settings, ACK, 0, &[]).await;
                }
                Some(kind) => return Some((kind, head[4], id, payload)),
                None => {}
            }
        }
    }

    /// The stream of the next request.
    pub(crate) async fn request(&mut self) -> u32 {
        loop {
            let (kind, _, id, _) = self.read().await.expect("a request");
            if kind == Kind::Headers {
                return id;
            }
        }
    }

    /// Waits until the client has taken note of the settings sent last.
    pub(crate) async fn acknowledged(&mut self) {
        loop {
            let (kind, flags, ..) = self.read().await.expect("an acknowledgement");
            if kind == Kind::Settings && flags & ACK != 0 {
                return;
            }
            assert_ne!(kind, Kind::Headers, "no request must come before");
        }
    }

    /// Waits until the client has closed the connection; no request must come.
    pub(crate) async fn closed(mut self) {
        while let Some((kind, ..)) = self.read().await {
            assert_ne!(kind, Kind::Headers, "no request must come");
        }
    }
}
