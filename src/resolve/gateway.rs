//! The default route's next hop, as the kernel shows it in proc(5): IPv4 first, then IPv6.
//!
//! Only the main routing table counts, and of several default routes the one that the kernel takes first. Of a route with several
//! next hops of IPv4 proc shows the first. What proc does not show is from which table a route of IPv6 is: with policy routing, a
//! default route of another table counts as well, if its metric is lower. A look takes microseconds where routes are few; for 50,000
//! of IPv6 the kernel takes seconds (Linux 6.18), at the cost of nobody but this thread's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Found;
use crate::monitor::target::Addr;

/// Flags of a route: it is usable, it has a next hop, it leads nowhere (`linux/route.h`).
const UP: u32 = 0x0001;
const GATEWAY: u32 = 0x0002;
const REJECT: u32 = 0x0200;

/// Where a router's own preference stands among the flags of IPv6 (RFC 4191, `linux/ipv6_route.h`).
const PREFERENCE_SHIFT: u32 = 27;

/// The tables of the network namespace of this very thread. They are there even where nothing else of /proc is (`ProcSubset=pid`).
const IPV4_ROUTES: &str = "/proc/thread-self/net/route";
const IPV6_ROUTES: &str = "/proc/thread-self/net/ipv6_route";

/// The next hop of the default route, that through `interface` where one is given.
///
/// # Errors
/// Why there is none.
pub(super) fn look_up(interface: Option<&str>) -> Found {
    let (ipv4, ipv6) = (table(IPV4_ROUTES, beginning)?, table(IPV6_ROUTES, io::read_to_string)?);
    let routes = [default_route(ipv4_routes(&ipv4), interface), default_route(ipv6_routes(&ipv6), interface)];
    let index = |interface: &str| nix::net::if_::if_nametoindex(interface).unwrap_or(0);
    next_hops(&routes, interface, index)
}

/// The text of a table, or what `read` takes of it; empty where the kernel does not speak that version.
fn table(path: &str, read: impl FnOnce(File) -> io::Result<String>) -> Result<String, String> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        opened => opened.and_then(read).map_err(|error| format!("{path}: {error}")),
    }
}

/// The default routes of `/proc/net/route`, which are the first: it is in the order of destinations, and a router's may have a million
/// lines.
fn beginning(table: impl Read) -> io::Result<String> {
    let (mut table, mut text) = (BufReader::new(table), String::new());
    for line in 0.. {
        let start = text.len();
        let length = table.read_line(&mut text)?;
        let destination = text[start..].split_ascii_whitespace().nth(1).and_then(hex);
        if length == 0 || (line > 0 && destination != Some(0)) {
            break;
        }
    }
    Ok(text)
}

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route<'a> {
    interface: &'a str,
    /// `None` on a link that has only one other end.
    next_hop: Option<IpAddr>,
    metric: u32,
    /// What decides between equal metrics, less is better.
    rank: u8,
}

/// The addresses of the routes' next hops, or why there are none.
fn next_hops(routes: &[Option<Route<'_>>], interface: Option<&str>, index: impl Fn(&str) -> u32) -> Found {
    let routes = || routes.iter().flatten();
    let addr = |route: &Route<'_>| {
        let ip = route.next_hop?;
        let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        Some(Addr { ip, scope: if is_link_local { index(route.interface) } else { 0 } })
    };
    let found: Vec<_> = routes().filter_map(addr).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match (routes().next(), interface) {
        (Some(route), _) => format!("the default route through {} has no next hop", route.interface).into(),
        (None, Some(interface)) => format!("there is no default route through {interface}").into(),
        (None, None) => "there is no default route".into(),
    })
}

/// The one that the kernel takes first. Among equals one with a next hop: IPv6 shows those of other tables too, and a tunnel's has none.
fn default_route<'a>(routes: impl Iterator<Item = Route<'a>>, interface: Option<&str>) -> Option<Route<'a>> {
    let eligible = routes.filter(|route| interface.is_none_or(|interface| route.interface == interface));
    eligible.min_by_key(|route| (route.metric, route.next_hop.is_none(), route.rank))
}

