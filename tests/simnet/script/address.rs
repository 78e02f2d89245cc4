//! Which addresses there may be in a script: where packets of others come from and go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where forged replies come from that are from nobody probed; README.md names them.
const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xfe);

/// Addresses of no host on a network: Linux drops what comes from there.
const NO_HOSTS: [IpNet; 7] = [
    v4(Ipv4Addr::UNSPECIFIED, 8),
    v4(Ipv4Addr::new(127, 0, 0, 0), 8),
    v4(Ipv4Addr::new(224, 0, 0, 0), 4),
    v4(Ipv4Addr::BROADCAST, 32),
    v6(Ipv6Addr::UNSPECIFIED, 128),
    v6(Ipv6Addr::LOCALHOST, 128),
    v6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

const fn v4(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(address, length))
}

const fn v6(address: Ipv6Addr, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address, length))
}

/// The sender of forged replies in the family of `address`.
pub(crate) fn foreign(address: IpAddr) -> IpAddr {
    if address.is_ipv6() { FOREIGN_V6.into() } else { FOREIGN_V4.into() }
}

/// Refuses a prefix in which there is never a host.
pub(super) fn of_hosts(prefix: IpNet) -> Result<(), String> {
    let no_hosts = NO_HOSTS.iter().find(|no_hosts| no_hosts.contains(&prefix));
    let shown: &dyn std::fmt::Display =
        if prefix.prefix_len() == prefix.max_prefix_len() { &prefix.addr() } else { &prefix };
    no_hosts.map_or(Ok(()), |no_hosts| Err(format!("{shown} is in {no_hosts}, where there are no hosts")))
}

/// What the addresses of a script are held against.
pub(super) struct Map {
    /// The device's own addresses.
    pub(super) own: Vec<IpAddr>,
    /// All prefixes.
    pub(super) prefixes: Vec<IpNet>,
}

impl Map {
    /// Refuses an address whose packets Linux would drop, or that is not of the family of `prefix`.
    pub(super) fn sender(&self, prefix: IpNet, key: &str, address: IpAddr) -> Result<(), String> {
        if address.is_ipv6() != prefix.addr().is_ipv6() {
            return Err(format!("{key}: {address} and {prefix} are not of the same family"));
        }
        if self.own.contains(&address) {
            return Err(format!("{key}: {address} is the device's own, from which Linux lets nothing in"));
        }
        of_hosts(address.into()).map_err(|what| format!("{key}: {what}"))
    }

    /// Refuses a stranger's replies for `prefix` where the stranger is none.
    pub(super) fn stranger(&self, prefix: IpNet) -> Result<(), String> {
        let foreign = foreign(prefix.addr());
        self.sender(prefix, "forge", foreign)?;
        match self.prefixes.iter().find(|prefix| prefix.contains(&foreign)) {
            Some(known) => {
                Err(format!("forge: {foreign}, from which \"foreign\" comes, is in {known}: no prefix may hold it"))
            }
            None => Ok(()),
        }
    }
}
