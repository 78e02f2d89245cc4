//! Packets as routers and hosts really send them, and as nobody should.

use proptest::prelude::*;

use super::*;

const IDENT: u16 = 0x1234;

fn echo(version: IpVersion, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = [&[0; HEADER_LEN], payload].concat();
    write_echo_request(version, IDENT, sequence, &mut packet);
    packet
}

/// An echo request turned into its reply, as the host that is pinged does it.
fn reply_v4(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = echo(IpVersion::V4, sequence, payload);
    message[0] = kind::V4_ECHO_REPLY;
    message[2..4].fill(0);
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

fn behind_ipv4(options: usize, protocol: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; IPV4_HEADER_LEN + options];
    packet[0] = 0x40 | (packet.len() / 4) as u8;
    let total = (packet.len() + message.len()) as u16;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[8] = 57;
    packet[9] = protocol;
    packet[16..20].copy_from_slice(&[192, 0, 2, 7]);
    packet.extend(message);
    packet
}

fn behind_ipv6(between: &[u8], message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; IPV6_HEADER_LEN];
    packet[0] = 0x60;
    let len = (between.len() + message.len()) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = if between.is_empty() { PROTOCOL_ICMPV6 } else { IPV6_FRAGMENT };
    packet[24..40].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
    packet.extend(between);
    packet.extend(message);
    packet
}

fn error(kind: u8, code: u8, word: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0], &word[..], quoted].concat()
}

#[test]
fn a_request_has_a_right_checksum_over_an_odd_length_too() {
    for len in [0, 1, 56, 57] {
        assert_eq!(checksum(&echo(IpVersion::V4, 7, &vec![0xa5; len])), 0, "{len} bytes");
    }
}

#[test]
fn a_reply_is_read_behind_any_ip_header() {
    for options in [0, 8, 40] {
        let datagram = behind_ipv4(options, PROTOCOL_ICMP, &reply_v4(9, b"payload"));
        let expected = Packet::EchoReply {
            ident: IDENT,
            sequence: 9,
            ttl: Some(57),
            payload: b"payload",
            checksum: Checksum::Good,
        };
        assert_eq!(decode_v4(&datagram, Framing::Ipv4Header), Some(expected), "{options} bytes of options");
    }
}

#[test]
fn a_bare_reply_has_no_ttl_of_its_own() {
    let message = reply_v4(9, b"payload");
    let Some(Packet::EchoReply { ttl, payload, .. }) = decode_v4(&message, Framing::Bare) else { panic!("a reply") };
    assert_eq!((ttl, payload), (None, &b"payload"[..]));
    let mut message = echo(IpVersion::V6, 9, b"payload");
    message[0] = kind::V6_ECHO_REPLY;
    let Some(Packet::EchoReply { sequence, payload, .. }) = decode_v6(&message) else { panic!("a reply") };
    assert_eq!((sequence, payload), (9, &b"payload"[..]));
}

#[test]
fn a_flipped_bit_spoils_the_checksum() {
    let mut message = reply_v4(9, b"payload");
    message[12] ^= 4;
    let Some(Packet::EchoReply { checksum, .. }) = decode_v4(&message, Framing::Bare) else { panic!("a reply") };
    assert_eq!(checksum, Checksum::Bad);
}

#[test]
fn an_error_tells_what_it_quotes_with_and_without_options_and_payload() {
    for (options, payload) in [(0, &b"payload"[..]), (8, b"payload"), (0, b"")] {
        let quoted = behind_ipv4(options, PROTOCOL_ICMP, &echo(IpVersion::V4, 9, payload));
        let datagram = behind_ipv4(0, PROTOCOL_ICMP, &error(3, 4, [0, 0, 0x05, 0x78], &quoted));
        let expected = Packet::Error {
            error: IcmpError::V4 { kind: 3, code: 4, info: 1400 },
            destination: Ipv4Addr::new(192, 0, 2, 7).into(),
            quoted: Quoted { ident: IDENT, sequence: 9, payload },
        };
        assert_eq!(decode_v4(&datagram, Framing::Ipv4Header), Some(expected));
    }
}

