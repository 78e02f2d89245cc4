//! Any bytes from the network, with an IPv4 header and without, must be read or refused without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pingtest::icmp::wire::{Framing, decode_quoted, decode_v4, decode_v6};
use pingtest::monitor::target::IpVersion;

fuzz_target!(|data: &[u8]| {
    let _ = decode_v4(data, Framing::Ipv4Header);
    let _ = decode_v4(data, Framing::Bare);
    let _ = decode_v6(data);
    let _ = decode_quoted(IpVersion::V4, data);
    let _ = decode_quoted(IpVersion::V6, data);
});
