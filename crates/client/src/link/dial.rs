//! Opening a socket to a relay: TCP, TLS, the WebSocket handshake, and which encoding it agreed to.

use std::io;

use bytes::BytesMut;
use fetchway_policy::ErrorName;
use fetchway_wire::v1::SUBPROTOCOL;
use fetchway_ws::{Handshake, Refused};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::Target;
use super::unreached::{Unreached, said};
use crate::builder::{Encoding, Settings};
use crate::error::Error;

/// The subprotocol of the JSON encoding.
const JSON: &str = "fetchway.json";

/// An open connection.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a server speaks on a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Binary,
    Json,
    /// JSON as it was before the subprotocols: what came into it since may mean nothing there.
    PlainJson,
}

/// An open WebSocket.
pub(super) struct Dialed {
    pub(super) io: Io,
    /// What came behind the handshake.
    pub(super) rest: BytesMut,
    pub(super) speaks: Speaks,
}

/// How a handshake went.
enum Shaken {
    Opened(Dialed),
    /// The server does not know subprotocols, or not ours.
    Foreign(String),
}

/// Opens a WebSocket to the relay within its connect timeout.
pub(super) async fn dial(
    target: &Target,
    settings: &Settings,
    encoding: Encoding,
) -> Result<Dialed, Unreached> {
    let limit = settings.connect_timeout;
    match tokio::time::timeout(limit, open(target, encoding)).await {
        Ok(opened) => opened,
        Err(_) => Err(Unreached::timed_out(target, limit)),
    }
}

async fn open(target: &Target, encoding: Encoding) -> Result<Dialed, Unreached> {
    let offer = match encoding {
        Encoding::Auto => "fetchway.v1, fetchway.json",
        Encoding::Binary => SUBPROTOCOL,
        Encoding::Json => JSON,
    };
    let why = match shake(target, Some(offer)).await? {
        Shaken::Opened(dialed) => return Ok(dialed),
        Shaken::Foreign(why) => why,
    };
    if encoding == Encoding::Binary {
        let detail = format!("{target} does not speak {SUBPROTOCOL} ({why}): let JSON do as well.");
        return Err(Error::new(ErrorName::HttpProtocolError, detail).into());
    }
    // A server from before the subprotocols: it confirms none, or refuses whoever offers any.
    tracing::debug!(relay = %target, why, "asked again without subprotocols");
    match shake(target, None).await? {
        Shaken::Opened(dialed) => Ok(dialed),
        Shaken::Foreign(why) => {
            let detail = format!("{target} opened no WebSocket: {why}.");
            Err(Error::new(ErrorName::DestinationUnavailable, detail).into())
        }
    }
}

/// A connection and one handshake on it.
async fn shake(target: &Target, offer: Option<&'static str>) -> Result<Shaken, Unreached> {
    let mut io = connect(target).await?;
    let mut headers = HeaderMap::new();
    if let Some(authorization) = &target.authorization {
        headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    if let Some(offer) = offer {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(offer),
        );
    }
    let handshake = Handshake {
        host: target.host_field(),
        target: target.path(),
        headers,
    };
    let shaken = match &mut io {
        Io::Plain(tcp) => fetchway_ws::connect(tcp, &handshake).await,
        Io::Tls(tls) => fetchway_ws::connect(tls.as_mut(), &handshake).await,
    };
    match shaken {
        Ok((response, rest)) => agreed(io, &response, rest, offer),
        // The handshake's own refusals; anything else is the connection's failure.
        Err(error) if error.kind() == io::ErrorKind::Other => match Refused::of(&error) {
            Some(refused) if refused.status == StatusCode::BAD_REQUEST => Ok(Shaken::Foreign(
                format!("it refused with {}", said(refused)),
            )),
            _ => Err(Unreached::refused(target, &error)),
        },
        Err(error) => {
            let detail = format!("The WebSocket handshake with {target} broke off: {error}.");
            Err(Error::new(ErrorName::ConnectionTerminated, detail).into())
        }
    }
}

/// What the server's 101 says about the encoding.
fn agreed(
    io: Io,
    response: &Response<()>,
    rest: BytesMut,
    offer: Option<&str>,
) -> Result<Shaken, Unreached> {
    let confirmed = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = |name: &str| offer.is_some_and(|offer| offer.contains(name));
    let speaks = match confirmed.map(HeaderValue::as_bytes) {
        None if offer.is_some() => {
            return Ok(Shaken::Foreign("it confirmed no subprotocol".to_owned()));
        }
        None => Speaks::PlainJson,
        Some(name) if name == JSON.as_bytes() && offered(JSON) => Speaks::Json,
        Some(name) if name == SUBPROTOCOL.as_bytes() && offered(SUBPROTOCOL) => Speaks::Binary,
        Some(name) => {
            let detail = format!(
                "The server confirmed the subprotocol {:?}, which was not offered: it is no relay.",
                String::from_utf8_lossy(&name[..name.len().min(80)])
            );
            return Err(Error::new(ErrorName::HttpProtocolError, detail).into());
        }
    };
    Ok(Shaken::Opened(Dialed { io, rest, speaks }))
}

async fn connect(target: &Target) -> Result<Io, Unreached> {
    let tcp = super::connect::connect(target).await?;
    let Some((name, config)) = target.secured() else {
        return Ok(Io::Plain(tcp));
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(tls) => Ok(Io::Tls(Box::new(tls))),
        Err(error) => Err(Unreached::tls(target, &error)),
    }
}
