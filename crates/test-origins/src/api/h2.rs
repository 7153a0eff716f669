//! The API over HTTP/2 with prior knowledge. All requests of a connection are served in its task.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use ::h2::server::{Connection, SendResponse};
use ::h2::{Reason, RecvStream};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::account::{Notice, Verb};
use super::request::{ApiReply, ApiRequest, client, status};
use super::shared::{MAX_BODY, Shared, number, refused, verb, version};

/// Streams a client may have open on one connection.
const STREAMS: u32 = 1_024;
/// Bytes of a request's body that may come unasked, and of all of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Serves one connection of which `input` has been read already.
pub(super) async fn serve(stream: TcpStream, input: BytesMut, shared: &Shared) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let io = tokio::io::join(io::Cursor::new(input.freeze()).chain(read), write);
    let connection = ::h2::server::Builder::new()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(io)
        .await;
    run(connection.map_err(io::Error::other)?, shared).await
}

async fn run<S>(mut connection: Connection<S, Bytes>, shared: &Shared) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut running = FuturesUnordered::new();
    poll_fn(|context| {
        loop {
            while let Poll::Ready(accepted) = connection.poll_accept(context) {
                match accepted {
                    Some(Ok((request, respond))) => {
                        running.push(serve_one(request, respond, shared));
                    }
                    Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                    None => return Poll::Ready(Ok(())),
                }
            }
            let mut answered = false;
            while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {
                answered = true;
            }
            if !answered {
                return Poll::Pending;
            }
            // Once more round: the answers, all together, are written by the connection.
        }
    })
    .await
}

async fn serve_one(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) {
    // A client that has gone meanwhile can't be told.
    let Ok(Some(reply)) = answer(request, shared).await else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return;
    };
    let (mut head, mut body) = reply.into_parts();
    match head.status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => body = Bytes::new(),
        _ => {
            let length = HeaderValue::from(body.len());
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
    }
    let response = Response::from_parts(head, ());
    let Ok(mut stream) = respond.send_response(response, body.is_empty()) else {
        return;
    };
    if !body.is_empty() {
        // It waits for the client's window by itself; an error says that the client has gone.
        let _ = stream.send_data(body, true);
    }
}

/// Returns the reply to a request; `None` if the stream is to be reset.
async fn answer(
    request: Request<RecvStream>,
    shared: &Shared,
) -> Result<Option<ApiReply>, ::h2::Error> {
    let (parts, body) = request.into_parts();
    let body = match read(body).await? {
        Some(body) => body,
        None => return Ok(Some(status(413, "the body is over 16 MiB"))),
    };
    let Some(verb) = verb(parts.method.as_str().as_bytes()) else {
        return Ok(Some(status(405, "the API knows GET, POST and DELETE")));
    };
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let named = |name: &str| number(parts.headers.get(name)?.as_bytes());
    let notice = Notice {
        verb,
        id: client(target),
        epoch: named("fetchway-epoch"),
        sequence: named("fetchway-sequence"),
    };
    if let Some((code, why)) = refused(shared, &notice) {
        return Ok(Some(status(code, why)));
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).cloned();
    if shared.is_watched() {
        let watched = ApiRequest {
            method: parts.method,
            target: target.to_owned(),
            version: version(true),
            headers: parts.headers,
            body: body.clone(),
        };
        if let Some(pending) = shared.watch(watched) {
            return Ok(shared.reply(pending).await);
        }
    }
    let body = match verb {
        Verb::Connect => Bytes::from_static(b"ok"),
        Verb::Message => body,
        Verb::Delete => Bytes::new(),
    };
    let is_empty = body.is_empty();
    let mut reply = Response::new(body);
    if verb == Verb::Message {
        let fields = reply.headers_mut();
        if let Some(content_type) = content_type {
            fields.insert(header::CONTENT_TYPE, content_type);
        }
        if is_empty {
            fields.insert("fetchway-send", HeaderValue::from_static("always"));
        }
    }
    Ok(Some(reply))
}

/// Reads the whole body. Returns `None` for a body that is too long.
async fn read(mut body: RecvStream) -> Result<Option<Bytes>, ::h2::Error> {
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(piece) = poll_fn(|context| body.poll_data(context)).await {
        let piece = piece?;
        // A window that cannot be given back belongs to a stream that has ended.
        let _ = body.flow_control().release_capacity(piece.len());
        if whole.is_empty() && more.is_empty() {
            whole = piece;
            continue;
        }
        more.extend_from_slice(&whole);
        whole = Bytes::new();
        more.extend_from_slice(&piece);
        if more.len() > MAX_BODY {
            return Ok(None);
        }
    }
    Ok(Some(if more.is_empty() {
        whole
    } else {
        more.freeze()
    }))
}