#[test]
fn an_icmpv6_error_quotes_a_whole_probe_or_its_first_fragment() {
    let first_fragment = [PROTOCOL_ICMPV6, 0, 0, 1, 0, 0, 0, 9];
    for between in [&[][..], &first_fragment] {
        let quoted = behind_ipv6(between, &echo(IpVersion::V6, 9, b"payload"));
        let message = error(2, 0, [0, 0, 0x05, 0x00], &quoted);
        let expected = Packet::Error {
            error: IcmpError::V6 { kind: 2, code: 0, info: 1280 },
            destination: Ipv6Addr::LOCALHOST.into(),
            quoted: Quoted { ident: IDENT, sequence: 9, payload: b"payload" },
        };
        assert_eq!(decode_v6(&message), Some(expected));
    }
}

#[test]
fn what_quotes_no_echo_request_is_no_concern() {
    let request = echo(IpVersion::V4, 9, b"payload");
    let udp = behind_ipv4(0, 17, &request);
    let answer = behind_ipv4(0, PROTOCOL_ICMP, &reply_v4(9, b"payload"));
    let mut later_fragment = behind_ipv4(0, PROTOCOL_ICMP, &request);
    later_fragment[7] = 185;
    for quoted in [udp, answer, later_fragment] {
        assert_eq!(decode_v4(&behind_ipv4(0, PROTOCOL_ICMP, &error(3, 1, [0; 4], &quoted)), Framing::Ipv4Header), None);
    }
    let later_fragment = [PROTOCOL_ICMPV6, 0, 0x05, 0xa8, 0, 0, 0, 9];
    let quoted = behind_ipv6(&later_fragment, &echo(IpVersion::V6, 9, b"payload"));
    assert_eq!(decode_v6(&error(1, 0, [0; 4], &quoted)), None);
}

#[test]
fn padding_and_extensions_behind_a_quote_are_no_part_of_it() {
    for payload in [&b""[..], b"short", b"long enough for a tag and a number"] {
        let mut quoted = behind_ipv4(0, PROTOCOL_ICMP, &echo(IpVersion::V4, 9, payload));
        quoted.resize(128, 0);
        quoted.extend([0x20, 0, 0xde, 0xad, 0, 8, 1, 1, 0, 1, 0x11, 0x01]);
        let datagram = behind_ipv4(0, PROTOCOL_ICMP, &error(11, 0, [0, 32, 0, 0], &quoted));
        let Some(Packet::Error { quoted, .. }) = decode_v4(&datagram, Framing::Ipv4Header) else { panic!("an error") };
        assert_eq!(quoted.payload, payload);
    }
}

#[test]
fn redirects_and_requests_are_no_concern() {
    let quoted = behind_ipv4(0, PROTOCOL_ICMP, &echo(IpVersion::V4, 9, b"payload"));
    for message in [error(5, 1, [192, 0, 2, 1], &quoted), error(4, 0, [0; 4], &quoted), echo(IpVersion::V4, 9, b"")] {
        assert_eq!(decode_v4(&behind_ipv4(0, PROTOCOL_ICMP, &message), Framing::Ipv4Header), None);
    }
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_v4(&bytes, Framing::Ipv4Header);
        let _ = decode_v4(&bytes, Framing::Bare);
        let _ = decode_v6(&bytes);
        let _ = decode_quoted(IpVersion::V4, &bytes);
    }

    #[test]
    fn nothing_cut_or_altered_makes_it_panic(
        options in 0..11_usize, cut in 0..120_usize, at in 0..120_usize, to in any::<u8>(), kind in 0..13_u8,
    ) {
        let quoted = behind_ipv4(options * 4, PROTOCOL_ICMP, &echo(IpVersion::V4, 9, b"sixteen bytes or more"));
        let mut datagram = behind_ipv4(0, PROTOCOL_ICMP, &error(kind, 0, [0; 4], &quoted));
        if let Some(byte) = datagram.get_mut(at) {
            *byte = to;
        }
        datagram.truncate(cut);
        let _ = decode_v4(&datagram, Framing::Ipv4Header);
        let quoted = behind_ipv6(&[PROTOCOL_ICMPV6; 8], &echo(IpVersion::V6, 9, b"sixteen bytes or more"));
        let mut message = error(kind, 0, [0; 4], &quoted);
        if let Some(byte) = message.get_mut(at) {
            *byte = to;
        }
        message.truncate(cut);
        let _ = decode_v6(&message);
    }
}
