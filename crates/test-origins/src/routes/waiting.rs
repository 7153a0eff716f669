//! Routes that make a client wait: for a time, for ever, for a gate.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use tokio::time::sleep;

use super::reply::{Refusal, Reply, sized, unsized_reply};
use crate::body::{Cut, filling, hold, never, whole};
use crate::filler::{Kind, expected_body, filler};
use crate::query::Query;
use crate::shared::Shared;

const TEXT: &str = "text/plain; charset=utf-8";

/// Filler `/delay` may carry: it is put together in memory.
const MAX_DELAY_SIZE: usize = 64 << 20;

pub(super) async fn delay(query: &Query) -> Result<Reply, Refusal> {
    let wait = Duration::from_millis(query.number_or("ms", 1_000)?);
    let req = query.number_or("req", 0)?;
    let size = query.number_or::<usize>("size", 64)?.min(MAX_DELAY_SIZE);
    sleep(wait).await;
    let body = expected_body(req, size);
    Ok(sized(body.len() as u64, TEXT, whole(body)))
}

pub(super) fn stall(query: &Query) -> Result<Reply, Refusal> {
    let after = query.number_or("after", 0)?;
    let body =
        Box::pin(filling(filler(Kind::Text, query.number_or("seed", 0)?, after)).chain(never()));
    Ok(match query.number("n")? {
        Some(promised) => sized(promised, TEXT, body),
        None => unsized_reply(TEXT, body),
    })
}

pub(super) fn slow(query: &Query) -> Result<Reply, Refusal> {
    let chunks = query.number_or::<u64>("chunks", 10)?;
    let gap = Duration::from_millis(query.number_or("gap_ms", 100)?);
    let size = query.number_or::<u64>("size", 16)?;
    let rest = filler(
        Kind::Text,
        query.number_or("seed", 0)?,
        chunks.saturating_mul(size),
    );
    let body = stream::unfold(rest, move |mut rest| async move {
        sleep(gap).await;
        let part = rest.split_to(size).to_vec();
        if part.is_empty() {
            return None;
        }
        Some((Ok::<_, Cut>(Frame::data(Bytes::from(part))), rest))
    });
    // The sleep before the end is left out: the parts are counted, not waited for.
    Ok(unsized_reply(
        TEXT,
        Box::pin(body.take(usize::try_from(chunks).unwrap_or(usize::MAX))),
    ))
}

pub(super) async fn gate(shared: &Shared, query: &Query) -> Result<Reply, Refusal> {
    let opened = shared.gates.waiter(query.required("key")?)?;
    let length = query.number_or("n", 0)?;
    let mut rest = filler(Kind::Text, query.number_or("seed", 0)?, length);
    let Some(after) = query.number("after")? else {
        opened.await;
        return Ok(sized(length, TEXT, filling(rest)));
    };
    let before = rest.split_to(after);
    let body = filling(before).chain(hold(opened)).chain(filling(rest));
    Ok(sized(length, TEXT, Box::pin(body)))
}
