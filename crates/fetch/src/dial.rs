//! Opens connections: resolves the name, checks every address, connects, and does the TLS handshake.
//!
//! Sockets to origins are opened only here, and `vet` checks every address immediately before it is
//! connected to. IP literals take the same way as resolved names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::RwLock;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::clock::IN_TIME;
use crate::dns::Dns;
use crate::stream::Stream;
use crate::tls;

/// Head start of one address before the next one is tried in parallel (RFC 8305 section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// The state that all dials of an engine share.
pub(crate) struct Dialer {
    pub(crate) dns: Dns,
    pub(crate) tls: Arc<ClientConfig>,
    own: RwLock<Vec<SocketAddr>>,
}

/// The destination of a dial, and its protocol.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// Without TLS, and HTTP/2 from the first byte (RFC 9113 section 3.3).
    pub(crate) h2c: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Dialer {
    pub(crate) fn new(dns: Dns, tls: Arc<ClientConfig>) -> Self {
        Self {
            dns,
            tls,
            own: RwLock::default(),
        }
    }

    /// Makes the engine refuse `listener`'s address as a destination.
    pub(crate) fn add_own_listener(&self, listener: SocketAddr) {
        self.own.write().push(listener);
    }

    /// Opens a connection. Returns true with it if it is for HTTP/2: the origin chose HTTP/2, or is known
    /// to speak it.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        policy: &AddressPolicy,
        deadline: Instant,
    ) -> Result<(Stream, bool), FetchError> {
        let timed_out = |name, step| {
            let detail = format!("{step} {target} did not succeed{IN_TIME}");
            move |_| FetchError::new(name, detail)
        };
        let addresses = tokio::time::timeout_at(deadline, self.addresses(target, policy))
            .await
            .map_err(timed_out(ErrorName::DnsTimeout, "Resolving"))??;
        let tcp = tokio::time::timeout_at(deadline, connect_any(target, &addresses))
            .await
            .map_err(timed_out(ErrorName::ConnectionTimeout, "Connecting to"))??;
        if !target.tls {
            return Ok((Stream::Plain(tcp), target.h2c));
        }
        let stream = tokio::time::timeout_at(deadline, self.handshake(target, tcp))
            .await
            .map_err(timed_out(
                ErrorName::ConnectionTimeout,
                "The TLS handshake with",
            ))??;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::Tls(stream), h2))
    }

    async fn handshake(
        &self,
        target: &Target,
        tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, FetchError> {
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| {
                    let detail =
                        format!("{name} is no name that a certificate could be valid for.");
                    FetchError::new(ErrorName::InvalidRequest, detail)
                })?,
            Host::Ipv4(ip) => ServerName::IpAddress(IpAddr::V4(*ip).into()),
            Host::Ipv6(ip) => ServerName::IpAddress(IpAddr::V6(*ip).into()),
        };
        TlsConnector::from(self.tls.clone())
            .connect(name, tcp)
            .await
            .map_err(|error| tls::handshake_error(&target.to_string(), &error))
    }

    /// Returns the addresses of the target, all of them checked. One prohibited address makes the whole
    /// name prohibited, because such a mixture suggests an attack.
    async fn addresses(
        &self,
        target: &Target,
        policy: &AddressPolicy,
    ) -> Result<Vec<SocketAddr>, FetchError> {
        let ips: Vec<IpAddr> = match &target.host {
            Host::Ipv4(ip) => vec![(*ip).into()],
            Host::Ipv6(ip) => vec![(*ip).into()],
            Host::Domain(name) => self.dns.resolve(name).await?.to_vec(),
        };
        let addresses: Vec<SocketAddr> = interleave(&ips)
            .into_iter()
            .map(|ip| (ip, target.port).into())
            .collect();
        for address in &addresses {
            self.vet(*address, policy)?;
        }
        Ok(addresses)
    }

    fn vet(&self, address: SocketAddr, policy: &AddressPolicy) -> Result<(), FetchError> {
        policy.check_address(address.ip())?;
        let own = self.own.read();
        let ip = reached(address.ip().to_canonical());
        let is_own = own.iter().any(|listener| {
            listener.port() == address.port()
                && (listener.ip().to_canonical() == ip
                    || listener.ip().is_unspecified() && is_this_machine(ip))
        });
        if is_own {
            let detail =
                format!("{address} is a listener of this node: a fetch must not lead back to it.");
            return Err(FetchError::new(ErrorName::ProxyLoopDetected, detail));
        }
        Ok(())
    }
}

/// Returns the address at which a connection to `ip` ends: the kernel takes the unspecified address for
/// loopback.
fn reached(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// Returns true if packets to `ip` stay on this machine: the kernel would send them from that very address.
fn is_this_machine(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() {
        [0; 4].into()
    } else {
        [0u16; 8].into()
    };
    // Connecting a datagram socket sends nothing. It only asks for the route.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

/// Returns the addresses with their families in turn, beginning with the family of the first answer (RFC
/// 8305 section 4).
fn interleave(ips: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = ips.first() else {
        return Vec::new();
    };
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) = ips
        .iter()
        .copied()
        .partition(|ip| ip.is_ipv4() == first.is_ipv4());
    let longest = same.len().max(other.len());
    (0..longest)
        .flat_map(|i| same.get(i).into_iter().chain(other.get(i)))
        .copied()
        .collect()
}

/// Returns a connection to the first address that answers. The next address is tried when one fails, or
/// when its head start is over.
async fn connect_any(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let mut rest = addresses.iter().copied();
    let mut tries = FuturesUnordered::new();
    tries.extend(rest.next().map(TcpStream::connect));
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while !tries.is_empty() {
        let next = if rest.len() == 0 {
            tries.next().await
        } else {
            tokio::time::timeout(NEXT_ADDRESS, tries.next())
                .await
                .unwrap_or(None)
        };
        match next {
            Some(Ok(stream)) => {
                stream
                    .set_nodelay(true)
                    .map_err(|error| connect_error(target, &error))?;
                return Ok(stream);
            }
            Some(Err(error)) => last = error,
            None => {}
        }
        tries.extend(rest.next().map(TcpStream::connect));
    }
    Err(connect_error(target, &last))
}

fn connect_error(target: &Target, error: &io::Error) -> FetchError {
    use io::ErrorKind as Kind;
    let (name, what) = match error.kind() {
        Kind::ConnectionRefused => (
            ErrorName::ConnectionRefused,
            format!("{target} refused the connection: is it running, and on this port?"),
        ),
        Kind::TimedOut => (ErrorName::ConnectionTimeout, format!("{target} does not answer.")),
        Kind::HostUnreachable | Kind::NetworkUnreachable => (
            ErrorName::DestinationIpUnroutable,
            format!("There is no route to {target}."),
        ),
        Kind::ConnectionReset | Kind::ConnectionAborted => (
            ErrorName::ConnectionTerminated,
            format!("{target} ended the connection as it was being opened."),
        ),
        // EMFILE and ENFILE have no `ErrorKind` of their own.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => (
            ErrorName::ConnectionLimitReached,
            "No file descriptor is left for a connection: raise the open-file limit or lower the lanes' concurrency."
                .to_owned(),
        ),
        _ => (
            ErrorName::DestinationUnavailable,
            format!("The connection to {target} could not be opened ({error})."),
        ),
    };
    FetchError::new(name, what)
}
