//! Routes whose point is what they send: bytes, codings, header fields.

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::reply::{Refusal, Reply, sized, text, unsized_reply};
use crate::body::{filling, whole};
use crate::filler::{Filler, Kind, checksum, filler};
use crate::query::{BadQuery, Query};

/// Bytes a coded body may hold before coding: it is compressed in memory.
const MAX_CODED: u64 = 256 << 20;

fn requested(query: &Query) -> Result<(Filler, u64, &'static str), BadQuery> {
    let length = query.number_or("n", 1_024)?;
    let kind = match (query.switch("binary"), query.switch("zeros")) {
        (true, _) => Kind::Binary,
        (false, true) => Kind::Zeros,
        (false, false) => Kind::Text,
    };
    let content_type = if kind == Kind::Text {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    };
    Ok((
        filler(kind, query.number_or("seed", 0)?, length),
        length,
        content_type,
    ))
}

pub(super) fn bytes(query: &Query) -> Result<Reply, Refusal> {
    let (filler, length, content_type) = requested(query)?;
    Ok(if query.switch("chunked") {
        unsized_reply(content_type, filling(filler))
    } else {
        sized(length, content_type, filling(filler))
    })
}

pub(super) async fn coded(query: &Query, codings: &str) -> Result<Reply, Refusal> {
    let (filler, length, content_type) = requested(query)?;
    if length > MAX_CODED {
        return Err(BadQuery(format!(
            "n={length} is too much to compress; ask for {MAX_CODED} bytes at most"
        ))
        .into());
    }
    let mut body = filler.to_vec();
    for coding in codings.split(',').map(str::trim) {
        body = encode(coding, &body).await?;
    }
    if query.switch("cut") {
        body.truncate(body.len() / 2);
    }
    let mut reply = sized(body.len() as u64, content_type, whole(body));
    reply
        .headers_mut()
        .insert(header::CONTENT_ENCODING, value(codings)?);
    Ok(reply)
}

async fn encode(coding: &str, plain: &[u8]) -> Result<Vec<u8>, BadQuery> {
    const LEVEL: Level = Level::Fastest;
    match coding {
        "gzip" => {
            through(
                GzipEncoder::with_quality(Vec::new(), LEVEL),
                plain,
                GzipEncoder::into_inner,
            )
            .await
        }
        // What HTTP calls deflate is zlib (RFC 9110 §8.4.1.2).
        "deflate" => {
            through(
                ZlibEncoder::with_quality(Vec::new(), LEVEL),
                plain,
                ZlibEncoder::into_inner,
            )
            .await
        }
        "br" => {
            through(
                BrotliEncoder::with_quality(Vec::new(), LEVEL),
                plain,
                BrotliEncoder::into_inner,
            )
            .await
        }
        "zstd" => {
            through(
                ZstdEncoder::with_quality(Vec::new(), LEVEL),
                plain,
                ZstdEncoder::into_inner,
            )
            .await
        }
        "identity" => Ok(plain.to_vec()),
        other => Err(BadQuery(format!(
            "the origin has no coding {other}; use gzip, deflate, br, zstd or identity"
        ))),
    }
}

async fn through<E: AsyncWrite + Unpin>(
    mut encoder: E,
    plain: &[u8],
    finish: fn(E) -> Vec<u8>,
) -> Result<Vec<u8>, BadQuery> {
    let failed = |error| BadQuery(format!("the body cannot be compressed: {error}"));
    encoder.write_all(plain).await.map_err(failed)?;
    encoder.shutdown().await.map_err(failed)?;
    Ok(finish(encoder))
}

pub(super) fn cookies(query: &Query) -> Result<Reply, Refusal> {
    let mut reply = text(StatusCode::OK, "with cookies".to_owned());
    for number in 0..query.number_or::<u16>("n", 3)? {
        // The comma of the date shows whoever joins them with commas.
        let cookie = format!(
            "c{number}=v{number}; Path=/; Expires=Thu, 01 Jan 2099 00:00:0{} GMT",
            number % 10
        );
        reply
            .headers_mut()
            .append(header::SET_COOKIE, value(&cookie)?);
    }
    Ok(reply)
}

pub(super) fn headers(query: &Query) -> Result<Reply, Refusal> {
    let mut reply = text(StatusCode::OK, "with headers".to_owned());
    for field in query.all("h") {
        let (name, field_value) = field
            .split_once(':')
            .ok_or_else(|| BadQuery(format!("h={field} is no header field; write h=name:value")))?;
        append(reply.headers_mut(), name, field_value.trim_start())?;
    }
    if let Some(length) = query.number("fill")? {
        append(reply.headers_mut(), "x-fill", &"x".repeat(length))?;
    }
    Ok(reply)
}

fn append(headers: &mut HeaderMap, name: &str, field_value: &str) -> Result<(), BadQuery> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        BadQuery(format!(
            "{name:?} is no header name; use letters, digits and dashes"
        ))
    })?;
    headers.append(name, value(field_value)?);
    Ok(())
}

/// A header value; bytes above ASCII are allowed, as real origins send them too.
pub(super) fn value(text: &str) -> Result<HeaderValue, BadQuery> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        BadQuery(format!(
            "{text:?} is no header value; leave out control characters"
        ))
    })
}

pub(super) fn trailers(query: &Query) -> Result<Reply, Refusal> {
    let (filler, _, content_type) = requested(query)?;
    let sum = format!("{:08x}", checksum(&filler.clone().to_vec()));
    let mut fields = HeaderMap::new();
    fields.insert("x-checksum", value(&sum)?);
    let body = filling(filler).chain(stream::iter([Ok(Frame::trailers(fields))]));
    let mut reply = unsized_reply(content_type, Box::pin(body));
    // HTTP/1.1 sends only trailers that were announced.
    reply
        .headers_mut()
        .insert(header::TRAILER, HeaderValue::from_static("x-checksum"));
    Ok(reply)
}
