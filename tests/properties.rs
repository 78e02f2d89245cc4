//! Whatever happens in whatever order, the books balance: hostile networks, clocks and configurations, drawn at random.
//!
//! What must hold stands in `support/ledger.rs` and is asserted after every turn; here is only what may happen.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use pingtest::driver::{Command, Pause};
use pingtest::monitor::Start;
use pingtest::monitor::outage::{DegradedRules, Rules};
use pingtest::monitor::record::{Event, SendError};
use pingtest::monitor::sample::{Checksum, IcmpError};
use pingtest::monitor::target::{Addr, Family, Host, IpVersion, Name, SocketOptions, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::sync::oneshot;

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
    /// The target of this number is not to be probed, or again.
    Pause(usize, Pause),
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
    rules: Limits,
}

/// Rules of outages, as far as they are drawn.
#[derive(Debug, Clone, Copy)]
struct Limits {
    down_after: u32,
    up_after: u32,
    merge_within: u64,
    /// Of the interval.
    suspect: Option<u32>,
    burst: u32,
    new_id_after: Option<u32>,
    /// Of a target with a lower number, so that there are no circles.
    parent: Option<usize>,
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
            rules: self.rules.rules(self.name, interval).into(),
        })
    }
}

impl Limits {
    fn rules(self, name: usize, interval: Duration) -> Rules {
        let parent = self.parent.filter(|parent| *parent < name);
        Rules {
            down_after: self.down_after,
            up_after: self.up_after,
            merge_within: Duration::from_millis(self.merge_within),
            suspect_interval: self.suspect.map(|part| interval / part),
            burst: self.burst,
            new_id_after: self.new_id_after,
            parent: parent.map(|parent| Name::new(&format!("t{parent}")).unwrap()),
            degraded: Some(DegradedRules { loss: Some(300), rtt: None, within: Duration::from_secs(3) }),
        }
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
    let count = proptest::option::weighted(0.1, 1..20_u64);
    let one = (0..4_usize, 0..HOSTS.len(), intervals, 1..5000_u64, sizes, count, limits());
    let one = one.prop_map(|(name, host, interval, timeout, size, count, rules)| Wanted {
        name,
        host,
        interval,
        timeout,
        size,
        count,
        rules,
    });
    vec(one, 1..5)
}

fn limits() -> impl Strategy<Value = Limits> {
    let some = |range| proptest::option::weighted(0.3, range);
    let parent = proptest::option::of(0..4_usize);
    (1..5_u32, 1..4_u32, 0..5000_u64, some(2..5_u32), prop_oneof![Just(0), 1..6_u32], some(1..6), parent).prop_map(
        |(down_after, up_after, merge_within, suspect, burst, new_id_after, parent)| Limits {
            down_after,
            up_after,
            merge_within,
            suspect,
            burst,
            new_id_after,
            parent,
        },
    )
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
        1 => (0..4_usize).prop_map(|name| Step::Pause(name, Pause::Begin)),
        1 => (0..4_usize).prop_map(|name| Step::Pause(name, Pause::End)),
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
        Step::Pause(name, pause) => {
            let name = Name::new(&format!("t{name}")).unwrap();
            if world.monitor().targets().any(|(target, ..)| target.name == name) {
                world.order(Duration::ZERO, Command::Pause(name, pause, oneshot::channel().0));
                world.turn();
            }
        }
        Step::Reload(wanted) => world.order(Duration::ZERO, Command::Targets(targets(&wanted))),
    }
}

/// Answers each probe in turn, or not, always after the same time.
struct Turns {
    answered: Vec<bool>,
    after: Duration,
}

impl Network for Turns {
    fn send(&mut self, _: Duration, _: &Target, sent: &Sent) -> Result<Vec<Packet>, SendError> {
        let index = usize::try_from(sent.probe.id.seq - 1).unwrap();
        let after = self.after.as_millis() as u64;
        let whole = Crafted { after, from: From::Target, stamped: true, what: What::Whole };
        Ok(self.answered.get(index).filter(|answered| **answered).map(|_| whole.packet(sent)).into_iter().collect())
    }

    fn look_up(&mut self, _: Duration, _: &str) -> Option<(Duration, Found)> {
        None
    }
}

/// The outages by the numbers of their first lost probe and of the first reply, read off the answers in the order of sending.
fn naive(answered: &[bool], down_after: usize, up_after: usize) -> Vec<(u64, Option<u64>)> {
    let mut outages = Vec::new();
    let Some(mut at) = answered.iter().position(|answered| *answered) else { return outages };
    while at < answered.len() {
        let run = answered[at..].iter().take_while(|answered| !**answered).count();
        if run < down_after {
            at += run.max(1);
            continue;
        }
        let end = (at + run..answered.len()).find(|end| {
            answered.get(*end..end + up_after).is_some_and(|replies| replies.iter().all(|answered| *answered))
        });
        outages.push((at as u64 + 1, end.map(|end| end as u64 + 1)));
        let Some(end) = end else { break };
        at = end;
    }
    outages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn outages_are_those_of_a_naive_reading(
        answered in vec(prop::bool::weighted(0.6), 1..80),
        (down_after, up_after) in (1..5_u32, 1..4_u32),
        interval in select(vec![50_u64, 200, 1000]),
        timeout in select(vec![100_u64, 2000]),
        after in 1..100_u64,
    ) {
        let rules = Limits { down_after, up_after, merge_within: 0, suspect: None, burst: 0, new_id_after: None, parent: None };
        let count = Some(answered.len() as u64);
        let wanted = Wanted { name: 0, host: 0, interval, timeout, size: 56, count, rules };
        let expected = naive(&answered, down_after as usize, up_after as usize);
        let mut world = World::new(Start::Spread, &targets(&[wanted]), Turns { answered, after: Duration::from_millis(after) });
        while !world.has_ended() {
            world.run_until(world.since() + Duration::from_secs(10));
        }
        let mut found: Vec<(u64, Option<u64>)> = Vec::new();
        for record in world.records() {
            match record.event {
                Event::OutageBegan { seq, .. } => found.push((seq, None)),
                Event::OutageEnded { seq, .. } => found.last_mut().unwrap().1 = Some(seq),
                Event::Answer(_) | Event::Lost { .. } | Event::FirstReply(_) => {}
                Event::Unreachable { .. }
                | Event::NotSent { .. }
                | Event::NotMeasured { .. }
                | Event::NotRunning { .. }
                | Event::AddressChanged { .. } => {
                    panic!("{record:?}")
                }
            }
        }
        prop_assert_eq!(found, expected);
    }

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
