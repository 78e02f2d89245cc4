//! Bytes and packets: echo requests out, echo replies and ICMP errors in. Pure.
//!
//! surge-ping decodes the headers; what its packets do not carry is read here: the payload, the checksum, the message's second
//! word, and whether an error quotes an ICMP echo request at all. Whose packet it is, nobody here knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::Type;
use surge_ping::{Icmpv4Packet, Icmpv6Packet};

use crate::monitor::sample::{Checksum, IcmpError};
use crate::monitor::target::IpVersion;

/// Length of an echo message's header (RFC 792, RFC 4443).
pub const HEADER_LEN: usize = 8;

const IPV4_HEADER_LEN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
const IPV6_FRAGMENT_HEADER_LEN: usize = 8;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;
const IPV6_FRAGMENT: u8 = 44;

/// ICMP message types (RFC 792, RFC 4443) as far as they concern a ping.
pub mod kind {
    /// Echo reply.
    pub const V4_ECHO_REPLY: u8 = 0;
    /// Echo request.
    pub const V4_ECHO_REQUEST: u8 = 8;
    /// The messages that say a packet did not arrive: destination unreachable, time exceeded, parameter problem. Not source
    /// quench and redirect: the packet they quote went on its way.
    pub const V4_ERRORS: [u8; 3] = [3, 11, 12];
    /// Echo request.
    pub const V6_ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const V6_ECHO_REPLY: u8 = 129;
    /// Destination unreachable, packet too big, time exceeded, parameter problem.
    pub const V6_ERRORS: [u8; 4] = [1, 2, 3, 4];
}

/// How a socket hands out an ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Behind its IPv4 header: raw(7) sockets of IPv4.
    Ipv4Header,
    /// By itself: datagram sockets, and all sockets of IPv6.
    Bare,
}

/// A packet that may concern one of our probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// An echo reply.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
        /// Time to live, where it came with the message.
        ttl: Option<u8>,
        /// What follows the header.
        payload: &'a [u8],
        /// Whether the message's checksum is right.
        checksum: Checksum,
    },
    /// An error that quotes an echo request.
    Error {
        /// What it says.
        error: IcmpError,
        /// Where the quoted request was going.
        destination: IpAddr,
        /// The quoted request.
        quoted: Quoted<'a>,
    },
}

/// What an error quotes of an echo request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<'a> {
    /// Identifier.
    pub ident: u16,
    /// Sequence number.
    pub sequence: u16,
    /// As much of the payload as was quoted.
    pub payload: &'a [u8],
}

/// Turns `packet`, whose payload is in place behind [`HEADER_LEN`] bytes, into an echo request. The checksum of ICMPv6 covers
/// addresses that the kernel chooses, so the kernel computes it (RFC 3542 section 3.1).
///
/// A packet shorter than its header is left as it is.
pub fn write_echo_request(version: IpVersion, ident: u16, sequence: u16, packet: &mut [u8]) {
    let Some(header) = packet.first_chunk_mut::<HEADER_LEN>() else { return };
    let kind = match version {
        IpVersion::V4 => kind::V4_ECHO_REQUEST,
        IpVersion::V6 => kind::V6_ECHO_REQUEST,
    };
    let ([ident_high, ident_low], [sequence_high, sequence_low]) = (ident.to_be_bytes(), sequence.to_be_bytes());
    *header = [kind, 0, 0, 0, ident_high, ident_low, sequence_high, sequence_low];
    if version == IpVersion::V4 {
        let sum = checksum(packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
}

/// Decodes what a socket of IPv4 received; `None` for what is no concern of a ping.
pub fn decode_v4(datagram: &[u8], framing: Framing) -> Option<Packet<'_>> {
    let (socket_type, message, ttl) = match framing {
        Framing::Ipv4Header => {
            let header_len = usize::from(datagram.first()? & 0x0f) * 4;
            (Type::RAW, datagram.get(header_len.max(IPV4_HEADER_LEN)..)?, Some(*datagram.get(8)?))
        }
        Framing::Bare => (Type::DGRAM, datagram, None),
    };
    let nowhere = Ipv4Addr::UNSPECIFIED;
    let header = Icmpv4Packet::decode(datagram, socket_type, nowhere, nowhere).ok()?;
    let (ident, sequence) = (header.get_identifier().into_u16(), header.get_sequence().into_u16());
    let (kind, code) = (header.get_icmp_type().0, header.get_icmp_code().0);
    if kind == kind::V4_ECHO_REPLY {
        let checksum = if checksum(message) == 0 { Checksum::Good } else { Checksum::Bad };
        return Some(Packet::EchoReply { ident, sequence, ttl, payload: message.get(HEADER_LEN..)?, checksum });
    }
    if !kind::V4_ERRORS.contains(&kind) {
        return None;
    }
    let error = IcmpError::V4 { kind, code, info: v4_info(kind, code, message) };
    let payload = v4_quoted_payload(message.get(HEADER_LEN..)?)?;
    let destination = header.get_real_dest().into();
    Some(Packet::Error { error, destination, quoted: Quoted { ident, sequence, payload } })
}

/// Decodes what a socket of IPv6 received; `None` for what is no concern of a ping. The kernel has checked the checksum.
pub fn decode_v6(message: &[u8]) -> Option<Packet<'_>> {
    let header = Icmpv6Packet::decode(message, Ipv6Addr::UNSPECIFIED).ok()?;
    let (ident, sequence) = (header.get_identifier().into_u16(), header.get_sequence().into_u16());
    let (kind, code) = (header.get_icmpv6_type().0, header.get_icmpv6_code().0);
    if kind == kind::V6_ECHO_REPLY {
        let (payload, checksum) = (message.get(HEADER_LEN..)?, Checksum::Good);
        return Some(Packet::EchoReply { ident, sequence, ttl: None, payload, checksum });
    }
    if !kind::V6_ERRORS.contains(&kind) {
        return None;
    }
    let info = match kind {
        2 | 4 => u32::from_be_bytes(*message.get(4..)?.first_chunk()?),
        _ => 0,
    };
    let payload = v6_quoted_payload(message.get(HEADER_LEN..)?)?;
    let (error, destination) = (IcmpError::V6 { kind, code, info }, header.get_real_dest().into());
    Some(Packet::Error { error, destination, quoted: Quoted { ident, sequence, payload } })
}

