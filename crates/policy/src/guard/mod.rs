//! Where a fetch may go: hosts and ports by name, addresses by range.
//!
//! `check_host` runs before a name is resolved. `check_address` must run on the very address that is
//! about to be dialled, IP literals and every redirect included: an answer vetted earlier may have
//! been replaced since (DNS rebinding).

mod embedded;
mod host;
mod net;
mod ranges;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::excerpt::Excerpt;
use crate::{ErrorName, FetchError};
use embedded::Destinations;

pub use host::HostPattern;
pub use net::{IpNet, PatternError};

/// Which destinations a fetch may have. The default allows every host, port and public address.
///
/// Part of the connection pool's key: a connection serves only the policy it was dialled under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressPolicy {
    /// Lifts the built-in refusal of private and special addresses for these ranges.
    pub allow_nets: Vec<IpNet>,
    /// Refused whatever else is allowed.
    pub deny_nets: Vec<IpNet>,
    /// If not empty, the only hosts that may be fetched from.
    pub allow_hosts: Vec<HostPattern>,
    /// Refused whatever else is allowed.
    pub deny_hosts: Vec<HostPattern>,
    /// If not empty, the only ports that may be dialled.
    pub allow_ports: Vec<RangeInclusive<u16>>,
    /// Refused whatever else is allowed.
    pub deny_ports: Vec<RangeInclusive<u16>>,
}

impl AddressPolicy {
    /// Allows every address, private ones too: for destinations that the operator has named, never
    /// for those that a client names.
    #[must_use]
    pub fn allow_all() -> Self {
        Self {
            allow_nets: vec![IpNet::v4([0; 4], 0), IpNet::v6(&[], 0)],
            ..Self::default()
        }
    }

    /// Whether `ip` may be dialled.
    ///
    /// An IPv6 address that carries IPv4 addresses (mapped, NAT64, 6to4, Teredo, ISATAP, …) is
    /// allowed only if each address it may lead to is. So an allowed IPv6 range never opens an IPv4
    /// one: allow that as itself.
    ///
    /// # Errors
    /// `destination_ip_prohibited`.
    pub fn check_address(&self, ip: IpAddr) -> Result<(), FetchError> {
        self.check_denied(ip, ip)?;
        for destination in Destinations::of(ip).iter() {
            self.check_denied(ip, destination)?;
            let Some(kind) = ranges::prohibited(destination) else {
                continue;
            };
            if !self.allow_nets.iter().any(|net| net.contains(destination)) {
                let what = describe(ip, destination);
                let remedy = match kind {
                    // Whoever may fetch from there may become the machine.
                    ranges::METADATA => {
                        "it gives out credentials: use another destination".to_owned()
                    }
                    _ => format!("`--allow-net {destination}` allows it"),
                };
                return Err(prohibited(format!(
                    "{what} is {kind} and so refused by default; {remedy}"
                )));
            }
        }
        Ok(())
    }

    fn check_denied(&self, ip: IpAddr, destination: IpAddr) -> Result<(), FetchError> {
        match self.deny_nets.iter().find(|net| net.contains(destination)) {
            None => Ok(()),
            Some(net) => {
                let what = describe(ip, destination);
                Err(prohibited(format!(
                    "{what} is in {net}, which the configuration denies; use another destination"
                )))
            }
        }
    }

    /// Whether `host`, as a parsed URL gives it, and `port` may be fetched from.
    ///
    /// Says nothing about the addresses behind the name: `check_address` does, once they are known.
    ///
    /// # Errors
    /// `http_request_denied`.
    pub fn check_host(&self, host: &str, port: u16) -> Result<(), FetchError> {
        let named = |patterns: &[HostPattern]| patterns.iter().any(|p| p.matches(host));
        let ranged = |ranges: &[RangeInclusive<u16>]| ranges.iter().any(|r| r.contains(&port));
        let shown = Excerpt(host);
        if named(&self.deny_hosts) {
            return Err(denied(format!(
                "the configuration denies fetches from the host {shown}; use another host"
            )));
        }
        if !self.allow_hosts.is_empty() && !named(&self.allow_hosts) {
            return Err(denied(format!(
                "the configuration allows fetches from listed hosts only, and {shown} is not among \
                 them; add it to the allowed hosts"
            )));
        }
        if ranged(&self.deny_ports) {
            return Err(denied(format!(
                "the configuration denies fetches from port {port}, here of {shown}; use another \
                 port"
            )));
        }
        if !self.allow_ports.is_empty() && !ranged(&self.allow_ports) {
            return Err(denied(format!(
                "the configuration allows fetches from listed ports only, and {port}, here of \
                 {shown}, is not among them; add it to the allowed ports"
            )));
        }
        Ok(())
    }
}

fn describe(ip: IpAddr, destination: IpAddr) -> String {
    if ip == destination {
        format!("the address {ip}")
    } else {
        format!("the address {ip} leads to {destination}, which")
    }
}

fn prohibited(detail: String) -> FetchError {
    FetchError::new(ErrorName::DestinationIpProhibited, detail)
}

fn denied(detail: String) -> FetchError {
    FetchError::new(ErrorName::HttpRequestDenied, detail)
}
