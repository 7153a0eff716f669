//! SETTINGS (RFC 9113 section 6.5): those of the server that affect us, and our own.

use fetchway_policy::ErrorName;

use super::error::{Code, ConnectionError};
use super::frame::{self, kind};
use crate::Limits;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Size of the largest window in bytes.
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// The server's settings, or the defaults before they arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Maximum number of open streams.
    pub(super) streams: u32,
    /// Initial window of a stream in bytes.
    pub(super) window: u32,
    /// Maximum length of a payload in bytes.
    pub(super) payload: usize,
    /// Size of the HPACK table that the server keeps for our heads, in bytes.
    pub(super) table: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams: u32::MAX,
            window: 65_535,
            payload: frame::MAX_PAYLOAD,
            table: 4_096,
        }
    }
}

impl Settings {
    /// Returns the settings after the changes in a frame's payload. Unknown settings are ignored.
    pub(super) fn changed(mut self, payload: &[u8]) -> Result<Self, ConnectionError> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            let what = "a SETTINGS frame has the wrong length";
            let name = ErrorName::HttpProtocolError;
            return Err(ConnectionError::new(Code::FRAME_SIZE_ERROR, name, what));
        }
        for &[i0, i1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([i0, i1]) {
                HEADER_TABLE_SIZE => self.table = value,
                ENABLE_PUSH if value != 0 => {
                    return Err(ConnectionError::protocol("the server enables push"));
                }
                MAX_CONCURRENT_STREAMS => self.streams = value,
                INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    let what = "the server sets a window over 2 GiB";
                    let name = ErrorName::HttpProtocolError;
                    return Err(ConnectionError::new(Code::FLOW_CONTROL_ERROR, name, what));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(ConnectionError::protocol(
                        "the server sets an invalid frame size",
                    ));
                }
                MAX_FRAME_SIZE => self.payload = value as usize,
                _ => {}
            }
        }
        Ok(self)
    }
}

/// Appends our SETTINGS.
pub(super) fn put_ours(out: &mut Vec<u8>, limits: &Limits) {
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let ours = [
        (ENABLE_PUSH, 0),
        (INITIAL_WINDOW_SIZE, limits.free),
        (MAX_HEADER_LIST_SIZE, head),
    ];
    frame::put_header(out, ours.len() * 6, kind::SETTINGS, 0, 0);
    for (id, value) in ours {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}
