//! A message on its way to the API over a connection of the reactor's own.

use std::collections::VecDeque;
use std::time::Duration;

use fetchway_fetch::{Hold, Leave, Moved};
use fetchway_policy::FetchError;
use fetchway_upstream::Response;
use http::HeaderValue;

use super::item::Item;

/// Bytes of a response that are kept, before it is whole, outside of the byte budget.
pub(super) const FREE: u32 = 64 << 10;

/// A message that has leave to be sent, or is sent.
pub(super) struct Call<C> {
    pub(super) client: C,
    pub(super) item: Item,
    /// The value of `Fetchway-State`.
    pub(super) attached: Option<HeaderValue>,
    pub(super) leave: Leave,
    /// Position of the request among all bytes of its connection. A connection that has not written as
    /// far has certainly not sent it.
    pub(super) from: u64,
    /// Bytes of the response that may be kept before it is whole.
    pub(super) room: u64,
    /// The reservation for those beyond [`FREE`].
    pub(super) hold: Option<Hold>,
}

/// A request without a response.
pub(super) struct Unanswered {
    pub(super) error: FetchError,
    /// The API has provably not seen the request.
    pub(super) is_unsent: bool,
}

/// A call that is no longer on its connection.
pub(super) struct Ended<C> {
    pub(super) client: C,
    pub(super) item: Item,
    pub(super) result: Result<Response, Unanswered>,
    pub(super) took: Duration,
}

/// A response that needs room before more of it is read.
pub(super) struct RoomNeeded {
    pub(super) stream: u32,
    /// Bytes that have come so far.
    pub(super) held: u64,
}

/// Events of connections, for their pool.
pub(super) struct Happened<C> {
    pub(super) ended: VecDeque<Ended<C>>,
    pub(super) needs: Vec<RoomNeeded>,
}

impl<C> Call<C> {
    pub(super) fn new(client: C, item: Item, attached: Option<HeaderValue>, leave: Leave) -> Self {
        Self {
            client,
            item,
            attached,
            leave,
            from: 0,
            room: FREE.into(),
            hold: None,
        }
    }

    /// Ends the call with its response.
    pub(super) fn answered(self, response: Response) -> Ended<C> {
        self.end(Ok(response))
    }

    /// Ends the call without a response.
    pub(super) fn failed(self, error: impl Into<FetchError>, is_unsent: bool) -> Ended<C> {
        let error = error.into();
        self.end(Err(Unanswered { error, is_unsent }))
    }

    /// Ends the call without a response, on a connection that has written so many bytes.
    pub(super) fn failed_at(self, error: impl Into<FetchError>, written: u64) -> Ended<C> {
        let is_unsent = self.from >= written;
        self.failed(error, is_unsent)
    }

    /// Gives the leave back. The engine's observer learns how the fetch has ended.
    fn end(self, result: Result<Response, Unanswered>) -> Ended<C> {
        let took = self.leave.began().elapsed();
        let received = result.as_ref().map_or(0, |response| response.body.len());
        let moved = Moved {
            sent: self.item.body().len() as u64,
            received: received as u64,
        };
        match &result {
            Ok(response) => self.leave.answered(response.status, moved),
            Err(unanswered) => self.leave.failed(unanswered.error.name, moved),
        }
        Ended {
            client: self.client,
            item: self.item,
            result,
            took,
        }
    }
}
