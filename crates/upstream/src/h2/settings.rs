//! SETTINGS (RFC 9113 section 6.5): the server's, as far as they bind us, and ours.

use fetchway_policy::ErrorName;

use super::connection::Broken;
use super::frame::{self, Code, kind};
use crate::Limits;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Bytes of the largest window.
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// What a server has said, or the defaults until it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Streams that may be open at once.
    pub(super) streams: u32,
    /// Bytes of a stream's window at its start.
    pub(super) window: u32,
    /// Bytes of the longest payload that it takes.
    pub(super) payload: usize,
    /// Bytes of the table that it keeps for our heads.
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
    /// These, with the changes of a frame's payload. Unknown settings mean nothing.
    pub(super) fn changed(mut self, payload: &[u8]) -> Result<Self, Broken> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            let what = "a SETTINGS frame has the wrong length";
            let name = ErrorName::HttpProtocolError;
            return Err(Broken::new(Code::FRAME_SIZE_ERROR, name, what));
        }
        for &[i0, i1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            match u16::from_be_bytes([i0, i1]) {
                HEADER_TABLE_SIZE => self.table = value,
                ENABLE_PUSH if value != 0 => {
                    return Err(Broken::protocol("it would have a server take pushes"));
                }
                MAX_CONCURRENT_STREAMS => self.streams = value,
                INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    let what = "it sets a window of over 2 GiB";
                    let name = ErrorName::HttpProtocolError;
                    return Err(Broken::new(Code::FLOW_CONTROL_ERROR, name, what));
                }
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(Broken::protocol("it sets a frame size that is none"));
                }
                MAX_FRAME_SIZE => self.payload = value as usize,
                _ => {}
            }
        }
        Ok(self)
    }
}

/// Appends our SETTINGS. `head`: bytes of the largest head that we take.
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
