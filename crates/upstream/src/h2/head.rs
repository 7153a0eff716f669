//! A field section of a response: an informational head, the head, or the trailers.

use http::{HeaderValue, StatusCode};

use super::field::Meaning;
use crate::Limits;

/// A head that continues in further frames.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// True if the stream ends with this section.
    pub(super) last: bool,
    pub(super) bytes: Vec<u8>,
    /// Number of CONTINUATION frames so far.
    pub(super) continuations: u32,
}

/// The fields of one section, collected one by one.
#[derive(Debug)]
pub(super) struct Section<'a> {
    limits: &'a Limits,
    /// True for trailers: a response has one head, and a later section has no status.
    trailers: bool,
    size: usize,
    any: bool,
    head: Option<Head>,
    fault: Option<Fault>,
}

/// The part of a response's head that is kept.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(&'static str, HeaderValue)>,
    pub(super) length: Option<u64>,
}

/// The reason for which a section is invalid. The connection remains usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed(&'static str),
    TooLarge,
}

impl<'a> Section<'a> {
    pub(super) fn new(limits: &'a Limits, trailers: bool) -> Self {
        Self {
            limits,
            trailers,
            size: 0,
            any: false,
            head: None,
            fault: None,
        }
    }

    /// Adds a field of this size (RFC 9113 section 6.5.2).
    pub(super) fn take(&mut self, meaning: Meaning, size: usize) {
        self.size += size;
        if self.size > self.limits.head {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        // The first fault is kept. The fields after it are still decoded, because they may change
        // HPACK's table.
        if self.fault.is_none() {
            self.fault = self.enter(meaning).err().map(Fault::Malformed);
        }
        self.any = true;
    }

    fn enter(&mut self, meaning: Meaning) -> Result<(), &'static str> {
        match (meaning, &mut self.head) {
            (Meaning::Malformed(reason), _) => return Err(reason),
            (Meaning::Status(_), _) if self.trailers => return Err("a :status in trailers"),
            (Meaning::Status(_), _) if self.any => return Err("a :status that is not first"),
            (Meaning::Status(status), _) => {
                self.head = Some(Head {
                    status,
                    fields: Vec::new(),
                    length: None,
                });
            }
            (_, None) if !self.trailers => return Err("no :status"),
            (_, None) | (Meaning::Other, _) => {}
            (Meaning::Length(length), Some(head)) => {
                if head.length.is_some_and(|known| known != length) {
                    return Err("several values of content-length");
                }
                head.length = Some(length);
            }
            (Meaning::Wanted(place, value), Some(head)) => {
                head.fields.push((self.limits.wanted[place], value));
            }
        }
        Ok(())
    }

    /// Returns the head, or `None` for trailers.
    pub(super) fn finish(self) -> Result<Option<Head>, Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.head.is_none() && !self.trailers => Err(Fault::Malformed("no :status")),
            None => Ok(self.head),
        }
    }
}
