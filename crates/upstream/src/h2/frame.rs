//! Frames (RFC 9113 section 4): parsing in place, and writing.

use fetchway_policy::ErrorName;

use super::error::{Code, ConnectionError};

/// Length of a frame's header in bytes.
pub(super) const HEADER: usize = 9;

/// Maximum length in bytes of a payload that we accept, and that a server accepts unless it allows
/// more.
pub(super) const MAX_PAYLOAD: usize = 16_384;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Frame types.
pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0;
    pub(in crate::h2) const HEADERS: u8 = 1;
    pub(in crate::h2) const PRIORITY: u8 = 2;
    pub(in crate::h2) const RST_STREAM: u8 = 3;
    pub(in crate::h2) const SETTINGS: u8 = 4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::h2) const PING: u8 = 6;
    pub(in crate::h2) const GOAWAY: u8 = 7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::h2) const CONTINUATION: u8 = 9;
}

/// A complete frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Returns the length of the frame at the front of `bytes`, header included. `None` means that more
    /// bytes are needed.
    pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, ConnectionError> {
        let [high, mid, low, ..] = bytes else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, *high, *mid, *low]) as usize;
        match length <= MAX_PAYLOAD {
            true => Ok(Some(HEADER + length)),
            false => Err(ConnectionError::new(
                Code::FRAME_SIZE_ERROR,
                ErrorName::HttpProtocolError,
                "a frame is over 16 KiB",
            )),
        }
    }

    /// Splits off the frame at the front of `bytes`. Returns `None` if it is incomplete.
    pub(super) fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, ConnectionError> {
        let Some(length) = Self::length(bytes)? else {
            return Ok(None);
        };
        let Some((frame, rest)) = bytes.split_at_checked(length) else {
            return Ok(None);
        };
        let [_, _, _, kind, flags, s0, s1, s2, s3, payload @ ..] = frame else {
            return Ok(None);
        };
        let frame = Self {
            kind: *kind,
            flags: *flags,
            // The highest bit is reserved.
            stream: u32::from_be_bytes([*s0, *s1, *s2, *s3]) & 0x7fff_ffff,
            payload,
        };
        Ok(Some((frame, rest)))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the payload of DATA or HEADERS without padding and priority.
    pub(super) fn content(&self) -> Result<&'a [u8], ConnectionError> {
        let short =
            || ConnectionError::protocol("a frame's padding or priority is longer than the frame");
        let mut content = self.payload;
        if self.has(PADDED) {
            let (&padding, rest) = content.split_first().ok_or_else(short)?;
            let length = rest.len().checked_sub(usize::from(padding));
            content = &rest[..length.ok_or_else(short)?];
        }
        if self.kind == kind::HEADERS && self.has(PRIORITY) {
            content = content.get(5..).ok_or_else(short)?;
        }
        Ok(content)
    }

    /// Returns the payload, which must have a fixed number of bytes.
    pub(super) fn fixed<const N: usize>(&self) -> Result<[u8; N], ConnectionError> {
        self.payload.try_into().map_err(|_| {
            ConnectionError::new(
                Code::FRAME_SIZE_ERROR,
                ErrorName::HttpProtocolError,
                "a frame has the wrong length",
            )
        })
    }
}

/// Appends a frame's header.
pub(super) fn put_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&header(length, kind, flags, stream));
}

pub(super) fn header(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER] {
    // The length has at most 24 bits, because the server accepts no longer payload.
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind, flags, s0, s1, s2, s3]
}

pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    put_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(super) fn put_ping(out: &mut Vec<u8>, flags: u8, payload: [u8; 8]) {
    put_header(out, 8, kind::PING, flags, 0);
    out.extend_from_slice(&payload);
}

/// Appends a WINDOW_UPDATE. `increment` is at least 1 and at most 2^31 - 1.
pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends a GOAWAY. Its last stream is 0, as a client processes no streams of the server.
pub(super) fn put_goaway(out: &mut Vec<u8>, code: Code) {
    put_header(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}
