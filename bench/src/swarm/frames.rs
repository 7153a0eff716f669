//! Parsers for WebSocket frames and HTTP answers, as far as a load needs them. They are independent of
//! `fetchway-ws`, so that they also find errors that both ends would share.

use anyhow::{Context as _, bail};

/// Key of every handshake, and the value that accepts it (RFC 6455, section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// One complete frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Message { text: bool, payload: &'a [u8] },
    Ping(&'a [u8]),
    Pong,
    Close(Option<u16>),
}

/// Reads the frame at the start of `bytes`; returns the frame and its length. Fragmented messages are errors,
/// because gateways do not send them.
pub(crate) fn frame(bytes: &[u8]) -> anyhow::Result<Option<(Frame<'_>, usize)>> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    let (len, head) = match second {
        0..=125 => (u64::from(second), 2),
        126 => match bytes.get(2..4) {
            Some(raw) => (u64::from(u16::from_be_bytes(raw.try_into()?)), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10) {
            Some(raw) => (u64::from_be_bytes(raw.try_into()?), 10),
            None => return Ok(None),
        },
        _ => bail!("the server sent a masked frame"),
    };
    let end = head + usize::try_from(len)?;
    let Some(payload) = bytes.get(head..end) else {
        return Ok(None);
    };
    let frame = match first {
        0x81 | 0x82 => Frame::Message {
            text: first == 0x81,
            payload,
        },
        0x88 => Frame::Close(match payload {
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        }),
        0x89 => Frame::Ping(payload),
        0x8A => Frame::Pong,
        other => bail!("a frame begins with {other:#04x}: a fragment, or not a WebSocket frame"),
    };
    Ok(Some((frame, end)))
}

/// Request of a client's handshake.
pub(crate) fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// Head of an answer: its status and length, and the length of its body.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) len: usize,
    pub(crate) body: usize,
}

/// Reads the head at the start of `bytes`, once it is complete.
pub(crate) fn head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        anyhow::ensure!(
            bytes.len() < MAX_HEAD,
            "the head of an answer is longer than 16 KiB"
        );
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).context("the head of an answer is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: Option<u16> = status.and_then(|status| status.parse().ok());
    let status = status.context("an answer is not HTTP/1.1")?;
    let mut body = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value
                .trim()
                .parse()
                .context("the content-length is not a number")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("the answer is chunked, which this load does not support");
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            anyhow::ensure!(
                value.trim() == ACCEPT,
                "the value of Sec-WebSocket-Accept is wrong"
            );
        }
    }
    Ok(Some(Head {
        status,
        len: end + 4,
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_or_waited_for() {
        let long = [&[0x82, 126, 1, 0][..], &[b'x'; 256]].concat();
        for cut in 0..long.len() {
            assert_eq!(frame(&long[..cut]).expect("a beginning"), None);
        }
        let payload = &[b'x'; 256][..];
        let text = false;
        let read = frame(&long).expect("a frame");
        assert_eq!(read, Some((Frame::Message { text, payload }, 260)));
        let close = frame(b"\x88\x02\x03\xE8").expect("a frame");
        assert_eq!(close, Some((Frame::Close(Some(1000)), 4)));
        assert!(frame(b"\x01\x01a").is_err() && frame(b"\x81\x81").is_err());
    }

    #[test]
    fn heads_tell_status_and_length() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabc";
        let head = head(answer).expect("an answer").expect("whole");
        assert_eq!(
            (head.status, head.len, head.body),
            (202, answer.len() - 3, 3)
        );
    }
}
