//! What the peer may send: counted as it comes, given back as the application takes it.

use std::time::Instant;

use super::stream::{Half, Stream};
use super::{ACK_DELAY, Breach, Session};
use crate::v1::frame::Frame;

/// Frames received that are acknowledged without delay.
const ACK_FRAMES: u64 = 256;

/// Bytes received that are acknowledged without delay.
const ACK_BYTES: u64 = 64 << 10;

impl Session {
    /// A sequenced frame has come.
    pub(super) fn count(&mut self, frame: &Frame, now: Instant) -> Result<(), Breach> {
        let in_ = &mut self.in_;
        in_.count += 1;
        in_.received += frame.weight();
        if in_.received > in_.allowed {
            return Err(Breach::Credit(
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

    /// The application has taken `n` bytes of a stream's data: the peer may send as many more. Those
    /// of a stream that was reset or stopped have been counted before.
    pub fn consumed(&mut self, id: u64, n: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let n = n.min(stream.unread());
        stream.receive.consumed += n;
        if stream.over {
            if stream.unread() == 0 {
                self.streams.remove(&id);
            }
        } else if !stream.telling && stream.receive.half != Half::Ended && !stream.receive.stopped {
            let window = self.config.stream_window;
            if (stream.receive.consumed + window).saturating_sub(stream.receive.allowed)
                >= window / 2
            {
                stream.telling = true;
                self.out.limits.push_back(id);
            }
        }
        self.consume_session(n);
    }

    /// Nobody will read what has come of a stream and was not read.
    pub(super) fn discard_unread(&mut self, id: u64) {
        let unread = self.streams.get(&id).map_or(0, Stream::unread);
        if unread > 0 {
            self.consumed(id, unread);
        }
    }

    /// Bytes count as taken in the session.
    pub(super) fn consume_session(&mut self, n: u64) {
        let in_ = &mut self.in_;
        in_.consumed += n;
        let window = self.config.session_window;
        if !in_.telling && (in_.consumed + window).saturating_sub(in_.allowed) >= window / 2 {
            in_.telling = true;
            self.out.limits.push_back(0);
        }
    }
}
