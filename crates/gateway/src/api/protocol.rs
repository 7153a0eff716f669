//! The two protocols of connections to the API, behind one trait.

use fetchway_policy::FetchError;
use fetchway_upstream::Limits;
use tokio::time::Instant;

use super::call::{Call, Happened};
use super::format::Format;
use super::item::Client;
use super::outgoing::Outgoing;

/// The next step of a connection, after it was read from or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The connection waits for the API.
    Wait,
    /// There is more to be read, but others have their turn first.
    ReadMore,
    /// The connection is of no more use. Calls that are still on it have failed.
    Close,
}

/// HTTP on one connection: the calls that are on it, and the machine that reads and writes them.
///
/// Chosen once for a whole pool, so no call of a method is dispatched at run time.
pub(super) trait Protocol: Sized {
    /// The token that calls carry.
    type Client: Client;

    /// True if a connection carries several calls at once. Then requests are written in batches, and one
    /// connection is dialled for all that wait.
    const IS_MULTIPLEXED: bool;

    /// Begins a connection that has just been opened.
    fn new(limits: &Limits, out: &mut Outgoing) -> Self;

    /// Returns the number of calls that the connection takes now.
    fn room(&self) -> usize;

    /// Returns true if no call is on the connection.
    fn is_idle(&self) -> bool;

    /// Returns true if the connection will take calls as soon as the API has said how many.
    fn is_opening(&self) -> bool {
        false
    }

    /// Returns true if the connection is not to be read, because a response waits for room.
    fn is_paused(&self) -> bool {
        false
    }

    /// Puts the request of a call into `out`. There must be room for it.
    fn send(&mut self, call: Call<Self::Client>, format: &mut Format, out: &mut Outgoing);

    /// Takes bytes that were read.
    fn receive(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
        out: &mut Outgoing,
        happened: &mut Happened<Self::Client>,
    ) -> Next;

    /// Ends the calls that are on the connection, which the API has closed after it was sent `written`
    /// bytes.
    fn end(&mut self, written: u64, happened: &mut Happened<Self::Client>);

    /// Fails the calls that are on the connection, which has broken after so many bytes.
    fn fail(&mut self, _: &FetchError, written: u64, happened: &mut Happened<Self::Client>) {
        self.end(written, happened);
    }

    /// Returns the call on this stream.
    fn call(&mut self, stream: u32) -> Option<&mut Call<Self::Client>>;

    /// Goes on with a response that there is room for now: `bytes` more than before.
    fn resume(&mut self, stream: u32, bytes: u64, out: &mut Outgoing);

    /// Fails the calls for which `late` returns an error. It is told whether the response has begun.
    /// `heard`: when the connection has read something last.
    fn expire(
        &mut self,
        late: impl Fn(&Call<Self::Client>, bool) -> Option<FetchError>,
        heard: Instant,
        out: &mut Outgoing,
        happened: &mut Happened<Self::Client>,
    ) -> Next;
}
