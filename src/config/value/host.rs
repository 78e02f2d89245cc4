//! Rules of what is probed: an address, a name, or the default route's next hop.

use std::net::{IpAddr, Ipv6Addr};

use super::{Refusal, Result, refuse};
use crate::monitor::target::{GATEWAY, Host, Interface, Name};

/// What to probe: an address, an IPv6 address with a zone, a host name, or `@gateway`, which may have a zone as well.
///
/// A name may have underscores, as names of containers do, and a dot at its end. What looks like an address but is none
/// is refused here rather than looked up: the resolver would find nothing, or read `1.2.3` as `1.2.0.3` (inet_aton(3)).
pub fn host(text: &str) -> Result<Host> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return match unfit(ip) {
            Some(why) => refuse(format!("must be the address of one host; this is {why}")),
            None => Ok(Host::Address(ip.into())),
        };
    }
    if text.starts_with('@') {
        special(text)?;
    } else if zoned(text).is_none() {
        host_name(text)?;
    }
    Ok(Host::Name(text.into()))
}

/// `@gateway`, or `@gateway%eth0` for the default route through one interface.
fn special(text: &str) -> Result<()> {
    match text.strip_prefix(GATEWAY).map(|zone| zone.strip_prefix('%').map(Interface::new).ok_or(zone)) {
        Some(Ok(Some(_)) | Err("")) => Ok(()),
        Some(_) | None => refuse(format!(
            "must be \"{GATEWAY}\", or \"{GATEWAY}%eth0\" for the default route through one interface, where it begins with a \"@\""
        )),
    }
}

/// Whether a host is the default route's next hop rather than a name.
pub fn is_gateway(host: &Host) -> bool {
    matches!(host, Host::Name(name) if name.starts_with(GATEWAY))
}

/// The host that is meant where an interface is prescribed: `@gateway` is the next hop of the default route through that one.
pub fn through(host: &Host, interface: Option<&Interface>) -> Host {
    match (host, interface) {
        (Host::Name(name), Some(interface)) if **name == *GATEWAY => {
            Host::Name(format!("{GATEWAY}%{}", interface.as_str()).into())
        }
        (Host::Name(_) | Host::Address(_), _) => host.clone(),
    }
}