/// Decodes the echo request that the error queue of a socket gives back (ip(7), IP_RECVERR): it begins with the ICMP header.
pub fn decode_quoted(version: IpVersion, message: &[u8]) -> Option<Quoted<'_>> {
    let request = match version {
        IpVersion::V4 => kind::V4_ECHO_REQUEST,
        IpVersion::V6 => kind::V6_ECHO_REQUEST,
    };
    let &[kind, _, _, _, ident_high, ident_low, sequence_high, sequence_low] = message.first_chunk::<HEADER_LEN>()?;
    let ident = u16::from_be_bytes([ident_high, ident_low]);
    let sequence = u16::from_be_bytes([sequence_high, sequence_low]);
    (kind == request).then(|| Quoted { ident, sequence, payload: &message[HEADER_LEN..] })
}

/// The second word of an ICMP error, where it means something.
fn v4_info(kind: u8, code: u8, message: &[u8]) -> u32 {
    match (kind, code, message) {
        (3, 4, &[_, _, _, _, _, _, high, low, ..]) => u32::from(u16::from_be_bytes([high, low])),
        (12, _, &[_, _, _, _, pointer, ..]) => u32::from(pointer),
        _ => 0,
    }
}

/// The payload of the echo request quoted in `packet`, an IPv4 packet; `None` where another protocol is quoted, or a fragment
/// other than the first.
fn v4_quoted_payload(packet: &[u8]) -> Option<&[u8]> {
    let header_len = usize::from(packet.first()? & 0x0f) * 4;
    let fragment_offset = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
    let is_ours = *packet.get(9)? == PROTOCOL_ICMP && fragment_offset == 0;
    let start = header_len.max(IPV4_HEADER_LEN);
    let total_len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let message = packet.get(start..quote_end(packet, start, total_len)).filter(|_| is_ours)?;
    decode_quoted(IpVersion::V4, message).map(|quoted| quoted.payload)
}

/// The payload of the echo request quoted in `packet`, an IPv6 packet. Our requests bear no extension header but the one of
/// fragmentation; behind any other, what is quoted is not ours.
fn v6_quoted_payload(packet: &[u8]) -> Option<&[u8]> {
    let (next, offset) = match *packet.get(6)? {
        IPV6_FRAGMENT => {
            let fragment_offset = u16::from_be_bytes([*packet.get(42)?, *packet.get(43)?]) >> 3;
            let next = *packet.get(IPV6_HEADER_LEN)?;
            (if fragment_offset == 0 { next } else { IPV6_FRAGMENT }, IPV6_HEADER_LEN + IPV6_FRAGMENT_HEADER_LEN)
        }
        next => (next, IPV6_HEADER_LEN),
    };
    let total_len = IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let message = packet.get(offset..quote_end(packet, offset, total_len)).filter(|_| next == PROTOCOL_ICMPV6)?;
    decode_quoted(IpVersion::V6, message).map(|quoted| quoted.payload)
}

/// Where a quoted packet ends. Routers pad a short one before they append extensions to it (RFC 4884), so its own length tells;
/// unless that cannot be right, for some send it back altered.
fn quote_end(packet: &[u8], start: usize, total_len: usize) -> usize {
    if total_len >= start + HEADER_LEN { total_len.min(packet.len()) } else { packet.len() }
}

/// The internet checksum (RFC 1071): 0 over a message whose checksum field is right.
fn checksum(message: &[u8]) -> u16 {
    let (words, rest) = message.as_chunks::<2>();
    let last = rest.first().map_or(0, |&byte| u64::from(byte) << 8);
    let mut sum = words.iter().fold(last, |sum, &word| sum + u64::from(u16::from_be_bytes(word)));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !((sum & 0xffff) as u16)
}

#[cfg(test)]
mod tests;
