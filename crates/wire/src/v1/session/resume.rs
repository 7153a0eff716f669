//! The time between two sockets: a session continues where it was interrupted, in this process or from
//! saved state.

use std::ops::RangeInclusive;

use bytes::BytesMut;

use super::stream::{Half, Stream};
use super::{Config, Session, Side, Violation};
use crate::v1::frame::{Hello, TOKEN};
use crate::v1::malformed::Malformed;
use crate::v1::varint::{Reader, put};

/// Maximum number of ranges of open streams that are saved.
const MAX_RANGES: usize = 32;

/// Maximum number of open streams that are saved, so that restoring needs a bounded amount of memory.
const MAX_SAVED: usize = 100_000;

/// The reason for which a session can't be saved at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotSave {
    /// There is no token: the relay's HELLO has not come, or the relay keeps no sessions.
    NoToken,
    /// Data waits to be sent or acknowledged, or an upload is in progress.
    Sending,
    /// A response has been received or read only in part.
    Receiving,
    /// The open streams are in more than 32 ranges, or more than 100,000.
    Scattered,
}

/// A client's session in a few hundred bytes, enough to continue it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved(pub Vec<u8>);

impl Session {
    /// Records the loss of the socket. Nothing else is lost: unacknowledged frames are sent again on
    /// the next socket. A client then calls [`Session::reconnect`], a relay [`Session::resume`].
    pub fn disconnect(&mut self) {
        self.hello.pending = None;
        self.hello.greeted = false;
        self.hello.suspended = true;
        (self.out.ping, self.out.pong) = (None, None);
        self.in_.due = None;
    }

    /// Prepares the HELLO by which a client resumes the session on a new socket.
    ///
    /// # Errors
    /// [`CannotSave::NoToken`]: the relay has given no token.
    pub fn reconnect(&mut self) -> Result<(), CannotSave> {
        self.disconnect();
        self.hello.pending = Some(Hello {
            // For the new session that begins if this one no longer exists.
            session_window: Some(self.config.session_window),
            stream_window: Some(self.config.stream_window),
            token: Some(self.hello.token.ok_or(CannotSave::NoToken)?),
            received: Some(self.in_.count),
            ..Hello::default()
        });
        Ok(())
    }

    /// Returns the new session that a relay began instead of resuming this client's session, as its
    /// `hello` says. The client's own HELLO has already been sent.
    #[must_use]
    pub fn renewed(&self, hello: &Hello) -> Self {
        let mut session = Self::new(Side::Client, self.config);
        session.take_windows(hello);
        session.hello.greeted = true;
        session.hello.token = hello.token;
        session
    }

    /// Resumes the session at a relay, on a new socket: the client asked with `hello`, and receives
    /// `token` for the next resume.
    ///
    /// # Errors
    /// The HELLO contradicts the session, which stays as it was.
    pub fn resume(&mut self, hello: &Hello, token: [u8; TOKEN]) -> Result<(), Violation> {
        let received = hello
            .received
            .ok_or(Violation::Malformed("a HELLO with a token lacks its count"))?;
        let first = self.out.acked;
        if received < first || received > first + self.out.unacked.len() as u64 {
            return Err(Violation::Malformed(
                "a HELLO counts frames that were never sent",
            ));
        }
        self.disconnect();
        self.resend_from(received)?;
        self.hello.suspended = false;
        self.hello.greeted = true;
        self.hello.pending = Some(Hello {
            streams: Some(self.config.streams),
            resume_within: Some(
                u64::try_from(self.config.resume_within.as_millis()).unwrap_or(u64::MAX),
            ),
            token: Some(token),
            received: Some(self.in_.count),
            ..Hello::default()
        });
        Ok(())
    }

    /// Prepares the new socket: the peer has `received` sequenced frames, so later frames are sent
    /// again, and all limits too, because they are not sequenced.
    pub(super) fn resend_from(&mut self, received: u64) -> Result<(), Violation> {
        self.out.transmitted = self.out.unacked.len();
        self.acknowledged(received)?;
        self.out.transmitted = 0;
        self.in_.acked = self.in_.count;
        self.in_.acked_weight = self.in_.received;
        self.goaway_pending = self.going_away.is_some();
        self.out.limits.clear();
        self.in_.limit_queued = true;
        self.out.limits.push_back(0);
        let mut open: Vec<u64> = Vec::new();
        for (id, stream) in &mut self.streams {
            stream.limit_queued = !stream.ended && stream.receive.half == Half::Body;
            if stream.limit_queued {
                open.push(*id);
            }
        }
        open.sort_unstable();
        self.out.limits.extend(open);
        Ok(())
    }