/// The default routes of `/proc/net/route`: addresses are hexadecimal numbers as they lie in memory, in network order.
fn ipv4_routes(table: &str) -> impl Iterator<Item = Route<'_>> {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (interface, destination, gateway) = (columns.next()?, hex(columns.next()?)?, hex(columns.next()?)?);
        let flags = hex(columns.next()?)?;
        let metric = columns.nth(2)?.parse().ok()?;
        let mask = hex(columns.next()?)?;
        let is_default = destination == 0 && mask == 0 && leads_somewhere(flags);
        let next_hop = has(flags, GATEWAY).then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into());
        is_default.then_some(Route { interface, next_hop, metric, rank: 0 })
    })
}

/// The default routes of `/proc/net/ipv6_route`: addresses are 32 hexadecimal digits in their order, everything else is hexadecimal.
fn ipv6_routes(table: &str) -> impl Iterator<Item = Route<'_>> {
    table.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        let &[destination, length, _, source_length, next_hop, metric, _, _, flags, interface] = &columns[..] else {
            return None;
        };
        let is_default = hex(length)? == 0 && hex(source_length)? == 0 && ipv6(destination)?.is_unspecified();
        let (flags, metric, next_hop) = (hex(flags)?, hex(metric)?, ipv6(next_hop)?);
        let next_hop = has(flags, GATEWAY).then(|| next_hop.into());
        (is_default && leads_somewhere(flags)).then_some(Route { interface, next_hop, metric, rank: preference(flags) })
    })
}

fn leads_somewhere(flags: u32) -> bool {
    has(flags, UP) && !has(flags, REJECT)
}

fn has(flags: u32, flag: u32) -> bool {
    flags & flag != 0
}

/// High, medium, low: two bits with a sign (RFC 4191, section 2.1).
fn preference(flags: u32) -> u8 {
    match (flags >> PREFERENCE_SHIFT) & 0b11 {
        0b01 => 0,
        0b00 => 1,
        _ => 2,
    }
}

fn hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

