//! A ping monitor as surge-ping's README and its example `multi_ping` have users write it: one `Client`, one task per
//! target with an interval, one line per reply or error. A rival for the benchmark, on tokio's default runtime.
//!
//! What the example does not say is done to its advantage: the tasks' first probes are spread over one interval, and the
//! lines go to a file, one `write` each, as `println!` into a file does. It does nothing against a busy executor: its
//! round-trip times are those of the library. Needs CAP_NET_RAW, or datagram ICMP sockets allowed, which the library
//! prefers. `tests/bench/run` runs it.

#![expect(clippy::disallowed_macros, clippy::print_stdout, reason = "its result is one line on stdout")]

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::task::JoinSet;
use tokio::time;

/// What ping(8) sends, and the README's program.
const PAYLOAD: [u8; 56] = [0; 56];

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
    /// How long a reply is waited for.
    #[arg(long, default_value_t = 1_000)]
    timeout_ms: u64,
    /// The file that gets one line per reply or error; emptied first.
    #[arg(long)]
    log: PathBuf,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        println!("surge_tasks: nothing to do without arguments; see tests/bench/run");
        return Ok(());
    }
    let options = Options::parse();
    let client = Client::new(&Config::builder().kind(ICMP::V4).build())?;
    let log = Arc::new(File::create(&options.log)?);
    let start = time::Instant::from_std(start_of_all());
    let period = Duration::from_secs(1) / options.rate_per_target;

    let mut tasks = JoinSet::new();
    for i in 0..options.targets {
        let target = Target {
            client: client.clone(),
            address: Ipv4Addr::from_bits(options.first.to_bits().wrapping_add(i)).into(),
            timeout: Duration::from_millis(options.timeout_ms),
            probes: options.seconds * options.rate_per_target,
            log: Arc::clone(&log),
        };
        tasks.spawn(target.ping(time::interval_at(start + period * i / options.targets, period)));
    }
    let total = tasks.join_all().await.into_iter().fold(Tally::default(), Tally::plus);
    println!("sent={} received={} mean_us={:.1}", total.sent, total.received, total.mean_us());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a program of a user, with no clock module of ours")]
fn start_of_all() -> std::time::Instant {
    std::time::Instant::now()
}

struct Target {
    client: Client,
    address: IpAddr,
    timeout: Duration,
    probes: u32,
    log: Arc<File>,
}

impl Target {
    async fn ping(self, mut interval: time::Interval) -> Tally {
        let identifier = PingIdentifier(getrandom::u32().unwrap_or_default() as u16);
        let mut pinger = self.client.pinger(self.address, identifier).await;
        pinger.timeout(self.timeout);
        let mut tally = Tally::default();
        for number in 1..=self.probes {
            interval.tick().await;
            let outcome = pinger.ping(PingSequence(number as u16), &PAYLOAD).await;
            tally.add(&outcome);
            self.write(&line(self.address, number, &outcome));
        }
        tally
    }

    /// A disk that fails costs lines, as it would with `println!`, which would panic besides.
    fn write(&self, line: &str) {
        let _ = (&*self.log).write_all(line.as_bytes());
    }
}

fn line(address: IpAddr, number: u32, outcome: &Result<(IcmpPacket, Duration), SurgeError>) -> String {
    match outcome {
        Ok((IcmpPacket::V4(reply), rtt)) => format!(
            "{} bytes from {}: icmp_seq={number} ttl={:?} time={rtt:.3?}\n",
            reply.get_size(),
            reply.get_source(),
            reply.get_ttl(),
        ),
        Ok((IcmpPacket::V6(reply), rtt)) => format!(
            "{} bytes from {}: icmp_seq={number} hlim={} time={rtt:.3?}\n",
            reply.get_size(),
            reply.get_source(),
            reply.get_max_hop_limit(),
        ),
        Err(error) => format!("{address}: icmp_seq={number} error: {error}\n"),
    }
}

/// What became of one task's probes; only sums, so that it costs the program next to nothing.
#[derive(Default)]
struct Tally {
    sent: u64,
    received: u64,
    sum: Duration,
}

impl Tally {
    fn add(&mut self, outcome: &Result<(IcmpPacket, Duration), SurgeError>) {
        self.sent += 1;
        if let Ok((_, rtt)) = outcome {
            self.received += 1;
            self.sum += *rtt;
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, received: self.received + other.received, sum: self.sum + other.sum }
    }

    fn mean_us(&self) -> f64 {
        self.sum.as_secs_f64() * 1e6 / self.received.max(1) as f64
    }
}
