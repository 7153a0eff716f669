//! The open streams, each with a request and the response so far.

use std::collections::VecDeque;

use bytes::Bytes;
use fetchway_policy::ErrorName;
use http::StatusCode;

use super::head::Head;
use super::settings::MAX_WINDOW;
use crate::{Failure, Limits, Response};

/// Number of remaining bytes below which a stream asks for a larger window. It is more than a whole
/// frame, because a server may prefer waiting to sending a small one.
const LOW: u32 = 16 << 10;

/// Maximum number of bytes reserved before they arrive, for any announced length.
const MAX_RESERVED: u64 = 64 << 10;

/// A request without a complete response.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// Bytes that the server accepts; negative after the server has reduced its windows.
    pub(super) window: i64,
    /// The unsent part of the request's body. If it is not empty, our side of the stream is still open.
    pub(super) unsent: Bytes,
    /// Number of bytes that may still arrive.
    room: u32,
    /// True once the stream has asked for a larger window.
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

    /// Counts received bytes, padding included. Returns false if the window is exceeded.
    pub(super) fn received(&mut self, bytes: u32) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(0);
        left.is_some()
    }

    /// Returns the number of body bytes kept, if the stream needs a larger window and has not asked
    /// yet.
    pub(super) fn wants_room(&mut self) -> Option<u64> {
        let wants = self.room < LOW && !self.asked;
        self.asked |= wants;
        wants.then_some(self.body.len() as u64)
    }

    /// Enlarges the window. Returns the increment to send to the server.
    pub(super) fn granted(&mut self, bytes: u64) -> u32 {
        let most = u64::from(MAX_WINDOW - self.room);
        // The increment is within the bounds of a window.
        let more = bytes.min(most) as u32;
        self.room += more;
        self.asked = false;
        more
    }

    /// Checks that `more` bytes of a body are allowed.
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
            return Err(malformed("a body that is longer than announced"));
        }
        Ok(())
    }

    /// Appends a piece of the body that is not the last one.
    pub(super) fn append(&mut self, data: &[u8]) {
        if self.body.is_empty() {
            // Reserves the announced length, up to the maximum.
            let said = self.head.as_ref().and_then(|head| head.length);
            let said = said.unwrap_or(0).min(MAX_RESERVED) as usize;
            self.body.reserve_exact(said.max(data.len()));
        }
        self.body.extend_from_slice(data);
    }

    /// Completes the response with the last piece of its body.
    pub(super) fn end(mut self, last: &[u8]) -> Result<Response, Failure> {
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
            let detail = "The origin ended the body of its response before the announced length.";
            return Err(Failure::new(ErrorName::HttpResponseIncomplete, detail));
        }
        Ok(Response {
            status: head.status,
            fields: head.fields,
            body,
        })
    }
}

/// Returns true for a response that has no body, even if its content-length says otherwise (RFC 9113
/// section 8.1.1).
fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pub(super) fn malformed(what: &str) -> Failure {
    Failure::protocol(format!(
        "The API's response is not valid HTTP/2: it has {what}."
    ))
}

/// The open streams in the order of their ids. A stream is opened after all others, and usually the
/// oldest one is answered first.
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
        let at = self.position(id)?;
        self.0.get_mut(at)
    }

    pub(super) fn peek(&self, id: u32) -> Option<&Stream> {
        self.0.get(self.position(id)?)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        self.0.remove(self.position(id)?)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.0.iter_mut()
    }

    /// Removes the newest stream, if its id is above `last`.
    pub(super) fn pop_above(&mut self, last: u32) -> Option<Stream> {
        let newest = self.0.back()?;
        if newest.id > last {
            self.0.pop_back()
        } else {
            None
        }
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.0.binary_search_by_key(&id, |stream| stream.id).ok()
    }
}
