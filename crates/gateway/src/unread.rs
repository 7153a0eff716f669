//! A body that nobody wants is read on for a while all the same, so that its sender gets to the answer.
//!
//! A connection that is closed while its peer still writes is reset, and the reset overtakes the answer:
//! many clients report a broken pipe then, and proxies an error of their own.

use std::time::Duration;

use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Buf as _, Incoming};

/// Bytes that are read on at most, and for how long. Beyond either the answer goes out, and the
/// connection is closed, whatever still comes.
const MOST: u64 = 8 << 20;
const LONGEST: Duration = Duration::from_secs(5);

/// Reads on what is left of the body of a request with these fields that is refused, before it is
/// answered: up to 8 MiB, for up to 5 s. Nothing is kept. One that waits to be told to go on
/// (`Expect: 100-continue`) is not asked for its body.
pub async fn pass_over(headers: &HeaderMap, body: &mut Incoming) {
    let waits = headers.get(EXPECT).map(|expect| expect.as_bytes());
    if waits.is_none_or(|expect| !expect.eq_ignore_ascii_case(b"100-continue")) {
        read_on(body).await;
    }
}

/// The same for a body of which some was read.
pub(crate) async fn read_on(body: &mut (impl Body + Unpin)) {
    let reading = async {
        let mut left = MOST;
        // An error ends the body: nobody is left to be answered.
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            match left.checked_sub(len) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // One that is late is answered like one that is through.
    let _ = tokio::time::timeout(LONGEST, reading).await;
}
