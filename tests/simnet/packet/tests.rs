//! Packets built and read back, and what is deliberately wrong with some. The checksums are summed up here once more, in the plain way
//! of RFC 1071.

use std::net::IpAddr;
use std::time::Duration;

use super::*;

const V4: [&str; 2] = ["192.0.2.1", "10.1.0.7"];
const V6: [&str; 2] = ["2001:db8::1", "fd00::7"];
const PAYLOAD: [u8; 16] = *b"0123456789abcdef";

fn request_of(addresses: [&str; 2], payload: &[u8]) -> Vec<u8> {
    let [src, dst]: [IpAddr; 2] = addresses.map(|address| address.parse().unwrap());
    let kind = if src.is_ipv6() { 128 } else { 8 };
    Message { kind, code: 0, word: [0x12, 0x34, 0, 9], body: payload.to_vec() }.packet(src, dst, 61)
}

fn answered(addresses: [&str; 2], kind: Kind) -> Vec<u8> {
    answered_to(&request_of(addresses, &PAYLOAD), addresses[1], kind)
}

fn answered_to(request: &[u8], from: &str, kind: Kind) -> Vec<u8> {
    let answer = Answer { delay: Duration::ZERO, from: from.parse().unwrap(), ttl: 57, kind };
    Request::decode(request).unwrap().answer(&answer)
}

