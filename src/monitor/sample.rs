//! What came in from the network: one packet that may concern a probe, decoded but not judged.

use std::fmt;
use std::time::Duration;

use super::target::Addr;
use super::time::{Stamp, Wall};

/// One received packet, as the engine saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// Who sent the packet.
    pub from: Addr,
    /// When it arrived.
    pub arrival: Arrival,
    /// Time to live or hop limit it arrived with, where the kernel told.
    pub ttl: Option<u8>,
    /// What it says.
    pub message: Message<'a>,
}

/// When a packet arrived, and how exactly that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The kernel's receive stamp, a reading of CLOCK_REALTIME (SO_TIMESTAMPNS); `None` where it was missing.
    pub stamped: Option<Wall>,
    /// When we read the packet.
    pub seen: Stamp,
    /// When the socket had last been read empty: the packet arrived after that.
    pub earliest: Stamp,
}

/// What the kernel's stamp tells of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// When it was. Whether that is plausible for a certain probe is for the judge to say.
    Arrived(Stamp),
    /// Nothing: there is none, or it is of the future.
    Nothing,
    /// The wall clock was set while the packet waited, and nobody can tell whether before its stamp was taken or after.
    Unclear,
}

/// The wall clock has not been set where it went on like the monotonic one but for this. The two are read one after the other.
const UNSET: Duration = Duration::from_micros(500);

/// A packet is stamped so long before its socket has it, at most, when the machine is busy.
const HANDING_OVER: Duration = Duration::from_millis(1);

impl Arrival {
    /// Brings the stamp onto the monotonic clock: as long ago as the wall clock says. Where that was set since the socket was empty,
    /// the stamp was taken before or after, and counts if only one of the two is possible.
    pub fn told(&self) -> Told {
        let Some(wall) = self.stamped else { return Told::Nothing };
        let (before, after) = (self.earliest.mono_at(wall), self.seen.mono_at(wall));
        if before - after <= UNSET && after - before <= UNSET {
            let is_past = wall <= self.seen.wall;
            return if is_past { Told::Arrived(Stamp { mono: after, wall }) } else { Told::Nothing };
        }
        let possible = |mono| self.earliest.mono - HANDING_OVER <= mono && mono <= self.seen.mono;
        match (possible(before), possible(after)) {
            (true, false) => Told::Arrived(Stamp { mono: before, wall }),
            (false, true) => Told::Arrived(Stamp { mono: after, wall }),
            (true, true) | (false, false) => Told::Unclear,
        }
    }
}

/// A packet that concerns an echo request with our identifier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message<'a> {
    /// An echo reply (RFC 792 type 0, RFC 4443 type 129).
    EchoReply {
        /// Sequence number on the wire.
        sequence: u16,
        /// All that follows the eight bytes of header.
        payload: &'a [u8],
        /// Whether the ICMP checksum was right, as far as it could be checked here.
        checksum: Checksum,
    },
    /// An error message that quotes an echo request.
    Error {
        /// What it says.
        error: IcmpError,
        /// Destination of the quoted request.
        destination: Addr,
        /// Sequence number of the quoted request.
        sequence: u16,
        /// As much of the quoted request's payload as was quoted; routers may quote none (RFC 792).
        payload: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// What follows the header of an echo reply.
    pub fn payload(&self) -> Option<&'a [u8]> {
        match self {
            Self::EchoReply { payload, .. } => Some(payload),
            Self::Error { .. } => None,
        }
    }
}

/// Whether a checksum was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// Right, or checked by the kernel before we saw the packet.
    Good,
    /// Wrong: the packet was altered on its way.
    Bad,
}

/// An ICMP error message: that a packet did not arrive, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IcmpError {
    /// RFC 792, RFC 1122, RFC 1812.
    V4 {
        /// ICMP type: 3, 11 or 12.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// Next-hop MTU of type 3 code 4 (RFC 1191; 0 from older routers), pointer of type 12, else 0.
        info: u32,
    },
    /// RFC 4443.
    V6 {
        /// ICMPv6 type: 1 to 4.
        kind: u8,
        /// ICMPv6 code.
        code: u8,
        /// MTU of type 2, pointer of type 4, else 0.
        info: u32,
    },
}

impl fmt::Display for IcmpError {
    /// The words iputils' ping prints for the same message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4 { kind, code, info } => fmt_v4(f, kind, code, info),
            Self::V6 { kind, code, info } => fmt_v6(f, kind, code, info),
        }
    }
}

fn fmt_v4(f: &mut fmt::Formatter<'_>, kind: u8, code: u8, info: u32) -> fmt::Result {
    let text = match (kind, code) {
        (3, 0) => "Destination Net Unreachable",
        (3, 1) => "Destination Host Unreachable",
        (3, 2) => "Destination Protocol Unreachable",
        (3, 3) => "Destination Port Unreachable",
        (3, 4) => return write!(f, "Frag needed and DF set (mtu = {info})"),
        (3, 5) => "Source Route Failed",
        (3, 6) => "Destination Net Unknown",
        (3, 7) => "Destination Host Unknown",
        (3, 8) => "Source Host Isolated",
        (3, 9) => "Destination Net Prohibited",
        (3, 10) => "Destination Host Prohibited",
        (3, 11) => "Destination Net Unreachable for Type of Service",
        (3, 12) => "Destination Host Unreachable for Type of Service",
        (3, 13) => "Packet filtered",
        (3, 14) => "Precedence Violation",
        (3, 15) => "Precedence Cutoff",
        (3, _) => return write!(f, "Dest Unreachable, Bad Code: {code}"),
        (11, 0) => "Time to live exceeded",
        (11, 1) => "Frag reassembly time exceeded",
        (11, _) => return write!(f, "Time exceeded, Bad Code: {code}"),
        (12, _) => return write!(f, "Parameter problem: pointer = {info}"),
        (kind, code) => return write!(f, "ICMP type {kind} code {code}"),
    };
    f.write_str(text)
}

fn fmt_v6(f: &mut fmt::Formatter<'_>, kind: u8, code: u8, info: u32) -> fmt::Result {
    let text = match (kind, code) {
        (1, 0) => "Destination unreachable: No route",
        (1, 1) => "Destination unreachable: Administratively prohibited",
        (1, 2) => "Destination unreachable: Beyond scope of source address",
        (1, 3) => "Destination unreachable: Address unreachable",
        (1, 4) => "Destination unreachable: Port unreachable",
        (1, 5) => "Destination unreachable: Source address failed ingress/egress policy",
        (1, 6) => "Destination unreachable: Reject route to destination",
        (1, _) => return write!(f, "Destination unreachable: Unknown code {code}"),
        (2, _) => return write!(f, "Packet too big: mtu={info}"),
        (3, 0) => "Time exceeded: Hop limit",
        (3, 1) => "Time exceeded: Defragmentation failure",
        (3, _) => return write!(f, "Time exceeded: code {code}"),
        (4, 0) => return write!(f, "Parameter problem: Wrong header field, pointer = {info}"),
        (4, 1) => return write!(f, "Parameter problem: Unknown header, pointer = {info}"),
        (4, 2) => return write!(f, "Parameter problem: Unknown option, pointer = {info}"),
        (4, _) => return write!(f, "Parameter problem: code {code}, pointer = {info}"),
        (kind, code) => return write!(f, "ICMPv6 type {kind} code {code}"),
    };
    f.write_str(text)
}