fn ipv6(digits: &str) -> Option<Ipv6Addr> {
    (digits.len() == 32).then_some(())?;
    u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.18 shows of two default routes, one that leads nowhere, and half of all addresses through a tunnel.
    #[cfg(target_endian = "little")]
    const IPV4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
*\t00000000\t00000000\t0201\t0\t0\t50\t00000000\t0\t0\t0
v0\t00000000\t0100010A\t0003\t0\t0\t200\t00000000\t0\t0\t0
v2\t00000000\t0100020A\t0003\t0\t0\t100\t00000000\t0\t0\t0
v0\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    /// Likewise; the last one is there always.
    const IPV6: &str = "\
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001       v0
00000000000000000000000000000000 01 00000000000000000000000000000000 00 fe800000000000000000000000000007 00000001 00000001 00000000 00000003     tun0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003       v0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000002 00000200 00000001 00000000 00000003       v2
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    fn found(ipv4: &str, ipv6: &str, interface: Option<&str>) -> Result<Vec<String>, String> {
        let routes = [default_route(ipv4_routes(ipv4), interface), default_route(ipv6_routes(ipv6), interface)];
        let index = |interface: &str| interface.strip_prefix('v').and_then(|digit| digit.parse().ok()).unwrap_or(9);
        let shown = |addr: &Addr| format!("{}%{}", addr.ip, addr.scope);
        next_hops(&routes, interface, index)
            .map(|addrs| addrs.iter().map(shown).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_of_the_lowest_metric_leads_to_the_gateway_ipv4_first() {
        assert_eq!(found(IPV4, IPV6, None), Ok(vec!["10.2.0.1%0".into(), "fe80::2%2".into()]));
        assert_eq!(found("", IPV6, None), Ok(vec!["fe80::2%2".into()]));
        assert_eq!(found(IPV4, "", None), Ok(vec!["10.2.0.1%0".into()]));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn of_a_long_table_only_the_beginning_is_read() {
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                assert!(self.0 < 3, "read on and on");
                let len = IPV4.len().min(buffer.len());
                buffer[..len].copy_from_slice(&IPV4.as_bytes()[..len]);
                Ok(len)
            }
        }
        let text = beginning(Endless(0)).expect("it can be read");
        assert_eq!(found(&text, "", None), Ok(vec!["10.2.0.1%0".into()]));
        assert_eq!(beginning(&b""[..]).expect("it can be read"), "");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_interface_chooses_among_default_routes() {
        assert_eq!(found(IPV4, IPV6, Some("v0")), Ok(vec!["10.1.0.1%0".into(), "fe80::1%0".into()]));
        assert_eq!(found(IPV4, IPV6, Some("eth0")), Err("there is no default route through eth0".into()));
    }

    #[test]
    fn without_a_default_route_there_is_no_gateway() {
        let last = IPV6.lines().last().expect("lines");
        assert_eq!(found("Iface\n", last, None), Err("there is no default route".into()));
        assert_eq!(found("", "", None), Err("there is no default route".into()));
    }

    #[test]
    fn a_link_with_only_one_other_end_has_no_next_hop() {
        let tunnel = "Iface\ntun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(found(tunnel, "", None), Err("the default route through tun0 has no next hop".into()));
        assert_eq!(found(tunnel, IPV6, None), Ok(vec!["fe80::2%2".into()]));
    }

    /// One line of IPv6's table: a default route.
    fn ipv6_default(next_hop: &str, flags: u32, interface: &str) -> String {
        let next_hop: u128 = next_hop.parse::<Ipv6Addr>().expect("an address").into();
        format!("{0:032x} 00 {0:032x} 00 {next_hop:032x} 00000400 00000001 00000000 {flags:08x} {interface}\n", 0)
    }

    #[test]
    fn a_global_next_hop_needs_no_zone() {
        assert_eq!(found("", &ipv6_default("fd99::1", 3, "v0"), None), Ok(vec!["fd99::1%0".into()]));
    }

    #[test]
    fn routers_of_equal_metric_are_told_apart_by_their_preference() {
        let low = ipv6_default("fe80::1", 0x1845_0003, "v1");
        let medium = ipv6_default("fe80::2", 0x0045_0003, "v1");
        let high = ipv6_default("fe80::3", 0x0845_0003, "v1");
        assert_eq!(found("", &[&low, &medium, &high].map(String::as_str).concat(), None), Ok(vec!["fe80::3%1".into()]));
        assert_eq!(found("", &(low + &medium), None), Ok(vec!["fe80::2%1".into()]));
        let tunnel = ipv6_default("::", 1, "wg0");
        assert_eq!(found("", &(tunnel + &medium), None), Ok(vec!["fe80::2%1".into()]));
    }

    #[test]
    fn lines_that_are_none_of_the_kernels_are_passed_over() {
        for text in
            ["\n\n", "a\nb c\nd e f g h i j k l m n", "v0\t00000000\nv0\t0\t0\tx\t0\t0\t0\t0", "ä 0 0 0 0 0 0 0 0 ß"]
        {
            assert_eq!((ipv4_routes(text).count(), ipv6_routes(text).count()), (0, 0), "{text:?}");
        }
    }

    #[test]
    fn this_machines_tables_can_be_read() {
        let found = look_up(None);
        let is_sound = match &found {
            Ok(addrs) => !addrs.is_empty(),
            Err(error) => error.contains("default route"),
        };
        assert!(is_sound, "{found:?}");
        assert_eq!(look_up(Some("no-such-if")), Err("there is no default route through no-such-if".into()));
    }
}
