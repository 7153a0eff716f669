//! Binding of a listener, and the error of an origin that cannot start.

use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel may hold until they are accepted. With fewer, each SYN of a burst beyond them
/// would cost its client a second. The kernel's own limit is usually the same.
const BACKLOG: u32 = 4_096;

/// Reason why an origin could not start.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(what: &str, reason: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {reason}"))
    }
}

impl From<rcgen::Error> for StartError {
    fn from(error: rcgen::Error) -> Self {
        Self::new(
            "the origin's certificate cannot be made; check its names",
            error,
        )
    }
}

impl From<rustls::Error> for StartError {
    fn from(error: rustls::Error) -> Self {
        Self::new("the origin's TLS cannot be set up", error)
    }
}

/// Binds `addr` with a long backlog. Returns the address with the real port.
pub(crate) fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = || {
        let socket = if addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|error: std::io::Error| {
        StartError::new(
            &format!("the origin cannot listen on {addr}; choose another address or port 0"),
            error,
        )
    })
}
