//! Any bytes from the network, as ICMPv4 with its IP header and as ICMPv6 without one, must be read or refused without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| pingtest::icmp::wire::fuzz(data));
