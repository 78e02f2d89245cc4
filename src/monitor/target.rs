//! What is probed and how: a target's settings, each valid by its type.
//!
//! A target here is one stream of probes: a configured target of `family = "both"` has become two of them before it gets
//! here. This module knows no file and no socket; the bounds it defines are quoted by the configuration's messages.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::outage::Rules;
use super::schedule::Timing;

/// Everything about one stream of probes that the user can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The unique name: file name, JSON `target`, and what survives a reload.
    pub name: Name,
    /// What to probe.
    pub host: Host,
    /// Which of a name's addresses may be used.
    pub family: Family,
    /// Time between probes.
    pub interval: Duration,
    /// Position of this target's probes within the interval: less than `interval`.
    pub phase: Duration,
    /// How long a probe may stay unanswered before it is lost. May be longer than the interval.
    pub timeout: Duration,
    /// Payload of the echo request, bytes, at most [`MAX_PAYLOAD`].
    pub size: u16,
    /// How the packets are marked and routed.
    pub options: SocketOptions,
    /// Time between two look-ups of a name that works.
    pub resolve_every: Duration,
    /// Stop after this many probes; `None` goes on for ever.
    pub count: Option<u64>,
    /// When its losses are an outage. Shared by targets of equal rules.
    pub rules: Arc<Rules>,
}

impl Target {
    /// What its timetable is made of.
    pub fn timing(&self) -> Timing {
        Timing { interval: self.interval, phase: self.phase, count: self.count }
    }

    /// What lines tell of it.
    pub fn label(&self) -> Label {
        Label { name: self.name.clone(), host: self.host.clone() }
    }

    /// Whether this is the same host under other settings, so that its numbers and counts go on.
    pub fn means_the_same(&self, other: &Self) -> bool {
        self.host == other.host && self.family == other.family
    }
}

/// What lines tell of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: Name,
    /// What is probed.
    pub host: Host,
}

/// The shortest interval accepted: below it one target alone is a flood.
pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// The longest duration accepted for interval, timeout and `resolve_every`: a day.
pub const MAX_DURATION: Duration = Duration::from_secs(86_400);
/// The shortest timeout accepted.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The shortest time between two look-ups of one name.
pub const MIN_RESOLVE_EVERY: Duration = Duration::from_secs(1);
/// The largest payload: 65,535 bytes of IPv4 packet less headers is 65,507; both families carry 65,500.
pub const MAX_PAYLOAD: u16 = 65_500;
/// The highest code point: the field has six bits (RFC 2474).
pub const MAX_DSCP: u8 = 63;

/// A target's unique name: 1 to [`Name::MAX_LEN`] letters, digits, `.`, `_`, `-` or `:`, and neither `.` nor `..`. Each record
/// carries one: a short one, of up to 23 bytes, is copied, because a count of references would have two processors fetch the same
/// memory from each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(SmolStr);

impl Name {
    /// A file name may have 255 bytes (NAME_MAX); this leaves room for a date, a counter and suffixes.
    pub const MAX_LEN: usize = 200;

    /// The name, or `None` where it would not do as a file name.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        let valid =
            !text.is_empty() && text.len() <= Self::MAX_LEN && text.chars().all(plain) && text != "." && text != "..";
        valid.then(|| Self(text.into()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the user wants probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address, never looked up.
    Address(Addr),
    /// A name, looked up and followed. Also an address with a zone (`fe80::1%eth0`), whose interface may come and go.
    Name(Arc<str>),
}

/// The name that means the default route's next hop. `@gateway%eth0` means that of the default route through one interface.
pub const GATEWAY: &str = "@gateway";

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => addr.ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An address with the zone that a link-local one needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    /// The address proper.
    pub ip: IpAddr,
    /// Interface index of a link-local IPv6 address (`sin6_scope_id`); 0 everywhere else.
    pub scope: u32,
}

impl Addr {
    /// Whether a packet from `other` comes from this address. A zone that is not known matches any.
    pub fn is(self, other: Self) -> bool {
        self.ip == other.ip && (self.scope == other.scope || self.scope == 0 || other.scope == 0)
    }

    /// The address family, as sockets count it.
    pub fn version(self) -> IpVersion {
        match self.ip {
            IpAddr::V4(_) => IpVersion::V4,
            IpAddr::V6(_) => IpVersion::V6,
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: 0 }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::V4(ip).into()
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::V6(ip).into()
    }
}

/// Which of a name's addresses a target may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// The first address in the system's order (getaddrinfo(3), RFC 6724).
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Family {
    /// Whether an address of this version may be used.
    pub fn admits(self, version: IpVersion) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => version == IpVersion::V4,
            Self::Ipv6 => version == IpVersion::V6,
        }
    }

    /// What to say of a name that resolves, but to no address of this family.
    pub fn lacking(self) -> &'static str {
        match self {
            Self::Any => "the name has no address",
            Self::Ipv4 => "the name has no IPv4 address",
            Self::Ipv6 => "the name has no IPv6 address",
        }
    }
}

/// The version of the internet protocol: what a socket is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpVersion {
    /// ICMP over IPv4 (RFC 792).
    V4,
    /// ICMPv6 over IPv6 (RFC 4443).
    V6,
}

/// What a socket must be set to before it may carry a target's probes. Targets with equal options share a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SocketOptions {
    /// Time to live or hop limit, 1 to 255; `None` leaves the system's default.
    pub ttl: Option<u8>,
    /// Differentiated services code point, 0 to [`MAX_DSCP`] (RFC 2474).
    pub dscp: Option<u8>,
    /// Whether a packet may be fragmented on its way.
    pub fragmentation: Fragmentation,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Network interface to send through and receive from (SO_BINDTODEVICE).
    pub interface: Option<Interface>,
    /// Firewall mark (SO_MARK), for policy routing.
    pub mark: Option<u32>,
}

/// A network interface's name: 1 to 15 bytes without `/`, white space or NUL (IFNAMSIZ is 16 with the NUL).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(Arc<str>);

impl Interface {
    /// The name, or `None` where no interface could bear it.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |c: char| c != '/' && c != '\0' && !c.is_whitespace();
        let valid = (1..=15).contains(&text.len()) && text.chars().all(plain) && text != "." && text != "..";
        valid.then(|| Self(text.into()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a packet may be fragmented on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Fragmentation {
    /// As the system does by default: the sender follows the path MTU it has learnt (IP_PMTUDISC_WANT).
    #[default]
    Allowed,
    /// By nobody: a packet larger than a link's MTU is dropped there and the router says so (IP_PMTUDISC_DO).
    Forbidden,
}
