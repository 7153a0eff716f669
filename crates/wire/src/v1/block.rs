//! Blocks: the heads of requests and responses, and trailers. `docs/protocol.md`, "Blocks".

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{Request, Timeouts};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::frame::MAX_TAG;
use super::malformed::Malformed;
use super::varint::{Reader, put, put_bytes};

/// Maximum length of a block in bytes.
pub const MAX_BLOCK: usize = 64 << 10;

/// Maximum number of fields in a block.
pub const MAX_FIELDS: usize = 1_000;

const LONG_TAG: Malformed = Malformed("a tag has more than 256 bytes");
const MANY_FIELDS: Malformed = Malformed("a block has more than 1,000 fields");
pub(super) const LONG_BLOCK: Malformed = Malformed("a block is longer than 64 KiB");

/// Flag of an OPEN: the body is passed on without undoing its content codings.
const RAW: u8 = 4;

/// The head of a client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Comes back with the response; at most [`MAX_TAG`] bytes.
    pub tag: Bytes,
    /// The request, without its body. Timeouts are kept in whole milliseconds. The lane is empty for the default
    /// lane, and the URL is as the client wrote it.
    pub request: Request<(), String, String>,
}

/// Head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Tag of the request.
    pub tag: Bytes,
    /// Status of the response.
    pub status: StatusCode,
    /// Final URL after redirects; empty if it is the requested URL.
    pub url: String,
    /// Header fields.
    pub fields: HeaderMap,
}

impl RequestHead {
    /// A request without fields or tag, in the default lane, that follows redirects and wants a decoded
    /// body.
    #[must_use]
    pub fn new(method: Method, url: &str) -> Self {
        Self {
            tag: Bytes::new(),
            request: Request::new(method, url.to_owned(), String::new(), ()),
        }
    }

    /// Whether it may be sent: [`Session::open`](super::Session::open) takes no other.
    ///
    /// # Errors
    /// The tag is longer than [`MAX_TAG`], there are more fields than [`MAX_FIELDS`], or the block
    /// would be longer than [`MAX_BLOCK`].
    pub fn check(&self) -> Result<(), Malformed> {
        if self.tag.len() > MAX_TAG {
            return Err(LONG_TAG);
        }
        let mut block = BytesMut::new();
        self.put(&mut block);
        fits(&block, &self.request.headers)
    }

    /// Appends the block.
    pub fn put(&self, out: &mut BytesMut) {
        let request = &self.request;
        put_bytes(out, &self.tag);
        put_bytes(out, request.method.as_str().as_bytes());
        put_bytes(out, request.url.as_bytes());
        put_bytes(out, request.lane.as_bytes());
        let redirect = match request.redirect {
            RedirectMode::Follow => 0,
            RedirectMode::Manual => 1,
            RedirectMode::Error => 2,
        };
        out.put_u8(redirect | if request.decode { 0 } else { RAW });
        let Timeouts {
            connect,
            header,
            body_idle,
            total,
        } = request.timeouts;
        for clock in [connect, header, body_idle, total] {
            // One more, so that 0 stands for none.
            let millis = clock.map(|clock| u64::try_from(clock.as_millis()).unwrap_or(u64::MAX));
            put(out, millis.map_or(0, |millis| millis.saturating_add(1)));
        }
        put_fields(out, &request.headers);
    }

    /// Reads a block.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn read(block: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(block);
        let tag = tag(&mut reader)?;
        let method = Method::from_bytes(reader.bytes()?);
        let method = method.map_err(|_| Malformed("a method is not a token"))?;
        let url = reader.text()?.to_owned();
        let lane = reader.text()?.to_owned();
        let how = reader.byte()?;
        let redirect = match how & 3 {
            0 => RedirectMode::Follow,
            1 => RedirectMode::Manual,
            2 => RedirectMode::Error,
            _ => return Err(Malformed("a redirect mode is unknown")),
        };
        let mut clock = || {
            let millis = reader.varint()?;
            Ok::<_, Malformed>(millis.checked_sub(1).map(Duration::from_millis))
        };
        let timeouts = Timeouts {
            connect: clock()?,
            header: clock()?,
            body_idle: clock()?,
            total: clock()?,
        };
        let headers = fields(&mut reader)?;
        reader.end()?;
        let request = Request {
            method,
            url,
            headers,
            body: (),
            lane,
            redirect,
            decode: how & RAW == 0,
            timeouts,
        };
        Ok(Self { tag, request })
    }
}

impl ResponseHead {
    /// Appends the block to `out`.
    pub fn put(&self, out: &mut BytesMut) {
        put_bytes(out, &self.tag);
        put(out, u64::from(self.status.as_u16()));
        put_bytes(out, self.url.as_bytes());
        put_fields(out, &self.fields);
    }

    /// Parses a block.
    ///
    /// # Errors
    /// `block` is not a valid response head.
    pub fn read(block: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(block);
        let tag = tag(&mut reader)?;
        let status = u16::try_from(reader.varint()?).ok();
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or(Malformed("a status is not within 100 and 999"))?;
        let url = reader.text()?.to_owned();
        let fields = fields(&mut reader)?;
        reader.end()?;
        Ok(Self {
            tag,
            status,
            url,
            fields,
        })
    }
}

/// Appends a block of trailers to `out`.
pub fn put_trailers(out: &mut BytesMut, trailers: &HeaderMap) {
    put_fields(out, trailers);
}

/// Parses a block of trailers.
///
/// # Errors
/// `block` is not a valid block of trailers.
pub fn read_trailers(block: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut reader = Reader(block);
    let fields = fields(&mut reader)?;
    reader.end()?;
    Ok(fields)
}

/// Checks that a block may be sent: a peer ends the whole session over an oversized block.
pub(super) fn fits(block: &[u8], fields: &HeaderMap) -> Result<(), Malformed> {
    if fields.len() > MAX_FIELDS {
        return Err(MANY_FIELDS);
    }
    if block.len() > MAX_BLOCK {
        return Err(LONG_BLOCK);
    }
    Ok(())
}

fn tag(reader: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    let tag = reader.bytes()?;
    if tag.len() > MAX_TAG {
        return Err(LONG_TAG);
    }
    Ok(Bytes::copy_from_slice(tag))
}

fn put_fields(out: &mut BytesMut, fields: &HeaderMap) {
    put(out, fields.len() as u64);
    for (name, value) in fields {
        put_bytes(out, name.as_str().as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

fn fields(reader: &mut Reader<'_>) -> Result<HeaderMap, Malformed> {
    let count = reader.varint()?;
    if count > MAX_FIELDS as u64 {
        return Err(MANY_FIELDS);
    }
    // A field takes at least two bytes, so no more capacity is reserved than the bytes can fill.
    let mut fields = HeaderMap::with_capacity((count as usize).min(reader.0.len() / 2));
    for _ in 0..count {
        let name = HeaderName::from_bytes(reader.bytes()?);
        let value = HeaderValue::from_bytes(reader.bytes()?);
        let name = name.map_err(|_| Malformed("a field's name is not a token"))?;
        let value = value.map_err(|_| Malformed("a field's value has a forbidden byte"))?;
        fields.append(name, value);
    }
    Ok(fields)
}
