//! A range of addresses, written as in `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::excerpt::Excerpt;

/// A range of addresses: an address, and the number of its leading bits that count.
///
/// An IPv4-mapped IPv6 address is another spelling of its IPv4 address: `::ffff:10.0.0.0/104` is
/// `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// Reason why a text or a pair is not an [`IpNet`] or [`HostPattern`](super::HostPattern), as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(super) String);

impl IpNet {
    /// Returns the range of all addresses that share the first `prefix` bits of `address`.
    ///
    /// # Errors
    /// The prefix is longer than the address (32 or 128 bits), or bits are set beyond it: `10.1.2.3/8` may
    /// mean a single host or a range, so it is refused.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, PatternError> {
        let (address, prefix) = match address.to_canonical() {
            IpAddr::V4(v4) if address.is_ipv6() && prefix >= 96 => (IpAddr::V4(v4), prefix - 96),
            _ => (address, prefix),
        };
        let width = width(address);
        if prefix > width {
            return Err(PatternError(format!(
                "`{address}/{prefix}` has a prefix that is too long; the most is /{width}"
            )));
        }
        let net = Self { address, prefix };
        let cut = net.first();
        if cut != address {
            return Err(PatternError(format!(
                "`{address}/{prefix}` has bits set beyond its prefix; write {cut}/{prefix} for the \
                 range or {address}/{width} for the one address"
            )));
        }
        Ok(net)
    }

    /// For the built-in table: a wrong entry does not compile.
    pub(super) const fn v4(octets: [u8; 4], prefix: u8) -> Self {
        assert!(prefix <= 32);
        let bits = u32::from_be_bytes(octets);
        assert!(bits & !mask_v4(prefix) == 0);
        Self {
            address: IpAddr::V4(Ipv4Addr::from_bits(bits)),
            prefix,
        }
    }

    /// For the built-in table, from the leading segments of the address. The other segments are zero.
    pub(super) const fn v6(leading: &[u16], prefix: u8) -> Self {
        assert!(prefix <= 128 && leading.len() <= 8);
        let mut bits = 0u128;
        let mut at = 0;
        while at < leading.len() {
            bits |= (leading[at] as u128) << (112 - 16 * at);
            at += 1;
        }
        assert!(bits & !mask_v6(prefix) == 0);
        Self {
            address: IpAddr::V6(Ipv6Addr::from_bits(bits)),
            prefix,
        }
    }

    /// The lowest address of the range.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() & mask_v4(self.prefix)).into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & mask_v6(self.prefix)).into(),
        }
    }

    /// The highest address of the range.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() | !mask_v4(self.prefix)).into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() | !mask_v6(self.prefix)).into(),
        }
    }

    /// Returns true if `ip` is in the range. An IPv4-mapped IPv6 address counts as its IPv4 address. A
    /// range of one family contains no address of the other.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                (net.to_bits() ^ ip.to_bits()) & mask_v4(self.prefix) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                (net.to_bits() ^ ip.to_bits()) & mask_v6(self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// Converts an address to the range that contains only this address.
impl From<IpAddr> for IpNet {
    fn from(ip: IpAddr) -> Self {
        let address = ip.to_canonical();
        Self {
            address,
            prefix: width(address),
        }
    }
}

impl FromStr for IpNet {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let malformed = || {
            let text = Excerpt(text);
            PatternError(format!(
                "{text} is no address range; write it like 10.0.0.0/8, fd00::/8 or 192.0.2.7"
            ))
        };
        let Some((address, prefix)) = text.split_once('/') else {
            return text
                .parse::<IpAddr>()
                .map(Self::from)
                .map_err(|_| malformed());
        };
        // `u8::from_str` would accept `+8` too.
        if !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let address = address.parse().map_err(|_| malformed())?;
        Self::new(address, prefix.parse().map_err(|_| malformed())?)
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn mask_v4(prefix: u8) -> u32 {
    // A shift by the full width would overflow, so prefix 0 is a case of its own.
    if prefix == 0 {
        0
    } else {
        u32::MAX << (32 - prefix)
    }
}

const fn mask_v6(prefix: u8) -> u128 {
    if prefix == 0 {
        0
    } else {
        u128::MAX << (128 - prefix)
    }
}
