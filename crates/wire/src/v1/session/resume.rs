//! Between two sockets: a session goes on where it was cut, here or from what was saved of it.

use std::ops::RangeInclusive;

use bytes::BytesMut;

use super::stream::{Half, Stream};
use super::{Breach, Config, Session, Side};
use crate::v1::frame::{Hello, Malformed, TOKEN};
use crate::v1::varint::{Reading, put};

/// The most ranges of open streams that are saved.
const MAX_RANGES: usize = 32;

/// The most open streams that are saved: what was saved must not ask for more memory than there is.
const MAX_SAVED: usize = 100_000;

/// Why a session can't be saved at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotSave {
    /// There is no token: the relay's HELLO has not come, or it keeps no sessions.
    NoToken,
    /// Something waits to be sent or acknowledged, or an upload is under way.
    Sending,
    /// A response is half received or half read.
    Receiving,
    /// The open streams are in more than 32 ranges, or more than 100,000.
    Scattered,
}

/// A client's session in a few hundred bytes: what is needed to go on with it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved(pub Vec<u8>);

impl Session {
    /// The socket is gone. Nothing is lost: what the peer has not acknowledged goes out again on the
    /// next one. A client calls [`Session::reconnect`] for it, a relay [`Session::resume`].
    pub fn disconnect(&mut self) {
        self.hello.pending = None;
        self.hello.heard = false;
        self.hello.waits = true;
        (self.out.ping, self.out.pong) = (None, None);
        self.in_.due = None;
    }

    /// A client's next socket is open: its HELLO asks for the session back.
    ///
    /// # Errors
    /// [`CannotSave::NoToken`]: the relay has given nothing to ask with.
    pub fn reconnect(&mut self) -> Result<(), CannotSave> {
        self.disconnect();
        self.hello.pending = Some(Hello {
            // For the new session that begins if this one is not there any more.
            session_window: Some(self.config.session_window),
            stream_window: Some(self.config.stream_window),
            token: Some(self.hello.token.ok_or(CannotSave::NoToken)?),
            received: Some(self.in_.count),
            ..Hello::default()
        });
        Ok(())
    }

    /// The new session that a relay has begun where this client's was to be resumed: `hello`, the
    /// relay's, says so. That of a client has been sent already.
    #[must_use]
    pub fn renewed(&self, hello: &Hello) -> Self {
        let mut session = Self::new(Side::Client, self.config);
        session.take_windows(hello);
        session.hello.heard = true;
        session.hello.token = hello.token;
        session
    }

    /// A client's next socket is here, at a relay: it has asked with `hello`, and is given `token` for
    /// the next time.
    ///
    /// # Errors
    /// A HELLO that says something impossible; the session stays as it was.
    pub fn resume(&mut self, hello: &Hello, token: [u8; TOKEN]) -> Result<(), Breach> {
        let received = hello
            .received
            .ok_or(Breach::Malformed("a HELLO with a token lacks its count"))?;
        let first = self.out.acked;
        if received < first || received > first + self.out.unacked.len() as u64 {
            return Err(Breach::Malformed(
                "a HELLO counts frames that were never sent",
            ));
        }
        self.disconnect();
        self.go_on_from(received)?;
        self.hello.waits = false;
        self.hello.heard = true;
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

    /// The peer has `received` sequenced frames: those after are sent again, and so are all limits, as
    /// they are not sequenced.
    pub(super) fn go_on_from(&mut self, received: u64) -> Result<(), Breach> {
        self.out.again = self.out.unacked.len();
        self.acknowledged(received)?;
        self.out.again = 0;
        self.in_.acked = self.in_.count;
        self.in_.acked_weight = self.in_.received;
        self.going_untold = self.going_away.is_some();
        self.out.limits.clear();
        self.in_.telling = true;
        self.out.limits.push_back(0);
        let mut open: Vec<u64> = Vec::new();
        for (id, stream) in &mut self.streams {
            stream.telling = !stream.over && stream.receive.half == Half::Body;
            if stream.telling {
                open.push(*id);
            }
        }
        open.sort_unstable();
        self.out.limits.extend(open);
        Ok(())
    }

    /// What a client needs to go on later or elsewhere, by [`Session::restore`].
    ///
    /// # Errors
    /// [`CannotSave`] tells what has to end first.
    pub fn save(&self) -> Result<Saved, CannotSave> {
        let token = self.hello.token.ok_or(CannotSave::NoToken)?;
        let mut sending = !self.out.unacked.is_empty();
        let mut open: Vec<u64> = Vec::new();
        for (id, stream) in &self.streams {
            let fresh = stream.receive.half == Half::Head && stream.receive.block.is_none();
            if !fresh || stream.over {
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

    /// A client's session as it was saved; [`Session::reconnect`] comes next. Each response brings back
    /// the tag of its fetch.
    ///
    /// # Errors
    /// Bytes that [`Session::save`] has not made.
    pub fn restore(saved: &Saved) -> Result<Self, Malformed> {
        let mut reading = Reading(&saved.0);
        let token = reading
            .take(TOKEN)?
            .try_into()
            .map_err(|_| Malformed::TRUNCATED)?;
        let mut next = || reading.varint();
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
        reading.end()?;
        session.open = session.streams.len() as u64;
        session.hello.token = Some(token);
        session.hello.waits = true;
        Ok(session)
    }
}

/// Sorted numbers as ranges.
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
