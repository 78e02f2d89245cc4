//! A packet capture by tcpdump: when echo requests and replies passed a device, by the kernel's stamps.
//!
//! It reads what tcpdump wrote and shares no code with pingtest. IPv4 over Ethernet only.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::net::Namespace;
use crate::support::program::{self, Program};
use crate::support::wait::{self, PATIENCE};

/// tcpdump at work.
pub(crate) struct Capture {
    program: Program,
}

/// When the request and the first reply of an echo passed, ns of the wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Echo {
    pub(crate) request: Option<u64>,
    pub(crate) reply: Option<u64>,
}

/// All echoes by the far address, identifier and sequence number.
pub(crate) type Echoes = BTreeMap<(Ipv4Addr, u16, u16), Echo>;

impl Capture {
    /// Starts to capture what passes `device`.
    pub(crate) fn start(namespace: &Namespace, device: &str) -> Self {
        /// Ethernet, IPv4 and ICMP headers without options take 42 bytes.
        const HEADERS: &str = "64";
        let buffer_kib = "65536";
        let args = ["-i", device, "-w", "capture", "--time-stamp-precision=nano", "-B", buffer_kib, "-s", HEADERS];
        let mut command = namespace.command("tcpdump");
        command.args(["-n", "-Z", "root"]);
        let program = Program::spawn(program::directory(), command, &[&args[..], &["icmp"]].concat());
        program.wait_for("stderr", "word of tcpdump", |text| text.contains("listening on"));
        Self { program }
    }

    /// Stops it. Gives the echoes, and the number of packets that it was too slow for.
    pub(crate) fn stop(mut self) -> (Echoes, u64) {
        /// The kernel hands packets over in blocks, at the latest once a second.
        const BLOCK: Duration = Duration::from_millis(1500);
        wait::pause(BLOCK);
        self.program.signal(Signal::SIGTERM);
        let ended = self.program.ended(PATIENCE);
        let dropped =
            ended.stderr.lines().find_map(|line| line.strip_suffix(" packets dropped by kernel")?.parse().ok());
        let bytes = fs::read(self.program.dir().join("capture")).expect("tcpdump has written it");
        (echoes(&bytes), dropped.unwrap_or_else(|| panic!("{ended:?}")))
    }
}

/// Reads a file of pcap-savefile(5): a header, then records of a header and a packet each, numbers in the writer's byte order.
fn echoes(file: &[u8]) -> Echoes {
    const FILE_HEADER: usize = 24;
    const RECORD_HEADER: usize = 16;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    const ETHERNET: u32 = 1;
    let number = |at: usize| u32::from_ne_bytes(*file[at..].first_chunk().expect("a whole file"));
    assert_eq!((number(0), number(20)), (NANOSECONDS, ETHERNET), "nanoseconds, this machine's byte order, Ethernet");
    let (mut echoes, mut at) = (Echoes::new(), FILE_HEADER);
    while at < file.len() {
        let (seconds, nanos, len) = (number(at), number(at + 4), number(at + 8) as usize);
        let packet = &file[at + RECORD_HEADER..at + RECORD_HEADER + len];
        note(packet, u64::from(seconds) * 1_000_000_000 + u64::from(nanos), &mut echoes);
        at += RECORD_HEADER + len;
    }
    echoes
}

fn note(packet: &[u8], at: u64, echoes: &mut Echoes) {
    const ECHO_REPLY: u8 = 0;
    const ECHO_REQUEST: u8 = 8;
    const ETHERNET_HEADER: usize = 14;
    let ip = &packet[ETHERNET_HEADER..];
    let icmp = &ip[usize::from(ip[0] & 0x0f) * 4..];
    let address = |at: usize| Ipv4Addr::from(*ip[at..].first_chunk::<4>().expect("a whole header"));
    let half = |at: usize| u16::from_be_bytes([icmp[at], icmp[at + 1]]);
    let (source, destination) = (address(12), address(16));
    match icmp[0] {
        ECHO_REQUEST => echoes.entry((destination, half(4), half(6))).or_default().request.get_or_insert(at),
        ECHO_REPLY => echoes.entry((source, half(4), half(6))).or_default().reply.get_or_insert(at),
        _ => return,
    };
}

#[test]
fn a_capture_of_one_echo_is_read() {
    let packet = |source: [u8; 4], destination: [u8; 4], kind: u8| {
        let mut packet = vec![0; 14];
        packet.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0]);
        packet.extend([source, destination].concat());
        packet.extend([kind, 0, 0, 0, 0x12, 0x34, 0, 7]);
        packet
    };
    let (near, far) = ([10, 99, 0, 1], [10, 99, 0, 2]);
    let mut file: Vec<u8> = [0xa1b2_3c4d_u32, 0, 0, 0, 64, 1].iter().flat_map(|number| number.to_ne_bytes()).collect();
    for (nanos, packet) in [(100, packet(near, far, 8)), (350, packet(far, near, 0))] {
        let len = packet.len() as u32;
        file.extend([2, nanos, len, len].iter().flat_map(|number: &u32| number.to_ne_bytes()));
        file.extend(packet);
    }
    let expected = Echo { request: Some(2_000_000_100), reply: Some(2_000_000_350) };
    assert_eq!(echoes(&file), Echoes::from([((Ipv4Addr::from(far), 0x1234, 7), expected)]));
}
