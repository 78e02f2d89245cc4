//! The bare kernel loop: the least that any program must do to ping, stamp and log, as a yardstick for the real one.
//!
//! One raw ICMPv4 socket, one thread, kernel receive stamps, one `sendto` per probe with its stamp taken just before, one
//! `write` per wake. It judges nothing: no timeouts, no losses by target, no names, no IPv6. Without `--first` it probes
//! 127.0.0.0/8, of which every address answers. Needs CAP_NET_RAW. `tests/bench/run` runs it beside pingtest and others.

#![expect(unsafe_code, reason = "a yardstick for the kernel's share talks to the kernel without a layer between")]
#![expect(clippy::disallowed_macros, clippy::print_stdout, reason = "its result is one line on stdout")]

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::mem::{self, MaybeUninit};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::ptr;

use clap::Parser;

/// ICMP header and 56 bytes of payload, as ping(8) sends.
const PACKET_LEN: usize = 64;
/// Room for an IPv4 header with options (60 bytes) before the packet.
const SLOT_LEN: usize = 60 + PACKET_LEN;
/// Replies taken per system call; more gains nothing once a call's own cost is spread over this many.
const BATCH: usize = 64;
/// `cmsghdr` and `timespec` need 32 bytes; the kernel may add no other message, since no other was asked for.
const CONTROL_LEN: usize = 64;
/// linux/icmp.h; the libc crate does not have it.
const ICMP_FILTER: libc::c_int = 1;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// A tenth of a second of replies at 100,000/s, each charged at 832 bytes, with room to spare.
const RECEIVE_BUFFER: libc::c_int = 16 << 20;
/// Replies are waited for this long after the last probe.
const GRACE_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// One bucket per 100 ns up to 100 ms; the last one takes everything slower.
const BUCKET_NS: u64 = 100;
const BUCKETS: usize = 1_000_000;

/// What to probe and for how long.
#[derive(Parser)]
struct Options {
    /// How many addresses, counted upward from the first.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    targets: u32,
    /// The first address.
    #[arg(long, default_value_t = Ipv4Addr::new(127, 1, 0, 0))]
    first: Ipv4Addr,
    /// Probes to each address per second.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rate_per_target: u32,
    /// How long to send.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Time between two wakes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    wake_ms: u32,
    /// The file that gets one line per reply; emptied first.
    #[arg(long)]
    log: PathBuf,
    /// Log round-trip times to the nanosecond, for comparing them with a capture.
    #[arg(long)]
    exact: bool,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        println!("bare_loop: nothing to do without arguments; see tests/bench/run");
        return Ok(());
    }
    let options = Options::parse();
    let socket = open_socket()?;
    let mut log = File::create(&options.log)?;
    let mut prober = Prober::new(&options, u16::try_from(std::process::id() & 0xffff)?);
    let mut inbox = Inbox::new();
    let mut lines = Lines { exact: options.exact, ..Lines::default() };
    let mut tally = Tally::new();

    let wake_ns = u64::from(options.wake_ms) * 1_000_000;
    let start = clock_ns(libc::CLOCK_MONOTONIC);
    let last_wake = start + u64::from(options.seconds) * SECOND_NS + GRACE_NS;
    let mut wake = start;
    while wake <= last_wake && !(prober.all_sent() && tally.received == prober.sent) {
        sleep_until(wake);
        let now = clock_ns(libc::CLOCK_MONOTONIC);
        prober.send_due(&socket, now - start)?;
        inbox.drain(&socket, |reply| {
            if let Some(rtt_ns) = prober.answer(&reply) {
                tally.add(rtt_ns);
                lines.add(&reply, prober.sequence(reply.number), rtt_ns);
            }
        })?;
        lines.write_to(&mut log)?;
        // Wakes missed by a stall are skipped: the next send takes all that is due by then.
        wake += wake_ns * (1 + clock_ns(libc::CLOCK_MONOTONIC).saturating_sub(wake) / wake_ns);
    }
    println!("{}", tally.report(prober.sent)?);
    Ok(())
}

/// Sends probe `n` of all at `n × gap` after the start, to target `n mod targets`: evenly spread, no address twice in a row.
struct Prober {
    first: Ipv4Addr,
    targets: u64,
    per_second: u64,
    total: u64,
    sent: u64,
    id: u16,
    cookie: u64,
    /// Send stamps (real time, ns) of the latest probes by number; 0 marks one that was answered.
    stamps: Vec<u64>,
}

