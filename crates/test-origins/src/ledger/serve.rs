//! A connection of the ledger's: HTTP/1.1, keep-alive, pipelining, requests without bodies.

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::rules::Verdict;
use crate::filler::expected_body;

/// Bytes asked of the socket at a time.
const READ: usize = 8 << 10;
/// Bytes of the longest head. As many are read ahead while an answer waits.
const MAX_HEAD: usize = 16 << 10;
/// Fields of a head at most.
const MAX_FIELDS: usize = 64;

/// The target of a request.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Item(u32),
    Unknown,
}

/// Serves until the client leaves.
pub(super) async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::with_capacity(READ);
    let mut output = Vec::with_capacity(READ);
    loop {
        let found = find(&input);
        let Ok(Some((length, asked))) = found else {
            stream.write_all(&output).await?;
            output.clear();
            if let Err(why) = found {
                put(&mut output, 400, "", why.as_bytes());
                return stream.write_all(&output).await;
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        input.advance(length);
        let Asked::Item(item) = asked else {
            put(&mut output, 404, "", b"the ledger has /item/NUMBER only");
            continue;
        };
        match shared.arrived(item) {
            Verdict::Refuse => put(&mut output, 429, "retry-after: 1\r\n", b""),
            Verdict::Answer(status, delay) => {
                if !delay.is_zero() {
                    stream.write_all(&output).await?;
                    output.clear();
                    if !stays(&mut stream, &mut input, Some(delay)).await? {
                        shared.abandon();
                        return Ok(());
                    }
                }
                match status {
                    200 => put(
                        &mut output,
                        200,
                        "",
                        &expected_body(item.into(), shared.size),
                    ),
                    status => put(&mut output, status, "", b""),
                }
            }
            Verdict::Stall => {
                stream.write_all(&output).await?;
                stays(&mut stream, &mut input, None).await?;
                shared.abandon();
                return Ok(());
            }
        }
    }
}

/// Whether the client is still there after that time; without one, waits until it is not. What it
/// sends meanwhile is kept, up to a bound; beyond it, that it leaves is no longer seen.
async fn stays(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    time: Option<Duration>,
) -> io::Result<bool> {
    let until = time.map(|time| Instant::now() + time);
    loop {
        let read = async {
            match input.len() < MAX_HEAD {
                true => stream.read_buf(input).await,
                false => std::future::pending().await,
            }
        };
        let read = match until {
            Some(until) => match timeout_at(until, read).await {
                Ok(read) => read,
                Err(_) => return Ok(true),
            },
            None => read.await,
        };
        // A reset is a way to leave.
        if matches!(read, Ok(0) | Err(_)) {
            return Ok(false);
        }
    }
}

/// The first request in `input`, and how long it is; an error is what to say before closing.
fn find(input: &[u8]) -> Result<Option<(usize, Asked)>, &'static str> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
        _ => return Err("this is no HTTP/1.1 request, or its head is too long"),
    };
    let has_body = request.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("transfer-encoding")
            || (field.name.eq_ignore_ascii_case("content-length") && field.value != b"0")
    });
    if has_body || request.method != Some("GET") {
        return Err("the ledger answers GET without a body only");
    }
    let path = request.path.unwrap_or_default();
    let number = path.strip_prefix("/item/").and_then(|it| it.parse().ok());
    Ok(Some((length, number.map_or(Asked::Unknown, Asked::Item))))
}

/// Appends an answer.
fn put(output: &mut Vec<u8>, status: u16, fields: &str, body: &[u8]) {
    let length = body.len();
    let head = format_args!(
        "HTTP/1.1 {status} \r\ncontent-type: text/plain\r\n{fields}content-length: {length}\r\n\r\n"
    );
    // Writing into memory does not fail.
    let _ = output.write_fmt(head);
    output.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_wherever_reads_are_cut() {
        let first = b"GET /item/41 HTTP/1.1\r\nhost: a\r\n\r\n";
        let input = [&first[..], b"GET /x HTTP/1.1\r\n\r\n"].concat();
        for cut in 0..first.len() {
            assert_eq!(find(&input[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(find(&input), Ok(Some((first.len(), Asked::Item(41)))));
        let rest = &input[first.len()..];
        assert_eq!(find(rest), Ok(Some((rest.len(), Asked::Unknown))));
    }

    #[test]
    fn what_it_can_t_serve_is_refused() {
        for not in [
            "POST /item/1 HTTP/1.1\r\n\r\n",
            "GET /item/1 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
            "GET /item/1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "\u{1}\u{2}\r\n\r\n",
        ] {
            assert!(find(not.as_bytes()).is_err(), "{not}");
        }
        let long = format!("GET /item/1 HTTP/1.1\r\na: {}", "b".repeat(MAX_HEAD));
        assert!(find(long.as_bytes()).is_err());
    }
}
