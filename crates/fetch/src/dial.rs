//! Opening a connection: resolve, vet every address, connect, shake hands.
//!
//! This is the only place in which a socket to an origin is opened, and every address passes
//! `vet` right before it. An IP literal takes the same way as a resolved name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use fetchway_policy::guard::AddressPolicy;
use fetchway_policy::{ErrorName, FetchError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
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

/// The head start of one address before the next is tried beside it (RFC 8305 section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What every dial of an engine shares.
pub(crate) struct Dialer {
    pub(crate) dns: Dns,
    pub(crate) tls: Arc<ClientConfig>,
    own: RwLock<Vec<SocketAddr>>,
}

/// Where to, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// Without TLS, and in HTTP/2 from the first byte (RFC 9113 section 3.3).
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

    /// From now on `listener`'s address is refused as a destination.
    pub(crate) fn add_own_listener(&self, listener: SocketAddr) {
        self.own
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(listener);
    }

    /// Opens a connection, and says whether it is for HTTP/2: the origin chose it, or is known to
    /// speak it.
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

    /// The target's addresses, all of them vetted: one bad answer among good ones refuses the
    /// whole name, as whoever mixes them is trying something.
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
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
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

/// Where a connection to `ip` ends: the kernel takes the unspecified address for loopback.
fn reached(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// Whether packets to `ip` stay here: the kernel would send them from that very address.
fn is_this_machine(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() {
        [0; 4].into()
    } else {
        [0u16; 8].into()
    };
    // Connecting a datagram socket sends nothing; it only asks for the route.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

/// The families in turn, beginning with the first answer's (RFC 8305 section 4).
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

/// The first address that answers. The next one is tried when one fails, or when it has kept us
/// waiting for its head start.
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
        // EMFILE and ENFILE have no kind of their own.
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
