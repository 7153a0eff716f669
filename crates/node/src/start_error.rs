//! The errors with which a node cannot start.

use std::io;
use std::net::SocketAddr;

use fetchway_policy::FetchError;

use crate::config::ReadError;

/// Reason why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener beyond loopback has no token: the key of the listener, its address, and the setting of the token.
    #[error(
        "{0} = {1} can be reached from other machines, and no token is configured: set {2}, or listen on a \
         loopback address such as 127.0.0.1:{port}",
        port = .1.port()
    )]
    Open(String, SocketAddr, String),
    /// The address is in use, or does not belong to this machine: the key of the listener, the address, the error.
    #[error("{0} = {1} {why}", why = unbound(.2))]
    Bind(String, SocketAddr, io::Error),
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    File(#[from] ReadError),
    /// The engine refuses its configuration.
    #[error("the fetch engine can't be set up: {0}")]
    Engine(FetchError),
    /// A gateway cannot start: its table in the configuration, and the error.
    #[error("{0} can't be set up: {1}")]
    Gateway(String, FetchError),
}

/// Explains why an address cannot be listened on.
fn unbound(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "is in use by another process: end that, or choose another port (0 takes any \
                                     free one)"
                .to_owned()
        }
        _ => format!("can't be listened on ({error}): choose another address"),
    }
}
