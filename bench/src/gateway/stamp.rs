//! Payloads that describe themselves, so that a receiver can verify them without a copy:
//!
//! ```text
//! m 0000001f 00000002 00000000001e8480 9d3c01aa abcdefgh…
//! │ member   ordinal  sent, in µs      check    filler, up to the size asked for
//! └ m a message, p a push
//! ```
//!
//! without the blanks. Payloads are text, so that they fit into both types of frames.

use std::time::{Duration, Instant};

use anyhow::ensure;
use fetchway_test_origins::{Kind, filler};

/// Size of the shortest payload, in bytes.
pub(super) const MIN: usize = 41;
/// Size of the longest payload, in bytes.
pub(super) const MAX: usize = 1 << 20;

/// Kind of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Message = b'm' as isize,
    Push = b'p' as isize,
}

/// Contents of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) mark: Mark,
    pub(super) member: u32,
    pub(super) ordinal: u32,
    /// Time of writing, in microseconds since the start of [`Stamps`].
    pub(super) micros: u64,
}

impl Stamp {
    fn check(&self, size: usize) -> u32 {
        let parts = [
            self.mark as u64,
            u64::from(self.member),
            u64::from(self.ordinal),
            self.micros,
            size as u64,
        ];
        // Multiplication and mixing suffice to distinguish any two payloads.
        let hash = parts.into_iter().fold(0x9E37_79B9_7F4A_7C15, |hash, part| {
            let mixed: u64 = hash ^ part;
            mixed.wrapping_mul(0xFF51_AFD7_ED55_8CCD).rotate_left(29)
        });
        (hash >> 32) as u32
    }
}

/// Writes and reads payloads.
pub(super) struct Stamps {
    began: Instant,
    filler: Vec<u8>,
    payload: Vec<u8>,
}

impl Stamps {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            filler: filler(Kind::Text, 0, MAX as u64).to_vec(),
            payload: Vec::new(),
        }
    }

    /// Time at which a stamp was written.
    pub(super) fn moment(&self, stamp: &Stamp) -> Instant {
        self.began + Duration::from_micros(stamp.micros)
    }

    /// Writes a payload of `size` bytes, from [`MIN`] to [`MAX`], with the current time.
    pub(super) fn write(&mut self, mark: Mark, member: u32, ordinal: u32, size: usize) -> &[u8] {
        let stamp = Stamp {
            mark,
            member,
            ordinal,
            micros: self.began.elapsed().as_micros() as u64,
        };
        let out = &mut self.payload;
        out.clear();
        out.push(mark as u8);
        put_hex(out, u64::from(member), 8);
        put_hex(out, u64::from(ordinal), 8);
        put_hex(out, stamp.micros, 16);
        put_hex(out, u64::from(stamp.check(size)), 8);
        out.extend_from_slice(&self.filler[..size.clamp(MIN, MAX) - MIN]);
        out
    }

    /// Reads a payload; fails if it is incomplete or was changed.
    pub(super) fn read(&self, payload: &[u8]) -> anyhow::Result<Stamp> {
        let size = payload.len();
        ensure!(
            (MIN..=MAX).contains(&size),
            "a payload of {size} bytes is too short or too long"
        );
        let mark = match payload[0] {
            b'm' => Mark::Message,
            b'p' => Mark::Push,
            _ => anyhow::bail!("the payload is neither a message nor a push"),
        };
        let stamp = Stamp {
            mark,
            member: hex(&payload[1..9]) as u32,
            ordinal: hex(&payload[9..17]) as u32,
            micros: hex(&payload[17..33]),
        };
        let checks = hex(&payload[33..MIN]) == u64::from(stamp.check(size));
        ensure!(
            checks && payload[MIN..] == self.filler[..size - MIN],
            "its bytes were changed on the way"
        );
        Ok(stamp)
    }
}

fn put_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]);
    }
}

/// Value of hexadecimal digits; other characters give a value that the check will reject.
fn hex(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| {
        let digit = (*digit as char).to_digit(16).unwrap_or(0);
        value << 4 | u64::from(digit)
    })
}

/// Id of a client: 36 bytes in the form of a UUID; the same seed gives the same id.
pub(super) fn id(seed: u64, member: usize) -> String {
    let member = member as u64;
    let mixed = (seed ^ member).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{member:012x}",
        mixed >> 32,
        seed & 0xFFFF,
        mixed & 0xFFF,
        mixed >> 12 & 0xFFF,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back_and_any_change_shows() {
        let mut stamps = Stamps::new();
        for size in [MIN, 128, 5_000] {
            let payload = stamps.write(Mark::Push, 7, 9, size).to_vec();
            assert_eq!(payload.len(), size);
            let stamp = stamps.read(&payload).expect("unchanged");
            assert_eq!(
                (stamp.mark, stamp.member, stamp.ordinal),
                (Mark::Push, 7, 9)
            );
            for at in 0..size {
                let mut changed = payload.clone();
                changed[at] ^= 1;
                assert!(stamps.read(&changed).is_err(), "byte {at} of {size}");
            }
            assert!(stamps.read(&payload[..size - 1]).is_err());
        }
    }

    #[test]
    fn ids_differ_and_stay() {
        assert_eq!(id(3, 5), id(3, 5));
        assert_eq!(id(u64::MAX, 19_999).len(), 36);
        assert!(id(3, 5) != id(3, 6) && id(3, 5) != id(4, 5));
    }
}