impl Prober {
    fn new(options: &Options, id: u16) -> Self {
        let per_second = u64::from(options.targets) * u64::from(options.rate_per_target);
        let remembered = (2 * per_second).next_power_of_two();
        Self {
            first: options.first,
            targets: options.targets.into(),
            per_second,
            total: per_second * u64::from(options.seconds),
            sent: 0,
            id,
            cookie: clock_ns(libc::CLOCK_REALTIME),
            stamps: vec![0; usize::try_from(remembered).unwrap_or(1 << 20)],
        }
    }

    fn all_sent(&self) -> bool {
        self.sent == self.total
    }

    fn send_due(&mut self, socket: &OwnedFd, elapsed_ns: u64) -> io::Result<()> {
        let due = (u128::from(elapsed_ns) * u128::from(self.per_second) / u128::from(SECOND_NS)) as u64 + 1;
        while self.sent < due.min(self.total) {
            let number = self.sent;
            let address = Ipv4Addr::from_bits(self.first.to_bits().wrapping_add((number % self.targets) as u32));
            let packet = self.packet(number);
            let slot = self.slot(number);
            self.stamps[slot] = clock_ns(libc::CLOCK_REALTIME);
            send_to(socket, &packet, address)?;
            self.sent += 1;
        }
        Ok(())
    }

    fn packet(&self, number: u64) -> [u8; PACKET_LEN] {
        let mut packet = [0x5a; PACKET_LEN];
        packet[0] = ECHO_REQUEST;
        packet[1..4].fill(0);
        packet[4..6].copy_from_slice(&self.id.to_be_bytes());
        packet[6..8].copy_from_slice(&((number / self.targets + 1) as u16).to_be_bytes());
        packet[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        packet[16..24].copy_from_slice(&number.to_be_bytes());
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// The round trip of the probe that `reply` answers; `None` for foreign, repeated and forgotten ones.
    fn answer(&mut self, reply: &Reply) -> Option<u64> {
        let known = reply.id == self.id && reply.cookie == self.cookie && reply.number < self.sent;
        if !known || self.sent - reply.number > self.stamps.len() as u64 {
            return None;
        }
        let slot = self.slot(reply.number);
        let stamp = mem::take(&mut self.stamps[slot]);
        (stamp != 0).then(|| reply.arrived_ns.saturating_sub(stamp))
    }

    fn sequence(&self, number: u64) -> u64 {
        number / self.targets + 1
    }

    fn slot(&self, number: u64) -> usize {
        number as usize & (self.stamps.len() - 1)
    }
}

/// One echo reply, and when the kernel received it (real time, ns).
struct Reply {
    source: Ipv4Addr,
    ttl: u8,
    bytes: usize,
    id: u16,
    cookie: u64,
    number: u64,
    arrived_ns: u64,
}

impl Reply {
    fn parse(packet: &[u8], arrived_ns: u64) -> Option<Self> {
        let header_len = usize::from(packet.first()? & 0x0f) * 4;
        let (header, icmp) = packet.split_at_checked(header_len)?;
        if header.len() < 20 || icmp.len() < 24 || icmp[0] != ECHO_REPLY {
            return None;
        }
        Some(Self {
            source: <[u8; 4]>::try_from(&header[12..16]).ok()?.into(),
            ttl: header[8],
            bytes: icmp.len(),
            id: u16::from_be_bytes(icmp[4..6].try_into().ok()?),
            cookie: u64::from_be_bytes(icmp[8..16].try_into().ok()?),
            number: u64::from_be_bytes(icmp[16..24].try_into().ok()?),
            arrived_ns,
        })
    }
}

/// Buffers of one `recvmmsg`, set up once: the kernel changes only lengths and contents.
struct Inbox {
    slots: Box<[[u8; SLOT_LEN]; BATCH]>,
    controls: Box<[[u64; CONTROL_LEN / 8]; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    /// Pointed to by `headers`.
    _vectors: Box<[libc::iovec; BATCH]>,
}

impl Inbox {
    fn new() -> Self {
        let mut slots = Box::new([[0; SLOT_LEN]; BATCH]);
        let mut controls = Box::new([[0; CONTROL_LEN / 8]; BATCH]);
        // SAFETY: both are plain C structures for which all zeroes is a valid value.
        let (mut headers, mut vectors) = unsafe {
            (Box::new(mem::zeroed::<[libc::mmsghdr; BATCH]>()), Box::new(mem::zeroed::<[libc::iovec; BATCH]>()))
        };
        for i in 0..BATCH {
            vectors[i] = libc::iovec { iov_base: slots[i].as_mut_ptr().cast(), iov_len: SLOT_LEN };
            headers[i].msg_hdr.msg_iov = &raw mut vectors[i];
            headers[i].msg_hdr.msg_iovlen = 1;
            headers[i].msg_hdr.msg_control = controls[i].as_mut_ptr().cast();
        }
        Self { slots, controls, headers, _vectors: vectors }
    }

    fn drain(&mut self, socket: &OwnedFd, mut handle: impl FnMut(Reply)) -> io::Result<()> {
        loop {
            for header in self.headers.iter_mut() {
                header.msg_hdr.msg_controllen = CONTROL_LEN;
            }
            // SAFETY: every header points to buffers that this struct owns in boxes, with their true lengths.
            let received = unsafe {
                let headers = self.headers.as_mut_ptr();
                libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as u32, libc::MSG_DONTWAIT, ptr::null_mut())
            };
            let received = match usize::try_from(received) {
                Ok(received) => received,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(io::Error::last_os_error()),
            };
            for i in 0..received {
                let packet = &self.slots[i][..(self.headers[i].msg_len as usize).min(SLOT_LEN)];
                let reply = self.arrived_ns(i).and_then(|arrived_ns| Reply::parse(packet, arrived_ns));
                reply.into_iter().for_each(&mut handle);
            }
            if received < BATCH {
                return Ok(());
            }
        }
    }

    fn arrived_ns(&self, i: usize) -> Option<u64> {
        let header = &self.headers[i].msg_hdr;
        debug_assert_eq!(header.msg_control.cast_const().cast(), self.controls[i].as_ptr());
        // SAFETY: the kernel has just filled the control buffer and set its length; the first message is complete or absent,
        // and the buffer is aligned for it.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(header);
            if message.is_null()
                || (*message).cmsg_level != libc::SOL_SOCKET
                || (*message).cmsg_type != libc::SCM_TIMESTAMPNS
            {
                return None;
            }
            Some(timespec_ns(ptr::read_unaligned(libc::CMSG_DATA(message).cast())))
        }
    }
}

/// Lines not yet written. The second is rendered when it changes, the rest of a line by hand.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    second: u64,
    rendered: String,
    exact: bool,
}

