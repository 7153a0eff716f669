//! One field section of a response: an informational head, the head, or trailers.

use http::{HeaderValue, StatusCode};

use super::field::Meaning;
use crate::Limits;

/// The fields of one section, as they are taken in.
#[derive(Debug)]
pub(super) struct Section<'a> {
    limits: &'a Limits,
    /// A response has one head; what comes behind it has no status.
    trailers: bool,
    size: usize,
    any: bool,
    head: Option<Head>,
    fault: Option<Fault>,
}

/// What is kept of a response's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(&'static str, HeaderValue)>,
    pub(super) length: Option<u64>,
}

/// Why a section is of no use. Its connection is none the worse.
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

    /// Takes a field of this size (RFC 9113 section 6.5.2).
    pub(super) fn take(&mut self, meaning: Meaning, size: usize) {
        self.size += size;
        if self.size > self.limits.head {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        // The first fault is kept. All fields behind it are still taken in, for the table's sake.
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

    /// The head; nothing for trailers.
    pub(super) fn finish(self) -> Result<Option<Head>, Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.head.is_none() && !self.trailers => Err(Fault::Malformed("no :status")),
            None => Ok(self.head),
        }
    }
}
