//! Reading a body whole, within the byte budget: room is reserved before it is read into.

use bytes::{Bytes, BytesMut};
use fetchway_policy::FetchError;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::Hold;
use crate::body::{Body, over_cap};
use crate::budget::session_ended;

/// Room reserved at first where the length is not known; doubled as the body grows.
const FIRST: u64 = 16 << 10;

impl Body {
    /// Reads the body to its end. `beside` are bytes to be held with it, such as its headers.
    ///
    /// While there is no room, nothing is read from the origin, and the fetch counts as paused.
    ///
    /// # Errors
    /// What the body fails with, or `http_response_body_size` over `cap` bytes.
    pub async fn whole(
        mut self,
        hold: &mut Hold,
        beside: u64,
        cap: u64,
    ) -> Result<Bytes, FetchError> {
        let known = self.size_hint().exact();
        if known.is_some_and(|len| len > cap) {
            return Err(self.fail(over_cap(cap)));
        }
        if self.is_end_stream() {
            self.room(hold, beside).await?;
            hold.complete(0);
            return Ok(Bytes::new());
        }
        let first = known.unwrap_or(FIRST).min(cap);
        self.room(hold, beside + first).await?;
        let mut room = first;
        let mut one = None;
        let mut many = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let len = (many.len() + one.as_ref().map_or(0, Bytes::len) + data.len()) as u64;
            if len > cap {
                return Err(self.fail(over_cap(cap)));
            }
            if len > room {
                let more = room.max(len - room).min(cap - room);
                self.room(hold, more).await?;
                room += more;
            }
            if one.is_none() && many.is_empty() {
                // Most bodies come in one piece, which then needs no copy.
                one = Some(data);
                continue;
            }
            many.reserve((room as usize).saturating_sub(many.len()));
            many.extend_from_slice(&one.take().unwrap_or_default());
            many.extend_from_slice(&data);
        }
        let body = one.unwrap_or_else(|| many.freeze());
        hold.complete(room.saturating_sub(body.len() as u64));
        Ok(body)
    }

    async fn room(&mut self, hold: &mut Hold, n: u64) -> Result<(), FetchError> {
        let Some(granted) = hold.reserve(n) else {
            return Ok(());
        };
        self.set_paused(true);
        let granted = granted.await;
        self.set_paused(false);
        granted.map_err(|_| session_ended())
    }
}
