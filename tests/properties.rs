//! Whatever happens in whatever order, the books balance: hostile networks, clocks and configurations, drawn at random.
//!
//! What must hold stands in `support/ledger.rs` and is asserted after every turn; here is only what may happen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use pingtest::driver::Command;
use pingtest::monitor::Start;
use pingtest::monitor::record::SendError;
use pingtest::monitor::sample::{Checksum, IcmpError};
use pingtest::monitor::target::{Addr, Family, Host, IpVersion, Name, SocketOptions, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use support::world::{Content, Found, Network, Packet, Sent, World};

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    /// The loop runs for so long.
    Run(u64),
    /// The loop stands still for so long.
    Stall(u64),
    /// The loop turns although nothing is due.
    Turn,
    Suspend(u64),
    SetForward(u64),
    SetBack(u64),
    Drops(IpVersion),
    /// A packet made from any probe sent so far.
    Launch(Index, Crafted),
    /// These of the possible targets are wanted.
    Reload(Vec<Wanted>),
}

/// A packet made from a probe, as the network or a forger might make it.
#[derive(Debug, Clone)]
struct Crafted {
    after: u64,
    from: From,
    stamped: bool,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Target,
    Other,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Whole,
    Flipped(usize),
    Cut(usize),
    BadChecksum,
    Forged,
    WrongSequence(u16),
    Error { quoted: usize },
}

/// What the network does to a probe of its own accord.
#[derive(Debug, Clone)]
enum Fate {
    Packets(Vec<Crafted>),
    Refused,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    name: usize,
    host: usize,
    interval: u64,
    timeout: u64,
    size: u16,
    count: Option<u64>,
}

const HOSTS: [&str; 6] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "web001", "web002", "web003"];

/// Gives probes and names their fates, round and round, and remembers the probes.
struct Fates {
    probes: VecDeque<Fate>,
    names: VecDeque<Option<(u64, Found)>>,
    sent: Vec<Sent>,
}

impl Network for Fates {
    fn send(&mut self, _: Duration, _: &Target, sent: &Sent) -> Result<Vec<Packet>, SendError> {
        self.sent.push(sent.clone());
        self.probes.rotate_left(1);
        match &self.probes[0] {
            Fate::Packets(packets) => Ok(packets.iter().map(|packet| packet.packet(sent)).collect()),
            Fate::Refused => Err(SendError { errno: 101, text: "Network is unreachable" }),
        }
    }

    fn look_up(&mut self, _: Duration, _: &str) -> Option<(Duration, Found)> {
        self.names.rotate_left(1);
        self.names[0].clone().map(|(after, found)| (Duration::from_millis(after), found))
    }
}

impl Crafted {
    fn packet(&self, sent: &Sent) -> Packet {
        let addr = sent.probe.addr;
        let mut payload = sent.payload.clone();
        let mut sequence = sent.probe.sequence;
        let mut checksum = Checksum::Good;
        let mut error = None;
        match self.what {
            What::Whole => {}
            What::Flipped(at) if payload.is_empty() => payload.push(at as u8),
            What::Flipped(at) => {
                let at = at % payload.len();
                payload[at] ^= 0xff;
            }
            What::Cut(to) => payload.truncate(to),
            What::BadChecksum => checksum = Checksum::Bad,
            What::Forged => payload.iter_mut().take(8).for_each(|byte| *byte ^= 0x5a),
            What::WrongSequence(by) => sequence = sequence.wrapping_add(by),
            What::Error { quoted } => {
                payload.truncate(quoted);
                error = Some(match addr.version() {
                    IpVersion::V4 => IcmpError::V4 { kind: 3, code: 1, info: 0 },
                    IpVersion::V6 => IcmpError::V6 { kind: 1, code: 3, info: 0 },
                });
            }
        }
        let content = match error {
            Some(error) => Content::Error { error, destination: addr, sequence, payload },
            None => Content::Echo { sequence, payload, checksum },
        };
        let from = match self.from {
            From::Target => addr,
            From::Other => Ipv4Addr::new(203, 0, 113, 9).into(),
        };
        Packet { after: Duration::from_millis(self.after), from, ttl: Some(64), stamped: self.stamped, content }
    }
}

impl Wanted {
    fn target(self) -> Arc<Target> {
        let host = HOSTS[self.host];
        let interval = Duration::from_millis(self.interval);
        Arc::new(Target {
            name: Name::new(&format!("t{}", self.name)).unwrap(),
            host: host.parse().map_or_else(|_| Host::Name(host.into()), |ip: IpAddr| Host::Address(ip.into())),
            family: Family::Any,
            interval,
            phase: Duration::ZERO,
            timeout: Duration::from_millis(self.timeout),
            size: self.size,
            options: SocketOptions::default(),
            resolve_every: Duration::from_secs(3),
            count: self.count,
            rules: Arc::default(),
        })
    }
}

