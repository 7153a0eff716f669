//! Routes that tell the client what it sent.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{Refusal, Reply, json, text, unsized_reply};
use crate::body::{Cut, filling};
use crate::filler::{CHECKSUM_START, Kind, extend_checksum, filler};
use crate::query::Query;
use crate::shared::Shared;
use crate::stats::Counters;

/// Request bytes `/echo` keeps to send back; more is answered 413.
const MAX_ECHO: usize = 64 << 20;

pub(super) async fn echo(shared: &Shared, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(part) = next_part(&shared.counters, &mut incoming).await? {
        body.extend_from_slice(&part);
        if body.len() > MAX_ECHO {
            let sentence = format!("the body is over {MAX_ECHO} bytes; use /upload");
            return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
    }
    let headers: Vec<Value> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let mut seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "headers": headers,
    });
    match String::from_utf8(body) {
        Ok(utf8) => seen["body"] = Value::from(utf8),
        Err(binary) => seen["bodyBase64"] = Value::from(STANDARD.encode(binary.as_bytes())),
    }
    Ok(json(&seen))
}

pub(super) async fn upload(
    shared: &Shared,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    if query.switch("early") {
        return Ok(json(
            &json!({ "bytes": 0, "checksum": format!("{CHECKSUM_START:08x}") }),
        ));
    }
    if let Some(key) = query.get("gate") {
        shared.gates.waiter(key)?.await;
    }
    Ok(json(&account(&shared.counters, request.into_body()).await?))
}

/// Reads the request and sends the answer at the same time, neither waiting for the other.
pub(super) fn duplex(
    shared: &Shared,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let sent = filler(
        Kind::Text,
        query.number_or("seed", 0)?,
        query.number_or("n", 0)?,
    );
    let counters = Arc::clone(&shared.counters);
    // A task of its own: what waits to be sent must not hold up what is to be read. It ends with the
    // request, and so with its connection.
    let reading = tokio::spawn(async move { account(&counters, request.into_body()).await });
    let told = stream::once(async move {
        match reading.await {
            Ok(Ok(account)) => Ok(Frame::data(Bytes::from(account.to_string()))),
            _ => Err(Cut),
        }
    });
    Ok(unsized_reply(
        "text/plain; charset=utf-8",
        Box::pin(filling(sent).chain(told)),
    ))
}

/// Reads a body and tells what it was.
async fn account(counters: &Counters, mut incoming: Incoming) -> Result<Value, Refusal> {
    let (mut bytes, mut sum) = (0_u64, CHECKSUM_START);
    while let Some(part) = next_part(counters, &mut incoming).await? {
        bytes += part.len() as u64;
        sum = extend_checksum(sum, &part);
    }
    Ok(json!({ "bytes": bytes, "checksum": format!("{sum:08x}") }))
}

/// The next data of a request body. A client that leaves in the middle gets no answer.
async fn next_part(counters: &Counters, incoming: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            return Err(Refusal::Drop);
        };
        if let Ok(data) = frame.into_data() {
            counters.change(|stats| stats.bytes_received += data.len() as u64);
            return Ok(Some(data));
        }
    }
    Ok(None)
}
