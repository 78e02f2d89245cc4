//! Bytes ↔ packets: echo requests in; replies, right or deliberately wrong, and ICMP errors out.
//!
//! etherparse lays out and reads the headers, and nothing here comes from pingtest: what that reads was written by somebody else. Of
//! the weather it knows only what an answer is to look like.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{Icmpv4Slice, Icmpv6Slice, IpSlice, Ipv4Header, PacketBuilder, icmpv4, icmpv6, ip_number};

use crate::script::Quote;
use crate::weather::{Answer, Asked, Echo, IcmpError, Kind};

/// Length of an ICMP header.
const ICMP_HEADER: usize = 8;
/// As much of a request as fits into an ICMP error of 576 bytes (RFC 1812 section 4.3.2.3), and of 1280 (RFC 4443 section 2.4).
const FULL_QUOTE_V4: usize = 576 - 20 - ICMP_HEADER;
const FULL_QUOTE_V6: usize = 1280 - 40 - ICMP_HEADER;
/// A record of the route with room for one address, and the end of the options (RFC 791 section 3.1).
const OPTIONS: [u8; 8] = [7, 7, 4, 0, 0, 0, 0, 0];

/// An echo request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// All of it, with its IP header.
    pub(crate) packet: &'a [u8],
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) ident: u16,
    pub(crate) seq: u16,
    /// What follows the ICMP header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a packet; `None` for what is no whole and right echo request.
    pub(crate) fn decode(packet: &'a [u8]) -> Option<Self> {
        let ip = IpSlice::from_slice(packet).ok()?;
        let body = ip.payload();
        if body.fragmented {
            return None;
        }
        let ([i0, i1, s0, s1], ttl) = match &ip {
            IpSlice::Ipv4(ip) => (echo_v4(body.ip_number, body.payload)?, ip.header().ttl()),
            IpSlice::Ipv6(ip) => {
                let addresses = [ip.header().source(), ip.header().destination()];
                (echo_v6(body.ip_number, body.payload, addresses)?, ip.header().hop_limit())
            }
        };
        let (ident, seq) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([s0, s1]));
        let (src, dst) = (ip.source_addr(), ip.destination_addr());
        Some(Self { packet, src, dst, ttl, ident, seq, payload: &body.payload[ICMP_HEADER..] })
    }

    /// Length of the ICMP message.
    pub(crate) fn bytes(&self) -> usize {
        ICMP_HEADER + self.payload.len()
    }

    /// What the rules have to know of it.
    pub(crate) fn asked(&self) -> Asked {
        Asked { dst: self.dst, ttl: self.ttl, length: self.packet.len(), payload: self.payload.len() }
    }

    /// The packet that an answer to it is.
    pub(crate) fn answer(&self, answer: &Answer) -> Vec<u8> {
        match answer.kind {
            Kind::Echo(echo) => self.echo(echo, answer),
            Kind::Error(error) => self.error(error).packet(answer.from, self.src, answer.ttl),
        }
    }

    fn echo(&self, echo: Echo, answer: &Answer) -> Vec<u8> {
        let mut message = self.reply();
        message.spoil(echo);
        let mut packet = message.packet(answer.from, self.src, answer.ttl);
        if let Echo::Checksum { at, mask } = echo {
            let payload = packet.len() - message.body.len();
            packet[payload + at] ^= mask;
        }
        packet
    }

    fn reply(&self) -> Message {
        let kind = if self.dst.is_ipv6() { icmpv6::TYPE_ECHO_REPLY } else { icmpv4::TYPE_ECHO_REPLY };
        let ([i0, i1], [s0, s1]) = (self.ident.to_be_bytes(), self.seq.to_be_bytes());
        Message { kind, code: 0, word: [i0, i1, s0, s1], body: self.payload.to_vec() }
    }

    fn error(&self, error: IcmpError) -> Message {
        let [m0, m1] = error.mtu.to_be_bytes();
        Message { kind: error.kind, code: error.code, word: [0, 0, m0, m1], body: self.quote(error) }
    }

    fn quote(&self, error: IcmpError) -> Vec<u8> {
        let mut quote = if error.options { self.with_options() } else { self.packet.to_vec() };
        let header = quote.len() - self.bytes();
        quote.truncate(match error.quote {
            Quote::Full if self.dst.is_ipv6() => FULL_QUOTE_V6,
            Quote::Full => FULL_QUOTE_V4,
            Quote::Minimal => header + ICMP_HEADER,
            Quote::Header => header,
        });
        quote
    }

    /// The packet as if it had been sent with IP options.
    fn with_options(&self) -> Vec<u8> {
        let Ok((mut header, body)) = Ipv4Header::from_slice(self.packet) else { return self.packet.to_vec() };
        header.options = OPTIONS.into();
        header.total_len = u16::try_from(header.header_len() + body.len()).unwrap_or(u16::MAX);
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().as_slice(), body].concat()
    }
}

fn echo_v4(protocol: etherparse::IpNumber, message: &[u8]) -> Option<[u8; 4]> {
    let icmp = Icmpv4Slice::from_slice(message).ok().filter(|_| protocol == ip_number::ICMP)?;
    let right = Sum16BitWords::new().add_slice(message).ones_complement() == 0;
    let is_request = (icmp.type_u8(), icmp.code_u8()) == (icmpv4::TYPE_ECHO_REQUEST, 0);
    (right && is_request).then(|| icmp.bytes5to8())
}

fn echo_v6(protocol: etherparse::IpNumber, message: &[u8], [src, dst]: [[u8; 16]; 2]) -> Option<[u8; 4]> {
    let icmp = Icmpv6Slice::from_slice(message).ok().filter(|_| protocol == ip_number::IPV6_ICMP)?;
    let is_request = (icmp.type_u8(), icmp.code_u8()) == (icmpv6::TYPE_ECHO_REQUEST, 0);
    (is_request && icmp.is_checksum_valid(src, dst)).then(|| icmp.bytes5to8())
}

/// An ICMP message of either family.
struct Message {
    kind: u8,
    code: u8,
    /// The second half of the header.
    word: [u8; 4],
    body: Vec<u8>,
}

impl Message {
    /// Makes it wrong in the ways that its checksum covers.
    fn spoil(&mut self, echo: Echo) {
        match echo {
            Echo::Flip { at, mask } => self.body[at] ^= mask,
            Echo::Truncate { keep } => self.body.truncate(keep),
            Echo::ForgedIdentifier { mask } => overlay(&mut self.word[..2], &mask.to_be_bytes()),
            Echo::ForgedSequence { mask } => overlay(&mut self.word[2..], &mask.to_be_bytes()),
            Echo::ForgedTag { mask } => overlay(&mut self.body, &mask),
            Echo::Reply | Echo::Duplicate | Echo::OtherAddress | Echo::Checksum { .. } | Echo::ForgedForeign => {}
        }
    }

    /// With its IP header and the checksums of both.
    fn packet(&self, from: IpAddr, to: IpAddr, ttl: u8) -> Vec<u8> {
        let mut packet = Vec::with_capacity(40 + ICMP_HEADER + self.body.len());
        let built = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), ttl)
                .icmpv4_raw(self.kind, self.code, self.word)
                .write(&mut packet, &self.body),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), ttl)
                .icmpv6_raw(self.kind, self.code, self.word)
                .write(&mut packet, &self.body),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                unreachable!("a script gives a prefix routers and answerers of its own family only")
            }
        };
        built.expect("an answer is no longer than its request or than the least MTU, and memory takes it");
        packet
    }
}

fn overlay(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