    /// Returns the state from which a client can continue later or elsewhere, with
    /// [`Session::restore`].
    ///
    /// # Errors
    /// [`CannotSave`] says what has to end first.
    pub fn save(&self) -> Result<Saved, CannotSave> {
        let token = self.hello.token.ok_or(CannotSave::NoToken)?;
        let mut sending = !self.out.unacked.is_empty();
        let mut open: Vec<u64> = Vec::new();
        for (id, stream) in &self.streams {
            let fresh = stream.receive.half == Half::Head && stream.receive.block.is_none();
            if !fresh || stream.ended {
                return Err(CannotSave::Receiving);
            }
            sending |= stream.send.half != Half::Ended || !stream.send.items.is_empty();
            open.push(*id);
        }
        if sending {
            return Err(CannotSave::Sending);
        }
        open.sort_unstable();
        let ranges = ranges(&open);
        if ranges.len() > MAX_RANGES || open.len() > MAX_SAVED {
            return Err(CannotSave::Scattered);
        }
        let mut out = BytesMut::new();
        out.extend_from_slice(&token);
        for number in [
            self.last,
            self.allowed,
            self.peer_stream_window,
            self.out.acked,
            self.out.sent,
            self.out.limit,
            self.in_.count,
            self.in_.received,
            self.in_.allowed,
            self.config.session_window,
            self.config.stream_window,
            self.config.unacked,
            ranges.len() as u64,
        ] {
            put(&mut out, number);
        }
        let mut before = 0;
        for range in ranges {
            put(&mut out, range.start() - before);
            put(&mut out, range.end() - range.start());
            before = *range.end();
        }
        Ok(Saved(out.to_vec()))
    }

    /// Restores a client's saved session; call [`Session::reconnect`] next. The tag in each response
    /// identifies its fetch.
    ///
    /// # Errors
    /// `saved` was not made by [`Session::save`].
    pub fn restore(saved: &Saved) -> Result<Self, Malformed> {
        let mut reader = Reader(&saved.0);
        let token = reader
            .take(TOKEN)?
            .try_into()
            .map_err(|_| Malformed::TRUNCATED)?;
        let mut next = || reader.varint();
        let (last, allowed, window) = (next()?, next()?, next()?);
        let (acked, sent, limit) = (next()?, next()?, next()?);
        let (count, received, told) = (next()?, next()?, next()?);
        let config = Config {
            session_window: next()?,
            stream_window: next()?,
            unacked: next()?,
            ..Config::default()
        };
        let mut session = Self::new(Side::Client, config);
        (session.last, session.allowed, session.peer_stream_window) = (last, allowed, window);
        (session.out.acked, session.out.sent, session.out.limit) = (acked, sent, limit);
        (session.in_.count, session.in_.acked) = (count, count);
        (session.in_.received, session.in_.consumed) = (received, received);
        (session.in_.allowed, session.in_.acked_weight) = (told, received);
        let count = next()?;
        let mut before = 0u64;
        for _ in 0..count {
            let start = before.checked_add(next()?).ok_or(Malformed::TRUNCATED)?;
            let end = start
                .checked_add(next()?)
                .filter(|end| *end <= last && start > before);
            let end = end.ok_or(Malformed(
                "a saved session has streams that it never opened",
            ))?;
            let most = allowed.min(MAX_SAVED as u64);
            if end - start >= most.saturating_sub(session.streams.len() as u64) {
                return Err(Malformed(
                    "a saved session has more streams than it may have",
                ));
            }
            for id in start..=end {
                let mut stream = Stream::new(window, config.stream_window);
                stream.send.half = Half::Ended;
                session.streams.insert(id, stream);
            }
            before = end;
        }
        reader.end()?;
        session.open = session.streams.len() as u64;
        session.hello.token = Some(token);
        session.hello.suspended = true;
        Ok(session)
    }
}

/// Combines sorted numbers into ranges.
fn ranges(sorted: &[u64]) -> Vec<RangeInclusive<u64>> {
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    for id in sorted {
        match ranges.last_mut() {
            Some(last) if last.end() + 1 == *id => *last = *last.start()..=*id,
            _ => ranges.push(*id..=*id),
        }
    }
    ranges
}
