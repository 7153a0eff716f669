//! The opening handshake of both sides (RFC 6455 section 4).

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Maximum length of a response head that a client reads, in bytes.
const MAX_RESPONSE: usize = 16 << 10;

/// Maximum number of bytes that a client reads of a refusal's body: a problem document fits.
const MAX_REFUSAL_BODY: usize = 4 << 10;

/// Maximum time for which a client waits for a refusal's body.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The reason for which a request is not a WebSocket handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The request does not ask for an upgrade to `websocket`: 426.
    #[error("This address speaks WebSocket: send an upgrade request.")]
    NotAnUpgrade,
    /// The WebSocket version is not 13: 426, with the supported version.
    #[error("Only WebSocket version 13 is spoken here.")]
    Version,
    /// The method is not GET, or the key is missing or malformed: 400.
    #[error("The WebSocket handshake is malformed: it needs GET and a key of 16 bytes.")]
    Malformed,
}

impl HandshakeError {
    /// Returns the status of the response to the request.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }
}

/// A server's response that refuses the WebSocket. An error of [`connect`] carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server refused the WebSocket with {status}{}{body}", if body.is_empty() { "" } else { ": " })]
pub struct Refused {
    /// Status of the response.
    pub status: StatusCode,
    /// Body of the response as text, if its length was announced: at most 4 KiB, and only what arrives
    /// within a second.
    pub body: String,
}

impl Refused {
    /// Returns the refusal that `error` carries, if any.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}

fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    })
}

/// Answers a well-formed handshake, on the server's side, with a 101 response.
pub fn accept(method: &Method, headers: &HeaderMap) -> Result<Response<()>, HandshakeError> {
    if !lists(headers, header::UPGRADE, "websocket")
        || !lists(headers, header::CONNECTION, "upgrade")
    {
        return Err(HandshakeError::NotAnUpgrade);
    }
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|v| v.as_bytes() != b"13") {
        return Err(HandshakeError::Version);
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key).is_ok_and(|raw| raw.len() == 16))
        .filter(|_| *method == Method::GET)
        .ok_or(HandshakeError::Malformed)?;
    let accepted =
        HeaderValue::try_from(accept_key(key.as_bytes())).map_err(|_| HandshakeError::Malformed)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(response)
}

/// A client's handshake request.
#[derive(Clone, Debug)]
pub struct Handshake<'a> {
    /// Value of the `Host` field.
    pub host: &'a str,
    /// Path and query, at least `/`.
    pub target: &'a str,
    /// Additional fields, such as `Authorization` or `Sec-WebSocket-Protocol`.
    pub headers: HeaderMap,
}

/// Performs the client's side on a connected socket. Returns the server's response and the bytes that
/// followed it.
///
/// # Errors
/// Errors of the socket. A response that does not open a WebSocket is an error of kind `Other`. The
/// error carries [`Refused`], unless the response is not HTTP, is over 16 KiB, or does not match our
/// key.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    handshake: &Handshake<'_>,
) -> io::Result<(Response<()>, BytesMut)> {
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let mut request = BytesMut::new();
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
        handshake.target, handshake.host
    );
    request.extend_from_slice(head.as_bytes());
    for (name, value) in &handshake.headers {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    io.write_all(&request).await?;
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        if let Some((response, len)) = parse_response(&buffer)? {
            let _ = buffer.split_to(len);
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(refused(io, &response, buffer).await);
            }
            check_key(&response, &key)?;
            return Ok((response, buffer));
        }
        if buffer.len() > MAX_RESPONSE {
            return Err(io::Error::other("the server's handshake is over 16 KiB"));
        }
        if io.read_buf(&mut buffer).await? == 0 {
            let gone = "the server closed the connection during the WebSocket handshake";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, gone));
        }
    }
}

fn parse_response(bytes: &[u8]) -> io::Result<Option<(Response<()>, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut fields);
    let not_http = |_| io::Error::other("the server does not answer in HTTP/1.1");
    let httparse::Status::Complete(len) = parsed.parse(bytes).map_err(not_http)? else {
        return Ok(None);
    };
    let mut builder = Response::builder().status(parsed.code.unwrap_or_default());
    for field in parsed.headers.iter() {
        builder = builder.header(field.name, field.value);
    }
    let response = builder.body(()).map_err(io::Error::other)?;
    Ok(Some((response, len)))
}

