//! Answers by HTTP, to handshakes and pushes, and how the body of a refused request is passed over.
//!
//! A connection that is closed while its peer still writes is reset, and the reset overtakes the answer:
//! many clients report a broken pipe then, and proxies an error of their own. So a body that nobody wants
//! is read and dropped for a while.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Buf as _, Incoming};

/// Bytes of an unwanted body that are read at most, and for how long. Beyond either the answer is sent,
/// and the connection is closed, whatever still comes.
const MAX_BYTES: u64 = 8 << 20;
const MAX_TIME: Duration = Duration::from_secs(5);

/// An answer by HTTP.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Returns an answer with a short text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Reads and drops the remaining body of a request that is refused, before it is answered: up to 8 MiB,
/// for up to 5 s. A sender that waits to be asked for the body (`Expect: 100-continue`) is not asked.
pub async fn pass_over(headers: &HeaderMap, body: &mut Incoming) {
    let waits = headers.get(EXPECT).map(|expect| expect.as_bytes());
    if waits.is_none_or(|expect| !expect.eq_ignore_ascii_case(b"100-continue")) {
        discard(body).await;
    }
}

/// Reads and drops a body of which some was read, within the same limits.
pub(crate) async fn discard(body: &mut (impl Body + Unpin)) {
    let reading = async {
        let mut left = MAX_BYTES;
        // An error ends the body: nobody is left to be answered.
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            let Some(less) = left.checked_sub(len) else {
                return;
            };
            left = less;
        }
    };
    // A sender that is late is answered all the same.
    let _ = tokio::time::timeout(MAX_TIME, reading).await;
}
