//! Frame headers and masks (RFC 6455 sections 5.2 and 5.3), and Close payloads.

use bytes::{Buf, BufMut, BytesMut};

/// Maximum length of a control frame's payload in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of the current message.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// A request for a pong with the same payload.
    Ping = 0x9,
    /// The answer to a ping, or an unrequested sign of life.
    Pong = 0xA,
}

impl Opcode {
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Returns true for control frames, which may come between the fragments of a message and are never
    /// fragmented.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 >= 0x8
    }
}

/// Status codes that we send in a Close frame (RFC 6455 section 7.4, and the IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// The connection has served its purpose.
    Normal,
    /// The endpoint is leaving.
    GoingAway,
    /// The peer broke the protocol.
    Protocol,
    /// The message is of a type that is not accepted.
    Unsupported,
    /// A text message was not UTF-8.
    InvalidPayload,
    /// The peer violates a policy, for example by not reading for too long.
    Policy,
    /// The message is too large.
    TooBig,
    /// A code of an application, 4000 to 4999.
    Private(u16),
}

impl CloseCode {
    /// Returns the numeric code.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::InvalidPayload => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Private(code) => code,
        }
    }
}

/// The header of a frame, which precedes the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// True if the message ends with this frame.
    pub fin: bool,
    /// Type of the frame.
    pub opcode: Opcode,
    /// Length of the payload in bytes.
    pub len: u64,
    /// The mask of a client's frame; a server's frame has none.
    pub mask: Option<[u8; 4]>,
}

impl Header {
    /// Appends the header, 2 to 14 bytes.
    pub fn put(self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.fin) << 7 | self.opcode as u8);
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.len {
            len @ 0..=125 => out.put_u8(masked | len as u8),
            len @ 126..=0xFFFF => {
                out.put_u8(masked | 126);
                out.put_u16(len as u16);
            }
            len => {
                out.put_u8(masked | 127);
                out.put_u64(len);
            }
        }
        if let Some(mask) = self.mask {
            out.put_slice(&mask);
        }
    }

    /// Parses a header at the front of `bytes`. Returns the header and its length, or `None` when more
    /// bytes are needed.
    ///
    /// # Errors
    /// Describes the fault. The connection is to be closed with 1002.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        let [first, second, ..] = *bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err("a reserved bit is set, but no extension was agreed");
        }
        let opcode = Opcode::from_bits(first & 0x0F).ok_or("unknown opcode")?;
        let fin = first & 0x80 != 0;
        let (len, mut at) = match second & 0x7F {
            126 => match bytes.get(2..4) {
                Some(raw) => (u64::from(u16::from_be_bytes([raw[0], raw[1]])), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10) {
                Some(raw) => {
                    let mut eight = [0; 8];
                    eight.copy_from_slice(raw);
                    (u64::from_be_bytes(eight), 10)
                }
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if (at == 4 && len < 126) || (at == 10 && (len <= 0xFFFF || len >> 63 != 0)) {
            return Err("the length is not in its shortest form");
        }
        if opcode.is_control() && (!fin || len > MAX_CONTROL as u64) {
            return Err("a control frame is fragmented or over 125 bytes");
        }
        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Some(raw) = bytes.get(at..at + 4) else {
                return Ok(None);
            };
            at += 4;
            Some([raw[0], raw[1], raw[2], raw[3]])
        };
        Ok(Some((
            Self {
                fin,
                opcode,
                len,
                mask,
            },
            at,
        )))
    }
}

/// Applies the mask `key` to `bytes`, which begin at `offset` of their frame's payload. Applying it
/// twice restores the bytes.
pub fn mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let at = |i: usize| key[(offset + i) & 3];
    let turned = [at(0), at(1), at(2), at(3)];
    let pair = u32::from_ne_bytes(turned);
    let wide = u64::from(pair) << 32 | u64::from(pair);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (i, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= turned[i & 3];
    }
}

/// Appends a message as one frame; `key` is the client's mask.
pub fn put_frame(out: &mut BytesMut, opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) {
    Header {
        fin: true,
        opcode,
        len: payload.len() as u64,
        mask: key,
    }
    .put(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

/// Length of the longest header in bytes: the space to reserve before a payload for [`seal`].
pub const MAX_HEADER: usize = 14;

/// Turns a payload that has been written into a frame, a complete message. The payload follows `begun`
/// bytes and [`MAX_HEADER`] reserved bytes in `out`. Thus a payload whose length is not known in
/// advance needs no copy, unless other frames precede it. An empty payload writes no frame.
pub fn seal(out: &mut BytesMut, begun: usize, opcode: Opcode, key: Option<[u8; 4]>) {
    let payload = begun + MAX_HEADER;
    if out.len() <= payload {
        out.truncate(begun);
        return;
    }
    if let Some(key) = key {
        mask(&mut out[payload..], key, 0);
    }
    let mut head = BytesMut::with_capacity(MAX_HEADER);
    Header {
        fin: true,
        opcode,
        len: (out.len() - payload) as u64,
        mask: key,
    }
    .put(&mut head);
    let unused = MAX_HEADER - head.len();
    if begun == 0 {
        out.advance(unused);
    } else {
        out.copy_within(payload.., payload - unused);
        out.truncate(out.len() - unused);
    }
    out[begun..begun + head.len()].copy_from_slice(&head);
}

/// Returns the payload of a Close frame. A reason of more than 123 bytes is cut at a character
/// boundary.
#[must_use]
pub fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.number().to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_reads_back(fin: bool, len in prop_oneof![0u64..70_000, any::<u32>().prop_map(u64::from)], key: Option<[u8; 4]>) {
            let header = Header { fin, opcode: Opcode::Binary, len, mask: key };
            let mut out = BytesMut::new();
            header.put(&mut out);
            for cut in 0..out.len() {
                prop_assert_eq!(Header::parse(&out[..cut]), Ok(None));
            }
            prop_assert_eq!(Header::parse(&out), Ok(Some((header, out.len()))));
        }

        #[test]
        fn masking_in_pieces_is_masking_at_once(data: Vec<u8>, key: [u8; 4], cut in 0usize..64) {
            let cut = cut.min(data.len());
            let mut whole = data.clone();
            mask(&mut whole, key, 0);
            let naive: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            prop_assert_eq!(&whole, &naive);
            let mut pieces = data;
            mask(&mut pieces[..cut], key, 0);
            mask(&mut pieces[cut..], key, cut);
            prop_assert_eq!(pieces, naive);
        }
    }

    #[test]
    fn a_sealed_payload_is_a_frame_wherever_it_begins() {
        for (before, len) in [(0, 0), (0, 5), (3, 0), (3, 5), (0, 126), (7, 70_000)] {
            for key in [None, Some([1, 2, 3, 4])] {
                let payload = vec![b'x'; len];
                let mut wanted = BytesMut::from(&vec![b'-'; before][..]);
                let mut sealed = wanted.clone();
                sealed.resize(before + MAX_HEADER, 0);
                sealed.extend_from_slice(&payload);
                seal(&mut sealed, before, Opcode::Binary, key);
                if len > 0 {
                    put_frame(&mut wanted, Opcode::Binary, &payload, key);
                }
                assert_eq!(sealed, wanted, "{before} before, {len} bytes, {key:?}");
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let payload = close_payload(CloseCode::Policy, &"é".repeat(100));
        assert!(payload.len() <= MAX_CONTROL);
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }
}
