//! A TCP connection to a relay, by the first of its addresses that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fetchway_policy::ErrorName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::target::Target;
use crate::error::Error;

/// How long an address may take before the next one is tried beside it: RFC 8305 section 8.
const BESIDE: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried; more are a mistake, or an attack.
const MAX_ADDRESSES: usize = 16;

pub(super) async fn connect(target: &Target) -> Result<TcpStream, Error> {
    let addresses = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses = addresses.map_err(|error| unknown(target, &error))?;
    let addresses: Vec<SocketAddr> = in_turn(addresses.collect());
    let tcp = first(addresses, TcpStream::connect).await;
    let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp));
    tcp.map_err(|error| failed(target, &error))
}

/// The resolver's order, but for the families: they take turns, as one of them may lead nowhere.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
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

/// The first connection of those to `addresses`. The next one is begun when the last one has failed
/// or takes long. The last failure, if there is none.
async fn first<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
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
            () = tokio::time::sleep(BESIDE), if more => continue,
        };
        match tried {
            Some(Ok(Ok(connection))) => return Ok(connection),
            Some(Ok(Err(failed))) => error = failed,
            Some(Err(broken)) => error = io::Error::other(broken),
            // None is under way, so there is no other address either.
            None => return Err(error),
        }
    }
}

fn unknown(target: &Target, error: &io::Error) -> Error {
    let detail = format!(
        "The name of the relay {target} cannot be resolved ({error}): check the name and the network."
    );
    Error::new(ErrorName::DnsError, detail)
}

fn failed(target: &Target, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    let name = match error.kind() {
        Kind::ConnectionRefused => ErrorName::ConnectionRefused,
        Kind::TimedOut => ErrorName::ConnectionTimeout,
        Kind::HostUnreachable | Kind::NetworkUnreachable => ErrorName::DestinationIpUnroutable,
        Kind::ConnectionReset | Kind::ConnectionAborted => ErrorName::ConnectionTerminated,
        _ => ErrorName::DestinationUnavailable,
    };
    let detail = format!("There is no relay at {target} ({error}): start one, or name another.");
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
        assert_eq!(in_turn(found), tried);
    }

    #[tokio::test]
    async fn an_address_that_is_silent_or_refuses_is_not_the_last() {
        let found = addresses(&["[::1]:1", "1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]);
        let reached = first(found.clone(), |address| async move {
            match address.to_string().as_str() {
                "[::1]:1" => std::future::pending().await,
                "1.1.1.1:1" => Err(io::ErrorKind::ConnectionRefused.into()),
                _ => Ok(address),
            }
        });
        assert_eq!(reached.await.expect("the third"), found[2]);
        let none = first(found, |address| async move {
            Err::<(), _>(io::Error::other(address.to_string()))
        });
        assert_eq!(none.await.expect_err("none").to_string(), "1.1.1.3:1");
        let nowhere = first(Vec::new(), |_| std::future::ready(Ok(())));
        assert!(nowhere.await.is_err());
    }
}
