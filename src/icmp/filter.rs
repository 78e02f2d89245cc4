//! Which packets wake a raw socket: programs for the kernel's classic packet filter (`filter.rst` of the kernel's
//! documentation), so that the ICMP of others costs us neither a wake-up nor buffer space. Pure.
//!
//! A raw socket gets a copy of every ICMP message of the host. (Its error queue also gets every ICMP error that quotes anybody's
//! ICMP, which no filter sees; what is read off it on a raw socket is thrown away.) These programs pass echo replies with our identifier and errors
//! that quote an echo request with our identifier; reading past a packet's end drops the packet.

use super::wire::kind;
use crate::monitor::target::IpVersion;

/// One instruction: operation, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
const LOAD_BYTE_X: u16 = 0x50; // BPF_LD | BPF_B | BPF_IND: at X + k
const LOAD_HALF_X: u16 = 0x48; // BPF_LD | BPF_H | BPF_IND
const X_IP_HEADER_LEN: u16 = 0xb1; // BPF_LDX | BPF_B | BPF_MSH: X = 4 · (byte at k & 0xf)
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_LEFT: u16 = 0x64; // BPF_ALU | BPF_LSH | BPF_K
const ADD_X: u16 = 0x0c; // BPF_ALU | BPF_ADD | BPF_X
const X_FROM_A: u16 = 0x07; // BPF_MISC | BPF_TAX
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const WHOLE_PACKET: u32 = u32::MAX;

/// The program for a raw socket of `version` that uses the identifier `ident`.
pub fn program(version: IpVersion, ident: u16) -> [Instruction; 17] {
    match version {
        IpVersion::V4 => v4(ident.into()),
        IpVersion::V6 => v6(ident.into()),
    }
}

/// A raw socket of IPv4 is shown the packet from its IP header on.
fn v4(ident: u32) -> [Instruction; 17] {
    let [unreachable, time_exceeded, parameter_problem] = kind::V4_ERRORS.map(u32::from);
    [
        (X_IP_HEADER_LEN, 0, 0, 0),
        (LOAD_BYTE_X, 0, 0, 0),
        (JUMP_EQUAL, 10, 0, kind::V4_ECHO_REPLY.into()),
        (JUMP_EQUAL, 2, 0, unreachable),
        (JUMP_EQUAL, 1, 0, time_exceeded),
        (JUMP_EQUAL, 0, 10, parameter_problem),
        // Behind the error's eight bytes stands the quoted IP header: its length leads to the quoted identifier.
        (LOAD_BYTE_X, 0, 0, 8),
        (AND, 0, 0, 0x0f),
        (SHIFT_LEFT, 0, 0, 2),
        (ADD_X, 0, 0, 0),
        (X_FROM_A, 0, 0, 0),
        (LOAD_HALF_X, 0, 0, 12),
        (JUMP_EQUAL, 2, 3, ident),
        // An echo reply: its own identifier.
        (LOAD_HALF_X, 0, 0, 4),
        (JUMP_EQUAL, 0, 1, ident),
        (RETURN, 0, 0, WHOLE_PACKET),
        (RETURN, 0, 0, 0),
    ]
}

