//! Routes that tell the client what it sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Refusal, Reply, text};
use crate::filler::{CHECKSUM_START, extend_checksum};
use crate::origin::Shared;
use crate::query::Query;

/// Request bytes `/echo` keeps to send back; more is answered 413.
const MAX_ECHO: usize = 64 << 20;

pub(super) async fn echo(shared: &Shared, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(part) = next_part(shared, &mut incoming).await? {
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
    Ok(super::json(&seen))
}

pub(super) async fn upload(
    shared: &Shared,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    if query.switch("early") {
        return Ok(super::json(
            &json!({ "bytes": 0, "checksum": format!("{CHECKSUM_START:08x}") }),
        ));
    }
    if let Some(key) = query.get("gate") {
        shared.gates.waiter(key)?.await;
    }
    let mut incoming = request.into_body();
    let (mut bytes, mut sum) = (0_u64, CHECKSUM_START);
    while let Some(part) = next_part(shared, &mut incoming).await? {
        bytes += part.len() as u64;
        sum = extend_checksum(sum, &part);
    }
    Ok(super::json(
        &json!({ "bytes": bytes, "checksum": format!("{sum:08x}") }),
    ))
}

/// The next data of a request body. A client that leaves in the middle gets no answer.
async fn next_part(
    shared: &Shared,
    incoming: &mut Incoming,
) -> Result<Option<bytes::Bytes>, Refusal> {
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            return Err(Refusal::Drop);
        };
        if let Ok(data) = frame.into_data() {
            shared.counters.received(data.len());
            return Ok(Some(data));
        }
    }
    Ok(None)
}
