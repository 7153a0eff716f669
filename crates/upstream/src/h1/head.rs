//! The head of a response: status, the fields to keep, and the framing of the body.

use std::mem::MaybeUninit;

use fetchway_policy::ErrorName;
use http::{HeaderValue, StatusCode};
use httparse::{Header, ParserConfig, Status};

use crate::{Failure, Limits, fields};

/// Maximum number of fields in a response. They are parsed in place, so the constant only costs stack.
const MAX_FIELDS: usize = 100;

/// The way in which the end of a body is marked (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A number of bytes.
    Length(u64),
    Chunked,
    /// The end of the connection.
    Close,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(&'static str, HeaderValue)>,
    pub(super) framing: Framing,
    /// True if another request may follow on the connection after the body.
    pub(super) reusable: bool,
}

/// Parses a head at the front of `bytes`. Returns the head and its length, or `None` if it is
/// incomplete.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<(Head, usize)>, Failure> {
    if bytes.first().is_some_and(|&first| first != b'H') {
        // This includes empty lines before the head, which servers must accept from clients, but not
        // clients from servers.
        return Err(malformed(&"no HTTP version at its start"));
    }
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            let detail = "The API's response has more than 100 fields.";
            return Err(Failure::new(
                ErrorName::HttpResponseHeaderSectionSize,
                detail,
            ));
        }
        Err(error) => return Err(malformed(&error)),
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| malformed(&"no status"))?;
    let mut seen = Seen::default();
    for field in &*response.headers {
        seen.take(field, limits)?;
    }
    seen.head(status, response.version == Some(1))
        .map(|head| Some((head, length)))
}

/// Finds the end of a head in `bytes`. The end is known not to be within the first `from` bytes.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    // An empty line may begin within the known bytes.
    let start = from.saturating_sub(2);
    let mut at = start;
    while let Some(found) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        at += found + 1;
        match bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Information from the fields read so far.
#[derive(Default)]
struct Seen {
    fields: Vec<(&'static str, HeaderValue)>,
    length: Option<u64>,
    /// Number of transfer codings, and whether the last one was chunked.
    codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Seen {
    fn take(&mut self, field: &Header<'_>, limits: &Limits) -> Result<(), Failure> {
        let name = field.name.as_bytes();
        // Fields that determine the framing are evaluated even if they are not kept.
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(field.value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(field.value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(field.value),
            _ => {}
        }
        if let Some(place) = fields::position(name, limits.wanted) {
            let value = fields::keep(field.value);
            let value = value.ok_or_else(|| malformed(&"an invalid field value"))?;
            self.fields.push((limits.wanted[place], value));
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Failure> {
        let length = fields::length(value);
        if length.is_none() || self.length.is_some_and(|seen| Some(seen) != length) {
            return Err(malformed(
                &"an invalid Content-Length, or several that differ",
            ));
        }
        self.length = length;
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) {
        for coding in members(value) {
            self.codings += 1;
            self.chunked = coding.eq_ignore_ascii_case(b"chunked");
        }
        if value.trim_ascii().is_empty() {
            // A field without a coding is as invalid as an unknown coding.
            self.codings += 2;
        }
    }

    /// Combines status and fields. `modern` means HTTP/1.1, as opposed to HTTP/1.0.
    fn head(self, status: StatusCode, modern: bool) -> Result<Head, Failure> {
        let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational();
        let framing = match self.length {
            _ if bodiless => Framing::Length(0),
            _ if self.codings > 0 => self.chunked(modern)?,
            Some(length) => Framing::Length(length),
            None => Framing::Close,
        };
        // A server that frames in two ways, or announces a body where none is allowed, may see the end
        // of the response at another place than we do.
        let doubtful = match status {
            StatusCode::NO_CONTENT => self.codings > 0 || self.length.is_some_and(|n| n > 0),
            _ => self.codings > 0 && self.length.is_some(),
        };
        let asked = if modern {
            !self.close
        } else {
            self.keep_alive && !self.close
        };
        Ok(Head {
            status,
            fields: self.fields,
            framing,
            reusable: asked && !doubtful && framing != Framing::Close,
        })
    }

    fn chunked(&self, modern: bool) -> Result<Framing, Failure> {
        // HTTP/1.0 has no transfer codings: a server that names one has copied it from elsewhere.
        if self.codings == 1 && self.chunked && modern {
            return Ok(Framing::Chunked);
        }
        let detail = "The API's response has a transfer coding other than chunked, or has one in \
            HTTP/1.0.";
        Err(Failure::new(ErrorName::HttpResponseTransferCoding, detail))
    }
}

/// Returns the non-empty members of a list that contains no quoted strings.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty())
}

pub(super) fn malformed(what: &dyn std::fmt::Display) -> Failure {
    Failure::protocol(format!(
        "The API's response is not valid HTTP/1.1 ({what})."
    ))
}