fn targets(wanted: &[Wanted]) -> Vec<Arc<Target>> {
    let mut targets: Vec<_> = wanted.iter().map(|wanted| wanted.target()).collect();
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    targets.dedup_by(|a, b| a.name == b.name);
    targets
}

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let sizes = select(vec![0, 7, 8, 15, 16, 56]);
    let intervals = select(vec![10, 100, 250, 1000]);
    let one = (0..4_usize, 0..HOSTS.len(), intervals, 1..5000_u64, sizes, proptest::option::weighted(0.1, 1..20_u64));
    let one = one.prop_map(|(name, host, interval, timeout, size, count)| Wanted {
        name,
        host,
        interval,
        timeout,
        size,
        count,
    });
    vec(one, 1..5)
}

fn crafted() -> impl Strategy<Value = Crafted> {
    let what = prop_oneof![
        6 => Just(What::Whole),
        1 => (0..60_usize).prop_map(What::Flipped),
        1 => (0..60_usize).prop_map(What::Cut),
        1 => Just(What::BadChecksum),
        1 => Just(What::Forged),
        1 => (1..5_u16).prop_map(What::WrongSequence),
        2 => (0..60_usize).prop_map(|quoted| What::Error { quoted }),
    ];
    let from = prop_oneof![6 => Just(From::Target), 1 => Just(From::Other)];
    let after = prop_oneof![4 => 0..100_u64, 2 => 0..5000_u64, 1 => 0..70_000_u64];
    (after, from, prop::bool::weighted(0.9), what).prop_map(|(after, from, stamped, what)| Crafted {
        after,
        from,
        stamped,
        what,
    })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        9 => vec(crafted(), 0..4).prop_map(Fate::Packets),
        1 => Just(Fate::Refused),
    ]
}

fn found() -> impl Strategy<Value = Option<(u64, Found)>> {
    let addrs = [
        Addr::from(Ipv4Addr::new(172, 17, 0, 2)),
        Ipv4Addr::new(172, 17, 0, 3).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into(),
    ];
    let found = prop_oneof![
        4 => vec(select(addrs.to_vec()), 1..3).prop_map(Ok),
        1 => Just(Err(Arc::from("Temporary failure in name resolution"))),
    ];
    proptest::option::weighted(0.95, (0..10_000_u64, found))
}

fn step() -> impl Strategy<Value = Step> {
    let version = prop_oneof![Just(IpVersion::V4), Just(IpVersion::V6)];
    prop_oneof![
        8 => (0..4000_u64).prop_map(Step::Run),
        2 => (0..4000_u64).prop_map(Step::Stall),
        2 => Just(Step::Turn),
        1 => (0..200_000_u64).prop_map(Step::Suspend),
        1 => (0..4_000_000_u64).prop_map(Step::SetForward),
        1 => (0..4_000_000_u64).prop_map(Step::SetBack),
        1 => (0..300_u64).prop_map(Step::SetForward),
        1 => (0..300_u64).prop_map(Step::SetBack),
        1 => version.prop_map(Step::Drops),
        4 => (any::<Index>(), crafted()).prop_map(|(index, crafted)| Step::Launch(index, crafted)),
        1 => wanted().prop_map(Step::Reload),
    ]
}

fn take(world: &mut World<Fates>, step: Step) {
    match step {
        Step::Run(millis) => world.run_until(world.since() + Duration::from_millis(millis)),
        Step::Stall(millis) => world.pass(Duration::from_millis(millis)),
        Step::Turn => world.turn(),
        Step::Suspend(millis) => world.suspend(Duration::from_millis(millis)),
        Step::SetForward(millis) => world.set_forward(Duration::from_millis(millis)),
        Step::SetBack(millis) => world.set_back(Duration::from_millis(millis)),
        Step::Drops(version) => world.drop_packets(version),
        Step::Launch(index, crafted) => {
            let sent = &world.network().sent;
            if !sent.is_empty() {
                let packet = crafted.packet(index.get(sent));
                world.launch(packet);
            }
        }
        Step::Reload(wanted) => world.order(Duration::ZERO, Command::Targets(targets(&wanted))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_books_balance(
        start in select(vec![Start::Spread, Start::AtOnce]),
        wanted in wanted(),
        probes in vec(fate(), 1..12),
        names in vec(found(), 1..6),
        steps in vec(step(), 1..40),
    ) {
        let network = Fates { probes: probes.into(), names: names.into(), sent: Vec::new() };
        let mut world = World::new(start, &targets(&wanted), network);
        for step in steps {
            if world.has_ended() {
                break;
            }
            take(&mut world, step);
        }
        if !world.has_ended() {
            world.order(Duration::ZERO, Command::Stop);
            world.turn();
        }
        prop_assert!(world.monitor().targets().all(|(_, _, window)| window.in_flight == 0), "nothing stays in flight");
    }
}
