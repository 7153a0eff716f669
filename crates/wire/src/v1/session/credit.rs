//! Limits on what the peer may send: bytes are counted when they come, and given back when the
//! application consumes them.

use std::time::Instant;

use super::stream::{Half, Stream};
use super::{ACK_DELAY, Session, Violation};
use crate::v1::frame::Frame;

/// Number of frames after which an acknowledgement is sent without delay.
const ACK_FRAMES: u64 = 256;

/// Number of bytes after which an acknowledgement is sent without delay.
const ACK_BYTES: u64 = 64 << 10;

impl Session {
    /// Counts a sequenced frame that was received.
    pub(super) fn count(&mut self, frame: &Frame, now: Instant) -> Result<(), Violation> {
        let in_ = &mut self.in_;
        in_.count += 1;
        in_.received += frame.weight();
        if in_.received > in_.allowed {
            return Err(Violation::Credit(
                "more bytes came than the session's limit allows",
            ));
        }
        let many = in_.count - in_.acked >= ACK_FRAMES;
        if many || in_.received - in_.acked_weight >= ACK_BYTES {
            in_.due = Some(now);
        } else if in_.due.is_none() {
            in_.due = Some(now + ACK_DELAY);
        }
        Ok(())
    }

    /// Reports that the application has consumed `n` bytes of a stream's data, so that the peer may
    /// send as many more. The bytes of a stream that was reset or stopped have already been counted.
    pub fn consumed(&mut self, id: u64, n: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let n = n.min(stream.unread());
        stream.receive.consumed += n;
        if stream.ended {
            if stream.unread() == 0 {
                self.streams.remove(&id);
            }
        } else if !stream.limit_queued
            && stream.receive.half != Half::Ended
            && !stream.receive.stopped
        {
            let window = self.config.stream_window;
            if (stream.receive.consumed + window).saturating_sub(stream.receive.allowed)
                >= window / 2
            {
                stream.limit_queued = true;
                self.out.limits.push_back(id);
            }
        }
        self.consume_session(n);
    }

    /// Counts the unread data of a stream as consumed, since nobody will read it.
    pub(super) fn discard_unread(&mut self, id: u64) {
        let unread = self.streams.get(&id).map_or(0, Stream::unread);
        if unread > 0 {
            self.consumed(id, unread);
        }
    }

    /// Counts bytes as consumed in the session.
    pub(super) fn consume_session(&mut self, n: u64) {
        let in_ = &mut self.in_;
        in_.consumed += n;
        let window = self.config.session_window;
        if !in_.limit_queued && (in_.consumed + window).saturating_sub(in_.allowed) >= window / 2 {
            in_.limit_queued = true;
            self.out.limits.push_back(0);
        }
    }
}
