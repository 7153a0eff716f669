//! Frames as JSON. Tags, tokens, data and pieces of blocks are hex; field values are text with one
//! character for each byte (latin-1).

use std::time::Duration;

use fetchway_policy::redirect::RedirectMode;
use fetchway_wire::v1::block::read_trailers;
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, Hello, RequestHead, ResponseHead};
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::hex;

/// Returns the JSON, or the fault in the frame's block.
pub(super) type Described = Result<Value, String>;

pub(super) fn describe(frame: &Frame) -> Described {
    Ok(match frame {
        Frame::Block {
            stream,
            part,
            end,
            more,
            block,
        } => {
            let name = match part {
                Part::Open => "OPEN",
                Part::Head => "HEAD",
                Part::Trailers => "TRAILERS",
                Part::More => "MORE",
            };
            let mut json = json!({"type": name, "stream": stream, "end": end, "more": more});
            let (key, value) = match part {
                _ if *more || *part == Part::More => ("piece", json!(hex(block))),
                Part::Open => ("request", request(block)?),
                Part::Head => ("response", response(block)?),
                _ => {
                    let trailers = read_trailers(block).map_err(|malformed| malformed.0)?;
                    ("fields", fields(&trailers))
                }
            };
            json[key] = value;
            json
        }
        Frame::Data { stream, end, bytes } => {
            json!({"type": "DATA", "stream": stream, "end": end, "data": hex(bytes)})
        }
        Frame::Reset { stream, reset } => json!({
            "type": "RESET",
            "stream": stream,
            "tag": hex(&reset.tag),
            "name": reset.name,
            "detail": reset.detail,
        }),
        Frame::Stop { stream } => json!({"type": "STOP", "stream": stream}),
        Frame::Hello(hello) => self::hello(hello),
        Frame::Ack(count) => json!({"type": "ACK", "count": count}),
        Frame::Limit { stream, bytes } => {
            json!({"type": "LIMIT", "stream": stream, "bytes": bytes})
        }
        Frame::Ping(payload) => json!({"type": "PING", "payload": hex(payload)}),
        Frame::Pong(payload) => json!({"type": "PONG", "payload": hex(payload)}),
        Frame::GoingAway(going) => {
            json!({"type": "GOAWAY", "last": going.last, "detail": going.detail})
        }
        Frame::Unknown { sequenced } => json!({"type": "unknown", "sequenced": sequenced}),
    })
}

fn request(block: &[u8]) -> Described {
    let head = RequestHead::read(block).map_err(|malformed| malformed.0)?;
    let request = &head.request;
    let redirect = match request.redirect {
        RedirectMode::Follow => "follow",
        RedirectMode::Manual => "manual",
        RedirectMode::Error => "error",
    };
    let clock = |clock: Option<Duration>| clock.map(|clock| clock.as_millis() as u64);
    Ok(json!({
        "tag": hex(&head.tag),
        "method": request.method.as_str(),
        "url": request.url,
        "lane": request.lane,
        "redirect": redirect,
        "decode": request.decode,
        "connect": clock(request.timeouts.connect),
        "header": clock(request.timeouts.header),
        "bodyIdle": clock(request.timeouts.body_idle),
        "total": clock(request.timeouts.total),
        "fields": fields(&request.headers),
    }))
}

fn response(block: &[u8]) -> Described {
    let head = ResponseHead::read(block).map_err(|malformed| malformed.0)?;
    Ok(json!({
        "tag": hex(&head.tag),
        "status": head.status.as_u16(),
        "url": head.url,
        "fields": fields(&head.fields),
    }))
}

fn fields(fields: &HeaderMap) -> Value {
    let latin1 = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
    };
    let pairs = fields
        .iter()
        .map(|(name, value)| json!([name.as_str(), latin1(value.as_bytes())]));
    pairs.collect()
}

fn hello(hello: &Hello) -> Value {
    let mut json = Map::new();
    json.insert("type".to_owned(), json!("HELLO"));
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            json.insert(key.to_owned(), value);
        }
    };
    put("streams", hello.streams.map(Value::from));
    put("sessionWindow", hello.session_window.map(Value::from));
    put("streamWindow", hello.stream_window.map(Value::from));
    put("resumeWithin", hello.resume_within.map(Value::from));
    put("token", hello.token.map(|token| json!(hex(&token))));
    put("received", hello.received.map(Value::from));
    put("refused", hello.refused.clone().map(Value::from));
    Value::Object(json)
}
