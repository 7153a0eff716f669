//! The API over HTTP/1.1: keep-alive, pipelining, bodies with a content length.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::account::{Notice, Verb};
use super::events;
use super::request::{ApiReply, ApiRequest, PendingReply, client, status};
use super::shared::{MAX_BODY, Shared, number, refused, verb, version};

/// Bytes asked of the socket at a time.
const READ: usize = 8 << 10;
/// Bytes of the longest head.
const MAX_HEAD: usize = 64 << 10;
/// Fields of a head at most.
const MAX_FIELDS: usize = 128;

/// How far the input goes.
enum Found {
    /// A head of so many bytes, and a body of so many after it.
    Whole { head: usize, body: usize },
    /// More bytes are needed; so many are known to be.
    Partial(usize),
}

/// Serves one connection of which `input` has been read already.
pub(super) async fn serve(
    mut stream: TcpStream,
    mut input: BytesMut,
    shared: &Shared,
) -> io::Result<()> {
    let mut output = Vec::with_capacity(READ);
    loop {
        let missing = loop {
            match find(&input) {
                Ok(Found::Partial(missing)) => break missing,
                Ok(Found::Whole { head, body }) => {
                    match answer(&input[..head + body], head, shared, &mut output) {
                        Answered::Written => {}
                        Answered::Scripted(pending) => {
                            stream.write_all(&output).await?;
                            output.clear();
                            let Some(reply) = shared.reply(pending).await else {
                                return Ok(());
                            };
                            write(&reply, &mut output);
                        }
                    }
                    input.advance(head + body);
                }
                Err((code, why)) => {
                    write(&status(code, why), &mut output);
                    return stream.write_all(&output).await;
                }
            }
        };
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        input.reserve(missing.max(READ));
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// Finds the first request's end; an error is a status to answer with before closing.
fn find(input: &[u8]) -> Result<Found, (u16, &'static str)> {
    if input.is_empty() {
        return Ok(Found::Partial(1));
    }
    let Some(head) = input.windows(4).position(|end| end == b"\r\n\r\n") else {
        if input.len() > MAX_HEAD {
            return Err((431, "the head is too long"));
        }
        return Ok(Found::Partial(1));
    };
    let head = head + 4;
    let mut body = 0;
    for line in input[..head].split(|byte| *byte == b'\n').skip(1) {
        if let Some(length) = field(line, b"content-length") {
            body = number(length).ok_or((400, "the content length is no number"))?;
        } else if field(line, b"transfer-encoding").is_some() {
            return Err((411, "the API takes no chunked bodies"));
        }
    }
    let body = usize::try_from(body).ok().filter(|body| *body <= MAX_BODY);
    let body = body.ok_or((413, "the body is over 16 MiB"))?;
    let missing = (head + body).saturating_sub(input.len());
    Ok(match missing {
        0 => Found::Whole { head, body },
        missing => Found::Partial(missing),
    })
}

/// The value of a head's line, if it has that name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (named, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    named.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

enum Answered {
    /// The output contains the answer.
    Written,
    /// The script prepares the answer.
    Scripted(PendingReply),
}

fn answer(request: &[u8], head: usize, shared: &Shared, output: &mut Vec<u8>) -> Answered {
    let (head, body) = request.split_at(head);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().and_then(|word| std::str::from_utf8(word).ok());
    let (Some(verb), Some(target)) = (verb(method), target) else {
        write(&status(405, "the API knows GET, POST and DELETE"), output);
        return Answered::Written;
    };
    let (mut epoch, mut sequence, mut content_type) = (None, None, None);
    for line in lines {
        // Few fields have the length of one that matters: most are passed over by their colon.
        match line.iter().position(|byte| *byte == b':') {
            Some(12) => content_type = content_type.or_else(|| field(line, b"content-type")),
            Some(14) => epoch = epoch.or_else(|| number(field(line, b"fetchway-epoch")?)),
            Some(17) => sequence = sequence.or_else(|| number(field(line, b"fetchway-sequence")?)),
            _ => {}
        }
    }
    let notice = Notice {
        verb,
        id: client(target),
        epoch,
        sequence,
    };
    if verb == Verb::Message && content_type == Some(events::TYPE) {
        answer_events(body, &notice, shared, output);
        return Answered::Written;
    }
    if let Some((code, why)) = refused(shared, &notice) {
        write(&status(code, why), output);
        return Answered::Written;
    }
    if shared.is_watched()
        && let Some(pending) = shared.watch(copied(method, target, head, body))
    {
        return Answered::Scripted(pending);
    }
    output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    let body: &[u8] = match verb {
        Verb::Connect => b"ok",
        Verb::Message => body,
        Verb::Delete => b"",
    };
    if let Some(content_type) = content_type.filter(|_| verb == Verb::Message) {
        output.extend_from_slice(b"content-type: ");
        output.extend_from_slice(content_type);
        output.extend_from_slice(b"\r\n");
    }
    if verb == Verb::Message && body.is_empty() {
        output.extend_from_slice(b"fetchway-send: always\r\n");
    }
    put_body(body, output);
    Answered::Written
}

fn answer_events(body: &[u8], notice: &Notice<'_>, shared: &Shared, output: &mut Vec<u8>) {
    let enter = |verb| match refused(shared, &Notice { verb, ..*notice }) {
        Some(refused) => Err(refused),
        None => Ok(()),
    };
    let mut events = Vec::new();
    if let Err((code, why)) = events::answer(body, enter, &mut events) {
        return write(&status(code, why), output);
    }
    output.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: ");
    output.extend_from_slice(events::TYPE);
    output.extend_from_slice(b"\r\n");
    put_body(&events, output);
}

/// Returns the request as a script sees it, without fields that are not valid HTTP.
fn copied(method: &[u8], target: &str, head: &[u8], body: &[u8]) -> ApiRequest {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let mut headers = HeaderMap::new();
    if parsed.parse(head).is_ok() {
        for field in parsed.headers.iter() {
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(field.name),
                HeaderValue::from_bytes(field.value),
            ) {
                headers.append(name, value);
            }
        }
    }
    ApiRequest {
        method: Method::from_bytes(method).unwrap_or_default(),
        target: target.to_owned(),
        version: version(false),
        headers,
        body: Bytes::copy_from_slice(body),
    }
}

fn write(reply: &ApiReply, output: &mut Vec<u8>) {
    let status = reply.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    output.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in reply.headers() {
        output.extend_from_slice(name.as_str().as_bytes());
        output.extend_from_slice(b": ");
        output.extend_from_slice(value.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        output.extend_from_slice(b"\r\n");
    } else {
        put_body(reply.body(), output);
    }
}

/// The last field, the head's end and the body.
fn put_body(body: &[u8], output: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a Vec does not fail.
    let _ = write!(output, "content-length: {}\r\n\r\n", body.len());
    output.extend_from_slice(body);
}