impl Lines {
    fn add(&mut self, reply: &Reply, sequence: u64, rtt_ns: u64) {
        let second = reply.arrived_ns / SECOND_NS;
        if second != self.second {
            self.second = second;
            self.rendered = local_time(second);
        }
        self.text.extend_from_slice(self.rendered.as_bytes());
        self.text.push(b'.');
        self.digits(reply.arrived_ns % SECOND_NS / 1_000_000, 3);
        self.text.push(b' ');
        self.digits(reply.bytes as u64, 1);
        self.text.extend_from_slice(b" bytes from ");
        for (i, octet) in reply.source.octets().into_iter().enumerate() {
            if i > 0 {
                self.text.push(b'.');
            }
            self.digits(octet.into(), 1);
        }
        self.text.extend_from_slice(b": icmp_seq=");
        self.digits(sequence, 1);
        self.text.extend_from_slice(b" ttl=");
        self.digits(reply.ttl.into(), 1);
        self.text.extend_from_slice(b" time=");
        if self.exact {
            self.digits(rtt_ns / 1_000_000, 1);
            self.text.push(b'.');
            self.digits(rtt_ns % 1_000_000, 6);
        } else {
            self.milliseconds((rtt_ns + 500) / 1_000);
        }
        self.text.extend_from_slice(b" ms\n");
    }

    /// Three significant digits, as ping(8) prints, and never finer than a microsecond.
    fn milliseconds(&mut self, micros: u64) {
        let decimals = match micros {
            0..10_000 => 3 - usize::from(micros >= 1_000),
            10_000..100_000 => 1,
            _ => 0,
        };
        self.digits(micros / 1_000, 1);
        if decimals > 0 {
            self.text.push(b'.');
            self.digits(micros % 1_000 / 10_u64.pow(3 - decimals as u32), decimals);
        }
    }

