//! The streams that are open, each a request and what has come of its response.

use std::collections::VecDeque;

use bytes::Bytes;
use fetchway_policy::ErrorName;
use http::StatusCode;

use super::head::Head;
use super::settings::MAX_WINDOW;
use crate::{Answer, Failure, Limits};

/// With fewer bytes left that may come, a stream asks for room. A whole frame more, as a server may
/// rather wait than send a small one.
const LOW: u32 = 16 << 10;

/// Bytes reserved at most before they have come, whatever length is announced.
const MAX_RESERVED: u64 = 64 << 10;

/// A request that is not answered.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// Bytes that the server takes; below zero after it made windows smaller.
    pub(super) window: i64,
    /// What of the request's body has not been sent. Not empty: the stream is open on our side.
    pub(super) unsent: Bytes,
    /// Bytes that may still come.
    room: u32,
    /// It has asked for more room.
    asked: bool,
    pub(super) head: Option<Head>,
    body: Vec<u8>,
}

impl Stream {
    pub(super) fn new(id: u32, window: i64, room: u32, unsent: Bytes) -> Self {
        Self {
            id,
            window,
            unsent,
            room,
            asked: false,
            head: None,
            body: Vec::new(),
        }
    }

    /// So many bytes have come, padding included. Gives whether there was room for them.
    pub(super) fn received(&mut self, bytes: u32) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether it needs more room, which it asks for once: then how many bytes are kept.
    pub(super) fn wants_room(&mut self) -> Option<u64> {
        let wants = self.room < LOW && !self.asked;
        self.asked |= wants;
        wants.then_some(self.body.len() as u64)
    }

    /// There is more room. Gives how much more may be sent.
    pub(super) fn granted(&mut self, bytes: u64) -> u32 {
        let most = u64::from(MAX_WINDOW - self.room);
        // Within a window's bounds by now.
        let more = bytes.min(most) as u32;
        self.room += more;
        self.asked = false;
        more
    }

    /// Whether so many more bytes of a body may come.
    pub(super) fn allows(&self, more: usize, limits: &Limits) -> Result<(), Failure> {
        let Some(head) = &self.head else {
            return Err(malformed("data before its head"));
        };
        let length = self.body.len() + more;
        if length > limits.body {
            return Err(Failure::body_size(limits));
        }
        let bodiless = is_bodiless(head.status) && length > 0;
        if bodiless || head.length.is_some_and(|said| said < length as u64) {
            return Err(malformed("a body that is longer than it said"));
        }
        Ok(())
    }

    /// Takes in a piece of the body that is not the last.
    pub(super) fn append(&mut self, data: &[u8]) {
        if self.body.is_empty() {
            // All that was said, as far as it may come at once.
            let said = self.head.as_ref().and_then(|head| head.length);
            let said = said.unwrap_or(0).min(MAX_RESERVED) as usize;
            self.body.reserve_exact(said.max(data.len()));
        }
        self.body.extend_from_slice(data);
    }

    /// The server has ended the stream, with the last piece of a body.
    pub(super) fn end(mut self, last: &[u8]) -> Result<Answer, Failure> {
        let Some(head) = self.head else {
            return Err(malformed("no head"));
        };
        let body = if self.body.is_empty() {
            Bytes::copy_from_slice(last)
        } else {
            self.body.extend_from_slice(last);
            Bytes::from(self.body)
        };
        let said = head.length.filter(|_| !is_bodiless(head.status));
        if said.is_some_and(|said| said != body.len() as u64) {
            let detail =
                "The origin ended the body of its response before the length that it said.";
            return Err(Failure::new(ErrorName::HttpResponseIncomplete, detail));
        }
        Ok(Answer {
            status: head.status,
            fields: head.fields,
            body,
        })
    }
}

/// Whether a response has no body, whatever its length says (RFC 9113 section 8.1.1).
fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pub(super) fn malformed(what: &str) -> Failure {
    Failure::protocol(format!(
        "The API's response is not HTTP/2 as it should be: it has {what}."
    ))
}

/// The open streams, by id: each is opened behind all others, and mostly answered as the first.
#[derive(Debug, Default)]
pub(super) struct Streams(VecDeque<Stream>);

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, stream: Stream) {
        self.0.push_back(stream);
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.place(id)?;
        self.0.get_mut(at)
    }

    pub(super) fn peek(&self, id: u32) -> Option<&Stream> {
        self.0.get(self.place(id)?)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        self.0.remove(self.place(id)?)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.0.iter_mut()
    }

    /// The newest, if its id is above `last`.
    pub(super) fn pop_above(&mut self, last: u32) -> Option<Stream> {
        let newest = self.0.back()?;
        if newest.id > last {
            self.0.pop_back()
        } else {
            None
        }
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |stream| stream.id).ok()
    }
}
