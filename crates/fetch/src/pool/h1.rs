//! One HTTP/1.1 connection without a task of its own: the owner of the exchange drives it.
//!
//! An idle connection therefore costs no task and no wake-up. If the origin closes it, this is noticed when
//! the connection is used again or swept.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fetchway_policy::retry::Progress;
use fetchway_policy::{ErrorName, FetchError};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::Failure;
use crate::meter::{Meter, Metered};
use crate::request::Sending;
use crate::stream::Stream;

/// Maximum number of bytes of a response's header section, to within one read. Bodies are read in pieces of
/// this size, too.
const MAX_BUFFER: usize = 64 << 10;

type Connection = http1::Connection<TokioIo<Metered>, Sending>;

/// One HTTP/1.1 connection.
pub(crate) struct H1 {
    sender: http1::SendRequest<Sending>,
    /// hyper's connection; `None` once it has ended.
    connection: Option<Box<Connection>>,
    meter: Arc<Meter>,
    used: bool,
}

impl H1 {
    pub(crate) async fn open(stream: Stream, meter: Arc<Meter>) -> Result<Self, FetchError> {
        let io = TokioIo::new(Metered {
            stream,
            meter: meter.clone(),
        });
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(io)
            .await
            .map_err(|error| name(&error))?;
        Ok(Self {
            sender,
            connection: Some(Box::new(connection)),
            meter,
            used: false,
        })
    }

    /// Moves bytes in both directions as far as possible now.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection.as_mut()).poll(cx).is_ready()
        {
            // The exchange gets the error through its own channel.
            self.connection = None;
        }
    }

    /// Returns true if a further request may be sent. Checks the socket, so that a connection that the
    /// origin has closed is not used.
    pub(crate) fn is_ready(&mut self) -> bool {
        let look = std::future::poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        });
        // Without this, a task that has used up its share of tokio's time would see no bytes.
        let look = pin!(tokio::task::unconstrained(look));
        // The waker does not matter: the next exchange or sweep registers its own.
        let _ = look.poll(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the response's header.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Sending>,
    ) -> Result<Response<Incoming>, Failure> {
        let (read, written) = self.meter.counts();
        let reused = std::mem::replace(&mut self.used, true);
        let mut response = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        let result = std::future::poll_fn(|cx| {
            if let Some(alive) = connection
                && Pin::new(alive.as_mut()).poll(cx).is_ready()
            {
                *connection = None;
            }
            match response.as_mut().poll(cx) {
                Poll::Pending if connection.is_none() => response.as_mut().poll(cx),
                poll => poll,
            }
        })
        .await;
        result.map_err(|mut failed| {
            let (read_now, written_now) = self.meter.counts();
            let progress = if failed.message().is_some() || written_now == written {
                Progress::Unsent
            } else if reused && read_now == read {
                Progress::ReusedNoResponse
            } else if read_now == read {
                Progress::SentNoResponse
            } else {
                Progress::ResponseBegun
            };
            Failure {
                error: name(failed.error()),
                progress,
                body: failed.take_message().map(Request::into_body),
            }
        })
    }
}

/// Returns the error of a failed exchange.
pub(crate) fn name(error: &hyper::Error) -> FetchError {
    if let Some(inner) = source::<FetchError>(error) {
        return inner.clone();
    }
    let io = source::<std::io::Error>(error);
    let (name, what) = if error.is_parse() && error.to_string().contains("too large") {
        // hyper distinguishes this error by its message only.
        (
            ErrorName::HttpResponseHeaderSectionSize,
            "The response's header section is over 64 KiB, or has more than 100 fields.".to_owned(),
        )
    } else if error.is_parse() {
        (
            ErrorName::HttpProtocolError,
            format!("The origin's answer is not HTTP as it should be ({error})."),
        )
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        (
            ErrorName::ConnectionTerminated,
            "The origin closed the connection before its response was complete.".to_owned(),
        )
    } else if let Some(io) = io.filter(|io| is_bad_chunk(io)) {
        (
            ErrorName::HttpResponseTransferCoding,
            format!("The response's chunked coding is broken ({io})."),
        )
    } else if let Some(io) = io {
        (
            ErrorName::ConnectionTerminated,
            format!("The connection to the origin broke ({io})."),
        )
    } else {
        (
            ErrorName::HttpProtocolError,
            format!("The exchange with the origin failed ({error})."),
        )
    };
    FetchError::new(name, what)
}

/// Returns true for the errors of hyper's chunk decoder about an invalid size or end of line.
fn is_bad_chunk(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::InvalidData
    )
}

fn source<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::error::Error::source(error).and_then(|inner| inner.downcast_ref())
}