    fn digits(&mut self, mut value: u64, at_least: usize) {
        let mut digits = [b'0'; 20];
        let mut first = digits.len();
        while value > 0 || digits.len() - first < at_least {
            first -= 1;
            digits[first] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.text.extend_from_slice(&digits[first..]);
    }

    fn write_to(&mut self, log: &mut File) -> io::Result<()> {
        if !self.text.is_empty() {
            log.write_all(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

/// What was received, and how long it took.
struct Tally {
    received: u64,
    sum_ns: u64,
    buckets: Vec<u32>,
}

impl Tally {
    fn new() -> Self {
        Self { received: 0, sum_ns: 0, buckets: vec![0; BUCKETS] }
    }

    fn add(&mut self, rtt_ns: u64) {
        self.received += 1;
        self.sum_ns += rtt_ns;
        self.buckets[((rtt_ns / BUCKET_NS) as usize).min(BUCKETS - 1)] += 1;
    }

    fn report(&self, sent: u64) -> io::Result<String> {
        let cpu_s = cpu_seconds()?;
        let answered = self.received.max(1) as f64;
        Ok(format!(
            "sent={sent} received={} mean_us={:.1} p99_us={:.1} cpu_s={cpu_s:.3} cpu_us_per_ping={:.2} rss_kib={}",
            self.received,
            self.sum_ns as f64 / answered / 1e3,
            self.quantile_ns(0.99) as f64 / 1e3,
            cpu_s * 1e6 / answered,
            peak_rss_kib()?,
        ))
    }

    fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = (self.received as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        let reached = |&count: &u32| {
            seen += u64::from(count);
            seen >= rank
        };
        self.buckets.iter().position(reached).unwrap_or(0) as u64 * BUCKET_NS
    }
}

/// The internet checksum (RFC 1071) of an even number of bytes.
fn checksum(packet: &[u8; PACKET_LEN]) -> u16 {
    let sum: u32 = packet.as_chunks().0.iter().map(|&pair| u32::from(u16::from_be_bytes(pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn open_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_ICMP) };
    check(fd)?;
    // SAFETY: the descriptor is fresh and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&socket, libc::SOL_RAW, ICMP_FILTER, !(1 << ECHO_REPLY))?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    // Without CAP_NET_ADMIN the system's bound (net.core.rmem_max) holds.
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
        .or_else(|_| set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER))?;
    Ok(socket)
}

fn set_option(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) })
}

fn send_to(socket: &OwnedFd, packet: &[u8], address: Ipv4Addr) -> io::Result<()> {
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both pointers are those of live values, with their true lengths.
    let sent = unsafe {
        let len = mem::size_of_val(&to) as libc::socklen_t;
        libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0, (&raw const to).cast(), len)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::uninit();
    // SAFETY: both clocks in use exist on every Linux, so the call cannot fail and fills `time`.
    timespec_ns(unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    })
}

fn timespec_ns(time: libc::timespec) -> u64 {
    time.tv_sec as u64 * SECOND_NS + time.tv_nsec as u64
}

/// Sleeps to an instant of the monotonic clock. A signal may end it early, which costs one empty wake.
fn sleep_until(instant_ns: u64) {
    let time = libc::timespec {
        tv_sec: (instant_ns / SECOND_NS) as libc::time_t,
        tv_nsec: (instant_ns % SECOND_NS) as libc::c_long,
    };
    // SAFETY: `time` outlives the call, and no remainder is asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const time, ptr::null_mut()) };
}

fn local_time(unix_seconds: u64) -> String {
    let seconds = unix_seconds as libc::time_t;
    let mut parts = MaybeUninit::uninit();
    // SAFETY: `localtime_r` fills `parts` or returns null, which is checked.
    let parts: libc::tm = unsafe {
        if libc::localtime_r(&raw const seconds, parts.as_mut_ptr()).is_null() {
            return "-".into();
        }
        parts.assume_init()
    };
    format!(
        "{:04}-{:02}-{:02}_{:02}:{:02}:{:02}",
        parts.tm_year + 1900,
        parts.tm_mon + 1,
        parts.tm_mday,
        parts.tm_hour,
        parts.tm_min,
        parts.tm_sec
    )
}

fn cpu_seconds() -> io::Result<f64> {
    let mut usage = MaybeUninit::uninit();
    // SAFETY: the call fills `usage` unless it fails, which is checked.
    let usage: libc::rusage = unsafe {
        check(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()))?;
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// From /proc rather than getrusage(2), whose figure starts at that of the process that called exec.
fn peak_rss_kib() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