/// Why nobody answers from this address.
fn unfit(ip: IpAddr) -> Option<&'static str> {
    match ip {
        ip if ip.is_unspecified() => Some("no address at all"),
        ip if ip.is_multicast() => Some("a multicast group"),
        IpAddr::V4(ip) if ip.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Some("an IPv4 address in IPv6 form: write it as IPv4"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// The address of `fe80::1%eth0`; `None` where `text` is anything else.
pub(crate) fn zoned(text: &str) -> Option<Ipv6Addr> {
    let (ip, zone) = text.split_once('%')?;
    Interface::new(zone)?;
    ip.parse().ok()
}

fn host_name(text: &str) -> Result<()> {
    /// RFC 1035, section 2.3.4: 255 bytes on the wire leave 253 characters, without the dot at the end.
    const MAX_CHARS: usize = 253;
    const MAX_LABEL: usize = 63;
    let labels = || text.strip_suffix('.').unwrap_or(text).split('.');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() {
        refuse("must be an address or a host name")
    } else if text.contains('%') {
        refuse(r#"must be an IPv6 address and an interface where it has a "%", such as "fe80::1%eth0""#)
    } else if text.contains(':') {
        refuse("must be an IPv6 address where it has a \":\", without brackets, port or prefix")
    } else if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        refuse("must be four numbers from 0 to 255 where it looks like an IPv4 address")
    } else if !text.chars().all(plain) {
        refuse(r#"must have only letters, digits, "-", "_" and "." (international names in their "xn--" form)"#)
    } else if text.trim_end_matches('.').len() > MAX_CHARS || labels().any(|label| label.len() > MAX_LABEL) {
        refuse(format!("must have at most {MAX_CHARS} characters, and at most {MAX_LABEL} between two dots"))
    } else if labels().any(str::is_empty) {
        refuse("must have something between two dots")
    } else {
        Ok(())
    }
}

/// The name of a target that was given none: its host, with `-` for the `%` of a zone and without the `@` of `@gateway`.
pub fn default_name(host: &Host) -> Result<Name> {
    Name::new(&host.to_string().trim_start_matches('@').replace('%', "-"))
        .ok_or_else(|| Refusal("does not do as a name for the target's files: add a name".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.expect_err("must be refused").to_string()
    }

    #[test]
    fn an_address_is_taken_as_one_and_anything_else_is_looked_up() {
        assert_eq!(host("223.5.5.5"), Ok(Host::Address(IpAddr::from([223, 5, 5, 5]).into())));
        assert_eq!(host("::1"), Ok(Host::Address(Ipv6Addr::LOCALHOST.into())));
        for text in ["web001", "my_app.svc-1.example.org.", "a", "1.example", "fe80::1%eth0", "fe80::1%2", "3com.com"] {
            assert_eq!(host(text), Ok(Host::Name(text.into())));
        }
    }

    #[test]
    fn what_looks_like_an_address_but_is_none_is_never_looked_up() {
        for text in ["300.1.1.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "127", "1..2", "010.0.0.1"] {
            assert!(refusal(host(text)).contains("IPv4"), "{text}");
        }
        for text in ["::g", "[::1]", "web001:80", "https://example.org", "::1/64", "1:2"] {
            assert!(refusal(host(text)).contains("IPv6"), "{text}");
        }
        for text in ["1.2.3.4%eth0", "fe80::1%", "fe80::1%a b", "web%eth0", "fe80::1%a%/"] {
            assert!(refusal(host(text)).contains('%'), "{text}");
        }
    }

    #[test]
    fn a_host_name_that_dns_cannot_carry_is_refused() {
        let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert!(host(&long).is_ok());
        assert!(host(&(long.clone() + ".")).is_ok());
        assert!(host(&(long + "d")).is_err());
        for text in ["", ".", "a..b", ".a", "a b", "a\tb", "a\nb", "münchen.de", "a/b", &"a".repeat(64)] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_gateway_is_a_host_with_an_interface_or_without() {
        for text in ["@gateway", "@gateway%eth0", "@gateway%2"] {
            let gateway = host(text).expect("must be accepted");
            assert_eq!(gateway, Host::Name(text.into()));
            assert!(is_gateway(&gateway));
        }
        for text in ["@", "@gw", "@Gateway", "@gateway%", "@gateway%a b", "@gateway.", "@gateway@gateway", "@gateways"]
        {
            assert!(refusal(host(text)).contains("\"@gateway\""), "{text}");
        }
        assert!(host("gateway").is_ok_and(|name| !is_gateway(&name)));
    }

    #[test]
    fn a_prescribed_interface_says_which_default_route_is_meant() {
        let named = |text: &str| Host::Name(text.into());
        let eth0 = Interface::new("eth0");
        assert_eq!(through(&named("@gateway"), eth0.as_ref()), named("@gateway%eth0"));
        assert_eq!(through(&named("@gateway%tun0"), eth0.as_ref()), named("@gateway%tun0"));
        assert_eq!(through(&named("@gateway"), None), named("@gateway"));
        assert_eq!(through(&named("gateway"), eth0.as_ref()), named("gateway"));
    }

    #[test]
    fn a_default_name_is_the_host_without_percent() {
        let named = |text| default_name(&host(text).expect("must be accepted")).expect("must be accepted").to_string();
        assert_eq!(named("::1"), "::1");
        assert_eq!(named("fe80::1%eth0"), "fe80::1-eth0");
        assert_eq!((named("@gateway"), named("@gateway%eth0")), ("gateway".into(), "gateway-eth0".into()));
        assert!(default_name(&host("fe80::1%a@b").expect("must be accepted")).is_err());
    }
}
