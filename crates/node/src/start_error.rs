//! The errors with which a node cannot start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use fetchway_policy::FetchError;

use crate::config::ReadError;

/// Reason why a node could not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener beyond loopback has no token: the key of the listener, its address, and the setting of the token.
    Open(String, SocketAddr, String),
    /// The address is in use, or does not belong to this machine: the key of the listener, the address, the error.
    Bind(String, SocketAddr, io::Error),
    /// A file that the configuration names cannot be used.
    File(ReadError),
    /// The engine refuses its configuration.
    Engine(FetchError),
    /// A gateway cannot start: its table in the configuration, and the error.
    Gateway(String, FetchError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(key, address, token) => write!(
                f,
                "{key} = {address} can be reached from other machines, and no token is configured: \
                 set {token}, or listen on a loopback address such as 127.0.0.1:{}",
                address.port()
            ),
            Self::Bind(key, address, e) if e.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "{key} = {address} is in use by another process: end that, or choose another port \
                 (0 takes any free one)"
            ),
            Self::Bind(key, address, e) => {
                write!(
                    f,
                    "{key} = {address} can't be listened on ({e}): choose another address"
                )
            }
            Self::File(e) => e.fmt(f),
            Self::Engine(e) => write!(f, "the fetch engine can't be set up: {e}"),
            Self::Gateway(table, e) => write!(f, "{table} can't be set up: {e}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ReadError> for StartError {
    fn from(e: ReadError) -> Self {
        Self::File(e)
    }
}
