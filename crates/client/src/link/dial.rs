//! Opening a socket to a relay: TCP, TLS, the WebSocket handshake, and which encoding it agreed to.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use fetchway_policy::{ErrorName, FetchError};
use fetchway_wire::v1::SUBPROTOCOL;
use fetchway_ws::Handshake;
use http::{HeaderMap, HeaderValue, Response, header};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::target::Target;
use crate::builder::{Encoding, Settings};

/// The subprotocol of the JSON encoding.
const JSON: &str = "fetchway.json";

/// An open connection.
pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// An open WebSocket.
pub(super) struct Dialed {
    pub(super) io: Io,
    /// What came behind the handshake.
    pub(super) rest: BytesMut,
    /// The relay speaks the binary encoding.
    pub(super) binary: bool,
}

/// How a handshake went.
enum Shaken {
    Opened(Dialed),
    /// The server refused it, or answered without confirming what was offered.
    Refused(io::Error),
}

/// Opens a WebSocket to the relay within its connect timeout.
pub(super) async fn dial(target: &Target, settings: &Settings) -> Result<Dialed, FetchError> {
    let limit = settings.connect_timeout;
    match tokio::time::timeout(limit, open(target, settings)).await {
        Ok(opened) => opened,
        Err(_) => Err(timed_out(target, limit)),
    }
}

async fn open(target: &Target, settings: &Settings) -> Result<Dialed, FetchError> {
    let offer = match settings.encoding {
        Encoding::Auto => "fetchway.v1, fetchway.json",
        Encoding::Json => JSON,
    };
    if let Shaken::Opened(dialed) = shake(target, settings, Some(offer)).await? {
        return Ok(dialed);
    }
    // A server from before the subprotocols: it confirms none, or refuses whoever offers any.
    match shake(target, settings, None).await? {
        Shaken::Opened(dialed) => Ok(dialed),
        Shaken::Refused(error) => {
            let detail = format!("{target} opened no WebSocket: {error}.");
            Err(FetchError::new(ErrorName::DestinationUnavailable, detail))
        }
    }
}

/// A connection and one handshake on it.
async fn shake(
    target: &Target,
    settings: &Settings,
    offer: Option<&'static str>,
) -> Result<Shaken, FetchError> {
    let mut io = connect(target).await?;
    let mut headers = HeaderMap::new();
    if let Some(authorization) = &settings.authorization {
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
        Err(error) if error.kind() == io::ErrorKind::Other => Ok(Shaken::Refused(error)),
        Err(error) => {
            let detail = format!("The WebSocket handshake with {target} broke off: {error}.");
            Err(FetchError::new(ErrorName::ConnectionTerminated, detail))
        }
    }
}

/// What the server's 101 says about the encoding.
fn agreed(
    io: Io,
    response: &Response<()>,
    rest: BytesMut,
    offer: Option<&str>,
) -> Result<Shaken, FetchError> {
    let confirmed = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    let binary = match (confirmed.map(HeaderValue::as_bytes), offer) {
        (None, None) => false,
        (None, Some(_)) => {
            let error = io::Error::other("it confirmed no subprotocol");
            return Ok(Shaken::Refused(error));
        }
        (Some(name), Some(offer)) if name == JSON.as_bytes() && offer.contains(JSON) => false,
        (Some(name), Some(offer))
            if name == SUBPROTOCOL.as_bytes() && offer.contains(SUBPROTOCOL) =>
        {
            true
        }
        (Some(name), _) => {
            let detail = format!(
                "The server confirmed the subprotocol {:?}, which was not offered: it is no relay.",
                String::from_utf8_lossy(&name[..name.len().min(80)])
            );
            return Err(FetchError::new(ErrorName::HttpProtocolError, detail));
        }
    };
    Ok(Shaken::Opened(Dialed { io, rest, binary }))
}

async fn connect(target: &Target) -> Result<Io, FetchError> {
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await;
    let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
    let tcp = tcp.map_err(|error| connect_error(target, &error))?;
    let Some((name, config)) = target.secured() else {
        return Ok(Io::Plain(tcp));
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(tls) => Ok(Io::Tls(Box::new(tls))),
        Err(error) => Err(tls_error(target, &error)),
    }
}

fn timed_out(target: &Target, limit: Duration) -> FetchError {
    let detail = format!("{target} opened no WebSocket within {limit:?}.");
    FetchError::new(ErrorName::ConnectionTimeout, detail)
}

fn connect_error(target: &Target, error: &io::Error) -> FetchError {
    use io::ErrorKind as Kind;
    let name = match error.kind() {
        Kind::ConnectionRefused => ErrorName::ConnectionRefused,
        Kind::TimedOut => ErrorName::ConnectionTimeout,
        Kind::HostUnreachable | Kind::NetworkUnreachable => ErrorName::DestinationIpUnroutable,
        Kind::ConnectionReset | Kind::ConnectionAborted => ErrorName::ConnectionTerminated,
        _ => ErrorName::DestinationUnavailable,
    };
    let detail = format!("There is no relay at {target} ({error}): start one, or name another.");
    FetchError::new(name, detail)
}

fn tls_error(target: &Target, error: &io::Error) -> FetchError {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let name = match inner {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorName::TlsCertificateError,
        Some(rustls::Error::AlertReceived(_)) => ErrorName::TlsAlertReceived,
        _ => ErrorName::TlsProtocolError,
    };
    FetchError::new(
        name,
        format!("The TLS handshake with {target} failed: {error}."),
    )
}
