//! HTTP/1.1: one call at a time.

use fetchway_policy::FetchError;
use fetchway_upstream::{Limits, h1};
use tokio::time::Instant;

use super::call::{Call, Happened, RoomNeeded};
use super::format::Format;
use super::item::Client;
use super::outgoing::Outgoing;
use super::protocol::{Next, Protocol};

/// A connection of HTTP/1.1.
pub(super) struct Http1<C> {
    reading: h1::ResponseReader,
    call: Option<Call<C>>,
    is_paused: bool,
}

impl<C: Client> Protocol for Http1<C> {
    type Client = C;
    const IS_MULTIPLEXED: bool = false;

    fn new(_: &Limits, _: &mut Outgoing) -> Self {
        Self {
            reading: h1::ResponseReader::new(),
            call: None,
            is_paused: false,
        }
    }

    fn room(&self) -> usize {
        usize::from(self.call.is_none())
    }

    fn is_idle(&self) -> bool {
        self.call.is_none()
    }

    fn is_paused(&self) -> bool {
        self.is_paused
    }

    fn send(&mut self, call: Call<C>, format: &mut Format, out: &mut Outgoing) {
        format.with(&call, |request| h1::put_request(&mut out.bytes, request));
        (self.reading, self.call) = (h1::ResponseReader::new(), Some(call));
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        out: &mut Outgoing,
        happened: &mut Happened<C>,
    ) -> Next {
        let Some(call) = &mut self.call else {
            // Nobody has asked for anything: a farewell, at best.
            return Next::Close;
        };
        match self.reading.take(bytes, limits) {
            Ok(None) => {
                let held = self.reading.held() as u64;
                if held > call.room {
                    self.is_paused = true;
                    happened.needs.push(RoomNeeded { stream: 0, held });
                }
                Next::Wait
            }
            Ok(Some(response)) => {
                let ended = self.call.take().map(|call| call.answered(response));
                happened.ended.extend(ended);
                match self.reading.may_stay() && out.is_empty() {
                    true => Next::Wait,
                    false => Next::Close,
                }
            }
            Err(failure) => {
                let ended = self.call.take().map(|call| call.failed(failure, false));
                happened.ended.extend(ended);
                Next::Close
            }
        }
    }

    fn end(&mut self, written: u64, happened: &mut Happened<C>) {
        let Some(call) = self.call.take() else { return };
        happened.ended.push_back(match self.reading.end() {
            Ok(response) => call.answered(response),
            Err(failure) => call.failed_at(failure, written),
        });
    }

    fn fail(&mut self, error: &FetchError, written: u64, happened: &mut Happened<C>) {
        let call = self.call.take();
        let ended = call.map(|call| call.failed_at(error.clone(), written));
        happened.ended.extend(ended);
    }

    fn call(&mut self, _: u32) -> Option<&mut Call<C>> {
        self.call.as_mut()
    }

    fn resume(&mut self, _: u32, _: u64, _: &mut Outgoing) {
        self.is_paused = false;
    }

    fn expire(
        &mut self,
        late: impl Fn(&Call<C>, bool) -> Option<FetchError>,
        _: Instant,
        out: &mut Outgoing,
        happened: &mut Happened<C>,
    ) -> Next {
        // A call that waits for room is not late.
        let call = self.call.as_ref().filter(|_| !self.is_paused);
        if let Some(error) = call.and_then(|call| late(call, self.reading.has_begun())) {
            self.fail(&error, out.written, happened);
            return Next::Close;
        }
        Next::Wait
    }
}
