//! Opens a TCP connection to a relay, trying its addresses in parallel (RFC 8305, "Happy Eyeballs").

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fetchway_policy::ErrorName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::target::Target;
use crate::error::Error;

/// Time after which the next address is tried as well: the Connection Attempt Delay of RFC 8305 section 8.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Maximum number of addresses of one name that are tried. More are a mistake or an attack.
const MAX_ADDRESSES: usize = 16;

pub(super) async fn connect(target: &Target) -> Result<TcpStream, Error> {
    let addresses = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses = addresses.map_err(|error| resolve_error(target, &error))?;
    let addresses: Vec<SocketAddr> = alternate(addresses.collect());
    let tcp = connect_any(addresses, TcpStream::connect).await;
    let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
    tcp.map_err(|error| connect_error(target, &error))
}

/// Keeps the resolver's order but alternates between address families, as one of them may be unreachable.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == six);
    let mut turns = Vec::new();
    let mut others = others.into_iter();
    for address in ours {
        turns.push(address);
        turns.extend(others.next());
    }
    turns.extend(others);
    turns.truncate(MAX_ADDRESSES);
    turns
}

/// Returns the first connection to one of `addresses`. The next address is tried when the previous one has
/// failed, or after [`ATTEMPT_DELAY`].
///
/// # Errors
/// The last failure, if no address can be connected to.
async fn connect_any<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = addresses.into_iter();
    let mut tries = JoinSet::new();
    loop {
        let more = match addresses.next() {
            Some(address) => {
                tries.spawn(connect(address));
                true
            }
            None => false,
        };
        let tried = tokio::select! {
            tried = tries.join_next() => tried,
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => continue,
        };
        match tried {
            Some(Ok(Ok(connection))) => return Ok(connection),
            Some(Ok(Err(failed))) => error = failed,
            Some(Err(broken)) => error = io::Error::other(broken),
            // No attempt is in progress, so all addresses have been tried.
            None => return Err(error),
        }
    }
}

fn resolve_error(target: &Target, error: &io::Error) -> Error {
    let detail = format!(
        "The name of the relay {target} cannot be resolved ({error}): check the name and the DNS configuration."
    );
    Error::new(ErrorName::DnsError, detail)
}

fn connect_error(target: &Target, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    let name = match error.kind() {
        Kind::ConnectionRefused => ErrorName::ConnectionRefused,
        Kind::TimedOut => ErrorName::ConnectionTimeout,
        Kind::HostUnreachable | Kind::NetworkUnreachable => ErrorName::DestinationIpUnroutable,
        Kind::ConnectionReset | Kind::ConnectionAborted => ErrorName::ConnectionTerminated,
        _ => ErrorName::DestinationUnavailable,
    };
    let detail = format!(
        "Cannot connect to the relay {target} ({error}): check that it is running and that the URL is right."
    );
    Error::new(name, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn families_take_turns() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let tried = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(alternate(found), tried);
    }

    #[tokio::test]
    async fn an_address_that_is_silent_or_refuses_is_not_the_last() {
        let found = addresses(&["[::1]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]);
        let reached = connect_any(found.clone(), |address| async move {
            match address.to_string().as_str() {
                "[::1]:1" => std::future::pending().await,
                "1.1.1.1:1" => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => Ok(address),
            }
        });
        assert_eq!(reached.await.expect("the third"), found[2]);
        let none = connect_any(found, |address| async move {
            Err::<(), _>(io::Error::other(address.to_string()))
        });
        assert_eq!(none.await.expect_err("none").to_string(), "1.1.1.3:1");
        let nowhere = connect_any(Vec::new(), |_| std::future::ready(Ok(())));
        assert!(nowhere.await.is_err());
    }
}
