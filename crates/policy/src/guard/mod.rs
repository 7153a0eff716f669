//! The address policy: allowed hosts and ports by name, and addresses by range.
//!
//! `check_host` runs before a name is resolved. `check_address` must run on the very address that is about
//! to be dialled, for IP literals and every redirect too: an answer of DNS that was checked earlier may
//! have changed since (DNS rebinding).

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

/// The destinations that a fetch may have. The default allows every host, port and public address.
///
/// Each policy has its own connections: a connection serves only the policy under which it was dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddressPolicy {
    /// Ranges in which private and special addresses are allowed.
    pub allow_nets: Vec<IpNet>,
    /// Ranges that are refused, even if they are allowed elsewhere.
    pub deny_nets: Vec<IpNet>,
    /// If not empty, the only allowed hosts.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that are refused, even if they are allowed elsewhere.
    pub deny_hosts: Vec<HostPattern>,
    /// If not empty, the only allowed ports.
    pub allow_ports: Vec<RangeInclusive<u16>>,
    /// Ports that are refused, even if they are allowed elsewhere.
    pub deny_ports: Vec<RangeInclusive<u16>>,
}

impl AddressPolicy {
    /// Returns a policy that allows every address, private ones too: for destinations that the operator has
    /// named, never for those of a client.
    #[must_use]
    pub fn allow_all() -> Self {
        Self {
            allow_nets: vec![IpNet::v4([0; 4], 0), IpNet::v6(&[], 0)],
            ..Self::default()
        }
    }

    /// Checks that `ip` may be dialled.
    ///
    /// An IPv6 address that carries IPv4 addresses (mapped, NAT64, 6to4, Teredo, ISATAP, …) is allowed only
    /// if all addresses inside are allowed. An allowed IPv6 range therefore never allows an IPv4 range,
    /// which must be listed itself.
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
                    // Metadata services give out credentials of the machine.
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

    /// Checks that `host`, as a parsed URL has it, and `port` may be fetched from.
    ///
    /// The addresses of the name are checked later, by `check_address`.
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
