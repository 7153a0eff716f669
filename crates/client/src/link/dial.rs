//! Dials a relay: TCP, TLS, the WebSocket handshake, and the subprotocol that selects the encoding.

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
use super::unreached::{Unreached, describe};
use crate::error::Error;
use crate::settings::{Encoding, Settings};

/// Name of the JSON encoding as a WebSocket subprotocol.
const JSON: &str = "fetchway.json";

/// An open connection.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The subprotocol that a server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subprotocol {
    /// `fetchway.v1`
    Binary,
    /// `fetchway.json`
    Json,
    /// None: a server from before the subprotocols. It may ignore later additions to the JSON encoding.
    None,
}

/// An open WebSocket.
pub(super) struct Dialed {
    pub(super) io: Io,
    /// Bytes that were received behind the handshake.
    pub(super) buffered: BytesMut,
    pub(super) subprotocol: Subprotocol,
}

/// Result of a WebSocket handshake that the server answered.
enum Handshaken {
    Opened(Dialed),
    /// The server does not support the offered subprotocols, for this reason.
    NotSupported(String),
}

/// Opens a WebSocket to the relay within the connect timeout.
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
    let why = match handshake(target, Some(offer)).await? {
        Handshaken::Opened(dialed) => return Ok(dialed),
        Handshaken::NotSupported(why) => why,
    };
    if encoding == Encoding::Binary {
        let detail = format!(
            "{target} does not support {SUBPROTOCOL} ({why}): use a relay that does, or allow JSON."
        );
        return Err(Error::new(ErrorName::HttpProtocolError, detail).into());
    }
    // A server from before the subprotocols confirms none, or refuses a handshake that offers any.
    tracing::debug!(relay = %target, why, "retrying the handshake without subprotocols");
    match handshake(target, None).await? {
        Handshaken::Opened(dialed) => Ok(dialed),
        Handshaken::NotSupported(why) => {
            let detail = format!("{target} opened no WebSocket: {why}.");
            Err(Error::new(ErrorName::DestinationUnavailable, detail).into())
        }
    }
}

/// Opens a connection and performs one WebSocket handshake on it.
async fn handshake(target: &Target, offer: Option<&'static str>) -> Result<Handshaken, Unreached> {
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
    let request = Handshake {
        host: target.host_field(),
        target: target.path(),
        headers,
    };
    let answered = match &mut io {
        Io::Plain(tcp) => fetchway_ws::connect(tcp, &request).await,
        Io::Tls(tls) => fetchway_ws::connect(tls.as_mut(), &request).await,
    };
    match answered {
        Ok((response, buffered)) => check_subprotocol(io, &response, buffered, offer),
        // A refusal by the server. Other kinds are failures of the connection.
        Err(error) if error.kind() == io::ErrorKind::Other => match Refused::of(&error) {
            Some(refused) if refused.status == StatusCode::BAD_REQUEST => Ok(
                Handshaken::NotSupported(format!("it refused with {}", describe(refused))),
            ),
            _ => Err(Unreached::refused(target, &error)),
        },
        Err(error) => {
            let detail = format!(
                "The connection to {target} failed during the WebSocket handshake ({error}): try again later."
            );
            Err(Error::new(ErrorName::ConnectionTerminated, detail).into())
        }
    }
}

/// Returns the open WebSocket with the subprotocol that the server's 101 response confirms.
fn check_subprotocol(
    io: Io,
    response: &Response<()>,
    buffered: BytesMut,
    offer: Option<&str>,
) -> Result<Handshaken, Unreached> {
    let confirmed = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = |name: &str| offer.is_some_and(|offer| offer.contains(name));
    let subprotocol = match confirmed.map(HeaderValue::as_bytes) {
        None if offer.is_some() => {
            return Ok(Handshaken::NotSupported(
                "it confirmed no subprotocol".to_owned(),
            ));
        }
        None => Subprotocol::None,
        Some(name) if name == JSON.as_bytes() && offered(JSON) => Subprotocol::Json,
        Some(name) if name == SUBPROTOCOL.as_bytes() && offered(SUBPROTOCOL) => Subprotocol::Binary,
        Some(name) => {
            let detail = format!(
                "The server confirmed the subprotocol {:?}, which was not offered: check that the URL is that of a relay.",
                String::from_utf8_lossy(&name[..name.len().min(80)])
            );
            return Err(Error::new(ErrorName::HttpProtocolError, detail).into());
        }
    };
    Ok(Handshaken::Opened(Dialed {
        io,
        buffered,
        subprotocol,
    }))
}

async fn connect(target: &Target) -> Result<Io, Unreached> {
    let tcp = super::connect::connect(target).await?;
    let Some((name, config)) = target.tls_parameters() else {
        return Ok(Io::Plain(tcp));
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(tls) => Ok(Io::Tls(Box::new(tls))),
        Err(error) => Err(Unreached::tls(target, &error)),
    }
}
