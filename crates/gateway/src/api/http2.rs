//! HTTP/2 with prior knowledge: many calls at a time, each in a stream.

use std::collections::HashMap;

use fetchway_policy::FetchError;
use fetchway_upstream::{Limits, h2};
use tokio::time::Instant;

use super::call::{Call, Happened, RoomNeeded};
use super::format::Format;
use super::item::Client;
use super::outgoing::Outgoing;
use super::protocol::{Next, Protocol};

/// A connection of HTTP/2.
pub(super) struct Http2<C> {
    machine: h2::Connection,
    calls: HashMap<u32, Call<C>>,
    /// The connection takes no more calls, because the API was silent for too long.
    is_retired: bool,
    /// Space for the machine's events.
    machine_events: Vec<h2::Event>,
}

impl<C: Client> Http2<C> {
    /// Passes on what the machine says has happened, on a connection that has written so many bytes.
    fn report(&mut self, written: u64, happened: &mut Happened<C>) {
        for event in self.machine_events.drain(..) {
            match event {
                h2::Event::Response(stream, response) => {
                    let call = self.calls.remove(&stream);
                    let ended = call.map(|call| call.answered(response));
                    happened.ended.extend(ended);
                }
                h2::Event::Failed(stream, failure) => {
                    if let Some(call) = self.calls.remove(&stream) {
                        let is_unsent = failure.is_unsent() || call.from >= written;
                        happened.ended.push_back(call.failed(failure, is_unsent));
                    }
                }
                h2::Event::Full(stream, held) => happened.needs.push(RoomNeeded { stream, held }),
            }
        }
    }
}

impl<C: Client> Protocol for Http2<C> {
    type Client = C;
    const IS_MULTIPLEXED: bool = true;

    fn new(limits: &Limits, out: &mut Outgoing) -> Self {
        Self {
            machine: h2::Connection::new(limits, &mut out.bytes),
            calls: HashMap::new(),
            is_retired: false,
            machine_events: Vec::new(),
        }
    }

    fn room(&self) -> usize {
        match self.is_retired {
            true => 0,
            false => self.machine.room(),
        }
    }

    fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    fn is_opening(&self) -> bool {
        !self.machine.is_open() && !self.is_retired
    }

    fn send(&mut self, call: Call<C>, format: &mut Format, out: &mut Outgoing) {
        let machine = &mut self.machine;
        let stream = format.with(&call, |request| machine.send(request, &mut out.bytes));
        self.calls.insert(stream, call);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        _: &Limits,
        out: &mut Outgoing,
        happened: &mut Happened<C>,
    ) -> Next {
        let taken = (self.machine).take(bytes, &mut out.bytes, &mut self.machine_events);
        self.report(out.written, happened);
        match taken {
            Ok(()) if self.machine.is_leaving() && self.calls.is_empty() => Next::Close,
            Ok(()) => Next::Wait,
            Err(failure) => {
                tracing::debug!(%failure, "the API broke HTTP/2: its connection is closed");
                Next::Close
            }
        }
    }

    fn end(&mut self, written: u64, happened: &mut Happened<C>) {
        self.machine.end(&mut self.machine_events);
        self.report(written, happened);
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call<C>> {
        self.calls.get_mut(&stream)
    }

    fn resume(&mut self, stream: u32, bytes: u64, out: &mut Outgoing) {
        self.machine.grant(stream, bytes, &mut out.bytes);
    }

    fn expire(
        &mut self,
        late: impl Fn(&Call<C>, bool) -> Option<FetchError>,
        heard: Instant,
        out: &mut Outgoing,
        happened: &mut Happened<C>,
    ) -> Next {
        let calls = self.calls.iter();
        let expired = calls.filter_map(|(stream, call)| {
            let error = late(call, self.machine.has_begun(*stream))?;
            Some((*stream, error))
        });
        let expired: Vec<(u32, FetchError)> = expired.collect();
        for (stream, error) in expired {
            self.machine.cancel(stream, &mut out.bytes);
            if let Some(call) = self.calls.remove(&stream) {
                // Not a sign of life all the while: the next call must not wait here as well.
                self.is_retired |= heard < call.leave.began();
                happened.ended.push_back(call.failed(error, false));
            }
        }
        match self.calls.is_empty() && (self.is_retired || self.machine.is_leaving()) {
            true => Next::Close,
            false => Next::Wait,
        }
    }
}