async fn refused<S: AsyncRead + Unpin>(
    io: &mut S,
    response: &Response<()>,
    mut body: BytesMut,
) -> io::Error {
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let most = length.unwrap_or(body.len()).min(MAX_REFUSAL_BODY);
    let rest = async {
        while body.len() < most && !matches!(io.read_buf(&mut body).await, Ok(0) | Err(_)) {}
    };
    // Only the status matters: a missing body is not an error of its own.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, rest).await;
    body.truncate(most);
    io::Error::other(Refused {
        status: response.status(),
        body: String::from_utf8_lossy(&body).trim().to_owned(),
    })
}

fn check_key(response: &Response<()>, key: &str) -> io::Result<()> {
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|a| a.as_bytes() != accept_key(key.as_bytes()).as_bytes()) {
        return Err(io::Error::other(
            "the server's Sec-WebSocket-Accept does not fit our key",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_section_1_3() {
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    fn request(change: impl FnOnce(&mut HeaderMap)) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("WebSocket"));
        headers.insert(
            "connection",
            HeaderValue::from_static("keep-alive, Upgrade"),
        );
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        headers.insert(
            "sec-websocket-key",
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        change(&mut headers);
        headers
    }

    #[test]
    fn what_is_no_handshake_is_refused_with_its_status() {
        assert!(accept(&Method::GET, &request(|_| {})).is_ok());
        let refused = |method, headers: HeaderMap| accept(&method, &headers).unwrap_err();
        assert_eq!(
            refused(Method::GET, HeaderMap::new()),
            HandshakeError::NotAnUpgrade
        );
        assert_eq!(
            refused(Method::POST, request(|_| {})),
            HandshakeError::Malformed
        );
        let old = request(|h| {
            h.insert("sec-websocket-version", HeaderValue::from_static("8"));
        });
        assert_eq!(refused(Method::GET, old), HandshakeError::Version);
        let short = request(|h| {
            h.insert("sec-websocket-key", HeaderValue::from_static("YWJj"));
        });
        assert_eq!(refused(Method::GET, short), HandshakeError::Malformed);
    }

    async fn asked(server: &mut tokio::io::DuplexStream) -> String {
        let mut bytes = BytesMut::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut bytes).await.unwrap();
        }
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn handshake() -> Handshake<'static> {
        Handshake {
            host: "h",
            target: "/",
            headers: HeaderMap::new(),
        }
    }

    #[tokio::test]
    async fn both_sides_agree() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let serve = async {
            let text = asked(&mut server).await;
            let key = text
                .lines()
                .find_map(|l| l.strip_prefix("Sec-WebSocket-Key: "))
                .unwrap();
            let answer = format!(
                "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {}\r\n\r\nrest",
                accept_key(key.as_bytes())
            );
            server.write_all(answer.as_bytes()).await.unwrap();
        };
        let handshake = handshake();
        let (result, ()) = tokio::join!(connect(&mut client, &handshake), serve);
        assert_eq!(&result.unwrap().1[..], b"rest");
    }

    #[tokio::test]
    async fn a_refusal_is_read_to_its_end() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let long = "long ".repeat(100);
        let serve = async {
            asked(&mut server).await;
            let head = format!("HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\n", long.len());
            server.write_all(head.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            // The bytes after the body do not belong to it.
            let rest = format!("{long}HTTP/1.1 408 Late\r\n\r\n");
            server.write_all(rest.as_bytes()).await.unwrap();
        };
        let handshake = handshake();
        let (result, ()) = tokio::join!(connect(&mut client, &handshake), serve);
        let error = result.unwrap_err();
        assert_eq!(Refused::of(&error).unwrap().body, long.trim());
    }

    #[tokio::test]
    async fn a_refusal_tells_its_status() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let serve = async {
            asked(&mut server).await;
            let answer = "HTTP/1.1 429 Slow down\r\n\r\nlater ";
            server.write_all(answer.as_bytes()).await.unwrap();
        };
        let handshake = handshake();
        let (result, ()) = tokio::join!(connect(&mut client, &handshake), serve);
        let error = result.unwrap_err();
        let refused = Refused::of(&error).unwrap();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.body, "later");
        assert_eq!(error.to_string(), refused.to_string());
    }
}
