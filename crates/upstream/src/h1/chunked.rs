//! Decoder of the chunked transfer coding (RFC 9112 section 7.1), which accepts its input in slices of
//! any length.
//!
//! Lines must end with CR LF. With any other end, an intermediary could see other chunks than we do.

use fetchway_policy::ErrorName;

use crate::{Failure, Limits};

/// Maximum number of digits in a chunk size.
const MAX_DIGITS: u8 = 16;

/// Progress within a chunked body.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    /// Bytes of extensions and trailers so far; both are dropped.
    ignored: usize,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    /// After the CR of a size line.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// After the data of a chunk. `DataLf` is after the CR there.
    DataEnd,
    DataLf,
    /// At the start of a line after the last chunk: a trailer, or the final empty line.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
    End,
}

const SIZE: At = At::Size { size: 0, digits: 0 };

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            at: SIZE,
            ignored: 0,
        }
    }

    /// Decodes `bytes` and appends the data to `body`. Once the body has ended, returns the number of
    /// `bytes` that belong to it.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<Option<usize>, Failure> {
        let mut rest = bytes;
        while let [byte, behind @ ..] = rest {
            if let At::Data { left } = self.at {
                let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                if body.is_empty() {
                    // Most bodies have a single chunk, so that no more memory is needed.
                    body.reserve_exact(here);
                }
                body.extend_from_slice(&rest[..here]);
                rest = &rest[here..];
                self.at = match left - here as u64 {
                    0 => At::DataEnd,
                    left => At::Data { left },
                };
                continue;
            }
            self.at = self.step(*byte, body.len(), limits)?;
            rest = behind;
            if matches!(self.at, At::End) {
                return Ok(Some(bytes.len() - rest.len()));
            }
        }
        Ok(None)
    }

    /// Returns the state after a byte that is not data. `have` is the length of the body so far.
    fn step(&mut self, byte: u8, have: usize, limits: &Limits) -> Result<At, Failure> {
        Ok(match (self.at, byte) {
            (At::Size { size, digits }, byte) => match (hex(byte), byte) {
                (Some(digit), _) if digits < MAX_DIGITS => At::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                },
                (None, b'\r') if digits > 0 => At::SizeEnd { size },
                (None, b';' | b' ' | b'\t') if digits > 0 => At::Extension { size },
                _ => return Err(broken("a chunk's size is not a number")),
            },
            (At::Extension { size }, b'\r') => At::SizeEnd { size },
            (At::SizeEnd { size: 0 }, b'\n') => At::Line,
            (At::SizeEnd { size }, b'\n') => At::Data {
                left: within(size, have, limits)?,
            },
            (At::DataEnd, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => SIZE,
            (At::Line, b'\r') => At::LastLf,
            (At::LastLf, b'\n') => At::End,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::TrailerLf, b'\n') => At::Line,
            (At::Line, b'\n' | b' ' | b'\t') | (At::Extension { .. } | At::Trailer, b'\n') => {
                return Err(broken("a line has no proper end"));
            }
            (At::Line | At::Trailer, _) => self.ignore(At::Trailer, limits)?,
            (At::Extension { size }, _) => self.ignore(At::Extension { size }, limits)?,
            _ => return Err(broken("a chunk has no proper end")),
        })
    }

    fn ignore(&mut self, next: At, limits: &Limits) -> Result<At, Failure> {
        self.ignored += 1;
        if self.ignored <= limits.head {
            return Ok(next);
        }
        let detail = format!(
            "The chunk extensions and trailers of the API's response are over {} bytes.",
            limits.head
        );
        Err(Failure::new(
            ErrorName::HttpResponseHeaderSectionSize,
            detail,
        ))
    }
}

/// Returns the size of a chunk, if the body remains within its limit.
fn within(size: u64, have: usize, limits: &Limits) -> Result<u64, Failure> {
    match size <= limits.body.saturating_sub(have) as u64 {
        true => Ok(size),
        false => Err(Failure::body_size(limits)),
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

fn broken(what: &str) -> Failure {
    let detail = format!("The chunked coding of the API's response is broken: {what}.");
    Failure::new(ErrorName::HttpResponseTransferCoding, detail)
}