/// A raw socket of ICMPv6 is shown the packet from its ICMPv6 header on. An error's eight bytes are followed by the quoted IPv6
/// header of 40, and in a fragmented probe by a fragment header of eight.
fn v6(ident: u32) -> [Instruction; 17] {
    const NEXT_HEADER: u32 = 8 + 6;
    let [unreachable, too_big, time_exceeded, parameter_problem] = kind::V6_ERRORS.map(u32::from);
    [
        (LOAD_BYTE, 0, 0, 0),
        (JUMP_EQUAL, 11, 0, kind::V6_ECHO_REPLY.into()),
        (JUMP_EQUAL, 3, 0, unreachable),
        (JUMP_EQUAL, 2, 0, too_big),
        (JUMP_EQUAL, 1, 0, time_exceeded),
        (JUMP_EQUAL, 0, 10, parameter_problem),
        (LOAD_BYTE, 0, 0, NEXT_HEADER),
        (JUMP_EQUAL, 1, 0, 58), // ICMPv6
        (JUMP_EQUAL, 2, 7, 44), // fragment
        (LOAD_HALF, 0, 0, 8 + 40 + 4),
        (JUMP_EQUAL, 4, 5, ident),
        (LOAD_HALF, 0, 0, 8 + 40 + 8 + 4),
        (JUMP_EQUAL, 2, 3, ident),
        // An echo reply: its own identifier.
        (LOAD_HALF, 0, 0, 4),
        (JUMP_EQUAL, 0, 1, ident),
        (RETURN, 0, 0, WHOLE_PACKET),
        (RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel does: reading past the end drops the packet.
    fn passes(version: IpVersion, ident: u16, packet: &[u8]) -> bool {
        let program = program(version, ident);
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        let byte = |at: u32| packet.get(at as usize).map(|&byte| u32::from(byte));
        let half = |at: u32| Some(byte(at)? << 8 | byte(at + 1)?);
        loop {
            let (operation, if_true, if_false, k) = program[at];
            at += 1;
            let loaded = match operation {
                LOAD_BYTE => byte(k),
                LOAD_HALF => half(k),
                LOAD_BYTE_X => byte(x + k),
                LOAD_HALF_X => half(x + k),
                AND => Some(a & k),
                SHIFT_LEFT => Some(a << k),
                ADD_X => Some(a + x),
                X_FROM_A => {
                    x = a;
                    Some(a)
                }
                X_IP_HEADER_LEN => {
                    let Some(first) = byte(k) else { return false };
                    x = 4 * (first & 0xf);
                    Some(a)
                }
                JUMP_EQUAL => {
                    at += usize::from(if a == k { if_true } else { if_false });
                    Some(a)
                }
                RETURN => return k != 0,
                other => panic!("no such operation {other:#x}"),
            };
            let Some(value) = loaded else { return false };
            a = value;
        }
    }

    const IDENT: u16 = 0x1234;

    fn v4_packet(ip_words: u8, message: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; usize::from(ip_words) * 4];
        packet[0] = 0x40 | ip_words;
        packet.extend(message);
        packet
    }

    fn echo(kind: u8, ident: u16) -> Vec<u8> {
        let [high, low] = ident.to_be_bytes();
        vec![kind, 0, 0, 0, high, low, 0, 1]
    }

    fn v4_error(kind: u8, ip_words: u8, ident: u16) -> Vec<u8> {
        [vec![kind, 0, 0, 0, 0, 0, 0, 0], v4_packet(ip_words, &echo(8, ident))].concat()
    }

    fn v6_error(kind: u8, next_header: u8, between: usize, ident: u16) -> Vec<u8> {
        let mut quoted = vec![0; 40];
        quoted[6] = next_header;
        [vec![kind, 0, 0, 0, 0, 0, 0, 0], quoted, vec![58; between], echo(128, ident)].concat()
    }

    #[test]
    fn our_replies_and_errors_pass_whatever_the_ip_options() {
        for words in [5, 6, 15] {
            assert!(passes(IpVersion::V4, IDENT, &v4_packet(words, &echo(0, IDENT))));
            for (kind, quoted_words) in [(3, 5), (11, 7), (12, 15)] {
                assert!(passes(IpVersion::V4, IDENT, &v4_packet(words, &v4_error(kind, quoted_words, IDENT))));
            }
        }
        assert!(passes(IpVersion::V6, IDENT, &echo(129, IDENT)));
        for kind in 1..=4 {
            assert!(passes(IpVersion::V6, IDENT, &v6_error(kind, 58, 0, IDENT)));
            assert!(passes(IpVersion::V6, IDENT, &v6_error(kind, 44, 8, IDENT)));
        }
    }

    #[test]
    fn the_icmp_of_others_does_not_pass() {
        let other = IDENT ^ 1;
        assert!(!passes(IpVersion::V4, IDENT, &v4_packet(5, &echo(0, other))));
        assert!(!passes(IpVersion::V4, IDENT, &v4_packet(5, &echo(8, IDENT))), "an echo request");
        assert!(!passes(IpVersion::V4, IDENT, &v4_packet(5, &v4_error(3, 5, other))));
        assert!(!passes(IpVersion::V4, IDENT, &v4_packet(5, &v4_error(5, 5, IDENT))), "a redirect");
        assert!(!passes(IpVersion::V6, IDENT, &echo(129, other)));
        assert!(!passes(IpVersion::V6, IDENT, &echo(128, IDENT)), "an echo request");
        assert!(!passes(IpVersion::V6, IDENT, &echo(135, IDENT)), "a neighbour solicitation");
        assert!(!passes(IpVersion::V6, IDENT, &v6_error(1, 58, 0, other)));
        assert!(!passes(IpVersion::V6, IDENT, &v6_error(1, 17, 0, IDENT)), "an error about UDP");
        assert!(!passes(IpVersion::V6, IDENT, &v6_error(1, 44, 8, other)));
    }

    #[test]
    fn what_is_cut_short_does_not_pass() {
        let whole = v4_packet(5, &v4_error(11, 6, IDENT));
        for len in 0..whole.len() - 2 {
            assert!(!passes(IpVersion::V4, IDENT, &whole[..len]), "{len} bytes");
        }
        let whole = v6_error(3, 44, 8, IDENT);
        for len in 0..whole.len() - 2 {
            assert!(!passes(IpVersion::V6, IDENT, &whole[..len]), "{len} bytes");
        }
    }
}