fn icmp(packet: &[u8]) -> &[u8] {
    if packet[0] >> 4 == 6 { &packet[40..] } else { &packet[usize::from(packet[0] & 15) * 4..] }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn is_right(sum: u32) -> bool {
    sum.is_multiple_of(0xffff)
}

/// Whether lengths and the checksum of the IP header are right, and that of the message.
fn checks(packet: &[u8]) -> (bool, bool) {
    let message = icmp(packet);
    if packet[0] >> 4 == 4 {
        let length = u16::from_be_bytes([packet[2], packet[3]]);
        let header = &packet[..packet.len() - message.len()];
        return (usize::from(length) == packet.len() && is_right(sum(header)), is_right(sum(message)));
    }
    let length = u16::from_be_bytes([packet[4], packet[5]]);
    let pseudo = sum(&packet[8..40]) + message.len() as u32 + 58;
    (usize::from(length) == message.len(), is_right(pseudo + sum(message)))
}

#[test]
fn a_request_is_read_as_it_was_built() {
    for addresses in [V4, V6] {
        let packet = request_of(addresses, &PAYLOAD);
        let request = Request::decode(&packet).unwrap();
        assert_eq!([request.src, request.dst].map(|address| address.to_string()), addresses);
        assert_eq!((request.ident, request.seq, request.ttl), (0x1234, 9, 61));
        assert_eq!((request.payload, request.bytes()), (&PAYLOAD[..], 24));
        assert_eq!(request.asked().length, packet.len());
    }
}

#[test]
fn what_is_no_whole_and_right_request_is_not_read() {
    for addresses in [V4, V6] {
        let packet = request_of(addresses, &PAYLOAD);
        assert!((0..packet.len()).all(|length| Request::decode(&packet[..length]).is_none()));
        let at = packet.len() - 1;
        let flipped: Vec<_> =
            packet.iter().enumerate().map(|(i, byte)| if i == at { byte ^ 1 } else { *byte }).collect();
        assert!(Request::decode(&flipped).is_none(), "a wrong checksum");
        assert!(Request::decode(&answered(addresses, Kind::Echo(Echo::Reply))).is_none(), "a reply");
    }
    let mut piece = request_of(V4, &PAYLOAD);
    piece[6] = 0x20;
    assert!(Request::decode(&piece).is_none(), "the first fragment of more");
}

#[test]
fn a_reply_is_the_request_turned_round() {
    for (addresses, kind) in [(V4, 0), (V6, 129)] {
        for payload in [&PAYLOAD[..], &PAYLOAD[..15], &[]] {
            let request = request_of(addresses, payload);
            let reply = answered_to(&request, addresses[1], Kind::Echo(Echo::Reply));
            assert_eq!(checks(&reply), (true, true));
            let ip = IpSlice::from_slice(&reply).unwrap();
            assert_eq!([ip.destination_addr(), ip.source_addr()].map(|address| address.to_string()), addresses);
            assert_eq!((&icmp(&reply)[..2], &icmp(&reply)[4..]), (&[kind, 0][..], &icmp(&request)[4..]));
            assert_eq!(reply[if addresses == V4 { 8 } else { 7 }], 57, "time to live");
        }
    }
}

#[test]
fn damage_is_where_it_was_said_to_be_and_nowhere_else() {
    for addresses in [V4, V6] {
        let whole = answered(addresses, Kind::Echo(Echo::Reply));
        for (echo, sum_is_right) in
            [(Echo::Flip { at: 3, mask: 0x81 }, true), (Echo::Checksum { at: 3, mask: 0x81 }, false)]
        {
            let damaged = answered(addresses, Kind::Echo(echo));
            assert_eq!(checks(&damaged), (true, sum_is_right), "{echo:?}");
            let expected: Vec<_> = (0..16).map(|i| PAYLOAD[i] ^ if i == 3 { 0x81 } else { 0 }).collect();
            assert_eq!((&icmp(&damaged)[8..], &icmp(&damaged)[4..8]), (&expected[..], &icmp(&whole)[4..8]));
        }
        let short = answered(addresses, Kind::Echo(Echo::Truncate { keep: 5 }));
        assert_eq!((checks(&short), &icmp(&short)[8..]), ((true, true), &PAYLOAD[..5]));
    }
}

#[test]
fn forged_replies_are_well_made() {
    for addresses in [V4, V6] {
        let word = |echo| {
            let packet = answered(addresses, Kind::Echo(echo));
            assert_eq!(checks(&packet), (true, true), "{echo:?}");
            (icmp(&packet)[4..8].to_vec(), icmp(&packet)[8..].to_vec())
        };
        let payload = PAYLOAD.to_vec();
        assert_eq!(word(Echo::ForgedIdentifier { mask: 0x00ff }), (vec![0x12, 0xcb, 0, 9], payload.clone()));
        assert_eq!(word(Echo::ForgedSequence { mask: 0x0102 }), (vec![0x12, 0x34, 1, 11], payload.clone()));
        assert_eq!(word(Echo::ForgedForeign), (vec![0x12, 0x34, 0, 9], payload.clone()));
        let (same, forged) = word(Echo::ForgedTag { mask: [0xff; 8] });
        assert_eq!((same, &forged[8..]), (vec![0x12, 0x34, 0, 9], &payload[8..]));
        assert!((0..8).all(|i| forged[i] == !payload[i]));
    }
}

fn error(kind: u8, quote: Quote, options: bool) -> Kind {
    Kind::Error(IcmpError { kind, code: 1, mtu: 1400, quote, options })
}

#[test]
fn errors_quote_as_much_as_was_said() {
    for (addresses, kind, header, most) in [(V4, 3, 20, 548), (V6, 1, 40, 1232)] {
        for length in [0, 16, 1400] {
            let request = request_of(addresses, &vec![7; length]);
            let quotes =
                [(Quote::Full, request.len().min(most)), (Quote::Minimal, header + 8), (Quote::Header, header)];
            for (quote, expected) in quotes {
                let packet = answered_to(&request, addresses[1], error(kind, quote, false));
                assert_eq!(checks(&packet), (true, true));
                assert_eq!(icmp(&packet)[..2], [kind, 1]);
                assert_eq!(icmp(&packet)[4..8], [0, 0, 5, 120], "1400");
                assert_eq!(icmp(&packet)[8..], request[..expected], "{quote:?} of {length}");
            }
        }
    }
}

#[test]
fn quoted_options_are_in_a_header_that_is_right() {
    let request = request_of(V4, &PAYLOAD);
    let packet = answered(V4, error(3, Quote::Full, true));
    let quoted = &icmp(&packet)[8..];
    assert_eq!((quoted[0], quoted[20]), (0x47, 7), "seven words of header, with a record of the route");
    assert_eq!(checks(quoted), (true, true));
    assert_eq!(icmp(quoted), icmp(&request));
    let minimal = answered(V4, error(3, Quote::Minimal, true));
    assert_eq!(icmp(&minimal).len(), 8 + 28 + 8);
}
